"""Which gloss was signed when: frames of a clip over the time lines of recognition and truth."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..extras import require

# Okabe and Ito's colours, told apart by colour-blind readers
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
MAX_FRAMES = 10


def plot_alignment(
    frames: np.ndarray,
    segments: Sequence[dict[str, Any]],
    duration: float,
    path: str | Path,
    truth: Sequence[dict[str, Any]] | None = None,
    title: str = "",
) -> Path:
    """Draws a PNG or SVG, by the suffix of `path`, which appears whole.

    Args:
        frames: `[T, H, W, 3]` uint8, spread evenly over the clip.
        segments: `gloss`, `start`, `end` in seconds and, if known, `confidence`, as the pipeline gives them.
        duration: seconds of the clip.
        truth: the same of a reference, drawn below.

    Raises:
        ImportError: names the extra that brings matplotlib.
    """
    require("matplotlib")
    from matplotlib.figure import Figure  # no pyplot: no global state, no display

    lines = [("recognised", segments)] + ([("truth", truth)] if truth is not None else [])
    figure = Figure(figsize=(12, 2.4 + 0.75 * len(lines)), layout="constrained")
    top, bottom = figure.subplots(2, 1, height_ratios=(1.6, 0.75 * len(lines)), sharex=True)
    _draw_frames(top, frames, duration)
    names = list(dict.fromkeys(part["gloss"] for _, parts in lines for part in parts))
    colour = {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(names)}
    for row, (_, parts) in enumerate(lines):
        for index, part in enumerate(parts):
            width = part["end"] - part["start"]
            bottom.barh(row, width, left=part["start"], height=0.5, color=colour[part["gloss"]], edgecolor="black")
            sure = part.get("confidence")
            label = part["gloss"] + ("" if sure is None else f" {sure:.2f}")
            # every other label stands lower: neighbours of short signs would overlap
            height = row + (0.36 if index % 2 else -0.36)
            bottom.text(part["start"] + width / 2, height, label, ha="center", va="center", fontsize=8)
    bottom.set(yticks=range(len(lines)), yticklabels=[name for name, _ in lines], xlabel="seconds")
    bottom.set(xlim=(0, duration), ylim=(len(lines) - 0.4, -0.6))
    figure.suptitle(title)
    path = Path(path)
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    figure.savefig(part, dpi=120)
    part.replace(path)
    return path


def _draw_frames(axes: Any, frames: np.ndarray, duration: float) -> None:
    """Up to ten frames side by side, each over its own time."""
    count = min(MAX_FRAMES, len(frames))
    width = duration / count
    for index in range(count):
        frame = frames[int((index + 0.5) * len(frames) / count)]
        axes.imshow(frame, extent=(index * width, (index + 1) * width, 0, 1), aspect="auto")
    axes.set(xlim=(0, duration), ylim=(0, 1), yticks=[])
    axes.tick_params(labelbottom=False)
