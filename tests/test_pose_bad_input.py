"""Poses that cannot be used: what the message says, in one line."""

import pickle
import struct
import zipfile

import numpy as np
import pytest
from helpers import said
from pose_clips import changed, concatenated, extract, make_clip, smplerx

from signx_hf.processing.errors_signx import SignXError, SignXFileNotFoundError, SignXPoseError
from signx_hf.processing.feature_extraction_signx import SignXPoseFeatureExtractor

BAD_CLIPS = {
    "partly nan": (
        lambda: changed("mediapipe", 3, 7, np.nan),
        "track 'mediapipe' ... got nan in frame 3 column 7",
    ),
    "inf": (lambda: changed("smplerx", 1, 2, -np.inf), "track 'smplerx' ... got -inf in frame 1 column 2"),
    "beyond float32": (lambda: changed("smplerx", 1, 2, 1e39), "track 'smplerx' ... got 1e+39 in frame 1 column 2"),
    "row of inf": (
        lambda: changed("smplerx", 4, slice(None), np.inf),
        "track 'smplerx' ... got inf in frame 4 column 0",
    ),
    "lengths": (lambda: smplerx(4, dwpose=np.ones((5, 384))), "all tracks ... got 5 for 'dwpose' and 4 for 'smplerx'"),
    "unknown track": (
        lambda: {"mediapip": np.zeros((4, 258))},
        "unknown track or key 'mediapip' ... 'mediapipe'?",
    ),
    "mask of unknown": (
        lambda: {**make_clip(), "sapien_mask": np.ones(6, bool)},
        "unknown track or key 'sapien_mask'",
    ),
    "width": (lambda: {"mediapipe": np.zeros((4, 225))}, "track 'mediapipe' ... got [4, 225]"),
    "rank": (lambda: {"smplerx": np.zeros(165)}, "track 'smplerx' ... got [165]"),
    "no frames": (lambda: smplerx(0), "the clip ... got 0"),
    "no tracks": (lambda: {"fps": 25}, "the clip ... got none"),
    "all nan": (lambda: {"smplerx": np.full((3, 165), np.nan)}, "at least one track ... got none"),
    "all masked": (lambda: smplerx(smplerx_mask=np.zeros(3, bool)), "at least one track ... got none"),
    "mask length": (
        lambda: smplerx(masks={"smplerx": np.ones(4)}),
        "the mask of track 'smplerx' ... got 4",
    ),
    "mask values": (
        lambda: smplerx(smplerx_mask=np.array([0, 2, 1])),
        "the mask of track 'smplerx' ... got shape [3]",
    ),
    "two masks": (
        lambda: smplerx(smplerx_mask=np.ones(3), masks={"smplerx": np.ones(3)}),
        "track 'smplerx' ... got both 'smplerx_mask' and an entry in 'masks'",
    ),
    "mask, no track": (
        lambda: smplerx(dwpose_mask=np.ones(3)),
        "a mask for track 'dwpose', which the clip does not have",
    ),
    "strings": (lambda: {"smplerx": np.full((3, 165), "a")}, "track 'smplerx' ... got dtype <U1"),
    "python list": (
        lambda: {"smplerx": [[0.0] * 165]},
        "track 'smplerx' ... got list",
    ),
    "array width": (
        lambda: np.zeros((4, 258)),
        "the array ... got [4, 258]",
    ),
    "array of a batch": (lambda: np.zeros((2, 4, 1959)), "the array ... got [2, 4, 1959]"),
    "number": (lambda: 7, "a clip ... got int"),
    "fps zero": (
        lambda: smplerx(fps=0),
        "the source fps ... got 0",
    ),
    "fps nan": (lambda: smplerx(fps=float("nan")), "the source fps ... got nan"),
    "timestamps": (
        lambda: smplerx(timestamps=np.array([0, 1.0, 1.0])),
        "`timestamps` ... got shape [3]",
    ),
    "frame size": (
        lambda: smplerx(frame_size=(640, 0)),
        "`frame_size` ... got (640, 0)",
    ),
    "labels": (
        lambda: changed("sapiens", 0, 0, 28),
        "labels of track 'sapiens' ... got 0 to 28",
    ),
    "no shoulders": (lambda: changed("dwpose", slice(None), 8, 0.0), "track 'dwpose' ... both shoulders"),
    "empty list": (lambda: [], "`poses` ... got an empty list"),
    "web address": (
        lambda: "https://example.org/a.npz",
        "https://example.org/a.npz: expected a local file, got a web address",
    ),
}


@pytest.mark.parametrize("case", BAD_CLIPS)
def test_bad_clip_is_refused_in_one_line(case):
    make, text = BAD_CLIPS[case]
    with pytest.raises(SignXPoseError, match=said(text)) as error:
        extract(make())
    assert "\n" not in str(error.value)


def test_coinciding_shoulders_are_refused():
    clip = make_clip()
    clip["mediapipe"][:, 44:46] = clip["mediapipe"][:, 48:50]
    text = "track 'mediapipe': .* shoulders .* got 0"
    with pytest.raises(SignXPoseError, match=text):
        extract(clip)
    assert extract(clip, normalize=False)["pose_mask"].all()


