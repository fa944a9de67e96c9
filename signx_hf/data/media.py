"""Convert a row of the schema to what a processor or pipeline reads: its video, frames or poses."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..processing.errors_signx import SignXError
from ..processing.hand_sources_signx import picture_notes, with_sources
from ..processing.landmarks_signx import LandmarkOptions, extract_landmarks, tracks_of
from ..processing.pose_files_signx import PoseClip, clip_from_file
from ..processing.trained_signx import takes_landmarks
from ..processing.video_timing_signx import STAMP_SECONDS
from .schema import StoredPoses, decode_poses

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedConfig

    from ..processing.feature_extraction_signx import SignXPoseFeatureExtractor
    from ..processing.processing_signx import SignXProcessor


def pose_clip(
    row: Mapping[str, Any], extractor: "SignXPoseFeatureExtractor", tracks: Sequence[str] = ()
) -> PoseClip | StoredPoses | dict[str, Any] | None:
    """Return the poses of a row: its stored poses, or its pose files merged, or else `tracks` extracted from its video.

    Only tracks that `extractor` reads, or converts to those it reads, are taken. None if the row has none of them and
    no video to extract `tracks` from.
    """
    clip = _pose_clip(row, extractor)
    return video_clip(row, tracks, extractor) if clip is None and tracks and has_film(row) else clip


def has_film(row: Mapping[str, Any]) -> bool:
    """Return whether a row has a video or a folder of frames."""
    video = row["video"] or {}
    return bool(video.get("bytes") or video.get("path") or row["frames"])


def video_clip(row: Mapping[str, Any], tracks: Sequence[str], extractor: "SignXPoseFeatureExtractor") -> PoseClip:
    """Return the landmarks of a row's video as a `PoseClip`, from the user's cache if they are there.

    Args:
        row: A row of the schema.
        tracks: Tracks of `landmarks_signx.EXTRACTABLE`.
        extractor: Feature extractor of the model that reads them.

    Raises:
        SignXError: If the video cannot be read, or shows nobody.
        ImportError: If MediaPipe is not installed.
    """
    video = row["video"] or {}
    rate = row["fps"] or extractor.fps
    options = LandmarkOptions(rate, extractor.fps, row["start"], row["end"], f"clip {row['id']}")
    return extract_landmarks(video.get("bytes") or video.get("path") or row["frames"], tuple(tracks), options)


def _pose_clip(row: Mapping[str, Any], extractor: "SignXPoseFeatureExtractor") -> StoredPoses | dict[str, Any] | None:
    dims = with_sources(extractor.read_dims)
    if row["poses"]:
        stored = decode_poses(row["poses"])
        return replace(stored, fps=stored.fps or row["fps"]) if dims.keys() & stored.track_dims.keys() else None
    merged: dict[str, Any] = {"masks": {}, "fps": row["fps"]}
    for track in row["tracks"]:
        clip = clip_from_file(track["path"], dims, extractor.person, extractor.read_dims)
        merged.update(clip.tracks)
        merged["masks"].update(clip.masks)
        merged["notes"] = {**merged.get("notes", {}), **picture_notes(clip)}
        merged["fps"] = clip.fps or merged["fps"]
        times = {"start": clip.start or None, "timestamps": clip.timestamps}
        merged |= {name: value for name, value in times.items() if value is not None}
    return merged if merged["masks"] else None


def of_clip(row: Mapping[str, Any], error: Exception) -> SignXError:
    """Return the error with the clip's id in front, once."""
    text = " ".join(str(error).split())
    return SignXError(text if text.startswith(f"clip {row['id']}") else f"clip {row['id']}: {text}")


