"""Which signs an answer may be: a list of glosses, or a text file with one on each line, as places in a model's labels."""

import difflib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .errors_signx import SignXError, SignXFileNotFoundError

FORM = "a UTF-8 text file with a gloss on each line"
MAX_BYTES = 2**24  # a file of that size is no list of glosses


def read_vocabulary_file(path: str | os.PathLike) -> list[str]:
    """Read the glosses of a text file, one on each line; blank lines count for nothing, and `#` begins a gloss like any letter.

    Raises:
        SignXFileNotFoundError: no such file.
        SignXError: a folder or device, a file that is no UTF-8 text or too large, no gloss in it.
    """
    place = Path(path)
    if not str(path).strip() or not os.path.lexists(place):
        raise SignXFileNotFoundError(f"vocabulary {str(path)!r}: no such file. Give a list of glosses or {FORM}.")
    if not place.is_file():
        kind = "a folder" if place.is_dir() else "no regular file"
        raise SignXError(f"vocabulary must be {FORM}, got {str(path)!r}, which is {kind}.")
    try:
        if place.stat().st_size > MAX_BYTES:
            raise SignXError(f"vocabulary must be {FORM}, got {str(path)!r} of {place.stat().st_size} bytes.")
        text = place.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SignXError(f"vocabulary must be {FORM}, got {str(path)!r}, which is not UTF-8.") from error
    except OSError as error:
        raise SignXError(f"vocabulary {str(path)!r} cannot be read ({error.strerror or error}).") from error
    # not splitlines(): it breaks at separators that a gloss may hold
    glosses = [line.strip() for line in text.replace("\r\n", "\n").split("\n")]
    glosses = [gloss for gloss in glosses if gloss]
    if not glosses:
        raise SignXError(f"vocabulary must hold at least one gloss, got {str(path)!r} without any.")
    return glosses


def vocabulary_glosses(vocabulary: Any) -> list[str]:
    """Return the glosses of a list, or of the file that a path names, each once, in order.

    Raises:
        SignXError: an empty list, what is no list of glosses, or as `read_vocabulary_file`.
    """
    if isinstance(vocabulary, (str, os.PathLike)):
        glosses = read_vocabulary_file(vocabulary)
    elif isinstance(vocabulary, Mapping) or not isinstance(vocabulary, Iterable):
        raise SignXError(f"vocabulary must be a list of glosses or the path of {FORM}, got {vocabulary!r:.80}.")
    else:
        glosses = list(vocabulary)
        wrong = next((gloss for gloss in glosses if not isinstance(gloss, str) or not gloss.strip()), None)
        if wrong is not None or "" in glosses:
            raise SignXError(f"vocabulary must hold glosses, which are texts, got {wrong!r:.80} in it.")
        if not glosses:
            raise SignXError(
                "vocabulary must hold at least one gloss, got an empty list. Leave it out to allow every sign."
            )
    return list(dict.fromkeys(gloss.strip() for gloss in glosses))


def nearest_glosses(gloss: str, known: Sequence[str], count: int = 3) -> list[str]:
    """Return the glosses of `known` that `gloss` may have meant, the likeliest first: another case, another variant (`IX-1p` for
    `IX`), then close spellings."""
    folded = gloss.casefold()
    same = [name for name in known if name.casefold() == folded]
    variants = [name for name in known if name.casefold().split("-")[0] == folded]
    by_case = {name.casefold(): name for name in reversed(known)}
    close = [by_case[name] for name in difflib.get_close_matches(folded, by_case, n=count, cutoff=0.5)]
    return list(dict.fromkeys([*same, *variants, *close]))[:count]


def vocabulary_ids(vocabulary: Any, labels: Mapping[int, str]) -> tuple[int, ...]:
    """Return the places of a vocabulary's glosses in a model's labels, ascending.

    Args:
        vocabulary: list of glosses, or the path of a file.
        labels: `config.id2label`.

    Raises:
        SignXError: as `vocabulary_glosses`, or a gloss that the model does not know; the nearest ones that it knows are named.
    """
    places = {name: int(place) for place, name in labels.items()}
    glosses = vocabulary_glosses(vocabulary)
    unknown = [gloss for gloss in glosses if gloss not in places]
    if unknown:
        near = nearest_glosses(unknown[0], list(places))
        meant = (
            f"the nearest are {', '.join(near)}" if near else f"it knows {len(places)}, such as {next(iter(places))}"
        )
        more = f" (and {len(unknown) - 1} more)" if unknown[1:] else ""
        raise SignXError(
            f"vocabulary: {unknown[0]!r}{more} is no sign of the model; {meant}. Correct it or leave it out."
        )
    return tuple(sorted(places[gloss] for gloss in glosses))
