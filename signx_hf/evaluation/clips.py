"""The clips of an evaluation: what identifies each, and its recognition, one clip through the model at a time.

Alone, because the same clip padded in a batch has other roundings, and one process with two threads other sums than two with
one: the last digits of a confidence, and now and then a gloss, would depend on --batch-size and --jobs.
"""

import hashlib
import json
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..data.media import check_source, clip_of, of_clip
from ..poses.clips import Outcome
from ..processing.errors_signx import SignXError, SignXFileNotFoundError, SignXWarning
from .files import SignXFolderError, write_whole
from .options import CONTINUOUS, ISOLATED

RECORD_VERSION = 2  # raise it when the same model and clip give another record
RANKS = 10  # labels of an isolated sign that are kept


@dataclass(frozen=True)
class ClipTask:
    """index: of the row. name: its id. path: of its record. key: what decides the record."""

    index: int
    name: str
    path: str
    key: str


def media_digest(row: Mapping[str, Any], source: str) -> str:
    """SHA-256 of what the model is shown of a row: bytes of video, images or poses, and the span and rate they are read with.

    Raises:
        SignXError: there is nothing of that source. SignXFileNotFoundError: a file is not there.
    """
    from ..common.fingerprints import read_sha256

    check_source(row, source)
    digest = hashlib.sha256(json.dumps([source, row["start"], row["end"], row["fps"]]).encode())
    paths: list[Path] = []
    if source == "poses":
        digest.update(row["poses"] or b"")
        paths = [] if row["poses"] else [Path(track["path"]) for track in row["tracks"]]
    else:
        video = row["video"] or {}
        digest.update(video.get("bytes") or b"")
        if not video.get("bytes"):
            paths = [Path(video["path"])] if video.get("path") else []
            if not paths and row["frames"]:
                folder = Path(row["frames"])
                paths = sorted(path for path in folder.glob("*") if path.is_file()) or [folder]
    for path in paths:
        try:
            digest.update(f"{path.name}:{read_sha256(path)}".encode())
        except (OSError, ValueError) as error:  # ValueError: a name that no file can have
            reason = getattr(error, "strerror", None) or error
            raise SignXFileNotFoundError(
                f"clip {row['id']}: {path}: {reason}; wanted its {source}; check data_dir"
            ) from error
    return digest.hexdigest()


def clip_key(made_by: str, digest: str) -> str:
    """The name of what decides a record: model, options and versions; media of the clip."""
    return hashlib.sha256(json.dumps([RECORD_VERSION, made_by, digest]).encode()).hexdigest()


def _is_result(result: Any) -> bool:
    """Whether a record holds what a pipeline answers."""
    words = [*result.get("glosses", ()), *result.get("labels", ())]
    times = [(part["start"], part["end"]) for part in result.get("segments", ()) if isinstance(part["gloss"], str)]
    return (
        all(isinstance(word, str) for word in words)
        and len(times) == len(result.get("segments", ()))
        and all(isinstance(value, (int, float)) for pair in times for value in pair)
    )


def read_record(path: str | Path, key: str) -> dict[str, Any] | None:
    """The finished record of that key; None where there is none, or a damaged one: the clip is recognised again."""
    try:
        found = json.loads(Path(path).read_bytes())
        good = found["key"] == key and isinstance(found["seconds"], float) and _is_result(found["result"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return found if good else None


@dataclass
class EvaluationWorker:
    """Recognises clips in one process and saves the record of each. rows: the dataset; `load` fills `recognizer`."""

    rows: Any
    task: str
    model: str
    source: str
    options: Mapping[str, Any]
    seed: int = 0
    device: str | None = None
    trust_remote_code: bool = False
    recognizer: Any = field(default=None, compare=False)

    def load(self) -> None:
        """Loads the model; a SignXError says why it cannot be, or what is no option of its pipeline."""
        from ..recognition.loading import open_recognizer

        if self.recognizer is None:
            self.recognizer = open_recognizer(self.model, self.device, self.trust_remote_code, self.options)

    def run(self, group: Sequence[ClipTask]) -> Iterator[Outcome]:
        """What becomes of each clip; a bad one does not stop the next.

        Raises:
            SignXFolderError: records cannot be written.
        """
        for task in group:
            frames, problem = 0, None
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", SignXWarning)
                try:
                    frames = self._work(task)
                except SignXFolderError:
                    raise
                except Exception as error:
                    kind = "" if isinstance(error, SignXError) else f"{type(error).__name__}: "
                    problem = str(of_clip({"id": task.name}, SignXError(f"{kind}{error}")))
            notes = dict.fromkeys(str(w.message) for w in caught if issubclass(w.category, SignXWarning))
            yield Outcome(task.index, frames, problem, tuple(notes))

    def _work(self, task: ClipTask) -> int:
        import torch

        row = self.rows[task.index]
        began = time.perf_counter()
        clip, fps = clip_of(row, self.source, self.recognizer.processor, self.recognizer.model.config)
        # sampling, where it was asked for, draws the same for a clip in whatever order clips come
        torch.manual_seed(int(hashlib.sha256(f"{self.seed}:{task.name}".encode()).hexdigest()[:15], 16))
        options = dict(self.options) if fps is None else {"source_fps": fps, **self.options}
        if self.task == ISOLATED:
            options |= {"top_k": max(RANKS, options.get("top_k") or 0), "details": True}
            answer = self.recognizer(clip, **options)
            result = {name: answer[name] for name in ("sure", "rejection", "duration")}
            result["labels"] = [item["label"] for item in answer["candidates"]]
            result["scores"] = [item["score"] for item in answer["candidates"]]
        else:
            has_threshold = self.recognizer.task == CONTINUOUS
            if has_threshold and getattr(self.recognizer.model.config, "rejection_threshold", None) is not None:
                options = {
                    "threshold": "none",
                    **options,
                }  # errors are counted of every clip, unless it was asked otherwise
            answer = self.recognizer(clip, **options)
            result = {name: answer[name] for name in ("glosses", "segments", "duration")}
        record = {"key": task.key, "id": task.name, "result": result, "seconds": time.perf_counter() - began}
        write_whole(Path(task.path), json.dumps(record, ensure_ascii=False))
        return 1
