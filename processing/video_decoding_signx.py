"""Decode videos: from a file, bytes, arrays or a folder of images to resized RGB frames with timestamps.

A frame is resized as soon as it is decoded, and only if it is sampled: full-size frames are never kept.
"""

import contextlib
import io
import math
import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from .errors_signx import SignXFileNotFoundError, SignXVideoError, SignXWarning
from .frame_rendering_signx import FrameGeometry, FrameRenderer, SourceFrame
from .frames_ahead_signx import AHEAD_BYTES, FramesAhead, HeldSource, VideoAhead
from .inputs_signx import VideoInput
from .memory_signx import check_filled, check_picture
from .sampling_signx import FrameSampler, check_max_frames, check_rate, thin_instants
from .video_sources_signx import ArraySource, FileSource, FolderSource, TimedSource, VideoSource
from .video_timing_signx import FALLBACK_RATE, ReadingReport, is_even

# A frame shown for longer than this (seconds) is due to wrong timestamps; sampling would repeat it endlessly.
MAX_GAP_SECONDS = 60.0
GAP_REMEDY = "Correct source_fps, re-encode the video at an even rate, or pass max_frames."


@dataclass(frozen=True)
class DecodedVideo:
    """Frames of one video, sampled and resized.

    Attributes:
        frames: uint8 RGB [T, H, W, 3].
        timestamps: float64 [T] seconds since the start of the file, from which players count; its picture may start
            later.
        metadata: source, fps (of `frames`), source_fps, frames_decoded, frames, start (seconds, of the first frame),
            duration (seconds, from there), width, height (of the source as displayed, in pixels), rotation (applied,
            degrees clockwise), truncated, warnings; and where all frames are kept at a variable rate, times (seconds
            since the first).
    """

    frames: np.ndarray
    timestamps: np.ndarray
    metadata: dict[str, Any]


def open_video(video: VideoInput, source_fps: float | None = None, name: str = "video") -> VideoSource:
    """Check a video and open it as a source that can be read several times.

    Args:
        video: Path (file or folder of images), bytes, binary file object, array or tensor ([T, H, W, 1 | 3 | 4] or
            gray [T, H, W]; [T, 3, H, W] if the last size is not 1, 3 or 4), a list of frames of one size ([H, W],
            [H, W, C] or PIL images), or a `DecodedVideo`.
        source_fps: Frames per second of arrays, lists and folders; files have their own. None: 30.
        name: Name of a video without a path, for messages.

    Raises:
        SignXFileNotFoundError: If the path does not exist.
        SignXVideoError: If the input is not a video. The message gives the remedy.
    """
    fps = FALLBACK_RATE if source_fps is None else check_rate(source_fps, "source_fps")
    if isinstance(video, (str, os.PathLike)):
        return _open_path(video, fps)
    if isinstance(video, (bytes, bytearray, memoryview)):
        if not len(video):
            raise SignXVideoError(f"{name}: expected the content of a video file, got 0 bytes.")
        return FileSource(io.BytesIO(bytes(video)), f"{name} (bytes)")
    if hasattr(video, "read"):
        return _open_stream(video, name)
    if isinstance(video, (list, tuple)):
        return _open_frames(video, fps, name)
    if isinstance(video, (np.ndarray, torch.Tensor)):
        return _open_array(video, fps, name)
    # Recognized by its fields, not its class: each file loaded from the Hub is a module of its own.
    if all(hasattr(video, field) for field in ("frames", "timestamps", "metadata")):
        return TimedSource(video.frames, video.timestamps, video.metadata["source"], video.metadata["fps"])
    if is_picture(video):
        raise SignXVideoError(f"{name}: expected the frames of a video as a list, got one PIL image. Pass [image].")
    raise SignXVideoError(
        f"{name}: expected a path, bytes, a binary file, an array [T, H, W, 3] or a list of frames, got "
        f"{type(video).__name__}."
    )


