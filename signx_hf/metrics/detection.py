"""How well a score separates two kinds of clips."""

from collections.abc import Iterable

import numpy as np

from ..processing.errors_signx import SignXError
from .arrays import numbers_of


def auroc(positive: Iterable[float], negative: Iterable[float]) -> float:
    """Compute the area under the ROC curve: the chance that a positive clip scores higher than a negative one, ties half.

    That is Mann and Whitney's U divided by the number of pairs (Hanley and McNeil 1982).

    Args:
        positive: Scores of the positive clips, at least one.
        negative: Scores of the negative clips, at least one.

    Raises:
        SignXError: If there are no scores of one kind, or a score is not a number.
    """
    sides = []
    for name, values in (("positive", positive), ("negative", negative)):
        array = numbers_of(name, values)
        if array.ndim != 1 or not array.size or np.isnan(array).any():
            raise SignXError(f"{name} must be a list of at least one number, got {values!r:.80}.")
        sides.append(array)
    high, low = sides[0], np.sort(sides[1])
    below, to_here = np.searchsorted(low, high, "left"), np.searchsorted(low, high, "right")
    return float((below + to_here).sum() / (2 * len(high) * len(low)))
