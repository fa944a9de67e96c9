"""`extract`: videos of any source to a dataset with pose tracks, in parallel, resumable at any moment.

What an extractor sees in a clip is kept in a cache under the hash of everything that determines it, so finished work
is never repeated, however a run ended. Who of several people is the signer is decided when the dataset is assembled,
from the cache alone and in the order of the source: another rule or one more track costs no more than what is new, and
the dataset has the same bytes whatever the number of jobs, the engine, and the history of runs.
"""

import contextlib
import math
import os
import time
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict, load_from_disk

from ..common.messages import one_line, reason_of
from ..common.progress import progress
from ..common.threads import worker_threads
from ..data.corpus import write_list
from ..data.errors import nearest
from ..data.schema import encode_poses
from ..data.tracks import TrackLayout
from ..jobs.run import run_jobs
from ..processing.errors_signx import SignXError, SignXWarning
from ..processing.sampling_signx import check_rate
from ..version import __version__
from . import extractor_class, load_extractor
from .base import TrackExtractor
from .cache import ROW, RowCache, SeenTrack, SignXCacheError, output_lock
from .clips import ClipWorker
from .output import DatasetFolder, write_dataset
from .people import check_rule, choose_in_tracks
from .planning import Failure, Plan, make_plan
from .sources import open_videos

ENGINES = ("local", "ray")
LIST_COLUMNS = ("row", "id", "video", "reason")
MAX_FPS = 1000.0  # frames are repeated to reach a rate, so a typo would make a run without end


@dataclass(frozen=True)
class ExtractOptions:
    """Options of an extraction.

    Args:
        options: Track -> option -> value, for the extractors.
        person: Who of several people is the signer: "largest", "central", "active", or an index from 0, left to right.
        fps: Frames per second to take, or None for every frame.
        jobs: Number of processes; 1 works in this one.
        engine: "local" or "ray".
        cache: Folder of finished rows, which several runs may share; None for `<out>.cache`.
        skip_bad: File that lists the clips that fail, which are then left out.
        data_dir: Folder of a corpus that is named as the source.
        progress: Show progress.
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
            raise SignXError(f"jobs must be a positive integer, got {self.jobs!r}.")
        if self.engine not in ENGINES:
            raise SignXError(f"unknown engine {self.engine!r}; {nearest(self.engine, ENGINES)}")
        check_rule(self.person)
        if not isinstance(self.options, Mapping) or not all(isinstance(o, Mapping) for o in self.options.values()):
            raise SignXError(f"options must be {{track: {{option: value}}}}, got {self.options!r}.")
        if self.fps is not None:
            if isinstance(self.fps, (int, float, np.number)) and MAX_FPS < self.fps < math.inf:
                raise SignXError(f"fps must be at most {MAX_FPS:g} frames per second, got {self.fps}.")
            object.__setattr__(self, "fps", check_rate(self.fps))


class ExtractFailed(SignXError):
    """Some clips failed and skip_bad was not given. What was finished is in the cache. `failures` lists them."""

    def __init__(self, failures: Sequence[Failure], clips: int, cache: RowCache):
        self.failures = list(failures)
        first = self.failures[0]
        self.summary = (
            f"{len(failures)} of {clips} clips failed, so no dataset was written; finished clips are kept in "
            f"{cache}. Correct these clips, or leave them out with --skip-bad LIST (skip_bad)"
        )
        super().__init__(f"{self.summary}. The first is row {first.row} ('{first.id}'): {first.reason}")


@dataclass
class ExtractReport:
    """Summary of a run.

    Args:
        out: Path of the dataset.
        cache: Folder of finished rows.
        dataset_hash: Hash of the content of the dataset.
        clips: Clips of the dataset.
        frames: Frames of the dataset.
        cached: Clips that the cache held completely.
        decoded: Frames that were decoded in this run.
        seconds: Duration of the run.
        left_out: Clips that failed.
        warnings: About videos, each once.
    """

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
    """Extract pose tracks and save the dataset. The same call resumes a run that was stopped.

    Args:
        source: Folder of videos (and all folders below it), table, ELAN folder, saved dataset, name of a corpus (with
            data_dir), or a dataset with a column `video`. A row with start and end is that part of its video.
        tracks: Names of extractors (`signx_hf.poses.TRACKS`), or `module:Class` for one of your own.
        out: Folder to save the dataset to. A dataset that `extract` made there from the same source is replaced once
            the new one is complete.
        options: See `ExtractOptions`.

    Returns:
        The saved dataset: the columns of the source and those of the schema, with `poses`, `fps` and `num_frames`
            filled.

    Raises:
        ExtractFailed: If some clips failed and `skip_bad` was not set.
        SignXError: If the source, a track, an option, the cache or the output cannot be used.
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
    """Do what `extract` does, and return a report of the run instead of the dataset."""
    began = time.monotonic()
    extractors = open_extractors(tracks, options.options)
    out = _resolve(out, "--out")
    if not out.name:
        raise SignXError(f"--out must be a folder that can be created, got {out}, the root of a disk.")
    cache = RowCache(_resolve(options.cache, "--cache") if options.cache else out.with_name(out.name + ".cache"))
    if options.skip_bad is not None:
        _check_list(_resolve(options.skip_bad, "--skip-bad"))
    for origin in (source, options.data_dir):
        _check_paths(origin, out, cache)
    label, dataset = open_videos(source, options.data_dir, options.skip_bad)
    with output_lock(out):
        folder = DatasetFolder(out)
        folder.recover()
        folder.check(label)
        cache.prepare()
        report = ExtractReport(str(out), str(cache))
        plan = make_plan(dataset, extractors, cache, options.fps, options.jobs)
        failures = plan.failures | _fill_cache(plan, extractors, cache, options, report)
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
            report.dataset_hash = write_dataset(folder.tmp_path, dataset, filler, marker)
            _stop_if_bad(failures, plan, cache, options)
            report.left_out = [failures[index] for index in sorted(failures)]
            if options.skip_bad is not None:
                write_list(Path(options.skip_bad), LIST_COLUMNS, report.left_out)
            folder.replace()
        except OSError as error:
            raise SignXError(
                f"{error.filename or out}: cannot be written ({error.strerror or error}). All rows are in {cache}; "
                "free some disk space and run the same command again."
            ) from error
        finally:
            folder.recover()
    report.seconds = round(time.monotonic() - began, 3)
    return report


