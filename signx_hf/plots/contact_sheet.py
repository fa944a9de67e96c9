"""Frames of a clip while each gloss was signed (SignX-4, figure of glosses and frames)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .figure import new_figure, save_figure

PER_GLOSS = 5


def plot_contact_sheet(
    frames: np.ndarray,
    timestamps: np.ndarray,
    segments: Sequence[dict[str, Any]],
    path: str | Path,
    title: str = "",
) -> Path:
    """Draw a row of up to five evenly spaced frames for each gloss as PNG or SVG.

    Args:
        frames: `[T, H, W, 3]` uint8.
        timestamps: `[T]` seconds of the frames.
        segments: At least one dict of `gloss`, `start`, `end` in seconds, `confidence`.
        path: Path of the figure; the suffix chooses the format.
        title: Title of the figure.
    """
    height = 1.75 * frames.shape[1] / frames.shape[2]
    figure = new_figure(1.8 * PER_GLOSS + 2.4, max(0.9, height + 0.25) * len(segments) + 0.6)
    grid = figure.subplots(len(segments), PER_GLOSS + 1, squeeze=False, width_ratios=(1.3, *[1.0] * PER_GLOSS))
    for row, part in zip(grid, segments):
        for axes in row:
            axes.set_axis_off()
        sure = "" if part.get("confidence") is None else f"\nconfidence {part['confidence']:.2f}"
        label = f"{part['gloss']}\n{part['start']:.2f} to {part['end']:.2f} s{sure}"
        row[0].text(0.0, 0.5, label, fontsize=10, va="center", transform=row[0].transAxes, wrap=True)
        for axes, index in zip(row[1:], frames_of(part, timestamps)):
            axes.imshow(frames[index])
            axes.set_title(f"{timestamps[index]:.2f} s", fontsize=8, pad=2)
    figure.suptitle(title)
    return save_figure(figure, path)


def frames_of(segment: dict[str, Any], timestamps: np.ndarray) -> list[int]:
    """Return the indices of up to five evenly spaced frames inside a segment, or of the nearest frame."""
    inside = np.flatnonzero((timestamps >= segment["start"]) & (timestamps < segment["end"]))
    if not len(inside):
        inside = np.array([np.abs(timestamps - (segment["start"] + segment["end"]) / 2).argmin()])
    places = np.linspace(0, len(inside) - 1, min(PER_GLOSS, len(inside)))
    return inside[places.round().astype(int)].tolist()
