"""The pipeline of isolated signs: vocabulary, "not sure", and what comes back."""

import json
import math

import numpy as np
import pytest
import torch
from make_model import GLOSSES, make_frames, make_poses, save_folder
from transformers import pipeline

from signx_hf import SignXConfig, SignXError
from signx_hf.modeling import configuration_signx
from signx_hf.processing import answers_signx
from signx_hf.processing.answers_signx import REJECTION, rejection_scores
from signx_hf.processing.vocabulary_signx import nearest_glosses

TASK = "isolated-sign-recognition"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    labels = dict(enumerate(GLOSSES))
    return save_folder(tmp_path_factory.mktemp("isolated"), "SignXForSignClassification", id2label=labels)


@pytest.fixture(scope="module")
def classifier(folder):
    return pipeline(TASK, model=str(folder), device="cpu")


@pytest.fixture
def config(classifier):
    """The config of the classifier, as it was after the test."""
    before = vars(classifier.model.config).copy()
    yield classifier.model.config
    for name in ("rejection_score", "rejection_threshold", "confidence_temperature"):
        setattr(classifier.model.config, name, before[name])


def logits_of(classifier, clip) -> np.ndarray:
    with torch.no_grad():
        return classifier.model(**classifier.processor(poses=clip)).logits[0].double().numpy()


def softmax(values: np.ndarray) -> np.ndarray:
    return np.exp(values - values.max()) / np.exp(values - values.max()).sum()


# ----- vocabulary ------------------------------------------------------------------------------------------------------


def test_scores_are_a_softmax_over_the_vocabulary_alone(classifier, tmp_path):
    clip, chosen = make_poses(), ["#IF", "天气", "IX-1p"]
    places = [GLOSSES.index(gloss) for gloss in chosen]
    expected = dict(zip(chosen, softmax(logits_of(classifier, clip)[places])))
    found = classifier(clip, vocabulary=chosen)
    assert {item["label"]: item["score"] for item in found} == pytest.approx(expected, abs=1e-5)
    assert [item["score"] for item in found] == sorted((item["score"] for item in found), reverse=True)
    (tmp_path / "list.txt").write_bytes("\ufeff #IF\r\n\n天气\nIX-1p  \n#IF\n".encode())
    for same in (
        chosen[::-1],
        chosen * 2,
        set(chosen),
        tuple(chosen),
        str(tmp_path / "list.txt"),
        tmp_path / "list.txt",
    ):
        assert classifier(clip, vocabulary=same) == found
    assert classifier(clip, vocabulary=["#IF"]) == [{"label": "#IF", "score": 1.0}]


def test_a_vocabulary_of_the_pipeline_holds_for_every_call(folder, classifier):
    clips, chosen = [make_poses(n, seed=n) for n in (5, 20, 9)], ["WETTER", "#IF"]
    restricted = pipeline(TASK, model=str(folder), device="cpu", vocabulary=chosen, top_k=1)
    alone = [classifier(clip, vocabulary=chosen, top_k=1) for clip in clips]
    assert [restricted(clip) for clip in clips] == alone
    for one, batched in zip(alone, restricted(clips, batch_size=3)):
        assert batched[0]["label"] == one[0]["label"] and batched[0]["score"] == pytest.approx(
            one[0]["score"], abs=1e-5
        )


