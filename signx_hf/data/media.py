"""A row of the schema -> what a processor or pipeline reads: its video, frames or poses."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..processing.errors_signx import SignXError
from ..processing.pose_files_signx import clip_from_file
from .schema import decode_poses


def pose_clip(row: Mapping[str, Any], extractor: Any) -> Any:
    """Stored poses, or the pose files of the row merged, only the tracks that `extractor` reads; None without any of them."""
    wanted = extractor.read_dims
    if row["poses"]:
        stored = decode_poses(row["poses"])
        return replace(stored, fps=stored.fps or row["fps"]) if wanted.keys() & stored.track_dims.keys() else None
    merged: dict[str, Any] = {"masks": {}, "fps": row["fps"]}
    for track in row["tracks"]:
        clip = clip_from_file(track["path"], wanted, extractor.person)
        merged.update(clip.tracks)
        merged["masks"].update(clip.masks)
        merged["fps"] = clip.fps or merged["fps"]
    return merged if len(merged) > 2 else None


def check_source(row: Mapping[str, Any], source: str) -> None:
    """Raises SignXError if a row has nothing of a source, `video` (or frames) or `poses`."""
    video = row["video"] or {}
    films = video.get("bytes") or video.get("path") or row["frames"]
    if not (row["poses"] or row["tracks"] if source == "poses" else films):
        other = "poses" if source == "video" else "video"
        raise SignXError(f"clip {row['id']} has no {source}; wanted some; use --source {other}, or leave the clip out")


def clip_of(row: Mapping[str, Any], source: str, processor: Any) -> tuple[Any, float | None]:
    """What a pipeline takes of a row, and its frame rate where the clip does not carry it.

    Raises:
        SignXError: no such media, none of the model's tracks, or no frame between start and end.
    """
    check_source(row, source)
    if source == "poses":
        clip = pose_clip(row, processor.feature_extractor)
        if clip is None:
            raise SignXError(f"clip {row['id']}: none of its tracks is one of the model's; wanted at least one")
        return clip, None
    if row["start"] is None and row["end"] is None:
        return (row["video"], None) if row["video"] else (row["frames"], row["fps"])
    video_processor = processor.video_processor
    origin = (row["video"].get("bytes") or row["video"]["path"]) if row["video"] else row["frames"]
    video = video_processor.decode(origin)
    first, last = row["start"] or 0.0, float("inf") if row["end"] is None else row["end"]
    inside = (video.timestamps >= first - 1e-6) & (video.timestamps < last - 1e-6)
    if not inside.any():
        raise SignXError(
            f"no frame from {first:g} to {last:g} s in a video of {video.metadata['duration']:.2f} s; wanted at least one; "
            "correct start and end"
        )
    return np.asarray(video.frames)[inside], video_processor.fps or row["fps"] or video.metadata["fps"]
