"""Pose files of other programs: OpenPose's JSON against pose-format's reader, MediaPipe arrays against rows made by hand."""

import json
import os
import re
import warnings

import numpy as np
import pytest
from helpers import said
from openpose_people import frame, make_person, row_by_hand, two_people
from pose_clips import SLICES, concatenated, extract, make_clip

from signx_hf.processing.base_pipeline_signx import is_pose
from signx_hf.processing.errors_signx import SignXError, SignXFileNotFoundError, SignXPoseError, SignXWarning
from signx_hf.processing.feature_extraction_signx import DEFAULT_TRACK_DIMS, SignXPoseFeatureExtractor
from signx_hf.processing.pose_files_signx import clip_from_file, read_pose_file
from signx_hf.processing.pose_readers_signx import openpose_rows


def write_folder(folder, frames, name="clip_{:012d}_keypoints.json", first=0):
    folder.mkdir(parents=True, exist_ok=True)
    for t, content in enumerate(frames):
        (folder / name.format(t + first)).write_text(json.dumps(content))
    return folder


# ----------------------------------------------------------------------------------------------------------- OpenPose


@pytest.mark.parametrize("body", [25, 18])
def test_a_file_a_list_and_a_folder_are_the_same_clip(body, tmp_path):
    rng = np.random.default_rng(0)
    people = [make_person(rng, body=body) for _ in range(12)]
    expected = np.stack([row_by_hand(person, body) for person in people])
    (tmp_path / "one.json").write_text(json.dumps(frame(people[0])))
    (tmp_path / "all.json").write_text(json.dumps([frame(p) for p in people]))
    write_folder(tmp_path / "padded", [frame(p) for p in people], first=7)
    write_folder(
        tmp_path / "plain", [frame(p) for p in people], "a2_{}_keypoints.json"
    )  # 10 comes after 9, not after 1
    (tmp_path / "plain" / "notes.txt").write_text("not a frame")
    np.testing.assert_allclose(read_pose_file(tmp_path / "one.json").tracks["dwpose"].reshape(1, 128, 3), expected[:1])
    for name in ("all.json", "padded", "plain"):
        clip = read_pose_file(tmp_path / name)
        np.testing.assert_allclose(clip.tracks["dwpose"].reshape(-1, 128, 3), expected)
        assert clip.masks["dwpose"].all() and clip.fps is None and clip.source == str(tmp_path / name)


def test_the_folder_against_pose_formats_reader(tmp_path):
    openpose = pytest.importorskip("pose_format.utils.openpose")
    rng = np.random.default_rng(1)
    frames = [frame(make_person(rng)) for _ in range(4)]
    frames[2] = frame()
    frames[3]["people"][0]["hand_left_keypoints_2d"] = [0.0] * 63
    folder = write_folder(tmp_path / "clip", frames)
    pose = openpose.load_openpose_directory(str(folder), fps=25, width=640, height=480)
    with open(tmp_path / "clip.pose", "wb") as file:
        pose.write(file)
    ours, theirs = read_pose_file(folder), read_pose_file(tmp_path / "clip.pose")
    assert ours.masks["dwpose"].tolist() == [True, True, False, True]
    np.testing.assert_allclose(ours.tracks["dwpose"], theirs.tracks["dwpose"], rtol=1e-6)
    assert not ours.tracks["dwpose"].reshape(4, 128, 3)[3, 18:39].any()


def test_nobody_and_missing_files_are_not_observed(tmp_path):
    rng = np.random.default_rng(2)
    frames = [frame(make_person(rng)) for _ in range(6)]
    frames[1] = frame()
    folder = write_folder(tmp_path / "clip", frames)
    (folder / "clip_000000000004_keypoints.json").unlink()
    batch = extract(folder, fps=None)
    assert batch["pose_mask"][0, :, 1].tolist() == [True, False, True, True, False, True]
    assert batch["frame_mask"].all() and not batch["pose_mask"][..., [0, 2, 3, 4]].any()
    assert not batch["pose_values"][0, [1, 4]].any()


