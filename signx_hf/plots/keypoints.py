"""Keypoints drawn over the frames in which they were detected."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..processing.keypoints_signx import (
    DWPOSE_BODY,
    DWPOSE_FACE,
    DWPOSE_LEFT_HAND,
    DWPOSE_RIGHT_HAND,
    dwpose_points,
    mediapipe_points,
)  # fmt: skip
from .figure import new_figure, save_figure

SHOWN = 8
OPENPOSE_BONES = (
    (1, 2), (2, 3), (3, 4), (1, 5), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13), (1, 0),
    (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
MEDIAPIPE_BONES = (
    (11, 12), (11, 13), (13, 15), (12, 14), (14, 16), (11, 23), (12, 24), (23, 24), (23, 25), (25, 27), (24, 26),
    (26, 28), (0, 2), (0, 5), (2, 7), (5, 8), (9, 10),
)  # fmt: skip
HAND_BONES = tuple(
    pair for base in (1, 5, 9, 13, 17) for pair in ((0, base), (base, base + 1), (base + 1, base + 2), (base + 2, base + 3))
)  # fmt: skip
# colors of parts; blue and orange are distinct for color-blind readers
PARTS = {
    "body": "#F0E442", "left hand": "#56B4E9", "right hand": "#D55E00", "face": "#FFFFFF", "first hand": "#D55E00",
    "second hand": "#56B4E9",
}  # fmt: skip
Part = tuple[np.ndarray, np.ndarray, tuple[tuple[int, int], ...]]


def parts_of(track: str, rows: np.ndarray) -> dict[str, Part]:
    """Split rows of a `dwpose`, `mediapipe` or `hands` track into points `[T, K, 2]`, presence `[T, K]` and bones."""
    if track == "hands":  # which of them is the left one is not known
        hands = np.asarray(rows, np.float64).reshape(len(rows), 2, -1, 3)
        seen = np.isfinite(hands).all(3) & hands.any((2, 3))[..., None]
        hands = np.where(seen[..., None], hands, 0.0)
        return {f"{n} hand": (hands[:, i, :, :2], seen[:, i], HAND_BONES) for i, n in enumerate(("first", "second"))}
    if track == "dwpose":
        points, seen = dwpose_points(rows)
        places = {"body": (DWPOSE_BODY, OPENPOSE_BONES), "left hand": (DWPOSE_LEFT_HAND, HAND_BONES),
                  "right hand": (DWPOSE_RIGHT_HAND, HAND_BONES), "face": (DWPOSE_FACE, ())}  # fmt: skip
        return {name: (points[:, where, :2], seen[:, where], bones) for name, (where, bones) in places.items()}
    body, seen, hands, hands_seen = mediapipe_points(rows)
    return {
        "body": (body[..., :2], seen, MEDIAPIPE_BONES),
        "left hand": (hands[:, 0, :, :2], hands_seen[:, 0], HAND_BONES),
        "right hand": (hands[:, 1, :, :2], hands_seen[:, 1], HAND_BONES),
    }


def plot_keypoints(
    frames: np.ndarray, parts: dict[str, Part], times: Sequence[float], path: str | Path, title: str = ""
) -> Path:
    """Draw up to eight evenly spaced frames of a clip with their keypoints as PNG or SVG.

    Args:
        frames: `[T, H, W, 3]` uint8.
        parts: As `parts_of` returns them, with coordinates in pixels of these frames.
        times: T seconds.
        path: Path of the figure; the suffix chooses the format.
        title: Title of the figure.
    """
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(SHOWN, len(frames))).round().astype(int))
    columns = min(4, len(chosen))
    rows = -(-len(chosen) // columns)
    height = 2.9 * frames.shape[1] / frames.shape[2] + 0.3
    figure = new_figure(2.9 * columns, height * rows + 0.9)
    for axes in figure.subplots(rows, columns, squeeze=False).ravel()[len(chosen) :]:
        axes.set_axis_off()
    for axes, index in zip(figure.axes, chosen):
        axes.imshow(frames[index] // 2)  # darker, so that the points stand out
        axes.set(xlim=(0, frames.shape[2]), ylim=(frames.shape[1], 0))
        axes.set_axis_off()
        axes.set_title(f"{times[index]:.2f} s", fontsize=8, pad=2)
        for name, (points, seen, bones) in parts.items():
            _draw_part(axes, points[index], seen[index], bones, PARTS[name])
    handles = [
        figure.axes[0].plot([], [], color=PARTS[name], marker="o", markeredgecolor="black", label=name)[0]
        for name in parts
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(parts), fontsize=9)
    figure.suptitle(title)
    return save_figure(figure, path)


def _draw_part(axes, points: np.ndarray, seen: np.ndarray, bones, color: str) -> None:
    for first, second in bones:
        if seen[first] and seen[second]:
            axes.plot(*points[[first, second]].T, color=color, linewidth=1)
    axes.plot(*points[seen].T, ".", color=color, markersize=2)
