"""Tasks over processes of this machine. A process that dies costs the task it died of, not the run.

`pebble.ProcessPool` reports the job that a process died of, but a job here is a group of clips that share one decoded
video or one batch, and the outcome of each clip must be known before its group ends, so the engine is written here.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from multiprocessing import connection
from multiprocessing.connection import Connection
from pickle import PicklingError

from ..common.messages import reason_of
from ..common.threads import COUNTS, set_environment, worker_threads
from ..processing.errors_signx import SignXError
from .base import MAX_DEATHS, Outcome, Task, Worker

# With more threads, processes compete for the cores, and sums in another order round differently.
ONE_THREAD = dict.fromkeys(COUNTS, "1")


def thread_environment() -> dict[str, str]:
    """Return the environment of a worker: one thread, or as many as `--threads` says."""
    return dict.fromkeys(ONE_THREAD, str(worker_threads()))


def run_here(worker: Worker, groups: Sequence[Sequence[Task]], threads: int | None = 1) -> Iterator[Outcome]:
    """Run one group after the other in this process.

    Args:
        worker: Does the work. Where it has a method `read_ahead`, that gets a group before the one before it runs.
        groups: Tasks that one call of `Worker.run` gets together.
        threads: Threads of torch meanwhile; None leaves them alone.
    """
    import torch

    previous = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        worker.load()
        ahead = getattr(worker, "read_ahead", None)
        for position, group in enumerate(groups):
            if ahead is not None and position + 1 < len(groups):
                ahead(groups[position + 1])
            yield from worker.run(group)
    finally:
        torch.set_num_threads(previous)


def run_processes(worker: Worker, groups: Sequence[Sequence[Task]], jobs: int) -> Iterator[Outcome]:
    """Run groups over up to `jobs` processes and yield each outcome as soon as it is known.

    Raises:
        ImportError, SignXError: If a process dies before it is ready, or what `Worker.load` and `Worker.run` raise.
    """
    pending: deque[int | list[Task]] = deque(range(len(groups)))
    deaths: Counter[int] = Counter()
    processes = [_Process(worker) for _ in range(min(jobs, len(groups)))]
    try:
        while processes:
            for ready in connection.wait([process.pipe for process in processes]):
                process = next(process for process in processes if process.pipe is ready)
                try:
                    message = process.pipe.recv()
                except (EOFError, OSError):
                    processes.remove(process)
                    yield from _requeue(process, pending, deaths)
                    if pending:
                        processes.append(_Process(worker))
                    continue
                if isinstance(message, BaseException):
                    raise message
                if isinstance(message, Outcome):
                    process.unfinished = [task for task in process.unfinished if task.index != message.index]
                    yield message
                elif pending:
                    group = pending.popleft()
                    process.send(groups[group] if isinstance(group, int) else group)
                else:
                    processes.remove(process)
                    process.stop()
    finally:
        for process in processes:
            process.kill()


class _Process:
    """A child process, our end of its pipe, and the tasks without an outcome."""

    def __init__(self, worker: Worker):
        context = multiprocessing.get_context("spawn")
        self.pipe, child_pipe = context.Pipe()
        self.unfinished: list[Task] = []
        self.process = context.Process(target=_serve, args=(worker, child_pipe), daemon=True)
        with set_environment(thread_environment()):
            try:
                self.process.start()
            except (AttributeError, TypeError, PicklingError) as error:
                raise SignXError(
                    f"The worker cannot be sent to another process ({reason_of(error)}). Use options that can be "
                    "pickled, keep what is loaded in attributes that start with _loaded, or use one job."
                ) from error
        child_pipe.close()  # so that the pipe ends with the process
        self.is_ready = False

    def send(self, group: Sequence[Task]) -> None:
        self.is_ready, self.unfinished = True, list(group)
        with contextlib.suppress(OSError):  # if it died meanwhile, the next recv raises
            self.pipe.send(group)

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self.pipe.send(None)
        self.process.join()
        self.pipe.close()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _requeue(dead: _Process, pending: deque, deaths: Counter[int]) -> Iterator[Outcome]:
    """Queue the unfinished tasks of a dead process, the first alone; yield a failure if that one was the cause too often."""
    dead.process.join()
    dead.pipe.close()
    code = dead.process.exitcode
    how = f"signal {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit code {code}"
    if not dead.is_ready:
        raise SignXError(
            f"A worker process died before it was ready ({how}). In a script, put the call below "
            '`if __name__ == "__main__":`, or use one job.'
        )
    if not dead.unfinished:
        return
    first, *rest = dead.unfinished
    deaths[first.index] += 1
    if deaths[first.index] >= MAX_DEATHS:
        yield Outcome(first.index, error=f"{first.name}: {death_reason(how)}")
    else:
        pending.append([first])
    if rest:
        pending.append(rest)


def death_reason(how: str = "") -> str:
    """Return why a task is left out. how: the process ended, if known."""
    detail = f" ({how})" if how else ""
    return f"the process that worked on it died {MAX_DEATHS} times{detail}. Check the clip, or leave it out."


def _serve(worker: Worker, pipe: Connection) -> None:
    """Run in the child process: report ready, then turn groups into outcomes until the parent sends None or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to all processes; the parent decides
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    with contextlib.suppress(_ParentGone):
        try:
            import torch

            torch.set_num_threads(worker_threads())
            worker.load()
            _send(pipe, None)
            while (group := _receive(pipe)) is not None:
                for outcome in worker.run(group):
                    _send(pipe, outcome)
                _send(pipe, None)
        except _ParentGone:
            raise
        except Exception as error:
            _send(pipe, _picklable(error))


class _ParentGone(Exception):
    """The other end of the pipe is closed, so nobody waits for results."""


def _send(pipe: Connection, message: Outcome | Exception | None) -> None:
    try:
        pipe.send(message)
    except OSError as error:
        raise _ParentGone from error


def _receive(pipe: Connection) -> list[Task] | None:
    try:
        return pipe.recv()
    except (EOFError, OSError) as error:
        raise _ParentGone from error


def _picklable(error: Exception) -> Exception:
    """Return the error as a class that can be sent between processes."""
    return ImportError(str(error)) if isinstance(error, ImportError) else SignXError(reason_of(error))


def _exit_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)