def test_parts_that_openpose_did_not_look_for_are_absent(tmp_path):
    person = make_person(np.random.default_rng(3))
    expected = row_by_hand(person)
    for part in ("face", "hand_left"):
        person[f"{part}_keypoints_2d"] = []
    del person["hand_right_keypoints_2d"]
    person["pose_keypoints_2d"][3 * 4 : 3 * 4 + 3] = [0, 0, 0]
    person["pose_keypoints_2d"][3 * 16 + 2] = float("nan")
    (tmp_path / "a.json").write_text(json.dumps(frame(person)))
    points = read_pose_file(tmp_path / "a.json").tracks["dwpose"].reshape(128, 3)
    expected[18:] = 0
    expected[[4, 15]] = 0  # BODY_25's 16 is the 15th of the 18
    np.testing.assert_allclose(points, expected)


def test_older_releases_had_shorter_names(tmp_path):
    person = make_person(np.random.default_rng(4), body=18)
    old = {key.removesuffix("_2d"): value for key, value in person.items() if key.endswith("_2d")}
    (tmp_path / "a.json").write_text(json.dumps({"version": 1.0, "people": [old]}))
    np.testing.assert_allclose(
        read_pose_file(tmp_path / "a.json").tracks["dwpose"].reshape(128, 3), row_by_hand(person, 18)
    )


@pytest.mark.parametrize("tracked", [False, True])
def test_people_are_followed_and_chosen(tracked, tmp_path):
    frames, truth = two_people(tracked=tracked)
    path = tmp_path / "clip.json"
    path.write_text(json.dumps(frames))
    for rule, who in (("largest", 1), (0, 0), (1, 1)):
        np.testing.assert_allclose(openpose_rows(path, rule).reshape(-1, 128, 3), truth[who])
    assert np.array_equal(extract(path, fps=None, person=0, normalize=False)["pose_values"][0, :, SLICES["dwpose"]],
                          truth[0].reshape(len(frames), -1).astype(np.float32))  # fmt: skip
    with pytest.raises(SignXPoseError, match="`person`.*got 2"):
        openpose_rows(path, 2)


def test_a_giant_for_one_frame_is_not_the_signer(tmp_path):
    frames, truth = two_people()
    frames[3]["people"].insert(0, make_person(np.random.default_rng(6), (320, 240), 200.0))
    path = tmp_path / "clip.json"
    path.write_text(json.dumps(frames))
    np.testing.assert_allclose(openpose_rows(path).reshape(-1, 128, 3), truth[1])


def test_someone_who_leaves_is_masked_and_not_replaced(tmp_path):
    frames, truth = two_people()
    for content in frames[5:]:
        content["people"] = [
            p for p in content["people"] if np.isclose(p["pose_keypoints_2d"][0], truth[0, :, 0, 0]).any()
        ]
    path = tmp_path / "clip.json"
    path.write_text(json.dumps(frames))
    rows = openpose_rows(path)
    assert np.isnan(rows[5:]).all()
    np.testing.assert_allclose(rows[:5].reshape(-1, 128, 3), truth[1, :5])


def person_with(**changes):
    return frame({**make_person(np.random.default_rng(0)), **changes})


def small(person):
    values = np.array(person["pose_keypoints_2d"]).reshape(-1, 3)
    values[:, :2] /= 1000
    return {"pose_keypoints_2d": values.ravel().tolist()}


