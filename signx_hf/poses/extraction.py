"""`extract`: videos of any source to a dataset with pose tracks, in parallel, resumable at any moment.

What an extractor sees in a clip is kept in a cache under the hash of all that decides it, so whatever was finished before a run
ended, in whatever way, is never made again. Who of several people is the signer is decided when the dataset is put together,
from the cache alone and in the order of the source: another rule, or one more track, costs no more than what is new, and the
dataset is the same bytes whatever the number of jobs, the engine, and the history of runs.
"""

import contextlib
import hashlib
import itertools
import math
import os
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
from datasets import Dataset, DatasetDict, load_from_disk
from tqdm import tqdm

from ..data.corpus import VIDEOS, write_list
from ..data.errors import SignXDataError, nearest
from ..data.load import kind_of, open_source
from ..data.schema import encode_poses, make_row, to_dataset
from ..data.tracks import TrackLayout
from ..processing.errors_signx import SignXError, SignXFileNotFoundError, SignXWarning
from ..processing.sampling_signx import check_rate
from ..processing.video_decoding_signx import open_video
from ..version import __version__
from . import extractor_class, load_extractor
from .base import TrackExtractor
from .cache import ROW, RowCache, SeenTrack, SignXCacheError, key_of, output_lock
from .clips import ClipTask, ClipWorker, Outcome, media_state, one_line, reason_of
from .output import OutputPlace, as_schema, output_features, undecoded, write_dataset
from .people import check_rule, choose_in_tracks

ENGINES = ("local", "ray")
LIST_COLUMNS = ("row", "id", "video", "reason")
PLAN_ROWS = 256
MAX_PATH = 4096  # bytes
MAX_FPS = 1000.0  # frames are repeated to reach a rate: beyond it is a slip, and a run without end
COLUMNS = ("id", "video", "frames", "fps", "start", "end")


@dataclass(frozen=True)
class ExtractOptions:
    """How to extract.

    options: track -> option -> value, for the extractors. person: who of several people is the signer: "largest", "central",
    "active" or a number from 0, left to right. fps: frames per second to take (None: every frame). jobs: processes; 1 works in
    this one. engine: "local" or "ray". cache: folder of finished rows (None: `<out>.cache`); it may be shared. skip_bad: leave
    clips out that fail and list them in this file. data_dir: of a corpus named as the source. progress: show a bar.
    """

    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    person: str | int = "largest"
    fps: float | None = None
    jobs: int = 1
    engine: str = "local"
    cache: str | os.PathLike | None = None
    skip_bad: str | os.PathLike | None = None
    data_dir: str | os.PathLike | None = None
    progress: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.jobs, bool) or not isinstance(self.jobs, int) or self.jobs < 1:
            raise SignXError(f"jobs {self.jobs!r}; wanted a whole number of at least 1")
        if self.engine not in ENGINES:
            raise SignXError(f"engine {self.engine!r}; {nearest(self.engine, ENGINES)}")
        check_rule(self.person)
        if not isinstance(self.options, Mapping) or not all(isinstance(o, Mapping) for o in self.options.values()):
            raise SignXError(f"options {self.options!r}; wanted {{track: {{option: value}}}}")
        if self.fps is not None:
            if isinstance(self.fps, (int, float, np.number)) and MAX_FPS < self.fps < math.inf:
                raise SignXError(f"fps={self.fps}: wanted at most {MAX_FPS:g} frames per second")
            object.__setattr__(self, "fps", check_rate(self.fps))


@dataclass(frozen=True)
class Failure:
    """A clip that could not be extracted. row: in the source, from 1."""

    row: int
    id: str
    video: str
    reason: str


class ExtractFailed(SignXError):
    """Some clips failed and were not to be left out; everything that was finished is in the cache. `failures` lists them."""

    def __init__(self, failures: Sequence[Failure], clips: int, cache: RowCache):
        self.failures = list(failures)
        first = self.failures[0]
        self.summary = (
            f"{len(failures)} of {clips} clips failed; no dataset was written, what is finished stays in {cache}; correct these, or "
            "leave them out with --skip-bad LIST (skip_bad)"
        )
        super().__init__(f"{self.summary}; the first is row {first.row} ('{first.id}'): {first.reason}")


