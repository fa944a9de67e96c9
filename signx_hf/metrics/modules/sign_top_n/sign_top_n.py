"""Top-n accuracy of isolated signs for the library `evaluate`: `evaluate.load(<folder of this file>)`."""

import datasets
import evaluate

from signx_hf.metrics import top_n_accuracy

DESCRIPTION = "Top-n accuracy of isolated signs, per instance and per class."
INPUTS = """
Args:
    predictions: for each clip a list of labels, most probable first.
    references: the label of each clip.
    n: the ranks to report.
Returns:
    `top_<n>` and `top_<n>_per_class` (fractions) for each n.
"""


class SignTopN(evaluate.Metric):
    """Top-n accuracy of isolated signs."""

    def _info(self):
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation="",
            inputs_description=INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Sequence(datasets.Value("string")), "references": datasets.Value("string")}
            ),
        )

    def _compute(self, predictions, references, n=(1, 5)):
        results = {}
        for rank in n:
            accuracy = top_n_accuracy(predictions, references, rank)
            results[f"top_{rank}"], results[f"top_{rank}_per_class"] = accuracy.per_instance, accuracy.per_class
        return results
