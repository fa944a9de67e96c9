"""BLEU-1 to BLEU-4, chrF and ROUGE-L for the library `evaluate`: `evaluate.load(<folder of this file>)`."""

import datasets
import evaluate

from signx_hf.metrics import bleu, chrf, rouge_l

DESCRIPTION = (
    "BLEU and chrF by sacrebleu with their signatures, and ROUGE-L by rouge-score; at character level for Chinese."
)
INPUTS = """
Args:
    predictions: sentences as strings.
    references: the true sentence of each prediction.
    tokenize: `none` (split at spaces), `13a`, `intl`, `zh` or `char`; with `zh` and `char`, ROUGE-L is of characters.
Returns:
    `bleu_1` to `bleu_4`, `chrf` and `rouge_l` (0 to 100), and the signature of each.
"""


class GlossBLEU(evaluate.Metric):
    """BLEU, chrF and ROUGE-L of gloss or text sentences."""

    def _info(self):
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation="",
            inputs_description=INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(self, predictions, references, tokenize="none"):
        words = bleu(predictions, references, tokenize)
        letters = chrf(predictions, references)
        longest = rouge_l(predictions, references, "char" if tokenize in ("zh", "char") else "word")
        return {
            **words.parts, **letters.parts, **longest.parts, "bleu_signature": words.signature,
            "chrf_signature": letters.signature, "rouge_l_signature": longest.signature,
        }  # fmt: skip
