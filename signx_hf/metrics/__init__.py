"""Metrics as pure functions; `modules/` wraps them for the library `evaluate`."""

from .accuracy import TopN, top_n_accuracy
from .alignment import align_sclite, judge
from .calibration import expected_calibration_error
from .detection import auroc
from .error_rate import VARIANTS, ErrorRate, edits, wer
from .pose_distance import dtw_mpjpe, mpjpe
from .significance import bootstrap_interval, paired_test
from .text import TextScore, best_sample_bleu_1, bleu, chrf, rouge_l
from .times import BoundaryError, boundary_error, match_segments, real_time_factor, segment_iou

__all__ = [
    "VARIANTS",
    "BoundaryError",
    "ErrorRate",
    "TextScore",
    "TopN",
    "align_sclite",
    "auroc",
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
    "mpjpe",
    "paired_test",
    "real_time_factor",
    "rouge_l",
    "segment_iou",
    "top_n_accuracy",
    "wer",
]
