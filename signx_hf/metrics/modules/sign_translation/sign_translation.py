"""Scores of translations of signing for the library `evaluate`: `evaluate.load(<folder of this file>)`."""

import datasets
import evaluate

from signx_hf.metrics import bleu, chrf, mean_sentence_bleu, rouge_l, text_interval
from signx_hf.metrics.text import BY_CHARACTER, tokenization_of

DESCRIPTION = "BLEU-1 to BLEU-4 with 95 % interval, chrF, ROUGE-L and mean sentence BLEU of translations; of characters for Chinese and Japanese."
INPUTS = """
Args:
    predictions: translations as strings.
    references: the true text of each.
    tokenize: `13a`, `intl`, `none`, `zh` or `char`; None: `char` for text without spaces, such as Chinese, else `13a`.
    rounds: draws of the bootstrap over sentences.
    seed: seed of the bootstrap.
Returns:
    `bleu_1` to `bleu_4`, `chrf`, `rouge_l` and `mean_sentence_bleu` (0 to 100), `interval_low` and `interval_high` of
    `bleu_4`, and the signatures.
"""


class SignTranslation(evaluate.Metric):
    """Scores of translations."""

    def _info(self):
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation="",
            inputs_description=INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(self, predictions, references, tokenize=None, rounds=2000, seed=0):
        tokenize = tokenization_of(references) if tokenize is None else tokenize
        words, letters = bleu(predictions, references, tokenize), chrf(predictions, references)
        longest = rouge_l(predictions, references, "char" if tokenize in BY_CHARACTER else "word")
        mean = mean_sentence_bleu(predictions, references, tokenize)
        low, high = text_interval(predictions, references, "bleu_4", tokenize, rounds=rounds, seed=seed)
        return {
            **words.parts, **letters.parts, **longest.parts, "mean_sentence_bleu": mean.score, "interval_low": low,
            "interval_high": high, "bleu_signature": words.signature, "chrf_signature": letters.signature,
            "rouge_l_signature": longest.signature, "mean_sentence_bleu_signature": mean.signature,
        }  # fmt: skip
