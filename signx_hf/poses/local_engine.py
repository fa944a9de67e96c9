"""Clips over processes of this machine. A process that dies costs the clip it died of, not the run."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from multiprocessing import connection
from pickle import PicklingError
from typing import Any

from ..processing.errors_signx import SignXError
from .clips import STARTS, ClipTask, ClipWorker, Outcome, reason_of

# One thread each: several processes with as many threads as cores hinder each other, and sums in another order round otherwise.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def run_here(worker: ClipWorker, groups: Sequence[list[ClipTask]]) -> Iterator[Outcome]:
    """One group after the other in this process."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        worker.load()
        for group in groups:
            yield from worker.run(group)
    finally:
        torch.set_num_threads(threads)


def run_processes(worker: ClipWorker, groups: Sequence[list[ClipTask]], jobs: int) -> Iterator[Outcome]:
    """Groups over `jobs` processes, what became of each clip as soon as it is known.

    Raises:
        what `TrackExtractor.load` and `ClipWorker.run` raise, from the process where it happened.
        SignXError: a process that died before it was ready.
    """
    waiting: deque[int | list[ClipTask]] = deque(range(len(groups)))
    deaths: Counter[int] = Counter()
    crew = [_Worker(worker) for _ in range(min(jobs, len(groups)))]
    try:
        while crew:
            for ready in connection.wait([member.pipe for member in crew]):
                member = next(member for member in crew if member.pipe is ready)
                try:
                    message = member.pipe.recv()
                except (EOFError, OSError):
                    crew.remove(member)
                    yield from _bury(member, waiting, deaths)
                    if waiting:
                        crew.append(_Worker(worker))
                    continue
                if isinstance(message, BaseException):
                    raise message
                if isinstance(message, Outcome):
                    member.left = [task for task in member.left if task.index != message.index]
                    yield message
                elif waiting:
                    group = waiting.popleft()
                    member.give(groups[group] if isinstance(group, int) else group)
                else:
                    crew.remove(member)
                    member.stop()
    finally:
        for member in crew:
            member.kill()


class _Worker:
    """One process, its end of the pipe, and the clips that it has not answered for."""

    def __init__(self, worker: ClipWorker):
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.left: list[ClipTask] = []
        self.process = context.Process(target=_serve, args=(worker, theirs), daemon=True)
        with _environment(ONE_THREAD):
            try:
                self.process.start()
            except (AttributeError, TypeError, PicklingError) as error:
                raise SignXError(
                    f"an extractor cannot be sent to another process ({reason_of(error)}); wanted options that can be pickled and "
                    "what is loaded in attributes that start with _loaded; or use one job"
                ) from error
        theirs.close()  # so that the pipe ends with the process
        self.began = False

    def give(self, group: list[ClipTask]) -> None:
        self.began, self.left = True, list(group)
        with contextlib.suppress(OSError):  # it died meanwhile: the next recv says so
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


def _bury(member: _Worker, waiting: deque, deaths: Counter[int]) -> Iterator[Outcome]:
    """Puts the clips of a dead process back to work, unless the first of them has killed often enough."""
    member.process.join()
    member.pipe.close()
    code = member.process.exitcode
    how = f"signal {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit code {code}"
    if not member.began:
        raise SignXError(
            f"a process to work on clips died before it was ready ({how}); wanted one that starts; in a script, call extract "
            'below `if __name__ == "__main__":`, or use one job'
        )
    if not member.left:
        return
    first, *rest = member.left
    deaths[first.index] += 1
    if deaths[first.index] >= STARTS:
        yield Outcome(
            first.index,
            error=f"{first.name}: the process that worked on it died {STARTS} times ({how}); look at the video, or leave it out",
        )
        first = None
    for part in ([first] if first else []), rest:
        if part:
            waiting.append(part)


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _serve(worker: ClipWorker, pipe: Any) -> None:
    """The life of a process: ready, then groups to outcomes, until told to stop or the one who tells is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all of a terminal; the first process decides
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    try:
        import torch

        torch.set_num_threads(1)
        worker.load()
        pipe.send(None)
        while (group := pipe.recv()) is not None:
            for outcome in worker.run(group):
                pipe.send(outcome)
            pipe.send(None)
    except (EOFError, BrokenPipeError):
        return
    except Exception as error:
        pipe.send(_portable(error))


def _portable(error: Exception) -> Exception:
    """The error in a class that survives the way between processes."""
    kind = ImportError if isinstance(error, ImportError) else SignXError
    return kind(str(error) if kind is ImportError else reason_of(error))


def _leave_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)
