"""Pose files of AlphaPose, MMPose, OpenPose's BODY_135, the Public DGS Corpus, and arrays of MediaPipe's 543 points.

Each against pose-format's reader, or against rows put together by the names of points.
"""

import json
import warnings

import numpy as np
import pytest
from helpers import said
from openpose_people import frame, make_person, row_by_hand
from pose_clips import extract
from pose_format_files import make_pose

from signx_hf.processing.errors_signx import SignXPoseError, SignXWarning
from signx_hf.processing.pose_files_signx import clip_from_file, read_pose_file
from signx_hf.processing.whole_body_signx import HOLISTIC_ORDERS, WHOLE_BODIES


def words(text: str) -> list[str]:
    return text.split()


# OpenPose's 18 points by COCO's names; the neck is computed
BODY = words(
    "nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist right_hip right_knee right_ankle "
    "left_hip left_knee left_ankle right_eye left_eye right_ear left_ear"
)
COCO = words(
    "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist "
    "left_hip right_hip left_knee right_knee left_ankle right_ankle"
)


def names_of(layout: str) -> list[str]:
    """The names of all points of a layout in their order, as its documentation lists them."""
    face, hands = (
        [f"face {i}" for i in range(68)],
        [[f"{side} hand {i}" for i in range(21)] for side in ("left", "right")],
    )
    feet = [f"foot {i}" for i in range(6)]
    if layout == "coco-wholebody-133":
        return [*COCO, *feet, *face, *hands[0], *hands[1]]
    if layout == "halpe-136":
        return [*COCO, "head", "upper neck", "hip", *feet, *face, *hands[0], *hands[1]]
    # hands without the wrist, which is the body's
    return [*COCO, "upper neck", "head", *feet, *hands[0][1:], *hands[1][1:], *face, "right pupil", "left pupil"]


def row_of(layout: str, points: np.ndarray) -> np.ndarray:
    """The 128 points, one by one by name."""
    at = dict(zip(names_of(layout), points))
    if layout == "body-135":
        at |= {f"{side} hand 0": at[f"{side}_wrist"] for side in ("left", "right")}
    left, right = at["left_shoulder"], at["right_shoulder"]
    at["neck"] = np.array([*(left[:2] + right[:2]) / 2, min(left[2], right[2])])
    wanted = [
        *BODY,
        *(f"{side} hand {i}" for side in ("left", "right") for i in range(21)),
        *(f"face {i}" for i in range(68)),
    ]
    return np.array([at[name] for name in wanted])


def people(layout: str, frames: int, seed: int = 0, place=(300.0, 200.0)) -> np.ndarray:
    """[T, n, 3] of one person, in pixels, with confidences."""
    rng = np.random.default_rng(seed)
    count = WHOLE_BODIES[layout].points
    xy = rng.uniform(-80, 80, (1, count, 2)) + place + rng.uniform(-2, 2, (frames, count, 2))
    return np.concatenate([xy, rng.uniform(0.2, 1, (frames, count, 1))], axis=-1)


def alphapose(points: np.ndarray, name="{}.jpg", first=0, **more) -> list[dict]:
    return [
        {"image_id": name.format(t + first), "category_id": 1, "keypoints": p.ravel().tolist(), "score": 2.5,
         "box": [0, 0, 9, 9], **more}
        for t, p in enumerate(points)
    ]  # fmt: skip


def mmpose(*everybody: np.ndarray, first=0) -> list[dict]:
    """Frames of the inferencer for a video."""
    return [
        {
            "frame_id": t + first,
            "instances": [
                {
                    "keypoints": p[t, :, :2].tolist(),
                    "keypoint_scores": p[t, :, 2].tolist(),
                    "bbox": [[0, 0, 9, 9]],
                    "bbox_score": 0.9,
                }
                for p in everybody
            ],
        }
        for t in range(len(everybody[0]))
    ]


def bodies135(points: np.ndarray) -> list[dict]:
    keys = ("face_keypoints_2d", "hand_left_keypoints_2d", "hand_right_keypoints_2d")
    return [
        frame({"person_id": [-1], "pose_keypoints_2d": p.ravel().tolist(), **dict.fromkeys(keys, [])}) for p in points
    ]


def save(path, content):
    path.write_text(json.dumps(content))
    return path


def rows(path, person="largest") -> np.ndarray:
    return read_pose_file(path, person).tracks["dwpose"].reshape(-1, 128, 3)


