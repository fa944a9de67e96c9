"""The lexicon: for every gloss an English word, its role in a sentence, and an invented sign.

The glosses are English and follow the conventions of ASLLRP; the forms are not ASL. They are drawn from the parameters
of `phonology.py` under the constraints that make a form easy to articulate and to see, and about one in five is a
minimal pair of an earlier sign.
"""

import numbers
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from ...processing.errors_signx import SignXError
from ..errors import nearest
from . import phonology as ph
from .arguments import whole
from .phonology import Sign
from .vocabulary import TINY, WORDS

SIZES = {"tiny": 20, "small": 100, "base": 1000}
# H is U turned, K, M, N and T differ from others by a thumb: they spell, and are not contrasted in words.
LEXICAL_HANDSHAPES = (
    "5", "1", "flat", "S", "V", "Y", "L", "claw-5", "F", "bent-B", "C", "W", "I", "O", "3", "bent-V", "X", "8", "ILY", "horns",
    "U", "flat-O", "G", "baby-C", "open-8", "A", "4", "R",
)  # fmt: skip
# Shapes into which a hand opens or closes, and which are easily told from the first
FINAL_HANDSHAPES = {
    "5": ("S", "flat-O", "bent-B"), "S": ("5", "1", "Y"), "flat-O": ("5",), "1": ("X", "5"), "flat": ("S", "bent-B", "claw-5"),
    "claw-5": ("S", "5"), "V": ("bent-V", "S"), "O": ("5",), "bent-B": ("5", "flat"), "L": ("S", "baby-C"), "F": ("5",),
    "8": ("5",), "C": ("S",), "X": ("1",),
}  # fmt: skip
# (palm, fingers) that a wrist reaches with ease, by where the hand is
FACE_TURNS = (("back", "up-in"), ("in", "up"), ("down", "in"), ("forward", "up"))
TRUNK_TURNS = (("back", "in"), ("in", "up"), ("down", "in"), ("back", "up-in"))
TURNS = {
    "temple": (("in", "up"), ("down", "in"), ("forward", "up")),
    "neck": (("back", "in"), ("down", "in")),  # fingers that point up would enter the chin
    "upper-arm": (("back", "in"), ("down", "in"), ("back", "up-in")),
    "belly": (("back", "in"), ("down", "in"), ("up", "in")),
    "neutral": (
        ("forward", "up"), ("back", "up"), ("in", "forward"), ("down", "forward"), ("up", "forward"), ("back", "in"),
        ("in", "up"), ("down", "in"),
    ),
    "neutral-high": (("forward", "up"), ("back", "up-in"), ("in", "up"), ("down", "in"), ("back", "in")),
    "neutral-low": (("in", "forward"), ("down", "forward"), ("up", "forward"), ("back", "in"), ("down", "in")),
    "neutral-out": (("forward", "up"), ("in", "forward"), ("down", "forward"), ("up", "forward"), ("in", "up")),
    "neutral-in": (("back", "up-in"), ("in", "forward"), ("down", "forward"), ("back", "in"), ("down", "in")),
}  # fmt: skip
BASE_TURNS = (("down", "forward"), ("in", "forward"), ("down", "in"), ("back", "in"))
FACE_LOCATIONS = ("forehead", "temple", "cheek", "nose", "mouth", "chin")
TRUNK_LOCATIONS = ("neck", "chest", "shoulder", "upper-arm", "belly")
GROUPS = (
    ("forehead", "temple"), ("cheek", "nose"), ("mouth", "chin"), ("neck",), ("chest",), ("shoulder",), ("upper-arm",),
    ("belly",), *((x,) for x in ph.NEUTRAL_LOCATIONS),
)  # fmt: skip
SYMMETRIC_LOCATIONS = ("temple", "cheek", "chest", "belly", "neutral", "neutral-high", "neutral-low", "neutral-out")
SYMMETRIC_PATHS = tuple(x for x in ph.PATHS if x not in ("in", "arc"))  # those would make the hands collide
ALTERNATING_PATHS = ("up", "forward", *ph.CYCLIC_PATHS)
BASE_PATHS = ("forward", "out", "up", "down", "arc-forward", "circle-flat", "to-and-fro", "tap", "hold")
NECK_PATHS = ("hold", "down", "in", "out", "forward", "back", "diagonal", "to-and-fro", "tap")  # others meet the chin
PAIR_EVERY = 5  # one sign in five is derived from an earlier one

