"""Importance of the inputs: gradient x input over time and dimension (SignX-4, figure of the 1959 pose dimensions)."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .figure import HEAT, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_importance(
    importance: np.ndarray, tracks: dict[str, slice], window: tuple[float, float], path: str | Path, title: str = ""
) -> Path:
    """Draw a heat map with a red line between tracks and each track's share of the total as PNG or SVG.

    Args:
        importance: `[T, D]`, not negative.
        tracks: Name -> its columns, in order.
        window: Seconds between which the frames of `importance` lie.
        path: Path of the figure; the suffix chooses the format.
        title: Title of the figure.
    """
    figure = new_figure(12, 6)
    several = len(tracks) > 1
    left, *rest = figure.subplots(1, 2, width_ratios=(3.4, 1)) if several else [figure.subplots()]
    size = importance.shape[1]
    brightest = max(float(np.quantile(importance, 0.995)), 1e-12)  # a few cells would leave all others dark
    image = left.imshow(
        importance.T / brightest, aspect="auto", cmap=HEAT, vmin=0, vmax=1, extent=(*window, size, 0),
        interpolation="nearest",
    )  # fmt: skip
    for where in list(tracks.values())[1:]:
        left.axhline(where.start, color="red", linewidth=1.5)
    middles = [(where.start + where.stop) / 2 for where in tracks.values()]
    names = [f"{name}\n{where.stop - where.start}" for name, where in tracks.items()]
    left.set(yticks=middles, yticklabels=names, xlabel="seconds", ylabel="dimensions")
    figure.colorbar(image, ax=left, label="|gradient x input|, 1 = 99.5th percentile")
    for axes in rest:
        _draw_shares(axes, importance, tracks)
    figure.suptitle(title)
    return save_figure(figure, path)


def _draw_shares(axes: "Axes", importance: np.ndarray, tracks: dict[str, slice]) -> None:
    """Draw each track's share of the sum."""
    total = max(float(importance.sum()), 1e-12)
    shares = [100 * float(importance[:, where].sum()) / total for where in tracks.values()]
    axes.barh(range(len(tracks)), shares, color="#0072B2")
    axes.set(yticks=range(len(tracks)), yticklabels=list(tracks), xlabel="share, %")
    axes.set(xlim=(0, 1.25 * max(shares)), ylim=(len(tracks) - 0.5, -0.5))
    for row, share in enumerate(shares):
        axes.text(share, row, f" {share:.0f}", va="center", fontsize=9)