def _stop_if_bad(failures: Mapping[int, Failure], plan: Plan, cache: RowCache, options: ExtractOptions) -> None:
    if failures and (options.skip_bad is None or len(failures) == plan.rows):
        raise ExtractFailed([failures[index] for index in sorted(failures)], plan.rows, cache)


def open_extractors(tracks: Sequence[str], options: Mapping[str, Mapping[str, Any]]) -> list[TrackExtractor]:
    """Return extractors by name or `module:Class`, with their options, not loaded.

    Raises:
        SignXError: If there is no track, a track is unknown or repeated, or a track does not have an option.
    """
    is_list = isinstance(tracks, Sequence) and not isinstance(tracks, str) and all(isinstance(t, str) for t in tracks)
    names = [name.strip() for name in tracks] if is_list else []
    if not names or not all(names):
        raise SignXError(f"tracks must be a list of at least one name or module:Class, got {tracks!r}.")
    known = [extractor_class(name).name for name in names]
    repeated = [name for name, count in Counter(known).items() if count > 1]
    if repeated:
        raise SignXError(f"tracks must be unique, got '{repeated[0]}' twice.")
    unknown = [name for name in options if name not in known]
    if unknown:
        raise SignXError(f"options for track '{unknown[0]}', which is not extracted; {nearest(unknown[0], known)}")
    extractors = [load_extractor(name, **options.get(track, {})) for name, track in zip(names, known)]
    for name, extractor in zip(names, extractors):
        _check_extractor(name, extractor)
    return extractors


def _check_extractor(name: str, extractor: TrackExtractor) -> None:
    """Check the properties that are written to the dataset only after all the work is done."""
    try:
        layout, fingerprint = extractor.layout, extractor.fingerprint
    except (SignXError, ImportError):
        raise
    except Exception as error:
        raise SignXError(f"{name}: layout or fingerprint failed ({reason_of(error)}).") from error
    if not isinstance(layout, TrackLayout) or (layout.track, layout.width) != (extractor.name, extractor.width):
        raise SignXError(
            f"{name}: layout must be a TrackLayout of track '{extractor.name}' and width {extractor.width}, got "
            f"{layout!r}."
        )
    if not isinstance(fingerprint, str) or not fingerprint:
        raise SignXError(f"{name}: fingerprint must be a non-empty string, got {fingerprint!r}.")


