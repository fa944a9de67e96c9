"""SMPL-X result files in every legal shape, against rows put together by hand."""

import json
import pickle
import re
import warnings

import numpy as np
import pytest

from signx_hf.data.signsynth.skeleton import BODY, EYES, JAW, LEFT_HAND, PELVIS, RIGHT_HAND
from signx_hf.poses.base import Clip
from signx_hf.poses.smplerx import JOINTS, PARTS, SMPLerXExtractor
from signx_hf.processing.errors_signx import SignXError, SignXFileNotFoundError, SignXPoseError, SignXWarning

CLIP = Clip("clip", 25.0, (640, 480))
SLICES = dict(zip(PARTS, (PELVIS, BODY, JAW, slice(23, 24), slice(24, 25), LEFT_HAND, RIGHT_HAND)))


def make_rows(frames=5, seed=0):
    return np.random.default_rng(seed).normal(scale=0.4, size=(frames, JOINTS, 3))


def parts(rows, flat=True):
    """Rows [T, 55, 3] -> the keys of a file, [T, 3 n] or [T, n, 3]."""
    out = {key: rows[:, where] for key, where in SLICES.items()}
    return {key: values.reshape(len(rows), -1) for key, values in out.items()} if flat else out


def extract(folder, frames, clip=CLIP, **options):
    options.setdefault("flat_hand_mean", True)
    extractor = SMPLerXExtractor(folder, **options)
    pictures = [np.zeros((480, 640, 3), np.uint8)] * frames
    found = list(extractor.extract(iter(pictures), clip))
    assert len(found) == frames
    return [[extractor.to_row(o).reshape(JOINTS, 3) for o in people] for people in found], found


def write_frames(folder, rows, first=1, person=None):
    folder.mkdir(parents=True, exist_ok=True)
    for t, row in enumerate(rows):
        name = f"{t + first:05}" + ("" if person is None else f"_{person}")
        np.savez(folder / f"{name}.npz", betas=np.zeros((1, 10)), **parts(row[None], flat=False))


def as_smpler_x(row):
    """One frame with exactly the shapes that SMPLer-X's inference script saves."""
    found = {key: values[0].reshape(-1, 3) for key, values in parts(row[None], flat=False).items()}
    return {**found, "betas": np.zeros((1, 10)), "expression": np.zeros((1, 10)), "transl": np.zeros((1, 3))}


# ------------------------------------------------------------------------------------------------------------ shapes


def rotations(rows):
    scipy = pytest.importorskip("scipy.spatial.transform")
    return scipy.Rotation.from_rotvec(rows.reshape(-1, 3)).as_matrix().reshape(*rows.shape, 3)


FILES = {
    "flat arrays": lambda rows: parts(rows),
    "joints by three": lambda rows: parts(rows, flat=False),
    "mixed": lambda rows: {**parts(rows), "global_orient": rows[:, :1], "jaw_pose": rows[:, 22]},
    "poses": lambda rows: {"poses": rows.reshape(len(rows), -1), "betas": np.zeros(10)},
    "fullpose": lambda rows: {"fullpose": rows},
    "float32": lambda rows: {key: values.astype(np.float32) for key, values in parts(rows).items()},
    "matrices": lambda rows: {key: rotations(values) for key, values in parts(rows, flat=False).items()},
    "matrices without joint axis": lambda rows: {**parts(rows), "global_orient": rotations(rows[:, 0])},
}


@pytest.mark.parametrize("frames", [1, 3, 5])
@pytest.mark.parametrize("case", FILES)
def test_one_file_for_a_clip(case, frames, tmp_path):
    rows = make_rows(frames)
    np.savez(tmp_path / "clip.npz", joints=np.zeros((frames, 137, 3)), **FILES[case](rows))
    got, found = extract(tmp_path, frames)
    for t in range(frames):
        np.testing.assert_allclose(got[t][0], rows[t], atol=1e-6)
        assert found[t][0].box == (0.0, 0.0, 640.0, 480.0) and not found[t][0].whole_frame
        assert found[t][0].data["row"].dtype == np.float32 and found[t][0].data["row"].shape == (165,)


