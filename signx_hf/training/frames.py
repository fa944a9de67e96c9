"""Video frames for training: decoded once by the model's video processor, stored as bytes on disk, read by window."""

import contextlib
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..common.progress import progress
from ..processing.errors_signx import SignXError
from .arguments import AugmentationArguments
from .augmentation import augment_frames
from .checkpoints import replacing
from .examples import Example, pad
from .feature_cache import clip_fingerprint

if TYPE_CHECKING:
    from ..processing.video_processing_signx import SignXVideoProcessor


class FrameStore:
    """Frames `[T, H, W, 3]` uint8 of clips as `.npy` files, addressed by video bytes, span and video processor.

    Args:
        folder: of the cache.
        video_processor: decodes the videos.
    """

    def __init__(self, folder: Path, video_processor: "SignXVideoProcessor"):
        options = json.dumps(video_processor.to_dict(), sort_keys=True, default=str)
        self.fingerprint = hashlib.sha256(options.encode()).hexdigest()
        self.folder, self.video_processor = folder / self.fingerprint[:32], video_processor

    def fill(self, examples: Sequence[Example], show: str = "") -> int:
        """Decode clips that are not stored yet, and return how many were decoded.

        Each `example.arrays["frames"]` becomes a read-only view of the file.

        Args:
            examples: clips with a video.
            show: title of the progress bar; empty for none.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        decoded = 0
        for example in progress(examples, desc=show, show=bool(show)):
            path = self.folder / f"{clip_fingerprint(example, 'video')[:40]}.npy"
            try:
                frames = np.load(path, mmap_mode="r")
            except (FileNotFoundError, ValueError, EOFError):  # missing or truncated
                video = self._decode(example)
                with replacing(path) as tmp_path:
                    np.save(tmp_path, video)
                frames, decoded = np.load(path, mmap_mode="r"), decoded + 1
            example.arrays["frames"] = frames
            if example.segments:
                example.start = self._start(example)
        return decoded

    def _start(self, example: Example) -> float:
        """Return the seconds of the first frame of a clip, on the clock of its segments."""
        with contextlib.closing(self.video_processor.iter_frames(_video_of(example))) as frames:
            return max(0.0, next(frames)[0] - (example.span[0] or 0.0))

    def _decode(self, example: Example) -> np.ndarray:
        video = self.video_processor.decode(_video_of(example))
        start, end = example.span
        inside = np.ones(len(video.frames), dtype=bool)
        if start is not None:
            inside &= video.timestamps >= start - 1e-6
        if end is not None:
            inside &= video.timestamps < end - 1e-6
        if not inside.any():
            raise SignXError(
                f"clip {example.id}: the video of {video.metadata['duration']:.2f} s has no frame from {start} to {end} s. Correct start and end."
            )
        return video.frames[inside]


def _video_of(example: Example) -> bytes | str:
    return example.video.get("bytes") or example.video["path"]


def check_videos(examples: Sequence[Example]) -> None:
    """Check that every clip has a video.

    Raises:
        SignXError: If a clip has none. The message names the first one.
    """
    for example in examples:
        if not example.video or not (example.video.get("path") or example.video.get("bytes")):
            # a folder of frames is not a video file
            raise SignXError(f"clip {example.id} has no video file. Set source: poses, or remove the clip.")


def check_lengths(examples: Sequence[Example], rows: str) -> None:
    """Check that every clip has as many frames as rows, give or take one.

    Args:
        examples: clips with `frames` in their arrays; `length` counts the rows.
        rows: what the rows are, for the message.

    Raises:
        SignXError: If the lengths of a clip differ. The message names the first one.
    """
    for example in examples:
        frames = len(example.arrays["frames"])
        if abs(frames - example.length) > 1:
            raise SignXError(
                f"clip {example.id} must have as many {rows} as video frames, got {example.length} and {frames}. Extract the poses from this "
                "video, and give both the same frame rate."
            )


def evenly(frames: int, length: int) -> np.ndarray:
    """Return `length` indices at equal distances over `frames`: the frames of a clip resampled to that length."""
    return np.rint(np.linspace(0, frames - 1, length)).astype(int)


def window(length: int, size: int, random: np.random.Generator, margin: int = 0) -> slice:
    """Return a span of at most `size` frames at a random position.

    Its core, the span without `margin` frames on both sides, is drawn evenly; a window that would leave the clip is moved inside.
    """
    start = int(random.integers(0, max(1, length - (size - 2 * margin) + 1))) - margin
    start = max(0, min(start, length - size))
    return slice(start, start + min(size, length))


def core(where: slice, length: int, margin: int) -> np.ndarray:
    """Return which frames `[T]` of a window have `margin` frames of context, or all that the clip has, on both sides."""
    frames = np.arange(where.start, where.stop)
    before = (where.start == 0) | (frames >= where.start + margin)
    return before & ((where.stop == length) | (frames < where.stop - margin))


def video_inputs(
    examples: Sequence[Example],
    video_processor: "SignXVideoProcessor",
    options: AugmentationArguments,
    randoms: Sequence[np.random.Generator] | None,
    windows: Sequence[slice | np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Return padded `pixel_values_videos` `[B, T, 3, H, W]` and `frame_mask` `[B, T]` of clips whose frames are in a FrameStore.

    Args:
        examples: of the batch.
        video_processor: normalizes the frames.
        options: of augmentation.
        randoms: a generator for each clip, or None for no augmentation.
        windows: frames of each clip, as a slice or indices; all if not given.
    """
    windows = [slice(None)] * len(examples) if windows is None else windows
    clips = []
    for index, (example, where) in enumerate(zip(examples, windows)):
        frames = np.asarray(example.arrays["frames"][where])
        pixels = np.empty((len(frames), 3, *frames.shape[1:3]), np.float32)
        video_processor.normalize_frames(frames, out=pixels)
        if randoms is not None and (options.brightness or options.color or options.crop):
            pixels = augment_frames(pixels, options, randoms[index]).astype(np.float32, copy=False)
        clips.append(pixels)
    mask = pad([np.ones(len(clip), dtype=bool) for clip in clips], False)
    return {"pixel_values_videos": pad(clips), "frame_mask": mask}
