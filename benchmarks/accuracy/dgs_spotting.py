"""A test of reality: frequent signs found in sentences of native signers of German Sign Language, by a body that has never seen any of it.

    python benchmarks/accuracy/dgs_spotting.py

The 20 most frequent lexical glosses of the DGS Corpus are taught to `asl` from the tokens of two signers (`signx_hf.teach`: the mean of what its
trained body makes of them, no training), and looked for in the sentences of the third, each signer once. Every moment of a sentence gets, for each
gloss, the best cosine of the windows around it; average precision ranks all moments of all sentences. Chance is the share of moments that
the gloss has, and the same ranking is measured against annotations that are moved by half of each sentence.
"""

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
import runs

GLOSSES, MOST_TAUGHT, LEAST_S = 20, 30, 0.1
# Signs of running signing are short; windows of a dictionary's length would hold two
LENGTHS_S = (0.2, 0.3, 0.4, 0.55, 0.75)


def tokens_of(rows: Any, glosses: list[str]) -> dict[str, list[Any]]:
    """Gloss -> clips of its tokens, cut out of the sentences."""
    from signx_hf.data import decode_poses

    found: dict[str, list[Any]] = {gloss: [] for gloss in glosses}
    for row in rows:
        poses = decode_poses(row["poses"])
        for segment in row["segments"]:
            first, last = round(segment["start"] * poses.fps), round(segment["end"] * poses.fps)
            if segment["gloss"] in found and last - first >= LEAST_S * poses.fps:
                found[segment["gloss"]].append(cut(poses, first, last))
    return found


def cut(poses: Any, first: int, last: int) -> Any:
    """Frames of a clip, as the pipeline takes them."""
    from dataclasses import replace

    return replace(poses, values=poses.values[first:last], mask=poses.mask[first:last]).to_clip()


def moments_of(pipe: Any, clip: Any) -> tuple[np.ndarray, np.ndarray]:
    """Moments `[M]` in seconds, and for each the best cosine of every sign `[M, N]` among the windows around it."""
    import torch

    inputs = pipe.preprocess(clip)
    values = inputs["pose_values"]
    with torch.inference_mode():
        logits = [pipe.model(pose_values=block).logits for block in values.split(256) if len(values)]
    scores = torch.cat(logits).numpy() if logits else np.zeros((0, pipe.model.config.num_labels))
    moments, windows = inputs["moments"], inputs["windows"]
    best = np.full((len(moments), scores.shape[1]), -np.inf)
    for (begin, end), score in zip(windows, scores):
        middle = (begin + end) // 2
        best[middle] = np.maximum(best[middle], score)
    return moments, best


def truth_of(moments: np.ndarray, segments: list[dict[str, Any]], glosses: list[str], moved: float) -> np.ndarray:
    """Whether a gloss is signed at a moment `[M, N]`; `moved`: the annotation, by a share of the sentence, what falls off coming in again."""
    duration = moments[-1] + 1e-6
    at = (moments + moved * duration) % duration
    found = np.zeros((len(moments), len(glosses)), dtype=bool)
    for segment in segments:
        if segment["gloss"] in glosses:
            found[:, glosses.index(segment["gloss"])] |= (segment["start"] <= at) & (at < segment["end"])
    return found


def precisions(rows: Any, pipe: Any, glosses: list[str]) -> dict[str, dict[str, float]]:
    """Average precision of each gloss, of chance and against moved annotations."""
    from sklearn.metrics import average_precision_score

    scores, truths, moved = [], [], []
    for clip, segments in zip(runs.poses_of(rows), rows["segments"]):
        moments, best = moments_of(pipe, clip)
        scores.append(best)
        truths.append(truth_of(moments, segments, glosses, 0.0))
        moved.append(truth_of(moments, segments, glosses, 0.5))
    score, truth, shifted = (np.concatenate(part) for part in (scores, truths, moved))
    score = np.where(np.isfinite(score), score, -1e9)
    return {
        gloss: {
            "precision": float(average_precision_score(truth[:, place], score[:, place])), "chance": float(truth[:, place].mean()),
            "moved": float(average_precision_score(shifted[:, place], score[:, place])) if shifted[:, place].any() else 0.0,
            "moments": int(truth[:, place].sum()),
        }
        for place, gloss in enumerate(glosses) if truth[:, place].any()
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--body", default="asl", help="model of isolated signs whose body is used")
    options = parser.parse_args()
    from transformers import pipeline

    from signx_hf import load_dataset, teach

    def rows_of(split: str, **more: Any) -> Any:
        return load_dataset("dgs_corpus", data_dir=str(runs.DATA / "dgs_corpus"), split=split, lexical=True, **more)

    everything = rows_of("train")
    counts = Counter(gloss for glosses in everything["glosses"] for gloss in glosses)
    glosses = sorted(gloss for gloss, _ in counts.most_common(GLOSSES))
    found: dict[str, Any] = {}
    for signer in sorted(set(everything["signer"])):
        taught = tokens_of(rows_of("train", test_signers=[signer]), glosses)
        clips = {gloss: parts[:MOST_TAUGHT] for gloss, parts in taught.items() if parts}
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "taught"
            teach(options.body, clips, folder)
            pipe = pipeline("sign-spotting", model=str(folder), lengths_s=list(LENGTHS_S))
            known = [pipe.model.config.id2label[i] for i in range(pipe.model.config.num_labels)]
            found[signer] = precisions(rows_of("test", test_signers=[signer]), pipe, known)
            shutil.rmtree(folder)
        print(signer, {key: round(mean(one[key] for one in found[signer].values()), 4) for key in ("precision", "chance", "moved")}, flush=True)  # fmt: skip
    record = runs.header(1) | {
        "data": "dgs_corpus, 325 sentences of three native signers, OpenPose hands; a signer left out of teaching", "body": options.body,
        "glosses": {gloss: counts[gloss] for gloss in glosses}, "lengths_s": LENGTHS_S,
        "signers": {
            signer: {key: round(100 * mean(one[key] for one in table.values()), 2) for key in ("precision", "chance", "moved")} | {"by_gloss": table}
            for signer, table in found.items()
        },
    }  # fmt: skip
    for key in ("precision", "chance", "moved"):
        record[key] = round(mean(signer[key] for signer in record["signers"].values()), 2)
    print({key: record[key] for key in ("precision", "chance", "moved")})
    runs.save("dgs_spotting", record)


if __name__ == "__main__":
    main()
