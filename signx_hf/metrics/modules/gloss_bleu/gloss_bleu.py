"""BLEU-1 to BLEU-4, chrF and ROUGE-L for the library `evaluate`: `evaluate.load(<folder of this file>)`."""

import datasets
import evaluate

from signx_hf.metrics import bleu, chrf, rouge_l

DESCRIPTION = (
    "BLEU and chrF of sacrebleu, with its signatures, and ROUGE-L of rouge-score; at character level for Chinese."
)
INPUTS = """
predictions, references: sentences as strings, one reference each.
tokenize: none (words between spaces), 13a, intl, zh or char; with zh and char ROUGE-L is of characters.
Returns bleu_1 to bleu_4, chrf, rouge_l (0 to 100) and the signature of each.
"""


class GlossBLEU(evaluate.Metric):
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
