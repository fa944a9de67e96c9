"""Calibration of confidences."""

from collections.abc import Iterable

import numpy as np

from ..processing.errors_signx import SignXError
from .arrays import numbers_of, truths


def expected_calibration_error(confidences: Iterable[float], right: Iterable[bool], bins: int = 10) -> float:
    """Compute the expected calibration error: the mean gap of confidence and accuracy over equal bins of confidence.

    Each bin is weighted by its size (Guo et al. 2017, arXiv 1706.04599, equation 3). A confidence of 1 belongs to the
    last bin. No predictions give 0.

    Args:
        confidences: Numbers from 0 to 1.
        right: Whether each prediction was right, in the same order.
        bins: Number of bins.

    Raises:
        SignXError: If lengths differ, a confidence is outside 0 to 1, or `bins` is below 1.
    """
    values, truth = numbers_of("confidences", confidences), truths("right", right)
    if values.shape != truth.shape or values.ndim != 1:
        raise SignXError(f"`confidences` and `right` must have the same length, got {values.size} and {truth.size}.")
    if isinstance(bins, bool) or not isinstance(bins, (int, np.integer)) or bins < 1:
        raise SignXError(f"`bins` must be a positive integer, got {bins}.")
    wrong = ~((values >= 0) & (values <= 1))
    if wrong.any():
        index = int(wrong.argmax())
        raise SignXError(f"`confidences` must be from 0 to 1, got {values[index]} at index {index}.")
    places = np.minimum((values * bins).astype(int), bins - 1)
    total = 0.0
    for index in np.unique(places):
        inside = places == index
        total += inside.mean() * abs(values[inside].mean() - truth[inside].mean())
    return float(total)
