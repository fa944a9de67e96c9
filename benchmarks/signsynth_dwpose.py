"""Can signs be told apart in what a key-point detector would give? One nearest neighbour on noisy DWPose rows, unseen signers.

    python benchmarks/signsynth_dwpose.py [--jobs 2]

The isolated clips of `small`: training tokens of its training signers, others of those of dev and of test, who are other people.
Points that the detector lost, or of which it is not sure, are filled in along a straight line in time; the rest is
`signsynth_separability.py`. Nothing is painted: what hides what comes from the depth of a small picture. Prints a table and
writes results/signsynth_dwpose.json beside this file.
"""

import os

# read when numpy and Mesa are loaded, so before the imports below
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["LP_NUM_THREADS"] = "1"

import argparse
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import common
import numpy as np
from signsynth_separability import describe, nearest_neighbour

from signx_hf.data.signsynth import keypoints, tracks
from signx_hf.data.signsynth.appearance import clip_shot
from signx_hf.data.signsynth.build import clip_generator
from signx_hf.data.signsynth.clip import framing
from signx_hf.data.signsynth.configs import CONFIGS
from signx_hf.data.signsynth.mesh import mesh
from signx_hf.data.signsynth.plan import ClipPlan, perform_clip, plan_corpus
from signx_hf.data.signsynth.render import Renderer

SEED = 0
SMALL_PICTURE = 64  # pixels; depth is rendered at twice that
CONFIG = CONFIGS["small"]
SURE = 0.2  # confidence that is worth a point; the best of 0, 0.2 and 0.4 on dev
_renderer: Renderer | None = None


def noisy_dwpose(plan: ClipPlan) -> tuple[np.ndarray, np.ndarray, float]:
    """Rows [T, 384] of a clip, which frames were observed [T], and the rate of frames."""
    global _renderer
    _renderer = _renderer or Renderer(SMALL_PICTURE)
    generator = clip_generator(SEED, plan.id)
    motion, body = perform_clip(plan, generator, CONFIG.fps), mesh(tuple(plan.signer.shape))
    transforms = body.transforms(motion.rows)
    points = keypoints.anchors(body, transforms)
    shot = clip_shot(generator, framing(body, points))
    vertices, _ = body.pose(motion.rows, transforms)
    depths = [_renderer.visible(body, frame, shot)[1] for frame in vertices]
    seen = keypoints.seen(points, shot.camera, CONFIG.size, depths)
    grids = (np.zeros((len(points), 576)),) * 2
    clean = tracks.clean_tracks(motion.rows, seen, shot.camera, CONFIG.size, grids)
    noisy = tracks.noisy_tracks(clean, seen, CONFIG.size, CONFIG.faults, generator)
    return noisy.values["dwpose"], noisy.masks["dwpose"], motion.fps


def fill(rows: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """[T, 128, 2]: every point, those that were lost on a straight line between the frames that have them."""
    points = rows.reshape(len(rows), 128, 3)
    there = observed[:, None] & (points[..., 2] > SURE)
    time, filled = np.arange(len(rows)), np.zeros((len(rows), 128, 2))
    for point in range(128):
        known = np.flatnonzero(there[:, point])
        if len(known):
            for axis in (0, 1):
                filled[:, point, axis] = np.interp(time, known, points[known, point, axis])
    return filled


def views(plan: ClipPlan) -> np.ndarray:
    """[2, F]: the description of one token and of its mirror image."""
    rows, observed, fps = noisy_dwpose(plan)
    points = fill(rows, observed)
    hands = np.stack([points[:, 18:39], points[:, 39:60]])
    # nose, between the eyes, between the ears: in the middle plane of the head
    head = np.stack([points[:, 0], points[:, 14:16].mean(1), points[:, 16:18].mean(1)], axis=1)
    both = [describe(hands, points[:, [5, 2]], head, fps, mirrored) for mirrored in (False, True)]
    return np.stack(both).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--clips", type=int, help="only so many, to see that it runs")
    options = parser.parse_args()
    plans = [plan for plan in plan_corpus(CONFIG, SEED) if plan.task == "isolated"][: options.clips]
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        vectors = np.stack(list(pool.map(views, plans, chunksize=8)), axis=1)
    glosses, names = np.unique([plan.signs[0].gloss for plan in plans], return_inverse=True)
    train = np.array([plan.split == "train" for plan in plans])
    found = nearest_neighbour(vectors[0, train], names[train], vectors[:, ~train])
    right = found == names[~train]
    split = np.array([plan.split for plan in plans])[~train]
    result = {
        "signs": len(glosses),
        "train_tokens": int(train.sum()),
        "dev_and_test_tokens": int((~train).sum()),
        "top1": round(float(right.mean()), 4),
        "top1_dev": round(float(right[split == "dev"].mean()), 4),
        "top1_test": round(float(right[split == "test"].mean()), 4),
        "confusions": sorted({f"{glosses[a]} for {glosses[b]}" for a, b in zip(found[~right], names[~train][~right])}),
    }
    print(result)
    content = {"hardware": common.hardware(1), "load_average": common.load_average(), "commit": common.commit()}
    content |= {
        "versions": common.versions("numpy", "mannequin-x", "vtk"),
        "faults": str(CONFIG.faults),
        "result": result,
    }
    common.write_json(common.RESULTS / "signsynth_dwpose.json", content)


if __name__ == "__main__":
    main()
