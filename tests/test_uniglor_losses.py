"""Weights of points and the reconstruction loss of UniGloR, against loops and by hand."""

import pytest
import torch
from uniglor_minis import SEVEN, segments, seven_config

from signx_hf import UniGloRConfig
from signx_hf.modeling.configuration_uniglor import FIXED_WEIGHTS
from signx_hf.modeling.losses_uniglor import (
    adaptive_weights,
    cluster_residuals,
    group_variance,
    pose_weights,
    reconstruction_loss,
)

GROUPS = SEVEN["weight_groups"]


def variance_by_loops(keypoints, mask, clusters):
    """One segment `[T, V, C]`: mean over points seen at least twice, and over coordinates, of the variance over time."""
    found = []
    for cluster in clusters:
        about = cluster["about"]
        for v in cluster["points"]:
            path = []
            for t in range(len(keypoints)):
                seen = [p for p in cluster["points"] if mask[t, p]]
                if not mask[t, v] or (isinstance(about, int) and not mask[t, about]):
                    continue
                origin = torch.zeros(keypoints.shape[-1])
                if about == "mean":
                    origin = sum(keypoints[t, p] for p in seen) / len(seen)
                elif about is not None:
                    origin = keypoints[t, about]
                path.append(keypoints[t, v] - origin)
            if len(path) >= 2:
                found += [torch.stack(path)[:, c].var(unbiased=False) for c in range(keypoints.shape[-1])]
    return sum(found) / len(found) if found else None


def test_variances_and_weights_are_those_of_loops():
    config = seven_config()
    keypoints, mask = segments(config, 6, missing=0.4)
    mask[4, :, 3:5] = False  # a segment without a face
    mask[5, 1:, 5] = False  # a wrist that is seen once at most
    weights, _ = pose_weights(keypoints, mask, GROUPS, floor=0.0)
    for row in range(6):
        by_hand = {name: variance_by_loops(keypoints[row], mask[row], clusters) for name, clusters in GROUPS.items()}
        known = {name: value for name, value in by_hand.items() if value is not None}
        assert ("face" in known) == (row != 4) and ("hands" in known) == (row != 5)
        for name, clusters in GROUPS.items():
            variance, there = group_variance(keypoints[[row]], mask[[row]], clusters)
            assert bool(there) == (name in known)
            expected = 1.0
            if name in known:
                assert variance.item() == pytest.approx(known[name].item(), abs=1e-5)
                expected = 1 - (known[name] - known["body"]) / sum(known.values())
            for point in clusters[0]["points"]:
                assert weights[row, point].item() == pytest.approx(float(expected), abs=1e-5)
        assert (weights[row, :3] == 1).all() and (weights[row] > 0).all() and (weights[row] < 2).all()


def by_hand(**variances):
    values = {name: torch.tensor([float(value)]) for name, value in variances.items()}
    known = {name: torch.tensor([True]) for name in variances}
    return values, known


def test_weights_of_three_parts_by_hand():
    weights, floored = adaptive_weights(*by_hand(body=4, face=1, hands=5))
    assert [weights[n].item() for n in ("body", "face", "hands")] == pytest.approx([1.0, 1.3, 0.9]) and not floored
    weights, floored = adaptive_weights(*by_hand(body=4, face=1, hands=5), printed=True, floor=0.0)
    assert [weights[n].item() for n in ("body", "face", "hands")] == pytest.approx([0.2, 0.5, 0.1])
    weights, floored = adaptive_weights(*by_hand(body=8, face=1, hands=1), printed=True)  # a negative body as printed
    assert weights["body"].item() == pytest.approx(0.2) and floored
    weights, floored = adaptive_weights(*by_hand(body=0, face=0, hands=5))  # only the hands move
    assert weights["hands"].item() == pytest.approx(0.2) and floored and weights["body"] == 1
    weights, floored = adaptive_weights(*by_hand(body=0, face=0, hands=0))
    assert all(value == 1 for value in weights.values()) and not floored
    assert adaptive_weights(*by_hand(hands=3))[0]["hands"] == 1  # hands alone: nothing to compare with
    values, known = by_hand(body=2, face=7, hands=6)
    known["face"] = torch.tensor([False])
    weights, _ = adaptive_weights(values, known)
    assert weights["face"] == 1 and weights["hands"].item() == pytest.approx(0.5)


def test_fixed_and_no_weights_and_points_of_no_group():
    keypoints, mask = segments(seven_config())
    groups = {"body": GROUPS["body"], "hands": GROUPS["hands"]}
    weights, _ = pose_weights(keypoints, mask, groups, "fixed", FIXED_WEIGHTS)
    torch.testing.assert_close(weights[0], torch.tensor([1, 1, 1, 1, 1, 1.18, 1.18]))
    assert (pose_weights(keypoints, mask, GROUPS, "none")[0] == 1).all()
    assert FIXED_WEIGHTS == {"body": 1.0, "face": 1.17, "hands": 1.18}
    full = UniGloRConfig.tiny()
    weights, _ = pose_weights(*segments(full), full.weight_groups, "fixed", FIXED_WEIGHTS)
    assert weights.sum().item() / 3 == pytest.approx(12 + 19 * 1.17 + 42 * 1.18, abs=1e-3)


def test_residual_of_the_face_is_about_its_own_mean_and_of_a_hand_about_its_wrist():
    keypoints, mask = segments(seven_config(), missing=0.0)
    moved = keypoints + torch.randn(3, 15, 1, 2)  # the whole signer moves: only the body's variance changes
    for name in ("face", "hands"):
        one, other = (group_variance(k, mask, GROUPS[name])[0] for k in (keypoints, moved))
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(*(group_variance(k, mask, GROUPS["body"])[0] for k in (keypoints, moved)))
    values, _ = cluster_residuals(keypoints, mask, 5, [5, 6])
    assert not values[:, :, 0].any()


def test_loss_is_that_of_a_loop_over_seen_points_and_carries_no_gradient_of_weights():
    config = seven_config()
    keypoints, mask = segments(config, missing=0.5)
    predicted = torch.randn(keypoints.shape, generator=torch.Generator().manual_seed(5), requires_grad=True)
    keypoints.requires_grad_(True)
    weights, _ = pose_weights(keypoints, mask, GROUPS)
    assert not weights.requires_grad
    loss = reconstruction_loss(predicted, keypoints, mask, weights)
    total = 0.0
    for b in range(3):
        terms = [
            weights[b, v].item() * sum((predicted[b, t, v, c] - keypoints[b, t, v, c]).item() ** 2 for c in range(2))
            for t in range(15)
            for v in range(7)
            if mask[b, t, v]
        ]
        total += sum(terms) / len(terms) / 3
    assert loss.item() == pytest.approx(total, rel=1e-4)
    loss.backward()
    assert not predicted.grad[~mask].any() and predicted.grad[mask].all()
