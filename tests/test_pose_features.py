"""Pose clips in, `pose_values` out: errors by text, invariances by properties, files against pose-format's numbers."""

import ast
import importlib.util
import os
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import said
from hypothesis import given, settings
from hypothesis import strategies as st
from pose_clips import FRAMES, SLICES, TRACKS, concatenated, extract, make_clip
from pose_format_files import make_pose, standard_components

from signx_hf.processing.errors_signx import SignXPoseError, SignXWarning
from signx_hf.processing.feature_extraction_signx import DEFAULT_TRACK_DIMS, SignXPoseFeatureExtractor
from signx_hf.processing.keypoints_signx import (
    FACE68_PAIRS,
    FACE_TABLE,
    KEYPOINT73_NAMES,
    KEYPOINT73_PARTS,
    drop_noisy_frames,
    keypoints73,
    normalize_keypoints,
)
from signx_hf.processing.pose_files_signx import (
    COCO_BODY_NAMES,
    MEDIAPIPE_BODY_NAMES,
    MEDIAPIPE_HAND_NAMES,
    OPENPOSE_BODY_NAMES,
    read_pose_file,
)
from signx_hf.processing.tracks_signx import normalize_depth

NO_POSE_FORMAT = "the extra 'poses' (pose-format) is not installed"


# ------------------------------------------------------------------------------------------------ shapes, masks, paths


def test_shapes_order_and_types():
    batch = SignXPoseFeatureExtractor()([make_clip(), make_clip(4, 1)])
    assert list(batch) == SignXPoseFeatureExtractor.model_input_names
    assert batch["pose_values"].shape == (2, 6, 1959) and batch["pose_values"].dtype == torch.float32
    assert batch["pose_mask"].shape == (2, 6, 5) and batch["pose_mask"].dtype == torch.bool
    assert batch["frame_mask"].tolist() == [[True] * 6, [True] * 4 + [False] * 2]
    assert not batch["pose_mask"][1, 4:].any() and not batch["pose_values"][1, 4:].any()
    np.testing.assert_array_equal(
        batch["pose_values"][0, :, SLICES["smplerx"]], make_clip()["smplerx"].astype(np.float32)
    )


def test_track_order_is_the_order_of_track_dims():
    clip = make_clip()
    batch = extract({"b": clip["primedepth"], "a": clip["smplerx"]}, track_dims={"a": 165, "b": 576})
    np.testing.assert_array_equal(
        batch["pose_values"][0], np.hstack([clip["smplerx"], clip["primedepth"]]).astype(np.float32)
    )


def test_padded_batch_is_the_single_clips_bit_for_bit():
    clips = [make_clip(n, seed=n) for n in (3, 7, 1)]
    clips[1]["dwpose"][2] = np.nan
    batch = extract(clips)
    for b, clip in enumerate(clips):
        single = extract(clip)
        n = single["frame_mask"].shape[1]
        assert batch["frame_mask"][b].sum() == n == len(clip["smplerx"])
        for key in single:
            np.testing.assert_array_equal(batch[key][b, :n], single[key][0])
            assert not batch[key][b, n:].any()


@settings(max_examples=12, deadline=None)
@given(st.sets(st.sampled_from(TRACKS), min_size=1), st.booleans())
def test_fewer_tracks_leave_the_others_identical(names, normalize):
    full = extract(make_clip(), normalize=normalize)
    part = extract({n: make_clip()[n] for n in names}, normalize=normalize)
    for n, name in enumerate(TRACKS):
        assert (part["pose_mask"][..., n] == (name in names)).all()
        expected = full["pose_values"][..., SLICES[name]] * (name in names)
        np.testing.assert_array_equal(part["pose_values"][..., SLICES[name]], expected)


def test_dict_array_tensor_and_files_give_the_same(tmp_path):
    clip = make_clip()
    clip["primedepth"][1] = np.nan
    clip["smplerx"][2:4] = np.nan
    np.savez(tmp_path / "a.npz", fps=30.0, **clip)
    np.save(tmp_path / "a.npy", concatenated(clip))
    reference = extract(clip)
    assert not reference["pose_mask"][0, 1, 3] and reference["pose_mask"].sum() == 5 * FRAMES - 3
    extractor = SignXPoseFeatureExtractor()
    forms = [
        concatenated(clip),
        torch.from_numpy(concatenated(clip)),
        {k: torch.from_numpy(v).requires_grad_(v.dtype.kind == "f") for k, v in clip.items()},
        tmp_path / "a.npz",
        str(tmp_path / "a.npy"),
        extractor.read(clip),
    ]
    for form in forms:
        other = extract(form)
        for key in reference:
            np.testing.assert_array_equal(other[key], reference[key])
    assert torch.equal(extractor(clip)["pose_values"], torch.from_numpy(reference["pose_values"]))


