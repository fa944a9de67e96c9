"""Poses that cannot be used: what the message says, in one line."""

import pickle
import re
import struct
import zipfile

import numpy as np
import pytest
from pose_clips import changed, concatenated, extract, make_clip, smplerx

from signx_hf.processing.errors_signx import SignXError, SignXFileNotFoundError, SignXPoseError
from signx_hf.processing.feature_extraction_signx import SignXPoseFeatureExtractor

BAD_CLIPS = {
    "partly nan": (
        lambda: changed("mediapipe", 3, 7, np.nan),
        "clip 0: track 'mediapipe' frame 3 column 7 is nan; wanted finite",
    ),
    "inf": (lambda: changed("smplerx", 1, 2, -np.inf), "track 'smplerx' frame 1 column 2 is -inf"),
    "beyond float32": (lambda: changed("smplerx", 1, 2, 1e39), "track 'smplerx' frame 1 column 2 is 1e+39"),
    "row of inf": (lambda: changed("smplerx", 4, slice(None), np.inf), "track 'smplerx' frame 4 column 0 is inf"),
    "lengths": (lambda: smplerx(4, dwpose=np.ones((5, 384))), "track 'dwpose' has 5 frames and track 'smplerx' has 4"),
    "unknown track": (
        lambda: {"mediapip": np.zeros((4, 258))},
        "unknown track or key 'mediapip'; did you mean 'mediapipe'?",
    ),
    "mask of unknown": (
        lambda: {**make_clip(), "sapien_mask": np.ones(6, bool)},
        "unknown track or key 'sapien_mask'",
    ),
    "width": (lambda: {"mediapipe": np.zeros((4, 225))}, "track 'mediapipe' has shape [4, 225]; wanted [frames, 258]"),
    "rank": (lambda: {"smplerx": np.zeros(165)}, "track 'smplerx' has shape [165]; wanted [frames, 165]"),
    "no frames": (lambda: smplerx(0), "clip 0: zero frames; wanted at least one"),
    "no tracks": (lambda: {"fps": 25}, "clip 0: no pose track; wanted at least one of smplerx, dwpose"),
    "all nan": (lambda: {"smplerx": np.full((3, 165), np.nan)}, "no track is observed in the clip"),
    "all masked": (lambda: smplerx(smplerx_mask=np.zeros(3, bool)), "no track is observed in the clip"),
    "mask length": (
        lambda: smplerx(masks={"smplerx": np.ones(4)}),
        "the mask of track 'smplerx' has 4 frames and the track 3",
    ),
    "mask values": (lambda: smplerx(smplerx_mask=np.array([0, 2, 1])), "wanted [frames] of true and false"),
    "two masks": (
        lambda: smplerx(smplerx_mask=np.ones(3), masks={"smplerx": np.ones(3)}),
        "has both 'smplerx_mask' and an entry in 'masks'",
    ),
    "mask, no track": (
        lambda: smplerx(dwpose_mask=np.ones(3)),
        "a mask for track 'dwpose', which the clip does not have",
    ),
    "strings": (lambda: {"smplerx": np.full((3, 165), "a")}, "track 'smplerx' has dtype <U1; wanted numbers"),
    "python list": (
        lambda: {"smplerx": [[0.0] * 165]},
        "track 'smplerx' is a list; wanted a numpy array or a torch tensor",
    ),
    "array width": (
        lambda: np.zeros((4, 258)),
        "clip 0: an array of shape [4, 258]; wanted [frames, 1959], all tracks",
    ),
    "array of a batch": (lambda: np.zeros((2, 4, 1959)), "hand a batch over as a list of clips"),
    "number": (lambda: 7, "clip 0 is a int; wanted a dictionary of tracks, an array [frames, 1959] or a path"),
    "fps zero": (
        lambda: smplerx(fps=0),
        "clip 0: source fps is 0; wanted frames per second above 0; give source_fps=",
    ),
    "fps nan": (lambda: smplerx(fps=float("nan")), "source fps is nan"),
    "timestamps": (
        lambda: smplerx(timestamps=np.array([0, 1.0, 1.0])),
        "timestamps of shape [3] for 3 frames; wanted [3] rising",
    ),
    "frame size": (
        lambda: smplerx(frame_size=(640, 0)),
        "frame_size is (640, 0); wanted (width, height) in pixels, both above 0",
    ),
    "labels": (
        lambda: changed("sapiens", 0, 0, 28),
        "track 'sapiens' has labels from 0 to 28; wanted 0 to 27; set sapiens_classes",
    ),
    "no shoulders": (lambda: changed("dwpose", slice(None), 8, 0.0), "track 'dwpose': no frame shows both shoulders"),
    "empty list": (lambda: [], "an empty list of clips"),
    "web address": (
        lambda: "https://example.org/a.npz",
        "https://example.org/a.npz: a web address; wanted a local file; nothing is downloaded",
    ),
}


@pytest.mark.parametrize("case", BAD_CLIPS)
def test_bad_clip_is_refused_in_one_line(case):
    make, text = BAD_CLIPS[case]
    with pytest.raises(SignXPoseError, match=re.escape(text)) as error:
        extract(make())
    assert "\n" not in str(error.value)


