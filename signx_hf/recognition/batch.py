"""Clips to files in one folder: in parallel, resumable at any moment, one bad clip never stops it."""

import contextlib
import hashlib
import json
import os
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..poses.clips import Outcome
from ..processing.errors_signx import SignXError, SignXWarning
from .buckets import buckets
from .inputs import ClipFile, check_places, state_of
from .loading import cannot_load, check_model
from .options import RecognizeOptions
from .outputs import OutputFolder, SignXOutputError
from .worker import ClipTask, RecognizeWorker, clip_key, notes_of


@dataclass
class BatchReport:
    """kept: clips that were finished before. frames: recognised in this run. failed: (path, reason), in the order of the clips."""

    clips: int = 0
    kept: int = 0
    done: int = 0
    frames: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def model_fingerprint(model: str) -> str:
    """Changes with the files of a model's folder; of a model on the Hub with its commit.

    Raises:
        OSError: no such model.
    """
    if not os.path.isdir(model):
        from transformers.utils.hub import cached_file, extract_commit_hash

        path = cached_file(model, "config.json")
        return f"{model}@{extract_commit_hash(path, None) or model_fingerprint(str(Path(path).parent))}"
    from ..common.fingerprints import read_sha256

    paths = [path for path in sorted(Path(model).iterdir()) if path.is_file() and not path.name.startswith(".")]
    files = [[path.name, read_sha256(path)] for path in paths if path.suffix.lower() != ".md"]
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()


def run_batch(clips: Sequence[ClipFile], settings: RecognizeOptions, progress: bool | None = None) -> BatchReport:
    """Recognises clips and writes the files of each.

    progress: show a bar; None: on a terminal.

    Raises:
        SignXError: nothing can be done or go on: two clips of one output, no model, a full disk, no place to write. What is
            finished stays; the error has the report so far as `report`.
    """
    check_places(clips)
    parts = [_fingerprint(settings.model), dict(settings.options), _lm_fingerprint(settings.options)]
    made_by = json.dumps(parts, sort_keys=True, default=str)
    output = OutputFolder(Path(os.path.abspath(settings.out)), settings.formats)
    output.prepare()
    report = BatchReport(clips=len(clips))
    failed: dict[int, str] = {}
    tasks = []
    for index, clip in enumerate(clips):
        try:
            if clip.problem:
                failed[index] = clip.problem
            elif settings.resume and _is_finished(clip, output, made_by, report):
                report.kept += 1
            else:
                tasks.append(ClipTask(index, clip.path, clip.place))
        except SignXOutputError:
            raise
        except SignXError as error:  # of its files that were missing, one cannot be written
            failed[index] = str(error)
    try:
        if tasks:
            _work(tasks, RecognizeWorker(settings, output, made_by), report, failed, progress)
    except SignXError as error:
        error.report = report
        raise
    finally:
        report.failed = [(clips[index].path, failed[index]) for index in sorted(failed)]
    return report


def _fingerprint(model: str) -> str:
    try:
        check_model(model)
        return model_fingerprint(model)
    except (OSError, ValueError) as error:
        raise SignXError(cannot_load(model, error)) from error


def _lm_fingerprint(options: Mapping[str, Any]) -> str | None:
    """Of the content of a language model that is a file: another one of the same name gives other results."""
    from ..common.fingerprints import read_sha256

    lm = options.get("lm")
    try:
        return read_sha256(lm) if isinstance(lm, str) and os.path.isfile(lm) else None
    except OSError:  # the pipeline says what is wrong
        return None


def _is_finished(clip: ClipFile, output: OutputFolder, made_by: str, report: BatchReport) -> bool:
    """Whether the result of the same model, options and clip is there; files of it that are missing are written."""
    record = output.record(clip.place)
    try:
        if record is None or record["key"] != clip_key(made_by, state_of(clip.path)):
            return False
    except OSError:
        return False
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SignXWarning)
        output.finish(clip.place, clip.path, record)
    report.notes += notes_of(caught)
    return True


def _work(
    tasks: list[ClipTask], worker: RecognizeWorker, report: BatchReport, failed: dict[int, str], progress: bool | None
) -> None:
    began = time.monotonic()
    hidden = None if progress is None else not progress
    bar = tqdm(total=report.clips, initial=report.clips - len(tasks), unit="clip", disable=hidden)
    together = 1 if worker.settings.options.get("chunk_length_s") else worker.settings.batch_size
    groups = list(buckets(tasks, [task.name for task in tasks], together))
    outcomes = contextlib.closing(_engine(worker, groups))  # closed, it ends its processes
    with outcomes as outcomes, bar:
        for outcome in outcomes:
            bar.update()
            report.frames += outcome.frames
            report.notes += outcome.notes
            bar.set_postfix_str(f"{report.frames / (time.monotonic() - began):.1f} frames/s", refresh=False)
            if outcome.error is None:
                report.done += 1
            else:
                failed[outcome.index] = outcome.error


def _engine(worker: RecognizeWorker, groups: list[list[ClipTask]]) -> Iterator[Outcome]:
    if worker.settings.engine == "ray":
        from .ray_engine import run_ray

        return run_ray(worker, groups, worker.settings.jobs)
    if worker.settings.jobs == 1:
        return _run_here(worker, groups)
    from ..poses.local_engine import run_processes

    return run_processes(worker, groups, worker.settings.jobs)


def _run_here(worker: RecognizeWorker, groups: list[list[ClipTask]]) -> Iterator[Outcome]:
    """In this process, with all its threads."""
    worker.load()
    for group in groups:
        yield from worker.run(group)
