"""MediaPipe Holistic as a track: layout against the library's own names and another reader, state, options, bad input."""

import itertools
import json
import os
import pickle
import subprocess
import sys

import av
import numpy as np
import pytest
from conftest import ROOT, data_folder

from signx_hf import SignXPoseError, SignXPoseFeatureExtractor
from signx_hf.poses import load_extractor
from signx_hf.poses.base import Clip
from signx_hf.poses.mediapipe import MediaPipeExtractor, bounding_box
from signx_hf.poses.people import choose_signer
from signx_hf.processing.errors_signx import SignXFileNotFoundError
from signx_hf.processing.keypoints_signx import mediapipe_points
from signx_hf.processing.mediapipe_signx import quiet_stderr

pytest.importorskip("mediapipe", reason="the extra mediapipe is not installed")

CLIPS = {"asl_clips/629983.mp4": 8, "hksl_clips/2020-07-13_024218-024346_h264.mp4": 6}


def read(name: str, frames: int, start: int = 0) -> list[np.ndarray]:
    folder, file = name.split("/")
    with av.open(str(data_folder(folder) / file)) as container:
        decoded = itertools.islice(container.decode(video=0), start, start + frames)
        return [frame.to_ndarray(format="rgb24") for frame in decoded]


def clip_of(frames, name="clip", fps=25.0):
    return Clip(name, fps, (frames[0].shape[1], frames[0].shape[0]))


def rows(extractor, frames) -> np.ndarray:
    """[T, 258], NaN where nobody is seen."""
    found = list(extractor.extract(frames, clip_of(frames)))
    empty = np.full(extractor.width, np.nan, np.float32)
    return np.stack([extractor.to_row(seen[0]) if seen else empty for seen in found])


@pytest.fixture(scope="module")
def clips():
    return {name: read(name, count) for name, count in CLIPS.items()}


@pytest.fixture(scope="module")
def alone(clips):
    return {name: rows(MediaPipeExtractor(), frames) for name, frames in clips.items()}


def test_real_clips_show_a_person_with_hands(clips, alone):
    for name, frames in clips.items():
        height, width = frames[0].shape[:2]
        body, seen, hands, hands_seen = mediapipe_points(alone[name])
        assert not np.isnan(alone[name]).any() and seen.all()
        assert hands_seen.any(axis=(1, 2)).mean() >= 0.8
        shoulders = body[:, 11:13]  # the signer's left is on the viewer's right
        assert (shoulders[:, 0, 0] > shoulders[:, 1, 0] + 0.1 * width).all()
        assert ((shoulders[..., :2] > 0) & (shoulders[..., :2] < (width, height))).all()
        # a hand that is seen lies on the wrist that the body model sees; pixels, not fractions
        for side, wrist in ((0, 15), (1, 16)):
            there = hands_seen[:, side].all(axis=1) & (body[:, wrist, 3] > 0.7)
            distance = np.linalg.norm(hands[there, side, 0, :2] - body[there, wrist, :2], axis=1)
            assert (distance < 0.2 * width).all()


