"""Glosses over time: frames of a clip above the time lines of recognition and ground truth."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .figure import colors_of, draw_spans, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_FRAMES = 10


def plot_alignment(
    frames: np.ndarray,
    segments: Sequence[dict[str, Any]],
    duration: float,
    path: str | Path,
    truth: Sequence[dict[str, Any]] | None = None,
    title: str = "",
) -> Path:
    """Draw the frames and glosses of a clip as PNG or SVG, written atomically.

    Args:
        frames: `[T, H, W, 3]` uint8, evenly spaced over the clip.
        segments: `gloss`, `start`, `end` in seconds and, if known, `confidence`, as the pipeline returns them.
        duration: Length of the clip in seconds.
        path: Path of the figure; the suffix chooses the format.
        truth: The true segments, drawn below.
        title: Title of the figure.

    Raises:
        ImportError: If matplotlib is missing. The message names the extra.
    """
    lines = [("recognized", segments)] + ([("truth", truth)] if truth is not None else [])
    figure = new_figure(12, 2.4 + 0.75 * len(lines))
    top, bottom = figure.subplots(2, 1, height_ratios=(1.6, 0.75 * len(lines)), sharex=True)
    _draw_frames(top, frames, duration)
    colors = colors_of(part["gloss"] for _, parts in lines for part in parts)
    bottom.set(xlim=(0, duration))
    for row, (_, parts) in enumerate(lines):
        draw_spans(bottom, parts, row, colors)
    bottom.set(yticks=range(len(lines)), yticklabels=[name for name, _ in lines], xlabel="seconds")
    bottom.set(ylim=(len(lines) - 0.4, -0.6))
    figure.suptitle(title)
    return save_figure(figure, path)


def _draw_frames(axes: "Axes", frames: np.ndarray, duration: float) -> None:
    """Draw up to ten frames side by side, each over its own time."""
    count = min(MAX_FRAMES, len(frames))
    width = duration / count
    for index in range(count):
        frame = frames[int((index + 0.5) * len(frames) / count)]
        axes.imshow(frame, extent=(index * width, (index + 1) * width, 0, 1), aspect="auto")
    axes.set(xlim=(0, duration), ylim=(0, 1), yticks=[])
    axes.tick_params(labelbottom=False)
