"""Signs of one's own: glosses that pre-training has never seen, taught with a few clips, tested on other signers.

    python benchmarks/accuracy/own_signs.py

Fifty glosses of WLASL are left out of pre-training on all else. Twenty of them are taught with 1, 3 and 5 clips a sign, and tested on
every clip of signers who taught none of them: by the nearest mean without training (`signx_hf.teach`), by training a new head on the
trained body (`train isolated --upstream`), and by training from nothing.
"""

import argparse
import sys
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
import runs
from wlasl import CONFIG

LEFT_OUT, TAUGHT, CLIPS = 50, 20, (1, 3, 5)
DRAWS = 5  # of the twenty signs, and of who teaches them
LEAST_CLIPS, LEAST_SIGNERS = 9, 6


def all_rows() -> Any:
    """Every clip of WLASL, whatever its split."""
    from datasets import concatenate_datasets

    from signx_hf import load_dataset

    data = load_dataset("wlasl_hands", data_dir=str(runs.DATA / "wlasl_hands"))
    return concatenate_datasets([data[name] for name in sorted(data)])


def glosses_left_out(rows: Any) -> list[str]:
    """Fifty glosses with clips of enough signers, drawn by seed."""
    clips, signers = defaultdict(int), defaultdict(set)
    for glosses, signer in zip(rows["glosses"], rows["signer"]):
        clips[glosses[0]] += 1
        signers[glosses[0]].add(signer)
    usable = sorted(g for g in clips if clips[g] >= LEAST_CLIPS and len(signers[g]) >= LEAST_SIGNERS)
    return sorted(np.random.default_rng(0).choice(usable, LEFT_OUT, replace=False).tolist())


def draw(rows: Any, left_out: list[str], seed: int) -> tuple[list[str], dict[str, list[int]], list[int]]:
    """Twenty signs, their teaching clips in the order in which they are taken, and the test clips of other signers.

    Signers are put into teachers and others so that every sign has five clips of teachers, at least one test clip, and as many test
    clips as can be.
    """
    random = np.random.default_rng([1, seed])
    signs = sorted(random.choice(left_out, TAUGHT, replace=False).tolist())
    places: dict[str, dict[str, list[int]]] = {sign: defaultdict(list) for sign in signs}
    for place, (glosses, signer) in enumerate(zip(rows["glosses"], rows["signer"])):
        if glosses[0] in places:
            places[glosses[0]][signer].append(place)
    people = sorted({signer for found in places.values() for signer in found}, key=int)
    teachers: set[str] = set()
    for signer in random.permutation(people).tolist():
        lacking = [s for s in signs if sum(len(places[s][t]) for t in teachers if t in places[s]) < max(CLIPS)]
        if any(signer in places[s] for s in lacking):
            teachers.add(signer)
    taught, tested = {}, []
    for sign in signs:
        mine = [p for signer in sorted(teachers) for p in places[sign].get(signer, [])]
        others = [p for signer, found in places[sign].items() if signer not in teachers for p in found]
        if len(mine) < max(CLIPS) or not others:
            return draw(rows, left_out, seed + 1000)  # this drawing leaves a sign without clips of one kind
        taught[sign] = random.permutation(mine)[: max(CLIPS)].tolist()
        tested += others
    return signs, taught, tested


def pretrain(left_out: list[str], folder: Path, epochs: float | None) -> runs.Trained:
    """A body that has seen all other glosses."""
    options = {
        **runs.read_config(CONFIG),
        "seed": 0,
        "data_dir": str(runs.DATA / "wlasl_hands"),
        "dev_split": "train",
        "eval_epochs": 0,
    }
    if epochs is not None:
        options["num_train_epochs"] = epochs
    options |= {
        "train_split": "train+dev+test",
        "loader_options": {"exclude_glosses": left_out},
        "output_dir": str(folder / "body"),
    }
    return runs.train("isolated", options)


def accuracy(folder: Path, rows: Any) -> float:
    """Share of clips whose best sign is right, in per cent."""
    answers = runs.recognize(folder, runs.poses_of(rows), "isolated-sign-recognition", batch_size=1, top_k=1)
    return 100 * mean(answer[0]["label"] == glosses[0] for answer, glosses in zip(answers, rows["glosses"]))


def by_teaching(body: Path, rows: Any, taught: dict[str, list[int]], count: int, folder: Path) -> Path:
    """The nearest mean, without training."""
    import shutil

    from signx_hf import teach

    shutil.rmtree(folder, ignore_errors=True)
    clips = {sign: runs.poses_of(rows.select(places[:count])) for sign, places in taught.items()}
    teach(str(body), clips, folder)
    return folder


def by_training(body: Path | None, rows: Any, taught: dict[str, list[int]], count: int, folder: Path) -> Path:
    """As `signx-hf train isolated` does it by itself: with a trained body, or (None) from nothing with the recipe of WLASL."""
    data = folder / "data"
    chosen = [place for places in taught.values() for place in places[:count]]
    rows.select(chosen).save_to_disk(str(data))
    options: dict[str, Any] = {
        "dataset": str(data),
        "output_dir": str(folder / "run"),
        "dev_split": "train",
        "eval_epochs": 0,
        "num_workers": 0,
    }
    if body is None:
        options = {
            **runs.read_config(CONFIG),
            **options,
            "num_train_epochs": 200 // count,
            "loader_options": {},
            "data_dir": None,
        }
    else:
        options["upstream"] = str(body)
    return runs.train("isolated", options).folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--runs", type=Path, default=runs.ROOT / "runs" / "accuracy" / "own_signs")
    parser.add_argument("--epochs", type=float, help="of pre-training, instead of those of the config")
    options = parser.parse_args()
    rows = all_rows()
    left_out = glosses_left_out(rows)
    body = pretrain(left_out, options.runs, options.epochs)
    record = runs.header(1) | {
        "data": "wlasl_hands, glosses left out of pre-training; tested on signers who taught none of them", "left_out": left_out,
        "pretraining": {"seconds": body.seconds, "clips": body.clips, "steps": body.steps}, "draws": [],
    }  # fmt: skip
    for seed in range(options.draws):
        signs, taught, tested = draw(rows, left_out, seed)
        test_rows = rows.select(tested)
        found: dict[str, Any] = {"signs": signs, "test_clips": len(tested), "accuracy": {}}
        for count in CLIPS:
            place = options.runs / f"{seed}-{count}"
            folders = {
                "nearest mean": by_teaching(body.folder, rows, taught, count, place / "taught"),
                "trained on a trained body": by_training(body.folder, rows, taught, count, place / "upstream"),
                "trained from nothing": by_training(None, rows, taught, count, place / "scratch"),
            }
            found["accuracy"][count] = {
                name: round(accuracy(folder, test_rows), 2) for name, folder in folders.items()
            }
            print(seed, count, len(tested), found["accuracy"][count], flush=True)
        record["draws"].append(found)
    record["mean"] = {
        count: {name: [round(mean(v), 2), round(stdev(v), 2) if len(v) > 1 else None]
                for name in record["draws"][0]["accuracy"][count] if (v := [d["accuracy"][count][name] for d in record["draws"]])}
        for count in CLIPS
    }  # fmt: skip
    print(record["mean"])
    runs.save("own_signs", record)


if __name__ == "__main__":
    main()