def test_row_follows_the_landmark_names_of_the_library():
    """Landmarks whose coordinates are their own number in the library's enumerations."""
    import mediapipe as mp
    from mediapipe.framework.formats import landmark_pb2

    holistic = mp.solutions.holistic

    def landmarks(count, base):
        return landmark_pb2.NormalizedLandmarkList(
            landmark=[
                landmark_pb2.NormalizedLandmark(x=base + i, y=0.5 * i, z=0.25 * i, visibility=i / 100)
                for i in range(count)
            ]
        )

    class Result:
        pose_landmarks = landmarks(len(holistic.PoseLandmark), 0)
        left_hand_landmarks = landmarks(len(holistic.HandLandmark), 100)
        right_hand_landmarks = landmarks(len(holistic.HandLandmark), 200)
        face_landmarks = None

    extractor = MediaPipeExtractor()
    (observation,) = extractor._observations(Result, (640, 360))
    row = extractor.to_row(observation)
    assert row.shape == (258,) and row.dtype == np.float32
    body = row[:132].reshape(33, 4)
    for point in holistic.PoseLandmark:
        i = point.value
        np.testing.assert_allclose(body[i], [640 * i, 180 * i, 160 * i, i / 100], rtol=1e-6)
    for start, base in ((132, 100), (195, 200)):
        hand = row[start : start + 63].reshape(21, 3)
        for point in holistic.HandLandmark:
            i = point.value
            np.testing.assert_allclose(hand[i], [640 * (base + i), 180 * i, 160 * i], rtol=1e-6)
    names = holistic.PoseLandmark
    expected = body[[names.LEFT_WRIST, names.RIGHT_WRIST]][:, [0, 1, 3]]
    np.testing.assert_array_equal(observation.data["wrists"], expected)
    middle = (body[names.LEFT_SHOULDER] + body[names.RIGHT_SHOULDER])[:2] / 2
    np.testing.assert_allclose(observation.data["anchor"][0, :2], middle)
    np.testing.assert_array_equal(observation.data["hands"][:, 2], np.ones(42))

    Result.left_hand_landmarks = None
    (observation,) = extractor._observations(Result, (640, 360))
    row = extractor.to_row(observation)
    assert not row[132:195].any() and row[195:].any()
    np.testing.assert_array_equal(observation.data["hands"][:, 2], [0] * 21 + [1] * 21)
    Result.pose_landmarks = None
    assert extractor._observations(Result, (640, 360)) == []


def test_pose_format_reads_the_same_from_the_same_frames(clips, alone, tmp_path):
    """The library's landmarks through pose-format into a .pose file and back through our reader."""
    pytest.importorskip("pose_format", reason="the extra poses is not installed")
    from pose_format.utils.holistic import load_holistic

    from signx_hf.processing.pose_files_signx import read_pose_file

    name, frames = next(iter(clips.items()))
    height, width = frames[0].shape[:2]
    with quiet_stderr():
        pose = load_holistic(frames, fps=25, width=width, height=height)
    with (tmp_path / "clip.pose").open("wb") as file:
        pose.write(file)
    clip = read_pose_file(tmp_path / "clip.pose")
    np.testing.assert_allclose(clip.tracks["mediapipe"], alone[name], rtol=1e-4, atol=0.02)
    ours = MediaPipeExtractor().extract(frames, clip_of(frames))
    np.testing.assert_allclose(clip.face[:, :468], [o.data["face"] for (o,) in ours], rtol=1e-4, atol=0.02)


def test_a_clip_gives_the_same_rows_alone_or_after_another(clips, alone):
    extractor = MediaPipeExtractor()
    for name in [*clips, *reversed(clips)]:
        np.testing.assert_array_equal(rows(extractor, clips[name]), alone[name])
    first, second = clips
    both = [extractor.extract(clips[name], clip_of(clips[name])) for name in (first, second)]
    for one, other in itertools.islice(zip(*both), 3):  # in turns, and left unfinished
        assert len(one) == len(other) == 1
    for stream in both:
        stream.close()
    np.testing.assert_array_equal(rows(extractor, clips[first]), alone[first])


def test_rows_are_those_of_the_other_process_that_unpickled_it(clips, alone, tmp_path):
    extractor = MediaPipeExtractor().load()
    name = next(iter(clips))
    np.save(tmp_path / "frames.npy", np.stack(clips[name][:3]))
    (tmp_path / "extractor.pkl").write_bytes(pickle.dumps(extractor))
    code = """
import pickle, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from signx_hf.poses.base import Clip
extractor = pickle.load(open("extractor.pkl", "rb"))
found = list(extractor.extract(np.load("frames.npy"), Clip("c", 25, (1, 1))))
np.save("rows.npy", np.stack([extractor.to_row(o) for o, in found]))
print(extractor.fingerprint)
"""
    done = subprocess.run([sys.executable, "-c", code, str(ROOT)], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == extractor.fingerprint, done.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "rows.npy"), alone[name][:3])
    # the library's lines about itself are left out
    assert not [line for line in done.stderr.splitlines() if "XNNPACK" in line or "inference_feedback" in line]


