"""Cross-attention of the text decoder for each piece that it wrote (SignX-4, figure of cross-attention)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..common.extras import require
from .figure import HEAT, new_figure, save_figure


def plot_cross_attention(
    weights: np.ndarray,
    pieces: Sequence[str],
    duration: float,
    path: str | Path,
    title: str = "",
    start: float = 0.0,
) -> Path:
    """Draw a heat map of cross-attention as PNG or SVG.

    Args:
        weights: `[L, T']`, each row sums to 1: attention of piece l over the feature steps, mean over heads.
        pieces: L names.
        duration: Seconds at which the clip ends.
        path: Path of the figure; the suffix chooses the format.
        title: Title of the figure.
        start: Seconds at which its first frame begins.
    """
    require("matplotlib")
    from matplotlib.colors import PowerNorm

    rows = len(pieces)
    figure = new_figure(10, max(3.2, 1.8 + 0.3 * rows))
    axes = figure.subplots()
    # one step often draws most of a piece's attention; on a linear scale all others would be black
    norm = PowerNorm(0.4, vmin=0, vmax=float(np.max(weights, initial=1e-12)))
    image = axes.imshow(weights, aspect="auto", cmap=HEAT, norm=norm, extent=(start, duration, rows - 0.5, -0.5))
    axes.set(yticks=range(rows), yticklabels=pieces, xlabel="seconds", ylabel="piece written")
    figure.colorbar(image, ax=axes, label="share of attention (scale to the power 0.4)")
    axes.set_title("where the decoder looked; times of signs come from CTC, not from here", fontsize=9)
    figure.suptitle(title)
    return save_figure(figure, path)
