"""The worker of `signx-hf recognize --out`: recognizes clips and writes their files."""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..common.messages import collect_warnings, named_reason
from ..jobs.base import Outcome, Task
from ..processing.errors_signx import SignXError
from .buckets import recognize_together
from .inputs import state_of
from .loading import open_reader
from .options import RecognizeOptions
from .outputs import OutputFolder, SignXOutputError

RESULT_VERSION = 3  # increase it when the same model and options give other results


@dataclass(frozen=True)
class ClipTask(Task):
    """One clip to recognize. `name` is its path.

    Args:
        stem: Path of its output files without suffix, relative to the output folder.
    """

    stem: str


@dataclass
class RecognizeWorker:
    """Recognizes clips in one process and writes their files there.

    Args:
        settings: Model and options.
        output: Folder of the files.
        made_by: Identifies model and options in the key of a result.
        recognizer: Set by `load`.
        ahead: Index of a clip whose reading has begun -> its state then, and what stands for it.
    """

    settings: RecognizeOptions
    output: OutputFolder
    made_by: str
    recognizer: Any = None
    ahead: dict[int, tuple[list, Any]] = field(default_factory=dict)

    def load(self) -> None:
        """Load the model; raise SignXError if it cannot be loaded."""
        if self.recognizer is None:
            s = self.settings
            self.recognizer = open_reader(s.model, s.device, s.trust_remote_code, s.options, s.task)

    def read_ahead(self, group: Sequence[ClipTask]) -> None:
        """Start to read a clip that will be recognized by itself."""
        if len(group) > 1 or self.settings.options.get("chunk_length_s") or not hasattr(self.recognizer, "read_ahead"):
            return
        task = group[0]
        with contextlib.suppress(OSError, ValueError):  # raised again in its turn
            state = state_of(task.name)
            self.ahead[task.index] = (state, self.recognizer.read_ahead(task.name))

    def run(self, group: Sequence[ClipTask]) -> Iterator[Outcome]:
        """Yield the outcome of each clip; a bad clip does not stop the next one.

        Raises:
            SignXOutputError: If the disk is full.
        """
        batch, batch_notes = self._recognize_batch(group)
        for task in group:
            frames, problem = 0, None
            with collect_warnings() as notes:
                try:
                    frames = self._process(task, *batch.get(task.index, ()))
                except SignXOutputError:
                    raise
                except Exception as error:
                    problem = named_reason(task.name, error)
            yield Outcome(task.index, frames, problem, tuple(dict.fromkeys((*batch_notes, *notes))))
            batch_notes = []

    def _recognize_batch(self, group: Sequence[ClipTask]) -> tuple[dict[int, tuple[list, dict]], list[str]]:
        """Recognize a group in one batch if possible.

        Returns:
            State and result by index, and warnings; both empty where each clip has to be recognized alone.
        """
        if len(group) < 2:
            return {}, []
        try:
            for task in group:
                self.output.check_free(task.stem)
            states = [state_of(task.name) for task in group]
        except (OSError, ValueError):
            return {}, []
        with collect_warnings() as notes:
            paths = [task.name for task in group]
            results = recognize_together(self.recognizer, paths, dict(self.settings.options))
        if results is None:
            return {}, []
        return {task.index: (state, result) for task, state, result in zip(group, states, results)}, notes

    def _process(self, task: ClipTask, state: list | None = None, result: dict | None = None) -> int:
        """Recognize a clip, unless its state and result are given, and write its files; return the number of
        frames."""
        if result is None:
            state, clip = self.ahead.pop(task.index, (None, task.name))
            self.output.check_free(task.stem)
            try:
                state = state or state_of(task.name)
            except (OSError, ValueError):
                state = None  # the pipeline raises the better error
            result = self.recognizer(clip, **self.settings.options)
        if state is None or state_of(task.name) != state:
            raise SignXError(
                f"{task.name}: changed while it was being read. Run the command again once the file is complete."
            )
        key = clip_key(self.made_by, state, self.output.eaf.state_of(task.name))
        self.output.write(task.stem, task.name, key, result)
        rate = getattr(getattr(getattr(self.recognizer, "model", None), "config", None), "fps", None)
        return round(result["duration"] * rate) if rate else 0  # the pipeline samples clips at the model's rate


def clip_key(made_by: str, state: list, layout: list) -> str:
    """Return the key of what determines a result: model and options, the state of the clip, and that of an ELAN file
    that tiers are added to (`EafLayout.state_of`)."""
    parts = [RESULT_VERSION, made_by, state, *([layout] if layout else [])]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
