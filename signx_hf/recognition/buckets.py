"""Clips for one batch: of one kind and nearly the same length, so that little of it is padding. No clip is decoded for it."""

import os
import struct
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..processing.errors_signx import SignXWarning

Item = TypeVar("Item")

WINDOW = 8  # batches that are looked at together
LONGEST_SHARE = 1.5  # of the shortest clip of a batch, so that at most a third of it is padding
POSE_HEAD = 2**16  # bytes of a .pose file that hold its header


def length_of(path: str) -> tuple[str, float] | None:
    """Kind of a clip, `video` or `poses`, and its length: seconds of a video by its container, else frames by header or file names.

    None where that cannot be known so; whoever opens the clip says why.
    """
    from ..processing.base_pipeline_signx import is_pose

    try:
        if os.path.isdir(path):
            with os.scandir(path) as entries:
                return "poses" if is_pose(path) else "frames", float(sum(not e.name.startswith(".") for e in entries))
        if not os.path.isfile(path):  # a pipe would be waited for
            return None
        if not is_pose(path):
            return "video", _video_seconds(path)
        frames = {".npz": _npz_frames, ".npy": _npy_frames, ".pose": _pose_frames}.get(Path(path).suffix.lower())
        return None if frames is None else ("poses", float(frames(path)))
    except Exception:  # headers of damaged files: struct, unicode, zip, FFmpeg and value errors
        return None


def _video_seconds(path: str) -> float:
    import av

    with av.open(f"file:{path}", options={"protocol_whitelist": "file"}) as container:
        stream = container.streams.video[0]
        if stream.duration is not None:
            return float(stream.duration * stream.time_base)
        return container.duration / 1e6  # of a container without any: a TypeError


def _npy_header(file: Any) -> tuple[int, ...]:
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
    """Items in groups of at most `size` whose clips, `paths`, fit into one batch; of those whose length is unknown each is alone.

    Within a window of `WINDOW * size` clips they are sorted by length; the windows are in order.
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
            fits = group and kind == lengths[group[0]][0] and length <= LONGEST_SHARE * lengths[group[0]][1]
            if group and (not fits or len(group) == size):
                yield [items[i] for i in group]
                group = []
            group.append(index)
        if group:
            yield [items[i] for i in group]


def recognise_together(recognizer: Any, paths: Sequence[str], options: dict[str, Any]) -> list[dict] | None:
    """What the pipeline says of the clips of one batch; None where one of them spoils it, and each has to be recognised alone."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SignXWarning)
        try:
            results = list(recognizer(list(paths), batch_size=len(paths), **options))
        except Exception:  # of one clip, or too little memory for all: alone each clip says what is wrong with it
            return None
    for entry in caught:  # only now: alone the clips would have warned again
        warnings.showwarning(entry.message, entry.category, entry.filename, entry.lineno)
    return results
