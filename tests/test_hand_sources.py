"""The track `hands` from other tracks and files: the same hands written in every form have to come back as the same rows."""

import json
import warnings

import numpy as np
import pytest
from conftest import data_folder

from signx_hf import SignXPoseError, SignXPoseFeatureExtractor
from signx_hf.data import decode_poses, encode_poses
from signx_hf.processing.errors_signx import SignXWarning
from signx_hf.processing.hand_sources_signx import hands_rows, read_hands, with_sources
from signx_hf.processing.pose_files_signx import clip_from_file

WIDTH, HEIGHT = 1280, 720
FRAMES = 12


def make_hands(frames=FRAMES, seed=0):
    """Two hands around the middle of the picture [T, 2, 21, 3], as fractions; the second is lost in frames 3 and 4, both in 7."""
    rng = np.random.default_rng(seed)
    hands = rng.uniform(-0.05, 0.05, (frames, 2, 21, 3))
    hands[..., :2] += np.array([[0.4, 0.6], [0.6, 0.65]])[:, None]
    hands[:, :, 0, 2] = 0.0
    hands[3:5, 1] = 0.0
    hands[7] = 0.0
    return hands


def body_rows(frames=FRAMES):
    """33 points in pixels with visibility 0.9, the shoulders in the middle of the picture."""
    rng = np.random.default_rng(9)
    body = rng.uniform((500, 100, -50), (780, 700, 50), (frames, 33, 3))
    body[:, 11:13, :2] = ((740, 300), (540, 300))
    return np.concatenate([body, np.full((frames, 33, 1), 0.9)], axis=-1)


def mediapipe_rows(hands, scale=(WIDTH, HEIGHT, WIDTH)):
    body = body_rows(len(hands))
    body[..., :3] *= np.array(scale) / (WIDTH, HEIGHT, WIDTH)
    return np.concatenate([body.reshape(len(hands), -1), (hands * scale).reshape(len(hands), -1)], axis=1)


def dwpose_rows(hands):
    points = np.zeros((len(hands), 128, 3))
    points[:, :18, :2], points[:, :18, 2] = (640, 300), 0.9
    flat = hands.reshape(len(hands), 42, 3)[..., :2]
    points[:, 18:60, :2] = flat * (WIDTH, HEIGHT)
    points[:, 18:60, 2] = flat.any(axis=-1) * 0.8
    return points.reshape(len(hands), -1)


def reader(**dims):
    return SignXPoseFeatureExtractor(track_dims=dims or {"hands": 126}, fps=None)


def check(clip, hands, **tolerance):
    found = reader().read(clip)
    assert list(found.tracks) == ["hands"]
    np.testing.assert_allclose(found.tracks["hands"].reshape(hands.shape), hands, **(tolerance or {"atol": 1e-9}))
    np.testing.assert_array_equal(found.masks["hands"], hands.any(axis=(1, 2, 3)))


