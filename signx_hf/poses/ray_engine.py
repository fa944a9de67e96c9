"""Clips over the workers of Ray Data. What they see goes into the shared cache; through Ray come only the words about it."""

import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

from ..common.extras import require
from ..processing.errors_signx import SignXError
from .clips import ClipTask, ClipWorker, Outcome, reason_of
from .local_engine import ONE_THREAD

# Set before Ray is imported: nothing is reported to its makers, and a Ray of this machine alone listens to this machine alone.
PRIVATE = {"RAY_USAGE_STATS_ENABLED": "0"}
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # despite its name it decides on Linux, too
FATAL = -1  # in place of the index of a clip: nothing can go on


class _RayWorker:
    """What one Ray actor does. Ray starts it again when it dies; what it had finished is then found in the cache."""

    def __init__(self, worker: ClipWorker):
        import torch

        torch.set_num_threads(1)
        self._worker = worker

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        outcomes: list[Outcome] = []
        try:
            self._worker.load()
            for tasks, content in zip(batch["tasks"], batch["content"]):
                outcomes += self._worker.run(_unpack(tasks, content))
        except Exception as error:  # Ray would bury it in pages of its own
            outcomes = [Outcome(FATAL, error=reason_of(error))]
        return {
            "index": [outcome.index for outcome in outcomes],
            "frames": [outcome.frames for outcome in outcomes],
            "error": [outcome.error or "" for outcome in outcomes],
        }


def _pack(group: list[ClipTask]) -> dict[str, Any]:
    """A group as a row of Ray Data; an embedded video is a group of its own."""
    content = group[0].media if isinstance(group[0].media, bytes) else b""
    plain = [replace(task, media=None) if content else task for task in group]
    return {"tasks": json.dumps([asdict(task) for task in plain]), "content": content}


def _unpack(tasks: str, content: bytes) -> list[ClipTask]:
    group = []
    for fields in json.loads(tasks):
        fields["keys"] = tuple(fields["keys"])
        fields["state"] = tuple(fields["state"]) if fields["state"] else None
        fields["media"] = fields["media"] if fields["media"] is not None else bytes(content)
        group.append(ClipTask(**fields))
    return group


def run_ray(worker: ClipWorker, groups: Sequence[list[ClipTask]], jobs: int) -> Iterator[Outcome]:
    """Groups over `jobs` Ray actors: with the Ray that this process has started, else on the cluster of RAY_ADDRESS, else on this
    machine alone. On a cluster the sources, the cache and the package must be where every node finds them.

    Raises:
        ImportError: no Ray; names the extra.
        SignXError: what `TrackExtractor.load` and `ClipWorker.run` raise, whatever its class there.
    """
    for name, value in (PRIVATE if os.environ.get("RAY_ADDRESS") else PRIVATE | LOOPBACK).items():
        os.environ.setdefault(name, value)
    ray = require("ray")
    import ray.data as ray_data

    ours = not ray.is_initialized()
    if ours:
        start_ray(ray, jobs)
    context = ray_data.DataContext.get_current()
    shown, context.enable_progress_bars = context.enable_progress_bars, False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="starts-", dir=worker.cache.folder) as starts:
        try:
            rows = [_pack(groups[index]) for index in range(len(groups))]
            done = ray_data.from_items(rows, override_num_blocks=len(rows)).map_batches(
                _RayWorker,
                batch_size=1,
                fn_constructor_args=(replace(worker, starts=starts),),
                compute=ray_data.ActorPoolStrategy(
                    size=min(jobs, len(rows))
                ),  # its actors are started again without end
                num_cpus=1,
            )
            for row in done.iter_rows():
                if row["index"] == FATAL:
                    raise SignXError(row["error"])
                yield Outcome(row["index"], row["frames"], row["error"] or None)
        finally:
            context.enable_progress_bars = shown
            if ours:
                ray.shutdown()


def start_ray(ray: Any, jobs: int) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if os.environ.get("RAY_ADDRESS"):
        ray.init(**quiet)
        return
    paths = os.pathsep.join(
        os.path.abspath(place) for place in sys.path
    )  # workers find the modules that this process finds
    environment = {"env_vars": {**ONE_THREAD, "PYTHONPATH": paths}}
    ray.init(address="local", num_cpus=jobs, include_dashboard=False, runtime_env=environment, **quiet)
