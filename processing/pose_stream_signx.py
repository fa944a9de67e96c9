"""Read pose clips of any length row by row, in bounded memory."""

import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from .errors_signx import SignXPoseError
from .feature_extraction_signx import GAP_REMEDY, MAX_GAP_SECONDS, SignXPoseFeatureExtractor
from .hand_sources_signx import picture_notes
from .inputs_signx import PoseInput, VideoInput
from .landmarks_signx import LandmarkOptions, open_landmarks, tracks_of
from .memory_signx import check_filled
from .pose_files_signx import PoseClip
from .pose_options_signx import checked_fps
from .signer_signx import name_of

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

DAMAGE = (zipfile.BadZipFile, zlib.error, tokenize.TokenError)  # raised by files that are not .npz
MOST_ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class PoseStream:
    """Rows of a pose clip as they are read.

    Attributes:
        rows: Iterates (seconds, (row of each track, whether each was observed)). Seconds count as in the clip, whose
            first row may begin later than 0.
        fps: Frames per second of the rows.
        tracks: Names of the tracks.
        source: Name of the clip, for messages.
        people: How many people the file holds; None where it cannot hold several.
        notes: Notes about the picture, complete once the first row has been read.
    """

    rows: Iterator[tuple[float, tuple[dict, dict]]]
    fps: float
    tracks: tuple[str, ...]
    source: str
    people: int | None = None
    notes: Mapping[str, str] = field(default_factory=dict)


def stream_video(
    extractor: SignXPoseFeatureExtractor,
    config: "PreTrainedConfig",
    video: VideoInput,
    source_fps: float | None,
    cache: bool = True,
) -> PoseStream:
    """Open a video whose landmarks are extracted as rows are requested, or come from the cache.

    Args:
        extractor: `SignXPoseFeatureExtractor` of the model.
        config: `SignXConfig` of the model.
        video: As for the pipeline.
        source_fps: Frames per second of arrays, frame lists and folders; None for the extractor's.
        cache: Whether landmarks are cached.

    Raises:
        SignXError: If the video cannot be opened, or no track of the model can be extracted.
        ImportError: If MediaPipe is not installed.
    """
    name = name_of(video)
    rate = extractor.fps if source_fps is None else source_fps
    options = LandmarkOptions(rate, extractor.fps, name=name, cache=cache)
    landmarks = open_landmarks(video, tracks_of(extractor, config, name), options)
    if landmarks.cached is not None:
        return replace(stream_poses(extractor, landmarks.cached, None), source=landmarks.source)
    rows = ((seconds, (row, observed)) for seconds, row, observed in landmarks.rows)
    return PoseStream(rows, landmarks.fps, landmarks.tracks, landmarks.source, notes=landmarks.notes)


def stream_poses(
    extractor: SignXPoseFeatureExtractor,
    clip: PoseInput,
    source_fps: float | None,
    person: int | str | None = None,
) -> PoseStream:
    """Open what `SignXPoseFeatureExtractor` reads; `.npz` and `.npy` files and clips in memory are read in blocks.

    Args:
        extractor: `SignXPoseFeatureExtractor` of the model.
        clip: Poses, as for the pipeline.
        source_fps: Frames per second; None for the clip's own.
        person: As for the pipeline.

    Raises:
        SignXPoseError: As the extractor.
        SignXFileNotFoundError: As the extractor.
    """
    parts = _pose_blocks(extractor, clip, person)
    first = next(parts)
    extractor.compare_notes(first)
    known = (rate for rate in (source_fps, first.fps, extractor.fps) if rate is not None)
    fps = checked_fps(next(known, None), f"{first.source}: the source fps", " Pass source_fps=.")

    def rows() -> Iterator[tuple[float, tuple[dict, dict]]]:
        part: PoseClip | None = first
        number, last = 0, first.begins
        while part is not None:
            for index in range(part.num_frames):
                if part.timestamps is None:
                    seconds = first.begins + number / fps
                else:
                    seconds = float(part.timestamps[index])
                _check_step(last, seconds, first.source, is_sampled=extractor.fps is not None)
                if extractor.fps is not None:
                    copies = int(seconds * extractor.fps)
                    check_filled(copies, number + 1, 0, first.source, GAP_REMEDY, is_pose=True)
                last = seconds
                tracks = {name: values[index] for name, values in part.tracks.items()}
                yield seconds, (tracks, {name: bool(mask[index]) for name, mask in part.masks.items()})
                number += 1
            part = next(parts, None)

    return PoseStream(rows(), float(fps), tuple(first.tracks), first.source, first.people, picture_notes(first))


def _check_step(last: float, seconds: float, source: str, is_sampled: bool) -> None:
    """Check the time between two rows; blocks are read one by one, so the extractor cannot check a full clip.

    Args:
        last: Seconds of the previous row.
        seconds: Seconds of this row.
        source: Name of the clip, for messages.
        is_sampled: Whether frames are sampled at a rate, so that a gap would be filled with copies of one frame.
    """
    if seconds < last:
        raise SignXPoseError(
            f"{source}: timestamps must be non-decreasing, got {seconds:g} s after {last:g} s. Sort the frames by "
            "time."
        )
    if is_sampled and seconds - last > MAX_GAP_SECONDS:
        raise SignXPoseError(
            f"{source}: frames must be at most {MAX_GAP_SECONDS:g} s apart, got {seconds - last:g} s. Pass "
            "timestamps in seconds, not milliseconds, or correct the fps of the clip."
        )


