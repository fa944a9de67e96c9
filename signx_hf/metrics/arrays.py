"""Checks of metric arguments that numpy would silently convert."""

from collections.abc import Iterable

import numpy as np

from ..processing.errors_signx import SignXError


def truths(name: str, values: Iterable[object]) -> np.ndarray:
    """Convert booleans, or the numbers 0 and 1, to a boolean array; numpy would take any text and NaN for true.

    Raises:
        SignXError: If a value is neither.
    """
    array = np.asarray(list(values) if not hasattr(values, "__len__") else values)
    if array.dtype.kind == "b" or not array.size:
        return array.astype(bool)
    wrong = array.dtype.kind not in "iuf" or ~np.isin(array, (0, 1))
    if np.any(wrong):
        first = array[wrong][0] if isinstance(wrong, np.ndarray) else array.flat[0]
        raise SignXError(f"`{name}` must be true or false, got {getattr(first, 'item', lambda: first)()!r}.")
    return array.astype(bool)
