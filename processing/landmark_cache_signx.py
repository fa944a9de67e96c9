"""Cache landmarks of videos for the user: one `.npz` pose clip per video and way of extraction.

The folder is `landmarks` in `$SIGNX_CACHE`, else in `$XDG_CACHE_HOME/signx_hf` or `~/.cache/signx_hf`. It holds at
most `CACHE_BYTES`; the least recently used files are removed first. `SIGNX_LANDMARKS_CACHE=0` disables it. Files are
written to a temporary name and renamed, so any number of processes may share the folder, and damaged ones are made
again. A cache that cannot be written costs time, but no result.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
import uuid
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .errors_signx import SignXWarning
from .inputs_signx import VideoInput

CACHE_BYTES = 4 * 2**30  # about 200,000 clips of hands of 2.5 s; an hour of video takes 27 MB
PRUNE_EVERY = 64  # clips that a process writes between two checks of the folder's size
ABANDONED_SECONDS = 3600.0  # a temporary file this old belongs to a process that was killed
OFF = ("0", "off", "false", "no")
IN_MEMORY = 2**20  # bytes of a track; longer ones are spooled to disk
_written = 0


def cache_folder() -> Path | None:
    """Return the folder of the cache; None if the environment disables it."""
    if os.environ.get("SIGNX_LANDMARKS_CACHE", "").strip().lower() in OFF:
        return None
    base = os.environ.get("SIGNX_CACHE")
    if base:
        return Path(base).expanduser() / "landmarks"
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "signx_hf" / "landmarks"
    except RuntimeError:  # the user has no home directory
        return None


def clip_key(video: VideoInput, decides: Sequence[Any]) -> str | None:
    """Return the cache key of a video; None for videos that are not cached, such as arrays.

    Args:
        video: Path of a file or of a folder of images, or bytes.
        decides: Everything besides the content that affects the rows.
    """
    digest = hashlib.sha256(json.dumps(list(decides)).encode())
    if isinstance(video, (bytes, bytearray, memoryview)):
        digest.update(video)
        return digest.hexdigest()
    if not isinstance(video, (str, os.PathLike)):
        return None
    path = Path(os.fsdecode(video))
    try:
        if path.is_dir():
            for file in sorted(file for file in path.iterdir() if file.is_file()):
                digest.update(json.dumps([os.fsencode(file.name).hex(), file.stat().st_size]).encode())
                _add_content(digest, file)
        else:
            _add_content(digest, path)
    except OSError:  # reading the video will report it
        return None
    return digest.hexdigest()


def _add_content(digest: "hashlib._Hash", file: Path) -> None:
    with file.open("rb") as content:
        while block := content.read(1 << 20):
            digest.update(block)


def cached_clip(key: str) -> Path | None:
    """Return the cached clip of a key; None if there is none, or a damaged one."""
    folder = cache_folder()
    if folder is None:
        return None
    path = folder / f"{key}.npz"
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return None
        os.utime(path)  # mark as recently used
    except PermissionError:  # another user's cache may still be readable
        return path if os.access(path, os.R_OK) else None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    return path


class ClipWriter:
    """Write the rows of one clip to the cache as they arrive; nothing is kept unless `finish` is called.

    A disk error gives one SignXWarning, and the clip is not cached.

    Args:
        key: Cache key of the clip.
        widths: Name -> width of each track.
    """

    def __init__(self, key: str, widths: Mapping[str, int]):
        self._key, self._widths, self._frames = key, dict(widths), 0
        self._folder = cache_folder()
        self._spools: dict[str, Any] = {}
        self._files = contextlib.ExitStack()
        with self._guarded():
            if self._folder is not None:
                self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                for name in [*widths, *(f"{track}_mask" for track in widths)]:
                    spool = tempfile.SpooledTemporaryFile(IN_MEMORY, dir=self._folder)  # noqa: SIM115
                    self._spools[name] = self._files.enter_context(spool)

    def __enter__(self) -> "ClipWriter":
        return self

    def __exit__(self, *error: object) -> None:
        self._spools = {}
        self._files.close()

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.__exit__()
            warnings.warn(
                f"{self._folder}: landmarks cannot be cached ({error.strerror or error}). Set SIGNX_CACHE to a "
                "writable folder, or SIGNX_LANDMARKS_CACHE=0 to disable the cache.",
                SignXWarning,
                stacklevel=2,
            )

    def add(self, rows: Mapping[str, np.ndarray], observed: Mapping[str, bool]) -> None:
        """Add one frame.

        Args:
            rows: Name -> row of each track.
            observed: Name -> whether it was observed.
        """
        with self._guarded():
            for track in self._widths if self._spools else ():
                self._spools[track].write(np.asarray(rows[track], "<f2").tobytes())
                self._spools[f"{track}_mask"].write(b"\1" if observed[track] else b"\0")
            self._frames += 1

    def finish(self, timing: Mapping[str, Any], notes: Mapping[str, str]) -> None:
        """Move the clip into the cache.

        Args:
            timing: `fps`, or `timestamps` [T].
            notes: Notes of the clip.
        """
        if not self._spools:
            return
        tmp_path = self._folder / f".{self._key}.{os.getpid()}.{uuid.uuid4().hex[:6]}.part"
        with self._guarded():
            try:
                with zipfile.ZipFile(tmp_path, "w") as archive:
                    for track, width in self._widths.items():
                        self._put(archive, track, "<f2", (self._frames, width))
                        self._put(archive, f"{track}_mask", "|b1", (self._frames,))
                    for name, value in {**timing, "notes": json.dumps(dict(notes))}.items():
                        with archive.open(f"{name}.npy", "w") as member:
                            np.lib.format.write_array(member, np.asarray(value), allow_pickle=False)
                os.replace(tmp_path, self._folder / f"{self._key}.npz")
            finally:
                tmp_path.unlink(missing_ok=True)
            _prune_now_and_then(self._folder)

    def _put(self, archive: zipfile.ZipFile, name: str, kind: str, shape: tuple[int, ...]) -> None:
        spool = self._spools[name]
        spool.seek(0)
        with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array_header_1_0(member, {"descr": kind, "fortran_order": False, "shape": shape})
            shutil.copyfileobj(spool, member)


def _prune_now_and_then(folder: Path) -> None:
    global _written
    _written += 1
    if _written % PRUNE_EVERY == 1:
        prune(folder)


def prune(folder: Path, most: int = CACHE_BYTES) -> int:
    """Remove the least recently used clips until at most `most` bytes are left, and temporary files of killed
    processes.

    Args:
        folder: Folder of the cache.
        most: Maximum size in bytes.

    Returns:
        Number of removed files.
    """
    removed, clips = 0, []
    for entry in os.scandir(folder):
        with contextlib.suppress(OSError):  # another process may have removed it
            state = entry.stat()
            if entry.name.endswith(".npz"):
                clips.append((state.st_mtime, state.st_size, entry.path))
            elif entry.name.endswith(".part") and time.time() - state.st_mtime > ABANDONED_SECONDS:
                os.unlink(entry.path)
                removed += 1
    total = sum(size for _, size, _ in clips)
    for _, size, path in sorted(clips):
        if total <= most:
            break
        with contextlib.suppress(OSError):
            os.unlink(path)
            total, removed = total - size, removed + 1
    return removed
