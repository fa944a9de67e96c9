"""From one clip to finished rows: the video is decoded once, every extractor sees the same frames in step."""

import contextlib
import io
import itertools
import os
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np

from ..processing.errors_signx import SignXError, SignXPoseError, SignXVideoError, SignXWarning
from ..processing.video_decoding_signx import iter_video, open_video
from ..processing.video_sources_signx import FILE_OPTIONS, STREAM_OPTIONS
from ..processing.video_timing_signx import FALLBACK_RATE
from .base import Clip, Observation, TrackExtractor
from .cache import RowCache, SeenTrack, SignXCacheError

SAME_RATE = 0.01
# Containers round time stamps to milliseconds: frame 2 of 15 a second, at 0.133 s, is not before a clip that starts at 2 / 15 s.
STAMP_SECONDS = 0.0011
LATE_SECONDS = 0.5  # a clip that ends this much after its video was cut from another video
FOR_CHOICE = ("wrists", "hands", "anchor")  # what `people.py` reads of an observation besides its box
STARTS = 2  # a clip that a process died of this often is bad


@dataclass(frozen=True)
class ClipTask:
    """One clip to work on.

    index: of the row. media: path of the video or folder of images, or the bytes of a video, None where they are still to be
    read. source_fps: of images. start, end:
    seconds, or None. keys: in the cache, one for each track. state: size and time stamp of the file when it was hashed.
    """

    index: int
    id: str
    media: str | bytes | None
    source_fps: float | None
    start: float | None
    end: float | None
    keys: tuple[str, ...]
    state: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """What errors call it."""
        return self.media if isinstance(self.media, str) else f"'{self.id}' (bytes)"


@dataclass(frozen=True)
class Outcome:
    """What became of a clip: the frames that were decoded (0 if all was in the cache), or why it failed. notes: warnings."""

    index: int
    frames: int = 0
    error: str | None = None
    notes: tuple[str, ...] = ()


def one_line(error: BaseException | Warning) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def reason_of(error: BaseException) -> str:
    """The message on one line; of errors that are not ours their kind too, for `KeyError: 'x'` says more than `'x'`."""
    return one_line(error) if isinstance(error, SignXError) else f"{type(error).__name__}: {one_line(error)}"


def media_state(path: str) -> tuple[int, int] | None:
    """Size and time stamp of a file, to see whether it was changed; None for a folder."""
    state = os.stat(path)
    return None if os.path.isdir(path) else (state.st_size, state.st_mtime_ns)


class FrameCursor:
    """Frames of one video in one pass, handed out for one span after another."""

    def __init__(self, task: ClipTask, fps: float | None):
        self.name, self.declared = task.name, fps or _declared_rate(task.media, task.source_fps)
        self._frames = iter_video(open_video(task.media, task.source_fps, f"'{task.id}'"), None, fps)
        self._held: tuple[float, np.ndarray] | None = None
        self._shape: tuple[int, ...] | None = None
        self._error: Exception | None = None
        self.last = 0.0
        self.at_end = False

    def span(self, start: float | None, end: float | None) -> Iterator[tuple[float, np.ndarray]]:
        """(seconds, read-only frame) of `[start, end)`; the first frame after it is kept for the next span."""
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
                    f"{self.name}: the frame size changes within the video, {self._shape[1]}x{self._shape[0]} and "
                    f"{frame.shape[1]}x{frame.shape[0]} pixels; wanted one size; re-encode the video"
                )
            if end is not None and self.last >= end - STAMP_SECONDS:
                self._held = held
                return
            if start is None or self.last >= start - STAMP_SECONDS:
                frame.flags.writeable = False  # all extractors are given the same array
                yield held

    def _next(self) -> tuple[float, np.ndarray] | None:
        if self._error is not None:
            raise self._error
        try:
            return next(self._frames, None)
        except Exception as error:  # for the spans that follow, too
            self._error = error
            raise

    def close(self) -> None:
        self._frames.close()


def _declared_rate(media: str | bytes, source_fps: float | None) -> float:
    """Frames per second by the header of a video; of images by the corpus."""
    if isinstance(media, bytes) or os.path.isfile(media):
        origin = io.BytesIO(media) if isinstance(media, bytes) else f"file:{media}"
        options = dict(STREAM_OPTIONS if isinstance(media, bytes) else FILE_OPTIONS)
        with contextlib.suppress(av.error.FFmpegError, OSError), av.open(origin, options=options) as file:
            rate = file.streams.video[0].average_rate if file.streams.video else None
            if rate:
                return float(rate)
    return source_fps or FALLBACK_RATE


