"""Top-n accuracy of isolated signs."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ..processing.errors_signx import SignXError


@dataclass(frozen=True)
class TopN:
    """per_instance: share of clips whose sign is among the first n. per_class: mean of that share over the signs (classes) of
    the references, each counting the same. hits: of each clip, in order."""

    per_instance: float
    per_class: float
    hits: tuple[bool, ...]


def top_n_accuracy(ranked: Sequence[Sequence[str]], references: Sequence[str], n: int = 1) -> TopN:
    """Top-n accuracy per instance and per class (the P-I and P-C of the literature).

    Args:
        ranked: labels of each clip, the most probable first; fewer than n are all that is looked at, none is a miss.

    Raises:
        SignXError: unequal lengths, no clip, n below 1.
    """
    if len(ranked) != len(references):
        raise SignXError(
            f"`ranked` and `references` must have the same length, got {len(ranked)} and {len(references)}."
        )
    if not len(references):
        raise SignXError("`references` must hold at least one clip, got none.")
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise SignXError(f"`n` must be a positive integer, got {n!r}.")
    if any(isinstance(labels, str) for labels in ranked):
        raise SignXError("`ranked` must hold a list of labels for each clip, most probable first, got a string.")
    hits = tuple(reference in list(labels)[:n] for labels, reference in zip(ranked, references))
    classes: dict[str, list[bool]] = defaultdict(list)
    for reference, hit in zip(references, hits):
        classes[reference].append(hit)
    shares = [sum(classes[name]) / len(classes[name]) for name in sorted(classes)]
    return TopN(sum(hits) / len(hits), sum(shares) / len(shares), hits)
