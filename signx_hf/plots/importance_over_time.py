"""Importance of the frames of a clip over time, track by track."""

from pathlib import Path

import numpy as np

from .figure import colors_of, new_figure, save_figure


def plot_importance_over_time(
    importance: np.ndarray,
    tracks: dict[str, slice],
    window: tuple[float, float],
    duration: float,
    span: tuple[float, float],
    path: str | Path,
    title: str = "",
) -> Path:
    """Draw stacked areas of the tracks and the span of the signing as PNG or SVG.

    Args:
        importance: `[T, D]`, not negative.
        tracks: Name -> its columns.
        window: Seconds between which the frames of `importance` lie.
        duration: Length of the clip in seconds.
        span: Seconds between which the hands sign.
        path: Path of the figure; the suffix chooses the format.
        title: Title of the figure.
    """
    figure = new_figure(10, 3.6)
    axes = figure.subplots()
    total = max(float(importance.sum()), 1e-12)
    edges = np.linspace(*window, len(importance) + 1)
    shares = {name: 100 * importance[:, where].sum(1) / total for name, where in tracks.items()}
    shares = {name: values for name, values in shares.items() if values.any()}
    color, below = colors_of(shares), np.zeros(len(importance))
    for name, values in shares.items():
        axes.stairs(below + values, edges, baseline=below, fill=True, color=color[name], label=name)
        below = below + values
    axes.axvspan(*span, color="black", alpha=0.08, label="signing")
    axes.set(xlim=(0, duration), ylim=(0, None), xlabel="seconds", ylabel="share of |gradient x input|, %")
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.suptitle(title)
    return save_figure(figure, path)