def test_masks_agree_in_all_three_forms_and_hide_what_lies_under_them():
    mask = np.array([1, 0, 1, 1, 0, 1], bool)
    clean, dirty = make_clip(), make_clip()
    for name in TRACKS:
        clean[name] = np.where(mask[:, None], clean[name], np.nan)
        dirty[name] = np.where(mask[:, None], dirty[name], 0.0)
        dirty[name][1] = np.linspace(-1e6, 1e6, DEFAULT_TRACK_DIMS[name])
        dirty[name][4, 0], dirty[name][4, 1] = np.inf, np.nan  # junk under a mask is not even looked at
    expected = extract(clean)
    assert (expected["pose_mask"][0] == mask[:, None]).all() and not expected["pose_values"][0, ~mask].any()
    for masks in ({f"{n}_mask": mask for n in TRACKS}, {"masks": {n: torch.from_numpy(mask) for n in TRACKS}}):
        other = extract({**dirty, **masks})
        for key in expected:
            np.testing.assert_array_equal(other[key], expected[key])


def test_the_callers_arrays_are_not_changed():
    clip = {**make_clip(), "dwpose_mask": np.array([1, 1, 0, 1, 1, 1], bool), "frame_size": (640, 480)}
    clip["mediapipe"][2] = np.nan
    array = concatenated(clip)
    points, mask = keypoints73(clip["dwpose"], "dwpose")
    keys, before = list(clip), {k: np.array(v) for k, v in clip.items()}
    array_before, points_before = array.copy(), points.copy()
    extract(clip)
    extract(array)
    normalize_keypoints(points, mask)
    keypoints73(clip["mediapipe"], "mediapipe")
    assert list(clip) == keys
    for key in clip:
        np.testing.assert_array_equal(clip[key], before[key])
    np.testing.assert_array_equal(array, array_before)
    np.testing.assert_array_equal(points, points_before)


def test_a_row_without_body_is_not_observed_and_a_missing_hand_is_zero():
    clip = make_clip()
    points = clip["dwpose"].reshape(FRAMES, 128, 3)
    points[1, :18, 2] = 0  # body lost, hands and face still there
    points[2, 18:39] = (7, 9, 0)  # left hand lost, its position is junk
    clip["mediapipe"][3] = 0  # MediaPipe's way to say nobody is here
    clip["mediapipe"][4, 132:195] = 0  # left hand lost
    batch = extract(clip)
    assert batch["pose_mask"][0, :, 1].tolist() == [True, False, True, True, True, True]
    assert batch["pose_mask"][0, :, 2].tolist() == [True, True, True, False, True, True]
    dwpose, mediapipe = (batch["pose_values"][0, :, SLICES[name]] for name in ("dwpose", "mediapipe"))
    assert not dwpose[1].any() and not mediapipe[3].any()
    assert not dwpose[2, 18 * 3 : 39 * 3].any() and dwpose[2, 39 * 3 :].all()
    assert not mediapipe[4, 132:195].any() and np.count_nonzero(mediapipe[4, 195:]) == 62  # all but the wrist's own z


def test_confidence_threshold_removes_points_and_only_those():
    clip = make_clip()
    points = clip["dwpose"].reshape(FRAMES, 128, 3)
    out = extract(clip, confidence_threshold=0.6, normalize=False)["pose_values"][0, :, SLICES["dwpose"]].reshape(
        points.shape
    )
    kept = points[..., 2] > 0.6
    assert 0 < kept.sum() < kept.size
    assert not out[~kept].any()
    np.testing.assert_array_equal(out[kept], points[kept].astype(np.float32))


# ------------------------------------------------------------------------------------------------------- normalization


@settings(max_examples=15, deadline=None)
@given(
    st.tuples(*[st.floats(-2000, 2000)] * 3),
    st.floats(1e-3, 1e3),
    st.sets(st.integers(0, FRAMES - 1), max_size=FRAMES - 2),
)
def test_key_points_do_not_depend_on_where_and_how_large_the_signer_is(shift, scale, hidden):
    a, b = make_clip(), make_clip(shift=tuple(s * scale for s in shift), scale=scale)
    for clip in (a, b):
        clip["mediapipe"][1, 195:] = 0
        for name in ("dwpose", "mediapipe"):
            clip[name][list(hidden)] = np.nan
    a, b = extract(a)["pose_values"], extract(b)["pose_values"]
    for name in ("dwpose", "mediapipe"):
        np.testing.assert_allclose(b[..., SLICES[name]], a[..., SLICES[name]], atol=1e-4)


def test_shoulders_become_the_unit_against_a_direct_computation():
    out = extract(make_clip())["pose_values"][0].astype(np.float64)
    for name, points, axes, left, right in (("dwpose", 128, 2, 5, 2), ("mediapipe", 33, 3, 11, 12)):
        raw = make_clip()[name][:, : points * (axes + 1)].reshape(FRAMES, points, axes + 1)
        got = out[:, SLICES[name]][:, : points * (axes + 1)].reshape(raw.shape)
        width = np.median([np.hypot(*(f[left, :2] - f[right, :2])) for f in raw])
        for t in range(FRAMES):
            middle = (raw[t, left, :axes] + raw[t, right, :axes]) / 2
            np.testing.assert_allclose(got[t, :, :axes], (raw[t, :, :axes] - middle) / width, atol=1e-5)
        np.testing.assert_allclose(got[..., axes], raw[..., axes], rtol=1e-6)  # confidence is kept
    hands_raw = make_clip()["mediapipe"][:, 132:].reshape(FRAMES, 2, 21, 3)
    hands = out[:, SLICES["mediapipe"]][:, 132:].reshape(hands_raw.shape)
    middle = (raw[:, 11, :2] + raw[:, 12, :2])[:, None, None] / 2
    np.testing.assert_allclose(hands[..., :2], (hands_raw[..., :2] - middle) / width, atol=1e-5)
    np.testing.assert_allclose(hands[..., 2], (hands_raw[..., 2] - hands_raw[..., :1, 2]) / width, atol=1e-5)


