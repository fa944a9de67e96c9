"""Extract the landmarks of clips that have a video and no poses into the user's cache: in parallel, resumable."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..common.progress import progress
from ..data.media import has_film, of_clip, video_clip
from ..jobs.base import Outcome, Task
from ..jobs.run import run_jobs
from ..processing.errors_signx import SignXError
from ..processing.landmark_cache_signx import cache_folder
from ..processing.landmarks_signx import LandmarkReader

if TYPE_CHECKING:
    from datasets import Dataset

    from ..processing.feature_extraction_signx import SignXPoseFeatureExtractor

MAX_DEFAULT_JOBS = 4
FEW_CLIPS = 8  # below which starting processes is not worth it


@dataclass
class LandmarkWorker:
    """Extracts landmarks of rows in one process and leaves them in the cache.

    Args:
        rows: The dataset.
        tracks: Tracks of `landmarks_signx.EXTRACTABLE`.
        extractor: Feature extractor of the model.
    """

    rows: "Dataset"
    tracks: tuple[str, ...]
    extractor: "SignXPoseFeatureExtractor"

    def load(self) -> None:
        """Raise ImportError where MediaPipe is not installed, before the first clip."""
        LandmarkReader(self.tracks).close()

    def run(self, group: Sequence[Task]) -> Iterator[Outcome]:
        """Yield the outcome of each clip; a bad clip does not stop the next one."""
        for task in group:
            frames, problem = 0, None
            try:
                frames = video_clip(self.rows[task.index], self.tracks, self.extractor).num_frames
            except (SignXError, OSError) as error:
                problem = str(of_clip({"id": task.name}, error))
            yield Outcome(task.index, frames, problem)


def lacks_poses(row: Mapping[str, Any]) -> bool:
    """Return whether a row has a video and no poses."""
    return not row["poses"] and not row["tracks"] and has_film(row)


def extract_missing(
    rows: "Dataset",
    tracks: tuple[str, ...],
    extractor: "SignXPoseFeatureExtractor",
    jobs: int | None = None,
    show: str = "",
) -> dict[int, str]:
    """Extract the landmarks of rows that have a video and no poses into the user's cache, except those that it holds.

    Without a cache nothing is done, and the landmarks are extracted when the rows are read. Each process of a
    distributed training starts with its own share and then skips what the others have finished.

    Args:
        rows: A dataset of the schema.
        tracks: Tracks of `landmarks_signx.EXTRACTABLE`.
        extractor: Feature extractor of the model that reads them.
        jobs: Number of processes; None for one per core, at most 4, or this one alone for a few clips.
        show: Label of the progress; empty for none.

    Returns:
        Index of the row -> why its landmarks could not be extracted.
    """
    tasks = [Task(index, row["id"]) for index, row in enumerate(rows) if lacks_poses(row)]
    if not tasks or cache_folder() is None:
        return {}
    rank, world = _rank_and_world()
    begin = len(tasks) * rank // world
    tasks = tasks[begin:] + tasks[:begin]
    if jobs is None:
        jobs = 1 if len(tasks) < FEW_CLIPS else max(1, min(MAX_DEFAULT_JOBS, (os.cpu_count() or 1) // world))
    worker, groups = LandmarkWorker(rows, tracks, extractor), [[task] for task in tasks]
    outcomes = run_jobs(worker, groups, jobs)
    failures = {}
    try:
        for outcome in progress(outcomes, total=len(tasks), desc=show, show=bool(show)):
            if outcome.error is not None:
                failures[outcome.index] = outcome.error
    finally:
        outcomes.close()  # ends its processes
    return failures


def _rank_and_world() -> tuple[int, int]:
    """Return rank and world size of a distributed training."""
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1
