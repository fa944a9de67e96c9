"""From one clip to finished rows: the video is decoded once, every extractor sees the same frames in step."""

import contextlib
import itertools
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import av
import numpy as np

from ..data.schema import decode_poses, encode_poses
from ..processing.errors_signx import SignXError, SignXPoseError, SignXVideoError, SignXWarning
from ..processing.sampling_signx import check_rate
from ..processing.video_decoding_signx import FALLBACK_RATE, FILE_OPTIONS, iter_video, open_video
from .base import Clip, Observation, TrackExtractor
from .cache import RowCache, SignXCacheError, TrackRows

LATE_SECONDS = 0.5  # a clip that ends this much after its video was cut from another video
ROW = "row"  # name of the array in which a map's finished row waits
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
    """What became of a clip: the frames that were decoded (0 if all was in the cache), or why it failed."""

    index: int
    frames: int = 0
    error: str | None = None


def one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def media_state(path: str) -> tuple[int, int] | None:
    """Size and time stamp of a file, to see whether it was changed; None for a folder."""
    state = os.stat(path)
    return None if os.path.isdir(path) else (state.st_size, state.st_mtime_ns)


class FrameCursor:
    """Frames of one video in one pass, handed out for one span after another."""

    def __init__(self, task: ClipTask, fps: float | None):
        self.name, self.declared = task.name, fps or task.source_fps or _declared_rate(task.media)
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
            if end is not None and self.last >= end:
                self._held = held
                return
            if start is None or self.last >= start:
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


def _declared_rate(media: str | bytes) -> float:
    if isinstance(media, str) and os.path.isfile(media):
        with (
            contextlib.suppress(av.error.FFmpegError, OSError),
            av.open(f"file:{media}", options=FILE_OPTIONS) as file,
        ):
            rate = file.streams.video[0].average_rate if file.streams.video else None
            return float(rate) if rate else FALLBACK_RATE
    return FALLBACK_RATE


@dataclass
class _Shared:
    """The frames of a clip on their way to all extractors: counts them and remembers what stopped them."""

    frames: Iterable[tuple[float, np.ndarray]]
    times: list[float] = field(default_factory=list)
    error: Exception | None = None

    def __iter__(self) -> Iterator[np.ndarray]:
        try:
            for time, frame in self.frames:
                self.times.append(time)
                yield frame
        except Exception as error:  # to all but one of the extractors it would look like the end of the clip
            self.error = error
            raise


@dataclass(frozen=True)
class _Facts:
    """What all tracks of a clip share. size: (width, height) in pixels."""

    size: tuple[int, int]
    frames: int
    fps: float | None
    warnings: tuple[str, ...]


