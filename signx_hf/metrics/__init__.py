"""Metrics as pure functions; `modules/` wraps them for the library `evaluate`."""

from .accuracy import TopN, top_n_accuracy
from .alignment import align_sclite, judge
from .calibration import expected_calibration_error
from .detection import auroc
from .error_rate import VARIANTS, ErrorRate, edits, wer
from .pose_distance import dtw_mpjpe, mpjpe
from .significance import bootstrap_interval, paired_test
from .text import (
    TextScore,
    best_clip_bleu_1,
    best_sample_bleu_1,
    bleu,
    chrf,
    mean_sentence_bleu,
    rouge_l,
    sentence_scores,
)
from .text_significance import paired_text_test, text_interval
from .times import BoundaryError, boundary_error, match_segments, real_time_factor, segment_iou

__all__ = [
    "VARIANTS",
    "BoundaryError",
    "ErrorRate",
    "TextScore",
    "TopN",
    "align_sclite",
    "auroc",
    "best_clip_bleu_1",
    "best_sample_bleu_1",
    "bleu",
    "bootstrap_interval",
    "boundary_error",
    "chrf",
    "dtw_mpjpe",
    "edits",
    "expected_calibration_error",
    "judge",
    "match_segments",
    "mean_sentence_bleu",
    "mpjpe",
    "paired_test",
    "paired_text_test",
    "real_time_factor",
    "rouge_l",
    "segment_iou",
    "sentence_scores",
    "text_interval",
    "top_n_accuracy",
    "wer",
]
