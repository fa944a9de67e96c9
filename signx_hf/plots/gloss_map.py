"""Representations of glosses in the plane by t-SNE: tokens of one gloss should lie together."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..common.extras import require
from .figure import colors_of, new_figure, save_figure

FEWEST = 6  # points; t-SNE of fewer is meaningless
MARKERS = "osD^vP*X"


def plot_gloss_map(
    vectors: np.ndarray, glosses: Sequence[str], path: str | Path, title: str = "", seed: int = 0
) -> Path:
    """Draw a scatter plot of tokens as PNG or SVG.

    Args:
        vectors: `[N, C]`, one per token, at least six.
        glosses: N names.
        seed: Seed of t-SNE, a random projection: only which tokens lie close together means something.
        path: Path of the figure; the suffix chooses the format.
        title: Title of the figure.

    Raises:
        ValueError: If there are fewer than six tokens.
        ImportError: If scikit-learn is missing. The message names the extra.
    """
    if len(vectors) < FEWEST:
        raise ValueError(f"a map needs at least {FEWEST} glosses, got {len(vectors)}. Add clips.")
    require("sklearn")
    from sklearn.manifold import TSNE

    centered = vectors - vectors.mean(axis=0)
    perplexity = min(15.0, (len(vectors) - 1) / 3)
    places = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(centered.astype(np.float64))
    names = sorted(set(glosses))
    color = colors_of(names)
    figure = new_figure(9, 8)
    axes = figure.subplots()
    for index, name in enumerate(names):
        own = places[[gloss == name for gloss in glosses]]
        marker = MARKERS[index // len(set(color.values())) % len(MARKERS)]
        axes.scatter(*own.T, color=color[name], marker=marker, edgecolor="black", linewidth=0.5, s=40)
        for x, y in own:
            axes.annotate(name, (x, y), xytext=(4, 4), textcoords="offset points", fontsize=7)
    axes.margins(0.08)  # room for names at the border
    axes.set(
        xticks=[], yticks=[], title=f"{len(vectors)} tokens of {len(names)} glosses; only nearness means something"
    )
    figure.suptitle(title)
    return save_figure(figure, path)
