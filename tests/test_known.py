"""Sentences: how much a clip is like what the model knows, and what is said of one that is not."""

import json

import numpy as np
import pytest
from make_model import FPS, make_poses, save_folder
from transformers import pipeline

from signx_hf import SignXError
from signx_hf.cli import main
from signx_hf.data.schema import encode_poses, make_row, to_dataset
from signx_hf.processing.answers_signx import known_score

TASK = "sign-recognition"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_folder(tmp_path_factory.mktemp("known"), "SignXForLatentCTC")


@pytest.fixture(scope="module")
def recognizer(folder):
    return pipeline(TASK, model=str(folder), device="cpu")


@pytest.fixture
def config(recognizer):
    yield recognizer.model.config
    recognizer.model.config.rejection_threshold = None


def clip(seed: int = 0, frames: int = 30) -> dict:
    return {**make_poses(frames, seed=seed), "fps": FPS}


def segment(confidence) -> dict:
    return {"gloss": "A", "start": 0.0, "end": 1.0, "confidence": confidence}


def test_known_is_the_mean_confidence():
    assert known_score([segment(0.2), segment(None), segment(0.9)]) == pytest.approx(0.55)
    assert known_score([]) == known_score([segment(None)]) == 0.0


def test_results_say_how_known_a_clip_is(recognizer):
    for seed in range(3):
        found = recognizer(clip(seed))
        values = [part["confidence"] for part in found["segments"] if part["confidence"] is not None]
        assert found["known"] == pytest.approx(np.mean(values)) and "sure" not in found and "reason" not in found


def test_below_the_threshold_there_are_no_glosses(recognizer, config):
    plain = recognizer(clip())
    assert plain["glosses"]
    for threshold, sure in ((plain["known"], True), (plain["known"] + 1e-6, False)):
        found = recognizer(clip(), threshold=threshold)
        config.rejection_threshold = threshold
        assert recognizer(clip()) == found and recognizer(clip(), threshold="none") == plain
        config.rejection_threshold = None
        if sure:
            assert found == {**plain, "sure": True}
        else:
            assert "below the threshold" in found.pop("reason")
            assert found == {**plain, "sure": False, "glosses": [], "text": "", "segments": []} and found["n_best"]


def test_options_of_a_batch_and_of_the_pipeline(folder, recognizer):
    clips = [clip(seed, 20 + seed) for seed in range(4)]
    known = sorted(found["known"] for found in recognizer(clips))
    threshold = (known[1] + known[2]) / 2
    strict = pipeline(TASK, model=str(folder), device="cpu", threshold=threshold)
    assert sum(found["sure"] for found in strict(clips, batch_size=4)) == 2
    assert [found["sure"] for found in strict(clips)] == [found["known"] >= threshold for found in recognizer(clips)]


@pytest.mark.parametrize("threshold", [1.1, -0.1, "sometimes", True, float("nan")])
def test_thresholds_that_are_refused(recognizer, threshold):
    with pytest.raises(SignXError, match="`threshold` must be a number from 0 to 1 .*'known'.* or 'none'"):
        recognizer(clip(), threshold=threshold)


def test_long_recordings_are_judged_stretch_by_stretch(recognizer, config):
    long = {name: np.concatenate([part, np.repeat(part[-1:], 60, 0)] * 3) for name, part in make_poses(40).items()}
    plain = recognizer({**long, "fps": FPS}, chunk_length_s=2.5)
    counts = len(plain["segments"])
    assert counts > 2 and plain["known"] == pytest.approx(np.mean([part["confidence"] for part in plain["segments"]]))
    all_sure, none_sure = (recognizer({**long, "fps": FPS}, chunk_length_s=2.5, threshold=t) for t in (0.0, 1.0))
    assert all_sure["glosses"] == plain["glosses"] and all_sure["sure"] is True
    assert (none_sure["glosses"], none_sure["segments"], none_sure["sure"]) == ([], [], False)
    assert "below the threshold" in none_sure["reason"] and none_sure["known"] == plain["known"]


def test_align_asks_nobody(recognizer, config):
    glosses = recognizer(clip())["glosses"]
    plain = recognizer.align(clip(), glosses)
    config.rejection_threshold = 1.0
    assert recognizer.align(clip(), glosses) == plain and plain["segments"]


