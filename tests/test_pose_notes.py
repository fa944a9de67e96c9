"""Notes of pose files: from the writer through file, dataset and processor to a warning where they differ."""

import json
import re
import warnings

import numpy as np
import pytest
from helpers import run_python, said
from pose_clips import make_clip

from signx_hf.data import collect_track_notes, decode_poses, encode_poses
from signx_hf.data.schema import make_row
from signx_hf.data.tracks import TrackLayout
from signx_hf.processing import feature_extraction_signx
from signx_hf.processing.errors_signx import SignXFileNotFoundError, SignXPoseError, SignXWarning
from signx_hf.processing.feature_extraction_signx import SignXPoseFeatureExtractor
from signx_hf.processing.pose_files_signx import clip_from_file

LAYOUT = TrackLayout("mediapipe", 258, "Holistic 258", "pixels", "pose, left hand, right hand", "mediapipe", "0.10.21")
NOTES = LAYOUT.notes()
FIELDS = [key.rpartition(".")[2] for key in NOTES]


@pytest.fixture(autouse=True)
def nothing_said_yet(monkeypatch):
    monkeypatch.setattr(feature_extraction_signx, "_said", set())


def clip(**notes):
    return {
        "mediapipe": make_clip()["mediapipe"],
        "notes": {**NOTES, **{f"mediapipe.{k}": v for k, v in notes.items()}},
    }


def warned(extractor, *clips):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        extractor(list(clips), return_tensors="np")
    assert all(issubclass(w.category, SignXWarning) and "\n" not in str(w.message) for w in caught)
    return [str(w.message) for w in caught]


# ---------------------------------------------------------------------------------------------------------- carrying


def test_notes_come_through_files_arrays_and_stored_poses(tmp_path):
    extractor = SignXPoseFeatureExtractor()
    np.savez(
        tmp_path / "a.npz", notes=json.dumps(NOTES, ensure_ascii=False), mediapipe=make_clip()["mediapipe"], fps=30.0
    )
    stored = decode_poses(encode_poses({"mediapipe": make_clip()["mediapipe"]}, fps=30.0, notes=NOTES)).to_clip()
    for form in (tmp_path / "a.npz", stored, clip(), {**clip(), "notes": json.dumps(NOTES)}, extractor.read(clip())):
        assert extractor.read(form).notes == NOTES
    assert (
        stored["notes"] == NOTES and stored["notes"] is not decode_poses(encode_poses(make_clip(), notes=NOTES)).notes
    )
    assert extractor.read({"mediapipe": make_clip()["mediapipe"]}).notes == {}
    with np.load(tmp_path / "a.npz", allow_pickle=False) as content:
        assert content["notes"].shape == () and content["notes"].dtype.kind == "U"


def test_mediapipe_arrays_carry_notes_too(tmp_path):
    pose = np.random.default_rng(0).uniform(10, 400, (3, 33, 4))
    np.savez(tmp_path / "a.npz", pose=pose, notes=json.dumps(NOTES))
    assert clip_from_file(tmp_path / "a.npz", {"mediapipe": 258}).notes == NOTES


BAD_NOTES = {
    "no json": "hello",
    "a list": "[1]",
    "numbers": json.dumps({"mediapipe.units": 3}),
    "several": np.array(["a", "b"]),
    "a number": np.array(3.0),
    "a word": 7,
    "bytes": b"{}",
    "deep": "[" * 100000,
}


@pytest.mark.parametrize("case", BAD_NOTES)
def test_bad_notes_are_refused_in_one_line(case, tmp_path):
    bad = {**clip(), "notes": BAD_NOTES[case]}
    with pytest.raises(SignXPoseError, match="clip 0: `notes` must be a dictionary of strings") as error:
        SignXPoseFeatureExtractor()(bad)
    assert "\n" not in str(error.value)
    if case != "deep":
        np.savez(tmp_path / "a.npz", **bad)
        with pytest.raises(SignXPoseError, match="a.npz: `notes` must be a dictionary of strings"):
            SignXPoseFeatureExtractor()(tmp_path / "a.npz")


def test_notes_with_objects_are_never_unpickled(tmp_path):
    np.savez(tmp_path / "a.npz", mediapipe=make_clip()["mediapipe"], notes=np.array(NOTES, dtype=object))
    with pytest.raises(SignXPoseError, match="the file.*got an object array, which only pickle can read"):
        SignXPoseFeatureExtractor()(tmp_path / "a.npz")


# ----------------------------------------------------------------------------------------------------------- warning


@pytest.mark.parametrize("field", ["layout", "units", "order"])
def test_another_meaning_warns_for_every_clip(field):
    extractor = SignXPoseFeatureExtractor(track_notes=NOTES)
    said = warned(extractor, clip(**{field: "another"}), clip(), clip(**{field: "another"}))
    expected = f"track 'mediapipe': {field} is 'another' and was '{NOTES[f'mediapipe.{field}']}' in training"
    assert len(said) == 2 and said[0].startswith(f"clip 0: {expected}") and said[1].startswith(f"clip 2: {expected}")