def test_rows_of_every_track_and_unit():
    hands = make_hands()
    flat = hands * (1, 1, 0)
    note = {"size": f"{WIDTH}x{HEIGHT}"}
    fractions = mediapipe_rows(hands, scale=(1, 1, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check({"hands": hands.reshape(FRAMES, -1)}, hands)
        check({"hands": hands}, hands)
        check({"hands": np.where(hands.any(axis=(2, 3), keepdims=True), hands, np.nan)}, hands)
        check({"hands": hands * (WIDTH, HEIGHT, WIDTH), "notes": note}, hands)
        check({"hands": hands * (WIDTH, HEIGHT, 1), "notes": note}, hands)  # z left as MediaPipe gives it
        check({"mediapipe": mediapipe_rows(hands), "notes": note}, hands)
        check({"mediapipe": fractions}, hands)
        check({"mediapipe": fractions, "frame_size": (WIDTH, HEIGHT)}, hands)
        check({"dwpose": dwpose_rows(hands), "notes": note}, flat)
        check({"dwpose": dwpose_rows(hands) / np.tile((WIDTH, HEIGHT, 1), 128)}, flat)
        stored = encode_poses({"mediapipe": mediapipe_rows(hands), "smplerx": np.zeros((FRAMES, 165))}, notes=note)
        check(decode_poses(stored), hands, atol=0.002)  # float16
        moved = mediapipe_rows(hands)
        moved[:, 132:].reshape(FRAMES, 42, 3)[..., 2] += 256 * hands.any(axis=3).reshape(FRAMES, 42)
        check({"mediapipe": moved, "notes": note}, hands)


def test_the_model_sees_the_same_whatever_the_hands_come_from():
    hands = make_hands()
    extractor = reader()
    own = extractor({"hands": hands.reshape(FRAMES, -1), "fps": 25.0}, return_tensors="np")
    made = extractor({"mediapipe": mediapipe_rows(hands, scale=(1, 1, 1)), "fps": 25.0}, return_tensors="np")
    for name in own:
        np.testing.assert_allclose(made[name], own[name], atol=1e-6)
    both = reader(hands=126, mediapipe=258)
    found = both.read({"mediapipe": mediapipe_rows(hands), "notes": {"size": f"{WIDTH}x{HEIGHT}"}})
    assert set(found.tracks) == {"hands", "mediapipe"}
    np.testing.assert_allclose(found.tracks["mediapipe"], mediapipe_rows(hands))
    np.testing.assert_allclose(found.tracks["hands"].reshape(hands.shape), hands, atol=1e-9)
    own_first = both.read({"hands": hands, "mediapipe": mediapipe_rows(make_hands(seed=5))})
    np.testing.assert_allclose(own_first.tracks["hands"].reshape(hands.shape), hands)


def test_files(tmp_path):
    hands = make_hands()
    np.savez(tmp_path / "slots.npz", hands=hands)
    check(tmp_path / "slots.npz", hands)
    np.save(tmp_path / "hands.npy", hands.reshape(FRAMES, -1))
    check(tmp_path / "hands.npy", hands)
    np.save(tmp_path / "holistic.npy", mediapipe_rows(hands, scale=(1, 1, 1)))
    check(tmp_path / "holistic.npy", hands)
    parts = {"left_hand": hands[:, 0], "right_hand_landmarks": hands[:, 1]}
    np.savez(tmp_path / "parts.npz", **parts)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of fractions nobody has to be warned here
        check(tmp_path / "parts.npz", hands)
        np.savez(tmp_path / "all.npz", pose=body_rows() / (WIDTH, HEIGHT, WIDTH, 1), **parts)
        check(tmp_path / "all.npz", hands)
    folder = tmp_path / "openpose"
    folder.mkdir()
    for t, row in enumerate(dwpose_rows(hands).reshape(FRAMES, 128, 3)):
        person = {"pose_keypoints_2d": row[:18].ravel().tolist()}
        for side, part in (("left", row[18:39]), ("right", row[39:60])):
            person[f"hand_{side}_keypoints_2d"] = part.ravel().tolist()
        (folder / f"clip_{t}_keypoints.json").write_text(json.dumps({"people": [person]}))
    with pytest.warns(SignXWarning, match="openpose: the hands of track 'dwpose' are in pixels"):
        found = reader().read(folder)
    np.testing.assert_allclose(found.tracks["hands"].reshape(hands.shape), hands * (1, 1, 0), atol=1e-9)


@pytest.mark.parametrize("with_body", [True, False])
def test_pose_files(tmp_path, with_body):
    pose_format = pytest.importorskip("pose_format", reason="the extra poses is not installed")
    from pose_format.numpy import NumPyPoseBody
    from pose_format.pose_header import PoseHeader, PoseHeaderComponent, PoseHeaderDimensions

    from signx_hf.processing.pose_files_signx import MEDIAPIPE_BODY_NAMES, MEDIAPIPE_HAND_NAMES

    hands = make_hands()
    parts = {"POSE_LANDMARKS": MEDIAPIPE_BODY_NAMES} if with_body else {}
    parts |= {"LEFT_HAND_LANDMARKS": MEDIAPIPE_HAND_NAMES, "RIGHT_HAND_LANDMARKS": MEDIAPIPE_HAND_NAMES}
    components = [PoseHeaderComponent(name, points, [], [], "XYZC") for name, points in parts.items()]
    points = (hands * (WIDTH, HEIGHT, 1)).reshape(FRAMES, 42, 3)  # z of a .pose file is a fraction of the width
    seen = points.any(axis=-1)
    if with_body:
        points = np.concatenate([body_rows()[..., :3] / (1, 1, WIDTH), points], axis=1)
        seen = np.concatenate([np.ones((FRAMES, 33), bool), seen], axis=1)
    header = PoseHeader(0.1, PoseHeaderDimensions(WIDTH, HEIGHT, 0), components)
    body = NumPyPoseBody(25, points[:, None].astype(np.float32), seen[:, None].astype(np.float32))
    with (tmp_path / "clip.pose").open("wb") as file:
        pose_format.Pose(header, body).write(file)
    check(tmp_path / "clip.pose", hands, atol=1e-5)
    assert reader().read(tmp_path / "clip.pose").fps == 25


def test_pixels_without_a_size_are_estimated_with_a_warning():
    hands = make_hands()
    with pytest.warns(SignXWarning, match="pixels .* estimated as 1280 x 720"):
        check({"mediapipe": mediapipe_rows(hands)}, hands)


def test_points_and_hands_that_are_hardly_seen():
    hands = make_hands()
    rows = dwpose_rows(hands).reshape(FRAMES, 128, 3)
    rows[0, 18 + 8] = 0.0  # the tip of the first finger
    rows[1, 18 : 18 + 6, 2] = 0.0  # too much of a hand
    rows[2, 39:60, 2] = 0.1
    found = hands_rows("dwpose", rows.reshape(FRAMES, -1), (WIDTH, HEIGHT)).reshape(hands.shape)
    expected = hands * (1, 1, 0)
    expected[0, 0, 8] = expected[0, 0, 7]
    expected[1, 0] = expected[2, 1] = 0.0
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize(
    "change",
    [lambda hands: (hands - (0.5, 0.5, 0.0)) * 8, lambda hands: hands * 5, lambda hands: hands * -100],
    ids=["shoulder widths", "units", "negative"],
)
def test_other_units_are_refused(change):
    hands = change(make_hands())
    with pytest.raises(SignXPoseError, match="clip: x and y of the hands in track 'hands' must be fractions") as error:
        reader().read({"hands": hands})
    assert "\n" not in str(error.value)


def test_a_clip_without_hands():
    nobody = np.zeros((FRAMES, 2, 21, 3))
    with pytest.raises(SignXPoseError, match="at least one track .* got none"):
        reader()({"hands": nobody})
    with pytest.raises(SignXPoseError, match="at least one track .* got none"):
        reader()({"mediapipe": mediapipe_rows(nobody)})
    with pytest.raises(SignXPoseError, match="unknown track or key 'smplerx'.*hands, mediapipe, dwpose"):
        reader().read({"smplerx": np.zeros((3, 165))})


def test_a_track_called_hands_of_another_width_is_just_a_track():
    assert with_sources({"hands": 7}) == {"hands": 7}
    rows = np.arange(21.0).reshape(3, 7) * 100
    np.testing.assert_array_equal(reader(hands=7).read({"hands": rows}).tracks["hands"], rows)
    with pytest.raises(SignXPoseError, match="unknown track or key 'mediapipe'"):
        reader(hands=7).read({"mediapipe": np.zeros((3, 258))})


def test_real_pose_files_of_another_program():
    """z of these files is moved by half of the picture."""
    pytest.importorskip("pose_format", reason="the extra poses is not installed")
    path = next(iter(sorted(data_folder("dgs_corpus", "pose_sample").glob("*.pose"))))
    clip = clip_from_file(path, with_sources({"hands": 126}))
    rows, seen = read_hands(clip)
    hands = rows.reshape(len(rows), 2, 21, 3)
    assert clip.size == (512, 512) and seen.mean() > 0.9
    present = hands[hands.any(axis=(2, 3))]
    assert (np.abs(present[..., 2]) < 0.4).all() and not present[:, 0, 2].any()
    assert ((present[..., :2] > 0) & (present[..., :2] < 1.2)).all()