def test_a_frame_without_shoulders_takes_the_median_centre_of_the_clip():
    clip = make_clip()
    points = clip["dwpose"].reshape(FRAMES, 128, 3)
    points[2, 5, 2] = 0
    others = [t for t in range(FRAMES) if t != 2]
    centres = (points[others, 5, :2] + points[others, 2, :2]) / 2
    width = np.median(np.linalg.norm(points[others, 5, :2] - points[others, 2, :2], axis=-1))
    out = extract(clip)["pose_values"][0, :, SLICES["dwpose"]].reshape(points.shape)
    np.testing.assert_allclose(out[2, 0, :2], (points[2, 0, :2] - np.median(centres, axis=0)) / width, atol=1e-5)
    assert not out[2, 5].any()


@settings(max_examples=15, deadline=None)
@given(st.floats(1e-3, 1e3), st.floats(-1e3, 1e3))
def test_depth_does_not_depend_on_an_affine_map(scale, offset):
    depth = make_clip()["primedepth"]
    seen = np.array([1, 1, 0, 1, 1, 0], bool)
    got = normalize_depth(np.where(seen[:, None], depth * scale + offset, 0), seen)
    np.testing.assert_allclose(got, normalize_depth(np.where(seen[:, None], depth, 0), seen), atol=1e-5)
    low, middle, high = np.percentile(got[seen], (5, 50, 95))
    assert abs(middle) < 1e-9 and abs(high - low - 1) < 1e-6 and not got[~seen].any()


def test_constant_depth_and_segment_labels():
    assert not normalize_depth(np.full((2, 4), 3.0), np.ones(2, bool)).any()
    clip = make_clip()
    for options, highest in (({}, 27), ({"sapiens_classes": 55}, 54)):
        out = extract(clip, **options)["pose_values"][0, :, SLICES["sapiens"]]
        np.testing.assert_allclose(out * highest, clip["sapiens"], atol=1e-5)


def test_normalize_false_leaves_the_numbers_alone():
    out = extract(make_clip(), normalize=False)["pose_values"][0]
    np.testing.assert_array_equal(out, concatenated(make_clip()).astype(np.float32))


def test_frame_size_makes_fractions_and_pixels_the_same():
    width, height = 640.0, 360.0
    pixels, fractions = make_clip(), make_clip()
    fractions["dwpose"].reshape(FRAMES, 128, 3)[...] /= (width, height, 1)
    fractions["mediapipe"][:, :132] /= np.tile((width, height, width, 1), 33)
    fractions["mediapipe"][:, 132:] /= np.tile((width, height, width), 42)
    a, b = extract(pixels)["pose_values"], extract({**fractions, "frame_size": (width, height)})["pose_values"]
    np.testing.assert_allclose(a, b, atol=1e-4)
    assert np.abs(a - extract(fractions)["pose_values"]).max() > 0.1  # and it matters


# ---------------------------------------------------------------------------------------------------------------- time


def nearest_frames(times, fps):
    """Brute force: for every instant k / fps up to the end, the source frame nearest in time."""
    instants = [k / fps for k in range(int((times[-1] + 0.5 / fps) * fps - 1e-6) + 1)]
    return [min(range(len(times)), key=lambda i: (round(abs(times[i] - t), 9), i)) for t in instants]


@pytest.mark.parametrize("source, target", [(60, 30), (24, 30), (30, 30), (25, 12.5), (29.97, 30)])
def test_resampling_picks_the_nearest_frames(source, target):
    clip = make_clip(20)
    clip["smplerx"][7] = np.nan
    expected = nearest_frames(np.arange(20) / source, target)
    native = extract(clip, fps=None)
    for form, argument in (({**clip, "fps": source}, None), (clip, source), ({**clip, "fps": 11}, source)):
        out = extract(form, fps=target, source_fps=argument, return_metadata=True)
        metadata = out["pose_metadata"][0]
        assert metadata["frame_indices"] == expected and metadata["fps"] == target and metadata["source_fps"] == source
        for key in native:  # whole frames are picked, statistics stay those of the clip, and a mask never spreads
            np.testing.assert_array_equal(out[key][0], native[key][0, expected])


@pytest.mark.parametrize(
    "options, rate",
    [({}, 30), ({"fps": None}, None), ({"fps": None, "source_fps": 50}, 50), ({"source_fps": 30}, 30)],
)
def test_unknown_rate_and_native_rate_keep_every_frame(options, rate):
    metadata = extract(make_clip(20), return_metadata=True, **options)["pose_metadata"][0]
    assert metadata["frame_indices"] == list(range(20)) and metadata["fps"] == rate
    assert metadata["duration"] == (None if rate is None else 20 / rate)


def test_timestamps_of_a_variable_rate_are_used():
    times = np.array([0, 0.1, 0.12, 0.14, 0.5, 0.9])
    out = extract({**make_clip(), "timestamps": times + 4.0}, fps=10, return_metadata=True)
    assert out["pose_metadata"][0]["frame_indices"] == nearest_frames(times, 10)


