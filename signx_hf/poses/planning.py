"""The plan of an extraction: what has to be done for each row of a dataset, and which clips are decoded together."""

import hashlib
import itertools
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
from datasets import Dataset, DatasetDict

from ..common.messages import one_line
from ..data.errors import SignXDataError
from ..jobs.base import Task
from ..processing.errors_signx import SignXError
from ..processing.video_decoding_signx import open_video
from .base import TrackExtractor
from .cache import RowCache, SignXCacheError, key_of
from .clips import ClipTask, media_state
from .output import as_schema, output_features, undecoded

BATCH_ROWS = 256
COLUMNS = ("id", "video", "frames", "fps", "start", "end")


@dataclass(frozen=True)
class Failure:
    """A clip that could not be extracted. row: of the source, from 1."""

    row: int
    id: str
    video: str
    reason: str


class Groups(Sequence):
    """Lists of clips of one video. Embedded videos are read when their group is indexed, because all would not fit in
    memory."""

    def __init__(self, groups: list[list[ClipTask]], parts: list[tuple[int, Dataset]]):
        self._groups, self._parts = groups, parts

    def __len__(self) -> int:
        return len(self._groups)

    @property
    def clips(self) -> int:
        return sum(len(group) for group in self._groups)

    def __getitem__(self, index: int) -> list[Task]:
        return [task if task.media is not None else self._with_media(task) for task in self._groups[index]]

    def _with_media(self, task: ClipTask) -> ClipTask:
        offset, part = next(pair for pair in reversed(self._parts) if pair[0] <= task.index)
        table = undecoded(part.select_columns(["video"]))[task.index - offset : task.index - offset + 1]
        return replace(task, media=table["video"][0].as_py()["bytes"])


@dataclass
class Plan:
    """Every row of the source, numbered across its splits.

    Args:
        rows: How many there are.
        tasks: Number of the row -> its task, without those in `failures`.
        failures: Number of the row -> why it cannot be extracted.
        offsets: Split -> number of its first row.
        groups: Clips with something missing in the cache, those of one video together.
        needed: Positions of the extractors with something missing.
    """

    rows: int
    tasks: dict[int, ClipTask]
    failures: dict[int, Failure]
    offsets: dict[str | None, int]
    groups: Groups
    needed: tuple[int, ...]


def make_plan(
    dataset: Dataset | DatasetDict,
    extractors: Sequence[TrackExtractor],
    cache: RowCache,
    fps: float | None = None,
    jobs: int = 1,
) -> Plan:
    """Check of every row that its video can be opened, and find out what the cache does not hold.

    Args:
        dataset: Dataset of the source.
        extractors: One for each track.
        cache: Cache of finished rows.
        fps: Frames per second to take, or None for every frame.
        jobs: Threads that hash videos.
    """
    parts, offsets, offset = [], {}, 0
    for name, part in dataset.items() if isinstance(dataset, DatasetDict) else [(None, dataset)]:
        offsets[name] = offset
        parts.append((offset, part))
        offset += len(part)
    planner = _Planner(extractors, cache, fps)
    tasks, failures, unfinished, needed = {}, {}, [], set()
    rows = _rows_of(parts)
    with ThreadPoolExecutor(jobs) as pool:  # hashing waits for the disk and releases the GIL
        while batch := list(itertools.islice(rows, BATCH_ROWS)):
            for number, result, missing in pool.map(planner, batch):
                if isinstance(result, Failure):
                    failures[number] = result
                    continue
                tasks[number] = result
                if missing:
                    unfinished.append(result)
                    needed.update(missing)
    return Plan(offset, tasks, failures, offsets, Groups(_grouped(unfinished), parts), tuple(sorted(needed)))