def _open_path(path: str | os.PathLike, fps: float) -> VideoSource:
    text = os.fspath(path)
    text = os.fsdecode(text)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        raise SignXVideoError(
            f"{text}: expected a local file, got a web address. Download it first; nothing is downloaded "
            "automatically."
        )
    if not text.strip():
        raise SignXVideoError(f"{text!r}: the path is empty. Pass a video file or a folder of frame images.")
    path = Path(text)
    if not os.path.exists(path):  # Path.exists raises for names that are too long
        raise SignXFileNotFoundError(f"{text}: no such file or folder. Check the path.")
    if not os.access(path, os.R_OK | os.X_OK if path.is_dir() else os.R_OK):
        raise SignXVideoError(f"{text}: no permission to read it. Change its mode or its owner.")
    if path.is_dir():
        return FolderSource(path, fps)
    if not path.is_file():
        raise SignXVideoError(
            f"{text}: neither a regular file nor a folder (a pipe or device). Copy its content to a file first."
        )
    if path.stat().st_size == 0:
        raise SignXVideoError(f"{text}: an empty file (0 bytes). Copy or download it again.")
    return FileSource(path, text)


def _open_stream(stream: BinaryIO, name: str) -> FileSource:
    label = getattr(stream, "name", None)
    label = label if isinstance(label, str) else f"{name} (file object)"
    if isinstance(stream, io.TextIOBase):
        raise SignXVideoError(f"{label}: the file is opened as text. Open it with mode 'rb'.")
    if getattr(stream, "closed", False):
        raise SignXVideoError(f"{label}: the file is closed. Open it with mode 'rb'.")
    if not (hasattr(stream, "seekable") and stream.seekable()):
        stream = io.BytesIO(stream.read())
    if stream.seek(0, io.SEEK_END) == 0:
        raise SignXVideoError(f"{label}: expected the content of a video file, got 0 bytes.")
    return FileSource(stream, label)


def _open_array(video: np.ndarray | torch.Tensor, fps: float, name: str) -> ArraySource:
    array = _to_numpy(video)
    shape, label = tuple(array.shape), f"{name} (array {list(array.shape)})"
    if array.ndim not in (3, 4):
        raise SignXVideoError(f"{label}: the array must have shape [T, H, W, 3] or, for gray frames, [T, H, W].")
    if 0 in shape:
        raise SignXVideoError(f"{label}: every axis must have a size of at least 1.")
    if array.ndim == 3 and shape[2] in (1, 3, 4):
        raise SignXVideoError(
            f"{label}: ambiguous between one frame [H, W, {shape[2]}] and {shape[0]} gray frames of width "
            f"{shape[2]}. Pass one frame as array[None], gray frames as array[..., None]."
        )
    if array.ndim == 4:
        array = _channels_last(array, label)
    _check_values(array, label)
    return ArraySource(array, label, fps)


def _channels_last(array: np.ndarray, label: str) -> np.ndarray:
    channels_first, channels_last = array.shape[-3] == 3, array.shape[-1] in (1, 3, 4)
    if channels_first and channels_last:
        raise SignXVideoError(
            f"{label}: ambiguous between [T, H, W, C] of height 3 and [T, C, H, W] of width {array.shape[-1]}. "
            "Permute it to [T, H, W, C] and pad the height to 4 or more."
        )
    if channels_last:
        return array
    if channels_first:
        return np.moveaxis(array, -3, -1)
    raise SignXVideoError(f"{label}: the shape must be [T, H, W, C] with C of 1, 3 or 4, or [T, 3, H, W].")


def is_picture(value: object) -> bool:
    """Return whether a value is a PIL image, by its interface, so that Pillow need not be installed."""
    # The last is asked of the class: that of an object copies all of its pixels.
    return all(hasattr(value, name) for name in ("mode", "info", "convert")) and hasattr(
        type(value), "__array_interface__"
    )


