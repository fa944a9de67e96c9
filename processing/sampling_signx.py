"""Sample frames at a target frame rate by timestamp.

Time is in seconds since the first frame. Frames are chosen by presentation timestamp, never by index, so a clip of
variable frame rate keeps its speed. `FrameSampler` makes the same choice while decoding as `sample_indices` does
afterwards.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .errors_signx import SignXVideoError

# The last instant may lie up to half a target frame behind the last frame. The half is taken 0.05 frames short:
# halving 60 to 30 fps ends exactly on it, and a container that rounds timestamps to milliseconds must not add a frame
# there.
TAIL_FRAMES = 0.45
# Two source frames whose distances to an instant differ by less than a microsecond tie: float and rational timestamps
# agree.
TIE_SECONDS = 1e-6
# Lowest and highest rate of a processor, as of `SignXConfig.fps`: a rate beyond them is a typo that fills the memory.
MODEL_RATES = (1e-3, 1e3)


def check_rate(value: float, name: str = "fps") -> float:
    """Return a frame rate as a float.

    Args:
        value: Frames per second.
        name: Name of the argument, for the message.

    Raises:
        SignXVideoError: If the value is not a positive finite number.
    """
    number = np.nan if isinstance(value, bool) else value
    try:
        number = float(number)
    except (TypeError, ValueError):
        number = np.nan
    if not (np.isfinite(number) and number > 0):
        raise SignXVideoError(
            f"`{name}` must be a positive number of frames per second, got {value!r:.80}. Use for example {name}=30.0."
        )
    return number


def check_model_rate(value: float) -> float:
    """Return the frame rate of a processor's output as a float.

    Raises:
        SignXVideoError: If the value is not a number within `MODEL_RATES`.
    """
    rate, (low, high) = check_rate(value), MODEL_RATES
    if not low <= rate <= high:
        raise SignXVideoError(f"`fps` must be from {low:g} to {high:g} frames per second, got {value!r:.80}.")
    return rate


def check_max_frames(max_frames: int | None) -> int | None:
    """Return a maximum number of frames as an int, or None for no limit.

    Raises:
        SignXVideoError: If the value is not a positive integer or None.
    """
    if max_frames is None:
        return None
    if isinstance(max_frames, bool) or not isinstance(max_frames, (int, np.integer)) or max_frames < 1:
        raise SignXVideoError(f"`max_frames` must be a positive integer or None for no limit, got {max_frames!r}.")
    return int(max_frames)


def _check_timestamps(timestamps: Sequence[float] | np.ndarray) -> np.ndarray:
    times = np.asarray(timestamps, dtype=np.float64)
    if times.ndim != 1 or times.size == 0:
        raise SignXVideoError(
            f"timestamps must have shape [T] with at least one frame, got shape {list(times.shape)}."
        )
    if not np.isfinite(times).all() or (np.diff(times) < 0).any():
        raise SignXVideoError("timestamps must be finite and non-decreasing seconds. Sort the frames by time.")
    return times


def thin_instants(instants: Sequence[float] | np.ndarray, max_frames: int | None) -> np.ndarray:
    """Return at most `max_frames` evenly spaced instants [K] in seconds, from the first to the last of `instants`."""
    instants = np.asarray(instants, dtype=np.float64)
    if max_frames is None or len(instants) <= max_frames:
        return instants
    return np.linspace(instants[0], instants[-1], max_frames)


def sample_count(timestamps: Sequence[float] | np.ndarray, fps: float | None) -> int:
    """Return how many instants `sample_instants` would return without `max_frames`, without allocating them."""
    times = _check_timestamps(timestamps)
    return len(times) if fps is None else max(1, int(np.floor(times[-1] * check_rate(fps) + TAIL_FRAMES)) + 1)


def sample_instants(
    timestamps: Sequence[float] | np.ndarray, fps: float | None, max_frames: int | None = None
) -> np.ndarray:
    """Return the instants [K] in seconds at which frames are sampled.

    They are k / fps from 0 to the last timestamp, with a tolerance of half a target frame, or the timestamps
    themselves if `fps` is None. More than `max_frames` are thinned to that many evenly spaced ones.
    """
    times = _check_timestamps(timestamps)
    max_frames = check_max_frames(max_frames)
    if fps is None:
        return thin_instants(times, max_frames)
    fps, count = check_rate(fps), sample_count(times, fps)
    if max_frames is not None and count > max_frames:  # as thin_instants, of instants that are not allocated
        return np.linspace(0.0, (count - 1) / fps, max_frames)
    return np.arange(count) / fps


def sample_indices(
    timestamps: Sequence[float] | np.ndarray, fps: float | None, max_frames: int | None = None
) -> np.ndarray:
    """Return the source frame of each sampled instant, int64 [K]: the nearest by timestamp, or the earlier of two at
    equal distance.

    Args:
        timestamps: [T] non-decreasing seconds since the first frame.
        fps: Target frames per second; None keeps every frame.
        max_frames: Upper limit of K; None for no limit.

    Raises:
        SignXVideoError: If timestamps are empty, not finite or decreasing, or `fps` or `max_frames` is not positive.
    """
    times = _check_timestamps(timestamps)
    instants = sample_instants(times, fps, max_frames)
    if fps is None and len(instants) == len(times):
        return np.arange(len(times))
    after = np.searchsorted(times, np.minimum(instants, times[-1]), side="left")
    # Of frames that share a timestamp the first is taken.
    before = np.searchsorted(times, times[np.maximum(after - 1, 0)], side="left")
    is_before_nearer = np.abs(instants - times[before]) <= np.abs(times[after] - instants) + TIE_SECONDS
    return np.where(is_before_nearer & (instants <= times[-1]), before, after)


class FrameSampler:
    """Sample frames as they arrive, holding back only the nearest candidate; the choice is that of `sample_indices`.

    Args:
        fps: Target frames per second; None keeps every frame. Ignored if `instants` is given.
        instants: [K] ascending seconds at which frames are sampled.
    """

    def __init__(self, fps: float | None = None, instants: Sequence[float] | np.ndarray | None = None):
        self._fps = None if fps is None else check_rate(fps)
        self._takes_all = fps is None and instants is None
        self._is_listed = instants is not None
        self._instants = iter([float(x) for x in instants]) if instants is not None else self._regular_instants()
        self._next = next(self._instants, None)
        self._held: tuple[float, Any] | None = None

    def _regular_instants(self) -> Iterator[float]:
        return iter(()) if self._fps is None else (k / self._fps for k in itertools.count())

    def push(self, timestamp: float, frame: object) -> list[tuple[float, Any]]:
        """Add the next frame and return the (instant, frame) pairs that are now decided: none, one or several."""
        if self._takes_all:
            return [(timestamp, frame)]
        if self._held is not None and timestamp <= self._held[0]:
            return []  # shares the timestamp of the held frame: the earlier one is kept
        decided = []
        while self._next is not None and self._next <= timestamp:
            earlier = self._held
            if earlier is not None and abs(self._next - earlier[0]) <= abs(timestamp - self._next) + TIE_SECONDS:
                decided.append((self._next, earlier[1]))
            else:
                decided.append((self._next, frame))
            self._next = next(self._instants, None)
        self._held = (timestamp, frame)
        return decided

    def finish(self) -> list[tuple[float, Any]]:
        """Return the (instant, frame) pairs that remain after the last frame."""
        decided = []
        if self._held is None:
            return decided
        timestamp, frame = self._held
        while self._next is not None and (self._is_listed or self._is_due(self._next, timestamp)):
            decided.append((self._next, frame))
            self._next = next(self._instants, None)
        return decided

    def _is_due(self, instant: float, last: float) -> bool:
        return round(instant * self._fps) <= max(0, int(np.floor(last * self._fps + TAIL_FRAMES)))
