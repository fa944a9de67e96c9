"""Clips over the workers of Ray Data. Rows go into the shared cache; through Ray come only the words about them."""

import contextlib
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from ..extras import require
from .clips import ClipTask, ClipWorker, Outcome
from .local_engine import ONE_THREAD


class _RayWorker:
    """What one Ray actor does. Ray starts it again when it dies; what it had finished is then found in the cache."""

    def __init__(self, worker: ClipWorker, groups: Sequence[Any]):
        import torch

        torch.set_num_threads(1)
        worker.load()
        self._worker, self._groups = worker, groups

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        import ray

        outcomes = []
        for number in batch["group"]:
            outcomes += self._worker.run(ray.get(self._groups[int(number)]))
        return {
            "index": [outcome.index for outcome in outcomes],
            "frames": [outcome.frames for outcome in outcomes],
            "error": [outcome.error or "" for outcome in outcomes],
        }


def run_ray(worker: ClipWorker, groups: Sequence[list[ClipTask]], jobs: int) -> Iterator[Outcome]:
    """Groups over `jobs` Ray actors: on the cluster of RAY_ADDRESS or the one that Ray was started with, else on this machine
    alone. On a cluster the sources and the cache must lie where every node sees them.

    Raises:
        ImportError: no Ray; names the extra.
        what `TrackExtractor.load` and `ClipWorker.run` raise.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray = require("ray")
    import ray.data as ray_data

    ours = not ray.is_initialized()
    if ours:
        _start(ray, jobs)
    context = ray_data.DataContext.get_current()
    shown, context.enable_progress_bars = context.enable_progress_bars, False
    with tempfile.TemporaryDirectory(prefix="signx-starts-", dir=worker.cache.folder) as starts:
        try:
            references = [ray.put(groups[index]) for index in range(len(groups))]
            rows = ray_data.from_items(
                [{"group": index} for index in range(len(groups))], override_num_blocks=len(groups)
            )
            done = rows.map_batches(
                _RayWorker,
                batch_size=1,
                fn_constructor_args=(replace(worker, starts=starts), references),
                compute=ray_data.ActorPoolStrategy(size=min(jobs, len(groups))),
                num_cpus=1,
                max_restarts=-1,
                max_task_retries=-1,
            )
            for row in done.iter_rows():
                yield Outcome(row["index"], row["frames"], row["error"] or None)
        finally:
            context.enable_progress_bars = shown
            if ours:
                ray.shutdown()


def _start(ray: Any, jobs: int) -> None:
    """A Ray of this machine, unless RAY_ADDRESS names a cluster."""
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    environment = {"env_vars": {**ONE_THREAD, "PYTHONPATH": os.pathsep.join(_import_path())}}
    if os.environ.get("RAY_ADDRESS"):
        ray.init(**quiet)
        return
    with contextlib.suppress(ValueError):
        logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.init(
        address="local",
        num_cpus=jobs,
        include_dashboard=False,
        _node_ip_address="127.0.0.1",
        runtime_env=environment,
        **quiet,
    )


def _import_path() -> list[str]:
    """Where this process finds its modules, for workers to find the same."""
    import sys

    return [os.path.abspath(place) for place in sys.path if place.endswith(".zip") is False]