# ----- commands --------------------------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path):
    """A model, clips with a sentence each that is nearly what it reads, and clips of which it is less sure."""
    save_folder(tmp_path / "model", "SignXForLatentCTC")
    recognizer = pipeline(TASK, model=str(tmp_path / "model"), device="cpu")
    found = {seed: recognizer(clip(seed)) for seed in range(12)}
    ranked = sorted(found, key=lambda seed: found[seed]["known"])
    rows = {"unknown": [], "clips": []}
    for place_, seed in enumerate(ranked):
        glosses = list(found[seed]["glosses"])
        if place_ % 2:  # the model has the first of them wrong
            glosses[:1] = ["#IF" if glosses[:1] != ["#IF"] else "WETTER"]
        kind = "unknown" if place_ < 4 else "clips"
        poses = encode_poses(make_poses(30, seed=seed), fps=FPS)
        rows[kind].append(make_row(id=f"{kind}/{seed}", glosses=glosses or ["#IF"], poses=poses, split="dev"))
        np.savez(tmp_path / f"{kind}_{place_}.npz", **clip(seed))
    for kind, part in rows.items():
        to_dataset(part, "dev").save_to_disk(tmp_path / kind)
    return tmp_path


def run(capsys, *words) -> tuple[int, str, list[str]]:
    code = main([str(word) for word in words])
    printed = capsys.readouterr()
    return code, printed.out, printed.err.splitlines()


def test_calibrate_fits_a_threshold_and_recognize_heeds_it(place, capsys, tmp_path):
    pytest.importorskip("jiwer")
    given = ["--model", place / "model", "--dataset", place / "clips", "--source", "poses"]
    evaluate = ["evaluate", place / "model", place / "clips", "--split", "dev", "--source", "poses", "--out"]
    assert run(capsys, *evaluate, tmp_path / "before")[0] == 0
    before = json.loads((place / "model" / "config.json").read_text())
    assert run(capsys, "calibrate", *given)[0] == 0
    fitted = json.loads((place / "model" / "config.json").read_text())
    assert fitted["rejection_threshold"] is None is before["rejection_threshold"]
    code, out, errors = run(capsys, "calibrate", *given, "--unknown", place / "unknown", "--accept-right", 0.99)
    assert code == 0 and any("rests on 4 unknown clips" in line for line in errors)
    threshold = json.loads((place / "model" / "config.json").read_text())["rejection_threshold"]
    assert f"not sure below {threshold:g}" in out and "with an AUROC of" in out
    files = sorted(place.glob("*.npz"))
    code, out, _ = run(capsys, "recognize", *files, "--model", place / "model", "--format", "json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and all(row["sure"] is (row["known"] >= threshold) for row in rows)
    assert all(row["sure"] for row in rows if "/clips_" in row["file"])
    assert all(bool(row["glosses"]) is row["sure"] for row in rows)
    code, out, _ = run(capsys, "recognize", files[0], "--model", place / "model", "--threshold", 1)
    assert (code, out) == (0, "?\n")
    assert run(capsys, *evaluate, tmp_path / "after")[0] == 0  # of every clip, as before
    scores = [json.loads((tmp_path / name / "results.json").read_text())["scores"] for name in ("before", "after")]
    assert scores[0] == scores[1]
    assert run(capsys, *evaluate, tmp_path / "strict", "--threshold", 1)[0] == 0
    strict = json.loads((tmp_path / "strict" / "results.json").read_text())["scores"]["plain"]
    assert strict["deletions"] == strict["words"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--accept-right", "0.9"], "--accept-right needs --unknown"),
        (["--unknown-split", "test"], "--unknown-split needs --unknown"),
        (["--unknown", "nowhere"], "nowhere"),
        (["--vocabulary", "x"], "--vocabulary is for models of isolated signs"),
    ],
)
def test_calibrate_refuses(place, capsys, words, said):
    before = (place / "model" / "config.json").read_bytes()
    given = ["calibrate", "--model", place / "model", "--dataset", place / "clips", "--source", "poses", *words]
    code, out, errors = run(capsys, *given)
    assert (code, out) == (2, "") and said in errors[-1]
    assert (place / "model" / "config.json").read_bytes() == before


def test_live_of_sentences_has_no_threshold(place, capsys):
    words = ["live", "--from-file", place / "clips_5.npz", "--model", place / "model", "--threshold", 0.5]
    code, out, errors = run(capsys, *words)
    assert (code, out) == (2, "") and "--threshold applies to isolated signs" in errors[0]
