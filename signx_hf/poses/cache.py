"""Finished rows on disk, each file under the hash of everything that determines its content, and the lock of an
output.

A file is written to a temporary path, flushed to the disk and renamed, and carries a checksum. Whenever a process is
killed, a file is complete or absent, and one that is damaged later is not trusted but made again. So any number of
processes may share a folder.
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

from ..common.atomic_io import replace_bytes
from ..common.fingerprints import read_sha256
from ..common.locks import lock
from ..common.reading import read_regular
from ..processing.errors_signx import SignXError
from .base import Observation

CACHE_VERSION = 3  # increase it when the same inputs give other rows
MAGIC = b"SXC1"
ROW = "row"  # key of the finished row among the arrays of an observation
DIGEST_BYTES = 32
ABANDONED_SECONDS = 3600  # a partial file this old belongs to a process that was killed
# A file changed within this time of being hashed may change again without a new time stamp.
CLOCK_SECONDS = 2.0


class SignXCacheError(SignXError):
    """The folder of finished rows cannot be used. What is in it stays valid."""


@dataclass(frozen=True)
class SeenTrack:
    """What one extractor saw in one clip: n people (or maps of the whole frame) over all frames, each with its
    finished row.

    Args:
        frame: [n] int64, non-decreasing; index of the frame.
        boxes: [n, 4] float64, pixels.
        scores: [n] float64.
        whole: [n] bool, `Observation.whole_frame`.
        rows: [n, d] float16.
        extras: Name -> which of the n have it [k] int64, and the arrays [k, ...], for what `people.py` reads.
        frames: Number of frames of the clip.
        size: (width, height), pixels.
        fps: Frames per second of the rows, or None; the mean one of a variable rate.
        warnings: About the video.
        start: Seconds of the first frame, from the start of the clip.
        times: [frames] seconds of all frames from there, for a variable rate, or None.
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
    start: float = 0.0
    times: np.ndarray | None = None

    def to_bytes(self) -> bytes:
        """Serialize as safetensors."""
        arrays = {name: getattr(self, name) for name in ("frame", "boxes", "scores", "whole", "rows")}
        for name, (which, values) in self.extras.items():
            arrays |= {f"which.{name}": which, f"extra.{name}": values}
        arrays |= {} if self.times is None else {"times": self.times}
        facts = {name: getattr(self, name) for name in ("frames", "size", "fps", "warnings", "start")}
        arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        return safetensors.numpy.save(arrays, {"facts": json.dumps(facts)})

    @classmethod
    def from_bytes(cls, data: bytes) -> "SeenTrack":
        """Read what `to_bytes` returned; raise ValueError, KeyError, TypeError or SafetensorError for anything
        else."""
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
        """Raise ValueError where the arrays do not fit each other, as `to_bytes` never writes them."""
        n = len(self.frame)
        shapes = [array.shape[:1] == (n,) for array in (self.scores, self.whole, self.rows)]
        inside = not n or (
            self.frame.min() >= 0 and self.frame.max() < self.frames and (np.diff(self.frame) >= 0).all()
        )
        whole = all(
            len(which) == len(values) and (not len(which) or 0 <= which.min() <= which.max() < n)
            for which, values in self.extras.values()
        )
        timed = self.times is None or self.times.shape == (self.frames,)
        if not (all(shapes) and self.boxes.shape == (n, 4) and self.rows.ndim == 2 and inside and whole and timed):
            raise ValueError("the arrays of a cached track do not fit each other")

    def observations(self) -> list[list[Observation]]:
        """Return them as extractors do, one list for each frame, with the finished row in `data[ROW]`."""
        data: list[dict[str, np.ndarray]] = [{ROW: row} for row in self.rows]
        for name, (which, values) in self.extras.items():
            for index, value in zip(which.tolist(), values):
                data[index][name] = value
        lists: list[list[Observation]] = [[] for _ in range(self.frames)]
        columns = zip(self.frame.tolist(), self.boxes.tolist(), self.scores.tolist(), self.whole.tolist(), data)
        for frame, box, score, whole, arrays in columns:
            lists[frame].append(Observation(tuple(box), score, arrays, whole))
        return lists


