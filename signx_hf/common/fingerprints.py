"""Content hashes of files and options."""

import errno
import functools
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def read_sha256(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file, read a MiB at a time (`hashlib.file_digest` is not in Python 3.10).

    Raises:
        OSError: If it cannot be read, or is a pipe or device, which may have no end.
    """
    digest = hashlib.sha256()
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        raise OSError(errno.EINVAL, "a pipe or device, not a regular file", os.fspath(path))
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@functools.lru_cache(maxsize=256)
def _sha256(path: str, size: int, mtime_ns: int) -> str:
    return read_sha256(path)


def file_sha256(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file, which this process reads again only if its size or time stamp has changed."""
    status = os.stat(path)
    return _sha256(os.fspath(path), status.st_size, status.st_mtime_ns)


def fingerprint(track: str, version: str, options: Mapping[str, Any], files: Iterable[Path] = ()) -> str:
    """Return 64 hex digits that change with the version, any option, and the bytes of the model files.

    Args:
        track: Name of the track.
        version: Version of the library that computes the track.
        options: Options of the extractor, serializable as JSON.
        files: Files of the model, in order. Their names do not matter, so that a model may move.
    """
    content = {
        "track": track,
        "version": version,
        "options": dict(options),
        "files": [file_sha256(path) for path in files],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()