class _Shared:
    """The frames of a clip on their way to several readers, each at its own pace; a frame that all have taken is let go at once.

    Not `itertools.tee`, which keeps 57 frames, a quarter of a gigabyte of film, and to whose other readers an error looks like
    the end.
    """

    def __init__(self, frames: Iterator[tuple[float, np.ndarray]], readers: Iterable[int]):
        self._frames = frames
        self._held: deque[np.ndarray] = deque()
        self._taken = dict.fromkeys(readers, 0)
        self.times: list[float] = []
        self.error: Exception | None = None

    def frames_for(self, reader: int) -> Iterator[np.ndarray]:
        """All frames in order, for one of the readers."""
        while reader in self._taken and (self._taken[reader] < len(self.times) or self._pull()):
            frame = self._held[self._taken[reader] - len(self.times)]
            self._taken[reader] += 1
            self._let_go()
            yield frame

    def leave(self, reader: int) -> None:
        """This one will take no more."""
        self._taken.pop(reader, None)
        self._let_go()

    def finish(self) -> None:
        """Counts the frames that nobody took: a reader that stopped early must not shorten the clip."""
        self._taken.clear()
        while self.error is None and self._pull():
            self._let_go()

    def _pull(self) -> bool:
        """One more frame, if there is one."""
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

    def _let_go(self) -> None:
        wanted = len(self.times) - min(self._taken.values(), default=len(self.times))
        while len(self._held) > wanted:
            self._held.popleft()


def _check_person(person: Observation, frame: int) -> None:
    """What the rule and the cache take for granted."""
    numbers = (*person.box, person.score)
    if len(numbers) != 5 or not np.isfinite(np.asarray(numbers, dtype=np.float64)).all():
        raise SignXPoseError(
            f"frame {frame}: an observation with box {tuple(map(float, person.box))} and score {person.score}; wanted four finite "
            "numbers and one; correct the extractor"
        )


