"""The error of annotations that cannot be used."""

import difflib
from collections.abc import Iterable
from typing import Any

from ..processing.errors_signx import SignXError


class SignXDataError(SignXError):
    """An annotation file, row or archive that cannot be used: names the file, row and column, what was found and wanted."""


def nearest(name: Any, legal: Iterable[str]) -> str:
    """The words that name the nearest legal choice and list all of them."""
    legal = list(legal)
    close = difflib.get_close_matches(str(name), legal, n=1, cutoff=0.5)
    return (f"did you mean '{close[0]}'? " if close else "") + f"legal: {', '.join(legal)}"