FILES = {
    "AlphaPose 133": ("coco-wholebody-133", alphapose),
    "AlphaPose 136": ("halpe-136", alphapose),
    "AlphaPose with a head": ("halpe-136", lambda p: {"frames": alphapose(p), "metadata": {"fps": 25, "width": 640}}),
    "MMPose inferencer": ("coco-wholebody-133", mmpose),
    "MMPose demo": ("coco-wholebody-133", lambda p: {"meta_info": {}, "instance_info": mmpose(p, first=1)}),
    "OpenPose BODY_135": ("body-135", bodies135),
}


@pytest.mark.parametrize("case", FILES)
def test_points_of_other_programs_by_their_names(case, tmp_path):
    layout, write = FILES[case]
    points = people(layout, 12)  # frame 10 comes after 9
    points[3, 5, 2] = 0  # a shoulder, and so the neck
    points[4, -1] = np.nan
    path = save(tmp_path / "a.json", write(points))
    expected = np.stack([row_of(layout, p) for p in points])
    expected = np.where((expected[..., 2:] > 0) & np.isfinite(expected).all(axis=-1, keepdims=True), expected, 0)
    expected[3, 1] = 0
    np.testing.assert_allclose(rows(path), expected)
    assert extract(path, fps=None)["pose_mask"][0, :, 1].all()


@pytest.mark.parametrize("layout", ["coco-wholebody-133", "halpe-136"])
def test_alphapose_against_pose_formats_reader(layout, tmp_path):
    module = pytest.importorskip("pose_format.utils.alphapose", reason="the reader of pose-format is the other answer")
    path = save(tmp_path / "a.json", alphapose(people(layout, 4)))
    with open(tmp_path / "a.pose", "wb") as file:
        module.load_alphapose_wholebody_from_json(str(path), fps=25, width=640, height=480).write(file)
    np.testing.assert_allclose(rows(path), rows(tmp_path / "a.pose"), rtol=1e-6)


def test_body_135_against_pose_formats_components(tmp_path):
    module = pytest.importorskip(
        "pose_format.utils.openpose_135", reason="the layout of pose-format is the other answer"
    )
    pose = make_pose(module.OpenPose_Components)
    with open(tmp_path / "a.pose", "wb") as file:
        pose.write(file)
    names = pose.header.components[0].points
    points = np.concatenate([np.asarray(pose.body.data), np.asarray(pose.body.confidence)[..., None]], axis=-1)[:, 0]
    np.testing.assert_allclose(
        rows(tmp_path / "a.pose"), rows(save(tmp_path / "a.json", bodies135(points.astype(float)))), rtol=1e-6
    )
    found = rows(tmp_path / "a.pose")
    for name, place in (("RWrist", 4), ("LWrist", 18), ("LThumb1CMC", 19), ("LPinky4FingerTip", 38), ("RWrist", 39),
                        ("RIndex1Knuckles", 44), ("FaceContour0", 60), ("IMouth7", 127), ("REar", 16)):  # fmt: skip
        np.testing.assert_allclose(found[:, place], points[:, names.index(name)], rtol=1e-6)


def test_frames_without_anybody(tmp_path):
    points = people("halpe-136", 3)
    video = alphapose(points, first=2)  # the detector saw nobody in 0, 1 and 4
    video[2]["image_id"] = "5.jpg"
    assert read_pose_file(save(tmp_path / "a.json", video)).masks["dwpose"].tolist() == [
        False,
        False,
        True,
        True,
        False,
        True,
    ]
    pictures = alphapose(points, "frame_{:06d}.png", first=4501)
    assert read_pose_file(save(tmp_path / "b.json", pictures)).masks["dwpose"].tolist() == [True] * 3
    frames = mmpose(people("coco-wholebody-133", 3))
    frames[1]["instances"] = []
    assert read_pose_file(save(tmp_path / "c.json", frames)).masks["dwpose"].tolist() == [True, False, True]


@pytest.mark.parametrize("tracked", [True, False])
def test_people_of_alphapose_and_mmpose_are_followed(tracked, tmp_path):
    one, two = people("coco-wholebody-133", 6, 1), people("coco-wholebody-133", 6, 2, (900.0, 200.0))
    listed = []
    for t, pair in enumerate(zip(alphapose(one, idx=4 if tracked else 0), alphapose(two, idx=2 if tracked else 0))):
        listed += pair if t % 2 == 0 else pair[::-1]  # without a tracker, everybody is 0
    for path in (save(tmp_path / "a.json", listed), save(tmp_path / "m.json", mmpose(one, two))):
        for who, points in enumerate((one, two)):
            np.testing.assert_allclose(rows(path, who), [row_of("coco-wholebody-133", p) for p in points])
        assert read_pose_file(path).people == 2


