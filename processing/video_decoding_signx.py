"""From a file, bytes, arrays or a folder of images to resized RGB frames with time stamps.

Every kind of input becomes PyAV frames and passes the same `FrameRenderer`, so a file and the array of its frames give the same
pixels. A frame is resized as soon as it is decoded and only if it is wanted: full-size frames are never kept.
"""

import contextlib
import io
import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .errors_signx import SignXFileNotFoundError, SignXVideoError, SignXWarning
from .frame_rendering_signx import FrameGeometry, FrameRenderer, SourceFrame
from .sampling_signx import FrameSampler, check_max_frames, check_rate, thin_instants
from .video_sources_signx import ArraySource, FileSource, FolderSource, VideoSource
from .video_timing_signx import FALLBACK_RATE, ReadingReport

# A frame that stands for longer than this (seconds) is a fault in the time stamps; at a wanted rate it would be repeated without end.
MAX_GAP_SECONDS = 60.0


@dataclass(frozen=True)
class DecodedVideo:
    """Frames of one video, sampled and resized.

    Attributes:
        frames: uint8 RGB [T, H, W, 3].
        timestamps: float64 [T], seconds since the first frame for which each frame stands.
        metadata: source, fps (of `frames`), source_fps, frames_decoded, frames, duration (seconds), width, height (of the source as
            shown, pixels), rotation (degrees clockwise that were applied), truncated, warnings.
    """

    frames: np.ndarray
    timestamps: np.ndarray
    metadata: dict[str, Any]


def open_video(video: Any, source_fps: float | None = None, name: str = "video") -> VideoSource:
    """What `video` is, checked, ready to be read one or several times.

    Args:
        video: path (file or folder of images), bytes, binary file object, array or tensor ([T, H, W, 1 | 3 | 4] or grey [T, H, W];
            [T, 3, H, W] where the last size is none of 1, 3, 4), or a list of frames of one size ([H, W], [H, W, C] or PIL images).
        source_fps: frames per second of arrays, lists and folders; files carry their own. None: 30.
        name: what errors call a video that has no path.

    Raises:
        SignXFileNotFoundError: the path does not exist.
        SignXVideoError: the input is no video; the message names the remedy.
    """
    fps = FALLBACK_RATE if source_fps is None else check_rate(source_fps, "source_fps")
    if isinstance(video, (str, os.PathLike)):
        return _open_path(video, fps)
    if isinstance(video, (bytes, bytearray, memoryview)):
        if not len(video):
            raise SignXVideoError(f"{name}: 0 bytes; wanted the content of a video file")
        return FileSource(io.BytesIO(bytes(video)), f"{name} (bytes)")
    if hasattr(video, "read"):
        return _open_stream(video, name)
    if isinstance(video, (list, tuple)):
        return _open_frames(video, fps, name)
    if isinstance(video, (np.ndarray, torch.Tensor)):
        return _open_array(video, fps, name)
    if is_picture(video):
        raise SignXVideoError(f"{name}: one PIL image; give the frames of a video as a list: [image]")
    raise SignXVideoError(
        f"{name}: found {type(video).__name__}; wanted a path, bytes, a binary file, an array [T, H, W, 3] or a list of frames"
    )


def _open_path(path: Any, fps: float) -> VideoSource:
    text = os.fspath(path)
    text = os.fsdecode(text)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        raise SignXVideoError(
            f"{text}: a web address; nothing is downloaded unasked: download it and give the path of the file"
        )
    if not text.strip():
        raise SignXVideoError(f"{text!r}: an empty path; wanted a video file or a folder of frame images")
    path = Path(text)
    if not os.path.exists(path):  # Path.exists raises for names that are too long
        raise SignXFileNotFoundError(
            f"{text}: no such file or folder; wanted a video file or a folder of frame images"
        )
    if not os.access(path, os.R_OK | os.X_OK if path.is_dir() else os.R_OK):
        raise SignXVideoError(
            f"{text}: no permission to read it; wanted a readable file; change its mode or its owner"
        )
    if path.is_dir():
        return FolderSource(path, fps)
    if not path.is_file():
        raise SignXVideoError(
            f"{text}: neither a regular file nor a folder (a pipe or device); copy its content to a file first"
        )
    if path.stat().st_size == 0:
        raise SignXVideoError(f"{text}: an empty file (0 bytes); copy or download it again")
    return FileSource(path, text)


