"""The folder of an evaluation: files that are complete or absent, and which evaluation they belong to."""

import contextlib
import hashlib
import json
import os
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..common.atomic_io import replace_bytes, resolve_file, write_error_reason
from ..common.reading import load_json, read_regular
from ..processing.errors_signx import SignXError

STATE = ".signx_evaluate"
RESULTS, CLIPS, CONFUSION, REPORT = "results.json", "clips.tsv", "confusion.tsv", "report.html"


# parts of an identity that older folders lack, and what they mean there
ASSUMED: dict[str, Any] = {"task": "gloss", "hidden_tracks": []}


class SignXFolderError(SignXError):
    """The folder cannot be written, which ends the run. Finished clips are kept."""


def write_text(path: Path, text: str) -> None:
    """Write a file atomically, and create its folder.

    Raises:
        SignXFolderError: If the disk is full, or the file cannot be written.
        SignXError: Those of `resolve_file`.
    """
    path = resolve_file(path)
    tmp_path = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_bytes(path, text.encode("utf-8", "backslashreplace"), tmp_path)
    except OSError as error:
        raise SignXFolderError(
            f"{path}: cannot be written ({write_error_reason(error)}). Finished clips are kept; the same command "
            "resumes."
        ) from error


def record_path(out: Path, name: str) -> Path:
    """Return the path of the record of a clip by its id, which may hold what file names may not."""
    return out / STATE / "clips" / f"{hashlib.sha256(name.encode()).hexdigest()[:40]}.json"


def acquire(out: Path, identity: Mapping[str, Any]) -> None:
    """Mark the folder as one of this evaluation.

    Args:
        out: The folder.
        identity: `model`, `dataset`, `split`, `data`, `options`, ...; each by a name or fingerprint.

    Raises:
        SignXError: If it holds results of another model, dataset or options, or other files. Nothing is changed.
    """
    note = out / STATE / "run.json"
    try:
        previous = load_json(read_regular(note))
        if not isinstance(previous, dict):
            raise ValueError("not a JSON object")
    except FileNotFoundError:
        previous = None
    except NotADirectoryError as error:
        raise SignXError(f"{out}: must be a folder, got a file. Choose another --out.") from error
    except (OSError, ValueError) as error:
        raise SignXError(f"{note}: cannot be read ({error}). Choose another --out.") from error
    if previous is None:
        if out.exists() and not out.is_dir():
            raise SignXError(f"{out}: must be a folder, got a file. Choose another --out.")
        taken = [name for name in (RESULTS, CLIPS, CONFUSION, REPORT) if (out / name).exists()]
        if taken:
            raise SignXError(
                f"{out / taken[0]}: already exists and was not written by this command. Choose another --out."
            )
        _cleanup(out)
        write_text(note, json.dumps(identity, indent=1, ensure_ascii=False, sort_keys=True))
        return
    current = json.loads(json.dumps(identity))
    for name in current:
        there = previous.get(name, ASSUMED.get(name))
        if there != current[name]:
            others = {"data": "other clips", "options": "other options", "hidden_tracks": "other hidden tracks"}
            raise SignXError(
                f"{out}: holds the results of {others.get(name, f'another {name}')} (there: {_short(there)}; now: "
                f"{_short(current[name])}). Choose another --out."
            )


def _cleanup(out: Path) -> None:
    """Remove the temporary files of an interrupted `write_text`, and no other hidden file."""
    names = "|".join(map(re.escape, (RESULTS, CLIPS, CONFUSION, REPORT)))
    for tmp_path in out.glob(".*.part") if out.is_dir() else ():
        if re.fullmatch(rf"\.({names})\.\d+\.[0-9a-f]{{8}}\.part", tmp_path.name) and tmp_path.is_file():
            with contextlib.suppress(OSError):  # it does no harm if it cannot be removed
                tmp_path.unlink()


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text[:12] if len(text) == 64 and " " not in text else text[:80]
