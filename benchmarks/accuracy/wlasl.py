"""Isolated signs of American Sign Language from hand landmarks of WLASL: the official split, and signers never seen.

    python benchmarks/accuracy/wlasl.py                      # the official split: trained on train and val, tested on test
    python benchmarks/accuracy/wlasl.py --split signer       # five folds, each signer tested once; `--folds 0 1`: some of them
    python benchmarks/accuracy/wlasl.py --split dev          # settings are chosen here: trained on train, measured on val

One model of all 2,000 glosses; WLASL100, 300 and 1000 are its answers restricted to the first glosses, on the clips of these.
"""

import argparse
import sys
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
import runs

CONFIG = "wlasl/isolated_2000"
SUBSETS = (100, 300, 1000, 2000)
FOLDS = 5
# The four videos that the package is tried on are never trained on.
VIDEOS = ["69532", "69544", "69545", "69547"]


def loader_options(split: str, fold: int) -> dict[str, Any]:
    """Options of the corpus loader."""
    by_signer = {"split_by": "signer", "folds": FOLDS, "fold": fold}
    return by_signer if split == "signer" else {}


def train(split: str, fold: int, seed: int, folder: Path, changes: dict[str, Any]) -> runs.Trained:
    """A run on the training part; no dev clips are looked at but for `dev`."""
    options = {**runs.read_config(CONFIG), **changes, "seed": seed, "data_dir": str(runs.DATA / "wlasl_hands")}
    options["loader_options"] = loader_options(split, fold)
    options["output_dir"] = str(folder / f"{split}-{fold}-{seed}")
    if split == "dev":
        options["dev_split"] = "dev"
    else:
        options |= {"dev_split": "train", "eval_epochs": 0}
        options["loader_options"] |= {"exclude_ids": VIDEOS} if split == "official" else {}
    if split == "official":
        options["train_split"] = "train+dev"
    return runs.train("isolated", options)


def tested(split: str, fold: int) -> Any:
    """The clips that are measured."""
    from signx_hf import load_dataset

    part = "dev" if split == "dev" else "test"
    return load_dataset(
        "wlasl_hands", data_dir=str(runs.DATA / "wlasl_hands"), split=part, **loader_options(split, fold)
    )


def answers(folder: Path, rows: Any) -> tuple[np.ndarray, np.ndarray]:
    """Logits `[clips, 2000]` in the order of the corpus' glosses, as the pipeline has them, and the true signs `[clips]`."""
    import torch
    from transformers import pipeline

    import signx_hf  # noqa: F401  registers the tasks

    recognizer = pipeline("isolated-sign-recognition", model=str(folder))
    order = [recognizer.model.config.label2id.get(gloss) for gloss in glosses_in_order()]
    with torch.inference_mode():
        logits = torch.stack([recognizer.logits(clip) for clip in runs.poses_of(rows)]).numpy()
    columns = [np.full(len(logits), -np.inf) if place is None else logits[:, place] for place in order]
    place_of = {gloss: place for place, gloss in enumerate(glosses_in_order())}
    return np.stack(columns, axis=1), np.array([place_of[glosses[0]] for glosses in rows["glosses"]])


def copies(rows: Any) -> np.ndarray:
    """Which test clips of the official split are in training, too, nearly all under another gloss `[clips]`."""
    from signx_hf import load_dataset
    from signx_hf.data import decode_poses

    full, subset = (
        load_dataset("wlasl_hands", data_dir=str(runs.DATA / "wlasl_hands"), drop_copies=drop)
        for drop in (False, True)
    )
    content = set()
    for part in ("train", "dev"):
        ids = set(subset[part]["id"])
        content |= {decode_poses(row["poses"]).values.tobytes() for row in full[part] if row["id"] not in ids}
    return np.array([decode_poses(row["poses"]).values.tobytes() in content for row in rows])


def glosses_in_order() -> list[str]:
    """The glosses of WLASL2000; the first hundred are WLASL100, and so on."""
    with np.load(runs.DATA / "wlasl_hands" / "wlasl2000.npz") as arrays:
        return ["-".join(str(gloss).split()) for gloss in arrays["gloss"]]


