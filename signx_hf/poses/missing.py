"""Landmarks of clips that have a video and no poses, into the user's cache before they are read: over processes, resumable."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tqdm.auto import tqdm

from ..data.media import has_film, of_clip, video_clip
from ..jobs.base import Outcome, Task
from ..jobs.run import run_jobs
from ..processing.errors_signx import SignXError
from ..processing.landmark_cache_signx import cache_folder
from ..processing.landmarks_signx import LandmarkReader

MOST_JOBS = 4  # of those that are started unasked
FEW = 8  # clips, for which starting processes is not worth it


@dataclass
class LandmarkWorker:
    """Extracts landmarks of rows in one process and leaves them in the cache. rows: the dataset. extractor: of the model."""

    rows: Any
    tracks: tuple[str, ...]
    extractor: Any

    def load(self) -> None:
        """Raise ImportError where MediaPipe is not installed, before the first clip."""
        LandmarkReader(self.tracks).close()

    def run(self, group: Sequence[Task]) -> Iterator[Outcome]:
        """Yield what becomes of each clip; a bad one does not stop the next."""
        for task in group:
            frames, problem = 0, None
            try:
                frames = video_clip(self.rows[task.index], self.tracks, self.extractor).num_frames
            except (SignXError, OSError) as error:
                problem = str(of_clip({"id": task.name}, error))
            yield Outcome(task.index, frames, problem)


def lacks_poses(row: Any) -> bool:
    """Return whether a row has a video to extract poses of, and none."""
    return not row["poses"] and not row["tracks"] and has_film(row)


def extract_missing(
    rows: Any, tracks: tuple[str, ...], extractor: Any, jobs: int | None = None, show: str = ""
) -> dict[int, str]:
    """Extract the landmarks of rows that have a video and no poses into the user's cache; what it holds is not made again. Without a
    cache nothing is done: whoever reads the rows extracts them.

    Of several processes of one training each begins with its own share, and leaves the others' where they are done already.

    Args:
        rows: a dataset of the schema. tracks: of `landmarks_signx.EXTRACTABLE`. extractor: of the model that reads them. jobs:
            processes; None: one for each core, at most 4, and this one alone for a few clips. show: what the progress bar says, empty: none.

    Returns:
        Index of the row -> why its landmarks could not be extracted.
    """
    tasks = [Task(index, row["id"]) for index, row in enumerate(rows) if lacks_poses(row)]
    if not tasks or cache_folder() is None:
        return {}
    rank, world = _process_of()
    begin = len(tasks) * rank // world
    tasks = tasks[begin:] + tasks[:begin]
    if jobs is None:
        jobs = 1 if len(tasks) < FEW else max(1, min(MOST_JOBS, (os.cpu_count() or 1) // world))
    worker, groups = LandmarkWorker(rows, tracks, extractor), [[task] for task in tasks]
    outcomes = run_jobs(worker, groups, jobs)
    failures = {}
    try:
        for outcome in tqdm(outcomes, total=len(tasks), desc=show, unit="clip", disable=not show):
            if outcome.error is not None:
                failures[outcome.index] = outcome.error
    finally:
        outcomes.close()  # ends its processes
    return failures


def _process_of() -> tuple[int, int]:
    """Number of this process among those of a training, and how many there are."""
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1