class _Gathered:
    """Observations of one track, frame after frame, as rows at once: what extractors keep besides would fill the memory."""

    def __init__(self, extractor: TrackExtractor):
        self._extractor = extractor
        self.frames = 0
        self._kept: list[tuple[int, Observation, np.ndarray]] = []
        self._shapes: dict[str, tuple[int, ...]] = {}

    def add(self, people: Sequence[Observation]) -> None:
        """Everybody of the next frame."""
        for person in people:
            _check_person(person, self.frames)
            row = np.asarray(self._extractor.to_row(person), dtype=np.float32)
            if row.shape != (self._extractor.width,):
                raise SignXPoseError(
                    f"a row of shape {list(row.shape)}; wanted [{self._extractor.width}]; correct {type(self._extractor).__name__}"
                )
            if np.isnan(row).all():
                continue  # what `encode_poses` takes for unobserved
            with np.errstate(over="ignore"):
                half = row.astype(np.float16)
            bad = np.flatnonzero(~np.isfinite(half))
            if len(bad):
                raise SignXPoseError(
                    f"frame {self.frames} column {bad[0]} is {row[bad[0]]}; wanted finite numbers within the range of float16 (65504); "
                    f"correct {type(self._extractor).__name__}.to_row"
                )
            data = {key: self._points(key, person) for key in FOR_CHOICE if key in person.data}
            self._kept.append((self.frames, replace(person, data=data), half))
        self.frames += 1

    def _points(self, name: str, person: Observation) -> np.ndarray:
        """What the rule "active" reads; one shape for the whole clip."""
        points = np.asarray(person.data[name])
        shape = self._shapes.setdefault(name, points.shape)
        if points.dtype.kind not in "fiu" or points.shape != shape:
            raise SignXPoseError(
                f"frame {self.frames}: '{name}' is {points.dtype} of shape {list(points.shape)}; wanted numbers of shape "
                f"{list(shape)}, as before; correct {type(self._extractor).__name__}"
            )
        return points

    def pack(self) -> SeenTrack:
        """All of it as arrays, without what concerns the clip."""
        people = [person for _, person, _ in self._kept]
        extras = {}
        for name in FOR_CHOICE:
            which = [index for index, person in enumerate(people) if name in person.data]
            if which:
                extras[name] = (np.array(which), np.stack([people[index].data[name] for index in which]))
        rows = np.zeros((len(people), self._extractor.width), np.float16)
        for index, (_, _, row) in enumerate(self._kept):
            rows[index] = row
        return SeenTrack(
            frame=np.array([frame for frame, _, _ in self._kept], dtype=np.int64),
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
    """Works on clips in one process: loads each extractor once, and puts finished rows into the cache.

    needed: positions of the extractors that have work. starts: folder where starts of clips are counted, for engines that start
    again what died.
    """

    extractors: Sequence[TrackExtractor]
    cache: RowCache
    fps: float | None
    needed: tuple[int, ...]
    starts: str | None = None

    def load(self) -> None:
        """Loads what is needed; raises what `TrackExtractor.load` raises."""
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
        """Clips of one video, by start and without overlap -> what became of each. A bad clip does not stop the next.

        Raises:
            SignXCacheError: rows cannot be kept, so that going on is of no use.
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
                self._count_start(task)
                cursor = cursor or FrameCursor(task, self.fps)
                yield Outcome(task.index, self._work(task, cursor, missing))
            except SignXCacheError:
                raise
            except Exception as error:
                yield Outcome(task.index, error=self._explain(task, error))
            self._forget_start(task)
        if cursor is not None:
            cursor.close()

    @staticmethod
    def _explain(task: ClipTask, error: Exception) -> str:
        message = reason_of(error)
        return message if task.name in message else f"{task.name}: {message}"

    def _count_start(self, task: ClipTask) -> None:
        if self.starts is None:
            return
        path = Path(self.starts, str(task.index))
        with open(path, "ab") as file:
            if file.tell() >= STARTS:
                raise SignXError(
                    f"the process that worked on it died {STARTS} times; look at the video, or leave it out"
                )
            file.write(b".")

    def _forget_start(self, task: ClipTask) -> None:
        if self.starts is not None:
            Path(self.starts, str(task.index)).unlink(missing_ok=True)

    def _work(self, task: ClipTask, cursor: FrameCursor, missing: list[int]) -> int:
        """Makes and keeps what is missing; the number of frames."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", SignXWarning)
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
            raise SignXVideoError(f"{task.name}: the file was changed while it was read; run the command again")
        notes = self._notes(task, cursor, caught)
        for index in seen:
            rate = self._rate(task, cursor, shared.times)
            track = replace(seen[index].pack(), size=size, fps=rate, warnings=notes)
            self.cache.write(task.keys[index], track.to_bytes())
        if errors:
            index, reason = min(errors.items())
            raise SignXPoseError(f"{task.name}: track '{self.extractors[index].name}': {reason}")
        return len(shared.times)

    @staticmethod
    def _nothing(task: ClipTask, cursor: FrameCursor) -> str:
        """Why a clip has no frame."""
        start = task.start or 0.0
        if cursor.at_end:
            return (
                f"{task.name}: clip '{task.id}' starts at {start:g} s and the last frame is at {cursor.last:g} s; wanted a start "
                "inside the video; correct the row"
            )
        return (
            f"{task.name}: clip '{task.id}' is from {start:g} to {task.end:g} s, where there is no frame (the next is at "
            f"{cursor.last:g} s); wanted at least one; correct the row"
        )

    @staticmethod
    def _notes(task: ClipTask, cursor: FrameCursor, caught: list[warnings.WarningMessage]) -> tuple[str, ...]:
        """What is wrong with the video, once each; other warnings go where they would have gone."""
        notes = []
        for entry in caught:
            if issubclass(entry.category, SignXWarning):
                notes.append(one_line(entry.message))
            else:
                warnings.showwarning(entry.message, entry.category, entry.filename, entry.lineno)
        if cursor.at_end and task.end is not None and task.end > cursor.last + LATE_SECONDS:
            notes.append(
                f"{task.name}: clip '{task.id}' ends at {task.end:g} s, its video at {cursor.last:g} s: shortened"
            )
        return tuple(dict.fromkeys(notes))

    def _rate(self, task: ClipTask, cursor: FrameCursor, times: list[float]) -> float | None:
        """Frames per second of the rows: what was asked for; of images what the corpus says; of a video what its time stamps say, or
        what it declares, where that is the same but for the rounding of time stamps."""
        if self.fps is not None or isinstance(task.media, str) and os.path.isdir(task.media):
            return self.fps or task.source_fps
        if times[-1] <= times[0]:
            return task.source_fps or cursor.declared
        measured = (len(times) - 1) / (times[-1] - times[0])
        same = abs(measured - cursor.declared) <= SAME_RATE * cursor.declared
        return round(cursor.declared if same else measured, 6)

    def _observe(self, missing: list[int], shared: _Shared, clip: Clip) -> tuple[dict[int, _Gathered], dict[int, str]]:
        """What each track sees, and the errors of those that failed; all tracks go one frame at a time, so that no more frames are
        held than the slowest extractor looks ahead."""
        streams = {index: self.extractors[index].extract(shared.frames_for(index), clip) for index in missing}
        seen = {index: _Gathered(self.extractors[index]) for index in missing}
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
                    f"{seen[index].frames} lists of observations for {len(shared.times)} frames; wanted one for each frame; correct "
                    f"{type(self.extractors[index]).__name__}.extract"
                )
        return {index: seen[index] for index in missing if index not in errors}, errors
