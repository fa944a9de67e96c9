"""Which gloss when: CTC evidence over the time lines of frames, latents and feature steps (SignX-4, figure of alignment)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .figure import COLOURS, colours_of, draw_spans, new_figure, save_figure


def plot_time_lines(
    probabilities: np.ndarray,
    vocabulary: Sequence[str],
    segments: Sequence[dict[str, Any]],
    lines: dict[str, int],
    duration: float,
    path: str | Path,
    title: str = "",
) -> Path:
    """CTC probability of each recognised gloss, its segment, and how the clip was divided; PNG or SVG.

    Args:
        probabilities: `[T', V]` of CTC, column 0 the blank.
        vocabulary: V - 1 glosses, those of columns 1 to V - 1.
        segments: `gloss`, `start`, `end` in seconds, `confidence`.
        lines: name of a time line -> its number of places, as `{"frames": 80, "latents": 80, "feature steps": 20}`.
        duration: seconds of the clip.
    """
    figure = new_figure(12, 5 + 0.35 * len(lines))
    top, middle, bottom = figure.subplots(3, 1, height_ratios=(2.2, 1.3, 0.45 * len(lines)), sharex=True)
    step = duration / len(probabilities)
    centres = (np.arange(len(probabilities)) + 0.5) * step
    column = {gloss: index + 1 for index, gloss in enumerate(vocabulary)}
    colours = colours_of(part["gloss"] for part in segments)
    for index, name in enumerate(colours):
        if name in column:
            style = {
                "linestyle": ("-", "--", "-.")[index // len(COLOURS) % 3],
                "marker": ".sx"[index // len(COLOURS) % 3],
            }
            top.plot(
                centres,
                probabilities[:, column[name]],
                color=colours[name],
                label=name,
                markersize=4,
                linewidth=1.5,
                **style,
            )
    others = [
        index for index in range(1, probabilities.shape[1]) if index not in {column.get(name) for name in colours}
    ]
    if others:  # where it is high, the clip may hold a gloss that was not recognised
        top.plot(centres, probabilities[:, others].max(axis=1), color="grey", linewidth=1, label="strongest other")
    top.plot(centres, probabilities[:, 0], color="black", linestyle=":", linewidth=1, label="blank")
    top.set(ylabel="CTC probability", ylim=(-0.03, 1.03))
    top.legend(fontsize=8, ncols=1 + (len(colours) > 10), loc="center left", bbox_to_anchor=(1.0, 0.5))
    middle.set(xlim=(0, duration))
    draw_spans(middle, segments, 0, colours, places=(-0.36, 0.36, -0.64, 0.64))
    middle.set(yticks=[0], yticklabels=["glosses"], ylim=(0.9, -0.9))
    for row, count in enumerate(lines.values()):
        edges = np.linspace(0, duration, count + 1)
        bottom.hlines(row, 0, duration, color="black", linewidth=0.8)
        bottom.vlines(edges, row - 0.32, row + 0.32, color="black", linewidth=0.8 if count < 200 else 0.3)
    bottom.set(yticks=range(len(lines)), yticklabels=[f"{count} {name}" for name, count in lines.items()])
    bottom.set(xlabel="seconds", ylim=(len(lines) - 0.4, -0.6))
    figure.suptitle(title)
    return save_figure(figure, path)
