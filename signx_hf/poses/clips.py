"""Extract the finished rows of one clip: the video is decoded once, and all extractors read the same frames in
step."""

import contextlib
import io
import itertools
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import av
import numpy as np

from ..common.messages import collect_warnings, reason_of
from ..jobs.base import Outcome, Task
from ..processing.errors_signx import SignXError, SignXPoseError, SignXVideoError
from ..processing.video_decoding_signx import iter_video, open_video
from ..processing.video_sources_signx import FILE_OPTIONS, STREAM_OPTIONS
from ..processing.video_timing_signx import FALLBACK_RATE, ascending, is_even
from .base import Clip, Observation, TrackExtractor
from .cache import RowCache, SeenTrack, SignXCacheError

SAME_RATE = 0.01
# Containers round time stamps to milliseconds: frame 2 at 15 fps, stamped 0.133 s, belongs to a clip that starts at 2
# / 15 s.
STAMP_SECONDS = 0.0011
LATE_SECONDS = 0.5  # a clip that ends this much later than its video was cut from another video
PERSON_POINTS = ("wrists", "hands", "anchor")  # what `people.py` reads of an observation besides its box


@dataclass(frozen=True)
class ClipTask(Task):
    """One clip to extract tracks of. `name` is its path, or its id in quotes where the video is embedded.

    Args:
        id: Id of the row.
        media: Path of the video or folder of images, or the bytes of a video, None while they are still to be read.
        source_fps: Frames per second of images.
        start, end: Seconds, or None.
        keys: Keys in the cache, one for each track.
        state: Size and time stamp of the file when it was hashed.
    """

    id: str
    media: str | bytes | None
    source_fps: float | None
    start: float | None
    end: float | None
    keys: tuple[str, ...]
    state: tuple[int, int] | None = None


def media_state(path: str) -> tuple[int, int] | None:
    """Return size and time stamp of a file, which show whether it was changed; None for a folder."""
    state = os.stat(path)
    return None if os.path.isdir(path) else (state.st_size, state.st_mtime_ns)


class FrameCursor:
    """Reads one video in one pass, one span after another."""

    def __init__(self, task: ClipTask, fps: float | None):
        self.name, self.declared = task.name, fps or _declared_rate(task.media, task.source_fps)
        self._frames = iter_video(open_video(task.media, task.source_fps, f"'{task.id}'"), None, fps)
        self._held: tuple[float, np.ndarray] | None = None
        self._shape: tuple[int, ...] | None = None
        self._error: Exception | None = None
        self.last = 0.0
        self.at_end = False

    def span(self, start: float | None, end: float | None) -> Iterator[tuple[float, np.ndarray]]:
        """Yield (seconds, read-only frame) of `[start, end)`; the first frame after it is held for the next span."""
        while True:
            held, self._held = self._held, None
            held = held or self._next()
            if held is None:
                self.at_end = True
                return
            self.last, frame = held
            self._shape = self._shape or frame.shape
            if frame.shape != self._shape:
                raise SignXVideoError(
                    f"{self.name}: all frames must have one size, got {self._shape[1]}x{self._shape[0]} and "
                    f"{frame.shape[1]}x{frame.shape[0]} pixels. Re-encode the video."
                )
            if end is not None and self.last >= end - STAMP_SECONDS:
                self._held = held
                return
            if start is None or self.last >= start - STAMP_SECONDS:
                frame.flags.writeable = False  # all extractors get the same array
                yield held

    def _next(self) -> tuple[float, np.ndarray] | None:
        if self._error is not None:
            raise self._error
        try:
            return next(self._frames, None)
        except Exception as error:  # raised again for the spans that follow
            self._error = error
            raise

    def close(self) -> None:
        self._frames.close()