def test_several_differences_are_one_warning():
    (said,) = warned(SignXPoseFeatureExtractor(track_notes=NOTES), clip(layout="a", units="b", order="c"))
    for field, value in (("layout", "a"), ("units", "b"), ("order", "c")):
        assert f"{field} is '{value}' and was '{NOTES[f'mediapipe.{field}']}'" in said


@pytest.mark.parametrize("field", ["source", "version"])
def test_another_origin_warns_once_for_each_pair(field):
    extractor = SignXPoseFeatureExtractor(track_notes=NOTES)
    said = warned(extractor, clip(**{field: "1"}), clip(**{field: "1"}), clip(**{field: "2"}))
    assert len(said) == 2
    for message, value in zip(said, "12"):
        assert (
            f"track 'mediapipe': {field} is '{value}' and was '{NOTES[f'mediapipe.{field}']}' in training" in message
        )
    assert not warned(extractor, clip(**{field: "1"}))


def test_it_is_silent_where_nothing_is_known_or_nothing_differs():
    plain = {"mediapipe": make_clip()["mediapipe"]}
    for extractor in (
        SignXPoseFeatureExtractor(),
        SignXPoseFeatureExtractor(track_notes={}),
        SignXPoseFeatureExtractor(track_notes=NOTES),
    ):
        assert not warned(extractor, clip(), plain)
    assert not warned(SignXPoseFeatureExtractor(), clip(layout="another", version="9"))
    assert not warned(
        SignXPoseFeatureExtractor(track_notes={"dwpose.layout": "x", "mediapipe.extra": "y"}), clip(extra="z")
    )
    other = {**make_clip(), "notes": {"smplerx.layout": "flat"}}
    assert not warned(SignXPoseFeatureExtractor(track_notes={"dwpose.layout": "x"}), other)


def test_a_track_that_the_clip_lacks_is_not_compared():
    extractor = SignXPoseFeatureExtractor(track_notes={"smplerx.layout": "flat", **NOTES})
    only = clip()
    only["notes"]["smplerx.layout"] = "mean"
    assert not warned(extractor, only)
    (said,) = warned(extractor, {**only, "smplerx": make_clip()["smplerx"]})
    assert "track 'smplerx': layout is 'mean' and was 'flat' in training" in said


def test_warnings_do_not_change_the_numbers():
    a = SignXPoseFeatureExtractor()(clip(), return_tensors="np")
    with pytest.warns(SignXWarning):
        b = SignXPoseFeatureExtractor(track_notes=NOTES)(clip(units="another"), return_tensors="np")
    for key in a:
        np.testing.assert_array_equal(a[key], b[key])


# --------------------------------------------------------------------------------------------------------- save, load


def test_notes_are_saved_with_the_processor(tmp_path):
    SignXPoseFeatureExtractor(track_notes=NOTES).save_pretrained(tmp_path / "a")
    loaded = SignXPoseFeatureExtractor.from_pretrained(tmp_path / "a")
    assert loaded.track_notes == NOTES
    assert len(warned(loaded, clip(units="another"))) == 1
    SignXPoseFeatureExtractor().save_pretrained(tmp_path / "b")
    assert SignXPoseFeatureExtractor.from_pretrained(tmp_path / "b").track_notes is None
    assert SignXPoseFeatureExtractor.from_pretrained(tmp_path / "b", track_notes=NOTES).track_notes == NOTES
    for bad in ([], "pixels", {"mediapipe.units": 1}):
        with pytest.raises(SignXPoseError, match=said(f"`track_notes` ... got {bad!r}")):
            SignXPoseFeatureExtractor(track_notes=bad)


REMOTE = """
    import json, warnings
    from transformers import AutoFeatureExtractor
    extractor = AutoFeatureExtractor.from_pretrained("saved", trust_remote_code=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        batch = extractor("other.npz", return_tensors="np")
        folder = extractor("openpose", return_tensors="np")
    print(json.dumps({
        "home": type(extractor).__module__, "notes": extractor.track_notes, "frames": int(batch["frame_mask"].sum()),
        "people": folder["pose_mask"][0].sum(0).tolist(),
        "said": [str(w.message) for w in caught if w.category.__name__ == "SignXWarning"],
    }))
"""


def test_notes_and_readers_travel_with_remote_code(tmp_path):
    SignXPoseFeatureExtractor.register_for_auto_class("AutoFeatureExtractor")
    SignXPoseFeatureExtractor(track_notes=NOTES).save_pretrained(tmp_path / "saved")
    other = json.dumps({**NOTES, "mediapipe.units": "metres"})
    np.savez(tmp_path / "other.npz", mediapipe=make_clip()["mediapipe"], notes=other)
    (tmp_path / "openpose").mkdir()
    points = np.random.default_rng(0).uniform(50, 90, (25, 3)).ravel().tolist()
    (tmp_path / "openpose" / "a_0_keypoints.json").write_text(json.dumps({"people": [{"pose_keypoints_2d": points}]}))
    found = json.loads(run_python(REMOTE, tmp_path, package=False))
    assert not found["home"].startswith("signx_hf") and found["notes"] == NOTES
    assert found["frames"] == 6 and found["people"] == [0, 1, 0, 0, 0]
    (said,) = found["said"]
    assert "track 'mediapipe': units is 'metres' and was 'pixels' in training" in said