def key_of(**inputs) -> str:
    """Return the key of what these inputs determine: the SHA-256 of their JSON."""
    return hashlib.sha256(json.dumps({**inputs, "cache": CACHE_VERSION}, sort_keys=True).encode()).hexdigest()


class RowCache:
    """Cache of checksummed files in a folder, one per key.

    Raises:
        SignXCacheError: From every method, when the folder cannot be read or written.
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
                f"{self.folder}: the cache cannot be {doing} ({error.strerror or error}). Check permissions and disk "
                "space, or choose another folder with --cache."
            ) from error

    def prepare(self) -> None:
        """Create the folder and remove partial files of killed processes."""
        with self._named("written"):
            folder = self.folder / f"v{CACHE_VERSION}"
            folder.mkdir(parents=True, exist_ok=True)
            for tmp_path in folder.glob("*/*.partial"):
                with contextlib.suppress(FileNotFoundError):
                    if time.time() - tmp_path.stat().st_mtime > ABANDONED_SECONDS:
                        tmp_path.unlink()

    def read(self, key: str) -> bytes | None:
        """Return what was written under the key, or None if there is nothing or it is damaged."""
        with self._named("read"):
            try:
                data = read_regular(self._path(key))
            except FileNotFoundError:
                return None
        head, content = data[: len(MAGIC) + DIGEST_BYTES], data[len(MAGIC) + DIGEST_BYTES :]
        return content if head == MAGIC + hashlib.sha256(content).digest() else None

    def write(self, key: str, content: bytes) -> None:
        """Write content under the key; it is on the disk when this returns."""
        path = self._path(key)
        tmp_path = path.with_name(f"{key}.{socket.gethostname()}-{os.getpid()}.partial")
        with self._named("written"):
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_bytes(path, MAGIC + hashlib.sha256(content).digest() + content, tmp_path, sync_parent=True)

    def seen(self, key: str, width: int | None = None) -> SeenTrack | None:
        """Return the track under the key, if it is there and its rows have the given width, else None."""
        content = self.read(key)
        try:
            track = None if content is None else SeenTrack.from_bytes(content)
        except (safetensors.SafetensorError, ValueError, KeyError, TypeError, RecursionError):
            return None  # intact, but not what this version writes
        return track if track is not None and width in (None, track.rows.shape[1]) else None

    def video_hash(self, path: Path) -> str:
        """Return the SHA-256 of a video's bytes, or of a folder's images.

        A file is read once and recognized later by its path, size, inode and time stamps; that of its last change
        (ctime) cannot be set back.

        Raises:
            OSError: If it cannot be read.
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
            with contextlib.suppress(SignXCacheError):  # a complete cache may be read-only
                self.write(key, digest.encode())
        return digest


def _same(first: os.stat_result, second: os.stat_result) -> bool:
    """Return whether a file is unchanged; being read does not count."""
    return (first.st_size, first.st_ino, first.st_ctime_ns) == (second.st_size, second.st_ino, second.st_ctime_ns)


def _folder_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")):
        digest.update(json.dumps([path.name, path.stat().st_size]).encode() + path.read_bytes())
    return digest.hexdigest()


@contextlib.contextmanager
def output_lock(out: Path) -> Iterator[None]:
    """Hold the lock of an output, so that a second run cannot write it.

    Raises:
        SignXError: If another process holds it, or the folder cannot be written.
    """
    path = out.with_name(f".{out.name}.lock")
    with contextlib.ExitStack() as held:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(
                lock(
                    path,
                    lambda holder: (
                        f"{out}: {holder} is making this dataset. Wait for it, or choose another --out (the cache "
                        "can be shared)."
                    ),
                )
            )
        except OSError as error:
            raise SignXError(f"{out}: cannot be written ({error.strerror or error}). Choose another --out.") from error
        yield
