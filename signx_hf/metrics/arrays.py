"""Checks of metric arguments: any iterable is taken, and what Python or numpy would silently convert is refused."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..processing.errors_signx import SignXError


def truths(name: str, values: Iterable[object]) -> np.ndarray:
    """Convert booleans, or the numbers 0 and 1, to a boolean array; numpy would take any text and NaN for true.

    Raises:
        SignXError: If a value is neither.
    """
    array = np.asarray(values if isinstance(values, np.ndarray) else listed(name, values, "truth values"))
    if array.dtype.kind == "b" or not array.size:
        return array.astype(bool)
    wrong = array.dtype.kind not in "iuf" or ~np.isin(array, (0, 1))
    if np.any(wrong):
        first = array[wrong][0] if isinstance(wrong, np.ndarray) else array.flat[0]
        raise SignXError(f"`{name}` must be true or false, got {getattr(first, 'item', lambda: first)()!r}.")
    return array.astype(bool)


def _shown(value: object) -> str:
    return " ".join(repr(value).split())[:80]


def listed(name: str, values: object, what: str = "items") -> list[Any]:
    """Return a list of any iterable: a list, generator, array, column of a dataset or table.

    Args:
        name: Name of the argument.
        values: Its value.
        what: What it holds, for the message.

    Raises:
        SignXError: If it is text, a mapping, or no iterable.
    """
    if isinstance(values, (str, bytes, Mapping)) or not hasattr(type(values), "__iter__"):
        kind = "a string" if isinstance(values, str) else f"{_shown(values)}"
        raise SignXError(f"`{name}` must be a list of {what}, got {kind}. Put it into a list.")
    return list(values)


def glosses_of(name: str, sentence: object) -> list[str]:
    """Return the glosses of a sentence: text is split at spaces, a list is taken as it is.

    Raises:
        SignXError: If it is neither, such as None or NaN for an empty cell of a table.
    """
    if isinstance(sentence, str):
        return sentence.split()
    if not isinstance(sentence, (bytes, Mapping)) and hasattr(type(sentence), "__iter__"):
        glosses = list(sentence)
        if all(isinstance(gloss, str) for gloss in glosses):
            return glosses
    raise SignXError(
        f"`{name}` must be a sentence, as text or a list of glosses, got {_shown(sentence)}. Write an empty one as ''."
    )


def sentences_of(name: str, values: object) -> list[str | list[str]]:
    """Return the sentences of a corpus as a list, each as text or as a list of glosses.

    Raises:
        SignXError: If it is no list of sentences. The message gives the position of the first that is none.
    """
    sentences = listed(name, values, "sentences")
    for index, sentence in enumerate(sentences):
        if not isinstance(sentence, str):
            sentences[index] = glosses_of(f"{name}[{index}]", sentence)
    return sentences


def numbers_of(name: str, values: object) -> np.ndarray:
    """Return numbers as an array of floats of their shape.

    Raises:
        SignXError: If something else is among them; NaN is a number, None is not.
    """
    if not isinstance(values, np.ndarray) and not hasattr(values, "__array__"):
        values = listed(name, values, "numbers")
    try:
        array = np.asarray(values)
        array = np.asarray(list(array)) if array.dtype.kind == "O" and array.ndim else array  # a column of lists
        if array.dtype.kind in "biuf" or not array.size:
            return array.astype(float)
    except (TypeError, ValueError, RuntimeError):
        pass  # lists of different lengths, tensors that need a gradient
    raise SignXError(f"`{name}` must hold numbers of one shape, got {_shown(values)}.")
