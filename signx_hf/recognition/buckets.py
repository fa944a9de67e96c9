"""Group clips into batches of one kind and similar length, so that little is padding. No clip is decoded for it."""

import os
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np

from ..processing.errors_signx import SignXWarning

Item = TypeVar("Item")

WINDOW = 8  # batches whose clips are sorted by length together
MAX_LENGTH_RATIO = 1.5  # longest to shortest clip of a batch, so that at most a third of it is padding
POSE_HEAD = 2**16  # bytes of a .pose file that hold its header


def length_of(path: str) -> tuple[str, float] | None:
    """Return the kind and length of a clip, without decoding it.

    Returns:
        ("video", seconds by the container), ("frames", number of images) or ("poses", number of frames), or None where
        that is not known; the error is raised where the clip is opened.
    """
    from ..processing.base_pipeline_signx import is_pose

    try:
        if os.path.isdir(path):
            with os.scandir(path) as entries:
                return "poses" if is_pose(path) else "frames", float(sum(not e.name.startswith(".") for e in entries))
        if not os.path.isfile(path):  # opening a pipe would block
            return None
        if not is_pose(path):
            return "video", _video_seconds(path)
        frames = {".npz": _npz_frames, ".npy": _npy_frames, ".pose": _pose_frames}.get(Path(path).suffix.lower())
        return None if frames is None else ("poses", float(frames(path)))
    except Exception:  # headers of damaged files: struct, unicode, zip, FFmpeg and value errors
        return None


def _video_seconds(path: str) -> float:
    import av

    from ..processing.video_sources_signx import FILE_OPTIONS

    with av.open(f"file:{path}", options=dict(FILE_OPTIONS)) as container:
        stream = container.streams.video[0]
        if stream.duration is not None:
            return float(stream.duration * stream.time_base)
        return container.duration / 1e6  # raises TypeError if the container has none


def _npy_header(file: IO[bytes]) -> tuple[int, ...]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(file)[0]


def _npy_frames(path: str) -> int:
    with open(path, "rb") as file:
        return _npy_header(file)[0]


def _npz_frames(path: str) -> int:
    with zipfile.ZipFile(path) as archive:
        shapes = []
        for name in archive.namelist():
            with archive.open(name) as file:
                shapes.append(_npy_header(file))
    return max(shape[0] for shape in shapes if len(shape) > 1)


def _pose_frames(path: str) -> int:
    from pose_format.pose_header import PoseHeader
    from pose_format.utils.reader import BufferReader

    with open(path, "rb") as file:
        reader = BufferReader(file.read(POSE_HEAD))
    header = PoseHeader.read(reader)
    layout = "<fI" if round(header.version, 1) >= 0.2 else "<HH"  # fps, frames
    return struct.unpack_from(layout, reader.buffer, reader.read_offset)[1]


def buckets(items: Sequence[Item], paths: Sequence[str], size: int) -> Iterator[list[Item]]:
    """Yield groups of items whose clips fit into one batch.

    Clips are sorted by length within windows of `WINDOW * size`; the windows are in order. A clip of unknown length is
    alone.

    Args:
        items: The items to group.
        paths: Clip of each item.
        size: Maximum number of items of a group.
    """
    if size == 1:
        yield from ([item] for item in items)
        return
    for start in range(0, len(items), WINDOW * size):
        window = range(start, min(start + WINDOW * size, len(items)))
        lengths = {index: length_of(paths[index]) for index in window}
        yield from ([items[index]] for index in window if lengths[index] is None)
        group: list[int] = []
        for index in sorted((i for i in window if lengths[i] is not None), key=lambda i: (*lengths[i], i)):
            kind, length = lengths[index]
            fits = group and kind == lengths[group[0]][0] and length <= MAX_LENGTH_RATIO * lengths[group[0]][1]
            if group and (not fits or len(group) == size):
                yield [items[i] for i in group]
                group = []
            group.append(index)
        if group:
            yield [items[i] for i in group]


def recognize_together(
    recognizer: Callable[..., Any], paths: Sequence[str], options: dict[str, Any]
) -> list[dict] | None:
    """Recognize clips in one batch.

    Returns:
        The result of each, or None if the batch failed and each clip has to be recognized alone.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SignXWarning)
        try:
            results = list(recognizer(list(paths), batch_size=len(paths), **options))
        except Exception:  # of one clip, or out of memory; recognized alone, the bad clip raises its own error
            return None
    for entry in caught:  # after success only, because clips recognized alone warn again
        warnings.showwarning(entry.message, entry.category, entry.filename, entry.lineno)
    return results
