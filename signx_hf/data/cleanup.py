"""Cleanups of glosses, by name: which glosses the evaluation of each corpus treats as the same sign.

One cleanup serves training labels and the word error rate, so the two cannot differ. All are pure: they take a
sentence and return a list of glosses, without changing the argument.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence

from .errors import SignXDataError

Glosses = str | Sequence[str]

_PREFIXES = re.compile("loc-|cl-|qu-|poss-|lh-")
_MARKERS = frozenset(("__EMOTION__", "__PU__", "__LEFTHAND__", "__EPENTHESIS__"))
_ON_OFF = frozenset(("__ON__", "__OFF__"))
_LETTER = re.compile("[A-Z]")
_PLAIN = re.compile("[A-Z]+")


def _words(glosses: Glosses) -> list[str]:
    return glosses.split() if isinstance(glosses, str) else [word for gloss in glosses for word in gloss.split()]


def _pair(glosses: list[str], first: str, second: str) -> list[str]:
    """Join two neighbors by a hyphen wherever they follow each other."""
    joined: list[str] = []
    for gloss in glosses:
        if joined and joined[-1] == first and gloss == second:
            joined[-1] = f"{first}-{second}"
        else:
            joined.append(gloss)
    return joined


def _join_spelled(glosses: list[str]) -> list[str]:
    """Join fingerspelled letters to one gloss, `A B C` -> `A+B+C`; SCH and NN are spelled with one handshape each."""
    joined: list[str] = []
    for gloss in glosses:
        end = joined[-1].rsplit("+", 1)[-1] if joined else ""
        start = gloss.split("+", 1)[0]
        letters = _LETTER.fullmatch(start) and (_LETTER.fullmatch(end) or end in ("SCH", "NN"))
        if letters or (start == "NN" and _LETTER.fullmatch(end)):
            joined[-1] += f"+{gloss}"
        else:
            joined.append(gloss)
    return joined


def _merge(glosses: list[str], same: Callable[[str], object]) -> list[str]:
    """Drop a gloss that repeats its left neighbor, where `same` holds for it."""
    return [gloss for at, gloss in enumerate(glosses) if at == 0 or gloss != glosses[at - 1] or not same(gloss)]


def phoenix14(glosses: Glosses, keep_on_off: bool = True) -> list[str]:
    """Clean glosses as the evaluation package of RWTH-PHOENIX-Weather 2014 does before scoring (preprocess.sh).

    Drops the prefixes loc- cl- qu- poss- lh-, the marks __EMOTION__ __PU__ __LEFTHAND__ __EPENTHESIS__, -PLUSPLUS and
    the ending RAUM; writes WIE AUSSEHEN and ZEIGEN as the references do; corrects S0NNE and HABEN2; joins spelled
    letters; merges repeats of plain glosses (not of hyphenated ones: the references have NICHT-VIEL NICHT-VIEL).

    Args:
        glosses: A sentence, as a string or list.
        keep_on_off: The package scores __ON__ and __OFF__ like glosses, since its references hold them, and published
            error rates count them. False drops them, for training on signs alone; such error rates cannot be compared
            with published ones.
    """
    result = [_PREFIXES.sub("", gloss) for gloss in _words(glosses)]
    result = [gloss.replace("S0NNE", "SONNE").replace("HABEN2", "HABEN") for gloss in result]
    dropped = _MARKERS if keep_on_off else _MARKERS | _ON_OFF
    result = _pair([gloss for gloss in result if gloss and gloss not in dropped], "WIE", "AUSSEHEN")
    result = [f"{gloss}-BILDSCHIRM" if gloss.endswith("ZEIGEN") else gloss for gloss in result]
    result = _join_spelled(result)
    result = [re.sub("([A-Z][A-Z])RAUM", r"\1", gloss).replace("-PLUSPLUS", "") for gloss in result]
    return _merge([gloss for gloss in result if gloss], _PLAIN.fullmatch)


def phoenix14t(glosses: Glosses) -> list[str]:
    """Clean glosses of RWTH-PHOENIX-Weather 2014T as sign translation transformers (Camgoz et al. 2020) score them.

    Drops every mark of the form __X__, the prefixes loc- and cl-, -PLUSPLUS and the ending RAUM; joins WIE AUSSEHEN
    and spelled letters; merges all repeats.
    """
    result = [re.sub(r"\b(loc|cl)-", "", gloss) for gloss in _words(glosses) if not re.fullmatch("__[^_]*__", gloss)]
    result = [re.sub(r"\b([A-Z]+)RAUM\b", r"\1", re.sub(r"-PLUSPLUS\b", "", gloss)) for gloss in result]
    result = _join_spelled(_pair([gloss for gloss in result if gloss], "WIE", "AUSSEHEN"))
    return _merge(result, lambda gloss: True)


def csl_daily(glosses: Glosses) -> list[str]:
    """Convert the full-width letters, digits and brackets of CSL-Daily to their usual forms (Unicode NFKC).

    Its owners score glosses as they are; only the width differs between copies of the annotation.
    """
    return _words([unicodedata.normalize("NFKC", gloss) for gloss in _words(glosses)])


def none(glosses: Glosses) -> list[str]:
    """Return the glosses as the corpus has them."""
    return _words(glosses)


CLEANUPS: dict[str, Callable[[Glosses], list[str]]] = {
    "phoenix14": phoenix14,
    "phoenix14t": phoenix14t,
    "csl_daily": csl_daily,
    "none": none,
}


def clean_glosses(glosses: Glosses, name: str | None) -> list[str]:
    """Apply the cleanup of that name; None is `none`.

    Raises:
        SignXDataError: If a name is not in `CLEANUPS`.
    """
    if (name or "none") not in CLEANUPS:
        raise SignXDataError(f"`cleanup` must be one of {', '.join(CLEANUPS)}, got {name!r}.")
    return CLEANUPS[name or "none"](glosses)