def test_the_cameras_of_the_dgs_corpus(tmp_path):
    """Each camera is one of the people; a child at the edge is never the signer."""
    rng = np.random.default_rng(0)
    ann, ben, child = (
        make_person(rng, place, size)
        for place, size in (((600, 300), 200.0), ((640, 300), 150.0), ((1200, 600), 30.0))
    )
    cameras = [
        {"id": "1", "camera": "a1", "width": 1280, "height": 720,
         "frames": {str(t): frame(*((ann, child) if t % 2 else (child, ann))) for t in (10, 2, 1, 3, 4)}},
        {"id": "1", "camera": "b1", "width": 1280, "height": 720, "frames": {str(t): frame(ben) for t in range(1, 11)}},
    ]  # fmt: skip
    path = save(tmp_path / "clip.json", cameras)
    for who, shown, person in ((0, [1, 2, 3, 4, 10], ann), (1, list(range(1, 11)), ben)):
        with pytest.warns(SignXWarning, match="several cameras; of its people, 0 is camera 'a1', 1 is camera 'b1'"):
            clip = read_pose_file(path, who)
        assert np.flatnonzero(clip.masks["dwpose"]).tolist() == shown and clip.num_frames == 11 and clip.people == 2
        np.testing.assert_allclose(
            clip.tracks["dwpose"][shown].reshape(-1, 128, 3), [row_by_hand(person)] * len(shown)
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_pose_file(save(path, cameras[1:])).people == 1


BAD = {
    "a body alone": (alphapose(np.ones((1, 17, 3))), "detection 0: keypoints must be ... of 133 or 136 or 135 points ... got 51 numbers"),
    "no number": (alphapose(people("halpe-136", 1), "cat.jpg"), "detection 0: image_id must hold the number of the frame, got 'cat.jpg'"),
    "frames far apart": (alphapose(people("halpe-136", 2), "{}000000.jpg"), "2 numbers over 1000001 frames"),
    "words": (mmpose(people("coco-wholebody-133", 1)) + [{"frame_id": 1, "instances": [{"keypoints": "a", "keypoint_scores": []}]}],
              "frame 1, person 0: keypoints must be ... got something else"),
    "scores of others": ([{"frame_id": 0, "instances": [{"keypoints": [[1, 2]] * 133, "keypoint_scores": [1] * 17}]}],
                         "frame 0, person 0: keypoints must be ... got something else"),
    "a number twice": (mmpose(people("coco-wholebody-133", 1)) * 2, "item 1 must be a frame of MMPose with a number of its own"),
    "fractions": (mmpose(people("coco-wholebody-133", 1) / 1000), "coordinates must be pixels"),
    "cameras without frames": ([{"camera": "a", "frames": {}}], "the cameras have no frames"),
    "cameras of words": ([{"camera": "a", "frames": {"one": {}}}], "camera 0 must have frames by number"),
    "cameras of numbers": ([{"camera": "a", "frames": {"1": 2}}], "camera 0, frame 1 must hold a list of people"),
    "cameras of bad people": ([{"frames": {"1": frame({"pose_keypoints_2d": [1.0] * 7})}}], "pose_keypoints_2d must have ... got 7 numbers"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_json_of_others_is_refused_in_one_line(case, tmp_path):
    content, text = BAD[case]
    path = save(tmp_path / "bad.json", content)
    with pytest.raises(SignXPoseError, match=said(text)) as error:
        read_pose_file(path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)


# -------------------------------------------------------------------------------------------------------------- arrays


def holistic(frames=6, seed=0) -> dict[str, np.ndarray]:
    """Parts of MediaPipe in pixels, the face smaller than the body, the left hand not always seen."""
    rng = np.random.default_rng(seed)
    return {
        "pose": rng.uniform(100, 500, (frames, 33, 3)),
        "face": rng.uniform(250, 300, (frames, 468, 3)),
        "left_hand": rng.uniform(100, 150, (frames, 21, 3)),
        "right_hand": rng.uniform(400, 450, (frames, 21, 3)),
    }


def joined(parts: dict, order: str) -> np.ndarray:
    return np.concatenate([parts[name] for name, _ in HOLISTIC_ORDERS[order]], axis=1)


@pytest.mark.parametrize("missing", [None, np.nan, 0.0])
@pytest.mark.parametrize("order", HOLISTIC_ORDERS)
def test_543_points_in_both_orders(order, missing, tmp_path):
    parts = holistic()
    if missing is not None:
        parts["left_hand"][2:4] = missing
        parts["face"][1:5] = missing
    parts["pose"][:] += 0.25
    np.savez(tmp_path / "named.npz", **parts, fps=30.0)
    points = joined(parts, order)
    np.savez(tmp_path / "any.npz", landmarks=points.astype(np.float64), fps=30.0)
    np.save(tmp_path / "a.npy", points)
    np.save(tmp_path / "flat.npy", points.reshape(len(points), -1))
    expected = read_pose_file(tmp_path / "named.npz")
    body = expected.tracks["mediapipe"][:, :132].reshape(-1, 33, 4)
    np.testing.assert_array_equal(body[..., :3], parts["pose"])
    for name in ("any.npz", "a.npy", "flat.npy"):
        clip = read_pose_file(tmp_path / name)
        np.testing.assert_array_equal(clip.tracks["mediapipe"], expected.tracks["mediapipe"])
        np.testing.assert_array_equal(clip.face, expected.face)
        np.testing.assert_array_equal(clip.face_mask, expected.face_mask)
        assert clip.fps == (30.0 if name == "any.npz" else None)


def test_1662_numbers_are_pose_with_visibility_face_and_hands(tmp_path):
    parts = holistic()
    parts["pose"] = np.concatenate([parts["pose"], np.full((6, 33, 1), 0.7)], axis=-1)
    np.savez(tmp_path / "named.npz", **parts)
    np.save(tmp_path / "a.npy", np.concatenate([p.reshape(6, -1) for p in parts.values()], axis=1))
    clip, expected = read_pose_file(tmp_path / "a.npy"), read_pose_file(tmp_path / "named.npz")
    np.testing.assert_array_equal(clip.tracks["mediapipe"], expected.tracks["mediapipe"])
    np.testing.assert_array_equal(clip.face, expected.face)


def test_fractions_in_543_points_are_made_pixels_by_the_frame_size(tmp_path):
    points = joined(holistic(), "holistic-543-face-first") / 1000
    np.savez(tmp_path / "a.npz", landmarks=points, frame_size=(640, 480))
    body = read_pose_file(tmp_path / "a.npz").tracks["mediapipe"][:, :132].reshape(-1, 33, 4)
    np.testing.assert_allclose(body[..., :3], points[:, 489:522] * [640, 480, 640])
    np.save(tmp_path / "a.npy", points)
    with pytest.warns(SignXWarning, match="coordinates look like fractions"):
        read_pose_file(tmp_path / "a.npy")


def test_an_order_that_cannot_be_told_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).uniform(0, 500, (4, 543, 3)))
    with pytest.raises(
        SignXPoseError, match=r"order of MediaPipe's 543 points cannot be told. Save the parts by name"
    ):
        read_pose_file(tmp_path / "a.npy")


@pytest.mark.parametrize("layout", WHOLE_BODIES)
def test_arrays_of_whole_bodies_are_told_by_their_width(layout, tmp_path):
    points = people(layout, 4)
    points[2, :, 2] = 0
    np.save(tmp_path / "a.npy", points)
    np.savez(tmp_path / "a.npz", keypoints=points.reshape(4, -1).astype(np.float32))
    expected = np.stack([row_of(layout, p) for p in points])
    for name in ("a.npy", "a.npz"):
        clip = read_pose_file(tmp_path / name)
        assert clip.masks["dwpose"].tolist() == [True, True, False, True]
        np.testing.assert_allclose(rows(tmp_path / name)[[0, 1, 3]], expected[[0, 1, 3]], rtol=1e-6)
    np.save(tmp_path / "mine.npy", points.reshape(4, -1))  # a track of that very width is what it says
    dims = {"mine": 3 * WHOLE_BODIES[layout].points, "dwpose": 384}
    assert list(clip_from_file(tmp_path / "mine.npy", dims).tracks) == ["mine"]
    points[..., 2] = 500.0
    np.save(tmp_path / "b.npy", points)
    with pytest.raises(SignXPoseError, match="must be x, y and confidence, got a confidence of 500"):
        read_pose_file(tmp_path / "b.npy")
