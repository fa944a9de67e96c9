"""The error for annotations that cannot be used."""

import difflib
from collections.abc import Iterable

from ..processing.errors_signx import SignXError


class SignXDataError(SignXError):
    """Raised for an unusable annotation file, row or archive; names the file, row and column, and what is wrong."""


def nearest(name: object, legal: Iterable[str]) -> str:
    """Return the end of a message that suggests the closest legal choice, if any, and lists all of them."""
    legal = list(legal)
    close = difflib.get_close_matches(str(name), legal, n=1, cutoff=0.5)
    return (f"did you mean '{close[0]}'? Choose" if close else "choose") + f" one of {', '.join(legal)}"
