"""Word error rate over glosses for the library `evaluate`: `evaluate.load(<folder of this file>)`."""

import datasets
import evaluate

from signx_hf.metrics import bootstrap_interval, edits

DESCRIPTION = (
    "Word error rate over glosses in named variants, with substitutions, insertions, deletions and a 95 % interval."
)
INPUTS = """
Args:
    predictions: gloss sentences as strings, glosses separated by spaces; empty ones are allowed.
    references: the true gloss sentence of each prediction.
    variant: `plain`, `sclite`, `phoenix14`, `phoenix14t` or `csl_daily`.
    alignment: `unit` or `sclite`; None: that of the variant.
    rounds: draws of the bootstrap over sentences.
    seed: seed of the bootstrap.
Returns:
    `wer` (a fraction), `substitutions`, `insertions`, `deletions`, `words`, `interval_low` and `interval_high`.
"""


class GlossWER(evaluate.Metric):
    """Word error rate over glosses."""

    def _info(self):
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation="",
            inputs_description=INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(self, predictions, references, variant="plain", alignment=None, rounds=2000, seed=0):
        counted = edits(predictions, references, variant, alignment)
        counts = {
            name: sum(getattr(one, name) for one in counted) for name in ("substitutions", "insertions", "deletions")
        }
        wrong, words = sum(counts.values()), sum(one.references for one in counted)
        low, high = bootstrap_interval(
            [one.errors for one in counted], [one.references for one in counted], rounds=rounds, seed=seed
        )
        rate = wrong / words if words else float("inf") if wrong else 0.0
        return {"wer": rate, **counts, "words": words, "interval_low": low, "interval_high": high}
