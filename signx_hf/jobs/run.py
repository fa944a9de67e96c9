"""Choose the engine of a run."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from .base import Outcome, Task, Worker
from .local_engine import run_here, run_processes


def run_jobs(
    worker: Worker,
    groups: Sequence[Sequence[Task]],
    jobs: int,
    scratch: Path | None = None,
    engine: str = "local",
    threads: int | None = 1,
) -> Iterator[Outcome]:
    """Run groups of tasks and yield each outcome as soon as it is known; closing the iterator ends its processes.

    Args:
        worker: Does the work; sent to every process.
        groups: Tasks that one call of `Worker.run` gets together. A group is indexed when it is sent, so that a
            sequence may read its content late.
        jobs: Number of processes. With 1 the local engine works in this process.
        scratch: Folder that all processes of the run share; needed by Ray.
        engine: "local", or "ray" for Ray Data.
        threads: Threads of torch where the local engine works in this process; None leaves them alone. Other processes
            have one.

    Raises:
        ImportError: If Ray is not installed. The message names the extra.
        SignXError: If a process cannot be started, or what `Worker.load` and `Worker.run` raise.
    """
    if engine == "ray":
        from .ray_engine import run_ray

        return run_ray(worker, groups, jobs, scratch)
    return run_here(worker, groups, threads) if jobs == 1 else run_processes(worker, groups, jobs)
