"""Real finger-spelled letters (spoken-to-signed 0.4.0, MediaPipe): 23 letters of 16 sign languages, leave one language out.

    pip download --no-deps spoken-to-signed==0.4.0 && unzip spoken_to_signed-0.4.0-py3-none-any.whl -d FOLDER
    python benchmarks/accuracy/fingerspelling.py --data FOLDER
    python benchmarks/accuracy/fingerspelling.py --data FOLDER --held-out    # three parts of the languages but ASL, to choose settings

A language is one or two signers, so a language left out is also a signer left out. One clip, one answer.
"""

import argparse
import sys
from pathlib import Path
from statistics import mean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
import runs

LANGUAGES = [
    "ase",
    "asq",
    "bzs",
    "cse",
    "csq",
    "eso",
    "gsg",
    "ise",
    "lls",
    "mfs",
    "psr",
    "sgg",
    "ssp",
    "svk",
    "swl",
    "tsm",
]
# Languages measured together where settings are chosen; ASL is in none.
HELD_OUT = [LANGUAGES[1::3], LANGUAGES[2::3], LANGUAGES[3::3]]


def train(tested: list[str], trained: list[str], data: Path, seed: int, folder: Path) -> runs.Trained:
    """Trains on all clips of those languages."""
    options = {
        **runs.read_config("fingerspelling/letters"),
        "seed": seed,
        "data_dir": str(data),
        "dev_split": "train",
        "eval_epochs": 0,
    }
    options["loader_options"] = loader(tested, trained)
    options["output_dir"] = str(folder / f"{'-'.join(tested)}-{seed}")
    return runs.train("isolated", options)


def loader(tested: list[str], trained: list[str]) -> dict[str, Any]:
    """Options of the corpus: the letters are those that all these languages share."""
    languages = [*tested, *trained]
    return {"sign_languages": languages, "test_languages": tested, "shared_by": len(languages)}


def measure(model: Path, tested: list[str], trained: list[str], data: Path) -> dict[str, Any]:
    """Right answers by language, from the `.pose` files."""
    from signx_hf.data import load_dataset

    rows = load_dataset("fingerspelling", data, "test", **loader(tested, trained))
    files = [row["tracks"][0]["path"] for row in rows]
    answers = runs.recognize(model, files, "isolated-sign-recognition", batch_size=1)
    right: dict[str, list[bool]] = {}
    for row, answer in zip(rows, answers):
        right.setdefault(row["sign_language"], []).append(answer[0]["label"] == row["glosses"][0])
    return {language: {"right": sum(hits), "clips": len(hits)} for language, hits in right.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the unpacked wheel")
    parser.add_argument("--held-out", action="store_true", help="never train on ASL nor measure it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=Path, default=runs.ROOT / "runs" / "accuracy" / "fingerspelling")
    options = parser.parse_args()
    folds = HELD_OUT if options.held_out else [[language] for language in LANGUAGES]
    known = LANGUAGES[1:] if options.held_out else LANGUAGES
    record = runs.header(1) | {
        "data": "spoken-to-signed 0.4.0, 23 letters of 16 sign languages; unseen language",
        "seed": options.seed,
    }
    record |= {
        "measured_on": "held-out training languages" if options.held_out else "each language in turn",
        "languages": {},
    }
    record["folds"] = {}
    for tested in folds:
        trained = [language for language in known if language not in tested]
        run = train(
            tested, trained, options.data, options.seed, options.runs / ("held_out" if options.held_out else "test")
        )
        found = measure(run.folder, tested, trained, options.data)
        record["languages"] |= found
        record["folds"]["-".join(tested)] = {"seconds": run.seconds, "clips_trained": run.clips, "data_hash": run.data,
                                             "parameters": run.parameters["all"]}  # fmt: skip
        print({name: f"{value['right']}/{value['clips']}" for name, value in found.items()}, flush=True)
    counts = record["languages"].values()
    record["accuracy"] = round(100 * sum(c["right"] for c in counts) / sum(c["clips"] for c in counts), 2)
    record["mean_of_languages"] = round(100 * mean(c["right"] / c["clips"] for c in counts), 2)
    record["config"] = runs.read_config("fingerspelling/letters")
    print("accuracy", record["accuracy"])
    if not options.held_out:
        runs.save("fingerspelling", record)


if __name__ == "__main__":
    main()
