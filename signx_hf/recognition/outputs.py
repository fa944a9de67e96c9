"""The output folder: files that are complete or absent, and a record of each finished clip.

A record in `.signx_recognize/` (of `translate` in `.signx_translate/`) holds what determined the result (model, options,
state of the clip), the result itself, and the hash of each file. It is written before the files: whenever a run is
killed, the next one finds either the result, and writes the missing files without the model, or nothing.

A file that this command did not write, or that was changed since (a tier corrected in ELAN), is never replaced.
"""

import contextlib
import errno
import hashlib
import json
import os
import socket
import time
import uuid
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..common.atomic_io import FULL, replace_bytes
from ..common.messages import readable
from ..common.reading import load_json, read_regular
from ..processing.errors_signx import SignXError, SignXWarning
from ..writers import WRITERS
from ..writers.eaf_file import EafLayout
from ..writers.json_file import document

STATE, TRANSLATED = ".signx_recognize", ".signx_translate"
RECORD_VERSION = 1
SUM = "sum"  # key of the checksum of a record
MAX_NAME = 255  # bytes of a file name
FOREIGN = (
    "{}: already exists and was not written by this command, or was changed since. Move it away, or choose another "
    "--out."
)
ABANDONED_SECONDS = 3600  # a temporary file of another machine this old belongs to a killed process


class SignXOutputError(SignXError):
    """The output folder cannot be written, which ends the run. Finished clips are kept."""