def truncated(path, keep):
    path.write_bytes(path.read_bytes()[:keep])


def packed(path, size):
    """A small .npz that says it unpacks to `size` bytes."""
    np.savez_compressed(path, **make_clip())
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\1\2")  # of the table at the end, which is what readers believe
    content[entry + 24 : entry + 28] = struct.pack("<I", size)
    path.write_bytes(content)


def with_header(path, text):
    header = text.encode() + b"\n"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("smplerx.npy", b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header)


BAD_FILES = {
    "bomb.npz": (lambda p: packed(p, 0xF0000000), "the file ... got 3.8 GiB"),
    "header.npz": (lambda p: with_header(p, "(" * 30000), "the .npz file is corrupt (Header info length"),
    "code.npz": (lambda p: with_header(p, "{'descr': __import__('os'), 'fortran_order': False, 'shape': (1,)}"), "the .npz file is corrupt (malformed node"),
    "large.npz": (lambda p: with_header(p, "{'descr': '<f8', 'fortran_order': False, 'shape': (9" + "0" * 17 + ", 2)}"), "the .npz file is corrupt ("),
    "size.npz": (lambda p: np.savez(p, **make_clip(), frame_size=np.array([1e308, 1e308])), "both above 0 and at most 1e+06"),
    "missing.npz": (lambda p: None, "missing.npz: no such file"),
    "empty.npz": (lambda p: p.write_bytes(b""), "an empty file (0 bytes)"),
    "empty.pose": (lambda p: p.write_bytes(b""), "an empty file (0 bytes)"),
    "text.npz": (lambda p: p.write_text("hello world"), "text.npz: not a .npz file; it starts with b'hello '"),
    "text.npy": (lambda p: p.write_text("hello world"), "text.npy: not a .npy file; it starts with b'hello '"),
    "short.npz": (lambda p: (np.savez(p, **make_clip()), truncated(p, 5000)), "the .npz file is corrupt"),
    "short.npy": (lambda p: (np.save(p, concatenated(make_clip())), truncated(p, 5000)), "the .npy file is corrupt"),
    "object.npz": (
        lambda p: np.savez(p, smplerx=np.array([None, {}])),
        "the file ... got an object array, which only pickle can read",
    ),
    "object.npy": (lambda p: np.save(p, np.array([None])), "the file ... got an object array, which only pickle can read"),
    "clip.pkl": (lambda p: p.write_bytes(pickle.dumps(1)), "got a pickle, which can run any code"),
    "clip.csv": (lambda p: p.write_text("1,2"), "expected a .npz ... got a file of type '.csv'"),
    "folder": (lambda p: p.mkdir(), "expected a .npz ... got a folder"),
    "keys.npz": (
        lambda p: np.savez(p, smplrx=np.zeros((2, 165))),
        "unknown track or key 'smplrx' ... 'smplerx'?",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_file_is_refused_in_one_line(name, tmp_path):
    make, text = BAD_FILES[name]
    make(tmp_path / name)
    with pytest.raises(SignXError, match=said(text)) as error:
        extract(tmp_path / name)
    assert str(tmp_path / name) in str(error.value) and "\n" not in str(error.value)
    assert isinstance(error.value, SignXFileNotFoundError) == (name == "missing.npz")


BAD_OPTIONS = [
    ({"track_dim": {}}, "no option 'track_dim' ... 'track_dims'?"),
    ({"confidence_treshold": 0.1}, "no option 'confidence_treshold' ... 'confidence_threshold'?"),
    ({"fps": 0}, "`fps` ... got 0"),
    ({"fps": True}, "`fps` ... got True"),
    ({"max_frames": 0}, "`max_frames` ... got 0"),
    ({"max_frames": 2.0}, "`max_frames` ... got 2.0"),
    ({"normalize": "yes"}, "`normalize` ... got 'yes'"),
    ({"confidence_threshold": -1}, "`confidence_threshold` ... got -1"),
    ({"person": "tallest"}, "`person` ... got 'tallest'"),
    ({"sapiens_classes": 1}, "`sapiens_classes` ... got 1"),
    ({"track_dims": {}}, "`track_dims` ... got {}"),
    ({"track_dims": {"fps": 3}}, "`track_dims` ... got 'fps'"),
    ({"track_dims": [["a", 3], ["a", 3]]}, "`track_dims` ... got 'a'"),
    ({"track_dims": {"a": 0}}, "`track_dims['a']` ... got 0"),
    ({"track_dims": {"mediapipe": 225}}, "`track_dims['mediapipe']` ... got 225"),
]


@pytest.mark.parametrize("options, text", BAD_OPTIONS)
def test_bad_option_is_refused(options, text):
    with pytest.raises(SignXPoseError, match=said(text)):
        SignXPoseFeatureExtractor(**options)


def test_bad_call_arguments_are_refused():
    extractor = SignXPoseFeatureExtractor()
    with pytest.raises(SignXPoseError, match=said("`return_tensors` ... got 'tf'")):
        extractor(make_clip(), return_tensors="tf")
    with pytest.raises(SignXPoseError, match="`source_fps`.*got a list of 1"):
        extractor([make_clip(), make_clip()], source_fps=[25])
