"""Top-n accuracy of isolated signs."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..processing.errors_signx import SignXError
from .arrays import listed


@dataclass(frozen=True)
class TopN:
    """Top-n accuracy of a set of clips.

    Attributes:
        per_instance: Share of clips whose sign is among the first n.
        per_class: Mean of that share over the signs of the references, each sign weighted equally.
        hits: Whether each clip is a hit, in order.
    """

    per_instance: float
    per_class: float
    hits: tuple[bool, ...]


def top_n_accuracy(ranked: Iterable[Iterable[str]], references: Iterable[str], n: int = 1) -> TopN:
    """Compute top-n accuracy per instance and per class (P-I and P-C in the literature).

    Args:
        ranked: Labels of each clip, most probable first. Fewer than n are allowed; none is a miss.
        references: The label of each clip.
        n: How many of the first labels count.

    Raises:
        SignXError: If lengths differ, there is no clip, something is no label, or `n` is below 1.
    """
    ranked, references = listed("ranked", ranked, "labels of each clip"), listed("references", references, "labels")
    if len(ranked) != len(references):
        raise SignXError(
            f"`ranked` and `references` must have the same length, got {len(ranked)} and {len(references)}."
        )
    if not references:
        raise SignXError("`references` must hold at least one clip, got none.")
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise SignXError(f"`n` must be a positive integer, got {n!r}.")
    if any(isinstance(labels, str) for labels in ranked):
        raise SignXError("`ranked` must hold a list of labels for each clip, most probable first, got a string.")
    ranked = [listed(f"ranked[{index}]", labels, "labels") for index, labels in enumerate(ranked)]
    for index, label in enumerate(references):
        if not isinstance(label, (str, int, np.integer)):
            raise SignXError(f"`references[{index}]` must be a label, as text or a number, got {label!r:.80}.")
    hits = tuple(reference in labels[:n] for labels, reference in zip(ranked, references))
    classes: dict[str, list[bool]] = defaultdict(list)
    for reference, hit in zip(references, hits):
        classes[reference].append(hit)
    shares = [
        sum(classes[name]) / len(classes[name])
        for name in sorted(classes, key=lambda name: (isinstance(name, str), name))
    ]
    return TopN(sum(hits) / len(hits), sum(shares) / len(shares), hits)
