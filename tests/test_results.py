"""Result types: the plain dictionaries of the pipelines, their round trip and their types."""

import dataclasses
import json
import typing

import pytest
from make_model import make_poses, save_folder
from transformers import pipeline

import signx_hf
from signx_hf import Candidate, GlossSegment, Hypothesis, Recognition, Rejection, Signer, SignRecognition, Utterance

SIGNER = {"person": None, "people": None, "hand": "left", "mirrored": True}
SEGMENTS = [
    {"gloss": "IX", "start": 0.25, "end": 0.5, "confidence": 0.75},
    {"gloss": "GO", "start": 0.5, "end": 1.0, "confidence": None},
]
# What the pipelines return, key by key.
RESULTS = {
    "clip": {
        "glosses": ["IX", "GO"], "text": "IX GO", "segments": SEGMENTS,
        "n_best": [{"glosses": ["IX", "GO"], "score": -1.5}, {"glosses": ["IX"], "score": -3.0}],
        "duration": 1.25, "signer": SIGNER, "known": 0.75,
    },
    "not sure": {
        "glosses": [], "text": "", "segments": [], "n_best": [{"glosses": ["IX"], "score": -1.5}],
        "duration": 1.25, "signer": None, "known": 0.125, "sure": False, "reason": "not sure: known 0.125",
    },
    "recording": {
        "glosses": ["IX", "GO"], "text": "IX GO", "segments": SEGMENTS, "n_best": [{"glosses": ["IX", "GO"], "score": -1.5}],
        "duration": 9.5, "signer": SIGNER, "known": 0.75, "utterances": [{"start": 0.0, "end": 1.25}], "sure": True,
    },
    "spotting": {
        "glosses": [], "text": "", "segments": [], "n_best": [{"glosses": [], "score": 0.0}],
        "duration": 1.25, "signer": SIGNER, "reason": "no stretch of the recording looks like a sign",
    },
}  # fmt: skip
SIGNS = {
    "sure": {
        "glosses": ["go"], "text": "go", "segments": [{"gloss": "go", "start": 0.25, "end": 1.0, "confidence": 0.75}],
        "candidates": [{"label": "go", "score": 0.75}, {"label": "come", "score": 0.25}],
        "start": 0.25, "end": 1.0, "sure": True, "rejection": {"score": "margin", "value": 0.5, "threshold": 0.125},
        "duration": 1.25, "signer": SIGNER,
    },
    "not sure": {
        "glosses": [], "text": "", "segments": [], "candidates": [{"label": "go", "score": 0.75}],
        "start": 0.25, "end": 1.0, "sure": False, "rejection": {"score": "margin", "value": 0.5, "threshold": 0.625},
        "duration": 1.25, "signer": None, "reason": "not sure: margin 0.5",
    },
    "no threshold": {
        "glosses": ["go"], "text": "go", "segments": [{"gloss": "go", "start": 0.25, "end": 1.0, "confidence": 0.75}],
        "candidates": [{"label": "go", "score": 0.75}],
        "start": 0.25, "end": 1.0, "sure": None, "rejection": {"score": "margin", "value": 0.5, "threshold": None},
        "duration": 1.25, "signer": None,
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "result"),
    [(Recognition, result) for result in RESULTS.values()] + [(SignRecognition, result) for result in SIGNS.values()],
)
def test_a_dictionary_round_trips_with_its_keys_in_order(kind, result):
    typed = kind.from_dict(result)
    assert json.dumps(typed.to_dict()) == json.dumps(result)
    assert kind.from_dict(typed.to_dict()) == typed
    assert kind.from_dict({**result, "video": "clip.mp4"}) == typed, "keys that a file adds are ignored"
    hash(typed)


@pytest.mark.parametrize("name", ["glosses", "segments", "duration"])
def test_a_missing_key_is_an_error(name):
    with pytest.raises(KeyError, match=name):
        Recognition.from_dict({key: value for key, value in RESULTS["clip"].items() if key != name})


@pytest.mark.parametrize(
    "kind", [Candidate, GlossSegment, Hypothesis, Recognition, Rejection, SignRecognition, Signer, Utterance]
)
def test_every_field_has_a_type_and_no_value_changes(kind):
    assert getattr(signx_hf, kind.__name__) is kind
    assert set(typing.get_type_hints(kind)) >= {field.name for field in dataclasses.fields(kind)}
    assert kind.__dataclass_params__.frozen and kind.__doc__


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory):
    return pipeline("sign-recognition", model=str(save_folder(tmp_path_factory.mktemp("model"))), device="cpu")


@pytest.mark.parametrize("threshold", [None, 0.0, 1.0])
@pytest.mark.parametrize("decoder", ["ctc", "attention"])
def test_the_pipeline_returns_the_numbers_of_its_forward_pass(recognizer, decoder, threshold):
    clip = make_poses(30)
    inputs = recognizer.preprocess(clip)
    outputs = recognizer.forward(inputs, decoder=decoder, n_best=2)
    (output,) = outputs["results"]
    values = [s["confidence"] for s in output["segments"] if s["confidence"] is not None]
    known = min(1.0, sum(values) / len(values)) if values else 0.0
    best = output["n_best"][0]["glosses"]
    expected = {
        "glosses": best,
        "text": " ".join(best),
        "segments": [{**s, "start": round(s["start"], 4), "end": round(s["end"], 4)} for s in output["segments"]],
        "n_best": output["n_best"],
        "duration": round(30 / output["metadata"]["fps"], 4),
        "signer": {"person": None, "people": None, "hand": None, "mirrored": False},
        "known": known,
    }
    if threshold is not None and known >= threshold:
        expected["sure"] = True
    elif threshold is not None:
        expected |= {"glosses": [], "text": "", "segments": [], "sure": False}
    result = recognizer.postprocess(outputs, threshold=threshold)
    reason = result.pop("reason", None)
    assert json.dumps(result) == json.dumps(expected)
    assert (reason is not None) == (result.get("sure") is False) and type(result["glosses"]) is list
    assert recognizer.build_result(outputs, threshold).known == known


def test_results_of_a_recording_read_back(recognizer):
    result = recognizer(make_poses(60), decoder="ctc", chunk_length_s=2.0, n_best=2)
    typed = Recognition.from_dict(result)
    assert json.dumps(typed.to_dict()) == json.dumps(result)
    assert typed.utterances is not None and typed.text == result["text"]