@dataclass
class ExtractReport:
    """What a run did. cached: clips of which everything was in the cache. frames: of the dataset; decoded: in this run."""

    out: str
    cache: str
    dataset_hash: str = ""
    clips: int = 0
    frames: int = 0
    cached: int = 0
    decoded: int = 0
    seconds: float = 0.0
    left_out: list[Failure] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def extract(
    source: str | os.PathLike | Dataset | DatasetDict,
    tracks: Sequence[str],
    out: str | os.PathLike,
    options: ExtractOptions | None = None,
) -> Dataset | DatasetDict:
    """Extracts pose tracks and saves the dataset; the same call goes on where one that was stopped left off.

    Args:
        source: folder of videos (all below it), table, ELAN folder, saved dataset, name of a corpus (with data_dir), or a dataset
            with a column `video`. A row with start and end is that part of its video.
        tracks: names of extractors (`signx_hf.poses.TRACKS`), or `module:Class` for one of your own.
        out: where the dataset is saved; one that `extract` made there from the same source is replaced once the new one is whole.
        options: see `ExtractOptions`.

    Returns:
        The saved dataset: the columns of the source, with those of the schema, `poses`, `fps` and `num_frames` filled.

    Raises:
        ExtractFailed: some clips failed and skip_bad was not given.
        SignXError: the source, a track, an option, the cache or the output cannot be used.
    """
    report = run_extract(source, tracks, out, options or ExtractOptions())
    for message in report.warnings:
        warnings.warn(message, SignXWarning, stacklevel=2)
    return load_from_disk(report.out)


def run_extract(
    source: str | os.PathLike | Dataset | DatasetDict,
    tracks: Sequence[str],
    out: str | os.PathLike,
    options: ExtractOptions,
) -> ExtractReport:
    """`extract`, with an account of what was done instead of the dataset."""
    began = time.monotonic()
    extractors = open_extractors(tracks, options.options)
    out = _place(out, "--out")
    if not out.name:
        raise SignXError(f"{out}: the root of a disk; wanted a folder that the dataset becomes; choose another --out")
    cache = RowCache(_place(options.cache, "--cache") if options.cache else out.with_name(out.name + ".cache"))
    if options.skip_bad is not None:
        _check_list(_place(options.skip_bad, "--skip-bad"))
    for origin in (source, options.data_dir):
        _check_places(origin, out, cache)
    label, dataset = open_videos(source, options)
    with output_lock(out):
        place = OutputPlace(out)
        place.clear()
        place.check(label)
        cache.prepare()
        report = ExtractReport(str(out), str(cache))
        plan = make_plan(dataset, extractors, cache, options)
        failures = plan.failures | _work(plan, extractors, cache, options, report)
        _stop_if_bad(failures, plan, cache, options)
        marker = {
            "signx_hf": __version__,
            "source": label,
            "tracks": {extractor.name: extractor.fingerprint for extractor in extractors},
            "person": options.person,
            "fps": options.fps,
        }
        filler = _Filler(plan, extractors, cache, options.person, failures, report)
        try:
            report.dataset_hash = write_dataset(place.beside, dataset, filler, marker)
            _stop_if_bad(failures, plan, cache, options)
            report.left_out = [failures[index] for index in sorted(failures)]
            if options.skip_bad is not None:
                write_list(Path(options.skip_bad), LIST_COLUMNS, report.left_out)
            place.replace()
        except OSError as error:
            raise SignXError(
                f"{error.filename or out}: cannot be written ({error.strerror or error}); wanted room for the dataset; everything is "
                f"in {cache}: free the disk and run the same command again"
            ) from error
        finally:
            place.clear()
    report.seconds = round(time.monotonic() - began, 3)
    return report