def accuracies(logits: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Top-1 and top-5 of each subset in per cent, per instance and as the mean over classes."""
    found = {}
    for count in SUBSETS:
        chosen = truth < count
        if not chosen.any():
            continue
        ranks = ranks_of(logits[chosen, :count], truth[chosen])
        classes = [ranks[truth[chosen] == sign] for sign in np.unique(truth[chosen])]
        found[f"wlasl{count}"] = {
            "clips": int(chosen.sum()),
            "top1": round(100 * float((ranks < 1).mean()), 2),
            "top5": round(100 * float((ranks < 5).mean()), 2),
            "top1_per_class": round(100 * mean((r < 1).mean() for r in classes), 2),
            "top5_per_class": round(100 * mean((r < 5).mean() for r in classes), 2),
        }
    return found


def ranks_of(logits: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """How many signs are rated above the true one, `[clips]`."""
    return (logits > logits[np.arange(len(truth)), truth][:, None]).sum(axis=1)


def by_signer(logits: np.ndarray, truth: np.ndarray, signers: list[str]) -> dict[str, dict[str, Any]]:
    """Clips and accuracy among all glosses, and among the first 100, of each signer."""
    names = np.array(signers)
    table = {}
    for name in sorted(set(signers), key=int):
        mine = names == name
        table[name] = accuracies(logits[mine], truth[mine])
    return table


def interval_over_signers(
    logits: np.ndarray, truth: np.ndarray, signers: list[str], rounds: int = 1000
) -> dict[str, Any]:
    """95 % bootstrap intervals of top-1 and top-5 in per cent, whole signers drawn."""
    random, names = np.random.default_rng(0), np.array(signers)
    table = {}
    for count in SUBSETS:
        chosen = truth < count
        ranks, own = ranks_of(logits[chosen, :count], truth[chosen]), names[chosen]
        people = [ranks[own == name] for name in np.unique(own)]
        draws = [
            np.concatenate([people[i] for i in random.integers(0, len(people), len(people))]) for _ in range(rounds)
        ]
        table[f"wlasl{count}"] = {
            f"top{top}": [
                round(100 * float(value), 2) for value in np.percentile([(d < top).mean() for d in draws], (2.5, 97.5))
            ]
            for top in (1, 5)
        }
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--split", choices=("official", "signer", "dev"), default="official")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--folds", type=int, nargs="+", choices=range(FOLDS), default=list(range(FOLDS)))
    parser.add_argument("--epochs", type=float, help="instead of those of the config")
    parser.add_argument("--runs", type=Path, default=runs.ROOT / "runs" / "accuracy" / "wlasl")
    options = parser.parse_args()
    changes = {} if options.epochs is None else {"num_train_epochs": options.epochs}
    record = runs.header(1) | {
        "data": f"wlasl_hands, {options.split} split; hands alone, public part of WLASL", "config": {**runs.read_config(CONFIG), **changes}, "runs": {},
    }  # fmt: skip
    places = [(fold, seed) for seed in options.seeds for fold in (options.folds if options.split == "signer" else [0])]
    together = []
    for fold, seed in places:
        trained = train(options.split, fold, seed, options.runs, changes)
        rows = tested(options.split, fold)
        logits, truth = answers(trained.folder, rows)
        together.append((seed, logits, truth, list(rows["signer"])))
        if options.split == "official":
            own = ~copies(rows)
            record.setdefault("without_copies", {})[seed] = accuracies(logits[own], truth[own])
        record["runs"][f"{fold}-{seed}"] = {
            "seconds": trained.seconds, "clips_trained": trained.clips, "data_hash": trained.data, "steps": trained.steps,
            "parameters": trained.parameters["all"], **accuracies(logits, truth),
        }  # fmt: skip
        print(options.split, fold, seed, record["runs"][f"{fold}-{seed}"], flush=True)
    record["seeds"] = {}
    for seed in options.seeds:
        logits, truth = (np.concatenate([part[place] for part in together if part[0] == seed]) for place in (1, 2))
        signers = [name for part in together if part[0] == seed for name in part[3]]
        record["seeds"][seed] = accuracies(logits, truth) | {
            "by_signer": by_signer(logits, truth, signers), "interval_95_over_signers": interval_over_signers(logits, truth, signers),
        }  # fmt: skip
    record["mean"] = {
        f"wlasl{count}": {
            key: [round(mean(values), 2), round(stdev(values), 2) if len(values) > 1 else None]
            for key in ("top1", "top5", "top1_per_class", "top5_per_class")
            if (values := [found[f"wlasl{count}"][key] for found in record["seeds"].values()])
        }
        for count in SUBSETS
    }  # fmt: skip
    print(record["mean"])
    runs.save(f"wlasl_{options.split}", record)


if __name__ == "__main__":
    main()
