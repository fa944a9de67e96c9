"""Files that are there whole or not at all: written beside, flushed to the disk, renamed."""

import contextlib
import errno
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

from .processing.errors_signx import SignXError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")  # numpy's words for a full disk
AGAIN = "make room, then run it again"


def reason_of(error: Exception) -> str:
    """Why something could not be written, in a few words."""
    text = " ".join(str(error).split())
    told = re.search(r"os error (\d+)", text)  # safetensors' words
    if (int(told[1]) if told else getattr(error, "errno", None)) in FULL or SHORT_WRITE.search(text):
        return "the disk is full"
    return text[:200]


@contextlib.contextmanager
def replacing(path: str | os.PathLike, remedy: str = AGAIN, kinds: tuple = (OSError,)) -> Iterator[Path]:
    """A name beside to write a file under; renamed to `path` if all went well, else removed.

    Args:
        remedy: what the message of a failure advises. kinds: exceptions that mean so; torch and safetensors have their own.

    Raises:
        SignXError: the disk is full or cannot be written.
    """
    path = Path(path)
    beside = path.with_name(f".{path.stem}.{os.getpid()}.{uuid.uuid4().hex[:6]}{path.suffix}")
    try:
        yield beside
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        if isinstance(error, kinds) and not isinstance(error, SignXError):
            raise SignXError(
                f"{path}: could not be written ({reason_of(error)}); what was saved before is untouched; {remedy}"
            ) from error
        raise
