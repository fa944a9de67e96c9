"""Files that are complete or absent: written to a temporary path, flushed to the disk, renamed."""

import contextlib
import errno
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..processing.errors_signx import SignXError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")  # numpy's message for a full disk
AGAIN = "run it again"
IS_FULL = "the disk is full"


def write_error_reason(error: Exception) -> str:
    """Return why something could not be written, in a few words."""
    text = " ".join(str(error).split())
    code = re.search(r"os error (\d+)", text)  # as safetensors writes it
    if (int(code[1]) if code else getattr(error, "errno", None)) in FULL or SHORT_WRITE.search(text):
        return IS_FULL
    return (getattr(error, "strerror", None) or text)[:200]


def remedy_for(error: Exception, again: str = AGAIN) -> str:
    """Return what to do about an error of writing. again: how the user resumes."""
    fix = "free some disk space" if write_error_reason(error) == IS_FULL else "make the path writable"
    return f"{fix}, then {again}"


def resolve_file(path: str | os.PathLike) -> Path:
    """Return the path to write a file to: where a symbolic link leads.

    Raises:
        SignXError: If it is a folder, a device or a pipe, which a file would replace, or a link to itself.
    """
    target = Path(os.path.realpath(path))
    if target.is_symlink() or (target.exists() and not target.is_file()):
        kind = "a folder" if target.is_dir() else "a device, pipe or link loop"
        raise SignXError(f"{path}: must be a regular file or a new path, got {kind}. Choose another path.")
    return target


def check_output_file(path: str | os.PathLike, inputs: Iterable[str | os.PathLike] = ()) -> Path:
    """Check the path of an output before any work is done for it, and resolve it.

    Args:
        path: Path of the output.
        inputs: Files that are read, and must not be overwritten.

    Raises:
        SignXError: If its folder does not exist, it is one of the inputs, or those of `resolve_file`.
    """
    target = resolve_file(path)
    if not target.parent.is_dir():
        raise SignXError(f"{path}: the folder {target.parent} does not exist. Create it first.")
    for source in inputs:
        if target.exists() and os.path.exists(source) and os.path.samefile(target, source):
            raise SignXError(f"{path} is also an input ({source}). Choose another output path.")
    return target


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike, again: str = AGAIN, kinds: tuple = (OSError,)) -> Iterator[Path]:
    """Yield a temporary path next to `path`; rename it to `path` if the block succeeds, else remove it.

    A file that was there keeps its permissions, and a symbolic link keeps its target.

    Args:
        path: Path of the file.
        again: How the user resumes after a failure.
        kinds: Exceptions that mean a failed write; torch and safetensors have their own.

    Raises:
        SignXError: If the disk is full, the path cannot be written, or those of `resolve_file`.
    """
    target = resolve_file(path)
    tmp_path = target.with_name(f".{target.stem}.{os.getpid()}.{uuid.uuid4().hex[:6]}{target.suffix}")
    try:
        yield tmp_path
        with tmp_path.open("rb") as file:
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, tmp_path)
        tmp_path.replace(target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            tmp_path.unlink(missing_ok=True)
        if isinstance(error, kinds) and not isinstance(error, SignXError):
            reason, remedy = write_error_reason(error), remedy_for(error, again)
            raise SignXError(
                f"{path}: could not be written ({reason}). The previous content is unchanged; {remedy}."
            ) from error
        raise


def replace_bytes(path: Path, content: bytes, tmp_path: Path, sync_parent: bool = False) -> None:
    """Write a file through a temporary path of the caller's choice, for folders that clean up after killed processes
    by name.

    Args:
        path: Path of the file, in an existing folder.
        content: Content of the file.
        tmp_path: Temporary path on the same file system; removed on failure.
        sync_parent: Also flush the folder, so that the rename survives a power cut.

    Raises:
        OSError: If the file could not be written.
    """
    try:
        with open(tmp_path, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(tmp_path, path)
    except OSError:
        with contextlib.suppress(OSError):
            tmp_path.unlink(missing_ok=True)
        raise
    if sync_parent:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk, where the system can, so that renames survive a power cut."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