def test_nobody_in_the_picture():
    frames = [np.full((120, 160, 3), 90 + i, np.uint8) for i in range(3)]
    extractor = MediaPipeExtractor()
    assert list(extractor.extract(frames, clip_of(frames))) == [[], [], []]
    assert list(extractor.extract([], Clip("empty", 25.0, (160, 120)))) == []


def test_frames_are_not_written_to_and_may_lie_anyhow_in_memory(clips, alone):
    name = next(iter(clips))
    odd = [np.asfortranarray(frame) for frame in clips[name][:3]]
    for frame in odd:
        frame.flags.writeable = False
    np.testing.assert_array_equal(rows(MediaPipeExtractor(), odd), alone[name][:3])


def test_boxes_and_the_rule(clips):
    name = next(iter(clips))
    frames = clips[name]
    height, width = frames[0].shape[:2]
    found = list(MediaPipeExtractor().extract(frames, clip_of(frames)))
    for (observation,) in found:
        left, top, right, bottom = observation.box
        assert 0 <= left < right <= width and 0 <= top < bottom <= height and 0 < observation.score <= 1
        face = observation.data["face"]
        assert face.shape == (468, 3)
        assert ((face[:, :2] >= (left - 1, top - 1)) & (face[:, :2] <= (right + 1, bottom + 1))).all()
    for rule in ("largest", "central", "active", 0):
        assert choose_signer(found, (width, height), rule) == [o for (o,) in found]


def test_options_that_concern_the_face(clips, alone):
    name = next(iter(clips))
    frames = clips[name][:2]
    refined = list(MediaPipeExtractor(refine_face=True).extract(frames, clip_of(frames)))
    assert refined[0][0].data["face"].shape == (478, 3)
    without = MediaPipeExtractor(keep_face=False)
    assert "face" not in next(without.extract(frames, clip_of(frames)))[0].data
    np.testing.assert_array_equal(rows(without, frames), alone[name][:2])


def test_rows_go_into_the_feature_extractor(alone):
    values = next(iter(alone.values()))
    features = SignXPoseFeatureExtractor(track_dims={"mediapipe": 258}, fps=None)
    out = features({"mediapipe": values}, return_tensors="np")
    assert out["pose_mask"].all()
    shoulders = out["pose_values"][0, :, : 33 * 4].reshape(-1, 33, 4)[:, 11:13, :2]
    assert np.median(np.linalg.norm(shoulders[:, 0] - shoulders[:, 1], axis=1)) == pytest.approx(1, abs=1e-5)


def test_layout_and_fingerprint_need_no_load():
    code = f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
