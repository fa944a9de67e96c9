"""Recognize clips to files in one folder: in parallel, resumable at any moment, never stopped by a bad clip."""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..common.fingerprints import read_sha256
from ..common.messages import collect_warnings
from ..common.progress import progress as show_progress
from ..jobs.run import run_jobs
from ..processing.errors_signx import SignXError
from ..writers.eaf_file import EafLayout
from .buckets import buckets
from .inputs import ClipFile, check_stems, state_of
from .loading import cannot_load, check_model
from .options import RecognizeOptions
from .outputs import STATE, TRANSLATED, OutputFolder, SignXOutputError
from .tasks import TRANSLATION
from .worker import ClipTask, RecognizeWorker, clip_key


@dataclass
class BatchReport:
    """Summary of a run.

    Args:
        clips: Number of clips that were given.
        skipped: Clips that an earlier run had finished.
        done: Clips that were recognized in this run.
        frames: Frames that were recognized in this run.
        failed: Path and reason of each clip that failed, in the order of the clips.
        notes: Warnings about clips.
    """

    clips: int = 0
    skipped: int = 0
    done: int = 0
    frames: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def model_fingerprint(model: str) -> str:
    """Return a hash of the files of a model's folder, or name and commit of a model on the Hub.

    Raises:
        OSError: If there is no such model.
    """
    if not os.path.isdir(model):
        from transformers.utils.hub import cached_file, extract_commit_hash

        path = cached_file(model, "config.json")
        return f"{model}@{extract_commit_hash(path, None) or model_fingerprint(str(Path(path).parent))}"
    paths = [path for path in sorted(Path(model).iterdir()) if path.is_file() and not path.name.startswith(".")]
    files = [[path.name, read_sha256(path)] for path in paths if path.suffix.lower() != ".md"]
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()


def run_batch(clips: Sequence[ClipFile], settings: RecognizeOptions, progress: bool | None = None) -> BatchReport:
    """Recognize clips and write the files of each.

    Args:
        clips: The clips to recognize.
        settings: Model, output folder and options.
        progress: Show progress; None: yes.

    Raises:
        SignXError: If the run cannot start or continue: two clips share an output, there is no model, or the output
            cannot be written. Finished clips are kept; the attribute `report` of the error holds the report so far.
    """
    check_stems(clips)
    parts = [_fingerprint(settings.model), dict(settings.options), _lm_fingerprint(settings.options)]
    parts += [settings.task] if settings.task is not None else []
    made_by = json.dumps(parts, sort_keys=True, default=str)
    layout = EafLayout(settings.tier, settings.merge)
    if len(clips) > 1 and layout.merge is not None and os.path.isfile(layout.merge):
        raise SignXError(
            f"--merge {layout.merge}: one file belongs to one clip, got {len(clips)} clips. Pass the folder of their "
            "ELAN files, each named as its clip."
        )
    state = TRANSLATED if settings.task == TRANSLATION else STATE
    output = OutputFolder(Path(os.path.abspath(settings.out)), settings.formats, layout, state)
    output.prepare()
    report = BatchReport(clips=len(clips))
    failed: dict[int, str] = {}
    tasks = []
    for index, clip in enumerate(clips):
        try:
            if clip.problem:
                failed[index] = clip.problem
            elif settings.resume and _is_finished(clip, output, made_by, report):
                report.skipped += 1
            else:
                tasks.append(ClipTask(index, clip.path, clip.stem))
        except SignXOutputError:
            raise
        except SignXError as error:  # one of its missing files cannot be written
            failed[index] = str(error)
    try:
        if tasks:
            _recognize(tasks, RecognizeWorker(settings, output, made_by), report, failed, progress)
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
    """Return the hash of a language model that is a file, because another file of the same name gives other
    results."""
    lm = options.get("lm")
    try:
        return read_sha256(lm) if isinstance(lm, str) and os.path.isfile(lm) else None
    except OSError:  # the pipeline raises the better error
        return None


def _is_finished(clip: ClipFile, output: OutputFolder, made_by: str, report: BatchReport) -> bool:
    """Return whether the result of the same model, options and clip is recorded; write those of its files that are
    missing."""
    record = output.record(clip.stem)
    try:
        if record is None or record["key"] != clip_key(made_by, state_of(clip.path), output.eaf.state_of(clip.path)):
            return False
    except OSError:
        return False
    with collect_warnings() as notes:
        try:
            output.finish(clip.stem, clip.path, record)
        except SignXError:
            raise
        except Exception:  # an older, damaged record, whose result cannot be written out
            return False
    report.notes += notes
    return True


def _recognize(
    tasks: list[ClipTask], worker: RecognizeWorker, report: BatchReport, failed: dict[int, str], progress: bool | None
) -> None:
    began = time.monotonic()
    settings = worker.settings
    batch_size = 1 if settings.options.get("chunk_length_s") else settings.batch_size
    groups = list(buckets(tasks, [task.name for task in tasks], batch_size))
    # in this process with all threads of torch
    outcomes = run_jobs(
        worker, groups, settings.jobs, worker.output.folder / worker.output.state, settings.engine, threads=None
    )
    shown = progress is not False
    bar = show_progress(
        total=report.clips,
        initial=report.clips - len(tasks),
        desc="translate" if settings.task == TRANSLATION else "recognize",
        show=shown,
    )
    with contextlib.closing(outcomes), bar:
        for outcome in outcomes:
            bar.update()
            report.frames += outcome.frames
            report.notes += outcome.notes
            bar.set_postfix_str(f"{report.frames / (time.monotonic() - began):.1f} frames/s", refresh=False)
            if outcome.error is None:
                report.done += 1
            else:
                failed[outcome.index] = outcome.error
