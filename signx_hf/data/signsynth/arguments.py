"""Checks of arguments that the functions of SignSynth share."""

import numbers

import numpy as np

from ...processing.errors_signx import SignXError


def whole(name: str, value: object, least: int, most: int | None = None) -> int:
    """Return the value as an int if it is an integer from `least` to `most`.

    Raises:
        SignXError: If it is not such an integer.
    """
    limits = f"of at least {least}" if most is None else f"from {least} to {most}"
    integral = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not integral or value < least or (most is not None and value > most):
        raise SignXError(f"`{name}` must be an integer {limits}, got {value!r}.")
    return int(value)


def of_class(name: str, value: object, kind: type, remedy: str) -> None:
    """Raise SignXError if the value is not an instance of that class."""
    if not isinstance(value, kind):
        raise SignXError(f"`{name}` must be a {kind.__name__}, got a {type(value).__name__}. {remedy}")


def of_chance(value: object) -> None:
    """Raise SignXError if the value is no numpy Generator: another source of randomness would draw other numbers."""
    of_class("generator", value, np.random.Generator, "Make one with numpy.random.default_rng(seed).")
