"""The modules for the library `evaluate`, loaded by it from their folders with no network."""

from pathlib import Path

import pytest

from signx_hf import metrics

evaluate = pytest.importorskip("evaluate")
MODULES = Path(metrics.__file__).parent / "modules"


@pytest.fixture(scope="module")
def load(tmp_path_factory):
    base = tmp_path_factory.mktemp("evaluate")
    return lambda name: evaluate.load(str(MODULES / name), cache_dir=str(base))


def test_gloss_wer(load):
    pytest.importorskip("jiwer")
    module = load("gloss_wer")
    module.add_batch(predictions=["A B", "C"], references=["A X", "C"])
    module.add(prediction="", reference="D")
    found = module.compute(variant="sclite")
    assert found["wer"] == 2 / 4 and (found["substitutions"], found["insertions"], found["deletions"]) == (1, 0, 1)
    assert 0 <= found["interval_low"] <= found["wer"] <= found["interval_high"] <= 1


def test_gloss_bleu(load):
    pytest.importorskip("sacrebleu")
    pytest.importorskip("rouge_score")
    found = load("gloss_bleu").compute(predictions=["我们 今天 去"], references=["我们今天去"], tokenize="zh")
    assert found["bleu_4"] == pytest.approx(100) == found["rouge_l"] and "tok:zh" in found["bleu_signature"]


def test_sign_translation(load):
    pytest.importorskip("sacrebleu")
    pytest.importorskip("rouge_score")
    module = load("sign_translation")
    found = module.compute(
        predictions=["今天天气很好", "明天见吗"], references=["今天天气很好", "明天见吗"], rounds=20
    )
    assert found["bleu_4"] == pytest.approx(100) and "tok:char" in found["bleu_signature"]
    assert found["interval_low"] == pytest.approx(100) == found["mean_sentence_bleu"]
    found = module.compute(predictions=["it will rain ."], references=["it will snow."])
    assert "tok:13a" in found["bleu_signature"] and 0 < found["bleu_1"] < 100


def test_sign_top_n(load):
    found = load("sign_top_n").compute(predictions=[["A", "B"], ["D"]], references=["B", "D"], n=[1, 2])
    assert found == {"top_1": 0.5, "top_1_per_class": 0.5, "top_2": 1.0, "top_2_per_class": 1.0}


def test_segment_times(load):
    truth = [[{"gloss": "A", "start": 0.0, "end": 2.0}], []]
    moved = [[{"gloss": "A", "start": 1.0, "end": 2.0}], []]
    found = load("segment_times").compute(predictions=moved, references=truth)
    assert found["iou"] == 0.5 and found["bias_start_seconds"] == 1.0 and found["matched"] == 1
