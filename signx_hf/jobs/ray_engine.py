"""Tasks over the actors of Ray Data. Workers write their results themselves; only outcomes travel through Ray."""

import contextlib
import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from ..common.extras import require
from ..common.messages import one_line, reason_of
from ..common.threads import worker_threads
from ..processing.errors_signx import SignXError
from .base import MAX_DEATHS, Outcome, Task, Worker
from .local_engine import death_reason, thread_environment

# Set before Ray is imported: no usage reports, and a Ray of this machine alone listens on the loopback interface only.
PRIVATE = {"RAY_USAGE_STATS_ENABLED": "0"}
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # despite its name it also decides on Linux
FATAL = -1  # index of an outcome that ends the run


class _Actor:
    """One Ray actor, which Ray restarts when it dies; the group that it worked on then comes again.

    Args:
        worker: Does the work.
        groups: References to the groups of tasks in Ray's object store.
        starts: Folder with one file for each unfinished task, of as many bytes as it was started.
        working_dir: Folder that relative paths start from.
        threads: Threads of torch.
    """

    def __init__(self, worker: Worker, groups: Sequence[Any], starts: str, working_dir: str, threads: int):
        import torch

        with contextlib.suppress(OSError):  # does not exist on another node; absolute paths work without it
            os.chdir(working_dir)
        torch.set_num_threads(threads)
        self._worker, self._groups, self._starts = worker, groups, Path(starts)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        import ray

        outcomes: list[Outcome] = []
        try:
            self._worker.load()
            for position in batch["position"]:
                outcomes += self._run(ray.get(self._groups[position]))
        except Exception as error:  # Ray would wrap it in tracebacks of its own
            outcomes = [Outcome(FATAL, error=reason_of(error))]
        return {
            "index": [outcome.index for outcome in outcomes],
            "frames": [outcome.frames for outcome in outcomes],
            "error": [outcome.error or "" for outcome in outcomes],
            "notes": [json.dumps(outcome.notes) for outcome in outcomes],
        }

    def _run(self, group: list[Task]) -> Iterator[Outcome]:
        """Run a group together, or, where a process died of it, one task at a time."""
        if not any(self._started(task).exists() for task in group):
            yield from self._run_counted(group)
            return
        for task in group:
            yield from self._run_counted([task])

    def _run_counted(self, group: list[Task]) -> Iterator[Outcome]:
        """Count each start just before its outcome is due, as `local_engine` blames the first unfinished task."""
        if len(group) == 1 and self._count(group[0]) >= MAX_DEATHS:
            yield Outcome(group[0].index, error=f"{group[0].name}: {death_reason()}")
            return
        self._add_start(group[0])
        for position, outcome in enumerate(self._worker.run(group)):
            self._started(group[position]).unlink(missing_ok=True)
            if position + 1 < len(group):
                self._add_start(group[position + 1])
            yield outcome

    def _started(self, task: Task) -> Path:
        return self._starts / str(task.index)

    def _count(self, task: Task) -> int:
        with contextlib.suppress(FileNotFoundError):
            return self._started(task).stat().st_size
        return 0

    def _add_start(self, task: Task) -> None:
        with open(self._started(task), "ab") as file:
            file.write(b".")


def run_ray(worker: Worker, groups: Sequence[Sequence[Task]], jobs: int, scratch: Path) -> Iterator[Outcome]:
    """Run groups over up to `jobs` Ray actors.

    Uses the Ray that this process has started, else the cluster of RAY_ADDRESS, else starts one on this machine. On a
    cluster the clips, models, outputs and the package must be where every node finds them.

    Args:
        worker: Does the work.
        groups: Tasks that one call of `Worker.run` gets together.
        jobs: Number of actors, with one CPU each.
        scratch: Folder that all nodes share.

    Raises:
        ImportError: If Ray is not installed. The message names the extra.
        SignXError: If Ray cannot be started, or what `Worker.load` and `Worker.run` raise, whatever its class there.
    """
    for name, value in (PRIVATE if os.environ.get("RAY_ADDRESS") else PRIVATE | LOOPBACK).items():
        os.environ.setdefault(name, value)
    ray = require("ray")
    import ray.data as ray_data

    is_ours = not ray.is_initialized()
    if is_ours:
        _start_ray(ray, jobs)
    context = ray_data.DataContext.get_current()
    bars, context.enable_progress_bars = context.enable_progress_bars, False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="starts-", dir=scratch) as starts:
        try:
            stored = [ray.put(list(groups[position])) for position in range(len(groups))]
            rows = [{"position": position} for position in range(len(stored))]
            results = ray_data.from_items(rows, override_num_blocks=len(rows)).map_batches(
                _Actor,
                batch_size=1,
                fn_constructor_args=(worker, stored, starts, os.getcwd(), worker_threads()),
                compute=ray_data.ActorPoolStrategy(size=min(jobs, len(rows))),  # restarts its actors without limit
                num_cpus=1,
            )
            for row in results.iter_rows():
                if row["index"] == FATAL:
                    raise SignXError(row["error"])
                yield Outcome(row["index"], row["frames"], row["error"] or None, tuple(json.loads(row["notes"])))
        finally:
            context.enable_progress_bars = bars
            if is_ours:
                ray.shutdown()


def _start_ray(ray: ModuleType, jobs: int) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if not os.environ.get("RAY_ADDRESS"):
        paths = os.pathsep.join(map(os.path.abspath, sys.path))  # so that workers find the modules this process finds
        environment = {"env_vars": {**thread_environment(), "PYTHONPATH": paths}}
        options |= {"address": "local", "num_cpus": jobs, "include_dashboard": False, "runtime_env": environment}
    try:
        ray.init(**options)
    except Exception as error:  # Ray raises bare exceptions too, as where a node takes longer than 30 s
        ray.shutdown()
        raise SignXError(f"Ray cannot be started ({one_line(error)}). Try again, or use --engine local.") from error