def test_max_frames_thins_evenly_with_a_warning():
    with pytest.warns(SignXWarning, match="clip 0: 20 frames were thinned to max_frames=5"):
        out = extract(make_clip(20), max_frames=5, return_metadata=True)
    picked = out["pose_metadata"][0]["frame_indices"]
    assert len(picked) == 5 == out["frame_mask"].sum() and picked == sorted(set(picked))
    assert max(np.diff(picked)) - min(np.diff(picked)) <= 1 and picked[0] == 0 and picked[-1] >= 15
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        extract(make_clip(5), max_frames=5)


# --------------------------------------------------------------------------------------------------------- save, load


def test_save_and_load_give_the_same_output_and_the_same_order(tmp_path):
    options = {
        "track_dims": {"zeta": 165, "mediapipe": 258, "alpha": 2},
        "fps": 12.5,
        "normalize": False,
        "max_frames": 11,
        "confidence_threshold": 0.25,
        "person": 1,
        "sapiens_classes": 20,
    }
    extractor = SignXPoseFeatureExtractor(**options)
    extractor.save_pretrained(tmp_path)
    loaded = SignXPoseFeatureExtractor.from_pretrained(tmp_path)
    for name, value in options.items():
        assert getattr(loaded, name) == value
    # JSON is written with sorted keys: a dictionary would come back in another order and every column would move
    assert list(loaded.track_dims) == ["zeta", "mediapipe", "alpha"]
    clip = {"zeta": make_clip(20)["smplerx"], "mediapipe": make_clip(20)["mediapipe"], "fps": 24}
    a, b = extractor(clip, return_tensors="np"), loaded(clip, return_tensors="np")
    for key in a:
        np.testing.assert_array_equal(a[key], b[key])
    assert SignXPoseFeatureExtractor.from_pretrained(tmp_path, fps=None).fps is None
    with pytest.raises(SignXPoseError, match="no option 'max_frame'.*'max_frames'"):
        SignXPoseFeatureExtractor.from_pretrained(tmp_path, max_frame=3)


# -------------------------------------------------------------------------------------------------------- .pose files


@pytest.fixture
def pose_format():
    return pytest.importorskip("pose_format", reason=NO_POSE_FORMAT)


def save(pose, path):
    with open(path, "wb") as file:
        pose.write(file)
    return path


def component(name, points, point_format):
    from pose_format.pose_header import PoseHeaderComponent

    return PoseHeaderComponent(name, list(points), [], [(0, 0, 0)], point_format)


def holistic_components(face=range(478)):
    parts = {
        "POSE_LANDMARKS": MEDIAPIPE_BODY_NAMES,
        "FACE_LANDMARKS": [str(i) for i in face],
        "LEFT_HAND_LANDMARKS": MEDIAPIPE_HAND_NAMES,
        "RIGHT_HAND_LANDMARKS": MEDIAPIPE_HAND_NAMES,
        "POSE_WORLD_LANDMARKS": MEDIAPIPE_BODY_NAMES,
    }
    return [component(name, points, "XYZC") for name, points in parts.items()]


REDUCED_FACE = sorted({i for _, _, i in FACE_TABLE} | {4, 200})


@pytest.mark.parametrize("face", [range(468), range(478), REDUCED_FACE], ids=["468", "478", "reduced"])
def test_holistic_file_against_pose_formats_numbers(face, pose_format, tmp_path):
    pose = make_pose(holistic_components(face))
    get, data, confidence = (
        pose.header.get_point_index,
        np.asarray(pose.body.data.data)[:, 0],
        pose.body.confidence[:, 0],
    )
    left_hand = get("LEFT_HAND_LANDMARKS", "WRIST")
    confidence[1, left_hand : left_hand + 21] = 0
    confidence[3] = 0
    path = save(pose, tmp_path / "a.pose")
    clip = read_pose_file(path)
    row = clip.tracks["mediapipe"]
    assert clip.fps == 25 and clip.source == str(path)
    for j, name in enumerate(MEDIAPIPE_BODY_NAMES):
        i = get("POSE_LANDMARKS", name)
        np.testing.assert_allclose(
            row[0, 4 * j : 4 * j + 4], [*data[0, i, :2], data[0, i, 2] * 640, confidence[0, i]], rtol=1e-6
        )
    for start, side in ((132, "LEFT"), (195, "RIGHT")):
        for j, name in enumerate(MEDIAPIPE_HAND_NAMES):
            i = get(f"{side}_HAND_LANDMARKS", name)
            np.testing.assert_allclose(row[0, start + 3 * j : start + 3 * j + 3], data[0, i] * (1, 1, 640), rtol=1e-6)
    assert not row[1, 132:195].any() and row[1, 195:].all() and not row[3].any()
    out = extract(path, fps=None)
    assert out["pose_mask"][0, :, 2].tolist() == [True, True, True, False, True]
    assert not out["pose_mask"][..., [0, 1, 3, 4]].any()
    points, mask = keypoints73(row, "mediapipe", clip.face, clip.face_mask)
    for n, (_, _, i) in enumerate(FACE_TABLE):
        np.testing.assert_allclose(points[0, n], data[0, get("FACE_LANDMARKS", str(i)), :2])
    assert mask[0].all() and not mask[3].any() and not mask[1, 21:42].any() and mask[1, 19:21].all()


