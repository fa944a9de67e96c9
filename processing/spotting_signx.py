"""Find single signs in a recording of any length: classify every window, and take the best path through all windows.

A model of isolated signs reads a window as it reads a clip. Windows begin every `hop_s` seconds and have several
lengths. Of all ways to cover the recording with windows and gaps, dynamic programming over moments takes the one with
the highest total of confidence times length.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from .hands_signx import HAND_FEATURES, MAX_SHAPE_STEP, MAX_STEP, HandClip, hand_features

# Windows whose features are computed at once: bounds memory, does not change results.
BLOCK_WINDOWS = 256


@dataclass(frozen=True)
class SpottingOptions:
    """Options of sign spotting.

    Attributes:
        hop_s: Seconds between two moments at which windows begin and end.
        lengths_s: Lengths of the windows in seconds, ascending.
        least_seen: Minimum share of frames with a hand for a window to be considered.
        longest_gap_s: Seconds without any hand that no sign spans.
        confidence: Probability of the best sign below which a window is worth less than a gap.
        cost: Cost of each sign, in seconds of a window with probability 1; higher values give fewer and longer signs.
        temperature: Divides the logits before probabilities are compared.
    """

    hop_s: float = 1 / 12
    lengths_s: tuple[float, ...] = (0.4, 0.55, 0.75, 1.0, 1.3, 1.7, 2.2, 2.8)
    least_seen: float = 0.6
    longest_gap_s: float = 0.3
    confidence: float = 0.4
    cost: float = 0.08
    temperature: float = 1.0

    def __post_init__(self) -> None:
        for name, low, high in (("hop_s", 0.01, 1.0), ("least_seen", 0.0, 1.0), ("longest_gap_s", 0.0, 10.0), ("confidence", 0.0, 1.0), ("cost", 0.0, 100.0), ("temperature", 0.01, 100.0)):  # fmt: skip
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
                raise ValueError(f"`{name}` must be a number from {low:g} to {high:g}, got {value!r}.")
        lengths = self.lengths_s
        good = isinstance(lengths, (list, tuple)) and all(type(v) in (int, float) and 0.1 <= v <= 30 for v in lengths)
        if not good or not lengths or list(lengths) != sorted(set(lengths)):
            raise ValueError(f"`lengths_s` must be ascending numbers of seconds from 0.1 to 30, got {lengths!r:.100}.")
        object.__setattr__(self, "lengths_s", tuple(float(value) for value in lengths))

    @classmethod
    def take(cls, options: dict[str, Any]) -> "SpottingOptions":
        """Build options from a dictionary, such as the config holds.

        Raises:
            ValueError: If a name is unknown, or a value is out of range.
        """
        known = {part.name for part in fields(cls)}
        unknown = sorted(set(options) - known)
        if unknown:
            raise ValueError(f"`spotting` has no option {unknown[0]!r}. Its options are {', '.join(sorted(known))}.")
        return cls(**options)


@dataclass(frozen=True)
class Spot:
    """A sign that was found.

    Attributes:
        sign: Label index.
        start: Start in seconds.
        end: End in seconds.
        confidence: Probability of the sign in its window.
    """

    sign: int
    start: float
    end: float
    confidence: float


def windows_of(clip: HandClip, options: SpottingOptions) -> tuple[np.ndarray, np.ndarray]:
    """Return the windows of a recording that can hold a sign.

    Args:
        clip: Both hands, linked, gaps filled.
        options: Options of the windows.

    Returns:
        Moments [M] in seconds, and windows [N, 2] int: indices of the first and last moment of each.
    """
    moments = np.arange(clip.times[0], clip.times[-1] + 1e-6, options.hop_s)
    frames = np.rint(np.interp(moments, clip.times, np.arange(len(clip)))).astype(int)
    shown = clip.seen.any(axis=1)
    counted = np.concatenate([[0], np.cumsum(shown)])
    resting = np.concatenate([[0], np.cumsum(_long_gaps(clip, options.longest_gap_s))])
    pairs = []
    for length in options.lengths_s:
        steps = max(1, round(length / options.hop_s))
        first = np.arange(len(moments) - steps)
        last = first + steps
        seen = (counted[frames[last] + 1] - counted[frames[first]]) / (frames[last] + 1 - frames[first])
        # A window that begins or ends without a hand only repeats a shorter one.
        good = shown[frames[first]] & shown[frames[last]] & (seen >= options.least_seen)
        good &= resting[frames[last] + 1] == resting[frames[first]]
        pairs.append(np.stack([first[good], last[good]], axis=1))
    windows = np.concatenate(pairs) if pairs else np.zeros((0, 2), dtype=int)
    return moments, windows[np.lexsort((windows[:, 1], windows[:, 0]))]


def _long_gaps(clip: HandClip, seconds: float) -> np.ndarray:
    """Return which frames `[T]` lie in a stretch without any hand that lasts longer than `seconds`."""
    shown = np.concatenate([[True], clip.seen.any(axis=1), [True]])
    edges = np.flatnonzero(np.diff(shown.astype(int)))  # a stretch begins and ends
    inside = np.zeros(len(clip), dtype=bool)
    for first, end in edges.reshape(-1, 2):
        if clip.times[min(end, len(clip) - 1)] - clip.times[max(first - 1, 0)] > seconds:
            inside[first:end] = True
    return inside


def window_rows(clip: HandClip, moments: np.ndarray, windows: np.ndarray, steps: int) -> Iterator[np.ndarray]:
    """Yield the features of windows as a model of isolated signs reads clips, in blocks `[n, steps, HAND_FEATURES]`.

    Args:
        clip: Both hands, linked, gaps filled, in any order: the busier hand of each window comes first.
        moments: [M] seconds.
        windows: [N, 2] indices of moments.
        steps: Number of steps of a clip.
    """
    busy = _activity_until(clip)
    for start in range(0, len(windows), BLOCK_WINDOWS):
        block = windows[start : start + BLOCK_WINDOWS]
        begin, end = moments[block[:, 0]], moments[block[:, 1]]
        times = begin[:, None] + (end - begin)[:, None] * np.linspace(0, 1, steps)
        places = np.interp(times, clip.times, np.arange(len(clip)))
        low = np.minimum(places.astype(int), len(clip) - 1)
        high = np.minimum(low + 1, len(clip) - 1)
        share = (places - low).astype(np.float32)[..., None, None, None]
        hands = clip.hands[low] + (clip.hands[high] - clip.hands[low]) * share
        seen = clip.seen[np.minimum(np.rint(places).astype(int), len(clip) - 1)]
        first, last = low[:, 0], np.minimum(low[:, -1], len(clip) - 1)
        amounts = busy[last] - busy[first]
        swap = amounts[:, 1] > amounts[:, 0]
        hands[swap], seen[swap] = hands[swap][:, :, ::-1], seen[swap][:, :, ::-1]
        yield hand_features(hands, seen, (end - begin).astype(np.float32)).reshape(-1, steps, HAND_FEATURES)


def _activity_until(clip: HandClip) -> np.ndarray:
    """Return how much each hand has moved up to every frame, `[T, 2]`, as `hands_signx.activity` counts it."""
    points = clip.hands[..., :2]
    way = np.linalg.norm(np.diff(points.mean(axis=2), axis=0), axis=-1)
    shape = np.abs(np.diff(points - points[:, :, :1], axis=0)).sum(axis=-1).mean(axis=-1)
    both = clip.seen[1:] | clip.seen[:-1]  # positions of a lost hand are interpolated between two that are seen
    steps = (np.minimum(way, MAX_STEP) + 0.5 * np.minimum(shape, MAX_SHAPE_STEP)) * both
    return np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])


def best_signs(
    moments: np.ndarray,
    windows: np.ndarray,
    log_probs: np.ndarray,
    ids: Sequence[int] | None,
    options: SpottingOptions,
) -> list[Spot]:
    """Return the signs of the best path through the windows.

    A window of length l whose best sign has probability p is worth `l (p - confidence) - cost`; a moment without a
    window is worth 0.

    Args:
        moments: [M] seconds.
        windows: [N, 2] indices of moments.
        log_probs: [N, signs].
        ids: Label indices that may be found; None for all.
        options: Options of the path.

    Returns:
        Signs in order of time; they do not overlap.
    """
    if len(windows) == 0:
        return []
    scores = (log_probs if ids is None else log_probs[:, list(ids)]).astype(np.float64) / options.temperature
    scores -= scores.max(axis=1, keepdims=True)
    probabilities = np.exp(scores)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    best, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    lengths = moments[windows[:, 1]] - moments[windows[:, 0]]
    worth = lengths * (sure - options.confidence) - options.cost
    total, taken = np.zeros(len(moments)), np.full(len(moments), -1)
    ending: list[list[int]] = [[] for _ in moments]
    for index, (_, last) in enumerate(windows.tolist()):
        ending[last].append(index)
    for moment in range(1, len(moments)):
        total[moment] = total[moment - 1]
        for index in ending[moment]:
            gain = total[windows[index, 0]] + worth[index]
            if gain > total[moment]:
                total[moment], taken[moment] = gain, index
    spots, moment = [], len(moments) - 1
    while moment > 0:
        index = taken[moment]
        if index < 0:
            moment -= 1
            continue
        sign = int(best[index]) if ids is None else int(list(ids)[best[index]])
        first, last = windows[index]
        spots.append(Spot(sign, float(moments[first]), float(moments[last]), float(sure[index])))
        moment = int(first)
    return spots[::-1]
