"""One process at a time: a lock file that the system drops with the process, so that a dead one leaves none behind."""

import contextlib
import errno
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ..processing.errors_signx import SignXError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
try:
    import msvcrt
except ImportError:  # everywhere else
    msvcrt = None

# file systems without locks: work goes on as if nobody else were there
UNKNOWN = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)
BYTE = 1 << 30  # Windows lets nobody read what is locked, so a byte far behind the holder's name is
PATIENCE = 2.0  # seconds; a process that was forked just before its parent was killed lets go only when it first runs
_held: set[int] = set()


def _let_go() -> None:
    """In a process that was forked: its copies would hold the locks for as long as it lives on after its parent was killed."""
    for handle in _held:
        with contextlib.suppress(OSError):
            os.close(handle)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


@contextlib.contextmanager
def lock(path: Path, taken: Callable[[str], str]) -> Iterator[None]:
    """Holds the lock file `path`, which is gone afterwards; it holds the name of the process for those who come later.

    Args:
        taken: the holder, such as "process 7 on host" -> the message for whoever finds it held.

    Raises:
        SignXError: another process holds it. OSError: the place cannot be written.
    """
    handle = _locked(path, taken)
    _held.add(handle)
    try:
        yield
    finally:
        if handle in _held:  # not in a forked process that comes along here: the lock is its parent's
            _held.discard(handle)
            if fcntl is None:  # Windows removes no open file
                os.close(handle)
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            if fcntl is not None:
                os.close(handle)


def _locked(path: Path, taken: Callable[[str], str]) -> int:
    until = time.monotonic() + PATIENCE
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if not _take(handle):
                if time.monotonic() < until:
                    os.close(handle)
                    time.sleep(0.1)
                    continue
                holder = os.read(handle, 200).decode(errors="replace") or "another process"
                raise SignXError(taken(holder))
            # The holder before may have removed the name between our opening and locking: then another file is the lock.
            if not path.exists() or os.fstat(handle).st_ino != path.stat().st_ino:
                os.close(handle)
                continue
            os.ftruncate(handle, 0)
            os.write(handle, f"process {os.getpid()} on {socket.gethostname()}".encode())
            return handle
        except (OSError, SignXError):
            with contextlib.suppress(OSError):
                os.close(handle)
            raise


def _take(handle: int) -> bool:
    """Whether the lock of the open file is ours now."""
    try:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        elif msvcrt is not None:
            os.lseek(handle, BYTE, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    except OSError as error:
        if error.errno not in UNKNOWN:
            if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK):
                return False
            raise
    finally:
        os.lseek(handle, 0, os.SEEK_SET)
    return True