def test_coinciding_shoulders_are_refused():
    clip = make_clip()
    clip["mediapipe"][:, 44:46] = clip["mediapipe"][:, 48:50]
    text = "track 'mediapipe': the median distance between the shoulders is 0; wanted more than 0"
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
    "bomb.npz": (lambda p: packed(p, 0xF0000000), "unpacks to 3.8 GB; wanted at most 1, more than an hour of all tracks; cut the clip"),
    "header.npz": (lambda p: with_header(p, "(" * 30000), "a corrupt .npz file (Header info length"),
    "code.npz": (lambda p: with_header(p, "{'descr': __import__('os'), 'fortran_order': False, 'shape': (1,)}"), "a corrupt .npz file (malformed node"),
    "large.npz": (lambda p: with_header(p, "{'descr': '<f8', 'fortran_order': False, 'shape': (9" + "0" * 17 + ", 2)}"), "a corrupt .npz file ("),
    "size.npz": (lambda p: np.savez(p, **make_clip(), frame_size=np.array([1e308, 1e308])), "both above 0 and at most 1e+06"),
    "missing.npz": (lambda p: None, "no such file; wanted a .npz, .npy, .pose or .json file"),
    "empty.npz": (lambda p: p.write_bytes(b""), "an empty file (0 bytes)"),
    "empty.pose": (lambda p: p.write_bytes(b""), "an empty file (0 bytes)"),
    "text.npz": (lambda p: p.write_text("hello world"), "starts with b'hello ', not a .npz file"),
    "text.npy": (lambda p: p.write_text("hello world"), "starts with b'hello ', not a .npy file"),
    "short.npz": (lambda p: (np.savez(p, **make_clip()), truncated(p, 5000)), "a corrupt .npz file"),
    "short.npy": (lambda p: (np.save(p, concatenated(make_clip())), truncated(p, 5000)), "a corrupt .npy file"),
    "object.npz": (
        lambda p: np.savez(p, smplerx=np.array([None, {}])),
        "holds an object array, which only pickle can read",
    ),
    "object.npy": (lambda p: np.save(p, np.array([None])), "holds an object array, which only pickle can read"),
    "clip.pkl": (lambda p: p.write_bytes(pickle.dumps(1)), "a pickle can run any code when it is read"),
    "clip.csv": (lambda p: p.write_text("1,2"), "a file of type '.csv'; wanted a .npz, .npy, .pose or .json file"),
    "folder": (lambda p: p.mkdir(), "a folder; wanted a .npz, .npy, .pose or .json file"),
    "keys.npz": (
        lambda p: np.savez(p, smplrx=np.zeros((2, 165))),
        "unknown track or key 'smplrx'; did you mean 'smplerx'?",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_file_is_refused_in_one_line(name, tmp_path):
    make, text = BAD_FILES[name]
    make(tmp_path / name)
    with pytest.raises(SignXError, match=re.escape(text)) as error:
        extract(tmp_path / name)
    assert str(tmp_path / name) in str(error.value) and "\n" not in str(error.value)
    assert isinstance(error.value, SignXFileNotFoundError) == (name == "missing.npz")


BAD_OPTIONS = [
    ({"track_dim": {}}, "unknown option 'track_dim'; did you mean 'track_dims'?"),
    ({"confidence_treshold": 0.1}, "did you mean 'confidence_threshold'?"),
    ({"fps": 0}, "option fps is 0; wanted frames per second above 0"),
    ({"fps": True}, "option fps is True"),
    ({"max_frames": 0}, "option max_frames is 0; wanted a whole number of at least 1"),
    ({"max_frames": 2.0}, "option max_frames is 2.0"),
    ({"normalize": "yes"}, "option normalize is 'yes'; wanted True or False"),
    ({"confidence_threshold": -1}, "option confidence_threshold is -1; wanted a number of at least 0"),
    ({"person": "tallest"}, "option person is 'tallest'; wanted a whole number of at least 0 or 'largest'"),
    ({"sapiens_classes": 1}, "option sapiens_classes is 1; wanted a whole number of at least 2"),
    ({"track_dims": {}}, "option track_dims is {}; wanted at least one track name"),
    ({"track_dims": {"fps": 3}}, "option track_dims has the track name 'fps'"),
    ({"track_dims": [["a", 3], ["a", 3]]}, "option track_dims has the track name 'a'"),
    ({"track_dims": {"a": 0}}, "option track_dims['a'] is 0; wanted a whole number of at least 1"),
    ({"track_dims": {"mediapipe": 225}}, "option track_dims['mediapipe'] is 225; wanted 258"),
]


@pytest.mark.parametrize("options, text", BAD_OPTIONS)
def test_bad_option_is_refused(options, text):
    with pytest.raises(SignXPoseError, match=re.escape(text)):
        SignXPoseFeatureExtractor(**options)


def test_bad_call_arguments_are_refused():
    extractor = SignXPoseFeatureExtractor()
    with pytest.raises(SignXPoseError, match=re.escape("return_tensors is 'tf'; wanted 'pt' or 'np'")):
        extractor(make_clip(), return_tensors="tf")
    with pytest.raises(SignXPoseError, match="source_fps has 1 entries for 2 clips"):
        extractor([make_clip(), make_clip()], source_fps=[25])