def check_rows(rows: "Dataset | Sequence[Mapping[str, Any]]", name: str) -> None:
    """Raise SignXError if a saved dataset lacks a required column or has one of another type."""
    from .schema import FEATURES

    if (columns := getattr(rows, "column_names", None)) is None:
        return
    required = ("id", "video", "frames", "fps", "start", "end", "glosses", "segments", "poses", "tracks", "signer")
    missing = [column for column in required if column not in columns]
    if missing:
        raise SignXError(
            f"{name}: no column {missing[0]!r}. Build the clips with signx_hf.load_dataset or `make_row`."
        )
    for column in ("id", "video", "glosses"):
        if type(rows.features[column]) is not type(FEATURES[column]):
            raise SignXError(
                f"{name}: column {column!r} must be {FEATURES[column]}, got {rows.features[column]}. Save the clips with `to_dataset`."
            )


def check_truth(row: Mapping[str, Any]) -> None:
    """Raise SignXError if a clip has no ground truth to compare with: no glosses, or invalid times."""
    if row["id"] is None:
        raise SignXError("a clip has no id.")
    if not row["glosses"] or not all(isinstance(gloss, str) and gloss.strip() for gloss in row["glosses"]):
        raise SignXError(f"clip {row['id']} must have non-empty glosses, got {row['glosses']}. Leave the clip out.")
    for segment in row["segments"] or []:
        start, end = segment["start"], segment["end"]
        if start is None or end is None or not (math.isfinite(start) and math.isfinite(end) and start <= end):
            raise SignXError(
                f"clip {row['id']}: {segment['gloss']} must be a segment in seconds that does not end before it starts, "
                f"got {start} to {end}."
            )


def check_truth_text(row: Mapping[str, Any]) -> None:
    """Raise SignXError if a clip has no id, or no text to compare with."""
    if row["id"] is None:
        raise SignXError("a clip has no id.")
    if not isinstance(row["text"], str) or not row["text"].split():
        raise SignXError(f"clip {row['id']} must have a text, got {row['text']!r}. Leave the clip out.")


def check_source(row: Mapping[str, Any], source: str) -> None:
    """Raise SignXError if a row has nothing of a source, `video` (or frames) or `poses`."""
    if not (row["poses"] or row["tracks"] if source == "poses" else has_film(row)):
        other = "poses" if source == "video" else "video"
        raise SignXError(f"clip {row['id']} has no {source}. Use --source {other}, or leave the clip out.")


def clip_of(
    row: Mapping[str, Any], source: str, processor: "SignXProcessor", config: "PreTrainedConfig | None" = None
) -> tuple[Any, float | None]:
    """Return what a pipeline takes of a row, and its frame rate if the clip itself does not hold it.

    Times of the clip count from the row's `start`. For a video, that are its landmarks if the config of the model says
    that it reads poses.

    Raises:
        SignXError: If the clip lacks the media or all tracks of the model, or has no frame between start and end.
    """
    check_source(row, source)
    if source == "video" and config is not None and takes_landmarks(config):
        tracks = tracks_of(processor.feature_extractor, config, f"clip {row['id']}")
        return video_clip(row, tracks, processor.feature_extractor), None
    if source == "poses":
        clip = pose_clip(row, processor.feature_extractor)
        if clip is None:
            raise SignXError(f"clip {row['id']} has none of the model's tracks.")
        return clip, None
    if row["start"] is None and row["end"] is None:
        return (row["video"], None) if row["video"] else (row["frames"], row["fps"])
    video_processor = processor.video_processor
    origin = (row["video"].get("bytes") or row["video"]["path"]) if row["video"] else row["frames"]
    video = video_processor.decode(origin, None if row["video"] else row["fps"])
    first, last = row["start"] or 0.0, float("inf") if row["end"] is None else row["end"]
    inside = (video.timestamps >= first - 1e-6) & (video.timestamps < last - 1e-6)
    if not inside.any():
        raise SignXError(
            f"clip {row['id']}: the video of {video.metadata['start'] + video.metadata['duration']:.2f} s has no frame "
            f"from {first:g} to {last:g} s. "
            "Correct start and end."
        )
    times = video.timestamps[inside] - first
    times -= times[0] if times[0] <= STAMP_SECONDS else 0.0
    return replace(video, frames=video.frames[inside], timestamps=times), None
