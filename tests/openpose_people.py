"""Make people as OpenPose writes them, and their rows by hand."""

import numpy as np

SIZES = {"pose": 25, "face": 70, "hand_left": 21, "hand_right": 21}


def make_person(rng, place=(200.0, 150.0), size=100.0, body=25):
    """One of OpenPose's people: x, y, confidence of every point, all of them seen."""
    person = {"person_id": [-1]}
    for part, count in {**SIZES, "pose": body}.items():
        xy = rng.uniform(-1, 1, (count, 2)) * size + place
        values = np.concatenate([xy, rng.uniform(0.2, 1, (count, 1))], axis=1)
        person[f"{part}_keypoints_2d"] = values.ravel().tolist()
    return {**person, "pose_keypoints_3d": []}


def frame(*people):
    return {"version": 1.3, "people": list(people)}


def row_by_hand(person, body=25):
    """The 128 points in their order, one by one."""
    triples = {
        part: [person[f"{part}_keypoints_2d"][3 * i : 3 * i + 3] for i in range(n)]
        for part, n in SIZES.items()
        if part != "pose"
    }
    pose = [person["pose_keypoints_2d"][3 * i : 3 * i + 3] for i in range(body)]
    if body == 25:  # BODY_25 of OpenPose's documentation: 8 is the middle of the hips, 19 and up are the feet
        pose = [pose[i] for i in (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)]
    return np.array([*pose, *triples["hand_left"], *triples["hand_right"], *triples["face"][:68]])


def two_people(frames=8, tracked=False):
    """A small person on the left and a large one on the right, drifting, listed in another order in every frame."""
    rng = np.random.default_rng(5)
    shapes = [make_person(rng, (0, 0), size) for size in (40.0, 80.0)]
    out, truth = [], []
    for t in range(frames):
        people = []
        for which, (shape, x) in enumerate(zip(shapes, (150 + 4 * t, 500 - 4 * t))):
            person = {key: list(value) for key, value in shape.items()}
            for part in SIZES:
                values = np.array(person[f"{part}_keypoints_2d"]).reshape(-1, 3)
                values[:, :2] += (x, 200)
                person[f"{part}_keypoints_2d"] = values.ravel().tolist()
            person["person_id"] = [7 - which] if tracked else [-1]
            people.append(person)
        truth.append([row_by_hand(p) for p in people])
        out.append(frame(*(people if t % 2 == 0 else people[::-1])))
    return out, np.stack(truth, axis=1)  # [2, T, 128, 3]