def _to_numpy(value: Any) -> np.ndarray:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        return (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    if is_picture(value):
        check_picture(value.width, value.height, "PIL image")
    if is_picture(value) and value.mode not in ("L", "RGB", "RGBA"):
        # As an array, a palette image gives its indices, which would pass for gray levels.
        has_alpha = "A" in value.mode or "a" in value.mode or "transparency" in value.info
        value = value.convert("RGBA" if has_alpha else "RGB")
    return np.asarray(value)


def _check_values(array: np.ndarray, label: str) -> None:
    if array.dtype == np.uint8:
        return
    if not np.issubdtype(array.dtype, np.floating):
        raise SignXVideoError(
            f"{label}: values must be uint8, or float from 0 to 1, got {array.dtype}. Convert them with "
            "astype(numpy.uint8)."
        )
    low, high = float(array.min()), float(array.max())  # NaN passes through both
    if not (low >= 0.0 and high <= 1.0):
        raise SignXVideoError(
            f"{label}: float values must be from 0 to 1 without NaN, got {low:g} to {high:g}. Divide by 255 or "
            "undo the normalization."
        )


def _open_frames(frames: Sequence[Any], fps: float, name: str) -> ArraySource:
    if not frames:
        raise SignXVideoError(f"{name}: expected at least one frame, got an empty list.")
    arrays = []
    for index, item in enumerate(frames):
        array = _to_numpy(item)
        label = f"{name}, frame {index} (array {list(array.shape)})"
        if array.ndim not in (2, 3):
            raise SignXVideoError(
                f"{label}: frames in a list must have shape [H, W] or [H, W, 3]; a video by itself is [T, H, W, 3]."
            )
        if 0 in array.shape:
            raise SignXVideoError(f"{label}: every axis must have a size of at least 1.")
        array = array if array.ndim == 2 else _channels_last(array, label)
        _check_values(array, label)
        if array.shape != (arrays or [array])[0].shape:
            raise SignXVideoError(
                f"{label}: all frames must have the shape of frame 0, {list(arrays[0].shape)}. Resize them."
            )
        arrays.append(array)
    return ArraySource(arrays, f"{name} (list of {len(arrays)} frames)", fps)


def iter_video(
    source: VideoSource,
    geometry: FrameGeometry | None,
    fps: float | None,
    renderer: Callable[[SourceFrame], np.ndarray] | None = None,
    report: ReadingReport | None = None,
) -> Iterator[tuple[float, np.ndarray]]:
    """Yield (seconds since the start of the source, uint8 RGB [H, W, 3]) at `fps` in bounded memory.

    Frames are sampled from the first one on, which may come later than the start. A damaged source ends early with a
    SignXWarning. Each frame is the caller's own copy.

    Args:
        source: The opened video.
        geometry: Size of the frames; None keeps that of the source.
        fps: Frames per second; None for every frame.
        renderer: Renders frames instead of a FrameRenderer of that geometry.
        report: Filled while reading.
    """
    report, renderer = report or ReadingReport(), renderer or FrameRenderer(geometry)
    sampler = FrameSampler(fps)
    previous, count = None, 0
    with contextlib.closing(_read_paced(source, report, fps)) as frames:
        for timestamp, frame in frames:
            for instant, chosen in sampler.push(timestamp, frame):
                image = renderer(chosen)
                count += 1
                check_filled(count, report.frames_decoded, 0, source.name, GAP_REMEDY)
                yield report.start + instant, image.copy() if image is previous else image
                previous = image
    for instant, chosen in sampler.finish():
        yield report.start + instant, renderer(chosen).copy()
    _warn(source.name, report.warnings)


def _read_paced(source: VideoSource, report: ReadingReport, fps: float | None) -> Iterator[tuple[float, SourceFrame]]:
    """Yield from `source.read`, refusing a gap in time that sampling at `fps` would fill with copies of one frame."""
    last = 0.0
    with contextlib.closing(source.read(report)) as frames:
        for timestamp, frame in frames:
            if fps is not None and timestamp - last > MAX_GAP_SECONDS:
                raise SignXVideoError(
                    f"{source.name}: frames must be at most {MAX_GAP_SECONDS:g} s apart, got {timestamp - last:g} s "
                    f"before frame {report.frames_decoded - 1}. Correct source_fps, or re-encode the video."
                )
            last = timestamp
            yield timestamp, frame


def decode_video(
    source: VideoSource, geometry: FrameGeometry | None, fps: float | None, max_frames: int | None
) -> DecodedVideo:
    """Decode, sample and resize one video.

    A damaged source yields the frames that can be decoded, metadata["truncated"] = True and a SignXWarning. More than
    `max_frames` sampled frames are thinned to that many at equal distances in time, with a SignXWarning; the source is
    then read a second time, so that no more than `max_frames` are ever held.

    Args:
        source: The opened video.
        geometry: Size of the frames; None keeps that of the source.
        fps: Frames per second; None for every frame.
        max_frames: Maximum number of frames; None for no limit.
    """
    max_frames = check_max_frames(max_frames)
    instants, frames, report = _collect(source, geometry, FrameSampler(fps), max_frames, fps)
    out_fps = fps or report.fps
    if max_frames is not None and len(instants) > max_frames:
        thinned = thin_instants(instants, max_frames)
        count = len(instants)
        instants, frames, report = _collect(source, geometry, FrameSampler(instants=thinned), max_frames)
        out_fps = (max_frames - 1) / (instants[-1] - instants[0]) if max_frames > 1 else 1 / report.duration
        report.warnings.append(
            f"{count} frames were thinned to max_frames={max_frames} at equal distances ({out_fps:g} fps)."
            " Increase max_frames or cut the video to keep its rate."
        )
    _warn(source.name, report.warnings)
    metadata = {
        "source": source.name,
        "fps": float(out_fps),
        "source_fps": float(report.fps),
        "frames_decoded": report.frames_decoded,
        "frames": len(frames),
        "start": float(report.start),
        "duration": float(report.duration),
        "width": report.width,
        "height": report.height,
        "rotation": report.rotation,
        "truncated": report.truncated,
        "warnings": list(report.warnings),
    }
    if fps is None and not is_even(instants, out_fps):
        metadata["times"] = [float(instant) for instant in instants]
    return DecodedVideo(np.stack(frames), report.start + np.asarray(instants, np.float64), metadata)


def _collect(
    source: VideoSource,
    geometry: FrameGeometry | None,
    sampler: FrameSampler,
    max_frames: int | None,
    fps: float | None = None,
) -> tuple[list[float], list[np.ndarray], ReadingReport]:
    """Return instants and rendered frames; beyond `max_frames`, instants alone."""
    taken = source.take(geometry, fps, max_frames) if isinstance(source, VideoAhead) else None
    if taken is not None:
        return taken
    report, renderer = ReadingReport(), FrameRenderer(geometry)
    instants, frames = [], []

    def take(pairs: list[tuple[float, SourceFrame]]) -> None:
        for instant, frame in pairs:
            instants.append(instant)
            if max_frames is None or len(instants) <= max_frames:
                frames.append(renderer(frame))  # copies are one array until they are stacked
                if fps is not None:
                    check_filled(len(frames), report.frames_decoded, frames[-1].nbytes, source.name, GAP_REMEDY)
            else:
                frames.clear()

    with contextlib.closing(_read_paced(source, report, fps)) as stream:
        for timestamp, frame in stream:
            take(sampler.push(timestamp, frame))
    take(sampler.finish())
    sizes = {image.shape for image in frames}
    if len(sizes) > 1:
        raise SignXVideoError(f"{source.name}: the frame size changes within the video. Pass a size to resize to.")
    return instants, frames, report


def iter_video_ahead(
    source: VideoSource, geometry: FrameGeometry | None, fps: float | None
) -> Iterator[tuple[float, np.ndarray]]:
    """Yield as `iter_video`, decoded and resized in a thread ahead of the reader.

    Args:
        source: The opened video.
        geometry: Size of the frames; None keeps that of the source.
        fps: Frames per second; None for every frame.
    """
    held = HeldSource(source)
    with contextlib.closing(FramesAhead(iter_video(held, geometry, fps))) as frames:
        yield from frames
    _warn(source.name, held.warnings)


def start_decoding(
    path: str | os.PathLike, geometry: FrameGeometry, fps: float | None, max_frames: int | None
) -> VideoAhead | None:
    """Start to decode, sample and resize a video file, as `decode_video` will; None if it should be read in its turn.

    That is so for what is not a file, cannot be opened, or is so long that its frames would need more than `AHEAD_BYTES`.

    Args:
        path: Of the file.
        geometry: Size of the frames.
        fps: Frames per second; None for every frame.
        max_frames: Maximum number of frames; None for no limit.
    """
    try:
        source = _open_path(path, FALLBACK_RATE)
        if not isinstance(source, FileSource):
            return None
        declared, seconds = source.header()
    except (OSError, ValueError):  # also those of ours; raised again in its turn
        return None
    room = AHEAD_BYTES // (3 * geometry.height * geometry.width)
    if declared is None or not 0 < seconds * (fps or declared) <= room:
        return None

    def collect(held: VideoSource) -> tuple[list[float], list[np.ndarray], ReadingReport]:
        return _collect(held, geometry, FrameSampler(fps), max_frames, fps)

    most = math.ceil(room * max(1.0, declared / (fps or declared)))
    return VideoAhead(path, source, collect, (geometry, fps, max_frames), most)


def _warn(name: str, messages: list[str]) -> None:
    for message in messages:
        warnings.warn(f"{name}: {message}", SignXWarning, stacklevel=4)
