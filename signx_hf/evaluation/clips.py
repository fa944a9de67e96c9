"""The clips of an evaluation: what identifies each, and its recognition, one clip at a time.

A clip that is padded in a batch rounds differently, and so does a process with two threads: the last digits of a
confidence, and sometimes a gloss, would depend on --batch-size and --jobs.
"""

import hashlib
import json
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common.fingerprints import read_sha256
from ..common.messages import collect_warnings, reason_of
from ..common.reading import load_json, read_regular
from ..data.media import check_source, clip_of, of_clip
from ..jobs.base import Outcome, Task
from ..processing.errors_signx import SignXError, SignXFileNotFoundError, SignXPoseError, SignXWarning
from .files import SignXFolderError, write_text
from .options import CONTINUOUS, ISOLATED, TRANSLATION

if TYPE_CHECKING:
    from datasets import Dataset

RECORD_VERSION = 2  # increase it when the same model and clip give another record
RANKS = 10  # labels of an isolated sign that are recorded


@dataclass(frozen=True)
class ClipTask(Task):
    """One clip to evaluate. `name` is its id.

    Args:
        path: Path of its record.
        key: Hash of all that determines the record.
    """

    path: str
    key: str


def media_digest(row: Mapping[str, Any], source: str) -> str:
    """Return the SHA-256 of what the model sees of a row: bytes of video, images or poses, and the span and rate they
    are read with.

    Raises:
        SignXError: If the row has no such media.
        SignXFileNotFoundError: If a file does not exist.
    """
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
                f"clip {row['id']}: the {source} {path} cannot be read ({reason}). Check data_dir."
            ) from error
    return digest.hexdigest()


def clip_key(made_by: str, digest: str) -> str:
    """Return the key of what determines a record: model, options and versions, and the media of the clip."""
    return hashlib.sha256(json.dumps([RECORD_VERSION, made_by, digest]).encode()).hexdigest()


def _is_result(result: Mapping[str, Any]) -> bool:
    """Return whether a record holds a result of a pipeline."""
    words = [*result.get("glosses", ()), *result.get("labels", ()), *result.get("n_best", ()), result.get("text", "")]
    times = [(part["start"], part["end"]) for part in result.get("segments", ()) if isinstance(part["gloss"], str)]
    return (
        all(isinstance(word, str) for word in words)
        and len(times) == len(result.get("segments", ()))
        and all(value is None or isinstance(value, (int, float)) for pair in times for value in pair)
    )


def read_record(path: str | Path, key: str) -> dict[str, Any] | None:
    """Return the record if it has that key, or None where it is missing or damaged; then the clip is recognized
    again."""
    try:
        record = load_json(read_regular(path))
        is_valid = record["key"] == key and isinstance(record["seconds"], float) and _is_result(record["result"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return record if is_valid else None


@dataclass
class EvaluationWorker:
    """Recognizes clips in one process and saves the record of each.

    Args:
        rows: The dataset.
        task: `CONTINUOUS`, `ISOLATED` or `TRANSLATION`.
        model: Folder or Hub name.
        source: "video" or "poses".
        options: Options of the pipeline.
        seed: Seed of sampling, where the options ask for it.
        device: Torch device, or None.
        trust_remote_code: As in transformers.
        hidden: Pose tracks that are masked.
        recognizer: Set by `load`.
    """

    rows: "Dataset"
    task: str
    model: str
    source: str
    options: Mapping[str, Any]
    seed: int = 0
    device: str | None = None
    trust_remote_code: bool = False
    hidden: tuple[str, ...] = ()
    recognizer: Any = field(default=None, compare=False)

    def load(self) -> None:
        """Load the model; raise SignXError if it cannot be loaded, or an option is not one of its pipeline."""
        from ..recognition.loading import open_recognizer

        if self.recognizer is None:
            task = TRANSLATION if self.task == TRANSLATION else None
            self.recognizer = open_recognizer(self.model, self.device, self.trust_remote_code, self.options, task)
            if self.hidden:  # what reads clips masks the tracks that are not among these
                config = self.recognizer.model.config
                known = config.pose_config.track_dims if config.trained_tracks is None else config.trained_tracks
                config.trained_tracks = [name for name in known if name not in self.hidden]

    def run(self, group: Sequence[ClipTask]) -> Iterator[Outcome]:
        """Yield the outcome of each clip; a bad clip does not stop the next one.

        Raises:
            SignXFolderError: If records cannot be written.
        """
        for task in group:
            frames, problem = 0, None
            with collect_warnings() as notes:
                if self.hidden:  # that they are masked was asked for
                    warnings.filterwarnings("ignore", "tracks .* were masked", SignXWarning)
                try:
                    frames = self._work(task)
                except SignXFolderError:
                    raise
                except Exception as error:
                    without = (
                        f" (hidden: {', '.join(self.hidden)})" * isinstance(error, SignXPoseError) * bool(self.hidden)
                    )
                    problem = str(of_clip({"id": task.name}, SignXError(reason_of(error) + without)))
            yield Outcome(task.index, frames, problem, tuple(notes))

    def _work(self, task: ClipTask) -> int:
        import torch

        row = self.rows[task.index]
        began = time.perf_counter()
        clip, fps = clip_of(row, self.source, self.recognizer.processor, self.recognizer.model.config)
        # so that sampling draws the same for a clip in any order of clips
        torch.manual_seed(int(hashlib.sha256(f"{self.seed}:{task.name}".encode()).hexdigest()[:15], 16))
        options = dict(self.options) if fps is None else {"source_fps": fps, **self.options}
        if self.task == ISOLATED:
            options |= {"top_k": max(RANKS, options.get("top_k") or 0), "details": True}
            output = self.recognizer(clip, **options)
            result = {name: output[name] for name in ("sure", "rejection", "duration")}
            result["labels"] = [item["label"] for item in output["candidates"]]
            result["scores"] = [item["score"] for item in output["candidates"]]
        elif self.task == TRANSLATION:
            output = self.recognizer(clip, **options)
            result = {name: output[name] for name in ("text", "confidence", "duration")}
            result["n_best"] = [hypothesis["text"] for hypothesis in output["n_best"]]
        else:
            has_threshold = self.recognizer.task == CONTINUOUS
            if has_threshold and getattr(self.recognizer.model.config, "rejection_threshold", None) is not None:
                options = {"threshold": "none", **options}  # by default the errors of every clip count
            output = self.recognizer(clip, **options)
            result = {name: output[name] for name in ("glosses", "segments", "duration")}
        record = {"key": task.key, "id": task.name, "result": result, "seconds": time.perf_counter() - began}
        write_text(Path(task.path), json.dumps(record, ensure_ascii=False))
        return 1
