"""Can the signs of SignSynth be told apart by signers never seen? A classical baseline: one nearest neighbour on clean poses.

    python benchmarks/signsynth_separability.py [--size small]

Signers of training and test are different people (body, style, handedness). A token is described by its hands, wrists and
head relative to the shoulders, the moving part resampled to 24 steps. Whoever signs left-handed is mirrored by what can be
seen: the hand that travels farther is taken for the dominant one. Prints a table and writes
results/signsynth_separability.json beside this file.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # read when numpy loads its BLAS, so before the imports below

import argparse
import time
from collections.abc import Sequence

import common
import numpy as np

from signx_hf.data.signsynth import skeleton
from signx_hf.data.signsynth.lexicon import lexicon
from signx_hf.data.signsynth.motion import perform
from signx_hf.data.signsynth.motion_types import Motion, Signer
from signx_hf.data.signsynth.phonology import Sign, minimal_pairs
from signx_hf.data.signsynth.signers import signers

STEPS = 24
SEED = 0
TRAIN_SIGNERS, TEST_SIGNERS = 8, 10  # one left-hander in each ten, so the test has one
TRAIN_TOKENS, TEST_TOKENS = 2, 1
# How much each part counts: a finger moves centimetres where a wrist moves decimetres.
WEIGHTS = {"wrist": 1.0, "hand": 2.0, "head": 3.0, "seconds": 0.3}


def describe(hands: np.ndarray, shoulders: np.ndarray, head: np.ndarray, fps: float) -> np.ndarray:
    """One isolated token as a vector, in two or three dimensions.

    Args:
        hands: [2, T, K, D] points of the signer's left and right hand, the wrist first.
        shoulders: [T, 2, D] left and right. head: [T, H, D] points that move with the head.
        fps: of the frames.

    Returns:
        [F], the same length whatever T; units are shoulder widths. D counts x towards the signer's left, y any way.
    """
    middle = shoulders.mean(1)
    width = np.median(np.linalg.norm(shoulders[:, 0] - shoulders[:, 1], axis=-1))
    hands = (hands - middle[None, :, None]) / width
    head = (head - head.mean((0, 1)) - (middle - middle.mean(0))[:, None]) / width
    travel = np.linalg.norm(np.diff(hands[:, :, 0], axis=1), axis=-1).sum(1)
    if travel[0] > travel[1]:  # left-handed: look into the mirror
        mirror = np.array([-1.0, *[1.0] * (hands.shape[-1] - 1)])
        hands, head = hands[::-1] * mirror, head * mirror
    away = np.linalg.norm(hands[1, :, 0] - hands[1, 0, 0], axis=-1)
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


def describe_rows(rows: np.ndarray, fps: float) -> np.ndarray:
    """`describe` for SMPL-X rows [T, 165], posed on the mean body: the shape of the signer is not known."""
    transforms = skeleton.joint_transforms(rows)
    joints, at = transforms[:, :, :3, 3].astype(np.float64), skeleton.INDEX
    left = joints[:, [at["L_Wrist"], *range(*skeleton.LEFT_HAND.indices(55))]]
    right = joints[:, [at["R_Wrist"], *range(*skeleton.RIGHT_HAND.indices(55))]]
    # three points a head's radius from its joint, for its turns
    head = joints[:, at["Head"], None] + 0.1 * np.moveaxis(transforms[:, at["Head"], :3, :3], -1, -2)
    return describe(np.stack([left, right]), joints[:, [at["L_Shoulder"], at["R_Shoulder"]]], head, fps)


def tokens(signs: Sequence[Sign], people: Sequence[Signer], count: int, seed: int) -> list[tuple[int, Motion]]:
    """Every sign alone, `count` times by everybody: (index of the sign, motion)."""
    return [
        (index, perform([sign], signer, np.random.default_rng([seed, person, index, token])))
        for person, signer in enumerate(people)
        for index, sign in enumerate(signs)
        for token in range(count)
    ]


def nearest_neighbour(train: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    """The label [M] of the nearest of the training vectors [N, F] for each of [M, F]."""
    squares = (train**2).sum(1)
    return labels[np.argmin(squares - 2 * test @ train.T, axis=1)]


def measure(size: str, seed: int = SEED) -> dict:
    """Accuracy on unseen signers, over all signs and within minimal pairs."""
    signs = lexicon(size, seed).signs
    crowd = signers(TRAIN_SIGNERS + 2 + TEST_SIGNERS, seed)
    learned, unseen = crowd[:TRAIN_SIGNERS], crowd[-TEST_SIGNERS:]
    start = time.perf_counter()
    sets = [tokens(signs, learned, TRAIN_TOKENS, seed + 1), tokens(signs, unseen, TEST_TOKENS, seed + 2)]
    seconds = time.perf_counter() - start
    frames = sum(len(motion.rows) for part in sets for _, motion in part)
    (train, labels), (test, truth) = (
        (np.stack([describe_rows(m.rows, m.fps) for _, m in part]).astype(np.float32), np.array([i for i, _ in part]))
        for part in sets
    )
    found = nearest_neighbour(train, labels, test)
    who = np.repeat([signer.left_handed for signer in unseen], len(signs) * TEST_TOKENS)
    index = {sign.gloss: n for n, sign in enumerate(signs)}
    told = []
    for first, second, _ in minimal_pairs(signs):
        pair = [index[first.gloss], index[second.gloss]]
        here, there = np.isin(labels, pair), np.isin(truth, pair)
        told.append(nearest_neighbour(train[here], labels[here], test[there]) == truth[there])
    wrong = [(signs[a].gloss, signs[b].gloss) for a, b in zip(truth[found != truth], found[found != truth])]
    return {
        "signs": len(signs),
        "train_tokens": len(labels),
        "test_tokens": len(truth),
        "unseen_signers": len(unseen),
        "top1": round(float((found == truth).mean()), 4),
        "top1_left_handed": round(float((found == truth)[who].mean()), 4) if who.any() else None,
        "minimal_pairs": len(told),
        "minimal_pairs_top1": round(float(np.concatenate(told).mean()), 4),
        "worst_pair_top1": round(float(min(pair.mean() for pair in told)), 4),
        "motion_frames_per_second": round(frames / seconds),
        "confusions": sorted({f"{a} for {b}" for b, a in wrong})[:20],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", nargs="+", default=["tiny", "small"], choices=["tiny", "small", "base"])
    sizes = parser.parse_args().size
    results = {size: measure(size) for size in sizes}
    for size, result in results.items():
        print(f"{size:6} {result}")
    content = {"hardware": common.hardware(1), "load_average": common.load_average(), "commit": common.commit()}
    content |= {"versions": common.versions("numpy", "mannequin-x"), "weights": WEIGHTS, "results": results}
    common.write_json(common.RESULTS / "signsynth_separability.json", content)


if __name__ == "__main__":
    main()