def _pose_blocks(
    extractor: SignXPoseFeatureExtractor, clip: PoseInput, person: int | str | None
) -> Iterator[PoseClip]:
    """Yield `PoseClip`s of at most MOST_ROWS_AT_ONCE rows where the clip allows it, otherwise one of all rows."""
    name = str(clip) if isinstance(clip, (str, Path)) else "clip"
    members = (
        _npz_members(clip, extractor) if isinstance(clip, (str, Path)) and name.lower().endswith(".npz") else None
    )
    if members is not None:
        for part in members:
            yield extractor.read(part, name, person)
        return
    if isinstance(clip, Mapping) and any(hasattr(clip.get(track), "__len__") for track in extractor.read_dims):
        frames = max(len(clip[track]) for track in extractor.read_dims if hasattr(clip.get(track), "__len__"))
        if frames > MOST_ROWS_AT_ONCE and _is_even(clip, frames):
            for start in range(0, frames, MOST_ROWS_AT_ONCE):
                yield extractor.read(_rows_of(clip, frames, start, start + MOST_ROWS_AT_ONCE), name, person)
            return
    yield extractor.read(clip, name, person)


def _is_even(clip: Mapping, frames: int) -> bool:
    """Return whether every array of a clip has one row per frame, so that it can be read in blocks."""
    arrays = [value for value in clip.values() if hasattr(value, "shape")]
    arrays += list((clip.get("masks") or {}).values())
    return all(hasattr(value, "shape") and len(value.shape) and value.shape[0] == frames for value in arrays)


def _rows_of(clip: Mapping, frames: int, start: int, stop: int) -> dict[str, Any]:
    part = {key: value[start:stop] if hasattr(value, "shape") else value for key, value in clip.items()}
    if clip.get("masks"):
        part["masks"] = {key: mask[start:stop] for key, mask in clip["masks"].items()}
    return part


def _npz_members(path: str | Path, extractor: SignXPoseFeatureExtractor) -> Iterator[dict[str, Any]] | None:
    """Yield the rows of a `.npz` file in blocks; return None for a file that only the extractor itself can read or
    refuse.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name[:-4] for name in archive.namelist() if name.endswith(".npy")}
            heads = {name: _npy_header(archive, name) for name in names}
            if archive.testzip() is not None:  # while streaming, a bad checksum would show only after the last row
                return None
    except (OSError, ValueError, KeyError, RuntimeError, EOFError, MemoryError, SyntaxError, *DAMAGE):
        return None
    rows = {name: shape for name, (shape, fortran, dtype) in heads.items() if shape and not fortran}
    tracks = [name for name in extractor.read_dims if len(rows.get(name, ())) == 2]
    lengths = {rows[name][0] for name in rows}
    known = {*extractor.read_dims, *(f"{name}_mask" for name in extractor.read_dims), "timestamps"}
    if not tracks or len(lengths) != 1 or not set(rows) <= known or any(h[2].hasobject for h in heads.values()):
        return None
    scalars = set(heads) - set(rows)
    if not scalars <= {"fps", "start", "notes"} or min(lengths) <= MOST_ROWS_AT_ONCE:
        return None
    return _read_npz(path, rows, heads, scalars, lengths.pop())


def _npy_header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    with archive.open(f"{name}.npy") as file:
        return _read_header(file)


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(file)


def _read_npz(path: str | Path, rows: dict, heads: dict, scalars: set[str], frames: int) -> Iterator[dict[str, Any]]:
    with zipfile.ZipFile(path) as archive:
        single = {}
        for name in scalars:
            with archive.open(f"{name}.npy") as file:
                single[name] = np.lib.format.read_array(file, allow_pickle=False).item()
        files = {name: archive.open(f"{name}.npy") for name in rows}
        try:
            for file in files.values():
                _read_header(file)
            for start in range(0, frames, MOST_ROWS_AT_ONCE):
                count = min(MOST_ROWS_AT_ONCE, frames - start)
                part: dict[str, Any] = dict(single)
                for name, file in files.items():
                    shape, dtype = (count, *rows[name][1:]), heads[name][2]
                    size = int(np.prod(shape)) * dtype.itemsize
                    content = file.read(size)
                    if len(content) < size:
                        raise SignXPoseError(
                            f"{path}: '{name}' ends before the number of rows that it declares. Copy it again."
                        )
                    part[name] = np.frombuffer(content, dtype).reshape(shape)
                yield part
        except (OSError, EOFError, *DAMAGE) as error:
            raise SignXPoseError(f"{path}: the file is damaged ({error}). Extract or copy it again.") from error
        finally:
            for file in files.values():
                file.close()