def _stop_if_bad(failures: Mapping[int, Failure], plan: "Plan", cache: RowCache, options: ExtractOptions) -> None:
    if failures and (options.skip_bad is None or len(failures) == plan.rows):
        raise ExtractFailed([failures[index] for index in sorted(failures)], plan.rows, cache)


# extractors


def open_extractors(tracks: Sequence[str], options: Mapping[str, Mapping[str, Any]]) -> list[TrackExtractor]:
    """Extractors by name or `module:Class`, with their options, unloaded.

    Raises:
        SignXError: no track, unknown or repeated ones, options that a track does not have.
    """
    words = isinstance(tracks, Sequence) and not isinstance(tracks, str) and all(isinstance(t, str) for t in tracks)
    names = [name.strip() for name in tracks] if words else []
    if not names or not all(names):
        raise SignXError(f"tracks {tracks!r}; wanted a list of at least one name, or module:Class")
    known = [extractor_class(name).name for name in names]
    repeated = [name for name, count in Counter(known).items() if count > 1]
    if repeated:
        raise SignXError(f"track '{repeated[0]}' is there twice; wanted each once")
    unknown = [name for name in options if name not in known]
    if unknown:
        raise SignXError(f"options for track '{unknown[0]}', which is not extracted; {nearest(unknown[0], known)}")
    extractors = [load_extractor(name, **options.get(track, {})) for name, track in zip(names, known)]
    for name, extractor in zip(names, extractors):
        _check_words(name, extractor)
    return extractors


def _check_words(name: str, extractor: TrackExtractor) -> None:
    """What it says of itself, which is written down when all work is done: too late to be wrong."""
    try:
        layout, print_ = extractor.layout, extractor.fingerprint
    except (SignXError, ImportError):
        raise
    except Exception as error:
        raise SignXError(f"{name}: no layout or fingerprint: {reason_of(error)}") from error
    if not isinstance(layout, TrackLayout) or (layout.track, layout.width) != (extractor.name, extractor.width):
        raise SignXError(
            f"{name}: layout is {layout!r}; wanted a TrackLayout of track '{extractor.name}' and width {extractor.width}"
        )
    if not isinstance(print_, str) or not print_:
        raise SignXError(f"{name}: fingerprint is {print_!r}; wanted text that changes with what changes rows")


# sources


def _place(path: str | os.PathLike, option: str) -> Path:
    """Where a path leads; a dataset behind a link is replaced there, and the link stays."""
    text = os.fsdecode(path)
    if not text.strip() or "\0" in text:
        raise SignXError(f"{option} {text!r}; wanted the path of a place that can be written")
    return Path(os.path.realpath(Path(text).expanduser()))


def _check_list(path: Path) -> None:
    """What would otherwise be found out after hours."""
    reason = "Is a directory" if path.is_dir() else None if path.parent.is_dir() else "No such file or directory"
    if reason:
        raise SignXError(
            f"{path}: cannot be written ({reason}); wanted a file in a folder that is there; choose another --skip-bad"
        )


def _check_places(source: Any, out: Path, cache: RowCache) -> None:
    if cache.folder == out or cache.folder.is_relative_to(out):
        raise SignXError(f"{cache}: the cache lies in the output; wanted another folder; give one with --cache")
    if isinstance(source, (str, os.PathLike)) and os.path.isdir(source):
        base = Path(source).resolve()
        for place, option in ((out, "--out"), (cache.folder, "--cache")):
            if place.resolve().is_relative_to(base):
                raise SignXError(
                    f"{place}: lies in the source {source}; wanted a place outside it; choose another {option}"
                )