@pytest.mark.parametrize(
    ("vocabulary", "words"),
    [
        ([], "at least one gloss"),
        (["wetter"], "'wetter' is no sign of the model; the nearest are WETTER"),
        (["JOHN", "#IF"], "'JOHN'"),
        (["NOT-YED", "X", "Y"], r"'NOT-YED' \(and 2 more\) is no sign of the model; the nearest are NOT-YET"),
        (["IX"], "the nearest are IX-1p"),
        (["zzz"], "it knows 7, such as IX-1p"),
        (["#IF", 3], "must hold glosses, which are texts, got 3"),
        (["#IF", " "], "must hold glosses"),
        (7, "must be a list of glosses or the path"),
        ({"#IF": 1}, "must be a list of glosses or the path"),
        ("", "no such file"),
        ("nowhere.txt", "'nowhere.txt': no such file"),
        (".", "is a folder"),
        ("empty.txt", "at least one gloss"),
        ("latin.txt", "is not UTF-8"),
        ("unknown.txt", "'BOOK' is no sign of the model"),
    ],
)
def test_vocabularies_that_are_refused(classifier, tmp_path, monkeypatch, vocabulary, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_text(" \n\n")
    (tmp_path / "latin.txt").write_bytes("GRÜN\n".encode("latin-1"))
    (tmp_path / "unknown.txt").write_text("#IF\nBOOK\n")
    with pytest.raises(SignXError, match=words) as error:
        classifier(make_poses(), vocabulary=vocabulary)
    assert "\n" not in str(error.value)


def test_nearest_glosses_know_case_variants_and_spelling():
    known = ["BOOK", "LOOK", "IX-1p", "IX-2p", "Book_2"]
    assert nearest_glosses("book", known)[0] == "BOOK"
    assert nearest_glosses("ix", known)[:2] == ["IX-1p", "IX-2p"]
    assert nearest_glosses("BOK", known)[0] == "BOOK"
    assert nearest_glosses("天气", known) == []


# ----- not sure --------------------------------------------------------------------------------------------------------


def test_rejection_scores_against_numpy(classifier):
    """Each score from its definition, in double precision, restricted and not."""
    draw = np.random.default_rng(0)
    for ids in (None, [0, 3, 4], [2]):
        for temperature in (1.0, 0.4, 3.0):
            logits = 3 * draw.normal(size=7)
            scaled = logits / temperature
            chosen = scaled if ids is None else scaled[ids]
            shares, best = softmax(chosen), np.sort(softmax(chosen))[::-1]
            expected = {
                "probability": shares.max(),
                "margin": best[0] - (best[1] if len(best) > 1 else 0.0),
                "logit": chosen.max(),
                "energy": math.log(np.exp(chosen).sum()),
                "share": np.exp(chosen).sum() / np.exp(scaled).sum(),
                "likelihood": np.exp(chosen.max()) / np.exp(scaled).sum(),
            }
            for name, value in expected.items():
                found = rejection_scores(torch.tensor(logits), name, ids, temperature)
                assert float(found) == pytest.approx(value, abs=1e-5), (name, ids)
            assert expected.keys() == REJECTION.keys()


def test_model_and_pipeline_know_the_same_scores():
    """They travel in two folders that do not import each other."""
    assert tuple(REJECTION) == configuration_signx.REJECTION_SCORES
    assert configuration_signx.UNBOUNDED_SCORES == answers_signx.UNBOUNDED


@pytest.mark.parametrize("score", REJECTION)
def test_below_the_threshold_no_candidate_is_the_answer(classifier, config, score):
    config.rejection_score = score
    clip, plain = make_poses(), classifier(make_poses(), threshold="none")
    assert all("sure" not in item for item in plain)
    value = classifier(clip, details=True)["rejection"]["value"]
    for threshold, sure in ((value - 1e-3, True), (value, True), (value + 1e-3, False)):
        if score not in configuration_signx.UNBOUNDED_SCORES and not 0 <= threshold <= 1:
            continue
        found = classifier(clip, threshold=threshold)
        assert found == [{**item, "sure": sure} for item in plain]
        config.rejection_threshold = threshold  # saved with the model it is the same
        assert classifier(clip) == found and classifier(clip, threshold="none") == plain
        config.rejection_threshold = None


def test_temperature_changes_scores_but_no_rank(classifier, config):
    clip = make_poses()
    sharp = classifier(clip)
    config.confidence_temperature = 4.0
    flat = classifier(clip)
    assert [item["label"] for item in sharp] == [item["label"] for item in flat]
    assert flat[0]["score"] == pytest.approx(softmax(logits_of(classifier, clip) / 4).max(), abs=1e-5)
    assert flat[0]["score"] < sharp[0]["score"]


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan"), True, "0.5", "never", [0.5]])
def test_thresholds_that_are_refused(classifier, threshold):
    with pytest.raises(SignXError, match="threshold must be a number from 0 to 1 .*'probability'.* or 'none', got"):
        classifier(make_poses(), threshold=threshold)


def test_threshold_of_an_unbounded_score(classifier, config):
    config.rejection_score = "energy"
    assert classifier(make_poses(), threshold=-1e6)[0]["sure"] is True
    assert classifier(make_poses(), threshold=1e6)[0]["sure"] is False
    with pytest.raises(SignXError, match="threshold must be a finite number"):
        classifier(make_poses(), threshold=float("inf"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rejection_score": "probablity"}, "rejection_score.* probability, margin"),
        ({"rejection_score": None}, "rejection_score"),
        ({"rejection_threshold": 1.5}, "rejection_threshold.* a number from 0 to 1"),
        ({"rejection_threshold": True}, "rejection_threshold"),
        ({"rejection_threshold": float("nan")}, "rejection_threshold"),
        ({"rejection_threshold": float("inf"), "rejection_score": "logit"}, "a finite number"),
        ({"rejection_treshold": 0.5}, "'rejection_treshold'.*'rejection_threshold'"),
    ],
)
def test_config_refuses(options, words):
    with pytest.raises(ValueError, match=words):
        SignXConfig.tiny(**options)


def test_threshold_is_saved_with_the_model(folder, classifier, tmp_path):
    assert json.loads((folder / "config.json").read_text())["rejection_threshold"] is None
    classifier.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"rejection_score": "margin", "rejection_threshold": 0.25}
    (tmp_path / "config.json").write_text(json.dumps(config))
    again = pipeline(TASK, model=str(tmp_path), device="cpu")
    clip = make_poses()
    best = np.sort(softmax(logits_of(classifier, clip)))[::-1]
    assert again(clip)[0]["sure"] is bool(best[0] - best[1] >= 0.25)
    again.model.save_pretrained(tmp_path / "more")
    saved = json.loads((tmp_path / "more" / "config.json").read_text())
    assert (saved["rejection_score"], saved["rejection_threshold"]) == ("margin", 0.25)


