"""What an engine and a worker exchange: tasks in groups, and one outcome for each task."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

MAX_DEATHS = 2  # a task is left out once this many processes died of it


@dataclass(frozen=True)
class Task:
    """One clip to work on. Subclasses add what their worker needs; a task is pickled for other processes.

    Args:
        index: Number of the clip among all clips of the run; outcomes carry it back.
        name: What messages call the clip, such as its path or id.
    """

    index: int
    name: str


@dataclass(frozen=True)
class Outcome:
    """The result of one task.

    Args:
        index: Index of the task.
        frames: Number of frames that were processed; 0 if the result existed already.
        error: Why the task failed, in one line, or None.
        notes: Warnings about the clip, one line each.
    """

    index: int
    frames: int = 0
    error: str | None = None
    notes: tuple[str, ...] = ()


class Worker(Protocol):
    """The work of one process.

    It is pickled before `load`, so anything loaded must not be part of its pickled state.
    """

    def load(self) -> None:
        """Load models. A second call does nothing. An exception ends the run."""

    def run(self, group: Sequence[Any]) -> Iterator[Outcome]:
        """Yield the outcome of each task of a group, in order.

        A task that fails yields an outcome with an error and does not stop the next one. An exception ends the run.
        """
