"""The parameters of a sign, after Stokoe (1960) and Battison (1978), and what each of them means in space.

Directions are those of a right-handed signer: `in` is toward the other side of the body, `out` away from it, `back`
toward the signer. A left-handed signer performs the mirror image.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache

import numpy as np

from ...processing.errors_signx import SignXError
from ..errors import nearest
from . import skeleton
from .handshapes import HANDSHAPES
from .kinematics import ease, minimum_jerk, rest_joints, unit

_AXES = {
    "in": (1.0, 0.0, 0.0),
    "out": (-1.0, 0.0, 0.0),
    "up": (0.0, 1.0, 0.0),
    "down": (0.0, -1.0, 0.0),
    "forward": (0.0, 0.0, 1.0),
    "back": (0.0, 0.0, -1.0),
}
BODY_LOCATIONS = (
    "forehead", "temple", "cheek", "nose", "mouth", "chin", "neck", "shoulder", "upper-arm", "chest", "belly",
)  # fmt: skip
FACE = ("forehead", "temple", "cheek", "nose", "mouth", "chin", "neck")
NEUTRAL_LOCATIONS = ("neutral", "neutral-high", "neutral-low", "neutral-out", "neutral-in")
SPELLING = "spelling"  # where the hand spells: before the shoulder
LOCATIONS = (*BODY_LOCATIONS, *NEUTRAL_LOCATIONS, "base-hand", SPELLING)
STRAIGHT_PATHS = ("up", "down", "in", "out", "forward", "back", "diagonal")
CYCLIC_PATHS = ("circle", "circle-flat", "to-and-fro", "tap")
PATHS = ("hold", *STRAIGHT_PATHS, "arc", "arc-forward", "zigzag", *CYCLIC_PATHS)
LOCALS = ("none", "wiggle", "twist", "nod")  # the fifth local movement is a change of handshape
HANDS = ("one", "symmetric", "alternating", "base")
BASE_HANDSHAPES = ("A", "S", "flat", "5", "1", "C", "O")  # the only ones a resting hand may have (Battison 1978)
HEADS = ("none", "nod", "shake", "tilt")
PARAMETERS = (
    "handshape", "location", "path", "palm", "fingers", "local", "final_handshape", "hands", "base_handshape", "head",
    "repeats",
)  # fmt: skip

# letter: (handshape, palm, fingers, local movement) of the American manual alphabet; J and Z are drawn by the wrist
LETTERS = {
    **{x: (x, "forward", "up", "none") for x in "ABCDEFIKLMNORSTUVWXY"},
    "G": ("G", "back", "in", "none"),
    "H": ("H", "back", "in", "none"),
    "J": ("I", "forward", "up", "twist"),
    "P": ("K", "down", "forward", "none"),
    "Q": ("G", "down", "forward", "none"),
    "Z": ("1", "forward", "up", "nod"),
}


def direction(name: str) -> np.ndarray:
    """Return a unit vector [3] for a direction, or two joined by a hyphen (`up-in`), for a right-handed signer.

    Raises:
        SignXError: If a direction is unknown, or two of them cancel out.
    """
    if not isinstance(name, str):
        raise SignXError(f"a direction must be text such as 'up-in', got {name!r}; legal: {', '.join(_AXES)}")
    unknown = [part for part in name.split("-") if part not in _AXES]
    if unknown:
        raise SignXError(f"there is no direction {unknown[0]!r} (in {name!r}); {nearest(unknown[0], _AXES)}")
    total = np.sum([_AXES[part] for part in name.split("-")], axis=0)
    if not total.any():
        raise SignXError(f"the directions of {name!r} cancel out. Use one, or two that are not opposite.")
    return unit(total)


def _one_of(name: object, legal: Sequence[str]) -> str:
    return f"a known one ({nearest(name, legal)})"


@dataclass(frozen=True)
class Sign:
    """One sign as a bundle of parameters.

    Attributes:
        gloss: Its name.
        handshape: One of `handshapes.SHAPES`.
        location: One of `LOCATIONS`, where the movement starts.
        path: Movement of the hand as a unit.
        palm: Direction of the palm.
        fingers: Direction of the fingers.
        local: Movement of the hand about itself.
        final_handshape: Handshape at the end, only if the hand opens or closes.
        hands: One; symmetric or alternating (both, alike); base (the other hand rests and has base_handshape).
        base_handshape: Handshape of the resting hand.
        head: Movement of the head.
        repeats: How often the movement is made.
        letters: Letters of a fingerspelled word, whose other parameters are those of its first letter.

    Raises:
        SignXError: If a parameter is invalid. The message names the sign, the parameter and its legal values.
    """

    gloss: str
    handshape: str
    location: str
    path: str
    palm: str
    fingers: str
    local: str = "none"
    final_handshape: str | None = None
    hands: str = "one"
    base_handshape: str | None = None
    head: str = "none"
    repeats: int = 1
    letters: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        legal = {
            "handshape": HANDSHAPES, "location": LOCATIONS, "path": PATHS, "local": LOCALS, "hands": HANDS, "head": HEADS,
        }  # fmt: skip
        for parameter, values in legal.items():
            self._require(parameter, getattr(self, parameter) in values, _one_of(getattr(self, parameter), values))
        self._require(
            "gloss", isinstance(self.gloss, str) and self.gloss.split() == [self.gloss], "text without spaces"
        )
        final, base = self.final_handshape, self.base_handshape
        self._require("final_handshape", final is None or final in HANDSHAPES, _one_of(final, HANDSHAPES))
        self._require("final_handshape", final != self.handshape, "a different handshape, or left out")
        allowed = BASE_HANDSHAPES if self.hands == "base" else (None,)
        message = _one_of(base, allowed) if self.hands == "base" else "None, or hands='base'"
        self._require("base_handshape", base in allowed, message)
        self._require(
            "location",
            (self.location == "base-hand") == (self.hands == "base"),
            "'base-hand' if and only if hands='base'",
        )
        self._require("repeats", self.repeats in (1, 2, 3), "1, 2 or 3")
        if self.hands == "alternating":
            legal = (*CYCLIC_PATHS, *STRAIGHT_PATHS)
            self._require("path", self.path in legal, f"a path that alternating hands can take ({', '.join(legal)})")
        angle = np.degrees(np.arccos(np.clip(direction(self.palm) @ direction(self.fingers), -1, 1)))
        self._require(
            "fingers", 59 < angle < 121, f"a direction roughly perpendicular to the palm, which faces {self.palm}"
        )
        for letter in self.letters:
            self._require("letters", letter in LETTERS, "the letters A to Z")

    def _require(self, parameter: str, holds: bool, expected: str) -> None:
        if not holds:
            raise SignXError(
                f"sign {self.gloss!r}: `{parameter}` must be {expected}, got {getattr(self, parameter)!r}."
            )

    @property
    def parameters(self) -> tuple:
        """Return everything that defines the sign except its name."""
        return tuple(getattr(self, field.name) for field in fields(self)[1:])


def spell(gloss: str, letters: str) -> Sign:
    """Return a fingerspelled word as a sign.

    Raises:
        SignXError: If a character has no handshape.
    """
    if not letters or any(letter not in LETTERS for letter in letters):
        raise SignXError(f"sign {gloss!r}: a fingerspelled word must be letters A to Z, got {letters!r}.")
    handshape, palm, fingers, local = LETTERS[letters[0]]
    return Sign(gloss, handshape, SPELLING, "hold", palm, fingers, local, letters=tuple(letters))


def letter_sign(letter: str) -> Sign:
    """Return one letter of a fingerspelled word as a sign of its own."""
    return replace(spell(letter, letter), letters=())


def differences(first: Sign, second: Sign) -> tuple[str, ...]:
    """Return the parameters in which two signs differ."""
    return tuple(x for x in (*PARAMETERS, "letters") if getattr(first, x) != getattr(second, x))


def minimal_pairs(signs: Sequence[Sign]) -> list[tuple[Sign, Sign, str]]:
    """Return all pairs of signs, except spelled ones, that differ in exactly one parameter, with its name.

    The pairs are in the order of `signs`.
    """
    seen: dict[tuple, list[int]] = {}
    for index, sign in enumerate(signs):
        for parameter in () if sign.letters else PARAMETERS:
            rest = tuple(getattr(sign, x) for x in PARAMETERS if x != parameter)
            seen.setdefault((parameter, rest), []).append(index)
    pairs = [
        (i, j, parameter)
        for (parameter, _), group in seen.items()
        for n, i in enumerate(group)
        for j in group[n + 1 :]
        if signs[i].parameters != signs[j].parameters
    ]
    return [(signs[i], signs[j], parameter) for i, j, parameter in sorted(pairs)]


@dataclass(frozen=True)
class Anchor:
    """Return where a location lies on a body in the T-pose, for a right-handed signer.

    Attributes:
        point: [3] meters.
        normal: [3] away from the body.
        head: Whether it moves with the head.
        skin: Whether it is on the body.
    """

    point: np.ndarray
    normal: np.ndarray
    head: bool
    skin: bool


@dataclass(frozen=True)
class Body:
    """The parts of a body that signs refer to; `torso` and `skull` are (center [3], radii [3]) of ellipsoids."""

    anchors: dict[str, Anchor]
    torso: tuple[np.ndarray, np.ndarray]
    skull: tuple[np.ndarray, np.ndarray]


@lru_cache(maxsize=64)
def body(shape: tuple[float, ...]) -> Body:
    """Return the locations of a body of that shape, found on its skin."""
    joints, at = rest_joints(shape), skeleton.INDEX
    skin = (
        skeleton.figure(shape).vertices(skeleton.to_mannequin(np.zeros(skeleton.WIDTH, np.float32))).astype(np.float64)
    )
    neck, head, pelvis = (joints[at[name]] for name in ("Neck", "Head", "Pelvis"))
    shoulder = 0.5 * (joints[at["L_Shoulder"]] + joints[at["R_Shoulder"]] * [-1, 1, 1])  # the passive one, x > 0
    reach = float(np.linalg.norm(joints[at["R_Wrist"]] - joints[at["R_Shoulder"]]))
    face = skin[(skin[:, 1] > neck[1] + 0.04) & (np.abs(skin[:, 0]) < 0.03) & (skin[:, 2] > head[2] + 0.085)]
    chin, top = face[:, 1].min(), skin[:, 1].max()

    def surface(x: float, y: float) -> np.ndarray:
        near = skin[(np.abs(skin[:, 1] - y) < 0.02) & (np.abs(skin[:, 0] - x) < 0.02)]
        return np.array([x, y, near[:, 2].max()])

    def height(share: float) -> float:
        return chin + share * (top - chin)

    half = np.abs(skin[np.abs(skin[:, 1] - height(0.5)) < 0.02][:, 0]).max()
    middle = shoulder * [0, 1, 0]
    temple = surface(-0.7 * half, height(0.62))
    skinned = {
        "forehead": (surface(0, height(0.74)), (0, 0.25, 1)),
        "temple": (np.array([-half, temple[1], 0.6 * temple[2]]), (-0.85, 0, 0.5)),
        "cheek": (surface(-0.6 * half, height(0.3)), (-0.6, 0, 0.8)),
        "nose": (surface(0, height(0.44)), (0, 0, 1)),
        "mouth": (surface(0, height(0.22)), (0, 0, 1)),
        "chin": (surface(0, height(0.03)), (0, -0.3, 1)),
        "neck": (surface(0, neck[1] + 0.45 * (chin - neck[1])), (0, 0, 1)),
        "shoulder": (surface(0.8 * shoulder[0], shoulder[1] + 0.01), (0.1, 0.5, 0.85)),
        "upper-arm": (shoulder + [0.015, -0.3 * reach, 0.095], (0.3, 0, 0.95)),
        "chest": (surface(0, shoulder[1] - 0.1), (0, 0.1, 1)),
        "belly": (surface(0, 0.5 * (shoulder[1] - 0.1 + pelvis[1])), (0, 0, 1)),
    }
    space = {
        "neutral": (-0.16, -0.2, 0.5),
        "neutral-high": (-0.22, 0.14, 0.54),
        "neutral-low": (-0.16, -0.6, 0.46),
        "neutral-out": (-0.66, -0.14, 0.42),
        "neutral-in": (0.26, -0.22, 0.46),
        SPELLING: (-0.42, 0.05, 0.42),
        "base-hand": (0.08, -0.34, 0.48),
    }
    anchors = {
        n: Anchor(p, unit(np.array(v, float)), n in FACE and n != "neck", True) for n, (p, v) in skinned.items()
    }
    for name, place in space.items():
        anchors[name] = Anchor(middle + reach * np.array(place), np.array([0.0, 0.0, 1.0]), False, False)
    trunk = skin[(np.abs(skin[:, 0]) < 0.75 * shoulder[0]) & (skin[:, 1] < shoulder[1]) & (skin[:, 1] > pelvis[1])]
    low, high = trunk.min(0), trunk.max(0)
    torso = (
        0.5 * (low + high) * [0, 1, 1],
        np.array([1.02 * shoulder[0], 0.62 * (high[1] - low[1]), 0.5 * (high[2] - low[2])]),
    )
    skull = (
        np.array([0, 0.5 * (chin + top), head[2]]),
        np.array([half, 0.5 * (top - chin), surface(0, height(0.4))[2] - head[2]]),
    )
    return Body(anchors, torso, skull)


_STEP = {name: direction(name) for name in STRAIGHT_PATHS[:-1]} | {"diagonal": direction("down-out")}


def path_offset(sign: Sign, share: np.ndarray, normal: np.ndarray, phase: float = 0.0) -> np.ndarray:
    """Return the path of the hand in units of the amplitude.

    Args:
        sign: Its path and repeats are used.
        share: [T] of the movement done, 0 to 1.
        normal: [3] away from what the hand touches, for `tap`.
        phase: Phase of a cycle, for the other hand of an alternating sign.

    Returns:
        [T, 3], for a right-handed signer; zero where the movement starts unless there is a phase.
    """
    share = np.asarray(share, dtype=np.float64)
    there = there_and_back(sign, share)
    turn = 2 * np.pi * (ease(share) * cycles(sign) + phase)
    x, y, z = np.eye(3)
    if sign.path in _STEP:
        if phase:
            there = 1 - there
        return there[:, None] * _STEP[sign.path]
    ways: dict[str, Callable[[], np.ndarray]] = {
        "hold": lambda: np.zeros((len(share), 3)),
        "arc": lambda: np.outer(there, 1.2 * x) + np.outer(np.sin(np.pi * there), 0.7 * y),
        "arc-forward": lambda: np.outer(there, z) + np.outer(np.sin(np.pi * there), 0.7 * y),
        "zigzag": lambda: np.outer(ease(share), -1.1 * y) + np.outer(np.sin(turn), 0.35 * x),
        "circle": lambda: 0.5 * (np.outer(np.sin(turn), -x) + np.outer(1 - np.cos(turn), y)),
        "circle-flat": lambda: 0.5 * (np.outer(np.sin(turn), -x) + np.outer(1 - np.cos(turn), z)),
        "to-and-fro": lambda: np.outer(np.sin(turn), 0.45 * x),
        "tap": lambda: np.outer(0.5 - 0.5 * np.cos(turn), 0.5 * normal),
    }
    return ways[sign.path]()


def there_and_back(sign: Sign, share: np.ndarray) -> np.ndarray:
    """Return 0 to 1 for a sign made once; for a repeated one there, back and there again, each with minimum jerk."""
    stroke = np.asarray(share) * (2 * sign.repeats - 1)
    number = np.minimum(np.floor(stroke), 2 * sign.repeats - 2)
    done = minimum_jerk(stroke - number)
    return np.where(number % 2 == 0, done, 1 - done)


def cycles(sign: Sign) -> int:
    """Return the number of cycles of a cyclic movement."""
    return sign.repeats if sign.path.startswith("circle") else sign.repeats + 1
