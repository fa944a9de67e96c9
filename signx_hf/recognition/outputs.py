"""The output folder: files that are there whole or not at all, and what is known of those that are finished.

Beside the output lies a record of each clip in `.signx_recognize/`: what made the result (model, options, state of the clip), the
result itself, and the hash of each file that was written. It is there before the files: whatever moment a run is killed at, the
next one finds either the result, and writes what is missing of its files without the model, or nothing.

A file that was not written here, or was changed since (a tier corrected in ELAN), is never replaced.
"""

import contextlib
import hashlib
import json
import os
import socket
import time
import uuid
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..common.atomic_io import FULL
from ..common.messages import readable
from ..processing.errors_signx import SignXError, SignXWarning
from ..writers import WRITERS
from ..writers.json_file import document

STATE = ".signx_recognize"
RECORD_VERSION = 1
ABANDONED_SECONDS = 3600  # a part this old, of another machine, belongs to a process that was killed


class SignXOutputError(SignXError):
    """The output folder cannot be written: going on is of no use. What is finished stays good."""


@dataclass(frozen=True)
class OutputFolder:
    """folder: of the output. formats: names in `signx_hf.writers.WRITERS`."""

    folder: Path
    formats: tuple[str, ...]

    def target(self, place: str, name: str) -> Path:
        """Where the file of a clip in a format lies."""
        return self.folder / f"{place}.{name}"

    def _record(self, place: str) -> Path:
        return self.folder / STATE / "clips" / f"{place}.json"

    def prepare(self) -> None:
        """Makes the folder and removes what killed processes left half written.

        Raises:
            SignXOutputError: it cannot be made or written.
        """
        parts = self.folder / STATE / "parts"
        try:
            parts.mkdir(parents=True, exist_ok=True)
            for part in parts.iterdir():
                if _is_abandoned(part):
                    part.unlink(missing_ok=True)
            self._write_whole(parts / "probe", "")
            (parts / "probe").unlink(missing_ok=True)
        except OSError as error:
            raise SignXOutputError(
                f"{self.folder}: cannot be written ({error.strerror or error}); wanted a folder; choose another --out"
            ) from error

    def record(self, place: str) -> dict[str, Any] | None:
        """What is known of a clip, or None: `key`, `result`, `written` (format -> hash, then hashes of what it replaces)."""
        try:
            found = json.loads(self._record(place).read_bytes())
            good = found["version"] == RECORD_VERSION and isinstance(found["key"], str)
            good = good and isinstance(found["result"]["segments"], list) and isinstance(found["written"], dict)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None  # none, or damaged: the clip is recognised again
        return found if good else None

    def finish(self, place: str, path: str, record: Mapping[str, Any]) -> bool:
        """Writes what is missing of the files of a finished clip; False if nothing was."""
        missing = []
        for name in self.formats:
            state = _state(self.target(place, name), record["written"].get(name, ()))
            if state == "foreign":
                warnings.warn(
                    f"{self.target(place, name)}: was changed since it was written, or is not of this command: left as it is",
                    SignXWarning,
                    stacklevel=2,
                )
            elif state != "whole":
                missing.append(name)
        if missing:
            self.write(place, path, record["key"], record["result"], missing)
        return bool(missing)

    def check_free(self, place: str) -> None:
        """Refuses to replace what this command did not write.

        Raises:
            SignXError: such a file is there.
        """
        record = self.record(place)
        for name in self.formats:
            if _state(self.target(place, name), (record or {"written": {}})["written"].get(name, ())) == "foreign":
                raise SignXError(
                    f"{self.target(place, name)}: is there already and is not of this command, or was changed since; wanted a free "
                    "place; move it away, or choose another --out"
                )

    def write(
        self, place: str, path: str, key: str, result: Mapping[str, Any], formats: list[str] | None = None
    ) -> None:
        """The record of a clip, then its files, each whole.

        Raises:
            SignXOutputError: the disk is full.
            SignXError: a file cannot be written.
        """
        names = self.formats if formats is None else formats
        name = readable(path)
        texts = {kind: WRITERS[kind].render(result, name, self.target(place, kind)) for kind in names}
        before = self.record(place)
        old = before["written"] if before is not None else {}
        written = dict(old) if before is not None and before["key"] == key else {}
        for kind, text in texts.items():
            there = _hash_of(self.target(place, kind))
            written[kind] = [_hash(text), *({there} & set(old.get(kind, ())) - {_hash(text)})]
        plain = {item: value for item, value in document(result, name).items() if item not in ("version", "file")}
        record = {"version": RECORD_VERSION, "key": key, "file": name, "written": written, "result": plain}
        try:
            self._write_whole(self._record(place), json.dumps(record, ensure_ascii=False), sync=True)
            for kind, text in texts.items():
                self._write_whole(self.target(place, kind), text)
        except OSError as error:
            said = error.strerror or str(error)
            if error.errno in FULL:
                raise SignXOutputError(
                    f"{self.folder}: cannot be written ({said}); what is finished stays; make room, then go on with --resume"
                ) from error
            raise SignXError(f"{self.target(place, names[0])}: cannot be written ({said})") from error

    def _write_whole(self, path: Path, text: str, sync: bool = False) -> None:
        """Writes beside, under the state folder, flushes to the disk and renames."""
        part = self.folder / STATE / "parts" / f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(part, "wb") as file:
                file.write(_bytes(text))
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise
        if sync:
            from ..poses.cache import sync_folder

            sync_folder(path.parent)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _hash(text: str) -> str:
    return hashlib.sha256(_bytes(text)).hexdigest()


def _hash_of(path: Path) -> str | None:
    """Of a file's bytes; None where there is none."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None
    except OSError:  # a folder of that name, say
        return ""


def _state(path: Path, hashes: Any) -> str:
    """`absent`, `whole`, `old` (of the result before) or `foreign`."""
    found = _hash_of(path)
    if found is None:
        return "absent"
    known = list(hashes)
    return "whole" if known[:1] == [found] else "old" if found in known else "foreign"


def _is_abandoned(part: Path) -> bool:
    """Whether the process that wrote it is gone; of another machine, whether it is old."""
    host, _, rest = part.name.rpartition("-")[0].rpartition("-")
    with contextlib.suppress(OSError):
        if host == socket.gethostname() and rest.isdigit() and os.name == "posix":
            try:
                os.kill(int(rest), 0)
            except ProcessLookupError:
                return True
        return time.time() - part.stat().st_mtime > ABANDONED_SECONDS
    return False
