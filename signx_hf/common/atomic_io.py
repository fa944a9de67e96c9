"""Files that are there whole or not at all: written beside, flushed to the disk, renamed."""

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
SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")  # numpy's words for a full disk
AGAIN = "run it again"
IS_FULL = "the disk is full"


def reason_of(error: Exception) -> str:
    """Why something could not be written, in a few words."""
    text = " ".join(str(error).split())
    told = re.search(r"os error (\d+)", text)  # safetensors' words
    if (int(told[1]) if told else getattr(error, "errno", None)) in FULL or SHORT_WRITE.search(text):
        return IS_FULL
    return (getattr(error, "strerror", None) or text)[:200]


def remedy_for(error: Exception, again: str = AGAIN) -> str:
    """What to do about it; again: how the user goes on then."""
    return f"make room, then {again}" if reason_of(error) == IS_FULL else f"make the place writable, then {again}"


def file_place(path: str | os.PathLike) -> Path:
    """Where a file of that name is to be written: what a symbolic link leads to.

    Raises:
        SignXError: a folder, a device or a pipe, which a file would replace, or a link to itself.
    """
    place = Path(os.path.realpath(path))
    if place.is_symlink() or (place.exists() and not place.is_file()):
        kind = "a folder" if place.is_dir() else "no regular file"
        raise SignXError(f"{path}: {kind}; wanted a file or a free name; choose another")
    return place


def output_file(path: str | os.PathLike, inputs: Iterable[str | os.PathLike] = ()) -> Path:
    """`file_place` of an output, before any work is done for it.

    Raises:
        SignXError: `file_place`'s, no such folder, or it is one of the files that are read.
    """
    place = file_place(path)
    if not place.parent.is_dir():
        raise SignXError(f"{path}: no folder {place.parent}; wanted one that exists; make it first")
    for source in inputs:
        if place.exists() and os.path.exists(source) and os.path.samefile(place, source):
            raise SignXError(f"{path}: is read, too ({source}); wanted another file; choose another name")
    return place


@contextlib.contextmanager
def replacing(path: str | os.PathLike, again: str = AGAIN, kinds: tuple = (OSError,)) -> Iterator[Path]:
    """A name beside to write a file under; renamed to `path`, with the rights of the file that was there, if all went well, else
    removed.

    Args:
        again: how the user goes on after a failure. kinds: exceptions that mean one; torch and safetensors have their own.

    Raises:
        SignXError: the disk is full or cannot be written, or `file_place`'s.
    """
    place = file_place(path)
    beside = place.with_name(f".{place.stem}.{os.getpid()}.{uuid.uuid4().hex[:6]}{place.suffix}")
    try:
        yield beside
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        if place.exists():
            shutil.copymode(place, beside)
        beside.replace(place)
    except BaseException as error:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        if isinstance(error, kinds) and not isinstance(error, SignXError):
            raise SignXError(
                f"{path}: could not be written ({reason_of(error)}); what was saved before is untouched; {remedy_for(error, again)}"
            ) from error
        raise
