"""Threads that compute on the processor: how many, and how they wait for one another. Imports nothing heavy.

`signx-hf` sets both before torch is loaded; importing the package sets nothing.
"""

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..processing.errors_signx import SignXError

GIVEN = "SIGNX_THREADS"  # --threads as the processes of --jobs inherit it
COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# A thread of OpenMP that has finished its share spins until the others have, up to seconds, at each of a thousand small
# products of a clip; where they wait for a core, it takes that core. libgomp gives way after so many turns (some
# microseconds: on a machine with nothing else to do, none at all costs more), and runtimes that do not know the second
# variable, at once.
WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}
CHOSEN_WAITING = (*WAITING, "KMP_BLOCKTIME")  # with any of these the user has chosen
MOST_THREADS = 4096


class SignXThreadsError(SignXError):
    """SIGNX_THREADS is not a number of threads."""


@dataclass(frozen=True)
class Cores:
    """Cores that a process can have.

    Attributes:
        machine: Cores of the machine.
        allowed: Cores that the process may run on (affinity).
        quota: Cores' worth of time that its control group may use; None for no limit.
        load: Processes that run or wait for a core, mean of the last minute; None where nobody counts.
    """

    machine: int
    allowed: int
    quota: float | None = None
    load: float | None = None

    def threads(self) -> int:
        """Return how many threads have a whole core each: at least 1."""
        limits = [float(self.allowed)]
        if self.quota is not None:
            limits.append(self.quota)
        if self.load is not None:
            limits.append(round(self.machine - self.load))
        return max(1, int(min(limits)))


def cores(with_load: bool) -> Cores:
    """Return the cores of this process.

    Args:
        with_load: Whether to count what else runs; then the number differs from run to run.
    """
    machine = os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else machine
    load = os.getloadavg()[0] if with_load and hasattr(os, "getloadavg") else None
    return Cores(machine, allowed, cgroup_quota(), load)


def cgroup_quota(process: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """Return the cores' worth of time that the control group of this process, or one above it, may use.

    Args:
        process: File that names the groups of the process.
        root: Where control groups are mounted (version 2, or version 1 with a folder for each controller).

    Returns:
        The smallest limit, or None if there is none.
    """
    try:
        lines = process.read_text().splitlines()
    except OSError:  # not Linux
        return None
    quotas = []
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            top, read = root, _quota_v2
        elif "cpu" in controllers.split(","):
            top, read = next((p for p in (root / controllers, root / "cpu") if p.is_dir()), root / "cpu"), _quota_v1
        else:
            continue
        # Inside a container the path may be that of the host, which is not there; the top is then its own group.
        group = top.joinpath(*Path(path).parts[1:])
        folders = [group, *group.parents]
        quotas += [read(folder) for folder in folders[: folders.index(top) + 1]]
    return min((quota for quota in quotas if quota is not None), default=None)


def _quota_v2(folder: Path) -> float | None:
    """Return the limit in `cpu.max`, such as `200000 100000` (microseconds of time, of each period) or `max 100000`."""
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = (folder / "cpu.max").read_text().split()
        return int(quota) / int(period)
    return None


def _quota_v1(folder: Path) -> float | None:
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        return quota / int((folder / "cpu.cfs_period_us").read_text()) if quota > 0 else None
    return None


def read_threads(text: str) -> int:
    """Return a number of threads given as text.

    Raises:
        ValueError: If it is not a number from 1 to `MOST_THREADS`.
    """
    if not (text.isascii() and text.isdecimal() and len(text) < 9 and 1 <= int(text) <= MOST_THREADS):
        raise ValueError(f"`threads` must be a whole number from 1 to {MOST_THREADS}, got {text!r:.40}.")
    return int(text)


def worker_threads() -> int:
    """Return the threads of a process whose numbers must not depend on the machine: as given, else 1.

    Raises:
        SignXThreadsError: If SIGNX_THREADS is not a number of threads.
    """
    try:
        return read_threads(os.environ.get(GIVEN) or "1")
    except ValueError as error:
        raise SignXThreadsError(f"{GIVEN}: {error}") from None


def settings(given: int | None, free: int, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables to set before a library that computes is loaded.

    Args:
        given: What `--threads` says; None to choose.
        free: Threads to choose.
        environment: Of the process. What the user set in it is kept, but for numbers if `given` says otherwise.
    """
    values = {} if any(environment.get(name) for name in CHOSEN_WAITING) else dict(WAITING)
    if given is not None:
        values |= {GIVEN: str(given)} | dict.fromkeys(COUNTS, str(given))
    elif not any(environment.get(name) for name in COUNTS):
        values |= dict.fromkeys(COUNTS, str(free))
    return values


@contextlib.contextmanager
def computing(given: int | None, free: int) -> Iterator[None]:
    """Set the threads of what runs inside, and restore what was set afterwards.

    Where torch is loaded already the process is somebody else's: nothing is chosen there.

    Args:
        given: What `--threads` says; None for what SIGNX_THREADS says, else to choose.
        free: Threads to choose.

    Raises:
        SignXThreadsError: If SIGNX_THREADS is not a number of threads.
    """
    if given is None and os.environ.get(GIVEN):
        given = worker_threads()
    torch = sys.modules.get("torch")
    values = settings(given, free, os.environ) if torch is None else {} if given is None else {GIVEN: str(given)}
    before = None if torch is None or given is None else torch.get_num_threads()
    with set_environment(values):
        try:
            if before is not None:
                torch.set_num_threads(given)
            yield
        finally:
            if before is not None:
                torch.set_num_threads(before)


@contextlib.contextmanager
def set_environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for what runs inside."""
    previous = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in previous.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