def _resolve(path: str | os.PathLike, option: str) -> Path:
    """Resolve links, so that a dataset behind a link is replaced there and the link stays."""
    text = os.fsdecode(path)
    if not text.strip() or "\0" in text:
        raise SignXError(f"{option} must be a path, got {text!r}.")
    return Path(os.path.realpath(Path(text).expanduser()))


def _check_list(path: Path) -> None:
    """Check the path of --skip-bad, which is written only after all the work is done."""
    reason = "Is a directory" if path.is_dir() else None if path.parent.is_dir() else "No such file or directory"
    if reason:
        raise SignXError(f"--skip-bad {path}: cannot be written ({reason}). Pass a file in an existing folder.")


def _check_paths(source: str | os.PathLike | Dataset | DatasetDict, out: Path, cache: RowCache) -> None:
    if cache.folder == out or cache.folder.is_relative_to(out):
        raise SignXError(f"{cache}: the cache must not be inside the output. Pass another folder with --cache.")
    if isinstance(source, (str, os.PathLike)) and os.path.isdir(source):
        base = Path(source).resolve()
        for path, option in ((out, "--out"), (cache.folder, "--cache")):
            if path.resolve().is_relative_to(base):
                raise SignXError(f"{path}: must not be inside the source {source}. Choose another {option}.")


def _fill_cache(
    plan: Plan, extractors: Sequence[TrackExtractor], cache: RowCache, options: ExtractOptions, report: ExtractReport
) -> dict[int, Failure]:
    """Extract everything that the cache does not hold, and return the clips that failed."""
    left = plan.groups.clips
    report.cached = len(plan.tasks) - left
    if not left:
        return {}
    worker = ClipWorker(extractors, cache, options.fps, plan.needed)
    failures = {}
    began = time.monotonic()
    outcomes = run_jobs(worker, plan.groups, options.jobs, cache.folder, options.engine, worker_threads())
    with (
        contextlib.closing(outcomes),
        progress(total=plan.rows, initial=plan.rows - left, desc="extract", show=options.progress) as bar,
    ):
        for outcome in outcomes:
            bar.update()
            report.decoded += outcome.frames
            bar.set_postfix_str(f"{report.decoded / (time.monotonic() - began):.1f} frames/s", refresh=False)
            if outcome.error is not None:
                task = plan.tasks[outcome.index]
                failures[outcome.index] = Failure(outcome.index + 1, task.id, task.media or "", outcome.error)
    return failures


class _Filler:
    """Maps (split, row number) to the new values of that row, read from the cache; to None for a clip that failed."""

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
                f"{self._cache}: rows of '{task.id}' were removed or damaged during the run. Run the same command "
                "again."
            )
        try:
            poses = self._poses(seen)
        except SignXError as error:  # the person does not exist in this clip
            reason = f"{task.name}: {one_line(error)}"
            self._failures[number] = Failure(number + 1, task.id, task.media or "", reason)
            return None
        first = next(iter(seen.values()))
        for track in seen.values():
            self._report.warnings += [message for message in track.warnings if message not in self._report.warnings]
        self._report.clips += 1
        self._report.frames += first.frames
        if (
            task.source_fps
            and first.fps != task.source_fps
            and isinstance(task.media, str)
            and os.path.isdir(task.media)
        ):
            return {"poses": poses}  # `fps` times the images, too; the poses know their own rate
        return {"poses": poses, "fps": first.fps, "num_frames": first.frames}

    def _poses(self, seen: Mapping[str, SeenTrack]) -> bytes:
        """Return the rows of the signer, the same person in all tracks, as the dataset stores them."""
        first = next(iter(seen.values()))
        lists = {name: track.observations() for name, track in seen.items()}
        tracks, masks = {}, {}
        for name, chosen in choose_in_tracks(lists, first.size, self._person).items():
            tracks[name] = np.zeros((first.frames, seen[name].rows.shape[1]), np.float16)
            masks[name] = np.array([person is not None for person in chosen], dtype=bool)
            for frame, person in enumerate(chosen):
                if person is not None:
                    tracks[name][frame] = person.data[ROW]
        notes = {**self._notes, "size": "{}x{}".format(*first.size)}
        return encode_poses(tracks, masks, first.fps, notes, first.start, first.times)
