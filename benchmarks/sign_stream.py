"""Live recognition of isolated signs: forty signs of signers who were not trained on, one after the other with rests between.

    python benchmarks/sign_stream.py --model runs/accuracy/wlasl/signer-0-0/model --fold 0

The recording is landmarks of WLASL clips, each with its own way from and to rest, with a second without hands between two; it is read
by `signx-hf live --from-file`, as a user would. Reported: signs that are found (a stretch of signing that overlaps the clip), stretches
that no clip has, how far begin and end are off, and what they are taken for.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from common import ROOT, commit, hardware, load_average, versions, write_json

sys.path.insert(0, str(Path(__file__).resolve().parent / "accuracy"))
import runs

SIGNS, REST_S, SUBSET = 40, 1.0, 100


def recording(fold: int, seed: int, folder: Path) -> tuple[Path, list[dict[str, Any]]]:
    """A pose file, and `gloss`, `start`, `end` (first and last frame with a hand, in seconds) of each sign."""
    from signx_hf import load_dataset
    from signx_hf.data import decode_poses

    rows = load_dataset(
        "wlasl_hands",
        data_dir=str(runs.DATA / "wlasl_hands"),
        split="test",
        split_by="signer",
        fold=fold,
        subset=SUBSET,
    )
    chosen = np.random.default_rng(seed).choice(len(rows), SIGNS, replace=False)
    parts, truth, frames, fps = [], [], 0, 30.0
    gap = np.full((round(REST_S * fps), 126), np.nan, dtype=np.float32)
    for row in rows.select(chosen.tolist()):
        stored = decode_poses(row["poses"])
        values, seen = stored.values.astype(np.float32), stored.mask[:, 0]
        seen_frames = np.flatnonzero(seen)
        truth.append(
            {
                "gloss": row["glosses"][0],
                "start": (frames + seen_frames[0]) / fps,
                "end": (frames + seen_frames[-1] + 1) / fps,
            }
        )
        parts += [np.where(seen[:, None], values, np.nan), gap]
        frames += len(values) + len(gap)
    path = folder / "recording.npz"
    np.savez(path, hands=np.concatenate([gap, *parts]), fps=fps)
    shift = len(gap) / fps
    return path, [{**sign, "start": sign["start"] + shift, "end": sign["end"] + shift} for sign in truth]


def live(model: Path, path: Path, vocabulary: Path) -> list[dict[str, Any]]:
    """What `signx-hf live` says, final answers in order."""
    command = [
        sys.executable,
        "-m",
        "signx_hf",
        "live",
        "--from-file",
        str(path),
        "--model",
        str(model),
        "--format",
        "json",
    ]
    done = subprocess.run(
        [*command, "--vocabulary", str(vocabulary), "--threshold", "none"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return [sign for line in done.stdout.splitlines() for sign in json.loads(line)["final"]]


def compare(said: list[dict[str, Any]], truth: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts, and mean distances of begin and end in seconds."""
    pairs, taken = [], set()
    for sign in truth:
        over = [
            (min(s["end"], sign["end"]) - max(s["start"], sign["start"]), i)
            for i, s in enumerate(said)
            if i not in taken
        ]
        overlap, index = max(over, default=(0, -1))
        if overlap > 0:
            taken.add(index)
            pairs.append((said[index], sign))
    return {
        "signs": len(truth), "found": len(pairs), "invented": len(said) - len(taken),
        "start_off_s": round(mean(abs(s["start"] - t["start"]) for s, t in pairs), 3),
        "end_off_s": round(mean(abs(s["end"] - t["end"]) for s, t in pairs), 3),
        "top1": sum(s["candidates"][0]["label"] == t["gloss"] for s, t in pairs),
        "top5": sum(t["gloss"] in [c["label"] for c in s["candidates"]] for s, t in pairs),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="trained without the signers of the fold")
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    record: dict[str, Any] = {
        "command": runs.header(2)["command"], "commit": commit(), "hardware": hardware(2),
        "versions": versions("torch", "transformers", "numpy"), "load_at_start": load_average(), "recordings": {},
    }  # fmt: skip
    from wlasl import glosses_in_order

    with tempfile.TemporaryDirectory() as place:
        vocabulary = Path(place) / "vocabulary.txt"
        vocabulary.write_text("\n".join(glosses_in_order()[:SUBSET]) + "\n")
        for seed in options.seeds:
            path, truth = recording(options.fold, seed, Path(place))
            start = time.perf_counter()
            said = live(options.model.resolve(), path, vocabulary)
            record["recordings"][seed] = compare(said, truth) | {"seconds": round(time.perf_counter() - start, 1)}
            print(seed, record["recordings"][seed], flush=True)
    write_json(ROOT / "benchmarks" / "results" / "sign_stream.json", record)


if __name__ == "__main__":
    main()