def _open_stream(stream: Any, name: str) -> FileSource:
    label = getattr(stream, "name", None)
    label = label if isinstance(label, str) else f"{name} (file object)"
    if isinstance(stream, io.TextIOBase):
        raise SignXVideoError(f"{label}: a file opened as text; open it with mode 'rb'")
    if getattr(stream, "closed", False):
        raise SignXVideoError(f"{label}: a closed file; wanted one that is open with mode 'rb'")
    if not (hasattr(stream, "seekable") and stream.seekable()):
        stream = io.BytesIO(stream.read())
    if stream.seek(0, io.SEEK_END) == 0:
        raise SignXVideoError(f"{label}: 0 bytes; wanted the content of a video file")
    return FileSource(stream, label)


def _open_array(video: Any, fps: float, name: str) -> ArraySource:
    array = _to_numpy(video)
    shape, label = tuple(array.shape), f"{name} (array {list(array.shape)})"
    if array.ndim not in (3, 4):
        raise SignXVideoError(f"{label}: wanted [T, H, W, 3] or grey [T, H, W]")
    if 0 in shape:
        raise SignXVideoError(f"{label}: no frame or frames without a pixel; wanted every size to be at least 1")
    if array.ndim == 3 and shape[2] in (1, 3, 4):
        raise SignXVideoError(
            f"{label}: one frame [H, W, {shape[2]}] or {shape[0]} grey frames of width {shape[2]}? Give one frame as array[None],"
            " grey frames as array[..., None]"
        )
    if array.ndim == 4:
        array = _channels_last(array, label)
    _check_values(array, label)
    return ArraySource(array, label, fps)


def _channels_last(array: np.ndarray, label: str) -> np.ndarray:
    channels_first, channels_last = array.shape[-3] == 3, array.shape[-1] in (1, 3, 4)
    if channels_first and channels_last:
        raise SignXVideoError(
            f"{label}: [T, H, W, C] of height 3 or [T, C, H, W] of width {array.shape[-1]}? Both fit; permute it to [T, H, W, C]"
            " and pad the height to 4 or more"
        )
    if channels_last:
        return array
    if channels_first:
        return np.moveaxis(array, -3, -1)
    raise SignXVideoError(f"{label}: no axis of channels; wanted [T, H, W, C] with C of 1, 3 or 4, or [T, 3, H, W]")


def is_picture(value: Any) -> bool:
    """Whether `value` is a PIL image, told by its interface so that Pillow need not be installed."""
    return all(hasattr(value, name) for name in ("mode", "info", "convert", "__array_interface__"))


