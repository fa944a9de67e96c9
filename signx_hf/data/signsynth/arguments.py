"""What the functions of SignSynth want of their arguments, and what they say to others."""

import numbers
from typing import Any

import numpy as np

from ...processing.errors_signx import SignXError


def whole(name: str, value: Any, least: int, most: int | None = None) -> int:
    """The value, a whole number from least to most.

    Raises:
        SignXError: it is something else.
    """
    expected = f"{least} or more" if most is None else f"{least} to {most}"
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise SignXError(f"`{name}` must be an integer, {expected}, got {value!r}.")
    if value < least or (most is not None and value > most):
        raise SignXError(f"`{name}` must be {expected}, got {value}.")
    return int(value)


def of_class(name: str, value: Any, kind: type, remedy: str) -> None:
    """Raises SignXError if the value is not of that class."""
    if not isinstance(value, kind):
        raise SignXError(f"`{name}` must be a {kind.__name__}, got a {type(value).__name__}: {remedy}.")


def of_chance(value: Any) -> None:
    """Raises SignXError if the value is no numpy Generator: what draws from another source draws other numbers."""
    of_class("generator", value, np.random.Generator, "make one with numpy.random.default_rng(seed)")