def open_videos(source: Any, options: ExtractOptions) -> tuple[str, Dataset | DatasetDict]:
    """What the source is called, and its rows.

    Raises:
        SignXError: it is not there, holds no video, has no column of videos, or one id twice.
    """
    if isinstance(source, (Dataset, DatasetDict)):
        label, dataset = "a dataset in memory", source
    elif isinstance(source, (str, os.PathLike)):
        text = os.fsdecode(source)
        if not text.strip() or "\0" in text or len(os.fsencode(text)) > MAX_PATH:
            raise SignXError(f"source {text[:80]!r}; wanted a path or the name of a corpus")
        label, dataset = _open_named(text, options)
    else:
        raise SignXError(f"source {type(source).__name__}; wanted a path, the name of a corpus, or a datasets.Dataset")
    for part in dataset.values() if isinstance(dataset, DatasetDict) else [dataset]:
        if "video" not in part.column_names and "frames" not in part.column_names:
            raise SignXDataError(
                f"{label}: no column 'video'; found {', '.join(part.column_names)}; wanted paths or Video(decode=False) there; rename "
                "the column that holds them"
            )
    _check_ids(label, dataset)
    return label, dataset


def _open_named(source: str, options: ExtractOptions) -> tuple[str, Dataset | DatasetDict]:
    path = Path(source).expanduser()
    if options.data_dir is None and path.is_dir() and kind_of(path) == "folder":
        return str(path.absolute()), video_folder(path)
    if path.is_file() and path.suffix.lower() in VIDEOS:
        raise SignXDataError(f"{source}: a video; wanted the folder that it lies in, a table, or a saved dataset")
    wanted = {"skip_bad": f"{os.fspath(options.skip_bad)}.rows"} if options.skip_bad is not None else {}
    dataset = open_source(str(path) if path.exists() else source, options.data_dir, **wanted)
    label = str(path.absolute()) if options.data_dir is None else f"{source} in {Path(options.data_dir).absolute()}"
    return label, dataset


def video_folder(folder: Path) -> Dataset:
    """All videos below a folder, hidden ones left out, in the order of their names; the id is the path without its ending."""
    paths = []
    for base, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += [
            Path(base) / name
            for name in files
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in VIDEOS
        ]
    if not paths:
        raise SignXFileNotFoundError(
            f"{folder}: no video in it or below; wanted files that end in {', '.join(VIDEOS)}; check the folder"
        )
    for path in paths:
        if not _is_text(str(path)):  # a dataset holds text, and another spelling would name no file
            raise SignXDataError(
                f"{os.fsencode(path).decode(errors='backslashreplace')}: a name that is not UTF-8; wanted text; rename the file"
            )
    names = {path: path.relative_to(folder).with_suffix("").as_posix() for path in sorted(paths)}
    return to_dataset([make_row(id=name, video=path) for path, name in names.items()])


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_ids(label: str, dataset: Dataset | DatasetDict) -> None:
    first: dict[str, tuple[int, str]] = {}
    rows = 0
    for part in dataset.values() if isinstance(dataset, DatasetDict) else [dataset]:
        if "id" not in part.column_names:
            raise SignXDataError(
                f"{label}: no column 'id'; found {', '.join(part.column_names)}; wanted a name for each clip; add it"
            )
        for name in part["id"] if len(part) else ():
            rows += 1
            if name is None or not str(name).strip():
                raise SignXDataError(f"{label}, row {rows}, column 'id': found {name!r}; wanted a name for each clip")
            if name in first:
                raise SignXDataError(
                    f"{label}, row {rows}, column 'id': found '{name}', as in row {first[name]}; wanted each id once; rename one of them"
                )
            first[name] = rows
    if not rows:
        raise SignXDataError(f"{label}: no row; wanted at least one clip")


# plan


@dataclass
class Plan:
    """Every row of the source, numbered through its splits.

    tasks: number -> what to do, without those in `failures`. offsets: split -> number of its first row. groups: clips with
    something to do, those of one video together. needed: positions of the extractors that something is missing of.
    """

    rows: int
    tasks: dict[int, ClipTask]
    failures: dict[int, Failure]
    offsets: dict[str | None, int]
    groups: "Groups"
    needed: tuple[int, ...]


