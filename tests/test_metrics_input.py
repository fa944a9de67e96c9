"""What metrics are given in practice: generators, columns, empty cells of a table. A number or one line, never a TypeError."""

import math

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset

from signx_hf import metrics
from signx_hf.metrics import (
    align_sclite,
    auroc,
    best_clip_bleu_1,
    best_sample_bleu_1,
    bleu,
    bootstrap_interval,
    boundary_error,
    chrf,
    dtw_mpjpe,
    edits,
    expected_calibration_error,
    judge,
    match_segments,
    mean_sentence_bleu,
    mpjpe,
    paired_test,
    paired_text_test,
    real_time_factor,
    rouge_l,
    segment_iou,
    sentence_scores,
    text_interval,
    top_n_accuracy,
    wer,
)
from signx_hf.processing.errors_signx import SignXError

pytest.importorskip("jiwer")
SAID, SIGNED = ["IX WORK", "FINISH", "A A B"], ["IX FINISH", "FINISH", "A B"]
SPAN = [{"gloss": "A", "start": 0.0, "end": 1.0}]
LATE = [{"gloss": "A", "start": 0.5, "end": 1.5}]
POSES = [[[0.0, 1.0], [1.0, 2.0]], [[0.0, 1.0], [3.0, 2.0]]]
CALLS = {  # name -> function, its lists
    "wer": (wer, SAID, SIGNED),
    "edits": (edits, SAID, SIGNED),
    "bleu": (bleu, SAID, SIGNED),
    "chrf": (chrf, SAID, SIGNED),
    "rouge_l": (rouge_l, SAID, SIGNED),
    "mean_sentence_bleu": (mean_sentence_bleu, SAID, SIGNED),
    "best_clip_bleu_1": (best_clip_bleu_1, SAID, SIGNED),
    "sentence_scores": (sentence_scores, SAID, SIGNED),
    "text_interval": (text_interval, SAID, SIGNED),
    "paired_text_test": (paired_text_test, SAID, SIGNED, SIGNED),
    "best_sample_bleu_1": (best_sample_bleu_1, [["A B", "A"], ["B"]], ["A B", "B"]),
    "align_sclite": (align_sclite, ["IX", "WORK"], ["IX", "FINISH"]),
    "judge": (judge, ["IX", "WORK"], ["IX", "FINISH"]),
    "top_n_accuracy": (top_n_accuracy, [["A", "B"], ["B", "A"]], ["A", "A"]),
    "boundary_error": (boundary_error, [SPAN, LATE], [LATE, LATE]),
    "segment_iou": (segment_iou, [SPAN, LATE], [LATE, LATE]),
    "match_segments": (match_segments, SPAN, LATE),
    "real_time_factor": (real_time_factor, [1.0, 2.0], [2.0, 3.0]),
    "auroc": (auroc, [0.9, 0.4], [0.5, 0.1]),
    "expected_calibration_error": (expected_calibration_error, [0.9, 0.4], [True, False]),
    "bootstrap_interval": (bootstrap_interval, [1.0, 0.0, 2.0], [3.0, 4.0, 5.0]),
    "paired_test": (paired_test, [1.0, 0.0], [2.0, 1.0], [3.0, 4.0]),
    "mpjpe": (mpjpe, POSES, POSES[::-1]),
    "dtw_mpjpe": (dtw_mpjpe, POSES, POSES[::-1]),
}
LIBRARIES = {"bleu": "sacrebleu", "chrf": "sacrebleu", "best_sample_bleu_1": "sacrebleu", "rouge_l": "rouge_score"}
LIBRARIES |= {"mean_sentence_bleu": "sacrebleu", "best_clip_bleu_1": "sacrebleu", "sentence_scores": "rouge_score"}
LIBRARIES |= {"text_interval": "sacrebleu", "paired_text_test": "sacrebleu"}


def call(name):
    if name in LIBRARIES:
        pytest.importorskip(LIBRARIES[name])
    function, *lists = CALLS[name]
    return function, lists


def test_every_metric_is_called():
    functions = {name for name in metrics.__all__ if name[0].islower()}
    assert functions == CALLS.keys()


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("kind", [tuple, iter, lambda items: (item for item in items), lambda items: pd.Series(items)])
def test_any_iterable_gives_the_number_of_a_list(name, kind):
    function, lists = call(name)
    assert function(*map(kind, lists)) == function(*lists)


@pytest.mark.parametrize("name", ["wer", "edits", "bleu", "chrf", "rouge_l"])
def test_columns_and_arrays_of_sentences(name):
    function, lists = call(name)
    dataset = Dataset.from_dict({"said": SAID, "signed": SIGNED})
    assert function(dataset["said"], dataset["signed"]) == function(*lists) == function(*map(np.array, lists))


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("bad", [None, math.nan, 5, object(), {"a": 1}], ids=("None", "nan", "5", "object", "dict"))
def test_what_is_no_list_and_no_item_is_refused_in_one_line(name, place, bad):
    function, lists = call(name)
    whole = [bad if index == place else items for index, items in enumerate(lists)]
    cell = [[bad, *items[1:]] if index == place else items for index, items in enumerate(lists)]
    numeric = name in ("real_time_factor", "auroc", "bootstrap_interval", "paired_test", "expected_calibration_error")
    for given in (whole, *([] if numeric and bad == 5 else [cell])):
        if name == "top_n_accuracy" and (place, bad) == (1, 5) and given is cell:
            continue  # a label may be a number
        with pytest.raises(SignXError) as caught:
            function(*given)
        assert "\n" not in str(caught.value)


def test_the_cell_is_named():
    with pytest.raises(
        SignXError, match=r"`hypotheses\[0\]` must be a sentence, as text or a list of glosses, got None"
    ):
        wer([None], ["A"])
    with pytest.raises(SignXError, match=r"`references\[1\]` must be a sentence.*got nan\. Write an empty one as ''"):
        wer(["A", "B"], pd.Series(["A", math.nan], dtype=object))
    with pytest.raises(SignXError, match=r"`hypotheses\[0\]` must be a sentence"):
        wer([["A", None]], ["A"])
    with pytest.raises(SignXError, match="`hypotheses` must be a list of sentences, got a string"):
        wer("A", "A")
    with pytest.raises(SignXError, match=r"`references\[1\]` must be a label"):
        top_n_accuracy([["A"], ["B"]], ["A", None])
    with pytest.raises(SignXError, match="clip 0, segment 0 must have a gloss, a start and an end"):
        boundary_error([[{"gloss": "A"}]], [SPAN])
    assert align_sclite("IX WORK", ["IX"]) == [("IX", "IX"), ("WORK", None)], "text is a sentence, not its letters"
