"""Restrict recognition to a vocabulary: a list of glosses, or a text file with one on each line, as indices of a
model's labels.
"""

import difflib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from .errors_signx import SignXError, SignXFileNotFoundError

FORM = "a UTF-8 text file with one gloss per line"
VocabularyInput = str | os.PathLike | Iterable[str]
MAX_BYTES = 2**24  # a larger file is not a list of glosses


def read_vocabulary_file(path: str | os.PathLike) -> list[str]:
    """Read the glosses of a text file, one per line.

    Blank lines are skipped; `#` has no special meaning, since glosses may begin with it.

    Raises:
        SignXFileNotFoundError: If the file does not exist.
        SignXError: If the path is a directory or device, or the file is not UTF-8, too large, or has no gloss.
    """
    place = Path(path)
    if not str(path).strip() or not os.path.lexists(place):
        raise SignXFileNotFoundError(f"vocabulary {str(path)!r}: no such file. Pass a list of glosses or {FORM}.")
    if not place.is_file():
        kind = "a folder" if place.is_dir() else "not a regular file"
        raise SignXError(f"vocabulary must be {FORM}, got {str(path)!r}, which is {kind}.")
    try:
        if place.stat().st_size > MAX_BYTES:
            raise SignXError(f"vocabulary must be {FORM}, got {str(path)!r} of {place.stat().st_size} bytes.")
        text = place.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SignXError(f"vocabulary must be {FORM}, got {str(path)!r}, which is not UTF-8.") from error
    except OSError as error:
        raise SignXError(f"vocabulary {str(path)!r} cannot be read ({error.strerror or error}).") from error
    if "\n" not in text:  # saved by an old spreadsheet for the Mac
        text = text.replace("\r", "\n")
    # Not splitlines(): it also breaks at separators that a gloss may contain.
    glosses = [line.strip() for line in text.replace("\r\n", "\n").split("\n")]
    glosses = [gloss for gloss in glosses if gloss]
    if not glosses:
        raise SignXError(f"vocabulary must have at least one gloss, got {str(path)!r} without any.")
    return glosses


def vocabulary_glosses(vocabulary: VocabularyInput) -> list[str]:
    """Return the glosses of a list or of a file, without duplicates, in order.

    Args:
        vocabulary: List of glosses, or the path of a text file with one per line.

    Raises:
        SignXError: If the list is empty or holds something other than glosses, or the file cannot be read.
    """
    if isinstance(vocabulary, (str, os.PathLike)):
        glosses = read_vocabulary_file(vocabulary)
    elif isinstance(vocabulary, Mapping) or not isinstance(vocabulary, Iterable):
        raise SignXError(f"vocabulary must be a list of glosses or the path of {FORM}, got {vocabulary!r:.80}.")
    else:
        glosses = list(vocabulary)
        wrong = next((gloss for gloss in glosses if not isinstance(gloss, str) or not gloss.strip()), None)
        if wrong is not None or "" in glosses:
            raise SignXError(f"vocabulary must contain only glosses (non-empty strings), got {wrong!r:.80} in it.")
        if not glosses:
            raise SignXError(
                "vocabulary must have at least one gloss, got an empty list. Leave it out to allow every sign."
            )
    return list(dict.fromkeys(gloss.strip() for gloss in glosses))


def nearest_glosses(gloss: str, known: Sequence[str], count: int = 3) -> list[str]:
    """Return the known glosses that `gloss` may stand for, the most likely first.

    Other case comes first, then variants (`IX-1p` for `IX`), then similar spellings.

    Args:
        gloss: An unknown gloss.
        known: Glosses to choose from.
        count: How many to return at most.
    """
    folded = gloss.casefold()
    same = [name for name in known if name.casefold() == folded]
    variants = [name for name in known if name.casefold().split("-")[0] == folded]
    by_case = {name.casefold(): name for name in reversed(known)}
    close = [by_case[name] for name in difflib.get_close_matches(folded, by_case, n=count, cutoff=0.5)]
    return list(dict.fromkeys([*same, *variants, *close]))[:count]


def vocabulary_ids(vocabulary: VocabularyInput, labels: Mapping[int, str]) -> tuple[int, ...]:
    """Return the indices of a vocabulary in a model's labels, ascending.

    Args:
        vocabulary: List of glosses, or the path of a text file with one per line.
        labels: `config.id2label`.

    Raises:
        SignXError: If a gloss is not one of the labels (the message gives the nearest ones), or as
            `vocabulary_glosses`.
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
            f"vocabulary: {unknown[0]!r}{more} is not a sign of the model; {meant}. Correct it or leave it out."
        )
    return tuple(sorted(places[gloss] for gloss in glosses))