@dataclass
class ClipWorker:
    """Works on clips in one process: loads each extractor once, and puts finished rows into the cache.

    needed: positions of the extractors that have work. person: the rule of `people.choose_signer`. starts: folder where starts
    of clips are counted, for engines that start again what died.
    """

    extractors: Sequence[TrackExtractor]
    cache: RowCache
    person: str | int
    fps: float | None
    needed: tuple[int, ...]
    starts: str | None = None

    def load(self) -> None:
        """Loads what is needed; raises what `TrackExtractor.load` raises."""
        for index in self.needed:
            self.extractors[index].load()

    def run(self, group: Sequence[ClipTask]) -> Iterator[Outcome]:
        """Clips of one video, by start and without overlap -> what became of each. A bad clip does not stop the next.

        Raises:
            SignXCacheError: rows cannot be kept, so that going on is of no use.
        """
        cursor: FrameCursor | None = None
        for task in group:
            try:
                finished = [self.cache.rows(key) for key in task.keys]
                if None not in finished:
                    yield Outcome(task.index)
                    continue
                self._count_start(task)
                cursor = cursor or FrameCursor(task, self.fps)
                yield Outcome(task.index, self._work(task, cursor, finished))
            except SignXCacheError:
                raise
            except Exception as error:
                yield Outcome(task.index, error=self._explain(task, error))
            self._forget_start(task)
        if cursor is not None:
            cursor.close()

    @staticmethod
    def _explain(task: ClipTask, error: Exception) -> str:
        message = one_line(error)
        if not isinstance(error, SignXError):
            message = f"{type(error).__name__}: {message}"
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

    def _work(self, task: ClipTask, cursor: FrameCursor, finished: list[TrackRows | None]) -> int:
        """Makes and keeps the rows that are missing; the number of frames."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", SignXWarning)
            span = cursor.span(task.start, task.end)
            first = next(span, None)
            if first is None:
                raise SignXVideoError(
                    f"{task.name}: clip '{task.id}' starts at {task.start or 0:g} s and the last frame is at {cursor.last:g} s; wanted "
                    "a start inside the video; correct the row"
                )
            size = (first[1].shape[1], first[1].shape[0])
            shared = _Shared(itertools.chain([first], span))
            clip = Clip(task.id, cursor.declared, size)
            missing = [index for index, rows in enumerate(finished) if rows is None]
            seen, errors = self._observe(missing, shared, clip)
        if shared.error is not None:
            raise shared.error
        notes = [one_line(entry.message) for entry in caught if issubclass(entry.category, SignXWarning)]
        for entry in caught:
            if not issubclass(entry.category, SignXWarning):
                warnings.showwarning(entry.message, entry.category, entry.filename, entry.lineno)
        if cursor.at_end and task.end is not None and task.end > cursor.last + LATE_SECONDS:
            notes.append(
                f"{task.name}: clip '{task.id}' ends at {task.end:g} s, the video at {cursor.last:g} s: shortened"
            )
        if task.state is not None and media_state(task.media) != task.state:
            raise SignXVideoError(f"{task.name}: the file was changed while it was read; run the command again")
        facts = _Facts(size, len(shared.times), self._rate(task, shared.times), tuple(dict.fromkeys(notes)))
        self._keep(task, finished, seen, errors, facts)
        if errors:
            index, error = next(iter(errors.items()))
            raise SignXPoseError(f"{task.name}: track '{self.extractors[index].name}': {one_line(error)}") from error
        return facts.frames

    def _rate(self, task: ClipTask, times: list[float]) -> float | None:
        """Frames per second of the rows: what was asked for, else measured, else what the corpus says."""
        is_video = not (isinstance(task.media, str) and os.path.isdir(task.media))
        if self.fps is None and is_video and times[-1] > times[0]:
            return round((len(times) - 1) / (times[-1] - times[0]), 6)
        return self.fps or task.source_fps

    def _observe(
        self, missing: list[int], shared: _Shared, clip: Clip
    ) -> tuple[dict[int, list[list[Observation]]], dict[int, Exception]]:
        """Everybody in every frame, by track, and the errors of those tracks that failed; all tracks go one frame at a time, so
        that no more frames are held than the slowest extractor looks ahead."""
        frames = iter(shared)
        copies = list(itertools.tee(frames, len(missing)))
        streams = {index: self.extractors[index].extract(copies.pop(0), clip) for index in missing}
        seen: dict[int, list] = {index: [] for index in missing}
        errors: dict[int, Exception] = {}
        live = list(streams)
        while live:
            for index in list(live):
                extractor = self.extractors[index]
                try:
                    people = next(streams[index], None)
                    if people is not None:
                        seen[index].append(_light(extractor, people))
                    if people is None or len(seen[index]) > len(shared.times):
                        live.remove(index)
                except Exception as error:
                    errors[index] = error
                    live.remove(index)
                    del streams[index]  # and with it its share of the frames, which would pile up
        if shared.error is None:
            for _ in frames:  # an extractor that stopped early must not shorten the clip
                pass
        for index in set(missing) - set(errors):
            if len(seen[index]) != len(shared.times) and shared.error is None:
                errors[index] = SignXPoseError(
                    f"{len(seen[index])} lists of observations for {len(shared.times)} frames; wanted one for each frame; correct "
                    f"{type(self.extractors[index]).__name__}.extract"
                )
        return {index: lists for index, lists in seen.items() if index not in errors}, errors

    def _keep(
        self,
        task: ClipTask,
        finished: list[TrackRows | None],
        seen: dict[int, list],
        errors: dict[int, Exception],
        facts: _Facts,
    ) -> None:
        """Chooses the signer, the same one for all tracks, and puts the rows of each track into the cache."""
        boxes: np.ndarray | None = None  # of the signer, from the first track that saw anybody
        for index, extractor in enumerate(self.extractors):
            rows = finished[index]
            if rows is None and index in seen:
                try:
                    rows = self._rows(extractor, seen.pop(index), boxes, facts)
                except Exception as error:
                    errors[index] = error
                else:
                    self.cache.write(task.keys[index], rows.to_bytes())
            if extractor.whole_frame:
                continue
            if rows is None:
                return  # who the signer is, the tracks after this one cannot know
            if boxes is None and rows.observed.any():
                boxes = rows.boxes

    def _rows(
        self, extractor: TrackExtractor, seen: list[list[Observation]], boxes: np.ndarray | None, facts: _Facts
    ) -> TrackRows:
        if extractor.whole_frame:
            return _pack(extractor, [people[0] if people else None for people in seen], facts)
        from .people import choose_signer, match_signer

        if boxes is None:
            return _pack(extractor, choose_signer(seen, facts.size, self.person), facts)
        places = [None if np.isnan(box).any() else tuple(box.tolist()) for box in boxes]
        return _pack(extractor, match_signer(seen, places), facts)


def _light(extractor: TrackExtractor, people: list[Observation]) -> list[Observation]:
    """The observations of one frame, checked; of a map of the picture its row alone, for maps of a long video would fill the
    memory."""
    if not extractor.whole_frame:
        if any(person.whole_frame for person in people):
            raise SignXPoseError(
                f"an observation of the whole frame; wanted people; set whole_frame = True in {type(extractor).__name__}"
            )
        return people
    if len(people) > 1 or not all(person.whole_frame for person in people):
        raise SignXPoseError(
            f"{len(people)} observations in one frame; wanted at most one, of the whole frame; correct {type(extractor).__name__}"
        )
    return [replace(person, data={ROW: _row(extractor, person)}) for person in people]


def _row(extractor: TrackExtractor, person: Observation) -> np.ndarray:
    if ROW in person.data:
        return person.data[ROW]
    row = np.asarray(extractor.to_row(person), dtype=np.float32)
    if row.shape != (extractor.width,):
        raise SignXPoseError(
            f"a row of shape {list(row.shape)}; wanted [{extractor.width}]; correct {type(extractor).__name__}"
        )
    return row


def _pack(extractor: TrackExtractor, chosen: Sequence[Observation | None], facts: _Facts) -> TrackRows:
    """The observations of the signer as rows, checked by the code that stores them."""
    values = np.zeros((facts.frames, extractor.width), np.float32)
    boxes = np.full((facts.frames, 4), np.nan)
    observed = np.array([person is not None for person in chosen], dtype=bool)
    for frame, person in enumerate(chosen):
        if person is not None:
            values[frame], boxes[frame] = _row(extractor, person), person.box
    stored = decode_poses(encode_poses({extractor.name: values}, {extractor.name: observed}))
    return TrackRows(stored.values, stored.mask[:, 0], boxes, facts.fps, facts.warnings)