def test_rotation_matrices_of_every_angle_against_scipy(tmp_path):
    scipy = pytest.importorskip("scipy.spatial.transform")
    rng = np.random.default_rng(3)
    axes = rng.normal(size=(40, JOINTS, 3))
    axes /= np.linalg.norm(axes, axis=-1, keepdims=True)
    angles = rng.uniform(0, np.pi, (40, JOINTS, 1))
    angles[0], angles[1], angles[2], angles[3] = 0, 1e-9, np.pi - 1e-7, np.pi / 2
    axes[4:6], angles[4:6] = np.eye(3)[np.arange(JOINTS) % 3], np.pi - 1e-9
    rows = axes * angles
    np.savez(tmp_path / "clip.npz", poses=rotations(rows))
    got = np.stack([people[0] for people in extract(tmp_path, 40)[0]])
    same = scipy.Rotation.from_rotvec(got.reshape(-1, 3)) * scipy.Rotation.from_rotvec(rows.reshape(-1, 3)).inv()
    assert same.magnitude().max() < 1e-5
    assert np.linalg.norm(got, axis=-1).max() <= np.pi + 1e-6


def test_files_as_smpler_x_writes_them(tmp_path):
    rows = make_rows(4)
    for name in ("smplx", "meta", "img"):
        (tmp_path / "clip" / name).mkdir(parents=True)
    for t in (0, 1, 3):  # nobody found in the third frame
        np.savez(tmp_path / "clip" / "smplx" / f"{t + 1:05}_0.npz", **as_smpler_x(rows[t]))
        meta = {"bbox": [0, 0, 300, 400], "bbox_mmdet": [10.5, 20, 100, 200 + t], "focal": [1, 2], "bbox_id": 0}
        (tmp_path / "clip" / "meta" / f"{t + 1:05}_0.json").write_text(json.dumps(meta))
    got, found = extract(tmp_path, 4)
    assert [len(people) for people in got] == [1, 1, 0, 1]
    for t in (0, 1, 3):
        np.testing.assert_allclose(got[t][0], rows[t], atol=1e-6)
        assert found[t][0].box == (10.5, 20, 110.5, 220 + t)


def test_several_people_have_their_boxes(tmp_path):
    first, second = make_rows(2, 1), make_rows(2, 2)
    for t in range(2):
        (tmp_path / "a" / "clip").mkdir(parents=True, exist_ok=True)
        for person, rows in ((0, first), (11, second)):
            box = np.array([100.0 * person, 5, 50, 60])
            np.savez(tmp_path / "a" / "clip" / f"{t:05}_{person}.npz", bbox=box, **as_smpler_x(rows[t]))
    got, found = extract(tmp_path, 2, Clip("a/clip", 25.0, (640, 480)), first_frame=0)
    for t in range(2):
        np.testing.assert_allclose(got[t][0], first[t], atol=1e-6)
        np.testing.assert_allclose(got[t][1], second[t], atol=1e-6)
        assert [o.box for o in found[t]] == [(0, 5, 50, 65), (1100, 5, 1150, 65)]


def test_frames_of_nan_and_missing_eyes(tmp_path):
    rows = make_rows(4)
    rows[:, EYES] = 0
    content = parts(rows)
    del content["leye_pose"], content["reye_pose"]
    for values in content.values():
        values[2] = np.nan
    np.savez(tmp_path / "clip.npz", **content)
    got, _ = extract(tmp_path, 4)
    assert [len(people) for people in got] == [1, 1, 0, 1]
    np.testing.assert_allclose(got[3][0], rows[3], atol=1e-6)


# -------------------------------------------------------------------------------------------------------------- hands


