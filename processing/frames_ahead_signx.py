"""Decode and resize ahead of the model in a thread: FFmpeg and PyTorch compute without Python's lock.

The frames, their order and every error are those of reading in line; only when they are read differs. Warnings are left
to the reader, as Python can collect those of its own thread alone.
"""

import contextlib
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import numpy as np

from .frame_rendering_signx import FrameGeometry, SourceFrame
from .video_sources_signx import VideoSource
from .video_timing_signx import ReadingReport

AHEAD_BYTES = 64 * 2**20  # of frames that wait for their reader
T = TypeVar("T")


class HeldSource:
    """A source that keeps its warnings, for a reader that warns of them itself.

    Args:
        source: The opened video.
        most: Frames to yield; None for all.
    """

    def __init__(self, source: VideoSource, most: int | None = None):
        self._source, self._most = source, most
        self.name = source.name
        self.warnings: list[str] = []
        self.stop = False

    def read(self, report: ReadingReport) -> Iterator[tuple[float, SourceFrame]]:
        """Yield from the source; hold the warnings of the report back.

        Raises:
            TooLong: If there are more frames than were to be read, or nobody wants them any more.
        """
        reading: Any = self._source.read(report)
        with contextlib.closing(reading) as frames:
            for count, pair in enumerate(frames):
                if self.stop or (self._most is not None and count >= self._most):
                    raise TooLong
                yield pair
        self.warnings = list(report.warnings)
        report.warnings.clear()


class TooLong(Exception):
    """A video is not read ahead to its end."""


class _Waiting(Generic[T]):
    """What a thread and its reader share. It does not hold the reader, so that a reader nobody wants is collected."""

    def __init__(self, limit: int):
        self.limit = limit
        self.changed = threading.Condition()
        self.items: deque[tuple[T, int]] = deque()
        self.size = 0
        self.ended = self.closed = False
        self.error: BaseException | None = None

    def fill(self, items: Iterator[T]) -> None:
        """Take items until they end, fail, or nobody wants them; wait while too many do."""
        error: BaseException | None = None
        try:
            for item in items:
                size = _size_of(item)
                with self.changed:
                    while not self.closed and self.items and self.size + size > self.limit:
                        self.changed.wait()
                    if self.closed:
                        break
                    self.items.append((item, size))
                    self.size += size
                    self.changed.notify_all()
        except BaseException as caught:
            error = caught
        close = getattr(items, "close", None)
        if close is not None:
            close()
        with self.changed:
            self.error, self.ended = error, True
            self.changed.notify_all()

    def close(self) -> None:
        with self.changed:
            self.closed = True
            self.items.clear()
            self.changed.notify_all()


def _size_of(item: Any) -> int:
    parts = item if isinstance(item, tuple) else (item,)
    return sum(part.nbytes for part in parts if isinstance(part, np.ndarray))


class FramesAhead(Iterator[T]):
    """Items of an iterator, which a thread takes from it ahead of the reader, from now on.

    Args:
        items: The iterator; only the thread uses it, and closes it.
        limit: Bytes of arrays that may wait; one item always may.
    """

    def __init__(self, items: Iterator[T], limit: int = AHEAD_BYTES):
        self._waiting: _Waiting[T] = _Waiting(limit)
        self._thread = threading.Thread(target=self._waiting.fill, args=(items,), name="frames-ahead", daemon=True)
        self._finalizer = weakref.finalize(self, self._waiting.close)
        self._thread.start()

    def __next__(self) -> T:
        waiting = self._waiting
        with waiting.changed:
            waiting.changed.wait_for(lambda: waiting.items or waiting.ended or waiting.closed)
            if waiting.items:
                item, size = waiting.items.popleft()
                waiting.size -= size
                waiting.changed.notify_all()
                return item
            error, waiting.error = waiting.error, None
        if error is not None:
            raise error
        raise StopIteration

    def close(self) -> None:
        """Stop reading, and wait until the iterator is closed."""
        self._finalizer()
        self._thread.join()


class VideoAhead:
    """A video file that a thread decodes and resizes from now on; wherever a video is expected it stands for the path.

    Args:
        path: Of the file, as the caller gave it.
        source: The opened file.
        collect: Decodes a source, as `decode_video` does at first.
        settings: What the frames depend on: geometry, frames per second, most frames.
        most: Frames to read ahead; a longer video is read when its turn comes.
    """

    def __init__(
        self,
        path: Any,
        source: VideoSource,
        collect: Callable[[VideoSource], tuple[list, list, ReadingReport]],
        settings: tuple[FrameGeometry | None, float | None, int | None],
        most: int,
    ):
        self.read_ahead_of, self.name, self._source, self._settings = path, source.name, source, settings
        self._held = HeldSource(source, most)
        self._frames: FramesAhead | None = FramesAhead(iter(_Once(collect, self._held)))

    def header(self) -> tuple[float | None, float]:
        """Return frames per second and duration in seconds, as the file declares them."""
        return self._source.header()

    def read(self, report: ReadingReport) -> Iterator[tuple[float, SourceFrame]]:
        """Read the file anew, as `FileSource.read`."""
        return self._source.read(report)

    def take(self, *settings: Any) -> tuple[list, list, ReadingReport] | None:
        """Return instants, frames and report of the thread, once; None if they have to be read (anew).

        Raises:
            SignXVideoError: As reading the file.
        """
        frames, self._frames = self._frames, None
        if frames is None or settings != self._settings:
            return None
        try:
            instants, images, report = next(frames)
        except TooLong:
            return None
        report.warnings[:0] = self._held.warnings
        return instants, images, report

    def close(self) -> None:
        """Stop reading, and wait until the file is closed."""
        self._held.stop = True
        if self._frames is not None:
            self._frames.close()


class _Once(Iterator):
    """The result of one call, made when it is asked for."""

    def __init__(self, function: Callable, argument: Any):
        self._call: tuple[Callable, Any] | None = (function, argument)

    def __next__(self) -> Any:
        if self._call is None:
            raise StopIteration
        (function, argument), self._call = self._call, None
        return function(argument)