class Groups(Sequence):
    """Lists of clips of one video; embedded videos are read when their group is asked for, for all would not fit in memory."""

    def __init__(self, groups: list[list[ClipTask]], parts: list[tuple[int, Dataset]]):
        self._groups, self._parts = groups, parts

    def __len__(self) -> int:
        return len(self._groups)

    @property
    def clips(self) -> int:
        return sum(len(group) for group in self._groups)

    def __getitem__(self, index: int) -> list[ClipTask]:
        return [task if task.media is not None else self._filled(task) for task in self._groups[index]]

    def _filled(self, task: ClipTask) -> ClipTask:
        offset, part = next(pair for pair in reversed(self._parts) if pair[0] <= task.index)
        table = undecoded(part.select_columns(["video"]))[task.index - offset : task.index - offset + 1]
        return replace(task, media=table["video"][0].as_py()["bytes"])


def make_plan(
    dataset: Dataset | DatasetDict, extractors: Sequence[TrackExtractor], cache: RowCache, options: ExtractOptions
) -> Plan:
    """Looks at every row: whether its video can be opened, what its rows are called in the cache, and what is missing there."""
    parts, offsets, offset = [], {}, 0
    for name, part in dataset.items() if isinstance(dataset, DatasetDict) else [(None, dataset)]:
        offsets[name] = offset
        parts.append((offset, part))
        offset += len(part)
    planner = _Planner(extractors, cache, options)
    tasks, failures, missing, needed = {}, {}, [], set()
    rows = _rows_of(parts)
    with ThreadPoolExecutor(options.jobs) as pool:  # hashing waits for the disk and leaves Python free
        while batch := list(itertools.islice(rows, PLAN_ROWS)):
            for number, found, lacks in pool.map(planner, batch):
                if isinstance(found, Failure):
                    failures[number] = found
                    continue
                tasks[number] = found
                if lacks:
                    missing.append(found)
                    needed.update(lacks)
    return Plan(offset, tasks, failures, offsets, Groups(_grouped(missing), parts), tuple(sorted(needed)))


