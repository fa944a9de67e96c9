"""Weights of points in the loss of UniGloR, and the weighted reconstruction loss (arXiv 2407.02854 v2, section 3.2).

Legend: B segments, T frames, V points, C coordinates.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

Groups = Mapping[str, Sequence[Mapping[str, Any]]]
BASELINE = "body"


def cluster_residuals(keypoints: torch.Tensor, mask: torch.Tensor, about: int | str | None, points: Sequence[int]):
    """Return the points of a cluster `[B, T, P, C]` about what they are measured by, and where these are known `[B, T, P]`.

    Args:
        keypoints: `[B, T, V, C]`.
        mask: `[B, T, V]`, true where a point was seen.
        about: None for the origin, "mean" for the mean of the points seen in a frame, or the index of a point.
        points: of the cluster.
    """
    values, seen = keypoints[:, :, points], mask[:, :, points]
    if about is None:
        return values, seen
    if about == "mean":
        count = seen.sum(2, keepdim=True).clamp_min(1).unsqueeze(-1)
        return values - (values * seen.unsqueeze(-1)).sum(2, keepdim=True) / count, seen
    return values - keypoints[:, :, [about]], seen & mask[:, :, [about]]


def group_variance(
    keypoints: torch.Tensor, mask: torch.Tensor, clusters: Sequence[Mapping[str, Any]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the variance over the frames of a segment `[B]`, a mean over coordinates and points, and if it is known `[B]`.

    Points that are known in fewer than two frames are left out; where none is left, the variance is 0 and unknown.

    Args:
        keypoints: `[B, T, V, C]`.
        mask: `[B, T, V]`.
        clusters: of the group, as in `config.weight_groups`.
    """
    variances, known = [], []
    for cluster in clusters:
        values, seen = cluster_residuals(keypoints, mask, cluster["about"], list(cluster["points"]))
        here, count = seen.unsqueeze(-1), seen.sum(1)
        mean = (values * here).sum(1, keepdim=True) / count[:, None, :, None].clamp_min(1)
        square = ((values - mean).square() * here).sum(1).mean(-1)
        variances.append(square / count.clamp_min(1))
        known.append(count >= 2)
    variance, counted = torch.cat(variances, 1), torch.cat(known, 1)
    total = (variance * counted).sum(1) / counted.sum(1).clamp_min(1)
    return total, counted.any(1)


def adaptive_weights(
    variances: Mapping[str, torch.Tensor], known: Mapping[str, torch.Tensor], printed: bool = False, floor: float = 0.2
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Return the weight of each group `[B]`: `1 - (var_p - var_body) / sum(var)`, at least `floor`.

    The printed formula has a plus in place of the minus, which makes the weight of a group depend on the variance of the
    others. Unknown groups drop out of the sum and weigh 1. Without a body the baseline is the mean of the known groups.

    Args:
        variances: group -> `[B]`.
        known: group -> `[B]` bool.
        printed: whether to use the formula as printed.
        floor: least weight.

    Returns:
        Weights by group, and where the floor acted on any of them `[B]`.
    """
    there = torch.stack([known[name] for name in variances])
    total = (torch.stack(list(variances.values())) * there).sum(0)
    base = total / there.sum(0).clamp_min(1)
    if BASELINE in variances:
        base = torch.where(known[BASELINE], variances[BASELINE], base)
    sign = 1.0 if printed else -1.0
    weights, floored = {}, torch.zeros_like(total, dtype=torch.bool)
    for name, variance in variances.items():
        share = (variance + sign * base) / torch.where(total > 0, total, torch.ones_like(total))
        raw = torch.where(known[name] & (total > 0), 1 - share, torch.ones_like(share))
        floored |= raw < floor
        weights[name] = raw.clamp_min(floor)
    return weights, floored


@torch.no_grad()
def pose_weights(
    keypoints: torch.Tensor,
    mask: torch.Tensor,
    groups: Groups,
    mode: str = "adaptive",
    fixed: Mapping[str, float] | None = None,
    floor: float = 0.2,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the weight of each point `[B, V]`, constant over a segment and without gradient.

    Args:
        keypoints: `[B, T, V, C]`, the segments to reconstruct.
        mask: `[B, T, V]`.
        groups: `config.weight_groups`; points of no group weigh 1.
        mode: adaptive, adaptive_printed, fixed or none.
        fixed: group -> weight, for mode "fixed".
        floor: least adaptive weight.

    Returns:
        Weights `[B, V]`, and where the floor acted `[B]`.
    """
    weights = keypoints.new_ones(keypoints.shape[0], keypoints.shape[2], dtype=torch.float32)
    floored = torch.zeros(len(weights), dtype=torch.bool, device=weights.device)
    if mode == "none" or not groups:
        return weights, floored
    by_group: dict[str, Any] = {name: (fixed or {}).get(name, 1.0) for name in groups}
    if mode != "fixed":
        measured = {name: group_variance(keypoints.float(), mask, clusters) for name, clusters in groups.items()}
        variances = {name: pair[0] for name, pair in measured.items()}
        known = {name: pair[1] for name, pair in measured.items()}
        by_group, floored = adaptive_weights(variances, known, mode == "adaptive_printed", floor)
    for name, clusters in groups.items():
        for cluster in clusters:
            weight = by_group[name]
            weights[:, list(cluster["points"])] = weight[:, None] if torch.is_tensor(weight) else float(weight)
    return weights, floored


def segment_losses(
    predicted: torch.Tensor, target: torch.Tensor, mask: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Return `W_v |x_tv - x_hat_tv|^2` as a mean over the observed points of each segment, `[B]`.

    The paper has a sum over points and frames; the size of a mean does not depend on their number.

    Args:
        predicted: `[B, T, V, C]`.
        target: `[B, T, V, C]`.
        mask: `[B, T, V]`; points that were not seen do not count.
        weights: `[B, V]`.
    """
    distance = (predicted.float() - target.float()).square().sum(-1)
    counted = mask.float()
    return (distance * weights[:, None] * counted).sum((1, 2)) / counted.sum((1, 2)).clamp_min(1)


def reconstruction_loss(
    predicted: torch.Tensor, target: torch.Tensor, mask: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Return the mean of `segment_losses` over segments."""
    return segment_losses(predicted, target, mask, weights).mean()
