"""Turn the hands that a detector found in each frame into two tracked hands, and those into the features of a model.

A detector such as MediaPipe Hands gives up to two hands per frame, in any order, without saying which is left or
right. Steps for one clip: `link_hands` (tracking), `leading_hand_first`, `trim_to_hands`, `fill_gaps`,
`resample_hands` (a fixed number of steps for isolated signs), `hand_features`. Each step is a function of arrays, so
that training can augment the hands in between.

Legend: T frames, S steps, P = 21 landmarks. Detections are `[T, 2, 21, 3]` float32: x, y fractions of the picture from
the top left, z in picture widths from the wrist of that hand, smaller is nearer. Hands are the same, measured from the
middle of the picture in picture heights, so that a rotating hand keeps its shape and portrait videos look like others.
`seen` is `[T, 2]` bool.
"""

from dataclasses import dataclass, replace

import numpy as np

HANDS = 2
HAND_POINTS = 21
WRIST = 0
KNUCKLES = (5, 9, 13, 17)
FINGERTIPS = (4, 8, 12, 16, 20)
_TIP_PAIRS = np.triu_indices(len(FINGERTIPS), 1)

HANDS_WIDTH = HANDS * HAND_POINTS * 3
USUAL_ASPECT = 16 / 9
_MIDDLE = np.array([0.5, 0.5, 0.0], dtype=np.float32)
# Two detections whose points are this close on average (fractions of the picture) are one hand detected twice.
SAME_HAND = 0.02
# Cost of a hand that was never seen when detections are assigned: any nearer hand is preferred.
NEW_HAND_COST = 0.25
# Cap on the activity of one frame: jumps between hands would outweigh an entire sign.
MAX_STEP, MAX_SHAPE_STEP = 0.15, 0.1
# Minimum palm size (picture heights), since shapes are divided by it.
SMALLEST_PALM = 0.01
# Maximum of a shape in palms: points further out belong to a hand seen edge-on.
MAX_SHAPE = 4.0


@dataclass(frozen=True)
class HandClip:
    """Two hands of a clip.

    Attributes:
        hands: `[T, 2, 21, 3]` float32 in picture heights from the middle of the picture; 0 for a hand that is never
            seen.
        seen: `[T, 2]` bool.
        times: `[T]` float64 seconds of the frames, from the first frame of the video.
    """

    hands: np.ndarray
    seen: np.ndarray
    times: np.ndarray

    def __len__(self) -> int:
        return len(self.hands)

    @property
    def seconds(self) -> float:
        """Return the time from the first to the last frame."""
        return float(self.times[-1] - self.times[0]) if len(self) > 1 else 0.0