def _declared_rate(media: str | bytes, source_fps: float | None) -> float:
    """Return frames per second: of a video by its header, of images as the corpus says."""
    if isinstance(media, bytes) or os.path.isfile(media):
        origin = io.BytesIO(media) if isinstance(media, bytes) else f"file:{media}"
        options = dict(STREAM_OPTIONS if isinstance(media, bytes) else FILE_OPTIONS)
        with contextlib.suppress(av.error.FFmpegError, OSError), av.open(origin, options=options) as file:
            rate = file.streams.video[0].average_rate if file.streams.video else None
            if rate:
                return float(rate)
    return source_fps or FALLBACK_RATE


class _Shared:
    """Hands the frames of a clip to several readers, each at its own pace, and drops a frame once all have taken it.

    `itertools.tee` would hold 57 frames, a quarter of a gigabyte of video, and its other readers would take an error
    for the end.
    """

    def __init__(self, frames: Iterator[tuple[float, np.ndarray]], readers: Iterable[int]):
        self._frames = frames
        self._held: deque[np.ndarray] = deque()
        self._taken = dict.fromkeys(readers, 0)
        self.times: list[float] = []
        self.error: Exception | None = None

    def frames_for(self, reader: int) -> Iterator[np.ndarray]:
        """Yield all frames in order, for one of the readers."""
        while reader in self._taken and (self._taken[reader] < len(self.times) or self._pull()):
            frame = self._held[self._taken[reader] - len(self.times)]
            self._taken[reader] += 1
            self._drop_taken()
            yield frame

    def leave(self, reader: int) -> None:
        """Note that this reader takes no more frames."""
        self._taken.pop(reader, None)
        self._drop_taken()

    def finish(self) -> None:
        """Count the frames that no reader took, because a reader that stopped early must not shorten the clip."""
        self._taken.clear()
        while self.error is None and self._pull():
            self._drop_taken()

    def _pull(self) -> bool:
        """Read one more frame; return whether there was one."""
        if self.error is not None:
            raise self.error
        try:
            time, frame = next(self._frames, (None, None))
        except Exception as error:
            self.error = error
            raise
        if frame is not None:
            self.times.append(time)
            self._held.append(frame)
        return frame is not None

    def _drop_taken(self) -> None:
        needed = len(self.times) - min(self._taken.values(), default=len(self.times))
        while len(self._held) > needed:
            self._held.popleft()


def _check_person(person: Observation, frame: int) -> None:
    """Check what the choice of the signer and the cache rely on."""
    numbers = (*person.box, person.score)
    if len(numbers) != 5 or not np.isfinite(np.asarray(numbers, dtype=np.float64)).all():
        raise SignXPoseError(
            f"frame {frame}: box and score of an observation must be four finite numbers and one, got "
            f"{tuple(map(float, person.box))} and {person.score}. Correct the extractor."
        )


class _Track:
    """Collects the observations of one track as rows, because all that extractors return would fill the memory."""

    def __init__(self, extractor: TrackExtractor):
        self._extractor = extractor
        self.frames = 0
        self._rows: list[tuple[int, Observation, np.ndarray]] = []
        self._shapes: dict[str, tuple[int, ...]] = {}

    def add(self, people: Sequence[Observation]) -> None:
        """Add everybody who is seen in the next frame."""
        for person in people:
            _check_person(person, self.frames)
            row = np.asarray(self._extractor.to_row(person), dtype=np.float32)
            if row.shape != (self._extractor.width,):
                raise SignXPoseError(
                    f"the shape of a row must be [{self._extractor.width}], got {list(row.shape)}. Correct "
                    f"{type(self._extractor).__name__}."
                )
            if np.isnan(row).all():
                continue  # `encode_poses` reads this as not observed
            with np.errstate(over="ignore"):
                half = row.astype(np.float16)
            bad = np.flatnonzero(~np.isfinite(half))
            if len(bad):
                raise SignXPoseError(
                    f"frame {self.frames} column {bad[0]} must be finite and within the range of float16 (65504), "
                    f"got {row[bad[0]]}. Correct {type(self._extractor).__name__}.to_row."
                )
            data = {key: self._points(key, person) for key in PERSON_POINTS if key in person.data}
            self._rows.append((self.frames, replace(person, data=data), half))
        self.frames += 1

    def _points(self, name: str, person: Observation) -> np.ndarray:
        """Return the points that the rule "active" reads, which must have one shape in the whole clip."""
        points = np.asarray(person.data[name])
        shape = self._shapes.setdefault(name, points.shape)
        if points.dtype.kind not in "fiu" or points.shape != shape:
            raise SignXPoseError(
                f"frame {self.frames}: '{name}' must be numbers of shape {list(shape)}, got {points.dtype} of shape "
                f"{list(points.shape)}. Correct {type(self._extractor).__name__}."
            )
        return points

    def pack(self) -> SeenTrack:
        """Return everything as arrays; size, rate and warnings of the clip are filled in later."""
        people = [person for _, person, _ in self._rows]
        extras = {}
        for name in PERSON_POINTS:
            which = [index for index, person in enumerate(people) if name in person.data]
            if which:
                extras[name] = (np.array(which), np.stack([people[index].data[name] for index in which]))
        rows = np.zeros((len(people), self._extractor.width), np.float16)
        for index, (_, _, row) in enumerate(self._rows):
            rows[index] = row
        return SeenTrack(
            frame=np.array([frame for frame, _, _ in self._rows], dtype=np.int64),
            boxes=np.array([person.box for person in people], dtype=np.float64).reshape(-1, 4),
            scores=np.array([person.score for person in people], dtype=np.float64),
            whole=np.array([person.whole_frame for person in people], dtype=bool),
            rows=rows,
            extras=extras,
            frames=self.frames,
            size=(0, 0),
        )


