"""A hand over time, with the letters that it spells."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .figure import colors_of, draw_spans, new_figure, save_figure
from .keypoints import HAND_BONES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_HANDS = 14
WIDTH, HEIGHT = 11.2, 1.4  # inches of the axes that hands are drawn in, about
THUMB, FINGERS = "#D55E00", "#0072B2"  # distinct for color-blind readers


def plot_hands(
    hands: np.ndarray,
    seen: np.ndarray,
    segments: Sequence[dict[str, Any]],
    duration: float,
    path: str | Path,
    title: str = "",
) -> Path:
    """Draw hands at regular times over the time line of letters as PNG or SVG, written atomically.

    Args:
        hands: `[T, 21, 2]`, evenly spaced in time, x and y in one unit, y downwards.
        seen: `[T]` bool.
        segments: `gloss`, `start`, `end` in seconds and, if known, `confidence`.
        duration: Length of the clip in seconds.
        path: Path of the figure; the suffix chooses the format.
        title: Title of the figure.

    Raises:
        ImportError: If matplotlib is missing. The message names the extra.
    """
    figure = new_figure(12, 3.1)
    top, bottom = figure.subplots(2, 1, height_ratios=(2, 1), sharex=True)
    count = min(MAX_HANDS, max(len(hands), 1))
    room = duration / count
    # one size for all, so that a hand that comes nearer is seen to; as high as there is room, or as wide
    high, wide = (float(np.ptp(hands[seen][..., axis], axis=1).max()) if seen.any() else 1.0 for axis in (1, 0))
    scale = 0.9 * min(1 / high, room * WIDTH / (duration * HEIGHT * wide))
    for place in range(count):
        frame = int((place + 0.5) * len(hands) / count)
        if frame < len(hands) and seen[frame]:
            _draw_hand(top, hands[frame], ((place + 0.5) * room, 0.5), (scale * HEIGHT * duration / WIDTH, scale))
    top.set(xlim=(0, duration), ylim=(1, 0), yticks=[])
    top.tick_params(labelbottom=False)
    bottom.set(xlim=(0, duration))
    draw_spans(bottom, segments, 0, colors_of(part["gloss"] for part in segments))
    bottom.set(yticks=[0], yticklabels=["recognized"], xlabel="seconds", ylim=(0.6, -0.6))
    figure.suptitle(title)
    return save_figure(figure, path)


def _draw_hand(axes: "Axes", points: np.ndarray, middle: tuple[float, float], scale: tuple[float, float]) -> None:
    """Draw a hand `[21, 2]` around a point of the axes; `scale` is in units of the axes."""
    points = (points - (points.min(axis=0) + points.max(axis=0)) / 2) * scale + middle
    for first, second in HAND_BONES:
        axes.plot(*points[[first, second]].T, color=THUMB if second <= 4 else FINGERS, linewidth=1)
