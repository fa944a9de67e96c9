"""Rows of the schema and poses in float16: what goes in comes out, absence stays absent, nothing is unpickled."""

import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signx_hf import SignXPoseError, SignXPoseFeatureExtractor
from signx_hf.data.schema import FEATURES, decode_poses, encode_poses, make_row, stored_frames, to_dataset


def clip(frames=7, seed=0):
    draw = np.random.default_rng(seed)
    tracks = {
        "smplerx": draw.normal(size=(frames, 165)),
        "mediapipe": draw.normal(size=(frames, 258)).astype(np.float32),
    }
    masks = {"smplerx": draw.random(frames) < 0.6}
    return tracks, masks


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 9), st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(0, 2**20))
def test_poses_come_back_as_float16_with_their_mask(frames, widths, seed):
    draw = np.random.default_rng(seed)
    tracks = {f"track {n} é": draw.normal(size=(frames, width)) * 10 for n, width in enumerate(widths)}
    masks = {name: draw.random(frames) < 0.5 for name in tracks}
    stored = decode_poses(encode_poses(tracks, masks, fps=25, notes={"units": "metres"}))
    for n, (name, values) in enumerate(tracks.items()):
        start = sum(widths[:n])
        found = stored.values[:, start : start + widths[n]]
        assert np.array_equal(found[masks[name]], values.astype(np.float16)[masks[name]])
        assert (found[~masks[name]] == 0).all()
        assert np.array_equal(stored.mask[:, n], masks[name])
    assert stored.track_dims == dict(zip(tracks, widths)) and stored.fps == 25 and stored.notes == {"units": "metres"}
    assert stored.values.dtype == np.float16 and stored.mask.dtype == bool


def test_values_are_a_view_of_the_stored_bytes():
    data = encode_poses({"hands": np.ones((4, 6))})
    stored = decode_poses(data)
    assert np.shares_memory(stored.values, np.frombuffer(data, np.uint8)) and not stored.values.flags.writeable
    assert stored_frames(data) == 4


def test_nan_rows_are_unobserved_and_the_arrays_of_the_caller_stay():
    values = np.ones((3, 2))
    values[1] = np.nan
    before = values.copy()
    stored = decode_poses(encode_poses({"hands": values}))
    assert stored.mask[:, 0].tolist() == [True, False, True] and stored.values[1].tolist() == [0, 0]
    assert np.array_equal(values, before, equal_nan=True)


def test_stored_poses_give_the_feature_extractor_what_it_would_get_directly():
    tracks, masks = clip()
    tracks = {name: values.astype(np.float16) for name, values in tracks.items()}  # the rounding is tested above
    extractor = SignXPoseFeatureExtractor()
    direct = extractor(
        {**{name: v.astype(np.float32) for name, v in tracks.items()}, "masks": masks}, return_tensors="np"
    )
    stored = extractor(decode_poses(encode_poses(tracks, masks)).to_clip(), return_tensors="np")
    for name in ("pose_values", "pose_mask"):
        assert np.array_equal(np.asarray(direct[name]), np.asarray(stored[name]))
    assert not np.asarray(direct["pose_mask"]).all()


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda data: b"PK\x03\x04" + data[4:], "start with b'SXP1', got b'PK\\x03\\x04'"),
        (lambda data: data[:-1], "7 frames of width 48 must be 784 bytes"),
        (lambda data: data + b"\0", "must be 784 bytes, got 785"),
        (lambda data: data[:4] + struct.pack("<I", 2**31) + data[8:], "the header of stored poses cannot be read"),
        (lambda data: data[:8] + b"[" + data[9:], "the header of stored poses cannot be read"),
        (lambda data: data.replace(b'"frames":7', b'"frames":-'), "the header of stored poses cannot be read"),
        (lambda data: data.replace(b'"frames":7', b'"frames":9'), "9 frames of width 48"),
        (lambda data: data.replace(b'{"hands":48}', b'{"hands":-4}'), "got [7, -4]"),
        (lambda data: data.replace(b'{"hands":48}', b'{"hands":4.}'), "header of stored poses cannot be read"),
        (lambda data: data[:96] + b"\7" + data[97:], "must be 0 or 1, got 7"),
        (lambda data: b"", "got b''"),
    ],
)
def test_damaged_poses_are_refused(damage, message):
    data = encode_poses({"hands": np.ones((7, 48))}, notes={"a": "x" * 11})
    assert len(data) == 784 and data.index(b"\1") == 96, "the cases above count on this size"
    with pytest.raises(SignXPoseError) as error:
        decode_poses(damage(data))
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (({},), "at least one pose track"),
        (({"a": np.ones((2, 3)), "b": np.ones((3, 3))},), "same number of frames, got {'a': 2, 'b': 3}"),
        (({"a": np.ones(3)},), "track 'a' must be numbers [frames, width], got float64 of shape [3]"),
        (
            ({"a": np.full((2, 1), 7e4)},),
            "track 'a' frame 0 column 0 must be finite and within the range of float16 (65504), got 70000.0",
        ),
        (({"a": np.array([[1, np.nan]])},), "track 'a' frame 0 column 1 must be finite"),
        (
            ({"a": np.ones((2, 1))}, {"a": np.ones(2)}),
            "the mask of track 'a' must be bool [2], got float64 of shape [2]",
        ),
        (({"a": np.ones((2, 1))}, {"b": np.ones(2, bool)}), "`masks` must name given tracks (a), got b"),
    ],
)
def test_poses_that_cannot_be_stored(arguments, message):
    with pytest.raises(SignXPoseError) as error:
        encode_poses(*arguments)
    assert message in str(error.value)


def test_rows_fill_what_is_not_known_and_refuse_unknown_fields():
    row = make_row(id="a", video="a.mp4")
    assert row.keys() == FEATURES.keys()
    assert row["video"] == {"bytes": None, "path": "a.mp4"} and row["glosses"] == [] and row["start"] is None
    with pytest.raises(TypeError, match="unknown fields \\['gloses'\\]"):
        make_row(gloses=["A"])


def test_dataset_survives_disk_with_everything_in_place(tmp_path):
    from datasets import load_from_disk

    rows = [
        make_row(id=str(n), glosses=["A", "B"][:n], poses=encode_poses({"h": np.ones((n + 1, 2))})) for n in range(3)
    ]
    dataset = to_dataset(rows, "train")
    assert dataset.features == FEATURES
    dataset.save_to_disk(tmp_path / "saved")
    again = load_from_disk(tmp_path / "saved")
    assert [dict(row) for row in again] == rows
    assert decode_poses(again[2]["poses"]).values.shape == (3, 2)


def test_header_is_plain_json():
    data = encode_poses({"hands": np.ones((1, 2))}, fps=30)
    (length,) = struct.unpack_from("<I", data, 4)
    assert json.loads(data[8 : 8 + length]) == {"frames": 1, "tracks": {"hands": 2}, "fps": 30.0, "notes": {}}


def test_documentation_names_every_field():
    from signx_hf.data import schema

    documented = [line for line in schema.__doc__.splitlines() if line.startswith("| `")]
    assert all(any(f"`{name}`" in line for line in documented) for name in FEATURES)
