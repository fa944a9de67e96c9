"""One process at a time, by a lock file that the system releases with its process.

`filelock` takes the lock and releases it in forked children, which outlive a killed parent. Added here: the message
names the holder, the file is removed afterwards, and file systems without locks do not stop the work.
"""

import contextlib
import errno
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from ..processing.errors_signx import SignXError

UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)
PATIENCE = 2.0  # seconds; a process that was forked just before its parent was killed releases only when it first runs
NAME_START = 1  # Windows lets nobody else read the locked byte, which is the first


@contextlib.contextmanager
def lock(path: Path, message: Callable[[str], str]) -> Iterator[None]:
    """Hold the lock file `path`, and remove it afterwards.

    Args:
        path: Path of the lock file.
        message: Maps the holder, such as "process 7 on host", to the message of the error.

    Raises:
        SignXError: If another process holds the lock.
        OSError: If the lock file cannot be written.
    """
    file_lock = FileLock(path, PATIENCE, thread_local=False, fallback_to_soft=False, on_acquired=_write_holder)
    try:
        file_lock.acquire(poll_interval=0.1)
    except Timeout:
        if not path.exists():  # filelock takes a path that cannot be created for one that is contended
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from None
        raise SignXError(message(_read_holder(path))) from None
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
    owner = os.getpid()
    try:
        yield
    finally:
        if os.getpid() == owner:  # a forked child that gets here does not hold the lock
            if os.name == "posix":  # while it is held: afterwards the file may be another process's lock
                _remove(path)
                file_lock.release()
            else:  # Windows removes no open file, so none that another process holds
                file_lock.release()
                _remove(path)


def _write_holder(handle: int) -> None:
    os.ftruncate(handle, 0)
    os.lseek(handle, NAME_START, os.SEEK_SET)
    os.write(handle, f"process {os.getpid()} on {socket.gethostname()}".encode())


def _read_holder(path: Path) -> str:
    with contextlib.suppress(OSError), open(path, "rb", buffering=0) as file:
        file.seek(NAME_START)
        return file.read(200).decode(errors="replace") or "another process"
    return "another process"


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