def _to_numpy(value: Any) -> np.ndarray:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        return (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    if is_picture(value) and value.mode not in ("L", "RGB", "RGBA"):
        # A palette image gives its indices as an array: they would pass for grey levels.
        has_alpha = "A" in value.mode or "a" in value.mode or "transparency" in value.info
        value = value.convert("RGBA" if has_alpha else "RGB")
    return np.asarray(value)


def _check_values(array: np.ndarray, label: str) -> None:
    if array.dtype == np.uint8:
        return
    if not np.issubdtype(array.dtype, np.floating):
        raise SignXVideoError(
            f"{label}: {array.dtype} values; wanted uint8, or float from 0 to 1: convert with astype(numpy.uint8)"
        )
    low, high = float(array.min()), float(array.max())  # NaN passes through both
    if not (low >= 0.0 and high <= 1.0):
        raise SignXVideoError(
            f"{label}: float values from {low:g} to {high:g}; wanted 0 to 1 without NaN: divide by 255 or undo the normalisation"
        )


def _open_frames(frames: Sequence[Any], fps: float, name: str) -> ArraySource:
    if not frames:
        raise SignXVideoError(f"{name}: an empty list; wanted at least one frame")
    arrays = []
    for index, item in enumerate(frames):
        array = _to_numpy(item)
        label = f"{name}, frame {index} (array {list(array.shape)})"
        if array.ndim not in (2, 3):
            raise SignXVideoError(
                f"{label}: wanted frames [H, W] or [H, W, 3] in a list; a video of its own is [T, H, W, 3]"
            )
        if 0 in array.shape:
            raise SignXVideoError(f"{label}: a frame without a pixel; wanted every size to be at least 1")
        array = array if array.ndim == 2 else _channels_last(array, label)
        _check_values(array, label)
        if array.shape != (arrays or [array])[0].shape:
            raise SignXVideoError(
                f"{label}: frame 0 is {list(arrays[0].shape)}; wanted frames of one size and one number of channels: resize them"
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
    """Yield (seconds since the first frame, uint8 RGB [H, W, 3]) at `fps` (None: every frame) with bounded memory.

    A damaged source ends early with a SignXWarning. Each frame is the caller's own. `geometry` None keeps the source's size.
    renderer: in place of a FrameRenderer of that geometry. report: filled while reading.
    """
    report, renderer = report or ReadingReport(), renderer or FrameRenderer(geometry)
    sampler = FrameSampler(fps)
    previous = None
    with contextlib.closing(_read_paced(source, report, fps)) as frames:
        for timestamp, frame in frames:
            for instant, chosen in sampler.push(timestamp, frame):
                image = renderer(chosen)
                yield instant, image.copy() if image is previous else image
                previous = image
    for instant, chosen in sampler.finish():
        yield instant, renderer(chosen).copy()
    _warn(source.name, report.warnings)


def _read_paced(source: VideoSource, report: ReadingReport, fps: float | None) -> Iterator[tuple[float, SourceFrame]]:
    """`source.read`, refusing a jump in time that sampling at `fps` would fill with copies of one frame."""
    last = 0.0
    with contextlib.closing(source.read(report)) as frames:
        for timestamp, frame in frames:
            if fps is not None and timestamp - last > MAX_GAP_SECONDS:
                raise SignXVideoError(
                    f"{source.name}: frame {report.frames_decoded - 1} comes {timestamp - last:g} s after the one before it; wanted"
                    f" at most {MAX_GAP_SECONDS:g} s; correct source_fps, or re-encode the video"
                )
            last = timestamp
            yield timestamp, frame


def decode_video(
    source: VideoSource, geometry: FrameGeometry | None, fps: float | None, max_frames: int | None
) -> DecodedVideo:
    """Decode, sample and resize one video; see `DecodedVideo` for what comes back.

    A damaged source gives the frames that decode, metadata["truncated"] = True and a SignXWarning. More than `max_frames` sampled
    frames are thinned to that number at equal distances in time, with a SignXWarning; the source is then read a second time, so that
    no more than `max_frames` are ever held.
    """
    max_frames = check_max_frames(max_frames)
    instants, frames, report = _collect(source, geometry, FrameSampler(fps), max_frames, fps)
    out_fps = fps or report.fps
    if max_frames is not None and len(instants) > max_frames:
        wanted = thin_instants(instants, max_frames)
        count = len(instants)
        instants, frames, report = _collect(source, geometry, FrameSampler(instants=wanted), max_frames)
        out_fps = (max_frames - 1) / (instants[-1] - instants[0]) if max_frames > 1 else 1 / report.duration
        report.warnings.append(
            f"{count} frames exceed max_frames={max_frames}: kept {max_frames} at equal distances ({out_fps:g} fps);"
            " raise max_frames or cut the video to keep its rate"
        )
    _warn(source.name, report.warnings)
    metadata = {
        "source": source.name,
        "fps": float(out_fps),
        "source_fps": float(report.fps),
        "frames_decoded": report.frames_decoded,
        "frames": len(frames),
        "duration": float(report.duration),
        "width": report.width,
        "height": report.height,
        "rotation": report.rotation,
        "truncated": report.truncated,
        "warnings": list(report.warnings),
    }
    return DecodedVideo(np.stack(frames), np.asarray(instants, np.float64), metadata)


def _collect(
    source: VideoSource,
    geometry: FrameGeometry | None,
    sampler: FrameSampler,
    max_frames: int | None,
    fps: float | None = None,
) -> tuple[list[float], list[np.ndarray], ReadingReport]:
    """Instants and rendered frames; once there are more than `max_frames`, instants alone."""
    report, renderer = ReadingReport(), FrameRenderer(geometry)
    instants, frames = [], []

    def take(pairs: list[tuple[float, SourceFrame]]) -> None:
        for instant, frame in pairs:
            instants.append(instant)
            if max_frames is None or len(instants) <= max_frames:
                frames.append(renderer(frame))
            else:
                frames.clear()

    with contextlib.closing(_read_paced(source, report, fps)) as stream:
        for timestamp, frame in stream:
            take(sampler.push(timestamp, frame))
    take(sampler.finish())
    sizes = {image.shape for image in frames}
    if len(sizes) > 1:
        raise SignXVideoError(f"{source.name}: the frame size changes within the video; give a size to resize to")
    return instants, frames, report


def _warn(name: str, messages: list[str]) -> None:
    for message in messages:
        warnings.warn(f"{name}: {message}", SignXWarning, stacklevel=4)
