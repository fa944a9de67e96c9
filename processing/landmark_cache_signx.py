"""Landmarks of videos in the user's cache: one `.npz` pose clip for each video and way of extraction.

The folder is `landmarks` in `$SIGNX_CACHE`, else in `$XDG_CACHE_HOME/signx_hf` or `~/.cache/signx_hf`. It holds at most `CACHE_BYTES`;
what was not used for longest goes first. `SIGNX_LANDMARKS_CACHE=0` switches it off. A file is written beside its place and renamed, so
any number of processes may share the folder, and one that is damaged is made again. A cache that cannot be written costs time, not an
answer.
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

CACHE_BYTES = 4 * 2**30  # some 200,000 clips of hands of 2.5 s; an hour of video takes 27 MB
PRUNE_EVERY = 64  # clips that a process writes between two looks at the size of the folder
ABANDONED_SECONDS = 3600.0  # a part this old belongs to a process that was killed
OFF = ("0", "off", "false", "no")
IN_MEMORY = 2**20  # bytes of a track; what is longer is on the disk while it grows
_written = 0


def cache_folder() -> Path | None:
    """Return where landmarks are kept, None where the environment says that they are not."""
    if os.environ.get("SIGNX_LANDMARKS_CACHE", "").strip().lower() in OFF:
        return None
    base = os.environ.get("SIGNX_CACHE")
    if base:
        return Path(base).expanduser() / "landmarks"
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "signx_hf" / "landmarks"
    except RuntimeError:  # nobody's home
        return None


def clip_key(video: Any, decides: Sequence[Any]) -> str | None:
    """Return the name of what a video's content and these values decide; None for what is not worth it, such as arrays.

    video: a path of a file or of a folder of images, or bytes.
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
    except OSError:  # whoever reads it says why
        return None
    return digest.hexdigest()


def _add_content(digest: Any, file: Path) -> None:
    with file.open("rb") as content:
        while block := content.read(1 << 20):
            digest.update(block)


def cached_clip(key: str) -> Path | None:
    """Return the clip that was kept under a key; None where there is none, or a damaged one."""
    folder = cache_folder()
    if folder is None:
        return None
    path = folder / f"{key}.npz"
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return None
        os.utime(path)  # used just now
    except PermissionError:  # a cache of others may be read
        return path if os.access(path, os.R_OK) else None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    return path


class ClipWriter:
    """Rows of one clip into the cache, as they come; nothing is kept unless `finish` is reached.

    key: its name. widths: track -> numbers of a row. What goes wrong with the disk is said once, as a SignXWarning, and no more rows
    are kept.
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

    def __exit__(self, *error: Any) -> None:
        self._spools = {}
        self._files.close()

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.__exit__()
            warnings.warn(
                f"{self._folder}: landmarks cannot be kept ({error.strerror or error}); set SIGNX_CACHE to a folder that can be written, "
                "or SIGNX_LANDMARKS_CACHE=0 to keep none",
                SignXWarning,
                stacklevel=2,
            )

    def add(self, rows: Mapping[str, np.ndarray], observed: Mapping[str, bool]) -> None:
        """Take the row of each track in one frame, and whether it was observed."""
        with self._guarded():
            for track in self._widths if self._spools else ():
                self._spools[track].write(np.asarray(rows[track], "<f2").tobytes())
                self._spools[f"{track}_mask"].write(b"\1" if observed[track] else b"\0")
            self._frames += 1

    def finish(self, timing: Mapping[str, Any], notes: Mapping[str, str]) -> None:
        """Put the clip into the cache. timing: `fps`, or `timestamps` [T]."""
        if not self._spools:
            return
        part = self._folder / f".{self._key}.{os.getpid()}.{uuid.uuid4().hex[:6]}.part"
        with self._guarded():
            try:
                with zipfile.ZipFile(part, "w") as archive:
                    for track, width in self._widths.items():
                        self._put(archive, track, "<f2", (self._frames, width))
                        self._put(archive, f"{track}_mask", "|b1", (self._frames,))
                    for name, value in {**timing, "notes": json.dumps(dict(notes))}.items():
                        with archive.open(f"{name}.npy", "w") as member:
                            np.lib.format.write_array(member, np.asarray(value), allow_pickle=False)
                os.replace(part, self._folder / f"{self._key}.npz")
            finally:
                part.unlink(missing_ok=True)
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
    """Remove what was not used for longest until at most `most` bytes are left, and what killed processes left; how many files."""
    removed, kept = 0, []
    for entry in os.scandir(folder):
        with contextlib.suppress(OSError):  # another process was faster
            state = entry.stat()
            if entry.name.endswith(".npz"):
                kept.append((state.st_mtime, state.st_size, entry.path))
            elif entry.name.endswith(".part") and time.time() - state.st_mtime > ABANDONED_SECONDS:
                os.unlink(entry.path)
                removed += 1
    total = sum(size for _, size, _ in kept)
    for _, size, path in sorted(kept):
        if total <= most:
            break
        with contextlib.suppress(OSError):
            os.unlink(path)
            total, removed = total - size, removed + 1
    return removed