def test_the_mediapipe_names_stand_where_mediapipe_puts_them():
    # indices of the enumerations PoseLandmark and HandLandmark in MediaPipe's documentation
    body = {
        0: "NOSE",
        2: "LEFT_EYE",
        5: "RIGHT_EYE",
        7: "LEFT_EAR",
        11: "LEFT_SHOULDER",
        14: "RIGHT_ELBOW",
        16: "RIGHT_WRIST",
    }
    body |= {22: "RIGHT_THUMB", 23: "LEFT_HIP", 32: "RIGHT_FOOT_INDEX"}
    hand = {
        0: "WRIST",
        4: "THUMB_TIP",
        5: "INDEX_FINGER_MCP",
        12: "MIDDLE_FINGER_TIP",
        17: "PINKY_MCP",
        20: "PINKY_TIP",
    }
    assert len(MEDIAPIPE_BODY_NAMES) == 33 and len(MEDIAPIPE_HAND_NAMES) == 21
    assert {i: MEDIAPIPE_BODY_NAMES[i] for i in body} == body
    assert {i: MEDIAPIPE_HAND_NAMES[i] for i in hand} == hand


def test_the_dwpose_body_is_in_openpose_18_order():
    order = {
        0: "Nose",
        1: "Neck",
        2: "RShoulder",
        3: "RElbow",
        4: "RWrist",
        5: "LShoulder",
        7: "LWrist",
        8: "RHip",
        10: "RAnkle",
    }
    order |= {11: "LHip", 13: "LAnkle", 14: "REye", 15: "LEye", 16: "REar", 17: "LEar"}
    assert len(OPENPOSE_BODY_NAMES) == 18 and {i: OPENPOSE_BODY_NAMES[i] for i in order} == order
    sides = {"R": "right_", "L": "left_"}
    spelled = [sides.get(n[0], n[0]) + n[1:].lower() if n[0] in sides else n.lower() for n in OPENPOSE_BODY_NAMES]
    assert [b for b in COCO_BODY_NAMES if b != "-"] == [a for a in spelled if a != "neck"] and COCO_BODY_NAMES[
        1
    ] == "-"


@pytest.mark.parametrize("layout", ["openpose", "coco_wholebody_133", "alphapose_133"])
def test_openpose_and_coco_files_against_pose_formats_numbers(layout, pose_format, tmp_path):
    from pose_format.utils.generic import pose_shoulders

    pose = make_pose(standard_components(layout))
    row = read_pose_file(save(pose, tmp_path / "a.pose")).tracks["dwpose"].reshape(5, 128, 3)
    data, confidence = np.asarray(pose.body.data.data)[:, 0], pose.body.confidence[:, 0]
    points = {c.name: list(c.points) for c in pose.header.components}
    keys = {
        "openpose": ("pose_keypoints_2d", "hand_left_keypoints_2d", "hand_right_keypoints_2d", "face_keypoints_2d")
    }
    body, left, right, face = keys.get(
        layout, [n + layout[-4:] * layout.startswith("alpha") for n in ("BODY", "LEFT_HAND", "RIGHT_HAND", "FACE")]
    )
    names = OPENPOSE_BODY_NAMES if layout == "openpose" else COCO_BODY_NAMES
    target = {j: (body, points[body].index(name)) for j, name in enumerate(names) if name in points[body]}
    target |= (
        {18 + i: (left, i) for i in range(21)}
        | {39 + i: (right, i) for i in range(21)}
        | {60 + i: (face, i) for i in range(68)}
    )
    assert set(range(128)) - set(target) == (set() if layout == "openpose" else {1})
    for j, (name, i) in target.items():
        i += pose.header.get_point_index(name, points[name][0])
        np.testing.assert_allclose(row[:, j, :2], data[:, i])
        np.testing.assert_allclose(row[:, j, 2], confidence[:, i])
    if layout != "openpose":  # COCO has no neck
        np.testing.assert_allclose(row[:, 1, :2], (row[:, 2, :2] + row[:, 5, :2]) / 2)
        np.testing.assert_allclose(row[:, 1, 2], np.minimum(row[:, 2, 2], row[:, 5, 2]))
    for j, point in zip((2, 5), pose_shoulders(pose.header)):  # pose-format's own idea of the right and left shoulder
        np.testing.assert_allclose(row[:, j, :2], data[:, pose.header.get_point_index(*point)])


def test_person_is_chosen_by_index_or_by_size(pose_format, tmp_path):
    pose = make_pose(standard_components("openpose"), people=3)
    pose.body.data[:, 0] *= 0.5
    pose.body.data[:, 1] *= 2
    pose.body.confidence[:3, 1] = 0  # shown in two of five frames only, and still the largest
    path = save(pose, tmp_path / "a.pose")
    rows = [read_pose_file(path, person=i).tracks["dwpose"] for i in range(3)]
    for i, row in enumerate(rows):
        np.testing.assert_allclose(row[4, :2], pose.body.data[4, i, 0])
    np.testing.assert_array_equal(read_pose_file(path).tracks["dwpose"], rows[1])
    chosen = extract(path, fps=None, person=2, normalize=False)["pose_values"][0, :, SLICES["dwpose"]]
    np.testing.assert_array_equal(chosen, rows[2].astype(np.float32))
    with pytest.raises(SignXPoseError, match="`person`.*got 3"):
        read_pose_file(path, person=3)
    with pytest.raises(SignXPoseError, match="`person`.*got 'tall'"):
        read_pose_file(path, person="tall")


