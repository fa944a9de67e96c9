"""The pipeline sign-translation: text, words, n-best and times, alone, in a batch and utterance by utterance."""

import json
import math

import numpy as np
import pytest
import torch
from text_models import clips_of, make_text_corpus, train_text_model
from training_runs import SIGNS
from transformers import pipeline

import signx_hf  # noqa: F401  registers the tasks
from signx_hf.processing import Translation
from signx_hf.processing.errors_signx import SignXError


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_text_corpus(tmp_path_factory.mktemp("translation"))


@pytest.fixture(scope="module")
def models(corpus, tmp_path_factory):
    """Runs of 30 epochs by option `target`: they write words, not all of them right."""
    folder = tmp_path_factory.mktemp("models")
    for target in ("glosses", "text", "both"):
        train_text_model(corpus, folder / target, target)
    return folder


@pytest.fixture(scope="module")
def clips(corpus):
    return clips_of(corpus)


@pytest.mark.parametrize("target", ["text", "both"])
def test_text_is_that_of_generate_and_words_have_the_probability_of_their_pieces(target, models, clips):
    translate = pipeline("sign-translation", model=str(models / target / "model"), num_beams=3)
    result = translate(clips[0])
    model, processor = translate.model, translate.processor
    batch = processor(poses=clips[0])
    ids = model.generate(**batch, task="text", num_beams=3, length_penalty=0.7, ctc_weight=0.0)
    text = processor.batch_decode(ids, skip_special_tokens=True)[0]
    assert result["text"] == text == " ".join(word["word"] for word in result["words"]) and text
    # the decoder, one piece at a time
    logs, pieces = [], []
    for position in range(1, ids.shape[1]):
        with torch.no_grad():
            logits = model(**batch, decoder_input_ids=ids[:, :position]).logits[0, -1]
        piece = int(ids[0, position])
        if piece >= 6:
            pieces.append(float(logits.log_softmax(-1)[piece]))
            if processor.tokenizer.is_gloss_end(piece):
                logs.append(pieces)
                pieces = []
    expected = [math.exp(np.mean(values)) for values in logs]
    assert [word["confidence"] for word in result["words"]][: len(expected)] == pytest.approx(expected, rel=1e-4)
    frames = len(clips[0]["hands"])
    assert result["sentences"] == [
        {"text": text, "start": 0.0, "end": result["duration"], "confidence": pytest.approx(math.exp(np.mean(sum(logs, []))), rel=1e-4)}
    ]  # fmt: skip
    assert result["duration"] == pytest.approx(frames / 30, abs=1e-3)
    assert Translation.from_dict(json.loads(json.dumps(result))).to_dict() == result


def test_n_best_is_sorted_and_begins_with_the_text(models, clips):
    translate = pipeline("sign-translation", model=str(models / "both" / "model"))
    result = translate(clips[1], n_best=3)
    scores = [hypothesis["score"] for hypothesis in result["n_best"]]
    assert (
        len(scores) == 3 and scores == sorted(scores, reverse=True) and result["n_best"][0]["text"] == result["text"]
    )


def test_a_batch_gives_the_texts_of_single_clips(models, clips):
    translate = pipeline("sign-translation", model=str(models / "both" / "model"))
    for alone, batched in zip([translate(clip) for clip in clips], translate(clips, batch_size=4)):
        assert alone["text"] == batched["text"]
        assert alone["confidence"] == pytest.approx(batched["confidence"], rel=1e-3)


def test_a_recording_gives_one_sentence_for_each_utterance(models, clips):
    translate = pipeline("sign-translation", model=str(models / "both" / "model"))
    rest = np.zeros((90, 6))
    recording = {"hands": np.concatenate([clips[0]["hands"], rest, clips[1]["hands"], rest])}
    result = translate(recording, chunk_length_s=8.0, n_best=2)
    assert result["text"] == " ".join(sentence["text"] for sentence in result["sentences"])
    times = [time for sentence in result["sentences"] for time in (sentence["start"], sentence["end"])]
    assert times == sorted(times) and times[-1] <= result["duration"] == pytest.approx(
        len(recording["hands"]) / 30, abs=1e-3
    )
    assert len(result["n_best"]) <= 2 and result["n_best"][0]["text"] == result["text"]


def test_a_model_of_both_tasks_still_recognizes_glosses(models, clips):
    result = pipeline("sign-recognition", model=str(models / "both" / "model"))(clips[0])
    assert set(result["glosses"]) <= set(SIGNS) and len(result["segments"]) == len(result["glosses"])


@pytest.mark.parametrize(
    "task, target, words",
    [
        ("sign-translation", "glosses", "learned glosses, not text.*target: text"),
        ("sign-recognition", "text", "learned text, not glosses.*sign-translation"),
    ],
)
def test_a_model_is_not_asked_for_what_it_never_learned(task, target, words, models):
    with pytest.raises(SignXError, match=words):
        pipeline(task, model=str(models / target / "model"))


@pytest.mark.parametrize(
    "option", [{"ctc_weight": 0.3}, {"decoder": "ctc"}, {"hot_words": {"WORK": 2.0}}, {"threshold": 0.5}]
)
def test_what_scores_glosses_is_refused(option, models, clips):
    translate = pipeline("sign-translation", model=str(models / "text" / "model"))
    with pytest.raises(ValueError, match=f"no option '{next(iter(option))}'"):
        translate(clips[0], **option)


def test_the_pipeline_travels_with_the_weights(models):
    config = json.loads((models / "both" / "model" / "config.json").read_text())
    assert set(config["custom_pipelines"]) == {"sign-recognition", "sign-translation"}
    assert set(json.loads((models / "text" / "model" / "config.json").read_text())["custom_pipelines"]) == {
        "sign-translation"
    }
    assert set(json.loads((models / "glosses" / "model" / "config.json").read_text())["custom_pipelines"]) == {
        "sign-recognition"
    }
    assert (models / "both" / "model" / "translation_pipeline_signx.py").is_file()


def test_times_count_from_the_start_of_the_file(models, clips):
    translate = pipeline("sign-translation", model=str(models / "both" / "model"))
    plain, later = translate(clips[0]), translate({**clips[0], "fps": 30.0, "start": 2.0})
    assert later["text"] == plain["text"] and later["duration"] == pytest.approx(plain["duration"] + 2)
    assert [later["sentences"][0][key] for key in ("start", "end")] == [2.0, later["duration"]]