BAD_JSON = {
    "text": ("hello", "cannot be read as JSON"),
    "cut": (json.dumps(frame(make_person(np.random.default_rng(0))))[:500], "cannot be read as JSON"),
    "deep": ("[" * 100000, "cannot be read as JSON"),
    "number": ("7", "frame 0 ... list of people"),
    "other json": ('{"annotations": []}', "frame 0 ... list of people"),
    "people number": ('{"people": 3}', "frame 0 ... list of people"),
    "people of numbers": ('[{"people": []}, {"people": [1]}]', "frame 1 ... list of people"),
    "no frames": ("[]", "the list of frames is empty"),
    "nobody": ('[{"people": []}, {"people": []}]', "at least one of 2 frames ... got none"),
    "body of 15": (person_with(pose_keypoints_2d=[1.0] * 45), "frame 0, person 0: pose_keypoints_2d ... got 45 numbers"),
    "hand of 20": (person_with(hand_left_keypoints_2d=[1.0] * 60), "frame 0, person 0: hand_left_keypoints_2d ... got 60 numbers"),
    "words": (person_with(face_keypoints_2d=["a"] * 210), "frame 0, person 0: face_keypoints_2d ... got a value that is not a number ... could not convert string to float: 'a'"),
    "mapping": (person_with(face_keypoints_2d={"x": 1}), "frame 0, person 0: face_keypoints_2d ... got a value that is not a number"),
    "fractions": (frame(small(make_person(np.random.default_rng(0)))), "coordinates must be pixels"),
    "nobody's points": (person_with(**dict.fromkeys(make_person(np.random.default_rng(0)))), "at least one point ... got none in 1 frames"),
    "confidence not a number": (json.dumps(frame({"pose_keypoints_2d": [50.0, 60.0, float("nan")] * 18})), "at least one point ... got none in 1 frames"),
    "points in space alone": (frame({"pose_keypoints_3d": [50.0] * 100}), "at least one point ... got none in 1 frames"),
    "a number of 400 digits": (person_with(pose_keypoints_2d=[10**400] * 54), "frame 0, person 0: pose_keypoints_2d ... got a value that is not a number ... int too large"),
    "a number beyond float32": (person_with(pose_keypoints_2d=[1e39] * 54), "track 'dwpose' ... got 1e+39 in frame 0 column 0"),
    "latin": (b"\xff\xfe\xfa", "cannot be read as JSON"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_JSON)
def test_bad_json_is_refused_in_one_line(case, tmp_path):
    content, text = BAD_JSON[case]
    content = content if isinstance(content, (str, bytes)) else json.dumps(content)
    path = tmp_path / "bad.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SignXPoseError, match=said(text)) as error:
        extract(path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)


def mixed(p):
    write_folder(p, [person_with()] * 2)
    write_folder(p, [person_with()] * 2, "other_{}_keypoints.json")


def doubled(p):
    write_folder(p, [person_with()] * 2)
    write_folder(p, [person_with()], "clip_{}_keypoints.json")


def one_bad(p):
    write_folder(p, [person_with()] * 3)
    (p / "clip_000000000001_keypoints.json").write_text("{")


def with_a_pipe(p):
    write_folder(p, [person_with()] * 2)
    os.mkfifo(p / "clip_000000000002_keypoints.json")


BAD_FOLDERS = {
    "a pipe": (with_a_pipe, "clip_000000000002_keypoints.json: not a regular file"),
    "two clips": (mixed, "the files ... got 2 ('clip_', 'other_'), 4 files with 2 different numbers"),
    "two of a number": (doubled, "the files ... got 1 ('clip_'), 3 files with 2 different numbers"),
    "one bad file": (one_bad, "clip_000000000001_keypoints.json: the file cannot be read as JSON"),
    "no frame numbers": (lambda p: write_folder(p, [person_with()] * 2, "{}0000000_keypoints.json"), "numbers over 10000001 frames"),
    "pictures": (lambda p: (p.mkdir(), (p / "1.jpg").write_bytes(b"")), "expected a .npz ... got a folder"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_FOLDERS)
def test_a_bad_folder_is_refused_in_one_line(case, tmp_path):
    make, text = BAD_FOLDERS[case]
    make(tmp_path / "clip")
    with pytest.raises(SignXPoseError, match=said(text)) as error:
        extract(tmp_path / "clip")
    assert "\n" not in str(error.value) and str(tmp_path / "clip") in str(error.value)


def test_the_pipeline_takes_openpose_for_poses(tmp_path):
    folder = write_folder(tmp_path / "clip", [person_with()])
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "1.jpg").write_bytes(b"")
    assert is_pose(folder) and is_pose(str(folder)) and is_pose("a.JSON")
    assert not is_pose(tmp_path / "frames") and not is_pose("x" * 5000) and not is_pose(tmp_path / "missing")


def test_a_track_that_is_not_wanted_is_said(tmp_path):
    folder = write_folder(tmp_path / "clip", [person_with()])
    with pytest.raises(SignXPoseError, match=re.escape("holds track 'dwpose', which is not in track_dims (smplerx)")):
        extract(folder, track_dims={"smplerx": 165})


# ---------------------------------------------------------------------------------------------------------- MediaPipe


def landmarks(frames=5, seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    body = rng.uniform(0.2, 0.8, (frames, 33, 3)) * scale
    return {
        "pose": np.concatenate([body, rng.uniform(0.5, 1, (frames, 33, 1))], axis=-1),
        "left_hand": rng.uniform(0.2, 0.8, (frames, 21, 3)) * scale,
        "right_hand": rng.uniform(0.2, 0.8, (frames, 21, 3)) * scale,
    }


def mediapipe_row(content):
    return np.concatenate(
        [content[key].reshape(len(content["pose"]), -1) for key in ("pose", "left_hand", "right_hand")], axis=1
    )


def save_npz(path, content, **extra):
    np.savez(path, **content, **extra)
    return path


FORMS = {
    "as arrays": lambda c: c,
    "flat": lambda c: {key: values.reshape(len(values), -1) for key, values in c.items()},
    "long names": lambda c: {f"{key}_landmarks": values for key, values in c.items()},
    "float32": lambda c: {key: values.astype(np.float32) for key, values in c.items()},
    "world too": lambda c: {**c, "pose_world_landmarks": np.zeros((5, 33, 3))},
}


@pytest.mark.parametrize("case", FORMS)
def test_mediapipe_arrays_are_a_mediapipe_track(case, tmp_path):
    content = landmarks(scale=400.0)
    clip = read_pose_file(save_npz(tmp_path / "a.npz", FORMS[case](content), fps=25.0))
    np.testing.assert_allclose(clip.tracks["mediapipe"], mediapipe_row(content), rtol=1e-6)
    assert clip.fps == 25.0 and clip.face is None
    np.testing.assert_allclose(
        extract(tmp_path / "a.npz", fps=None)["pose_values"],
        extract({"mediapipe": mediapipe_row(content).astype(np.float32 if case == "float32" else float)}, fps=None)[
            "pose_values"
        ],
    )


def test_hands_and_frames_that_were_not_seen(tmp_path):
    content = landmarks(scale=400.0)
    content["left_hand"][1] = np.nan
    content["right_hand"][2] = 0
    content["right_hand"][4, 5] = np.nan
    content["pose"][3, :, :3] = content["left_hand"][3] = content["right_hand"][3] = np.nan
    content["pose"][0, 7, 2] = np.nan
    clip = read_pose_file(save_npz(tmp_path / "a.npz", content))
    row = clip.tracks["mediapipe"]
    assert clip.masks["mediapipe"].tolist() == [True, True, True, False, True]
    assert not row[1, 132:195].any() and row[1, 195:].all() and not row[2, 195:].any() and not row[3].any()
    assert not row[4, 195 + 15 : 195 + 18].any() and row[4, 195:].astype(bool).sum() == 60
    assert not row[0, 28:32].any() and row[0, 132:].all()


def test_without_visibility_and_without_hands(tmp_path):
    content = landmarks(scale=400.0)
    body = content["pose"][..., :3].copy()
    body[2, 4] = 0
    row = read_pose_file(save_npz(tmp_path / "a.npz", {"pose": body})).tracks["mediapipe"]
    points = row[:, :132].reshape(5, 33, 4)
    np.testing.assert_allclose(points[..., :3], body)
    assert points[..., 3].sum() == 5 * 33 - 1 and points[2, 4, 3] == 0 and not row[:, 132:].any()


def test_frame_size_turns_fractions_into_pixels(tmp_path):
    content = landmarks()
    content["face"] = np.random.default_rng(1).uniform(0.3, 0.6, (5, 468, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clip = read_pose_file(save_npz(tmp_path / "a.npz", content, frame_size=np.array([640, 360])))
    points = clip.tracks["mediapipe"][:, :132].reshape(5, 33, 4)
    np.testing.assert_allclose(points, content["pose"] * (640, 360, 640, 1))
    assert clip.face.shape == (5, 478, 3) and clip.face_mask.sum() == 5 * 468 and not clip.face_mask[:, 468:].any()
    np.testing.assert_allclose(clip.face[:, :468], content["face"] * (640, 360, 640))
    with pytest.warns(SignXWarning, match=r"fractions of the frame, and frame_size is missing"):
        read_pose_file(save_npz(tmp_path / "b.npz", landmarks()))


def test_names_of_tracks_go_first(tmp_path):
    path = save_npz(tmp_path / "a.npz", {"pose": np.ones((3, 4)), "left_hand": np.ones((3, 2))})
    clip = clip_from_file(path, {"pose": 4, "left_hand": 2})
    assert list(clip.tracks) == ["pose", "left_hand"]


BAD_MEDIAPIPE = {
    "lengths": (lambda c: {**c, "left_hand": c["left_hand"][:3]}, "all parts ... got {'pose': 5, 'left_hand': 3, 'right_hand': 5}"),
    "two names": (lambda c: {**c, "pose_landmarks": c["pose"]}, "a.npz: expected one of 'pose' and 'pose_landmarks', got both"),
    "unknown": (lambda c: {**c, "lefthand": c["left_hand"]}, "unknown key 'lefthand' ... pose, pose_landmarks, left_hand"),
    "body of 25": (lambda c: {**c, "pose": c["pose"][:, :25]}, "'pose' ... got [5, 25, 4]"),
    "flat body": (lambda c: {**c, "pose": np.ones((5, 100))}, "'pose' ... got [5, 100]"),
    "hand of two": (lambda c: {**c, "left_hand": c["left_hand"][..., :2]}, "'left_hand' ... got [5, 21, 2]"),
    "face of 68": (lambda c: {**c, "face": np.ones((5, 68, 3))}, "'face' ... got [5, 68, 3]"),
    "one frame": (lambda c: {**c, "pose": c["pose"][0]}, "'pose' ... got [33, 4]"),
    "infinite": (lambda c: {**c, "pose": c["pose"] / 0.0}, "'pose' ... got an infinite number"),
    "words": (lambda c: {**c, "pose": np.full((5, 33, 4), "a")}, "'pose' ... got dtype <U1"),
    "nothing seen": (lambda c: {"pose": np.zeros((5, 33, 4))}, "at least one track ... got none"),
    "no frames": (lambda c: {"pose": np.zeros((0, 33, 4))}, "the clip ... got 0"),
    "frame size": (lambda c: {**c, "frame_size": np.array([1, 2, 3])}, "`frame_size` ... got array([1, 2, 3])"),
    "objects": (lambda c: {**c, "left_hand": np.array([None])}, "the file ... got an object array, which only pickle can read"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_MEDIAPIPE)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_bad_mediapipe_arrays_are_refused_in_one_line(case, tmp_path):
    change, text = BAD_MEDIAPIPE[case]
    path = save_npz(tmp_path / "a.npz", change(landmarks(scale=400.0)))
    with pytest.raises(SignXError, match=said(text)) as error:
        extract(path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)


# ----------------------------------------------------------------------------------------------- arrays of one track


def test_an_npy_of_one_track_is_known_by_its_width(tmp_path):
    clip = make_clip()
    for track in ("smplerx", "dwpose", "mediapipe"):
        np.save(tmp_path / "a.npy", clip[track].astype(np.float32))
        got, expected = extract(tmp_path / "a.npy"), extract({track: clip[track].astype(np.float32)})
        for key in expected:
            np.testing.assert_array_equal(got[key], expected[key])
    np.save(tmp_path / "a.npy", concatenated(clip))
    assert extract(tmp_path / "a.npy")["pose_mask"].all()
    np.save(tmp_path / "a.npy", clip["primedepth"])
    with pytest.raises(SignXPoseError, match="primedepth and sapiens both have 576 numbers"):
        extract(tmp_path / "a.npy")
    dims = {key: width for key, width in DEFAULT_TRACK_DIMS.items() if key != "sapiens"}
    assert SignXPoseFeatureExtractor(track_dims=dims)(tmp_path / "a.npy")["pose_mask"][0, :, 3].all()
    np.save(tmp_path / "a.npy", np.zeros((4, 100)))
    with pytest.raises(SignXPoseError, match=said("the array ... got [4, 100]")):
        extract(tmp_path / "a.npy")


def test_missing_files_name_the_kinds(tmp_path):
    with pytest.raises(SignXFileNotFoundError, match="no such file"):
        extract(tmp_path / "a.json")
