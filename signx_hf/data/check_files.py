"""Open the files of a clip: whether they can be read, and how many frames at what rate they hold."""

import contextlib
import io
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..processing.errors_signx import SignXError
from ..processing.keypoints_signx import (
    DWPOSE_BODY,
    DWPOSE_WIDTH,
    HANDS_WIDTH,
    MEDIAPIPE_WIDTH,
    dwpose_points,
    mediapipe_points,
)
from ..processing.video_sources_signx import IMAGE_SUFFIXES, FileSource, FolderSource
from ..processing.video_timing_signx import ReadingReport

BODILESS = " (all rows masked, NaN or without a body)"
SAME_RATE = 0.01  # 29.97 and 30 frames/s are the same rate

Fault = tuple[str, str]  # a key of `check.FAULTS`, and what is wrong


@dataclass
class Media:
    """What a file of a clip holds.

    Attributes:
        frames: Number of frames; None if unknown.
        seconds: Their duration; None if unknown.
        fps: Frames per second; None if unknown.
        widths: Track -> numbers of a row.
        source: The video, if `frames` is the number of its packets, which is seldom too high.
    """

    frames: int | None = None
    seconds: float | None = None
    fps: float | None = None
    widths: dict[str, int] = field(default_factory=dict)
    source: FileSource | None = None

    def decode(self) -> int:
        """Return the exact number of frames, for which a video is decoded once."""
        if self.source is not None:
            with contextlib.suppress(SignXError), contextlib.closing(self.source.read(ReadingReport())) as frames:
                self.frames = sum(1 for _ in frames)
            self.source = None
        return self.frames or 0

    def agrees(self, frames: int, fps: float | None) -> bool:
        """Return whether an annotation has as many frames, or as many seconds of frames at another rate `fps`.

        One more or less is the same: detectors may drop the last frame, and cuts are rounded.
        """
        if not self.frames or abs(self.frames - frames) <= 1:
            return True
        if not fps or not self.seconds:
            return False
        slack = (
            1.5 + fps * self.seconds / self.frames
        )  # a frame of either rate: how long the last one lasts is seldom known
        return abs(self.seconds * fps - frames) <= slack


def wrong_layout(name: str, width: int) -> str | None:
    """Return what is wrong with the width of a track that has a fixed layout, or None."""
    expected = {"dwpose": DWPOSE_WIDTH, "mediapipe": MEDIAPIPE_WIDTH}.get(name, width)
    return None if width == expected else f"track '{name}' must have width {expected}, as its layout says, got {width}"


def with_body(name: str, values: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Return which observed frames `[T]` training reads.

    Those are frames with a body point (`dwpose`, `mediapipe`) or with a hand (`hands`).
    """
    if name == "dwpose":
        return observed & dwpose_points(values)[1][:, DWPOSE_BODY].any(axis=1)
    if (name, values.shape[1]) == ("hands", HANDS_WIDTH):
        return observed & (values != 0).any(axis=1)
    return observed & mediapipe_points(values)[1].any(axis=1) if name == "mediapipe" else observed


def check_video(video: str | bytes, name: str = "video") -> Fault | Media:
    """Decode the first frame of a video, which detects a broken or empty file, and count its frames.

    Args:
        video: Path, or the content of a file.
        name: Name of a video without a path, for messages.
    """
    if isinstance(video, str) and os.path.isdir(video):
        return check_frames(video)
    try:
        source = FileSource(Path(video), video) if isinstance(video, str) else FileSource(io.BytesIO(video), name)
        with contextlib.closing(source.read(ReadingReport())) as frames:
            next(frames)
        count, seconds = source.count()
        fps, mean = source.header()[0], count / seconds if seconds else None
        if mean and not (fps and abs(fps / mean - 1) <= SAME_RATE):  # a variable rate, or a header that is wrong
            fps = mean
        return Media(count, seconds or None, fps, source=source)
    except (SignXError, OSError, ValueError) as error:
        return "unreadable-file", " ".join(str(error).split())


def check_frames(path: str) -> Fault | Media:
    """Check a folder of numbered images, of which none is empty."""
    try:
        frames = round(FolderSource(Path(path), fps=1.0).header()[1])
        images = [entry for entry in os.scandir(path) if entry.name.lower().endswith(IMAGE_SUFFIXES)]
        empty = next((image.name for image in images if image.is_file() and not image.stat().st_size), None)
    except (SignXError, OSError) as error:
        return "unreadable-file", " ".join(str(error).split())
    return ("unreadable-file", f"{path}/{empty} is empty") if empty else Media(frames)


def check_track(path: str) -> Fault | Media:
    """Open a pose file and check that it can be read, observes something and holds finite numbers."""
    if Path(path).suffix.lower() not in (".npz", ".npy"):
        return _check_pose_file(path)
    try:
        content = np.load(path, allow_pickle=False)
        arrays = {"": content} if isinstance(content, np.ndarray) else {name: content[name] for name in content.files}
    except Exception as error:  # zip, header, pickle and memory errors of numpy's reader
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        if "pickled" in reason:  # numpy takes any foreign file for a pickle
            reason = "not written by numpy.save or numpy.savez, or holds objects"
        return "unreadable-file", f"{path} cannot be read ({reason})"
    tracks = {name: rows for name, rows in arrays.items() if rows.ndim == 2 and rows.dtype.kind == "f"}
    frames = next((len(rows) for rows in arrays.values() if rows.ndim > 1 and rows.dtype.kind in "fiu"), None)
    observed_any = not tracks
    for name, rows in tracks.items():
        frames = len(rows)
        observed = ~np.isnan(rows).all(axis=1)
        mask = arrays.get(f"{name}_mask")
        if mask is not None and mask.shape == observed.shape:
            observed &= mask.astype(bool)
        problem = wrong_layout(name, rows.shape[1])
        if problem:
            return "bad-poses", f"{path}: {problem}"
        observed_any |= bool(with_body(name, rows, observed).any())
        if (~np.isfinite(rows).all(axis=1) & observed).any():
            return "bad-poses", f"{path}: track '{name}' has non-finite numbers"
    if not observed_any:
        return "masked-poses", f"{path}: no track is observed in any frame{BODILESS}"
    rate = arrays.get("fps")
    fps = float(rate) if rate is not None and rate.shape == () and rate.dtype.kind in "fiu" and rate > 0 else None
    widths = {name: rows.shape[1] for name, rows in tracks.items() if name}
    return Media(frames, frames / fps if frames and fps else None, fps, widths)


def _check_pose_file(path: str) -> Fault | Media:
    """Check a pose file that numpy does not read: `.pose`, OpenPose JSON."""
    from ..processing.pose_files_signx import read_pose_file  # imports torch, which annotations and videos do not need

    try:
        clip = read_pose_file(path)
    except SignXError as error:
        return "unreadable-file", " ".join(str(error).split())
    except ImportError:  # pose-format is an extra
        return Media()
    if not any(with_body(name, rows, clip.masks[name]).any() for name, rows in clip.tracks.items()):
        return "masked-poses", f"{path}: no track is observed in any frame{BODILESS}"
    return Media(clip.num_frames, clip.num_frames / clip.fps if clip.fps else None, clip.fps)
