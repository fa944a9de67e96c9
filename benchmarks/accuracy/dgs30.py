"""Isolated signs of German Sign Language from hand key points: 30 signs, five folds of clips.

    python benchmarks/accuracy/dgs30.py                # each clip tested once
    python benchmarks/accuracy/dgs30.py --held-out     # settings are chosen here: a fifth of each fold's training clips measured
    python benchmarks/accuracy/dgs30.py --all          # the model that ships: trained on every clip

Who signs is not known: clips of one signer are in training and test alike, so nothing is said about people the model has not seen.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
import runs

CONFIG = "dgs30/isolated"
FOLDS = 5


def train(fold: int | None, seed: int, folder: Path, changes: dict[str, Any], held_out: bool) -> runs.Trained:
    """A run on all clips but those of a fold; `held_out` measures on a fifth of them, else nothing but training is done."""
    options = {**runs.read_config(CONFIG), **changes, "seed": seed, "data_dir": str(runs.DATA / "dgs30_words")}
    options["loader_options"] = {} if fold is None else {"folds": FOLDS, "fold": fold}
    options["output_dir"] = str(folder / f"{'all' if fold is None else fold}-{seed}")
    if held_out:
        options |= {"dev_by": "gloss", "dev_share": 0.2}
    else:
        options |= {"dev_split": "train", "eval_epochs": 0}
    return runs.train("isolated", options)


def held_out_accuracy(folder: Path) -> dict[str, float]:
    """Top-1 and top-5 on held-out training clips at the end of a run, in per cent."""
    lines = [line.split(",") for line in (folder.parent / "log.csv").read_text().splitlines()]
    last = {line[2].removeprefix("dev/"): float(line[3]) for line in lines if line[2].startswith("dev/top")}
    return {name: round(100 * value, 2) for name, value in last.items()}


def answers(folder: Path, fold: int) -> tuple[list[list[str]], list[str]]:
    """Signs of each test clip, best first, as the pipeline has them, and the truth."""
    from signx_hf import load_dataset

    rows = load_dataset("dgs30", data_dir=str(runs.DATA / "dgs30_words"), split="test", folds=FOLDS, fold=fold)
    found = runs.recognize(folder, runs.poses_of(rows), "isolated-sign-recognition", batch_size=1, top_k=5)
    return [[item["label"] for item in answer] for answer in found], [glosses[0] for glosses in rows["glosses"]]


def accuracies(found: list[list[str]], truth: list[str]) -> dict[str, Any]:
    """Top-1 and top-5 in per cent, per clip and as the mean over signs."""
    first = np.array([answer[0] == sign for answer, sign in zip(found, truth)])
    five = np.array([sign in answer for answer, sign in zip(found, truth)])
    names = np.array(truth)
    return {
        "clips": len(truth),
        "top1": round(100 * float(first.mean()), 2),
        "top5": round(100 * float(five.mean()), 2),
        "top1_per_sign": round(100 * mean(float(first[names == sign].mean()) for sign in set(truth)), 2),
    }


def interval(hits: np.ndarray, rounds: int = 2000) -> list[float]:
    """95 % bootstrap interval of a mean in per cent, clips drawn."""
    random = np.random.default_rng(0)
    draws = [hits[random.integers(0, len(hits), len(hits))].mean() for _ in range(rounds)]
    return [round(100 * float(value), 2) for value in np.percentile(draws, (2.5, 97.5))]


def words_in_corpus() -> dict[str, int]:
    """How often each of the signs occurs in the sentences of the DGS Corpus, by its lexical gloss."""
    from signx_hf import load_dataset
    from signx_hf.data.corpora.dgs_corpus import lexical_gloss

    data = load_dataset("dgs_corpus", data_dir=str(runs.DATA / "dgs_corpus"))
    glosses = [gloss for rows in data.values() for glosses in rows["glosses"] for gloss in glosses]
    lexical = [str(lexical_gloss(gloss) or "").casefold() for gloss in glosses]
    with np.load(runs.DATA / "dgs30_words" / "dgs30.npz") as arrays:
        return {str(sign): lexical.count(str(sign).casefold()) for sign in arrays["signs"]}


def confusions(pairs: list[tuple[list[str], str]]) -> list[list[Any]]:
    """The ten most frequent mistakes: sign, answer, how often."""
    counts = Counter((sign, labels[0]) for labels, sign in pairs if labels[0] != sign)
    return [[sign, answer, count] for (sign, answer), count in counts.most_common(10)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--held-out", action="store_true", help="measure on held-out training clips alone")
    parser.add_argument("--all", action="store_true", help="train on every clip, measure nothing")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--folds", type=int, nargs="+", choices=range(FOLDS), default=list(range(FOLDS)))
    parser.add_argument("--width", type=int, help="hidden size, instead of the config's")
    parser.add_argument("--epochs", type=float, help="instead of those of the config")
    parser.add_argument("--runs", type=Path, default=runs.ROOT / "runs" / "accuracy" / "dgs30")
    options = parser.parse_args()
    changes: dict[str, Any] = {} if options.epochs is None else {"num_train_epochs": options.epochs}
    if options.width is not None:
        model = runs.read_config(CONFIG)["model_config"]
        body = {**model["classifier_config"], "hidden_size": options.width, "intermediate_size": 2 * options.width}
        changes["model_config"] = {**model, "classifier_config": body}
    if options.all:
        print(train(None, options.seeds[0], options.runs, changes, held_out=False))
        return
    record = runs.header(1) | {
        "data": "dgs30_words, five folds of clips; who signs is not known", "config": {**runs.read_config(CONFIG), **changes}, "runs": {},
    }  # fmt: skip
    found: dict[int, list[tuple[list[str], str]]] = {seed: [] for seed in options.seeds}
    for seed in options.seeds:
        for fold in options.folds:
            trained = train(fold, seed, options.runs, changes, options.held_out)
            about = {"seconds": trained.seconds, "clips_trained": trained.clips, "data_hash": trained.data, "steps": trained.steps,
                     "parameters": trained.parameters["all"]}  # fmt: skip
            if options.held_out:
                about |= held_out_accuracy(trained.folder)
            else:
                labels, truth = answers(trained.folder, fold)
                found[seed] += zip(labels, truth)
                about |= accuracies(labels, truth)
            record["runs"][f"{fold}-{seed}"] = about
            print(fold, seed, about, flush=True)
    if options.held_out or options.folds != list(range(FOLDS)):
        return
    record["seeds"] = {seed: accuracies(*map(list, zip(*pairs))) for seed, pairs in found.items()}
    for key in ("top1", "top5", "top1_per_sign"):
        values = [seed[key] for seed in record["seeds"].values()]
        record[key] = [round(mean(values), 2), round(stdev(values), 2) if len(values) > 1 else None]
    hits = [[labels[0] == sign for labels, sign in pairs] for pairs in found.values()]
    record["interval_95"] = interval(np.mean(hits, axis=0))
    record["errors"] = confusions([pair for pairs in found.values() for pair in pairs])
    record["in_dgs_corpus"] = words_in_corpus()
    print({key: record[key] for key in ("top1", "top5", "interval_95")})
    runs.save("dgs30", record)


if __name__ == "__main__":
    main()
