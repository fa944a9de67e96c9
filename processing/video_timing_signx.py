"""Time frames of a video: timestamps, frame rate and duration."""

from dataclasses import dataclass, field

import av

from .frame_rendering_signx import SourceFrame

FALLBACK_RATE = 30.0  # frames per second if neither the input nor the caller gives a rate


@dataclass
class ReadingReport:
    """Statistics of reading a source once. Times are in seconds since the first frame."""

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

    def __init__(self, stream: av.video.stream.VideoStream, report: ReadingReport):
        rate = stream.average_rate or stream.guessed_rate
        self._period = float(1 / rate) if rate else 1 / FALLBACK_RATE
        self._time_base = stream.time_base
        self._report = report
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


def declared_seconds(container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> float:
    """Return the duration that the file declares in seconds, 0 if none."""
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None and len(container.streams) == 1:
        # Matroska counts from 0 and not from the first frame.
        return (container.duration - max(0, container.start_time or 0)) / av.time_base
    return 0.0
