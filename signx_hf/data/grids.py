"""Maps of the full image (depth, part labels) as rows of 24 x 24 cells, row-major: 576 numbers.

The frame is stretched to the grid: cell (r, c) covers the r-th 24th of its height and the c-th of its width, whatever
its aspect ratio.
"""

from functools import lru_cache

import numpy as np

from ..processing.errors_signx import SignXPoseError

GRID = 24
WIDTH = GRID * GRID
MAX_LABELS = 2048  # poses are stored as float16, which is exact for integers up to here


@lru_cache(maxsize=64)
def _shares(length: int) -> np.ndarray:
    """Return which share of each cell each pixel covers along one axis, [24, length]; rows add up to 1."""
    edges = np.arange(GRID + 1) * (length / GRID)
    pixels = np.arange(length)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    shares = np.clip(overlap, 0, None) * (GRID / length)
    shares.setflags(write=False)
    return shares


@lru_cache(maxsize=64)
def _cells(length: int) -> np.ndarray:
    """Return the cell that holds the center of each pixel along one axis [length]; on a border, the next cell."""
    return (2 * np.arange(length) + 1) * GRID // (2 * length)


def _checked_map(values: np.ndarray, kinds: str, what: str) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != 2 or 0 in values.shape or values.dtype.kind not in kinds:
        raise SignXPoseError(
            f"a {what} map must be numbers [height, width], got {values.dtype} of shape {list(values.shape)}. Take one channel."
        )
    return values


def area_mean(values: np.ndarray) -> np.ndarray:
    """Average a map over the area of each cell, [..., H, W] -> [..., 24, 24] float64; border pixels count by their share.

    A cell smaller than a pixel has that pixel's value.
    """
    height, width = np.shape(values)[-2:]
    return _shares(height) @ np.asarray(values, dtype=np.float64) @ _shares(width).T


def depth_to_row(depth: np.ndarray, is_inverse: bool = False) -> np.ndarray:
    """Convert a depth map [H, W] to [576] float32 relative nearness in this frame: 1 nearest, 0 farthest.

    Depth is inverted before averaging over each cell, so that a metric map (any unit) and an inverse map (known up to
    scale and offset, as from MiDaS, DPT and Depth Anything) of one scene give the same row. Then (x - min) / (max -
    min) over the cells. A constant map is 0 everywhere, as in `normalize_depth`.

    Args:
        depth: Distance in any unit, or inverse depth. NaN, and 0 or less in a distance, mark pixels that were not
            measured; they are left out of the mean, and a cell without measured pixels is 0. An infinite distance is
            the sky: inverse depth 0.
        is_inverse: Larger numbers are nearer.

    Raises:
        SignXPoseError: If the map does not hold numbers or any measured depth, or inverse depth is infinite.
    """
    values = _checked_map(depth, "fiu", "depth").astype(np.float64)
    measured = ~np.isnan(values) if is_inverse else values > 0
    if not measured.any():
        raise SignXPoseError("the depth map must have at least one measured pixel, got none. Leave the frame out.")
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
    # sums over areas are rounded: a constant map must not become noise of the last digit
    if not high - low > 1e-9 * max(abs(low), abs(high)):
        return np.zeros(WIDTH, dtype=np.float32)
    return np.where(share > 0, (cells - low) / (high - low), 0.0).astype(np.float32).ravel()


def labels_to_row(labels: np.ndarray, num_labels: int | None = None) -> np.ndarray:
    """Convert a map of integer part labels [H, W], 0 the background, to [576] float32: the majority label of each cell.

    A pixel belongs to the cell in which its center lies; with fewer pixels than cells along an axis, a cell takes the
    pixel in which its own center lies. On a tie a part wins over the background, as a thin hand matters more than the
    wall behind it, and among parts the lower label wins.

    Args:
        labels: Integers, or floats with integer values.
        num_labels: Labels must be below it; None skips that check.

    Raises:
        SignXPoseError: If the map does not hold numbers, or a label is not an integer or is out of range.
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
    order = np.roll(np.arange(count), -1)  # background last: on ties, argmax takes the first
    return order[votes[:, order].argmax(axis=1)].astype(np.float32)
