"""The folder of an evaluation: files that are there whole or not at all, and whose they are."""

import contextlib
import hashlib
import json
import os
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..common.atomic_io import FULL, file_place
from ..processing.errors_signx import SignXError

STATE = ".signx_evaluate"
RESULTS, CLIPS, CONFUSION, REPORT = "results.json", "clips.tsv", "confusion.tsv", "report.html"


class SignXFolderError(SignXError):
    """The folder cannot be written: going on is of no use. What is finished stays good."""


def write_whole(path: Path, text: str) -> None:
    """Writes beside, flushes to the disk and renames.

    Raises:
        SignXFolderError: the disk is full, or the file cannot be written. SignXError: `file_place`'s.
    """
    path = file_place(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "wb") as file:
            file.write(text.encode("utf-8", "backslashreplace"))
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        reason = "the disk is full" if error.errno in FULL else error.strerror or str(error)
        raise SignXFolderError(
            f"{path}: cannot be written ({reason}); what is finished stays; the same command goes on from there"
        ) from error


def record_path(out: Path, name: str) -> Path:
    """Where the record of the clip of that id lies; ids may hold what file names may not."""
    return out / STATE / "clips" / f"{hashlib.sha256(name.encode()).hexdigest()[:40]}.json"


def claim(out: Path, identity: Mapping[str, Any]) -> None:
    """Makes the folder one of this evaluation, unless it is another's.

    identity: `model`, `dataset`, `split`, `data`, `options`, ...; each by a name or fingerprint.

    Raises:
        SignXError: results of another model, dataset or options, or files of something else, lie there; nothing is changed.
    """
    note = out / STATE / "run.json"
    try:
        before = json.loads(note.read_bytes())
        if not isinstance(before, dict):
            raise ValueError("no object")
    except FileNotFoundError:
        before = None
    except NotADirectoryError as error:
        raise SignXError(f"{out}: a file; wanted a folder; choose another --out") from error
    except (OSError, ValueError) as error:
        raise SignXError(
            f"{note}: cannot be read ({error}); wanted a note of this command; choose another --out"
        ) from error
    if before is None:
        if out.exists() and not out.is_dir():
            raise SignXError(f"{out}: a file; wanted a folder; choose another --out")
        taken = [name for name in (RESULTS, CLIPS, CONFUSION, REPORT) if (out / name).exists()]
        if taken:
            raise SignXError(f"{out / taken[0]}: is there already and is not of this command; choose another --out")
        _sweep(out)
        write_whole(note, json.dumps(identity, indent=1, ensure_ascii=False, sort_keys=True))
        return
    wanted = json.loads(json.dumps(identity))
    for name in wanted:
        if before.get(name) != wanted[name]:
            what = {"data": "other clips", "options": "other options"}.get(name, f"another {name}")
            raise SignXError(
                f"{out}: holds the results of {what} (there: {_short(before.get(name))}; now: {_short(wanted[name])}); "
                "wanted an empty folder or one of the same evaluation; choose another --out"
            )


def _sweep(out: Path) -> None:
    """Removes what an interrupted `write_whole` of this command left in the folder, and no hidden file of anybody else."""
    names = "|".join(map(re.escape, (RESULTS, CLIPS, CONFUSION, REPORT)))
    for part in out.glob(".*.part") if out.is_dir() else ():
        if re.fullmatch(rf"\.({names})\.\d+\.[0-9a-f]{{8}}\.part", part.name) and part.is_file():
            with contextlib.suppress(OSError):  # what cannot be removed is in nobody's way
                part.unlink()


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text[:12] if len(text) == 64 and " " not in text else text[:80]
