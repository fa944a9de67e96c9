"""Join clips of isolated signs to semi-synthetic sentences in which the hands travel from one sign to the next."""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from ...processing.hands_signx import HandClip, fill_gaps, link_hands, resample_hands, trim_to_hands
from ..errors import SignXDataError

# Frames that a sign keeps at least when the way from and to its rest position is cut off
SHORTEST_SIGN = 6
# A hand whose way down or up is shorter than this, in image heights, was not at rest
SMALLEST_RISE = 0.05
# A hand is present at the end of a sign if it was seen in one of this many last frames
END_FRAMES = 4
# Noise of detections between signs, in image sizes
JITTER = 0.0015


@dataclass(frozen=True)
class JoinOptions:
    """Options of joined sentences; `WLASLHands` documents them."""

    sentences: int = 0
    length: Sequence[int] = (2, 6)
    mix_signers: bool = False
    seed: int = 0
    speed: Sequence[float] = (0.7, 1.4)
    transition: Sequence[int] = (4, 12)
    hold: float = 0.2
    repeat: float = 0.1
    pause: float = 0.05
    missing: float = 0.3

    def __post_init__(self) -> None:
        for name, lowest in (("sentences", 0), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
                raise SignXDataError(f"`{name}` must be an integer of at least {lowest}, got {value!r}.")
        for name, kind, lowest in (("length", int, 1), ("transition", int, 1), ("speed", (int, float), 0.1)):
            value = getattr(self, name)
            pair = isinstance(value, (list, tuple)) and len(value) == 2 and all(isinstance(end, kind) for end in value)
            if not pair or not lowest <= value[0] <= value[1]:
                raise SignXDataError(f"`{name}` must be [min, max] of at least {lowest}, got {value!r}.")
        for name in ("hold", "repeat", "pause", "missing"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
                raise SignXDataError(f"`{name}` must be from 0 to 1, got {value!r}.")
        if not isinstance(self.mix_signers, bool):
            raise SignXDataError(f"`mix_signers` must be true or false, got {self.mix_signers!r}.")

    @classmethod
    def take(cls, corpus: str, options: dict[str, Any]) -> "JoinOptions":
        """Pop the options that belong here from `options`; raise SignXDataError if one cannot be used."""
        try:
            return cls(**{part.name: options.pop(part.name) for part in fields(cls) if part.name in options})
        except SignXDataError as error:
            raise SignXDataError(f"{corpus}: {error}") from None


@dataclass(frozen=True)
class Frame:
    """Position of a signer's hands in the image: midpoint between them (x), median height (y), median hand size."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Sign:
    """A clip with linked hands: hands [T, 2, 21, 3] without gaps, the left one in the image first; seen [T, 2]."""

    hands: np.ndarray
    seen: np.ndarray


@dataclass(frozen=True)
class Sentence:
    """Joined signs: hands [T, 2, 21, 3], seen [T, 2], and the first frame and end of each sign."""

    hands: np.ndarray
    seen: np.ndarray
    spans: list[tuple[int, int]]


# which clips


def plan_sentences(
    clips: Mapping[str, Sequence[int]], glosses: Sequence[str], split: str, options: JoinOptions
) -> Iterator[tuple[str, list[int]]]:
    """Draw the clips of every sentence; sentence n does not depend on the number of sentences.

    Args:
        clips: Signer -> indices into `glosses`.
        glosses: The gloss of each clip.
        split: Name of the split, which the draws depend on.
        options: How many sentences, and of which length.

    Yields:
        The signer, drawn in proportion to clips ("mixed" with mix_signers), and the clips.

    Raises:
        SignXDataError: If no signer has two different signs.
    """
    groups = {"mixed": [clip for members in clips.values() for clip in members]} if options.mix_signers else clips
    least = min(2, options.length[1])
    groups = {
        name: list(members) for name, members in groups.items() if len({glosses[clip] for clip in members}) >= least
    }
    if not groups:
        raise SignXDataError(
            f"`sentences` must find a signer with two different glosses in split '{split}', got none. Set mix_signers, or take more glosses."
        )
    names, share = list(groups), np.array([len(members) for members in groups.values()], dtype=float)
    for number in range(options.sentences):
        dice = dice_of(options.seed, split, number, "plan")
        name = names[dice.choice(len(names), p=share / share.sum())]
        drawn: list[int] = []
        for _ in range(dice.integers(options.length[0], options.length[1] + 1)):
            again = bool(drawn) and dice.random() < options.repeat
            allowed = [c for c in groups[name] if not drawn or (glosses[c] == glosses[drawn[-1]]) == again]
            drawn.append(allowed[dice.integers(len(allowed))])
        yield name, drawn


def dice_of(seed: int, split: str, number: int, purpose: str) -> np.random.Generator:
    """Return the random generator of one sentence, which depends only on seed, split and number."""
    return np.random.default_rng([seed, zlib.crc32(f"{split} {purpose}".encode()), number])


# one clip


def linked_sign(hands: np.ndarray, present: np.ndarray, middle: float) -> Sign:
    """Link the hands of a clip, cut it to its first and last hand, fill gaps, and put the left hand in the image first.

    Args:
        hands: [T, 2, 21, 3], slots of the detector, filled where present [T, 2].
        present: [T, 2] bool.
        middle: x half-way between the hands of this signer, which decides on which side a single hand is.
    """
    linked = HandClip(*link_hands(hands.astype(np.float32), present), np.arange(len(hands), dtype=np.float64))
    clip = fill_gaps(trim_to_hands(linked))
    sides: list[float | None] = [None, None]
    for slot in range(2):
        at = np.flatnonzero(clip.seen[:, slot])
        if len(at):
            ends = np.unique(np.concatenate([at[:END_FRAMES], at[-END_FRAMES:]]))
            sides[slot] = float(clip.hands[ends, slot, 0, 0].mean())  # at rest, hands are not crossed
    first, second = sides
    if first is None or second is None:
        swap = (first is None and second <= middle) or (second is None and first > middle)
    else:
        swap = first > second
    return Sign(clip.hands[:, ::-1], clip.seen[:, ::-1]) if swap else Sign(clip.hands, clip.seen)


def signer_frames(
    detections: np.ndarray, present: np.ndarray, detection_signer: np.ndarray, frame_signer: np.ndarray
) -> dict[int, Frame]:
    """Measure where each signer's hands are.

    Args:
        detections: [n, 21, 3], which fill `present` in order.
        present: [T, 2] bool.
        detection_signer: [n].
        frame_signer: [T].
    """
    wrists = np.full((*present.shape, 2), np.nan, dtype=np.float32)
    wrists[present] = detections[:, 0, :2]
    middle = wrists[..., 0].mean(axis=1)  # NaN where one hand is missing
    extent = detections[..., :2].max(axis=1) - detections[..., :2].min(axis=1)
    frames = {}
    for signer in np.unique(detection_signer).tolist():
        own = detection_signer == signer
        middles = middle[frame_signer == signer]
        middles = middles[np.isfinite(middles)]
        width, height = np.median(extent[own].astype(np.float32), axis=0)
        frames[signer] = Frame(
            float(np.median(middles)) if len(middles) else 0.5,
            float(np.median(detections[own, 0, 1].astype(np.float32))),
            float(width),
            float(height),
        )
    return frames


def move_to_frame(sign: Sign, source: Frame, target: Frame) -> Sign:
    """Move and scale a sign to the position and size of another signer's hands."""
    scale = np.array([target.width / source.width, target.height / source.height, target.width / source.width])
    moved = (sign.hands - [source.x, source.y, 0.0]) * scale + [target.x, target.y, 0.0]
    return replace(sign, hands=moved.astype(np.float32))


def without_rests(sign: Sign, start: float | None, end: float | None) -> Sign:
    """Cut off the way of the leading hand from its rest position to the sign, and back.

    Args:
        sign: The sign.
        start: Share of the way to the sign that is kept; None keeps it all.
        end: Share of the way back that is kept; None keeps it all.
    """
    traveled = np.abs(np.diff(sign.hands[:, :, 0, :2], axis=0)).sum(axis=(0, 2)) * sign.seen.any(axis=0)
    height = sign.hands[:, int(np.argmax(traveled)), 0, 1]
    top = float(np.percentile(height, 30))  # y grows downwards
    first, last = 0, len(height) - 1
    if start is not None and height[0] - top > SMALLEST_RISE:
        first = int(np.argmax(height <= top + start * (height[0] - top)))
    if end is not None and height[-1] - top > SMALLEST_RISE:
        last -= int(np.argmax(height[::-1] <= top + end * (height[-1] - top)))
    if last - first + 1 < min(SHORTEST_SIGN, len(height)):
        return sign
    return Sign(sign.hands[first : last + 1], sign.seen[first : last + 1])


def at_speed(sign: Sign, speed: float) -> Sign:
    """Speed up (above 1) or slow down a sign: frames are interpolated; a hand is seen as in the nearest frame."""
    clip = HandClip(sign.hands, sign.seen, np.arange(len(sign.hands), dtype=np.float64))
    clip = resample_hands(clip, max(2, round(len(sign.hands) / speed)))
    return Sign(clip.hands, clip.seen)


def held(sign: Sign, frames: int, dice: np.random.Generator) -> Sign:
    """Hold the end of a sign for some frames."""
    still = np.repeat(sign.hands[-1:], frames, axis=0)
    still = still + dice.normal(0, JITTER, size=(frames, 2, 1, 3))
    there = sign.seen[-END_FRAMES:].any(axis=0)
    hands = np.concatenate([sign.hands, still.astype(np.float32)])
    return Sign(hands, np.concatenate([sign.seen, np.repeat(there[None], frames, axis=0)]))


# the sentence


def join_signs(signs: Sequence[Sign], options: JoinOptions, dice: np.random.Generator) -> Sentence:
    """Join signs to a sentence: varied speeds, no rests, holds, and hands that travel, or rest at pauses, between."""
    pauses = [True, *(bool(dice.random() < options.pause) for _ in signs[1:]), True]
    pace = dice.uniform(0.85, 1.15)
    parts: list[Sign] = [_rest(int(dice.integers(0, 9)))]
    spans: list[tuple[int, int]] = []
    frames = len(parts[0].hands)
    previous: Sign | None = None
    for index, sign in enumerate(signs):
        ends = [None if pauses[index + side] else float(dice.uniform(0.1, 0.5)) for side in (0, 1)]
        sign = without_rests(sign, *ends)
        sign = at_speed(sign, float(np.clip(pace * dice.uniform(0.8, 1.25), *options.speed)))
        if not pauses[index + 1] and dice.random() < options.hold:
            sign = held(sign, int(dice.integers(3, 11)), dice)
        if previous is not None:
            between = (
                _rest(int(dice.integers(4, 16))) if pauses[index] else travel(previous, sign, options.transition, dice)
            )
            parts.append(between)
            frames += len(between.hands)
        spans.append((frames, frames + len(sign.hands)))
        frames += len(sign.hands)
        parts.append(sign)
        previous = sign
    parts.append(_rest(int(dice.integers(0, 9))))
    hands, seen = (np.concatenate([getattr(part, name) for part in parts]) for name in ("hands", "seen"))
    return Sentence(hands, _lose_hands(seen, options.missing * len(signs), dice), spans)


def _rest(frames: int) -> Sign:
    """Return frames without a hand."""
    return Sign(np.zeros((frames, 2, 21, 3), dtype=np.float32), np.zeros((frames, 2), dtype=bool))


def travel(before: Sign, after: Sign, limits: Sequence[int], dice: np.random.Generator) -> Sign:
    """Return the frames between two signs, in which each hand moves from its last to its next pose, position and shape.

    A hand that has no next pose sinks, one that had no last pose rises. Longer ways take more frames, within `limits`.
    """
    was, will = before.seen[-END_FRAMES:].any(axis=0), after.seen[:END_FRAMES].any(axis=0)
    starts, ends = before.hands[-1], after.hands[0]
    way = np.linalg.norm(starts[:, 0, :2] - ends[:, 0, :2], axis=1)
    farthest = float(way[was & will].max()) if (was & will).any() else 0.2
    count = int(np.clip(round(limits[0] + 20 * farthest + dice.normal(0, 1.5)), *limits))
    share = np.arange(1, count + 1) / (count + 1)
    eased = (share * share * (3 - 2 * share)).astype(np.float32)  # starts and ends slowly
    hands, seen = np.zeros((count, 2, 21, 3), dtype=np.float32), np.zeros((count, 2), dtype=bool)
    for slot in range(2):
        drop = np.array([dice.normal(0, 0.03), dice.uniform(0.15, 0.35), 0.0], dtype=np.float32)
        shown, bow = dice.uniform(0.3, 0.9), dice.normal(0, 0.08)
        if not was[slot] and not will[slot]:
            continue
        start = starts[slot] if was[slot] else ends[slot] + drop
        end = ends[slot] if will[slot] else starts[slot] + drop
        path = start + eased[:, None, None] * (end - start)
        aside = np.array([start[0, 1] - end[0, 1], end[0, 0] - start[0, 0]], dtype=np.float32)  # across the way
        path[..., :2] += np.sin(np.pi * eased)[:, None, None] * aside * np.float32(bow)
        hands[:, slot] = path + dice.normal(0, JITTER, size=(count, 1, 3))
        seen[:, slot] = True if was[slot] and will[slot] else (share <= shown if was[slot] else share > 1 - shown)
    return Sign(hands, seen)


def _lose_hands(seen: np.ndarray, gaps: float, dice: np.random.Generator) -> np.ndarray:
    """Hide one hand for 1 to 6 frames, `gaps` times on average."""
    seen = seen.copy()
    for _ in range(dice.poisson(gaps)):
        start, frames, slot = int(dice.integers(len(seen))), int(dice.integers(1, 7)), int(dice.integers(2))
        kept = seen[start : start + frames]
        if kept.any(axis=1).all():  # a hand that was not seen cannot be lost
            kept[:, slot] = False
    return seen
