"""Draw the figures of an explained clip."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..common.messages import readable
from ..plots.attention import plot_cross_attention
from ..plots.contact_sheet import plot_contact_sheet
from ..plots.importance import plot_importance
from ..plots.keypoints import parts_of, plot_keypoints
from ..plots.time_lines import plot_time_lines
from ..processing.errors_signx import SignXError, SignXWarning
from ..processing.pose_files_signx import PoseClip, clip_from_file
from .explanation import Explanation

if TYPE_CHECKING:
    from ..processing.base_pipeline_signx import SignXPipeline
    from ..processing.video_decoding_signx import DecodedVideo

KEYPOINT_WIDTHS = {"dwpose": 384, "mediapipe": 258, "hands": 126}
EDGE = 256  # pixels of the frames in figures


def draw(
    explanation: Explanation,
    video: str | Path | None,
    poses: str | Path | PoseClip | None,
    recognizer: "SignXPipeline",
    stem: Path,
    suffixes: Sequence[str],
) -> list[Path]:
    """Draw the figures of a clip, `STEM-NAME.png` and so on.

    Args:
        explanation: of the clip.
        video: path of the video; None if there are only poses.
        poses: path of its pose file, or None.
        recognizer: the pipeline.
        stem: folder and beginning of the names.
        suffixes: formats, such as `png`.

    Returns:
        The files.
    """
    result, written = explanation.result, []
    title = readable(stem.name) + (", mirrored: left-handed" if result["signer"]["mirrored"] else "")
    decoded = None if video is None else frames_of_video(recognizer, video)

    def add(name: str, plot: Callable[..., Path], *arguments: object) -> None:
        for suffix in suffixes:
            path = stem.with_name(f"{stem.name}-{name}.{suffix}")
            written.append(plot(*arguments, path, title))

    start, end = explanation.start, explanation.duration
    add("time_lines", partial(plot_time_lines, start=start), explanation.probabilities,
        recognizer.tokenizer.ctc_glosses, result["segments"], explanation.lines, end)  # fmt: skip
    if explanation.attention is not None:
        plot = partial(plot_cross_attention, start=start)
        add("attention", plot, explanation.attention, explanation.pieces, end)
    if explanation.importance is not None:
        add("importance", plot_importance, explanation.importance, explanation.tracks, (start, end))
    if decoded is not None and result["segments"]:
        add("contact_sheet", plot_contact_sheet, decoded.frames, decoded.timestamps, result["segments"])
    if poses is not None:
        draw_keypoints(add, poses, decoded, recognizer, explanation.duration)
    return written


def draw_keypoints(
    add: Callable[..., None],
    poses: str | Path | PoseClip,
    decoded: "DecodedVideo | None",
    recognizer: "SignXPipeline",
    duration: float,
) -> None:
    """Draw the keypoints of a clip over the frames of its video, or over black, if it has keypoints.

    Args:
        add: called with the name of the figure, the plot function and its arguments.
        poses: path of a pose file, or a `PoseClip`.
        decoded: frames of the video; None: draw over black.
        recognizer: the pipeline.
        duration: of the clip, in seconds.
    """
    clip = poses
    if not hasattr(poses, "tracks"):
        clip = clip_from_file(poses, {**KEYPOINT_WIDTHS, **recognizer.feature_extractor.read_dims})
    widths = {name: values.shape[1] for name, values in clip.tracks.items()}
    track = next((name for name, width in KEYPOINT_WIDTHS.items() if widths.get(name) == width), None)
    if track is None and decoded is None:
        return
    if track is None:
        raise SignXError(
            f"{poses} must have a track dwpose, mediapipe or hands to draw keypoints, got {', '.join(clip.tracks)}."
        )
    parts = parts_of(track, clip.tracks[track])
    count, fps = clip.num_frames, clip.fps
    if fps is None and clip.timestamps is None:
        fps = count / (duration if decoded is None else decoded.metadata["duration"])
        if decoded is not None:  # for poses alone the recognizer has warned already
            warnings.warn(
                f"{poses} has no frame rate (`fps`); {fps:.4g} fps was derived from the length of the video",
                SignXWarning, stacklevel=2,
            )  # fmt: skip
    seconds = count / (fps or 1.0)
    times = clip.timestamps if clip.timestamps is not None else clip.begins + np.arange(count) * seconds / count
    if decoded is None:
        edge = max(np.nanmax(points[seen], initial=1.0) for points, seen, _ in parts.values())
        frames, scale, offset = np.zeros((count, EDGE, EDGE, 3), np.uint8), np.full(2, 0.95 * EDGE / edge), 0.0
    else:
        nearest = np.abs(decoded.timestamps[None] - np.asarray(times)[:, None]).argmin(axis=1)
        frames = decoded.frames[nearest]
        scale, offset = _fit(decoded.metadata, frames.shape[1:3], parts)
    parts = {name: (points * scale + offset, seen, bones) for name, (points, seen, bones) in parts.items()}
    add("keypoints", plot_keypoints, frames, parts, times)


def _fit(
    metadata: Mapping[str, Any], shown: tuple[int, int], parts: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Return factors `[2]` and offsets `[2]` of x and y that map keypoints of the source picture to the padded one."""
    source = np.array([metadata["width"], metadata["height"]], dtype=float)
    largest = max(np.abs(points[seen]).max(initial=0.0) for points, seen, _ in parts.values())
    unit = source if largest <= 2 else np.ones(2)  # fractions of the frame, or pixels
    factor = min(shown[1] / source[0], shown[0] / source[1])
    offset = (np.array([shown[1], shown[0]]) - source * factor) / 2
    return unit * factor, offset


def frames_of_video(recognizer: "SignXPipeline", video: str | Path) -> "DecodedVideo":
    """Return all frames of a video, larger than the model reads them."""
    return type(recognizer.processor.video_processor)(size={"height": EDGE, "width": EDGE}, fps=None).decode(
        str(video)
    )
