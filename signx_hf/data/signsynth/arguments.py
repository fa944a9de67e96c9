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
    limits = f"of at least {least}" if most is None else f"from {least} to {most}"
    integral = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not integral or value < least or (most is not None and value > most):
        raise SignXError(f"`{name}` must be an integer {limits}, got {value!r}.")
    return int(value)


def of_class(name: str, value: Any, kind: type, remedy: str) -> None:
    """Raises SignXError if the value is not of that class."""
    if not isinstance(value, kind):
        raise SignXError(f"`{name}` must be a {kind.__name__}, got a {type(value).__name__}. {remedy}")


def of_chance(value: Any) -> None:
    """Raises SignXError if the value is no numpy Generator: what draws from another source draws other numbers."""
    of_class("generator", value, np.random.Generator, "Make one with numpy.random.default_rng(seed).")
