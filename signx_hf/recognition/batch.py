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

from .. import recognize
from ..poses.clips import STARTS, Outcome
from ..processing.errors_signx import SignXError, SignXWarning
from .buckets import buckets, recognise_together
from .inputs import ClipFile, check_places, state_of
from .outputs import OutputFolder, SignXOutputError

RESULT_VERSION = 3  # raise it when the same model and options give other results


@dataclass(frozen=True)
class BatchOptions:
    """model, device, trust_remote_code: as `load_pipeline` takes them. formats: names of writers. out: folder. options: of the
    pipeline's call. jobs: processes; 1 works in this one. resume: keep what is finished. engine: "local" or "ray". batch_size: clips
    that the model sees together; it changes no result."""

    model: str
    out: str
    formats: tuple[str, ...]
    device: str | None = None
    trust_remote_code: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    jobs: int = 1
    resume: bool = False
    engine: str = "local"
    batch_size: int = 1


@dataclass
class BatchReport:
    """kept: clips that were finished before. frames: recognised in this run. failed: (path, reason), in the order of the clips."""

    clips: int = 0
    kept: int = 0
    done: int = 0
    frames: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ClipTask:
    """index: of the clip. name: its path. place: of its output."""

    index: int
    name: str
    place: str


@dataclass
class RecognizeWorker:
    """Recognises clips in one process and writes their files there. starts: folder where starts of clips are counted, for engines
    that start again what died."""

    settings: BatchOptions
    output: OutputFolder
    made_by: str
    starts: str | None = None
    recognizer: Any = None

    def load(self) -> None:
        """Loads the model; a SignXError says why it cannot be."""
        if self.recognizer is None:
            s = self.settings
            self.recognizer = recognize.open_reader(s.model, s.device, s.trust_remote_code, s.options)

    def run(self, group: Sequence[ClipTask]) -> Iterator[Outcome]:
        """What becomes of each clip. A bad one does not stop the next.

        Raises:
            SignXOutputError: the disk is full.
        """
        known, notes = self._together(group)
        for task in group:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", SignXWarning)
                frames, problem = 0, None
                try:
                    if task.index not in known:
                        self._count_start(task)
                    frames = self._work(task, *known.get(task.index, ()))
                except SignXOutputError:
                    raise
                except Exception as error:
                    problem = recognize.named_reason(task.name, error)
                self._forget_start(task)
            yield Outcome(task.index, frames, problem, tuple(dict.fromkeys((*notes, *_notes(caught)))))
            notes = ()

    def _together(self, group: Sequence[ClipTask]) -> tuple[dict[int, tuple[list, dict]], tuple[str, ...]]:
        """State and result by index of clips that could be recognised in one batch, and the warnings of it; else nothing."""
        nothing = {}, ()
        if len(group) < 2 or any(self._was_started(task) for task in group):  # a process may have died of one of them
            return nothing
        try:
            for task in group:
                self.output.check_free(task.place)
            states = [state_of(task.name) for task in group]
        except (OSError, ValueError):
            return nothing
        for task in group:
            self._count_start(task)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", SignXWarning)
            paths = [task.name for task in group]
            results = recognise_together(self.recognizer, paths, dict(self.settings.options))
        if results is None:
            for task in group:
                self._forget_start(task)
            return nothing
        return {task.index: (state, result) for task, state, result in zip(group, states, results)}, _notes(caught)

    def _work(self, task: ClipTask, state: list | None = None, result: dict | None = None) -> int:
        """Recognises a clip, unless its state and result are known, and writes its files; the number of frames."""
        if result is None:
            self.output.check_free(task.place)
            try:
                state = state_of(task.name)
            except (OSError, ValueError):
                state = None  # the pipeline says what is wrong
            result = self.recognizer(task.name, **self.settings.options)
        if state is None or state_of(task.name) != state:
            raise SignXError(f"{task.name}: was changed while it was read; run it again once it is whole")
        self.output.write(task.place, task.name, clip_key(self.made_by, state), result)
        rate = getattr(getattr(getattr(self.recognizer, "model", None), "config", None), "fps", None)
        return round(result["duration"] * rate) if rate else 0  # the pipeline samples clips at the model's rate

    def _was_started(self, task: ClipTask) -> bool:
        return self.starts is not None and Path(self.starts, str(task.index)).exists()

    def _count_start(self, task: ClipTask) -> None:
        if self.starts is None:
            return
        with open(Path(self.starts, str(task.index)), "ab") as file:
            if file.tell() >= STARTS:
                raise SignXError(f"the process that worked on it died {STARTS} times; look at it, or leave it out")
            file.write(b".")

    def _forget_start(self, task: ClipTask) -> None:
        if self.starts is not None:
            Path(self.starts, str(task.index)).unlink(missing_ok=True)


def _notes(caught: Sequence[warnings.WarningMessage]) -> tuple[str, ...]:
    """What is wrong with a clip, once each; other warnings go where they would have gone."""
    notes = []
    for entry in caught:
        if issubclass(entry.category, SignXWarning):
            notes.append(recognize.one_line(entry.message))
        else:
            warnings.showwarning(entry.message, entry.category, entry.filename, entry.lineno)
    return tuple(dict.fromkeys(notes))


def model_fingerprint(model: str) -> str:
    """Changes with the files of a model's folder; of a model on the Hub with its commit.

    Raises:
        OSError: no such model.
    """
    if not os.path.isdir(model):
        from transformers.utils.hub import cached_file, extract_commit_hash

        path = cached_file(model, "config.json")
        return f"{model}@{extract_commit_hash(path, None) or model_fingerprint(str(Path(path).parent))}"
    from ..poses.fingerprints import read_sha256

    paths = [path for path in sorted(Path(model).iterdir()) if path.is_file() and not path.name.startswith(".")]
    files = [[path.name, read_sha256(path)] for path in paths if path.suffix.lower() != ".md"]
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()


def clip_key(made_by: str, state: list) -> str:
    """The name of what decides a result: model and options, state of the clip."""
    return hashlib.sha256(json.dumps([RESULT_VERSION, made_by, state]).encode()).hexdigest()


def run_batch(clips: Sequence[ClipFile], settings: BatchOptions, progress: bool | None = None) -> BatchReport:
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
        recognize.check_model(model)
        return model_fingerprint(model)
    except (OSError, ValueError) as error:
        raise SignXError(recognize.cannot_load(model, error)) from error


def _lm_fingerprint(options: Mapping[str, Any]) -> str | None:
    """Of the content of a language model that is a file: another one of the same name gives other results."""
    from ..poses.fingerprints import read_sha256

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
    report.notes += _notes(caught)
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
