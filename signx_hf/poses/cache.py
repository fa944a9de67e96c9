"""Finished rows on disk, each file under the hash of all that decides its content, and the lock of an output.

A file is written beside its place, flushed to the disk and renamed, and carries a checksum: whatever moment a process is
killed at, a file is whole or absent, and one that was damaged later is made again and not trusted. So any number of processes
may share a folder.
"""

import contextlib
import hashlib
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from ..common.fingerprints import read_sha256
from ..common.locks import lock
from ..processing.errors_signx import SignXError
from .base import Observation

CACHE_VERSION = 2  # raise it when the same inputs give other rows
MAGIC = b"SXC1"
ROW = "row"  # name of the finished row among the arrays of an observation
DIGEST_BYTES = 32
ABANDONED_SECONDS = 3600  # a partial file this old belongs to a process that was killed
# A file changed within this time of being hashed may change again without a new time stamp.
CLOCK_SECONDS = 2.0


class SignXCacheError(SignXError):
    """The folder of finished rows cannot be used; what is in it already stays good."""


@dataclass(frozen=True)
class SeenTrack:
    """What one extractor saw in one clip: n people (or maps of the picture) in all frames together, each with its finished row.

    frame: [n] int64, rising. boxes: [n, 4] float64, pixels. scores: [n] float64. whole: [n] bool, `Observation.whole_frame`.
    rows: [n, d] float16. extras: name -> which of the n have it [k] int64, and the arrays [k, ...], for what `people.py` reads.
    frames: of the clip. size: (width, height), pixels. fps: of the rows, or None. warnings: what was wrong with the video.
    """

    frame: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    whole: np.ndarray
    rows: np.ndarray
    extras: dict[str, tuple[np.ndarray, np.ndarray]]
    frames: int
    size: tuple[int, int]
    fps: float | None = None
    warnings: tuple[str, ...] = ()

    def to_bytes(self) -> bytes:
        """As safetensors."""
        arrays = {name: getattr(self, name) for name in ("frame", "boxes", "scores", "whole", "rows")}
        for name, (which, values) in self.extras.items():
            arrays |= {f"which.{name}": which, f"extra.{name}": values}
        facts = {"frames": self.frames, "size": self.size, "fps": self.fps, "warnings": self.warnings}
        arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        return safetensors.numpy.save(arrays, {"facts": json.dumps(facts)})

    @classmethod
    def from_bytes(cls, data: bytes) -> "SeenTrack":
        arrays = safetensors.numpy.load(data)
        length = int.from_bytes(data[:8], "little")
        facts = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["facts"])
        names = [name.removeprefix("extra.") for name in sorted(arrays) if name.startswith("extra.")]
        extras = {name: (arrays.pop(f"which.{name}"), arrays.pop(f"extra.{name}")) for name in names}
        facts |= {"size": tuple(facts["size"]), "warnings": tuple(facts["warnings"])}
        track = cls(**arrays, **facts, extras=extras)
        track._check()
        return track

    def _check(self) -> None:
        """ValueError where the parts do not fit each other, as `to_bytes` never writes them."""
        n = len(self.frame)
        shapes = [array.shape[:1] == (n,) for array in (self.scores, self.whole, self.rows)]
        inside = not n or (
            self.frame.min() >= 0 and self.frame.max() < self.frames and (np.diff(self.frame) >= 0).all()
        )
        whole = all(
            len(which) == len(values) and (not len(which) or 0 <= which.min() <= which.max() < n)
            for which, values in self.extras.values()
        )
        if not (all(shapes) and self.boxes.shape == (n, 4) and self.rows.ndim == 2 and inside and whole):
            raise ValueError("parts of a cached track that do not fit each other")

    def observations(self) -> list[list[Observation]]:
        """As extractors give them, one list for each frame; the finished row is in `data[ROW]`."""
        data: list[dict[str, np.ndarray]] = [{ROW: row} for row in self.rows]
        for name, (which, values) in self.extras.items():
            for index, value in zip(which.tolist(), values):
                data[index][name] = value
        lists: list[list[Observation]] = [[] for _ in range(self.frames)]
        columns = zip(self.frame.tolist(), self.boxes.tolist(), self.scores.tolist(), self.whole.tolist(), data)
        for frame, box, score, whole, arrays in columns:
            lists[frame].append(Observation(tuple(box), score, arrays, whole))
        return lists


def key_of(**decides) -> str:
    """The name of what these values decide: sha256 of their JSON."""
    return hashlib.sha256(json.dumps({**decides, "cache": CACHE_VERSION}, sort_keys=True).encode()).hexdigest()


