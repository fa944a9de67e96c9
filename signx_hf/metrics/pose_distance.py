"""Distances between pose sequences."""

import numpy as np

from ..processing.errors_signx import SignXError
from .arrays import numbers_of, truths


def _joints(name: str, poses: np.ndarray, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    poses = numbers_of(name, poses)
    if poses.ndim != 3 or not poses.size:
        raise SignXError(
            f"`{name}` must be [frames, joints, 2 or 3] without an empty axis, got shape {list(poses.shape)}."
        )
    seen = np.ones(poses.shape[:2], dtype=bool) if mask is None else truths(f"{name}_mask", mask)
    if seen.shape != poses.shape[:2]:
        raise SignXError(f"`{name}_mask` must have shape {list(poses.shape[:2])}, got {list(seen.shape)}.")
    if not np.isfinite(poses[seen]).all():
        raise SignXError(
            f"`{name}` must hold finite numbers wherever its mask is true. Mask the joints that were not observed."
        )
    return np.where(seen[..., None], poses, 0.0), seen


def _pair(predicted, reference, predicted_mask, reference_mask):
    left, seen_left = _joints("predicted", predicted, predicted_mask)
    right, seen_right = _joints("reference", reference, reference_mask)
    if left.shape[1:] != right.shape[1:]:
        raise SignXError(
            f"`predicted` and `reference` must have the same joints, got {list(left.shape[1:])} and {list(right.shape[1:])}."
        )
    return left, seen_left, right, seen_right


def mpjpe(
    predicted: np.ndarray,
    reference: np.ndarray,
    predicted_mask: np.ndarray | None = None,
    reference_mask: np.ndarray | None = None,
) -> float:
    """Compute the mean per-joint position error: the mean distance over the joints that both sides observe.

    Args:
        predicted: `[T, J, 2 or 3]` positions.
        reference: `[T, J, 2 or 3]` positions of as many frames; see `dtw_mpjpe` for different lengths.
        predicted_mask: `[T, J]`, true where a joint was observed; default: everywhere.
        reference_mask: The same for the reference.

    Raises:
        SignXError: If shapes do not match, a number is not finite, or no joint is observed on both sides.
    """
    left, seen_left, right, seen_right = _pair(predicted, reference, predicted_mask, reference_mask)
    if len(left) != len(right):
        raise SignXError(
            f"`predicted` and `reference` must have the same number of frames, got {len(left)} and {len(right)}. "
            "Use dtw_mpjpe for different lengths."
        )
    both = seen_left & seen_right
    if not both.any():
        raise SignXError("`predicted` and `reference` must have a joint that is observed in both, got none.")
    return float(np.linalg.norm(left - right, axis=-1)[both].mean())


def dtw_mpjpe(
    predicted: np.ndarray,
    reference: np.ndarray,
    predicted_mask: np.ndarray | None = None,
    reference_mask: np.ndarray | None = None,
) -> float:
    """Compute MPJPE along the cheapest monotonic path through both sequences (dynamic time warping).

    Steps are (1, 1), (1, 0) and (0, 1). The cost of two frames is the mean distance of the joints that both observe,
    or the mean cost over all pairs if they share none. The result is the smallest sum of costs divided by the number
    of its steps (on ties, the diagonal step comes first). Equal sequences give 0.

    Args:
        predicted: `[T, J, 2 or 3]` positions.
        reference: `[U, J, 2 or 3]` positions.
        predicted_mask: `[T, J]`, true where a joint was observed; default: everywhere.
        reference_mask: `[U, J]`, the same for the reference.

    Raises:
        SignXError: If the joints do not match, a number is not finite, or no joint is observed on both sides.
    """
    left, seen_left, right, seen_right = _pair(predicted, reference, predicted_mask, reference_mask)
    costs = np.full((len(left), len(right)), np.nan)
    for row, (pose, seen) in enumerate(zip(left, seen_left)):  # a row at a time keeps memory at [T, J]
        both = seen[None] & seen_right
        count = both.sum(1)
        sums = np.where(both, np.linalg.norm(pose[None] - right, axis=-1), 0.0).sum(1)
        costs[row] = np.where(count > 0, sums / np.maximum(count, 1), np.nan)
    if np.isnan(costs).all():
        raise SignXError("`predicted` and `reference` must have a joint that is observed in both, got none.")
    costs = np.where(np.isnan(costs), np.nanmean(costs), costs)
    total, steps = np.full(costs.shape, np.inf), np.zeros(costs.shape, dtype=int)
    for row in range(costs.shape[0]):
        for column in range(costs.shape[1]):
            before = [(row - 1, column - 1), (row - 1, column), (row, column - 1)]
            before = [place for place in before if min(place) >= 0]
            best = min(before, key=lambda place: total[place]) if before else None
            total[row, column] = costs[row, column] + (total[best] if best else 0.0)
            steps[row, column] = 1 + (steps[best] if best else 0)
    return float(total[-1, -1] / steps[-1, -1])