@dataclass(frozen=True)
class OutputFolder:
    """Writes the files of clips.

    Args:
        folder: Folder of the output.
        formats: Names in `signx_hf.writers.WRITERS`.
        eaf: Tier and merging of ELAN files.
        state: Name of the folder of the records, one for each command: neither replaces files of the other.
    """

    folder: Path
    formats: tuple[str, ...]
    eaf: EafLayout = EafLayout()
    state: str = STATE

    def target(self, stem: str, name: str) -> Path:
        """Return the path of the file of a clip in a format."""
        return self.folder / f"{stem}.{name}"

    def _record(self, stem: str) -> Path:
        return self.folder / self.state / "clips" / f"{stem}.json"

    def prepare(self) -> None:
        """Create the folder and remove temporary files of killed processes.

        Raises:
            SignXOutputError: If it cannot be created or written.
        """
        parts = self.folder / self.state / "parts"
        try:
            parts.mkdir(parents=True, exist_ok=True)
            for tmp_path in parts.iterdir():
                if _is_abandoned(tmp_path):
                    tmp_path.unlink(missing_ok=True)
            self._write(parts / "probe", "")
            (parts / "probe").unlink(missing_ok=True)
        except OSError as error:
            raise SignXOutputError(
                f"{self.folder}: cannot be written ({error.strerror or error}). Choose another --out."
            ) from error

    def record(self, stem: str) -> dict[str, Any] | None:
        """Return the record of a clip, or None.

        It holds `key`, `result` and `written`: format -> hash of the file, then hashes of the files it replaces.
        """
        try:
            record = load_json(read_regular(self._record(stem)))
            is_valid = record["version"] == RECORD_VERSION and isinstance(record["key"], str)
            parts = "sentences" if self.state == TRANSLATED else "segments"
            is_valid = is_valid and isinstance(record["result"][parts], list)
            is_valid = is_valid and all(isinstance(hashes, list) for hashes in record["written"].values())
            is_valid = is_valid and record.get(SUM, _sum(record)) == _sum(record)  # older records have none
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return None  # missing or damaged, so the clip is recognized again
        return record if is_valid else None

    def finish(self, stem: str, path: str, record: Mapping[str, Any]) -> bool:
        """Write the missing files of a finished clip; return whether there were any."""
        missing = []
        for name in self.formats:
            state = _state(self.target(stem, name), record["written"].get(name, ()))
            if state == "foreign":
                warnings.warn(
                    f"{self.target(stem, name)}: was changed since it was written, or was not written by this "
                    "command. It is left as it is.",
                    SignXWarning,
                    stacklevel=2,
                )
            elif state != "current":
                missing.append(name)
        if missing:
            self.write(stem, path, record["key"], record["result"], missing)
        return bool(missing)

    def check_free(self, stem: str) -> None:
        """Check that no file of a clip would replace one that this command did not write.

        Raises:
            SignXError: If such a file exists.
        """
        self._check_names(stem)
        record = self.record(stem)
        if record is None and os.path.lexists(self._record(stem)):
            return  # damaged: `write` compares the files with the new result
        for name in self.formats:
            if _state(self.target(stem, name), (record or {"written": {}})["written"].get(name, ())) == "foreign":
                raise SignXError(FOREIGN.format(self.target(stem, name)))

    def _check_names(self, stem: str) -> None:
        """Check that the names of the files of a clip are not longer than file systems allow.

        Raises:
            SignXError: If one is.
        """
        longest = max((self._record(stem), *(self.target(stem, name) for name in self.formats)), key=_name_bytes)
        if _name_bytes(longest) > MAX_NAME:
            raise SignXError(
                f"{stem[:40]}...: file names must have at most {MAX_NAME} bytes, got {_name_bytes(longest)} for "
                f"...{longest.suffix}. Rename the clip."
            )

    def write(
        self, stem: str, path: str, key: str, result: Mapping[str, Any], formats: list[str] | None = None
    ) -> None:
        """Write the record of a clip, then its files, each atomically.

        Args:
            stem: Path of the files without suffix, relative to the folder.
            path: Path of the clip.
            key: What determines the result.
            result: Result of the pipeline.
            formats: Formats to write; None for all.

        Raises:
            SignXOutputError: If the disk is full, or the folder vanished or can no longer be written.
            SignXError: If a file cannot be written, or would replace one whose origin is not known.
        """
        names = self.formats if formats is None else formats
        name = readable(path)
        more: dict[str, Any] = {"eaf": {"layout": self.eaf}}
        texts = {
            kind: WRITERS[kind].render(result, name, self.target(stem, kind), **more.get(kind, {})) for kind in names
        }
        before = self.record(stem)
        old = before["written"] if before is not None else {}
        written = dict(old) if before is not None and before["key"] == key else {}
        was_damaged = before is None and os.path.lexists(self._record(stem))
        for kind, text in texts.items():
            existing = _hash_of(self.target(stem, kind))
            if was_damaged and existing not in (None, _hash(text)):
                raise SignXError(FOREIGN.format(self.target(stem, kind)))
            written[kind] = [_hash(text), *({existing} & set(old.get(kind, ())) - {_hash(text)})]
        plain = {item: value for item, value in document(result, name).items() if item not in ("version", "file")}
        record = {"version": RECORD_VERSION, "key": key, "file": name, "written": written, "result": plain}
        record[SUM] = _sum(record)
        try:
            self._write(self._record(stem), json.dumps(record, ensure_ascii=False), sync=True)
            for kind, text in texts.items():
                self._write(self.target(stem, kind), text)
        except OSError as error:
            reason = error.strerror or str(error)
            if error.errno in FULL or not self._is_writable():
                fix = "free some disk space" if error.errno in FULL else "make the folder writable"
                raise SignXOutputError(
                    f"{self.folder}: cannot be written ({reason}). Finished clips are kept; {fix}, then run it again "
                    "with --resume."
                ) from error
            raise SignXError(f"{self.target(stem, names[0])}: cannot be written ({reason}).") from error

    def _is_writable(self) -> bool:
        """Return whether the folder can still be written, so that only the one file is at fault."""
        probe = self.folder / self.state / "parts" / f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        try:
            probe.write_bytes(b"")
            probe.unlink()
        except OSError:
            return False
        return True

    def _write(self, path: Path, text: str, sync: bool = False) -> None:
        """Write a file by way of a temporary one in the state folder. sync: also flush its folder."""
        tmp_path = self.folder / self.state / "parts" / f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        if not tmp_path.parent.is_dir():  # the folder vanished: do not make a new one of single files
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.folder))
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_bytes(path, _bytes(text), tmp_path, sync)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _sum(record: Mapping[str, Any]) -> str:
    """Return the checksum of a record."""
    content = {name: value for name, value in record.items() if name != SUM}
    return _hash(json.dumps(content, sort_keys=True, ensure_ascii=False))


def _name_bytes(path: Path) -> int:
    return len(os.fsencode(path.name))


def _hash(text: str) -> str:
    return hashlib.sha256(_bytes(text)).hexdigest()


def _hash_of(path: Path) -> str | None:
    """Return the hash of a file, None where there is none, and "" where it cannot be read."""
    try:
        return hashlib.sha256(read_regular(path)).hexdigest()
    except FileNotFoundError:
        return None
    except OSError:  # such as a folder or pipe of that name
        return ""


def _state(path: Path, hashes: Iterable[str]) -> str:
    """Return "absent", "current", "old" (written for an earlier result) or "foreign"."""
    digest = _hash_of(path)
    if digest is None:
        return "absent"
    known = list(hashes)
    return "current" if known[:1] == [digest] else "old" if digest in known else "foreign"


def _is_abandoned(tmp_path: Path) -> bool:
    """Return whether the process that wrote a temporary file is gone, or, on another machine, whether the file is
    old."""
    host, _, pid = tmp_path.name.rpartition("-")[0].rpartition("-")
    with contextlib.suppress(OSError):
        if host == socket.gethostname() and pid.isdigit() and os.name == "posix":
            try:
                os.kill(int(pid), 0)
            except ProcessLookupError:
                return True
        return time.time() - tmp_path.stat().st_mtime > ABANDONED_SECONDS
    return False
