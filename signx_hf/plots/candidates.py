"""Candidates of an isolated sign: their scores as bars."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .figure import new_figure, save_figure

BEST, OTHER = "#0072B2", "#BBBBBB"


def plot_candidates(
    candidates: Sequence[Mapping[str, Any]],
    sure: bool | None,
    rejection: Mapping[str, Any],
    path: str | Path,
    title: str = "",
) -> Path:
    """Draw a bar for each candidate as PNG or SVG: best first, the answer in blue, all grey if the model is not sure.

    Args:
        candidates: `label` and `score` from 0 to 1.
        sure: Whether the model is sure, as in a result.
        rejection: `score`, `value` and `threshold`, as in a result.
        path: Path of the figure; the suffix chooses the format.
        title: Title of the figure.
    """
    figure = new_figure(7, 1.6 + 0.4 * len(candidates))
    axes = figure.subplots()
    scores = [item["score"] for item in candidates]
    colors = [BEST if place == 0 and sure is not False else OTHER for place in range(len(candidates))]
    axes.barh(range(len(candidates)), scores, color=colors, edgecolor="black")
    for place, score in enumerate(scores):
        axes.text(score, place, f" {score:.3f}", va="center", fontsize=9)
    axes.set(yticks=range(len(candidates)), yticklabels=[item["label"] for item in candidates])
    axes.set(xlim=(0, 1.18), xlabel="score (softmax over the vocabulary)", ylim=(len(candidates) - 0.4, -0.6))
    if sure is not None:
        word = "sure" if sure else "not sure"
        axes.set_title(
            f"{word}: {rejection['score']} {rejection['value']:.3g}, threshold {rejection['threshold']:.3g}",
            fontsize=10,
        )
    figure.suptitle(title)
    return save_figure(figure, path)