def test_the_mean_hand_is_added_where_it_is_known(tmp_path):
    rows, rng = make_rows(2), np.random.default_rng(9)
    np.savez(tmp_path / "clip.npz", **parts(rows))
    left, right = rng.normal(size=45), rng.normal(size=45)
    # a model file also holds objects, which are never touched
    model = tmp_path / "SMPLX_NEUTRAL.npz"
    np.savez(model, hands_meanl=left, hands_meanr=right, part2num=np.array({"a": 1}, dtype=object))
    expected = rows.copy()
    expected[:, LEFT_HAND] += left.reshape(15, 3)
    expected[:, RIGHT_HAND] += right.reshape(15, 3)
    extractor = SMPLerXExtractor(tmp_path, hand_means=model)
    assert extractor.layout.layout.endswith("hands from the flat hand")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got, _ = extract(tmp_path, 2, flat_hand_mean=False, hand_means=model)
    np.testing.assert_allclose(np.stack([people[0] for people in got]), expected, atol=1e-6)


def test_the_mean_hand_of_the_mannequin_moves_the_same_joints(tmp_path):
    mannequin = pytest.importorskip("mannequin")
    rows = make_rows(1)
    np.savez(tmp_path / "clip.npz", **parts(rows))
    got, _ = extract(tmp_path, 1, flat_hand_mean=False, hand_means="mannequin")
    pose = {"body_pose": rows[:, 1:22], "head_pose": rows[:, 22:25], "pelvis_rotation": rows[:, 0]}
    mean = mannequin.Mannequin("wooden", flat_hand_mean=False)
    flat = mannequin.Mannequin("wooden", flat_hand_mean=True)
    float32 = {key: values.astype(np.float32) for key, values in pose.items()}
    a = mean.joint_transforms({**float32, "hand_pose": rows[:, 25:].astype(np.float32)})
    b = flat.joint_transforms({**float32, "hand_pose": got[0][0][None, 25:].astype(np.float32)})
    np.testing.assert_allclose(a, b, atol=1e-5)
    assert np.abs(got[0][0][25:] - rows[0, 25:]).max() > 0.1


def test_an_unknown_mean_hand_is_said(tmp_path):
    np.savez(tmp_path / "clip.npz", **parts(make_rows(1)))
    with pytest.warns(SignXWarning, match="zeros in these hands mean SMPL-X's mean hand"):
        got, _ = extract(tmp_path, 1, flat_hand_mean=False)
    np.testing.assert_allclose(got[0][0], make_rows(1)[0], atol=1e-6)
    assert SMPLerXExtractor(tmp_path).layout.layout == "SMPL-X 55 joints, hands from the mean hand"
    assert (
        SMPLerXExtractor(tmp_path, flat_hand_mean=True).layout.layout == "SMPL-X 55 joints, hands from the flat hand"
    )


# ------------------------------------------------------------------------------------------------- as other extractors


def test_it_travels_and_its_fingerprint_follows_files_and_options(tmp_path):
    np.savez(tmp_path / "clip.npz", **parts(make_rows(2)))
    extractor = SMPLerXExtractor(tmp_path, flat_hand_mean=True).load()
    again = pickle.loads(pickle.dumps(extractor))  # noqa: S301 as a worker gets it
    first = extractor.fingerprint
    assert again.fingerprint == first and again.layout == extractor.layout
    np.testing.assert_array_equal(
        again.to_row(next(again.extract([0, 0], CLIP))[0]), extractor.to_row(next(extractor.extract([0, 0], CLIP))[0])
    )
    assert SMPLerXExtractor(tmp_path, flat_hand_mean=False).fingerprint != first
    assert SMPLerXExtractor(tmp_path, flat_hand_mean=True, first_frame=0).fingerprint != first
    np.savez(tmp_path / "other.npz", **parts(make_rows(2)))
    assert extractor.fingerprint != first


# ---------------------------------------------------------------------------------------------------------- bad input


