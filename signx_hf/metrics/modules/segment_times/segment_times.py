"""Boundary errors and intersection over union of gloss segments for `evaluate`: `evaluate.load(<folder of this file>)`."""

import datasets
import evaluate

from signx_hf.metrics import boundary_error, segment_iou

DESCRIPTION = "Boundary errors of correctly recognized glosses, and how much of the true segments they cover."
INPUTS = """
Args:
    predictions: for each clip a list of segments, `{"gloss", "start", "end"}`, in seconds and in order.
    references: the true segments of each clip.
Returns:
    `matched`, `segments`, `mean_seconds`, `median_seconds`, `bias_start_seconds` and `bias_end_seconds` (None without a
    match), and `iou`.
"""


class SegmentTimes(evaluate.Metric):
    """Boundary errors and overlap of gloss segments."""

    def _info(self):
        segment = {
            "gloss": datasets.Value("string"),
            "start": datasets.Value("float64"),
            "end": datasets.Value("float64"),
        }
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation="",
            inputs_description=INPUTS,
            features=datasets.Features({"predictions": [segment], "references": [segment]}),
        )

    def _compute(self, predictions, references):
        error = boundary_error(predictions, references)
        return {
            "matched": error.matched, "segments": error.references, "mean_seconds": error.mean,
            "median_seconds": error.median, "bias_start_seconds": error.bias_start, "bias_end_seconds": error.bias_end,
            "iou": segment_iou(predictions, references),
        }  # fmt: skip
