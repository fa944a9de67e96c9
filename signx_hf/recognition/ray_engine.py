"""Clips over the workers of Ray Data. They write the files; through Ray come only the words about them."""

import contextlib
import json
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

from ..common.extras import require
from ..poses.clips import Outcome, one_line, reason_of
from ..poses.ray_engine import FATAL, LOOPBACK, PRIVATE, start_ray
from ..processing.errors_signx import SignXError
from .outputs import STATE
from .worker import ClipTask, RecognizeWorker


class _RayWorker:
    """What one Ray actor does. Ray starts it again when it dies. folder: that relative paths start from."""

    def __init__(self, worker: RecognizeWorker, folder: str):
        import torch

        with contextlib.suppress(OSError):  # of another node; absolute paths do without
            os.chdir(folder)
        torch.set_num_threads(1)
        self._worker = worker

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        outcomes: list[Outcome] = []
        try:
            self._worker.load()
            for tasks in batch["tasks"]:
                outcomes += self._worker.run([ClipTask(**task) for task in json.loads(tasks)])
        except Exception as error:  # Ray would bury it in pages of its own
            outcomes = [Outcome(FATAL, error=reason_of(error))]
        return {
            "index": [outcome.index for outcome in outcomes],
            "frames": [outcome.frames for outcome in outcomes],
            "error": [outcome.error or "" for outcome in outcomes],
            "notes": [json.dumps(outcome.notes) for outcome in outcomes],
        }


def run_ray(worker: RecognizeWorker, groups: Sequence[list[ClipTask]], jobs: int) -> Iterator[Outcome]:
    """Groups over `jobs` Ray actors: with the Ray that this process has started, else on the cluster of RAY_ADDRESS, else on this
    machine alone. On a cluster the clips, the model, the output and the package must be where every node finds them.

    Raises:
        ImportError: no Ray; names the extra.
        SignXError: Ray cannot be started, or what `RecognizeWorker.load` and `run` raise.
    """
    for name, value in (PRIVATE if os.environ.get("RAY_ADDRESS") else PRIVATE | LOOPBACK).items():
        os.environ.setdefault(name, value)
    ray = require("ray")
    import ray.data as ray_data

    ours = not ray.is_initialized()
    if ours:
        try:
            start_ray(ray, jobs)
        except Exception as error:  # bare ones, too, as where a node takes longer than 30 s
            ray.shutdown()
            raise SignXError(f"Ray cannot be started ({one_line(error)}); try again, or use --engine local") from error
    context = ray_data.DataContext.get_current()
    shown, context.enable_progress_bars = context.enable_progress_bars, False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="starts-", dir=worker.output.folder / STATE) as starts:
        try:
            rows = [{"tasks": json.dumps([asdict(task) for task in group])} for group in groups]
            done = ray_data.from_items(rows, override_num_blocks=len(rows)).map_batches(
                _RayWorker,
                batch_size=1,
                fn_constructor_args=(replace(worker, starts=starts), os.getcwd()),
                compute=ray_data.ActorPoolStrategy(size=min(jobs, len(rows))),
                num_cpus=1,
            )
            for row in done.iter_rows():
                if row["index"] == FATAL:
                    raise SignXError(row["error"])
                notes = tuple(json.loads(row["notes"]))
                yield Outcome(row["index"], row["frames"], row["error"] or None, notes)
        finally:
            context.enable_progress_bars = shown
            if ours:
                ray.shutdown()
