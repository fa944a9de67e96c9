"""Word error rate over glosses."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..common.extras import require
from ..data.cleanup import clean_glosses
from ..data.schema import words
from ..processing.errors_signx import SignXError
from .alignment import align_sclite, count_edits
from .arrays import sentences_of

VARIANTS = ("plain", "sclite", "phoenix14", "phoenix14t", "csl_daily")
ALIGNMENTS = ("unit", "sclite")
Sentence = str | Sequence[str]
FIRST_LETTER = 0xF0000  # a private-use plane of Unicode: 65,534 characters that are not whitespace


@dataclass(frozen=True)
class ErrorRate:
    """Edits over a corpus: `rate = (substitutions + insertions + deletions) / references`, as a fraction.

    A corpus of empty references has the rate 0 without insertions and infinity with them.

    Attributes:
        substitutions: Number of substituted glosses.
        insertions: Number of inserted glosses.
        deletions: Number of deleted glosses.
        references: Number of glosses in all references.
    """

    substitutions: int
    insertions: int
    deletions: int
    references: int

    @property
    def errors(self) -> int:
        """Number of edits."""
        return self.substitutions + self.insertions + self.deletions

    @property
    def rate(self) -> float:
        """Edits per word of the references."""
        if self.references:
            return self.errors / self.references
        return float("inf") if self.errors else 0.0


def wer(
    hypotheses: Iterable[Sentence],
    references: Iterable[Sentence],
    variant: str = "plain",
    alignment: str | None = None,
) -> ErrorRate:
    """Compute the word error rate of a corpus: the edits of the cheapest alignments over the words of the references.

    Args:
        hypotheses: Predicted gloss sentences, as strings or lists. An empty one counts as deletions only.
        references: True gloss sentences, in the same order. An empty one counts as insertions only.
        variant: Cleanup of both sides before counting (`signx_hf/data/cleanup.py`); `plain` and `sclite` clean
            nothing.
        alignment: `unit` (each edit costs 1, jiwer) or `sclite` (deletion 3, insertion 3, substitution 4,
            case-sensitive). None: `sclite` for the variant of that name, else `unit`.

    Raises:
        SignXError: If the numbers of sentences differ, one is neither text nor a list of glosses (such as None or NaN),
            or the variant or alignment is unknown.
        ImportError: If jiwer is missing, which computes the `unit` alignment. The message names the extra.
    """
    counted = edits(hypotheses, references, variant, alignment)
    return ErrorRate(*(sum(getattr(rate, name) for rate in counted) for name in ErrorRate.__dataclass_fields__))


def edits(
    hypotheses: Iterable[Sentence],
    references: Iterable[Sentence],
    variant: str = "plain",
    alignment: str | None = None,
) -> list[ErrorRate]:
    """Compute the edits of each sentence; they add up to those of `wer`. Arguments and errors as in `wer`."""
    hypotheses, references = sentence_pairs(hypotheses, references)
    if variant not in VARIANTS:
        raise SignXError(f"`variant` must be one of {', '.join(VARIANTS)}, got {variant!r}.")
    costs = alignment or ("sclite" if variant == "sclite" else "unit")
    if costs not in ALIGNMENTS:
        raise SignXError(f"`alignment` must be one of {', '.join(ALIGNMENTS)}, got {alignment!r}.")
    cleanup = "none" if variant in ("plain", "sclite") else variant
    count = _unit_edits if costs == "unit" else lambda left, right: count_edits(align_sclite(left, right))
    rates = []
    for hypothesis, reference in zip(hypotheses, references):
        predicted, expected = (clean_glosses(words(side), cleanup) for side in (hypothesis, reference))
        rates.append(ErrorRate(*count(expected, predicted), len(expected)))
    return rates


def sentence_pairs(
    hypotheses: Iterable[Sentence], references: Iterable[Sentence]
) -> tuple[list[Sentence], list[Sentence]]:
    """Return both sides as lists; raise SignXError for what is no sentence, and for unequal numbers of them."""
    predicted, expected = sentences_of("hypotheses", hypotheses), sentences_of("references", references)
    check_lengths(predicted, expected)
    return predicted, expected


def check_lengths(hypotheses: Sequence, references: Sequence) -> None:
    """Raise SignXError for unequal numbers of sentences."""
    if len(hypotheses) != len(references):
        raise SignXError(
            f"`hypotheses` and `references` must have the same length, got {len(hypotheses)} and {len(references)}."
        )


def _unit_edits(reference: list[str], hypothesis: list[str]) -> tuple[int, int, int]:
    """Count the substitutions, insertions and deletions of jiwer's alignment."""
    if not reference or not hypothesis:  # nothing to align, and jiwer refuses empty references
        return 0, len(hypothesis), len(reference)
    # encode each gloss as one character, which jiwer cannot split
    table: dict[str, str] = {}
    for gloss in [*reference, *hypothesis]:
        table.setdefault(gloss, chr(FIRST_LETTER + len(table)))
    out = require("jiwer").process_words(
        *(" ".join(table[gloss] for gloss in side) for side in (reference, hypothesis))
    )
    return out.substitutions, out.insertions, out.deletions