def rows_to_hands(rows: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split rows of the track `hands` into the detector's two slots.

    Args:
        rows: `[T, 126]`; 63 zeros are a hand that was not detected.
        observed: `[T]` bool, rows that hold anything.

    Returns:
        Hands `[T, 2, 21, 3]` float32, 0 where nothing was detected, and seen `[T, 2]` bool.
    """
    hands = np.where(observed[:, None], rows, 0.0).astype(np.float32).reshape(-1, HANDS, HAND_POINTS, 3)
    return hands, (hands != 0).any(axis=(2, 3))


def hand_clip(
    rows: np.ndarray,
    observed: np.ndarray,
    times: np.ndarray,
    aspect: float = USUAL_ASPECT,
    mirrored: bool = False,
    use_depth: bool = True,
) -> HandClip:
    """Track the two hands in rows of the track `hands`, the leading one first; gaps are filled, no frame is dropped.

    Args:
        rows: `[T, 126]`.
        observed: `[T]` bool.
        times: `[T]` seconds, ascending.
        aspect: Width of the picture over its height.
        mirrored: Return the mirror image, so that a left-handed signer looks like a right-handed one.
        use_depth: False sets z to 0, as for detectors without depth.
    """
    hands, seen = leading_hand_first(*link_hands(*rows_to_hands(rows, observed)))
    hands = np.where(seen[..., None, None], in_picture_heights(hands, aspect, use_depth), 0)
    if mirrored:
        hands, seen = mirror_hands(hands, seen)
    return fill_gaps(HandClip(hands, seen, np.asarray(times, dtype=np.float64)))


def in_picture_heights(hands: np.ndarray, aspect: float = USUAL_ASPECT, use_depth: bool = True) -> np.ndarray:
    """Convert hands `[..., 21, 3]` to picture heights from the middle of the picture; without `use_depth` z is 0."""
    return (hands - _MIDDLE) * np.array([aspect, 1.0, aspect * use_depth], dtype=np.float32)


def model_rows(clip: HandClip, is_sign: bool = True, shape_only: bool = False) -> np.ndarray:
    """Return `hand_features` of one clip, `[T, HAND_FEATURES]`.

    Args:
        clip: Hands with gaps filled.
        is_sign: Whether the length of the clip is that of one sign.
        shape_only: As for `hand_features`.
    """
    return hand_features(clip.hands, clip.seen, clip.seconds if is_sign else None, shape_only)


def link_hands(hands: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Track two hands through a clip whose detections come in any order.

    Detections of a frame are assigned to hands so that the total distance from where each was last seen is smallest.
    Of a hand that was detected twice in a frame one detection is dropped. If both appear for the first time together,
    the one on the left of the picture is the first.

    Args:
        hands: `[T, 2, 21, 3]`, slots of the detector.
        seen: `[T, 2]` bool.

    Returns:
        The same shapes, the second axis being one hand each.
    """
    linked, linked_seen = np.zeros_like(hands), np.zeros_like(seen)
    last: list[np.ndarray | None] = [None, None]
    centers = hands[..., :2].mean(axis=2)
    twice = seen.all(axis=1) & (np.abs(hands[:, 0, :, :2] - hands[:, 1, :, :2]).mean(axis=(1, 2)) < SAME_HAND)
    for frame in range(len(hands)):
        slots = np.flatnonzero(seen[frame])
        slots = slots[:1] if twice[frame] else slots
        if len(slots) == 0:
            continue
        order = _assign(centers[frame, slots], last)
        for slot, hand in zip(slots, order):
            linked[frame, hand], linked_seen[frame, hand] = hands[frame, slot], True
            last[hand] = centers[frame, slot]
    return linked, linked_seen


def _assign(centers: np.ndarray, last: list[np.ndarray | None]) -> tuple[int, ...]:
    """Return the hand of each detection, centers `[1 or 2, 2]`."""

    def cost(detection: int, hand: int) -> float:
        place = last[hand]
        return NEW_HAND_COST if place is None else min(float(np.linalg.norm(centers[detection] - place)), 1.0)

    if len(centers) == 1:
        return (0,) if cost(0, 0) <= cost(0, 1) else (1,)
    if last[0] is None and last[1] is None:
        return (0, 1) if centers[0, 0] <= centers[1, 0] else (1, 0)
    return (0, 1) if cost(0, 0) + cost(1, 1) <= cost(0, 1) + cost(1, 0) else (1, 0)


def activity(hands: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return the activity of each hand in a clip, `[2]`: the path length of its center plus half the change of its
    shape.
    """
    amounts = np.zeros(HANDS)
    for hand in range(HANDS):
        frames = np.flatnonzero(seen[:, hand])
        if len(frames) < 2:
            continue
        points = hands[frames, hand, :, :2]
        way = np.linalg.norm(np.diff(points.mean(axis=1), axis=0), axis=1)
        shape = np.abs(np.diff(points - points[:, :1], axis=0)).sum(axis=-1).mean(axis=1)
        amounts[hand] = np.minimum(way, MAX_STEP).sum() + 0.5 * np.minimum(shape, MAX_SHAPE_STEP).sum()
    return amounts


def leading_hand_first(hands: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Put the more active of two linked hands first."""
    first, second = activity(hands, seen)
    return (hands[:, ::-1].copy(), seen[:, ::-1].copy()) if second > first else (hands, seen)


def mirror_hands(hands: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mirror image of hands `[T, 2, 21, 3]`, measured from the middle. They keep their order, the leading
    one first.
    """
    return hands * np.array([-1.0, 1.0, 1.0], dtype=np.float32), seen


def trim_to_hands(clip: HandClip) -> HandClip:
    """Drop the frames before the first and after the last one with a hand; a clip without hands is returned as it is."""
    frames = np.flatnonzero(clip.seen.any(axis=1))
    if len(frames) == 0:
        return clip
    span = slice(frames[0], frames[-1] + 1)
    return replace(clip, hands=clip.hands[span], seen=clip.seen[span], times=clip.times[span])


def fill_gaps(clip: HandClip) -> HandClip:
    """Interpolate a hand that is lost for some frames, and hold the nearest position at the ends.

    `seen` is unchanged, so measured and filled hands can be told apart.
    """
    filled = np.zeros_like(clip.hands)
    for hand in range(HANDS):
        frames = np.flatnonzero(clip.seen[:, hand])
        if len(frames):
            filled[:, hand] = _interpolate(clip.hands[frames, hand], clip.times[frames], clip.times)
    return replace(clip, hands=filled)


def _interpolate(values: np.ndarray, known: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Interpolate values `[K, ...]` at ascending times `known` [K] to `moments` [S], held at both ends."""
    places = np.interp(moments, known, np.arange(len(known)))
    low = np.floor(places).astype(int)
    high = np.minimum(low + 1, len(known) - 1)
    share = (places - low).reshape(-1, *[1] * (values.ndim - 1)).astype(values.dtype)
    return values[low] + (values[high] - values[low]) * share


def resample_hands(clip: HandClip, steps: int) -> HandClip:
    """Resample a clip with filled gaps to `steps` moments, evenly in time from its first to its last frame."""
    return hands_at(clip, np.linspace(clip.times[0], clip.times[-1], steps))


def hands_at(clip: HandClip, moments: np.ndarray) -> HandClip:
    """Resample a clip with filled gaps to moments [S] in seconds: hands are interpolated, `seen` is that of the
    nearest frame.
    """
    nearest = np.rint(np.interp(moments, clip.times, np.arange(len(clip)))).astype(int)
    return HandClip(_interpolate(clip.hands, clip.times, moments), clip.seen[nearest], moments)


# Columns of one hand: 20 landmarks x (x, y, z), 10 fingertip distances, 2 + 2 of position, size, 2 of motion, 5
# fingertips x (x, y, z) of motion.
_PER_HAND = 3 * (HAND_POINTS - 1) + len(_TIP_PAIRS[0]) + 2 + 2 + 1 + 2 + 3 * len(FINGERTIPS)
# Columns of a step: both hands, the vector from one to the other, whether each is seen, duration and size of the clip.
HAND_FEATURES = HANDS * _PER_HAND + 2 + HANDS + 2


def _mirror_signs() -> np.ndarray:
    """Return -1 for the columns that change their sign in a mirror image, else 1, `[HAND_FEATURES]`: those of x."""
    point, place = [-1, 1, 1], [-1, 1]
    distances = [1] * len(_TIP_PAIRS[0])
    hand = point * (HAND_POINTS - 1) + distances + place * 2 + [1] + place + point * len(FINGERTIPS)
    return np.array(hand * HANDS + place + [1] * (HANDS + 2), dtype=np.float32)


MIRROR_SIGNS = _mirror_signs()
# 1 for the columns of the first hand's shape, 0 for its position, size and motion, and for the second hand.
SHAPE_COLUMNS = (np.arange(HAND_FEATURES) < 3 * (HAND_POINTS - 1) + len(_TIP_PAIRS[0])).astype(np.float32)
# Factors that bring the columns to about unit variance, so that no statistics of a corpus need to travel with the
# model.
_PLACE, _FROM_CENTER, _BETWEEN, _SECONDS, _PALM = 0.25, 2.0, 1 / 3, 0.75, 10.0


def hand_features(
    hands: np.ndarray, seen: np.ndarray, seconds: np.ndarray | float | None, shape_only: bool = False
) -> np.ndarray:
    """Return the features that a model reads of two hands whose gaps are filled.

    For each hand and step: the shape (landmarks from the wrist, in palms of that step, so that the distance to the
    camera cancels), fingertip distances in palms, the position of the wrist relative to the leading hand's mean
    position in the clip (in palms of the clip) and to the middle of the picture, the palm's size relative to the
    clip's, and the motion of wrist and fingertips. For both: the vector from the first to the second, which are seen,
    the length of the clip and the palm size. What is not seen is 0.

    Args:
        hands: `[..., S, 2, 21, 3]` in picture heights from the middle, gaps filled.
        seen: `[..., S, 2]` bool.
        seconds: `[...]`, from the first to the last step; None for recordings of sentences, whose length says nothing
            about a sign.
        shape_only: True leaves 0 in all columns except those of the first hand's shape (`SHAPE_COLUMNS`).

    Returns:
        `[..., S, HAND_FEATURES]` float32.
    """
    mask = seen.astype(np.float32)
    points = hands.astype(np.float32)
    wrists = points[..., WRIST, :2]
    shapes = points - points[..., :1, :]
    palms = np.linalg.norm(shapes[..., KNUCKLES, :], axis=-1).mean(axis=-1)  # [..., S, 2]
    palm = (palms * mask).sum(axis=(-2, -1)) / np.maximum(mask.sum(axis=(-2, -1)), 1)  # of the clip
    palm = np.maximum(palm, SMALLEST_PALM)
    units = np.maximum(palms, SMALLEST_PALM)[..., None, None]
    local = np.clip(shapes[..., 1:, :] / units, -MAX_SHAPE, MAX_SHAPE)
    tips = shapes[..., FINGERTIPS, :] / units
    first, second = _TIP_PAIRS
    tip_distances = np.minimum(np.linalg.norm(tips[..., first, :] - tips[..., second, :], axis=-1), MAX_SHAPE)
    leading = (wrists[..., 0, :] * mask[..., :1]).sum(axis=-2) / np.maximum(mask[..., 0].sum(axis=-1), 1)[..., None]
    places = _PLACE * (wrists - leading[..., None, None, :]) / palm[..., None, None, None]
    sizes = np.log(units[..., 0, 0] / palm[..., None, None])
    columns = [_flat(local), tip_distances, places, _FROM_CENTER * wrists, sizes[..., None]]
    columns += [2 * _motion(places, -3), _flat(_motion(tips, -4))]
    of_hands = np.concatenate(columns, axis=-1) * mask[..., None]
    between = _BETWEEN * (wrists[..., 1, :] - wrists[..., 0, :]) / palm[..., None, None]
    steps = np.ones(points.shape[:-3], dtype=np.float32)
    length = np.asarray(1 / _SECONDS if seconds is None else seconds, dtype=np.float32)
    length = np.log(np.maximum(_SECONDS * length, 0.05))
    clip = np.stack([steps * length[..., None], steps * np.log(_PALM * palm)[..., None]], axis=-1)
    parts = [of_hands.reshape(*steps.shape, -1), between * mask.prod(axis=-1)[..., None], mask, clip]
    rows = np.concatenate(parts, axis=-1).astype(np.float32)
    return rows * SHAPE_COLUMNS if shape_only else rows


def _flat(values: np.ndarray) -> np.ndarray:
    """Reshape `[..., K, C]` to `[..., K * C]`."""
    return values.reshape(*values.shape[:-2], -1)


def _motion(values: np.ndarray, axis: int) -> np.ndarray:
    """Return the difference between the next and the previous step; 0 at both ends."""
    values = np.moveaxis(values, axis, 0)
    motion = np.zeros_like(values)
    motion[1:-1] = values[2:] - values[:-2]
    return np.moveaxis(motion, 0, axis)