from signx_hf.poses import load_extractor
extractor = load_extractor("mediapipe")
print(extractor.layout.version, len(extractor.fingerprint), "mediapipe" in sys.modules, "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    import mediapipe

    assert done.stdout.split() == [mediapipe.__version__, "64", "False", "False"]
    base = MediaPipeExtractor()
    assert json.loads(json.dumps(base.options)) == base.options
    changed = [
        {"min_detection_confidence": 0.4}, {"min_tracking_confidence": 0.4}, {"smooth_landmarks": False},
        {"refine_face": True}, {"keep_face": False},
    ]  # fmt: skip
    prints = {MediaPipeExtractor(**options).fingerprint for options in changed} | {base.fingerprint}
    assert len(prints) == 1 + len(changed) == 1 + len(base.options) - 1
    assert MediaPipeExtractor().fingerprint == base.fingerprint
    notes = base.layout.notes()
    assert notes["mediapipe.layout"] == "holistic-258" and notes["mediapipe.units"].startswith("x, y pixels")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"model_complexity": 3}, "mediapipe: model_complexity must be 1.* got 3"),
        ({"model_complexity": True}, "model_complexity .* got True"),
        ({"model_complexity": "1"}, "model_complexity .* got '1'"),
        ({"min_detection_confidence": 1.5}, "min_detection_confidence must be a number from 0 to 1, got 1.5"),
        ({"min_tracking_confidence": float("nan")}, "min_tracking_confidence .* got nan"),
        ({"min_tracking_confidence": "0.5"}, "min_tracking_confidence .* got '0.5'"),
        ({"refine_face": 1}, "refine_face must be True or False, got 1"),
        ({"smooth": True}, "mediapipe: unknown option 'smooth'; did you mean 'smooth_landmarks'\\?"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(SignXPoseError, match=message):
        load_extractor("mediapipe", **options)


@pytest.mark.parametrize(
    "frame, actual",
    [
        (np.zeros((8, 8), np.uint8), "uint8 \\[8, 8\\]"),
        (np.zeros((8, 8, 4), np.uint8), "uint8 \\[8, 8, 4\\]"),
        (np.zeros((8, 8, 3), np.float32), "float32 \\[8, 8, 3\\]"),
        (np.zeros((0, 8, 3), np.uint8), "uint8 \\[0, 8, 3\\]"),
        ("frame", "str"),
    ],
)
def test_bad_frames(frame, actual):
    with pytest.raises(SignXPoseError, match=f"c1: frame 0 must be RGB, .*got {actual}"):
        next(MediaPipeExtractor().extract([frame], Clip("c1", 25.0, (8, 8))))


@pytest.mark.parametrize("complexity, name", [(0, "lite"), (2, "heavy")])
def test_models_that_the_wheel_lacks_are_refused_and_not_fetched(complexity, name):
    import mediapipe

    path = os.path.join(
        os.path.dirname(mediapipe.__file__), "modules", "pose_landmark", f"pose_landmark_{name}.tflite"
    )
    if os.path.exists(path):
        pytest.skip(f"somebody has put {os.path.basename(path)} there")
    with pytest.raises(SignXFileNotFoundError, match=f"{name}.tflite: no such file.*model_complexity=1") as caught:
        MediaPipeExtractor(model_complexity=complexity).load()
    assert "\n" not in str(caught.value) and "pose_landmark_full.tflite" in str(caught.value)
    assert not os.path.exists(path)


def test_a_mediapipe_without_solutions_or_none_at_all(tmp_path):
    """A package of that name as 0.10.30 and later are: no `solutions`."""
    (tmp_path / "mediapipe").mkdir()
    (tmp_path / "mediapipe" / "__init__.py").write_text("")
    (tmp_path / "mediapipe-0.10.35.dist-info").mkdir()
    (tmp_path / "mediapipe-0.10.35.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: mediapipe\nVersion: 0.10.35\n"
    )
    code = f"""
import sys
sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]
from signx_hf.poses import load_extractor
extractor = load_extractor("mediapipe")
for call in (extractor.load, lambda: extractor.layout, lambda: extractor.fingerprint):
    try:
        call()
    except ImportError as error:
        print(error)
sys.modules["mediapipe"] = None
try:
    extractor.load()
except (ImportError, ValueError) as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    for line in lines[:3]:
        assert line.startswith("mediapipe 0.10.35 has no `solutions`")
        assert "0.10.21" in line and 'pip install "signx_hf[mediapipe]"' in line
    assert lines[3].startswith("ImportError mediapipe cannot be imported") and "extra 'mediapipe'" in lines[3]


def test_quiet_stderr_leaves_out_the_noise_only(tmp_path):
    code = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
from signx_hf.processing.mediapipe_signx import quiet_stderr
with quiet_stderr():
    os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\\n")
    print("kept", file=sys.stderr)
try:
    with quiet_stderr():
        os.write(2, b"before the error\\n")
        raise KeyError("x")
except KeyError:
    print("raised", file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines() == ["kept", "before the error", "raised"]


def test_bounding_box():
    points = np.array([[10.0, 20.0], [30.0, -5.0], [700.0, 50.0]])
    assert bounding_box(points, (640, 360)) == (10.0, 0.0, 640.0, 50.0)
    assert bounding_box(points[:1], (640, 360)) is None
    assert bounding_box(points - 1000, (640, 360)) is None
    assert bounding_box(points[:0], (640, 360)) is None
