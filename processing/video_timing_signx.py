"""Time frames of a video: timestamps, start, frame rate and duration."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import av
import numpy as np

from .frame_rendering_signx import SourceFrame

FALLBACK_RATE = 30.0  # frames per second if neither the input nor the caller gives a rate
STAMP_SECONDS = 0.002  # rounding error of timestamps in containers


@dataclass
class ReadingReport:
    """Statistics of reading a source once. Times are in seconds since the first frame.

    `start` is that of the first frame itself since the start of the container, from which players count.
    """

    start: float = 0.0
    frames_decoded: int = 0
    last: float = 0.0
    period: float = 1 / FALLBACK_RATE
    width: int = 0
    height: int = 0
    rotation: int = 0
    truncated: bool = False
    warnings: list[str] = field(default_factory=list)

    @property
    def duration(self) -> float:
        """Return the duration in seconds."""
        return self.last + self.period

    @property
    def fps(self) -> float:
        """Return the measured mean rate; for a single frame the rate that its stream declares."""
        return (self.frames_decoded - 1) / self.last if self.last > 0 else 1 / self.period

    def saw(self, source: SourceFrame, timestamp: float) -> None:
        """Count a decoded frame."""
        if self.frames_decoded == 0:
            size = (source.frame.width, source.frame.height)
            self.width, self.height = size[::-1] if source.orientation.transpose else size
            self.rotation = source.orientation.degrees
        self.frames_decoded += 1
        self.last = timestamp


class StreamClock:
    """Clock that assigns each frame its seconds since the first one.

    It reads the presentation timestamp, or counts at the declared rate where that is missing or decreases.
    """

    def __init__(self, stream: av.video.stream.VideoStream, report: ReadingReport, origin: float | None = None):
        """Create the clock.

        Args:
            stream: Video stream.
            report: Gets the start of the first frame, and what `finish` finds.
            origin: Seconds at which the container starts, on the clock of the timestamps; None if unknown.
        """
        rate = stream.average_rate or stream.guessed_rate
        self._period = float(1 / rate) if rate else 1 / FALLBACK_RATE
        self._time_base = stream.time_base
        self._report, self._origin = report, origin
        self._first: float | None = None
        self._last: float | None = None
        self._last_shown: float | None = None
        self._absent = self._backwards = 0

    def read(self, frame: av.VideoFrame) -> float:
        """Return the seconds of the next frame."""
        base = frame.time_base or self._time_base  # frames flushed from the decoder have none
        stamp = None if frame.pts is None or base is None else float(frame.pts * base)
        shown = float(frame.duration * base) if frame.duration and base else None
        self._last_shown = shown
        if self._last is None:
            self._first = 0.0 if stamp is None else stamp
            if stamp is not None and self._origin is not None and stamp - self._origin > STAMP_SECONDS:
                self._report.start = stamp - self._origin
            self._absent += stamp is None
            self._last = 0.0
            return 0.0
        if stamp is None:
            self._absent += 1
        elif stamp - self._first < self._last:
            self._backwards += 1
        else:
            self._last = stamp - self._first
            return self._last
        self._last += self._period
        return self._last

    def finish(self) -> None:
        """Add the duration of the last frame and warnings about timestamps to the report."""
        self._report.period = self._last_shown or self._period
        rate = f"{1 / self._period:g} fps"
        if self._absent:
            self._report.warnings.append(
                f"{self._absent} frames have no timestamp and were timed at the declared {rate}"
            )
        if self._backwards:
            self._report.warnings.append(
                f"{self._backwards} timestamps decrease; their frames were timed at the declared {rate}"
            )


def container_start(container: av.container.InputContainer) -> float | None:
    """Return the seconds at which a container starts, on the clock of its timestamps; None if it has none.

    That is the first timestamp of picture or sound. Sound before 0 is the lead-in of its codec, which is not played.
    """
    return None if container.start_time is None else max(0.0, container.start_time / av.time_base)


def is_even(times: Sequence[float] | np.ndarray, fps: float) -> bool:
    """Return whether frames at these seconds follow each other at `fps`, but for the rounding of timestamps."""
    instants = np.asarray(times, np.float64)
    return bool(np.abs(instants - instants[0] - np.arange(len(instants)) / fps).max() <= STAMP_SECONDS)


def ascending(times: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return timestamps [T] that ascend: frames that share one are put ten microseconds apart."""
    instants, step = np.asarray(times, np.float64), 1e-5
    if (np.diff(instants) >= step).all():
        return instants
    apart = step * np.arange(len(instants))
    return np.maximum.accumulate(instants - apart) + apart


def declared_seconds(container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> float:
    """Return the duration that the file declares in seconds, 0 if none."""
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None and len(container.streams) == 1:
        # Matroska counts from 0 and not from the first frame.
        return (container.duration - max(0, container.start_time or 0)) / av.time_base
    return 0.0