def good(**changes):
    return {**parts(make_rows(3)), **changes}


def without(*names):
    return {key: value for key, value in good().items() if key not in names}


BAD_FILES = {
    "frames": (lambda: parts(make_rows(4)), "the video, 3, got 4"),
    "fewer": (lambda: parts(make_rows(2)), "the video, 3, got 2"),
    "no hands": (lambda: without("left_hand_pose"), "left_hand_pose missing, got global_orient, body_pose"),
    "nothing": (lambda: {"vertices": np.zeros(3)}, "global_orient, body_pose, jaw_pose, left_hand_pose, right_hand_pose missing"),
    "components": (lambda: good(left_hand_pose=np.zeros((3, 12))), "12 numbers look like principal components of a hand"),
    "body of SMPL": (lambda: good(body_pose=np.zeros((3, 69))), "body_pose has shape [3, 69]. It must be [frames, 63]"),
    "SMPL+H": (lambda: {"poses": np.zeros((3, 156))}, "SMPL or SMPL+H, without jaw and eyes"),
    "lengths": (lambda: good(jaw_pose=np.zeros((2, 3))), "the same number of frames, got {"),
    "half nan": (lambda: good(body_pose=np.full((3, 63), np.nan)), "frame 0 joint 1 must be finite radians, got nan"),
    "infinite": (lambda: good(jaw_pose=np.full((3, 3), np.inf)), "frame 0 joint 22 must be finite radians, got inf"),
    "degrees of a giant": (lambda: {"poses": np.full((3, 165), 1e30)}, "frame 0 joint 0 must be finite radians, got 1e+30"),
    "words": (lambda: good(jaw_pose=np.full((3, 3), "a")), "jaw_pose must be numbers, got <U1"),
    "no rotations": (lambda: {"poses": np.ones((3, 55, 3, 3))}, "poses must be rotation matrices"),
    "mirrored": (lambda: {"poses": np.broadcast_to(-np.eye(3), (3, 55, 3, 3))}, "poses must be rotation matrices"),
    "objects": (lambda: good(jaw_pose=np.array([None])), "got an object array, which only pickle can read"),
    "box": (lambda: good(bbox=np.zeros((2, 4))), "for 3 frames, got float64 of shape [2, 4]"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_refused_in_one_line(case, tmp_path):
    make, text = BAD_FILES[case]
    np.savez(tmp_path / "clip.npz", **make())
    with pytest.raises(SignXPoseError, match=re.escape(text)) as error:
        extract(tmp_path, 3)
    assert "\n" not in str(error.value) and str(tmp_path / "clip.npz") in str(error.value)


def two_people(p):
    write_frames(p / "clip", make_rows(3), person=0)
    write_frames(p / "clip", make_rows(3), person=1)


def bad_meta(text):
    def make(p):
        write_frames(p / "clip" / "smplx", make_rows(3), person=0)
        (p / "clip" / "meta").mkdir()
        (p / "clip" / "meta" / "00001_0.json").write_text(text)

    return make


def two_frames_in_one(p):
    (p / "clip").mkdir()
    np.savez(p / "clip" / "00001.npz", **parts(make_rows(2)))


def named(p, name):
    write_frames(p / "clip", make_rows(3))
    (p / "clip" / name).write_bytes(b"x")


BAD_FOLDERS = {
    "no clip": (lambda p: None, "no such file, nor a folder"),
    "empty": (lambda p: (p / "clip").mkdir(), "no .npz file"),
    "pickle": (lambda p: (p / "clip.pkl").write_bytes(b"x"), "must be .npz, because a pickle can run any code"),
    "pickles": (lambda p: named(p, "00001.pkl"), "must be .npz, because a pickle can run any code"),
    "torn": (lambda p: (p / "clip.npz").write_bytes(b"PK\3\4 no"), "the .npz file is corrupt"),
    "text": (lambda p: (p / "clip.npz").write_text("hello"), "not a .npz file; it starts with b'hello'"),
    "name": (lambda p: named(p, "result.npz"), "result.npz: the name must be the number of a frame from 1"),
    "zero": (lambda p: write_frames(p / "clip", make_rows(3), first=0), "00000.npz: the name must be the number of a frame"),
    "beyond": (lambda p: write_frames(p / "clip", make_rows(3), first=4), "00006.npz: is for frame 6, but the video has 3 frames"),
    "people": (two_people, "2 people in a frame need boxes"),
    "meta": (bad_meta("{"), "00001_0.json: not valid JSON"),
    "meta that is a list": (bad_meta('["bbox"]'), "00001_0.json: not valid JSON of SMPLer-X (a list)"),
    "meta without end": (bad_meta("[" * 100000), "00001_0.json: not valid JSON of SMPLer-X (it is nested too deeply"),
    "meta of 400 digits": (bad_meta('{"bbox": [1, 2, 3, %s]}' % ("9" * 400)), "00001_0.json: not valid JSON of SMPLer-X (an integer has 400 digits"),
    "meta with another bbox": (bad_meta('{"bbox": [1, 2, 3]}'), "got float64 of shape [3]"),
    "two frames": (two_frames_in_one, "must hold one frame because of its name, got 2"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_FOLDERS)
def test_a_bad_folder_is_refused_in_one_line(case, tmp_path):
    make, text = BAD_FOLDERS[case]
    make(tmp_path)
    with pytest.raises(SignXError, match=re.escape(text)) as error:
        extract(tmp_path, 3)
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)
    assert isinstance(error.value, SignXFileNotFoundError) == (case in ("no clip", "empty"))


def test_bad_options_are_refused(tmp_path):
    with pytest.raises(SignXFileNotFoundError, match="no such folder"):
        SMPLerXExtractor(tmp_path / "no").load()
    with pytest.raises(SignXPoseError, match="flat_hand_mean must be True or False, got 1"):
        SMPLerXExtractor(tmp_path, flat_hand_mean=1)
    with pytest.raises(SignXPoseError, match="first_frame must be a non-negative integer, got -1"):
        SMPLerXExtractor(tmp_path, first_frame=-1)
    with pytest.raises(SignXPoseError, match="hand_means must not be given if flat_hand_mean is True"):
        SMPLerXExtractor(tmp_path, flat_hand_mean=True, hand_means="mannequin")
    with pytest.raises(SignXPoseError, match="clip id must be a name inside"):
        extract(tmp_path, 1, Clip("../clip", 25.0, (4, 4)))
    with pytest.raises(SignXPoseError, match=re.escape("SMPLX.pkl: must be .npz")):
        SMPLerXExtractor(tmp_path, hand_means=tmp_path / "SMPLX.pkl").load()
    with pytest.raises(SignXFileNotFoundError, match="SMPLX.npz: no such file"):
        SMPLerXExtractor(tmp_path, hand_means=tmp_path / "SMPLX.npz").load()
    np.savez(tmp_path / "SMPLX.npz", hands_meanl=np.zeros(12), hands_meanr=np.zeros(45))
    with pytest.raises(SignXPoseError, match="must have hands_meanl and hands_meanr of 45 numbers"):
        SMPLerXExtractor(tmp_path, hand_means=tmp_path / "SMPLX.npz").load()


def test_frames_are_read_when_their_turn_comes(tmp_path):
    write_frames(tmp_path / "clip", make_rows(3))
    (tmp_path / "clip" / "00003.npz").write_bytes(b"PK\3\4 torn")
    stream = SMPLerXExtractor(tmp_path, flat_hand_mean=True).extract(iter([0, 0, 0]), CLIP)
    assert len(next(stream)) == len(next(stream)) == 1
    with pytest.raises(SignXPoseError, match="00003.npz: the .npz file is corrupt"):
        next(stream)