def test_damaged_and_foreign_pose_files_are_refused(pose_format, tmp_path):
    whole = save(make_pose(holistic_components(range(468))), tmp_path / "a.pose").read_bytes()
    for damaged in (*(whole[:n] for n in (1, 3, 11, 100, 3000, len(whole) // 2, len(whole) - 1)), b"hello world " * 9):
        path = tmp_path / "bad.pose"
        path.write_bytes(damaged)
        with pytest.raises(SignXPoseError, match="bad.pose: the .pose file cannot be read") as error:
            extract(path)
        assert "\n" not in str(error.value)
    path = save(make_pose([component("LIPS", ["a", "b"], "XYC")]), tmp_path / "b.pose")
    with pytest.raises(SignXPoseError, match=said("the components ... got LIPS")):
        extract(path)
    with pytest.raises(SignXPoseError, match="holds track 'mediapipe', which is not in track_dims"):
        extract(tmp_path / "a.pose", track_dims={"smplerx": 165})
    path = save(make_pose(holistic_components(), frames=0), tmp_path / "c.pose")
    with pytest.raises(SignXPoseError, match=r"c\.pose: the file.*got 0 frames and 1 people"):
        extract(path)
    path = save(make_pose(holistic_components(), fps=0.0), tmp_path / "d.pose")
    with pytest.raises(SignXPoseError, match="d.pose: the source fps .* got 0.0"):
        extract(path)
    assert extract(path, source_fps=30)["frame_mask"].sum() == 5


def test_a_missing_pose_format_names_the_extra(tmp_path, monkeypatch):
    (tmp_path / "a.pose").write_bytes(b"1234")
    monkeypatch.setitem(sys.modules, "pose_format", None)  # what an import sees where the package is absent
    with pytest.raises(SignXPoseError, match=re.escape('pip install "signx_hf[poses]"')):
        extract(tmp_path / "a.pose")


def test_real_fingerspelling_files(pose_format):
    """MediaPipe Holistic clips of the package spoken-to-signed (MIT), if SIGNX_S2S names an unpacked copy."""
    files = sorted(Path(os.environ.get("SIGNX_S2S", "no such folder")).rglob("*.pose"))[::60]
    if not files:
        pytest.skip("SIGNX_S2S does not name a folder with .pose files (an unpacked spoken-to-signed wheel)")
    for path in files:
        pose = pose_format.Pose.read(path.read_bytes())
        row = extract(path, fps=None)["pose_values"][0, :, SLICES["mediapipe"]]
        assert len(row) == len(pose.body.data)
        names = {c.name: c.points for c in pose.header.components}
        assert names["POSE_LANDMARKS"] == MEDIAPIPE_BODY_NAMES and names["LEFT_HAND_LANDMARKS"] == MEDIAPIPE_HAND_NAMES
        body = row[:, :132].reshape(-1, 33, 4)
        np.testing.assert_allclose(np.median(np.hypot(*(body[:, 11, :2] - body[:, 12, :2]).T)), 1, atol=1e-5)
        for name, columns in (("LEFT_HAND_LANDMARKS", slice(132, 195)), ("RIGHT_HAND_LANDMARKS", slice(195, 258))):
            seen = pose.get_components([name]).body.confidence[:, 0].all(axis=1)
            np.testing.assert_array_equal(row[:, columns].any(axis=1), seen)


# --------------------------------------------------------------------------------------------------------- 73 points


def test_73_points_have_73_names_in_the_papers_groups():
    assert len(set(KEYPOINT73_NAMES)) == 73
    counts = {k: s.stop - s.start for k, s in KEYPOINT73_PARTS.items()}
    assert counts == {"face": 19, "left_hand": 23, "right_hand": 23, "body": 8}
    for side in ("left", "right"):
        assert all(n.startswith(f"{side}_") for n in KEYPOINT73_NAMES[KEYPOINT73_PARTS[f"{side}_hand"]])


def test_the_face_is_brows_eyes_and_mouth():
    """Neither its outline (0 to 16 of the 68 points) nor the nose (27 to 35), and no side has what the other lacks."""
    points = {i for _, i, _ in FACE_TABLE}
    parts = {"brows": range(17, 27), "eyes": range(36, 48), "mouth": range(48, 68)}
    assert [len(points & set(part)) for part in parts.values()] == [6, 8, 5] and len(points) == 19
    mirror = dict(FACE68_PAIRS) | {b: a for a, b in FACE68_PAIRS}
    assert {mirror.get(i, i) for i in points} == points
    assert {36, 39, 42, 45} <= points  # the corners of both eyes


def test_no_measurement_occurs_twice():
    face = np.random.default_rng(5).uniform(0, 300, (FRAMES, 478, 3))
    for track, mesh in (("dwpose", None), ("mediapipe", face)):
        points, mask = keypoints73(make_clip()[track], track, mesh)
        assert mask.all() and len({tuple(p) for p in points[0]}) == 73


def test_the_73_points_are_the_named_ones():
    target = {
        "nose": 0,
        "neck": 1,
        "left_shoulder": 5,
        "right_shoulder": 2,
        "left_ear": 17,
        "right_eye": 14,
        "left_elbow": 6,
    }
    target |= {"right_wrist": 4, "left_hand_0": 18, "left_hand_20": 38, "right_hand_0": 39, "right_hand_20": 59}
    target |= {"right_eye_outer": 60 + 36, "left_mouth_corner": 60 + 54}
    clip = make_clip()["dwpose"].reshape(FRAMES, 128, 3)
    points, _ = keypoints73(clip.reshape(FRAMES, -1), "dwpose")
    for name, i in target.items():
        np.testing.assert_array_equal(points[:, KEYPOINT73_NAMES.index(name)], clip[:, i, :2])
    row = make_clip()["mediapipe"]
    points, mask = keypoints73(row, "mediapipe")
    assert not mask[:, :19].any() and not points[:, :19].any() and mask[:, 19:].all()
    shared = ("nose", "left_eye", "right_ear", "left_elbow", "right_wrist", "left_shoulder", "right_shoulder")
    columns = {n: MEDIAPIPE_BODY_NAMES.index(n.upper()) * 4 for n in shared} | {
        "left_hand_0": 132,
        "right_hand_20": 255,
    }
    for name, column in columns.items():
        np.testing.assert_array_equal(points[:, KEYPOINT73_NAMES.index(name)], row[:, column : column + 2])
    np.testing.assert_allclose(points[:, KEYPOINT73_NAMES.index("neck")], (row[:, 44:46] + row[:, 48:50]) / 2)


def test_the_face_points_mirror_each_other_in_both_models():
    """Left and right names must be mirror images: checked on pose-format's mirror table and on the 68-point scheme."""
    spec = importlib.util.find_spec("pose_format")
    if spec is None:
        pytest.skip(NO_POSE_FORMAT)
    source = (Path(spec.submodule_search_locations[0]) / "utils" / "holistic.py").read_text()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an escape sequence of theirs
        tree = ast.parse(source)  # not imported: the module needs mediapipe
    assigned = {
        n.targets[0].id: n.value for n in tree.body if isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Name)
    }
    if "FLIPPED_FACE_POINTS" not in assigned:
        pytest.skip("this release of pose-format has no mirror table of the face mesh")
    mesh = ast.literal_eval(assigned["FLIPPED_FACE_POINTS"])
    pairs = [(i, 16 - i) for i in range(17)] + [(i, 43 - i) for i in range(17, 27)]
    pairs += [
        (36, 45),
        (37, 44),
        (38, 43),
        (39, 42),
        (40, 47),
        (41, 46),
        (48, 54),
        (51, 51),
        (57, 57),
        (62, 62),
        (66, 66),
    ]
    scheme68 = dict(pairs) | {b: a for a, b in pairs}
    by_name = {name: (a, b) for name, a, b in FACE_TABLE}
    for name, (a, b) in by_name.items():
        swapped = {"left": "right" + name[4:], "righ": "left" + name[5:]}.get(name[:4], name)
        assert by_name[swapped] == (scheme68[a], mesh[b]), name


@settings(max_examples=15, deadline=None)
@given(st.tuples(st.floats(-500, 500), st.floats(-500, 500)), st.floats(0.01, 100))
def test_normalised_keypoints_do_not_depend_on_place_and_size(shift, scale):
    points, mask = keypoints73(make_clip()["dwpose"], "dwpose")
    left, right = (KEYPOINT73_NAMES.index(f"{side}_shoulder") for side in ("left", "right"))
    mask[2, 5] = mask[3, left] = False
    a, b = normalize_keypoints(points, mask), normalize_keypoints((points + shift) * scale, mask)
    np.testing.assert_allclose(a, b, atol=1e-6)
    seen = mask[:, left]
    np.testing.assert_allclose((a[:, left] + a[:, right])[seen], 0, atol=1e-9)
    np.testing.assert_allclose(np.median(np.linalg.norm(a[:, left] - a[:, right], axis=-1)[seen]), 1)
    assert not a[~mask].any()


def test_noisy_frames_are_dropped_by_the_mean_over_shared_joints():
    points, mask = np.zeros((7, 73, 2)), np.ones((7, 73), bool)
    points[2] = (300, 300)  # 424 px from frame 1 and from frame 3: both 2 and 3 exceed 400
    points[5:, :40] = (0, 500)  # 40 of 73 joints move by 500: mean 274
    mask[6] = False
    kept_points, kept_mask, kept = drop_noisy_frames(points, mask)
    assert kept.tolist() == [0, 1, 4, 5, 6]
    np.testing.assert_array_equal(kept_mask, mask[kept])
    np.testing.assert_array_equal(kept_points, np.where(mask[..., None], points, 0)[kept])
    mask[5, 40:] = False  # only joints that moved are left to compare: mean 500
    assert drop_noisy_frames(points, mask)[2].tolist() == [0, 1, 4, 6]
    assert drop_noisy_frames(points, mask, threshold=600)[2].tolist() == list(range(7))


BAD_KEYPOINTS = [
    (lambda: keypoints73(np.zeros((2, 165)), "smplerx"), "`track` ... got 'smplerx'"),
    (lambda: keypoints73(np.zeros((2, 258)), "dwpose"), "'dwpose' ... got [2, 258]"),
    (
        lambda: keypoints73(np.zeros((2, 384)), "dwpose", np.zeros((2, 478, 3))),
        "face= must be None for 'dwpose'",
    ),
    (
        lambda: keypoints73(np.zeros((2, 258)), "mediapipe", np.zeros((2, 128, 3))),
        "`face` ... got [2, 128, 3]",
    ),
    (
        lambda: keypoints73(np.diag([np.inf] * 258), "mediapipe"),
        "keypoints73: rows ... got inf in 'mediapipe' frame 0 column 0",
    ),
    (
        lambda: normalize_keypoints(np.zeros((2, 72, 2)), np.ones((2, 72))),
        "points and mask ... got [2, 72, 2] and [2, 72]",
    ),
    (
        lambda: normalize_keypoints(np.zeros((2, 73, 2)), np.zeros((2, 73))),
        "normalize_keypoints ... both shoulders",
    ),
    (
        lambda: drop_noisy_frames(np.zeros((2, 73, 2)), np.ones((2, 73)), 0),
        "`threshold` ... got 0",
    ),
]


@pytest.mark.parametrize("call, text", BAD_KEYPOINTS)
def test_bad_keypoint_input_is_refused(call, text):
    with pytest.raises(SignXPoseError, match=said(text)):
        call()


def test_custom_points_are_brought_to_the_signers_frame():
    """The same movement, elsewhere in the picture and twice as large, gives the same numbers."""
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(7, 8)) * 10 + 100  # left hand, right hand, nose, neck
    options = {"point_tracks": {"hands": {"origin": [2], "scale": [2, 3]}}, "track_dims": {"hands": 8}, "fps": None}
    extractor = SignXPoseFeatureExtractor(**options)
    mask = np.array([True] * 6 + [False])
    near = extractor({"hands": rows, "hands_mask": mask})["pose_values"][0].numpy()
    far = extractor({"hands": rows * 2 + np.tile([30.0, -70.0], 4), "hands_mask": mask})["pose_values"][0].numpy()
    assert np.allclose(near, far, atol=1e-5) and (near[6] == 0).all()
    nose, neck = rows[:, 4:6], rows[:, 6:8]
    unit = np.median(np.linalg.norm(nose - neck, axis=1)[:6])
    assert np.allclose(near[:6, :2], ((rows[:, :2] - nose) / unit)[:6], atol=1e-5)
    assert np.allclose(near[:6, 4:6], ((nose - np.median(nose[:6], axis=0)) / unit)[:6], atol=1e-5)
    again = SignXPoseFeatureExtractor.from_dict(extractor.to_dict())
    assert (
        again.point_tracks == extractor.point_tracks == {"hands": {"coordinates": 2, "origin": [2], "scale": [2, 3]}}
    )


@pytest.mark.parametrize(
    "points",
    [
        {"face": {}}, {"hands": {"coordinates": 5}}, {"hands": {"origin": [4]}}, {"hands": {"scale": 0}}, {"hands": {"scale": [0]}},
        {"hands": {"unit": 3}}, ["hands"], {"hands": {"origin": [-1]}}, {"hands": 5}, {"hands": None}, {"hands": {"origin": 5}},
        {"hands": {"distances": 3}}, {"hands": {"coordinates": 3, "facing": 5}}, {"hands": {"source": [1]}},
    ],
)  # fmt: skip
def test_point_tracks_that_make_no_sense(points):
    with pytest.raises(SignXPoseError, match="`point_tracks.*got "):
        SignXPoseFeatureExtractor(track_dims={"hands": 8}, point_tracks=points)


def test_a_scale_of_two_points_at_one_place():
    extractor = SignXPoseFeatureExtractor(track_dims={"hands": 4}, point_tracks={"hands": {"scale": [0, 1]}})
    with pytest.raises(SignXPoseError, match="distance between points 0 and 1"):
        extractor({"hands": np.ones((3, 4))})


def test_stored_poses_go_in_as_they_are():
    """What `decode_poses` gives, with more tracks than the model has, is the clip of the tracks it has."""
    from signx_hf.data import decode_poses, encode_poses

    rows = {"hands": np.arange(12.0).reshape(3, 4), "depth": np.ones((3, 2))}
    stored = decode_poses(encode_poses(rows, masks={"hands": np.array([True, False, True])}, fps=25))
    extractor = SignXPoseFeatureExtractor(track_dims={"body": 3, "hands": 4}, fps=None)
    found = extractor(stored)
    target = extractor({"hands": rows["hands"], "hands_mask": np.array([True, False, True])})
    assert all(torch.equal(found[name], target[name]) for name in target)
    with pytest.raises(SignXPoseError, match="the stored poses.*got hands, depth"):
        SignXPoseFeatureExtractor(track_dims={"face": 3})(stored)
    with pytest.raises(SignXPoseError, match="a clip.*got bytes"):
        extractor(encode_poses(rows))