def _rows_of(parts: list[tuple[int, Dataset]]) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number, id, video, frames, fps, start, end) of every row."""
    for offset, part in parts:
        names = [name for name in COLUMNS if name in part.column_names]
        rows = undecoded(part.select_columns(names))
        features = output_features(part.select_columns(names))
        for begin in range(0, len(part), PLAN_ROWS):
            table = as_schema(rows[begin : begin + PLAN_ROWS], features).select(list(COLUMNS))
            for position in range(len(table)):
                yield offset + begin + position, table.slice(position, 1).to_pylist()[0]


class _Planner:
    """One row -> its task, or why it cannot be one, and the positions of the tracks that are not in the cache."""

    def __init__(self, extractors: Sequence[TrackExtractor], cache: RowCache, options: ExtractOptions):
        self._cache, self._fps = cache, options.fps
        self._widths = [item.width for item in extractors]
        self._tracks = [{"track": item.name, "fingerprint": item.fingerprint} for item in extractors]

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
        where = f"row {number + 1} ('{row['id']}')"
        if content is None and path is None:
            raise SignXDataError(f"{where}: no video and no frames; wanted one of them; correct the row")
        start, end = row["start"], row["end"]
        bad = [value for value in (start, end) if value is not None and not (math.isfinite(value) and value >= 0)]
        if bad or (end is not None and end <= (start or 0)):
            raise SignXDataError(
                f"{where}, columns 'start', 'end': found {start} and {end} seconds; wanted a start before the end; correct the row"
            )
        if row["fps"] is not None and not 0 < row["fps"] < math.inf:
            raise SignXDataError(
                f"{where}, column 'fps': found {row['fps']}; wanted a positive number of frames per second; correct the row"
            )
        open_video(
            content if content is not None else path, row["fps"], f"'{row['id']}'"
        )  # says what is wrong with the file
        state = media_state(path) if content is None else None
        shared = {
            "video": self._cache.video_hash(Path(path)) if content is None else hashlib.sha256(content).hexdigest(),
            "clip": [row["id"], start, end, row["fps"]],
            "fps": self._fps,
            "decoder": av.__version__.split(".")[0],
        }
        keys = tuple(key_of(**shared, **track) for track in self._tracks)
        return ClipTask(number, row["id"], None if content is not None else path, row["fps"], start, end, keys, state)


def _grouped(tasks: Sequence[ClipTask]) -> list[list[ClipTask]]:
    """Clips of one file that follow one another without overlap become a group, which is decoded in one pass."""
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


# work


def _work(
    plan: Plan, extractors: Sequence[TrackExtractor], cache: RowCache, options: ExtractOptions, report: ExtractReport
) -> dict[int, Failure]:
    """Everything that is missing, into the cache; the clips that failed."""
    left = plan.groups.clips
    report.cached = len(plan.tasks) - left
    if not left:
        return {}
    worker = ClipWorker(extractors, cache, options.fps, plan.needed)
    failures = {}
    began = time.monotonic()
    hidden = None if options.progress else True  # None: shown on a terminal
    outcomes = contextlib.closing(_engine(worker, plan.groups, options))  # closed, it ends its processes
    with outcomes as outcomes, tqdm(total=plan.rows, initial=plan.rows - left, unit="clip", disable=hidden) as bar:
        for outcome in outcomes:
            bar.update()
            report.decoded += outcome.frames
            bar.set_postfix_str(f"{report.decoded / (time.monotonic() - began):.1f} frames/s", refresh=False)
            if outcome.error is not None:
                task = plan.tasks[outcome.index]
                failures[outcome.index] = Failure(outcome.index + 1, task.id, task.media or "", outcome.error)
    return failures


def _engine(worker: ClipWorker, groups: Groups, options: ExtractOptions) -> Iterator[Outcome]:
    if options.engine == "ray":
        from .ray_engine import run_ray

        return run_ray(worker, groups, options.jobs)
    from .local_engine import run_here, run_processes

    return run_here(worker, groups) if options.jobs == 1 else run_processes(worker, groups, options.jobs)


# the dataset


class _Filler:
    """(split, row) -> the new values of that row, from the cache; None for a clip that failed, now or before."""

    def __init__(
        self,
        plan: Plan,
        extractors: Sequence[TrackExtractor],
        cache: RowCache,
        person: str | int,
        failures: dict[int, Failure],
        report: ExtractReport,
    ):
        self._plan, self._extractors, self._cache, self._person = plan, extractors, cache, check_rule(person)
        self._failures, self._report = failures, report
        self._notes = {"person": str(person)}
        for extractor in extractors:
            self._notes |= extractor.layout.notes()

    def __call__(self, split: str | None, row: int) -> dict[str, Any] | None:
        number = self._plan.offsets[split] + row
        if number in self._failures:
            return None
        task = self._plan.tasks[number]
        seen = {item.name: self._cache.seen(key, item.width) for item, key in zip(self._extractors, task.keys)}
        if None in seen.values():
            raise SignXCacheError(
                f"{self._cache}: rows of '{task.id}' were removed or damaged during the run; run the same command again"
            )
        try:
            poses = self._poses(seen)
        except SignXError as error:  # the rule means somebody who is not there
            reason = f"{task.name}: {one_line(error)}"
            self._failures[number] = Failure(number + 1, task.id, task.media or "", reason)
            return None
        first = next(iter(seen.values()))
        for track in seen.values():
            self._report.warnings += [message for message in track.warnings if message not in self._report.warnings]
        self._report.clips += 1
        self._report.frames += first.frames
        return {"poses": poses, "fps": first.fps, "num_frames": first.frames}

    def _poses(self, seen: Mapping[str, SeenTrack]) -> bytes:
        """The rows of the signer, the same person in all tracks, as the dataset stores them."""
        first = next(iter(seen.values()))
        lists = {name: track.observations() for name, track in seen.items()}
        tracks, masks = {}, {}
        for name, chosen in choose_in_tracks(lists, first.size, self._person).items():
            tracks[name] = np.zeros((first.frames, seen[name].rows.shape[1]), np.float16)
            masks[name] = np.array([person is not None for person in chosen], dtype=bool)
            for frame, person in enumerate(chosen):
                if person is not None:
                    tracks[name][frame] = person.data[ROW]
        return encode_poses(tracks, masks, first.fps, {**self._notes, "size": "{}x{}".format(*first.size)})
