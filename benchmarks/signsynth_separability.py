"""Can the signs of SignSynth be told apart by signers never seen? A classical baseline: one nearest neighbor on clean poses.

    python benchmarks/signsynth_separability.py [--size small] [--seed 5]

Signers of training and test are different people (body, style, handedness). A token is described by its hands, wrists and
head relative to the shoulders, the moving part resampled to 24 steps. Handedness is not given: each test token is compared as it is
and in the mirror, and the nearer counts.

WEIGHTS were chosen with signs and people of seed 0 in view, so seed 0 is a tuned figure; any other seed draws other forms for the
signs and other people, on whom nothing was chosen. Each seed has its entry in results/signsynth_separability.json beside this
file.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # read when numpy loads its BLAS, so before the imports below

import argparse
import json
import time
from collections.abc import Sequence

import common
import numpy as np

from signx_hf.data.signsynth import kinematics, skeleton
from signx_hf.data.signsynth.lexicon import lexicon
from signx_hf.data.signsynth.motion import perform
from signx_hf.data.signsynth.motion_types import Motion, Signer
from signx_hf.data.signsynth.phonology import Sign, minimal_pairs
from signx_hf.data.signsynth.signers import signers

STEPS = 24
MEAN_BODY = (0.0,) * 10
SEED = 0  # the one that WEIGHTS were chosen on
RESULT = common.RESULTS / "signsynth_separability.json"
# lexicon: signers and tokens a sign of each, for training and test; one signer in ten is left-handed
PLAN = {"tiny": (8, 2, 10, 1), "small": (8, 2, 10, 1), "base": (4, 1, 3, 1)}
# How much each part counts: a finger moves centimeters where a wrist moves decimeters.
WEIGHTS = {"wrist": 0.7, "hand": 2.5, "head": 4.5, "seconds": 0.15}


def describe(
    hands: np.ndarray, shoulders: np.ndarray, head: np.ndarray, fps: float, mirrored: bool = False
) -> np.ndarray:
    """One isolated token as a vector, in two or three dimensions.

    Args:
        hands: [2, T, K, D] points of the signer's left and right hand, the wrist first.
        shoulders: [T, 2, D] left and right. head: [T, H, D] points of the head in its middle plane.
        fps: of the frames. mirrored: describe the mirror image.

    Returns:
        [F], the same length whatever T; units are shoulder widths. D counts x towards the signer's left, y any way.
    """
    middle = shoulders.mean(1)
    width = np.median(np.linalg.norm(shoulders[:, 0] - shoulders[:, 1], axis=-1))
    hands = (hands - middle[None, :, None]) / width
    head = (head - head.mean((0, 1)) - (middle - middle.mean(0))[:, None]) / width
    if mirrored:
        flip = np.array([-1.0, *[1.0] * (hands.shape[-1] - 1)])
        hands, head = hands[::-1] * flip, head * flip
    away = np.linalg.norm(hands[:, :, 0] - hands[:, :1, 0], axis=-1).max(0)
    active = np.flatnonzero(away > 0.6 * away.max())
    at = np.linspace(active[0], active[-1], STEPS)
    wrist, fingers = hands[:, :, 0], hands[:, :, 1:] - hands[:, :, :1]
    parts = {"wrist": np.moveaxis(wrist, 1, 0), "hand": np.moveaxis(fingers, 1, 0), "head": head}
    found = [np.array([WEIGHTS["seconds"] * STEPS**0.5 * np.log((active[-1] - active[0] + 1) / fps)])]
    for name, part in parts.items():
        track = _resample(part.reshape(len(part), -1), at)
        points = part[0].size / part.shape[-1] / (1 if name == "head" else 2)
        found.append(track.ravel() * WEIGHTS[name] / points**0.5)
    return np.concatenate(found)


def _resample(track: np.ndarray, at: np.ndarray) -> np.ndarray:
    low = np.floor(at).astype(int)
    share = (at - low)[:, None]
    return track[low] * (1 - share) + track[np.minimum(low + 1, len(track) - 1)] * share


def describe_rows(rows: np.ndarray, fps: float, mirrored: bool = False) -> np.ndarray:
    """`describe` for SMPL-X rows [T, 165], posed on the mean body: the shape of the signer is not known."""
    transforms = skeleton.joint_transforms(rows)
    joints, at = transforms[:, :, :3, 3].astype(np.float64), skeleton.INDEX
    hands = []
    for side, fingers, flip in (("L", skeleton.LEFT_HAND, kinematics.MIRROR), ("R", skeleton.RIGHT_HAND, np.ones(3))):
        # joints and tips, as of a right hand (axis-angles in the mirror: x stays, y and z change sign)
        pose = rows.reshape(len(rows), -1, 3)[:, fingers] * (-flip if side == "L" else flip)
        points = kinematics.hand_points(pose, kinematics.arm(MEAN_BODY, side).fingers) * flip
        wrist = transforms[:, at[f"{side}_Wrist"]]
        hands.append(points @ np.swapaxes(wrist[:, :3, :3], -1, -2) + wrist[:, None, :3, 3])
    # two points above and before the head's joint, for its turns
    head = joints[:, at["Head"], None] + 0.1 * np.moveaxis(transforms[:, at["Head"], :3, 1:3], -1, -2)
    return describe(np.stack(hands), joints[:, [at["L_Shoulder"], at["R_Shoulder"]]], head, fps, mirrored)


def tokens(signs: Sequence[Sign], people: Sequence[Signer], count: int, seed: int) -> list[tuple[int, Motion]]:
    """Every sign alone, `count` times by everybody: (index of the sign, motion)."""
    return [
        (index, perform([sign], signer, np.random.default_rng([seed, person, index, token])))
        for person, signer in enumerate(people)
        for index, sign in enumerate(signs)
        for token in range(count)
    ]


def nearest_neighbor(train: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    """The label [M] of the nearest of the training vectors [N, F].

    Args:
        train: [N, F]. labels: [N].
        test: [V, M, F], each token in V views; the view that is nearest to anything counts.
    """
    squares = (train**2).sum(1)
    distances = np.stack([squares - 2 * view @ train.T + (view**2).sum(1)[:, None] for view in test])
    return labels[np.argmin(distances.min(0), axis=1)]


def measure(size: str, seed: int = SEED) -> dict:
    """Accuracy on unseen signers, over all signs and within minimal pairs."""
    signs = lexicon(size, seed).signs
    learners, train_tokens, strangers, test_tokens = PLAN[size]
    crowd = signers(10 + strangers, seed)
    learned, unseen = crowd[:learners], crowd[10:]
    start = time.perf_counter()
    sets = [tokens(signs, learned, train_tokens, seed + 1), tokens(signs, unseen, test_tokens, seed + 2)]
    seconds = time.perf_counter() - start
    frames = sum(len(motion.rows) for part in sets for _, motion in part)
    labels, truth = (np.array([index for index, _ in part]) for part in sets)
    train = np.stack([describe_rows(m.rows, m.fps) for _, m in sets[0]]).astype(np.float32)
    views = [[describe_rows(m.rows, m.fps, mirrored) for _, m in sets[1]] for mirrored in (False, True)]
    test = np.array(views, dtype=np.float32)
    found = nearest_neighbor(train, labels, test)
    who = np.repeat([signer.left_handed for signer in unseen], len(signs) * test_tokens)
    index = {sign.gloss: n for n, sign in enumerate(signs)}
    correct = []
    for first, second, _ in minimal_pairs(signs):
        pair = [index[first.gloss], index[second.gloss]]
        here, there = np.isin(labels, pair), np.isin(truth, pair)
        correct.append(nearest_neighbor(train[here], labels[here], test[:, there]) == truth[there])
    wrong = [(signs[a].gloss, signs[b].gloss) for a, b in zip(truth[found != truth], found[found != truth])]
    return {
        "signs": len(signs),
        "train_tokens": len(labels),
        "test_tokens": len(truth),
        "unseen_signers": len(unseen),
        "top1": round(float((found == truth).mean()), 4),
        "top1_left_handed": round(float((found == truth)[who].mean()), 4) if who.any() else None,
        "minimal_pairs": len(correct),
        "minimal_pairs_top1": round(float(np.concatenate(correct).mean()), 4),
        "worst_pair_top1": round(float(min(pair.mean() for pair in correct)), 4),
        "motion_frames_per_second": round(frames / seconds),
        "confusions": sorted({f"{a} for {b}" for b, a in wrong})[:20],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--size", nargs="+", default=["tiny", "small"], choices=["tiny", "small", "base"])
    options = parser.parse_args()
    results = {size: measure(size, options.seed) for size in options.size}
    for size, result in results.items():
        print(f"{size:6} {result}")
    entry = {
        "signs_and_people": "tuned: WEIGHTS were chosen on them"
        if options.seed == SEED
        else "fresh: nothing was chosen on them",
        "hardware": common.hardware(1),
        "load_average": common.load_average(),
        "commit": common.commit(),
        "versions": common.versions("numpy", "mannequin-x"),
        "weights": WEIGHTS,
        "results": results,
    }
    content = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.is_file() else {}
    common.write_json(RESULT, content | {f"seed {options.seed}": entry})


if __name__ == "__main__":
    main()