def _rows_of(parts: list[tuple[int, Dataset]]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number and the `COLUMNS` of every row."""
    for offset, part in parts:
        names = [name for name in COLUMNS if name in part.column_names]
        rows = undecoded(part.select_columns(names))
        features = output_features(part.select_columns(names))
        for begin in range(0, len(part), BATCH_ROWS):
            table = as_schema(rows[begin : begin + BATCH_ROWS], features).select(list(COLUMNS))
            for position in range(len(table)):
                yield offset + begin + position, table.slice(position, 1).to_pylist()[0]


class _Planner:
    """Maps a row to its task, or to the reason why it has none, and to the positions of the tracks that the cache does
    not hold."""

    def __init__(self, extractors: Sequence[TrackExtractor], cache: RowCache, fps: float | None):
        self._cache, self._fps = cache, fps
        self._widths = [extractor.width for extractor in extractors]
        self._tracks = [{"track": extractor.name, "fingerprint": extractor.fingerprint} for extractor in extractors]

    def __call__(self, numbered: tuple[int, dict[str, Any]]) -> tuple[int, ClipTask | Failure, list[int]]:
        number, row = numbered
        try:
            task = self._task(number, row)
        except SignXCacheError:
            raise
        except (SignXError, OSError) as error:
            video = (row["video"] or {}).get("path") or row["frames"] or ""
            return number, Failure(number + 1, row["id"], video, one_line(error)), []
        return number, task, [i for i, key in enumerate(task.keys) if self._cache.seen(key, self._widths[i]) is None]

    def _task(self, number: int, row: dict[str, Any]) -> ClipTask:
        content, path = (row["video"] or {}).get("bytes"), (row["video"] or {}).get("path") or row["frames"]
        is_embedded = content is not None
        _check_row(f"row {number + 1} ('{row['id']}')", row, is_embedded or path is not None)
        open_video(content if is_embedded else path, row["fps"], f"'{row['id']}'")  # raises if it cannot be opened
        state = None if is_embedded else media_state(path)
        shared = {
            "video": hashlib.sha256(content).hexdigest() if is_embedded else self._cache.video_hash(Path(path)),
            "clip": [row["id"], row["start"], row["end"], row["fps"]],
            "fps": self._fps,
            "decoder": av.__version__.split(".")[0],
        }
        return ClipTask(
            index=number,
            name=f"'{row['id']}' (bytes)" if is_embedded else path,
            id=row["id"],
            media=None if is_embedded else path,
            source_fps=row["fps"],
            start=row["start"],
            end=row["end"],
            keys=tuple(key_of(**shared, **track) for track in self._tracks),
            state=state,
        )


def _check_row(where: str, row: dict[str, Any], has_media: bool) -> None:
    if not has_media:
        raise SignXDataError(f"{where}: must have a video or frames, got neither. Correct the row.")
    start, end = row["start"], row["end"]
    bad = [value for value in (start, end) if value is not None and not (math.isfinite(value) and value >= 0)]
    if bad or (end is not None and end <= (start or 0)):
        raise SignXDataError(
            f"{where}, columns 'start', 'end': start must be before end, got {start} and {end} seconds. Correct the "
            "row."
        )
    if row["fps"] is not None and not 0 < row["fps"] < math.inf:
        raise SignXDataError(
            f"{where}, column 'fps': must be a positive number of frames per second, got {row['fps']}. Correct the "
            "row."
        )


def _grouped(tasks: Sequence[ClipTask]) -> list[list[ClipTask]]:
    """Group clips of one file that follow one another without overlap, so that it is decoded in one pass."""
    groups: list[list[ClipTask]] = []
    open_groups: dict[tuple[str, float | None], list[list[ClipTask]]] = {}
    for task in sorted(tasks, key=lambda task: (task.start or 0.0, task.index)):
        same_file = open_groups.setdefault((task.media, task.source_fps), []) if isinstance(task.media, str) else []
        for group in same_file:
            if group[-1].end is not None and group[-1].end <= (task.start or 0.0):
                group.append(task)
                break
        else:
            groups.append([task])
            same_file.append(groups[-1])
    return sorted(groups, key=lambda group: group[0].index)
