"""CTC evidence over the time lines of frames, latents and feature steps (SignX-4, figure of alignment)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .figure import COLORS, colors_of, draw_spans, new_figure, save_figure


def plot_time_lines(
    probabilities: np.ndarray,
    vocabulary: Sequence[str],
    segments: Sequence[dict[str, Any]],
    lines: dict[str, int],
    duration: float,
    path: str | Path,
    title: str = "",
    start: float = 0.0,
) -> Path:
    """Draw the CTC probability of each recognized gloss, its segment, and the steps of the clip as PNG or SVG.

    Args:
        probabilities: `[T', V]` of CTC, column 0 is the blank.
        vocabulary: V - 1 glosses, those of columns 1 to V - 1.
        segments: `gloss`, `start`, `end` in seconds, `confidence`.
        lines: Name of a time line -> its number of steps, as `{"frames": 80, "latents": 80, "feature steps": 20}`.
        duration: Seconds at which the clip ends.
        path: Path of the figure; the suffix chooses the format.
        title: Title of the figure.
        start: Seconds at which its first frame begins.
    """
    figure = new_figure(12, 5 + 0.35 * len(lines))
    top, middle, bottom = figure.subplots(3, 1, height_ratios=(2.2, 1.3, 0.45 * len(lines)), sharex=True)
    step = (duration - start) / len(probabilities)
    centers = start + (np.arange(len(probabilities)) + 0.5) * step
    column = {gloss: index + 1 for index, gloss in enumerate(vocabulary)}
    colors = colors_of(part["gloss"] for part in segments)
    for index, name in enumerate(colors):
        if name in column:
            style = {
                "linestyle": ("-", "--", "-.")[index // len(COLORS) % 3],
                "marker": ".sx"[index // len(COLORS) % 3],
            }
            top.plot(
                centers,
                probabilities[:, column[name]],
                color=colors[name],
                label=name,
                markersize=4,
                linewidth=1.5,
                **style,
            )
    others = [
        index for index in range(1, probabilities.shape[1]) if index not in {column.get(name) for name in colors}
    ]
    if others:  # where it is high, the clip may hold a gloss that was not recognized
        top.plot(centers, probabilities[:, others].max(axis=1), color="grey", linewidth=1, label="strongest other")
    top.plot(centers, probabilities[:, 0], color="black", linestyle=":", linewidth=1, label="blank")
    top.set(ylabel="CTC probability", ylim=(-0.03, 1.03))
    top.legend(fontsize=8, ncols=1 + (len(colors) > 10), loc="center left", bbox_to_anchor=(1.0, 0.5))
    middle.set(xlim=(start, duration))
    draw_spans(middle, segments, 0, colors, places=(-0.36, 0.36, -0.64, 0.64))
    middle.set(yticks=[0], yticklabels=["glosses"], ylim=(0.9, -0.9))
    for row, count in enumerate(lines.values()):
        edges = np.linspace(start, duration, count + 1)
        bottom.hlines(row, start, duration, color="black", linewidth=0.8)
        bottom.vlines(edges, row - 0.32, row + 0.32, color="black", linewidth=0.8 if count < 200 else 0.3)
    bottom.set(yticks=range(len(lines)), yticklabels=[f"{count} {name}" for name, count in lines.items()])
    bottom.set(xlabel="seconds", ylim=(len(lines) - 0.4, -0.6))
    figure.suptitle(title)
    return save_figure(figure, path)