# Signs whose form follows from their meaning: pointing, possession, negation, some question words
AUTHORED = {
    "IX-1p": ("1", "chest", "tap", "down", "in-back"),
    "IX-2p": ("1", "neutral", "forward", "down", "forward"),
    "IX-3p": ("1", "neutral-out", "out", "down", "forward-out"),
    "IX-1p-pl": ("1", "shoulder", "arc", "down", "in-back"),
    "IX-3p-pl": ("1", "neutral-out", "arc-forward", "down", "forward-out"),
    "POSS-1p": ("flat", "chest", "tap", "back", "in"),
    "POSS-2p": ("flat", "neutral", "forward", "forward", "up"),
    "POSS-3p": ("flat", "neutral-out", "out", "forward", "up"),
    "POSS-1p-pl": ("flat", "shoulder", "arc", "back", "up-in"),
    "POSS-3p-pl": ("flat", "neutral-out", "arc-forward", "forward", "up"),
    "NOT": ("A", "chin", "forward", "in", "up", {"head": "shake"}),
    "NEVER": ("flat", "neutral-high", "zigzag", "in", "forward", {"head": "shake"}),
    "WHAT": ("5", "neutral", "to-and-fro", "up", "forward", {"hands": "symmetric", "head": "tilt"}),
    "WHO": ("L", "chin", "hold", "in", "up", {"local": "nod", "head": "tilt"}),
    "QMwg": ("X", "neutral-high", "hold", "forward", "up", {"local": "nod", "repeats": 2, "head": "tilt"}),
    "NAME": ("U", "neutral", "tap", "in", "forward", {"repeats": 2}),
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A word of the lexicon.

    Attributes:
        word: English base form.
        kind: The list of `vocabulary.WORDS` it is from.
        past: Past tense of a verb.
        countable: False for nouns without plural.
    """

    sign: Sign
    word: str
    kind: str
    past: str = ""
    countable: bool = True

    @property
    def gloss(self) -> str:
        """Gloss of the sign."""
        return self.sign.gloss


class Lexicon(Mapping[str, Entry]):
    """Entries by gloss, in the order in which larger lexicons continue smaller ones."""

    def __init__(self, entries: tuple[Entry, ...]):
        self.entries = entries
        self._at = {entry.gloss: entry for entry in entries}

    def __getitem__(self, gloss: str) -> Entry:
        try:
            return self._at[gloss]
        except KeyError:
            raise KeyError(f"{gloss!r} is not among the {len(self)} glosses of this lexicon") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._at)

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def signs(self) -> tuple[Sign, ...]:
        """Signs of all entries."""
        return tuple(entry.sign for entry in self.entries)

    def signs_of(self, glosses: Iterable[str]) -> list[Sign]:
        """Return the signs of a sentence, for `motion.perform`.

        Raises:
            SignXError: If a gloss is not in the lexicon.
        """
        glosses = list(glosses)
        for gloss in glosses:
            if gloss not in self._at:
                raise SignXError(f"gloss {gloss!r} is not in this lexicon of {len(self)}; {nearest(gloss, self._at)}")
        return [self._at[gloss].sign for gloss in glosses]

    def of(self, *kinds: str) -> list[Entry]:
        """Return the entries of these kinds."""
        return [entry for entry in self.entries if entry.kind in kinds]


@lru_cache(maxsize=8)
def lexicon(size: int | str = "small", seed: int = 0) -> Lexicon:
    """Return the first `size` words of the vocabulary with their signs; a smaller lexicon is a prefix of a larger one.

    Args:
        size: `tiny` (20), `small` (100), `base` (1,000), or a number.
        seed: Seed of the forms.

    Raises:
        SignXError: If the size is unknown or too large, or the seed is negative.
    """
    words = _words()
    if isinstance(size, str):
        if size not in SIZES:
            raise SignXError(f"`size` must be {', '.join(SIZES)} or a number of glosses, got {size!r}.")
        size = SIZES[size]
    if not isinstance(size, numbers.Integral) or not 1 <= size <= len(words):
        raise SignXError(f"the number of glosses of a lexicon must be an integer from 1 to {len(words)}, got {size}.")
    seed = whole("seed", seed, 0)
    signs: list[Sign] = []
    taken = {_form(*form).parameters for form in AUTHORED.items()}
    for gloss in list(words)[:size]:
        signs.append(_sign(gloss, signs, taken, np.random.default_rng([seed, len(signs)])))
        taken.add(signs[-1].parameters)
    return Lexicon(tuple(Entry(sign, **words[sign.gloss]) for sign in signs))


def _words() -> dict[str, dict]:
    """Map glosses to the rest of their entries in lexicon order, from every list about the root of its length."""
    entries, rank = {}, {}
    for kind, text in WORDS.items():
        items = text.split(",")
        for index, item in enumerate(items):
            english, _, gloss = item.partition("=")
            word, _, past = english.partition("/")
            countable = not word.startswith("~")
            word = word.lstrip("~")
            gloss = gloss or (f"ns-fs-{word.upper()}" if kind == "name" else word.upper().replace(" ", "-"))
            entries[gloss] = {"word": word, "kind": kind, "past": past, "countable": countable}
            rank[gloss] = (index + 0.5) / len(items) ** 0.5
    order = sorted(entries, key=lambda gloss: (TINY.index(gloss) if gloss in TINY else len(TINY), rank[gloss]))
    return {gloss: entries[gloss] for gloss in order}


def _form(gloss: str, form: tuple) -> Sign:
    *parameters, more = form if isinstance(form[-1], dict) else (*form, {})
    return Sign(gloss, *parameters, **more)


def _sign(gloss: str, earlier: list[Sign], taken: set, draw: np.random.Generator) -> Sign:
    if gloss in AUTHORED:
        return _form(gloss, AUTHORED[gloss])
    for prefix in ("ns-fs-", "fs-", "#"):
        if gloss.startswith(prefix) and gloss.removeprefix(prefix).isalpha():
            return ph.spell(gloss, gloss.removeprefix(prefix))
    tries = 40 if len(earlier) % PAIR_EVERY == PAIR_EVERY - 1 else 0
    while True:
        tries -= 1
        sign = _derive(gloss, earlier, draw) if tries >= 0 else _invent(gloss, draw)
        if sign is not None and sign.parameters not in taken:
            return sign


def _pick(draw: np.random.Generator, values: tuple, weights: tuple | None = None):
    if weights is None:
        return values[int(draw.integers(len(values)))]
    sums = np.cumsum(weights)
    return values[int(np.searchsorted(sums, draw.random() * sums[-1], side="right"))]


def _turns(location: str) -> tuple:
    if location in TURNS:
        return TURNS[location]
    if location in FACE_LOCATIONS:
        return FACE_TURNS
    return BASE_TURNS if location == "base-hand" else TRUNK_TURNS


def _paths(hands: str, location: str) -> tuple[str, ...]:
    if location == "neck":
        return NECK_PATHS
    return {"one": ph.PATHS, "symmetric": SYMMETRIC_PATHS, "alternating": ALTERNATING_PATHS, "base": BASE_PATHS}[hands]


def _invent(gloss: str, draw: np.random.Generator) -> Sign:
    hands = _pick(draw, ph.HANDS, (0.5, 0.22, 0.1, 0.18))
    handshape = _pick(draw, LEXICAL_HANDSHAPES)
    if hands == "base":
        location = "base-hand"
    elif hands == "one":
        group = _pick(draw, (FACE_LOCATIONS, TRUNK_LOCATIONS, ph.NEUTRAL_LOCATIONS))
        location = _pick(draw, group)
    else:
        location = _pick(draw, SYMMETRIC_LOCATIONS)
    palm, fingers = _pick(draw, _turns(location))
    path = _pick(draw, _paths(hands, location))
    final = None
    if handshape in FINAL_HANDSHAPES and draw.random() < 0.25:
        final = _pick(draw, FINAL_HANDSHAPES[handshape])
    choice = _locals(handshape)
    local = "none" if final or draw.random() < 0.65 else _pick(draw, choice)
    sign = Sign(
        gloss, handshape, location, path, palm, fingers, local, final, hands,
        base_handshape=_pick(draw, ph.BASE_HANDSHAPES, (1, 2, 4, 1, 1, 1, 1)) if hands == "base" else None,
        head=_pick(draw, ph.HEADS, (0.88, 0.05, 0.03, 0.04)),
    )  # fmt: skip
    return replace(sign, repeats=_pick(draw, (1, 2, 3), (0.6, 0.35, 0.05)) if _repeatable(sign) else 1)


def _locals(handshape: str) -> tuple[str, ...]:
    """Return the local movements that are visible: a fist has no fingers to wiggle."""
    return ph.LOCALS if handshape in ("5", "4", "claw-5", "flat", "W", "3", "V") else ("none", "twist", "nod")


def _repeatable(sign: Sign) -> bool:
    """Return whether a repetition is visible."""
    return sign.path != "hold" or sign.final_handshape is not None or sign.local in ("twist", "nod")


def _derive(gloss: str, earlier: list[Sign], draw: np.random.Generator) -> Sign | None:
    """Return a sign that visibly differs from an earlier one in exactly one parameter, or None if it fails."""
    old = earlier[int(draw.integers(len(earlier)))]
    if old.letters:
        return None
    parameter = _pick(
        draw, ("handshape", "location", "path", "palm", "local", "hands", "repeats", "final_handshape", "head")
    )
    new = replace(old, gloss=gloss)
    if parameter == "handshape" and old.final_handshape is None and old.local == "none":
        new = replace(new, handshape=_pick(draw, LEXICAL_HANDSHAPES[:16]))
    elif parameter == "location" and old.hands == "one":
        own = next((group for group in GROUPS if old.location in group), ())
        choice = tuple(x for x in ph.LOCATIONS if x not in own and (old.palm, old.fingers) in _turns(x))
        choice = tuple(x for x in choice if x not in ("base-hand", ph.SPELLING))
        new = replace(new, location=_pick(draw, choice)) if choice else new
    elif parameter == "path" and old.repeats == 1 and old.hands != "alternating":
        new = replace(new, path=_pick(draw, _paths(old.hands, old.location)))
    elif parameter == "palm":
        choice = tuple(palm for palm, fingers in _turns(old.location) if fingers == old.fingers)
        new = replace(new, palm=_pick(draw, choice)) if choice else new
    elif parameter == "local" and old.final_handshape is None:
        new = replace(new, local=_pick(draw, _locals(old.handshape)))
    elif (
        parameter == "hands"
        and old.hands == "one"
        and old.location in SYMMETRIC_LOCATIONS
        and old.path in SYMMETRIC_PATHS
    ):
        new = replace(new, hands="symmetric")
    elif parameter == "repeats" and _repeatable(old):
        new = replace(new, repeats=3 if old.repeats == 1 else 1)
    elif parameter == "final_handshape" and old.local == "none" and old.handshape in FINAL_HANDSHAPES:
        new = replace(
            new, final_handshape=None if old.final_handshape else _pick(draw, FINAL_HANDSHAPES[old.handshape])
        )
    elif parameter == "head":
        new = replace(new, head=_pick(draw, ph.HEADS))
    return new if len(ph.differences(old, new)) == 1 else None