def sync_folder(folder: Path) -> None:
    """Makes renames inside a folder last through a power cut, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class RowCache:
    """A folder of checksummed files by key.

    Raises:
        SignXCacheError: from every method, when the folder cannot be read or written.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)

    def __str__(self) -> str:
        return str(self.folder)

    def _path(self, key: str) -> Path:
        return self.folder / f"v{CACHE_VERSION}" / key[:2] / key

    @contextlib.contextmanager
    def _named(self, doing: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SignXCacheError(
                f"{self.folder}: the cache cannot be {doing} ({error.strerror or error}); wanted a folder to read and write with"
                " room in it; free it, or give another with --cache"
            ) from error

    def prepare(self) -> None:
        """Makes the folder and removes what killed processes left half written."""
        with self._named("written"):
            place = self.folder / f"v{CACHE_VERSION}"
            place.mkdir(parents=True, exist_ok=True)
            for part in place.glob("*/*.partial"):
                with contextlib.suppress(FileNotFoundError):
                    if time.time() - part.stat().st_mtime > ABANDONED_SECONDS:
                        part.unlink()

    def read(self, key: str) -> bytes | None:
        """What was written under the key, or None if there is nothing or it was damaged."""
        with self._named("read"):
            try:
                data = self._path(key).read_bytes()
            except FileNotFoundError:
                return None
        head, content = data[: len(MAGIC) + DIGEST_BYTES], data[len(MAGIC) + DIGEST_BYTES :]
        return content if head == MAGIC + hashlib.sha256(content).digest() else None

    def write(self, key: str, content: bytes) -> None:
        """Puts content under the key; it is there whole, on the disk, when this returns."""
        path = self._path(key)
        partial = path.with_name(f"{key}.{socket.gethostname()}-{os.getpid()}.partial")
        with self._named("written"):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with open(partial, "wb") as file:
                    file.write(MAGIC + hashlib.sha256(content).digest() + content)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(partial, path)
            except OSError:
                partial.unlink(missing_ok=True)
                raise
            sync_folder(path.parent)

    def seen(self, key: str, width: int | None = None) -> SeenTrack | None:
        """What was finished before, in rows of that width where it is given; or None."""
        content = self.read(key)
        try:
            track = None if content is None else SeenTrack.from_bytes(content)
        except (safetensors.SafetensorError, ValueError, KeyError, TypeError, RecursionError):
            return None  # whole, but not what this version writes
        return track if track is not None and width in (None, track.rows.shape[1]) else None

    def video_hash(self, path: Path) -> str:
        """sha256 of a video's bytes, or of a folder's images; a file is read once and known again by its place, size, inode and time
        stamps, of which that of its last change cannot be set back.

        Raises:
            OSError: it cannot be read.
        """
        if path.is_dir():
            return _folder_hash(path)
        state = path.stat()
        key = key_of(known=[os.path.abspath(path), state.st_size, state.st_ino, state.st_mtime_ns, state.st_ctime_ns])
        known = self.read(key)
        if known is not None:
            return known.decode()
        digest = read_sha256(path)
        if time.time() - state.st_ctime > CLOCK_SECONDS and _same(path.stat(), state):
            with contextlib.suppress(SignXCacheError):  # a cache that is complete may be read-only
                self.write(key, digest.encode())
        return digest


def _same(first: os.stat_result, second: os.stat_result) -> bool:
    """Whether a file was left alone; being read does not count."""
    return (first.st_size, first.st_ino, first.st_ctime_ns) == (second.st_size, second.st_ino, second.st_ctime_ns)


def _folder_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")):
        digest.update(json.dumps([path.name, path.stat().st_size]).encode() + path.read_bytes())
    return digest.hexdigest()


@contextlib.contextmanager
def output_lock(out: Path) -> Iterator[None]:
    """Keeps a second run from the same output. The system drops the lock with the process, so a dead one leaves none behind.

    Raises:
        SignXError: another process holds it, or the place cannot be written.
    """
    path = out.with_name(f".{out.name}.lock")
    with contextlib.ExitStack() as held:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(
                lock(
                    path,
                    lambda holder: (
                        f"{out}: {holder} is making this dataset; wanted one run at a time; wait for it, or choose another "
                        "--out (the cache can be shared)"
                    ),
                )
            )
        except OSError as error:
            raise SignXError(
                f"{out}: cannot be written ({error.strerror or error}); wanted a place to write to; choose another --out"
            ) from error
        yield