@dataclass
class ClipWorker:
    """Extracts clips in one process: loads each extractor once, and writes finished rows to the cache.

    Args:
        extractors: One for each track.
        cache: Cache of finished rows.
        fps: Frames per second to take, or None for every frame.
        needed: Positions of the extractors that have work.
    """

    extractors: Sequence[TrackExtractor]
    cache: RowCache
    fps: float | None
    needed: tuple[int, ...]

    def load(self) -> None:
        """Load the extractors that have work; raise what `TrackExtractor.load` raises."""
        for index in self.needed:
            try:
                self.extractors[index].load()
            except (SignXError, ImportError, MemoryError):
                raise
            except Exception as error:
                raise SignXPoseError(
                    f"track '{self.extractors[index].name}': the extractor cannot be loaded: {reason_of(error)}"
                ) from error

    def run(self, group: Sequence[ClipTask]) -> Iterator[Outcome]:
        """Extract clips of one video, sorted by start and without overlap, and yield the outcome of each.

        A bad clip does not stop the next one.

        Raises:
            SignXCacheError: If rows cannot be saved, which ends the run.
        """
        cursor: FrameCursor | None = None
        for task in group:
            try:
                missing = [
                    i for i, key in enumerate(task.keys) if self.cache.seen(key, self.extractors[i].width) is None
                ]
                if not missing:
                    yield Outcome(task.index)
                    continue
                cursor = cursor or FrameCursor(task, self.fps)
                yield Outcome(task.index, self._work(task, cursor, missing))
            except SignXCacheError:
                raise
            except Exception as error:
                yield Outcome(task.index, error=self._explain(task, error))
        if cursor is not None:
            cursor.close()

    @staticmethod
    def _explain(task: ClipTask, error: Exception) -> str:
        message = reason_of(error)
        return message if task.name in message else f"{task.name}: {message}"

    def _work(self, task: ClipTask, cursor: FrameCursor, missing: list[int]) -> int:
        """Extract and save what is missing; return the number of frames."""
        with collect_warnings() as caught:
            span = cursor.span(task.start, task.end)
            first = next(span, None)
            if first is None:
                raise SignXVideoError(self._nothing(task, cursor))
            size = (first[1].shape[1], first[1].shape[0])
            shared = _Shared(itertools.chain([first], span), missing)
            seen, errors = self._observe(missing, shared, Clip(task.id, cursor.declared, size))
        if shared.error is not None:
            raise shared.error
        if task.state is not None and media_state(task.media) != task.state:
            raise SignXVideoError(f"{task.name}: the file changed while it was being read. Run the command again.")
        notes, timing = self._notes(task, cursor, caught), self._timing(task, cursor, shared.times)
        for index in seen:
            track = replace(seen[index].pack(), size=size, warnings=notes, **timing)
            self.cache.write(task.keys[index], track.to_bytes())
        if errors:
            index, reason = min(errors.items())
            raise SignXPoseError(f"{task.name}: track '{self.extractors[index].name}': {reason}")
        return len(shared.times)

    @staticmethod
    def _nothing(task: ClipTask, cursor: FrameCursor) -> str:
        """Return why a clip has no frame."""
        start = task.start or 0.0
        if cursor.at_end:
            return f"{task.name}: clip '{task.id}' starts at {start:g} s and the last frame is at {cursor.last:g} s. Correct the row."
        return (
            f"{task.name}: clip '{task.id}' is from {start:g} to {task.end:g} s, where there is no frame (the next "
            f"is at {cursor.last:g} s). Correct the row."
        )

    @staticmethod
    def _notes(task: ClipTask, cursor: FrameCursor, caught: list[str]) -> tuple[str, ...]:
        """Return what is wrong with the video, each once."""
        if cursor.at_end and task.end is not None and task.end > cursor.last + LATE_SECONDS:
            shortened = (
                f"{task.name}: clip '{task.id}' ends at {task.end:g} s, its video at {cursor.last:g} s: shortened"
            )
            return (*caught, shortened)
        return tuple(caught)

    def _timing(self, task: ClipTask, cursor: FrameCursor, times: list[float]) -> dict[str, Any]:
        """Return `fps` of the rows, and their `start`, or `times` of all where they do not follow each other at that
        rate, in seconds from the start of the clip.
        """
        rate = self._rate(task, cursor, times)
        if rate is None:  # images whose rate nobody knows
            return {"fps": None}
        seconds = np.maximum(np.array(times) - (task.start or 0.0), 0.0)
        if is_even(seconds, rate):
            start = float(seconds[0])
            return {"fps": rate, "start": start if start > STAMP_SECONDS else 0.0}
        return {"fps": rate, "times": ascending(seconds)}

    def _rate(self, task: ClipTask, cursor: FrameCursor, times: list[float]) -> float | None:
        """Return frames per second of the rows: as requested, of images as the corpus says, of a video by its time
        stamps.

        The rate that the video declares is taken if it differs only by the rounding of time stamps.
        """
        if self.fps is not None or isinstance(task.media, str) and os.path.isdir(task.media):
            return self.fps or task.source_fps
        if times[-1] <= times[0]:
            return task.source_fps or cursor.declared
        measured = (len(times) - 1) / (times[-1] - times[0])
        same = abs(measured - cursor.declared) <= SAME_RATE * cursor.declared
        return round(cursor.declared if same else measured, 6)

    def _observe(self, missing: list[int], shared: _Shared, clip: Clip) -> tuple[dict[int, _Track], dict[int, str]]:
        """Run all extractors one frame at a time, so that no more frames are held than the slowest one looks ahead.

        Returns:
            The observations of each track that succeeded, and the errors of the others.
        """
        streams = {index: self.extractors[index].extract(shared.frames_for(index), clip) for index in missing}
        seen = {index: _Track(self.extractors[index]) for index in missing}
        errors: dict[int, str] = {}
        live = list(missing)
        while live:
            for index in list(live):
                try:
                    people = next(streams[index], None)
                    if people is not None:
                        seen[index].add(people)
                    if people is None or seen[index].frames > len(shared.times):
                        live.remove(index)
                        shared.leave(index)
                except Exception as error:
                    errors[index] = reason_of(error)
                    live.remove(index)
                    shared.leave(index)
        shared.finish()
        for index in set(missing) - set(errors):
            if seen[index].frames != len(shared.times):
                errors[index] = (
                    f"got {seen[index].frames} lists of observations for {len(shared.times)} frames, expected one "
                    f"for each frame. Correct {type(self.extractors[index]).__name__}.extract."
                )
        return {index: seen[index] for index in missing if index not in errors}, errors
