"""What one process does for `signx-hf recognize`: it recognizes clips and writes their files."""

import hashlib
import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..common.messages import named_reason, one_line
from ..poses.clips import STARTS, Outcome
from ..processing.errors_signx import SignXError, SignXWarning
from .buckets import recognise_together
from .inputs import state_of
from .loading import open_reader
from .options import RecognizeOptions
from .outputs import OutputFolder, SignXOutputError

RESULT_VERSION = 3  # raise it when the same model and options give other results


@dataclass(frozen=True)
class ClipTask:
    """index: of the clip. name: its path. place: of its output."""

    index: int
    name: str
    place: str


@dataclass
class RecognizeWorker:
    """Recognises clips in one process and writes their files there. starts: folder where starts of clips are counted, for engines
    that start again what died."""

    settings: RecognizeOptions
    output: OutputFolder
    made_by: str
    starts: str | None = None
    recognizer: Any = None

    def load(self) -> None:
        """Loads the model; a SignXError says why it cannot be."""
        if self.recognizer is None:
            s = self.settings
            self.recognizer = open_reader(s.model, s.device, s.trust_remote_code, s.options)

    def run(self, group: Sequence[ClipTask]) -> Iterator[Outcome]:
        """What becomes of each clip. A bad one does not stop the next.

        Raises:
            SignXOutputError: the disk is full.
        """
        known, notes = self._together(group)
        for task in group:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", SignXWarning)
                frames, problem = 0, None
                try:
                    if task.index not in known:
                        self._count_start(task)
                    frames = self._work(task, *known.get(task.index, ()))
                except SignXOutputError:
                    raise
                except Exception as error:
                    problem = named_reason(task.name, error)
                self._forget_start(task)
            yield Outcome(task.index, frames, problem, tuple(dict.fromkeys((*notes, *notes_of(caught)))))
            notes = ()

    def _together(self, group: Sequence[ClipTask]) -> tuple[dict[int, tuple[list, dict]], tuple[str, ...]]:
        """State and result by index of clips that could be recognised in one batch, and the warnings of it; else nothing."""
        nothing = {}, ()
        if len(group) < 2 or any(self._was_started(task) for task in group):  # a process may have died of one of them
            return nothing
        try:
            for task in group:
                self.output.check_free(task.place)
            states = [state_of(task.name) for task in group]
        except (OSError, ValueError):
            return nothing
        for task in group:
            self._count_start(task)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", SignXWarning)
            paths = [task.name for task in group]
            results = recognise_together(self.recognizer, paths, dict(self.settings.options))
        if results is None:
            for task in group:
                self._forget_start(task)
            return nothing
        return {task.index: (state, result) for task, state, result in zip(group, states, results)}, notes_of(caught)

    def _work(self, task: ClipTask, state: list | None = None, result: dict | None = None) -> int:
        """Recognises a clip, unless its state and result are known, and writes its files; the number of frames."""
        if result is None:
            self.output.check_free(task.place)
            try:
                state = state_of(task.name)
            except (OSError, ValueError):
                state = None  # the pipeline says what is wrong
            result = self.recognizer(task.name, **self.settings.options)
        if state is None or state_of(task.name) != state:
            raise SignXError(f"{task.name}: was changed while it was read; run it again once it is whole")
        self.output.write(task.place, task.name, clip_key(self.made_by, state), result)
        rate = getattr(getattr(getattr(self.recognizer, "model", None), "config", None), "fps", None)
        return round(result["duration"] * rate) if rate else 0  # the pipeline samples clips at the model's rate

    def _was_started(self, task: ClipTask) -> bool:
        return self.starts is not None and Path(self.starts, str(task.index)).exists()

    def _count_start(self, task: ClipTask) -> None:
        if self.starts is None:
            return
        with open(Path(self.starts, str(task.index)), "ab") as file:
            if file.tell() >= STARTS:
                raise SignXError(f"the process that worked on it died {STARTS} times; look at it, or leave it out")
            file.write(b".")

    def _forget_start(self, task: ClipTask) -> None:
        if self.starts is not None:
            Path(self.starts, str(task.index)).unlink(missing_ok=True)


def notes_of(caught: Sequence[warnings.WarningMessage]) -> tuple[str, ...]:
    """What is wrong with a clip, once each; other warnings go where they would have gone."""
    notes = []
    for entry in caught:
        if issubclass(entry.category, SignXWarning):
            notes.append(one_line(entry.message))
        else:
            warnings.showwarning(entry.message, entry.category, entry.filename, entry.lineno)
    return tuple(dict.fromkeys(notes))


def clip_key(made_by: str, state: list) -> str:
    """The name of what decides a result: model and options, state of the clip."""
    return hashlib.sha256(json.dumps([RESULT_VERSION, made_by, state]).encode()).hexdigest()