# --------------------------------------------------------------------------------------------------- from a dataset


def row(number, notes, **fields):
    return make_row(
        id=f"c{number}", poses=encode_poses({"mediapipe": make_clip(2)["mediapipe"]}, notes=notes), **fields
    )


def test_the_notes_of_a_dataset(tmp_path):
    np.savez(
        tmp_path / "a.npz",
        smplerx=np.zeros((2, 165)),
        notes=json.dumps({"smplerx.layout": "flat", "person": "largest"}),
    )
    np.savez(tmp_path / "b.npz", dwpose=np.zeros((2, 384)))
    tracks = [
        {"name": "smplerx", "path": str(tmp_path / "a.npz")},
        {"name": "dwpose", "path": str(tmp_path / "b.npz")},
    ]
    rows = [row(0, NOTES), row(1, {}), row(2, NOTES, tracks=tracks), make_row(id="c3")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = collect_track_notes(rows)
    assert found == {**NOTES, "smplerx.layout": "flat"}
    assert SignXPoseFeatureExtractor(track_notes=found).track_notes == found
    assert collect_track_notes([]) == {}


def test_a_dataset_that_disagrees_warns_and_keeps_what_most_say():
    other = {**NOTES, "mediapipe.units": "fractions"}
    wanted = "track 'mediapipe': clips disagree on units: 'pixels' in 2 clips (c1), 'fractions' in 1 clips (c0)"
    with pytest.warns(SignXWarning, match=re.escape(wanted)) as caught:
        found = collect_track_notes([row(0, other), row(1, NOTES), row(2, NOTES)])
    assert len(caught) == 1 and found == NOTES
    with pytest.warns(SignXWarning):
        assert collect_track_notes([row(0, other), row(1, NOTES)]) == other  # of equals the first


def test_a_missing_pose_file_is_named(tmp_path):
    track = {"name": "smplerx", "path": str(tmp_path / "no.npz")}
    with pytest.raises(SignXFileNotFoundError, match=r"no\.npz: no such file"):
        collect_track_notes([make_row(id="a", tracks=[track])])


# ------------------------------------------------------------------------------------------- one layout, two writers


def notes_of_extractors():
    from signx_hf.processing import keypoints_signx as keypoints

    return {
        "mediapipe.layout": keypoints.MEDIAPIPE_LAYOUT, "mediapipe.units": keypoints.MEDIAPIPE_UNITS,
        "mediapipe.order": keypoints.MEDIAPIPE_ORDER, "dwpose.layout": keypoints.DWPOSE_LAYOUT,
        "dwpose.units": keypoints.DWPOSE_UNITS, "dwpose.order": keypoints.DWPOSE_ORDER,
        "smplerx.layout": "SMPL-X 55 joints, hands from the flat hand", "smplerx.units": "axis-angle in radians",
        "primedepth.layout": "24x24 relative nearness", "sapiens.layout": "24x24 part labels, 28 classes",
        "sapiens.units": "label ids 0 to 27, 0 the background; majority of the pixels in a cell",
    }  # fmt: skip


def test_the_names_of_signsynth_and_of_the_extractors_are_one():
    tracks = pytest.importorskip("signx_hf.data.signsynth.tracks", reason="SignSynth draws with the extra synth")
    theirs, ours = tracks.notes(), notes_of_extractors()
    meaning = {key: value for key, value in theirs.items() if key.rpartition(".")[2] in ("layout", "units", "order")}
    for trained, given in ((meaning, ours), (ours, meaning)):
        extractor = SignXPoseFeatureExtractor(track_notes=trained)
        assert not warned(extractor, *({**make_clip(), "notes": given} for _ in range(3)))
    wrong = {**meaning, "dwpose.layout": "dwpose-134"}
    assert "dwpose" in warned(SignXPoseFeatureExtractor(track_notes=wrong), {**make_clip(), "notes": ours})[0]


def test_a_corpus_of_both_writers_has_one_note():
    tracks = pytest.importorskip("signx_hf.data.signsynth.tracks", reason="SignSynth draws with the extra synth")
    notes = {key: value for key, value in tracks.notes().items() if key.rpartition(".")[2] == "layout"}
    rows = [
        make_row(id=f"c{i}", poses=encode_poses({"mediapipe": make_clip()["mediapipe"]}, fps=30.0, notes=given))
        for i, given in enumerate(
            ({"mediapipe.layout": "holistic-258"}, {"mediapipe.layout": notes["mediapipe.layout"]})
        )
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error", SignXWarning)
        assert collect_track_notes(rows) == {"mediapipe.layout": "holistic-258"}
