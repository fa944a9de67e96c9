"""Maps of the whole picture (depth, part labels) -> rows of 24 x 24 cells, row major: 576 numbers.

The frame is stretched to the grid: cell (r, c) covers the r-th 24th of its height and the c-th of its width, whatever its shape.
"""

from functools import lru_cache

import numpy as np

from ..processing.errors_signx import SignXPoseError

GRID = 24
WIDTH = GRID * GRID
BACKGROUND = 0
MAX_LABELS = 2048  # poses are stored as float16, which keeps whole numbers up to here


@lru_cache(maxsize=64)
def _shares(length: int) -> np.ndarray:
    """[24, length]: which share of each cell is covered by each pixel along one axis; rows add up to 1."""
    edges = np.arange(GRID + 1) * (length / GRID)
    pixels = np.arange(length)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    shares = np.clip(overlap, 0, None) * (GRID / length)
    shares.setflags(write=False)
    return shares


@lru_cache(maxsize=64)
def _cells(length: int) -> np.ndarray:
    """[length]: the cell in which the centre of each pixel lies along one axis; a centre on a border belongs to the next."""
    return (2 * np.arange(length) + 1) * GRID // (2 * length)


def _checked_map(values: np.ndarray, kinds: str, what: str) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != 2 or 0 in values.shape or values.dtype.kind not in kinds:
        raise SignXPoseError(
            f"a {what} map must be numbers [height, width], got {values.dtype} of shape {list(values.shape)}. Take one channel."
        )
    return values


def area_mean(values: np.ndarray) -> np.ndarray:
    """[..., H, W] -> [..., 24, 24] float64: the mean over the area of each cell, pixels on a border counted by their share.

    A cell smaller than a pixel has that pixel's value.
    """
    height, width = np.shape(values)[-2:]
    return _shares(height) @ np.asarray(values, dtype=np.float64) @ _shares(width).T


def depth_to_row(depth: np.ndarray, is_inverse: bool = False) -> np.ndarray:
    """A depth map [H, W] -> [576] float32 relative nearness in this frame: 1 the nearest cell, 0 the farthest.

    Depth turns into inverse depth before the mean over each cell, so that a metric map (any unit) and an inverse map (known up
    to scale and offset, as MiDaS, DPT and Depth Anything give it) of one scene have one row. Then (x - min) / (max - min) over
    the cells. A constant map is 0 everywhere, as in `normalize_depth`: nothing is nearer than the rest.

    Args:
        depth: distance in any unit, or inverse depth. Not measured: NaN, and 0 or less in a distance; such pixels are left out of
            the mean, and a cell that has no other is 0. An infinite distance is the sky: inverse depth 0.
        is_inverse: larger numbers are nearer.

    Raises:
        SignXPoseError: not a map of numbers, nothing measured, infinite inverse depth.
    """
    values = _checked_map(depth, "fiu", "depth").astype(np.float64)
    measured = ~np.isnan(values) if is_inverse else values > 0
    if not measured.any():
        raise SignXPoseError("a depth map has no pixel with a measured depth. Leave the frame out.")
    if not is_inverse:
        values = np.divide(1.0, values, out=np.zeros_like(values), where=measured)
    if not np.isfinite(values[measured]).all():
        raise SignXPoseError(
            "a map of inverse depth must hold finite numbers, or NaN where nothing was measured, got an infinite one."
        )
    share = area_mean(measured)
    cells = area_mean(np.where(measured, values, 0.0)) / np.where(share > 0, share, 1.0)
    seen = cells[share > 0]
    low, high = seen.min(), seen.max()
    # sums over areas round: a map that is constant must not become noise of the last digit
    if not high - low > 1e-9 * max(abs(low), abs(high)):
        return np.zeros(WIDTH, dtype=np.float32)
    return np.where(share > 0, (cells - low) / (high - low), 0.0).astype(np.float32).ravel()


def labels_to_row(labels: np.ndarray, num_labels: int | None = None) -> np.ndarray:
    """A map of part labels [H, W], whole numbers, 0 the background -> [576] float32: the label of most pixels in each cell.

    A pixel belongs to the cell its centre lies in; with fewer pixels than cells along an axis, a cell takes the pixel that its
    own centre lies in. On a tie a part goes before the background, for a thin hand is worth more than the wall behind it, and
    among parts the lower label wins.

    Args:
        labels: integers, or floats that are whole.
        num_labels: labels are below it; None for no such check.

    Raises:
        SignXPoseError: not a map of numbers, a label that is no whole number or out of range.
    """
    labels = _checked_map(labels, "fiub", "label")
    whole = labels.astype(np.int64) if np.isfinite(labels).all() else None
    limit = MAX_LABELS if num_labels is None else num_labels
    if whole is None or (whole != labels).any() or whole.min() < 0 or whole.max() >= limit:
        raise SignXPoseError(
            f"a label map must hold integers from 0 to {limit - 1}, got {labels.min()} to {labels.max()}. Pass the map of classes."
        )
    for axis, length in enumerate(whole.shape):
        if length < GRID:
            whole = np.take(whole, (2 * np.arange(GRID) + 1) * length // (2 * GRID), axis=axis)
    count = int(whole.max()) + 1
    cell = _cells(whole.shape[0])[:, None] * GRID + _cells(whole.shape[1])
    votes = np.bincount((cell * count + whole).ravel(), minlength=WIDTH * count).reshape(WIDTH, count)
    order = np.roll(np.arange(count), -1)  # the background last: argmax takes the first of equals
    return order[votes[:, order].argmax(axis=1)].astype(np.float32)
