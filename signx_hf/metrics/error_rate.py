"""Word error rate over glosses."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..data.cleanup import clean_glosses
from ..data.schema import words
from ..extras import require
from ..processing.errors_signx import SignXError

VARIANTS = ("plain", "phoenix14", "phoenix14t", "csl_daily")


@dataclass(frozen=True)
class ErrorRate:
    """Edits over a corpus: `rate = (substitutions + insertions + deletions) / references`, a share and not per cent.

    references: words of all references together. A corpus of empty references only has the rate 0 without, infinity with
    insertions.
    """

    substitutions: int
    insertions: int
    deletions: int
    references: int

    @property
    def errors(self) -> int:
        return self.substitutions + self.insertions + self.deletions

    @property
    def rate(self) -> float:
        if self.references:
            return self.errors / self.references
        return float("inf") if self.errors else 0.0


def wer(
    hypotheses: Sequence[str | Sequence[str]], references: Sequence[str | Sequence[str]], variant: str = "plain"
) -> ErrorRate:
    """Word error rate of a corpus: edits of the cheapest alignments (each costs 1) over the words of the references.

    Args:
        hypotheses, references: gloss sentences, as strings or lists, in the same order. Both may be empty sentences.
        variant: clean-up of both sides before counting (`signx_hf/data/cleanup.py`), `plain` for none.

    Raises:
        SignXError: unequal numbers of sentences, an unknown variant.
        ImportError: names the extra that brings jiwer, which does the alignment.
    """
    if len(hypotheses) != len(references):
        raise SignXError(
            f"found {len(hypotheses)} hypotheses and {len(references)} references; wanted one hypothesis for each reference"
        )
    if variant not in VARIANTS:
        raise SignXError(f"variant is {variant!r}; wanted one of {', '.join(VARIANTS)}")
    jiwer = require("jiwer")
    cleanup = "none" if variant == "plain" else variant
    totals = [0, 0, 0, 0]
    pairs = [
        [clean_glosses(words(side), cleanup) for side in (hypothesis, reference)]
        for hypothesis, reference in zip(hypotheses, references)
    ]
    for hypothesis, reference in pairs:
        if not reference or not hypothesis:  # nothing to align, and jiwer takes no empty reference
            counts = (0, len(hypothesis), len(reference))
        else:
            # a gloss is one word whatever characters it holds; as one-letter words jiwer cannot split it again
            table: dict[str, str] = {}
            for gloss in [*reference, *hypothesis]:
                table.setdefault(gloss, chr(0xE000 + len(table)))
            out = jiwer.process_words(
                " ".join(table[gloss] for gloss in reference), " ".join(table[gloss] for gloss in hypothesis)
            )
            counts = (out.substitutions, out.insertions, out.deletions)
        totals = [total + count for total, count in zip(totals, (*counts, len(reference)))]
    return ErrorRate(*totals)
