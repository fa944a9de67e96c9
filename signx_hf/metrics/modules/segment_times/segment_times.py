"""Boundary errors and intersection over union of gloss segments for `evaluate`: `evaluate.load(<folder of this file>)`."""

import datasets
import evaluate

from signx_hf.metrics import boundary_error, segment_iou

DESCRIPTION = (
    "How far starts and ends of rightly recognized glosses are off, and how much of the true segments they cover."
)
INPUTS = """
predictions, references: for each clip a list of segments, {"gloss", "start", "end"}, in seconds and in order.
Returns matched, segments, mean_seconds, median_seconds, bias_start_seconds, bias_end_seconds (None without a match) and iou.
"""


class SegmentTimes(evaluate.Metric):
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