# ----- details ---------------------------------------------------------------------------------------------------------


def test_details_say_the_same_as_the_list(classifier):
    clip = {**make_poses(30), "fps": 15.0}
    candidates = classifier(clip, top_k=3)
    found = classifier(clip, top_k=3, details=True)
    assert found["candidates"] == candidates and found["sure"] is None
    assert found["glosses"] == [candidates[0]["label"]] and found["text"] == candidates[0]["label"]
    assert found["duration"] == pytest.approx(2.0) and 0 <= found["start"] < found["end"] <= 2.0
    (segment,) = found["segments"]
    assert (segment["start"], segment["end"]) == (found["start"], found["end"])
    assert segment["confidence"] == candidates[0]["score"]
    unsure = classifier(clip, top_k=3, details=True, threshold=1.0)
    assert (unsure["sure"], unsure["glosses"], unsure["text"], unsure["segments"]) == (False, [], "", [])
    assert unsure["candidates"] == candidates and "below the threshold of 1" in unsure["reason"]
    clips = [make_poses(n, seed=n) for n in (5, 20, 9)]
    for one, batched in zip(
        [classifier(c, details=True) for c in clips], classifier(clips, batch_size=3, details=True)
    ):
        assert batched["segments"][0]["gloss"] == one["segments"][0]["gloss"]
        assert (batched["start"], batched["end"], batched["duration"]) == (one["start"], one["end"], one["duration"])


def test_logits_are_those_of_the_model(classifier):
    clip = make_poses()
    assert classifier.logits(clip).numpy() == pytest.approx(logits_of(classifier, clip), abs=1e-5)


def test_span_of_a_video_is_where_something_moves(classifier):
    """A still picture, a square that moves, and the still picture again."""
    still, moving = make_frames(1, seed=3)[:1], make_frames(15, seed=3)
    frames = np.concatenate([still.repeat(10, 0), moving, still.repeat(10, 0)])
    found = classifier(frames, details=True, source_fps=15.0)
    assert found["duration"] == pytest.approx(35 / 15, abs=1e-3)
    assert found["start"] == pytest.approx(11 / 15, abs=0.15) and found["end"] == pytest.approx(25 / 15, abs=0.15)


def test_a_long_clip_is_no_single_sign(classifier):
    with pytest.warns(UserWarning, match="12 s were read as one sign"):
        classifier({**make_poses(180), "fps": 15.0})


def test_detecting_the_hand_heeds_the_vocabulary(classifier):
    """Of the picture and its mirror image the one is taken whose best sign of the vocabulary is likelier."""
    chosen = ["WETTER", "#IF"]
    for seed in range(4):
        frames = make_frames(8, seed=seed)
        both = [classifier(clip, vocabulary=chosen)[0]["score"] for clip in (frames, frames[:, :, ::-1].copy())]
        found = classifier(frames, vocabulary=chosen, hand="detect")
        assert found[0]["score"] == pytest.approx(max(both), abs=1e-5)
