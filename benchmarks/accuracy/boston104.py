"""Real signing: RWTH-BOSTON-104, official split, from hand tracks.

    python benchmarks/accuracy/boston104.py                    # three seeds, measured on the test split
    python benchmarks/accuracy/boston104.py --held-out         # the same settings on held-out training sentences

Stage 3 learns poses to glosses by CTC, stage 4 adds encoder and decoder on its cached features; recognition is joint. Settings
were chosen with `--held-out`. Seen: test sentences whose glosses also occur as a training sentence; MUST is not in training.
"""

import argparse
import sys
from pathlib import Path
from statistics import mean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
import runs

DECODING = {"decoder": "attention", "num_beams": 10, "ctc_weight": 0.7}
WAYS = {
    "ctc": {"decoder": "ctc", "num_beams": 10},
    "decoder": {"decoder": "attention", "num_beams": 10, "ctc_weight": 0.0},
    "joint": DECODING,
}  # fmt: skip


def train(seed: int, held_out: bool, folder: Path) -> list[runs.Trained]:
    """Stages 3 and 4 of one seed; on all training sentences unless some are held out."""
    data = {"data_dir": str(runs.DATA / "boston104"), "seed": seed}
    if not held_out:
        data |= {"dev_split": "train", "eval_epochs": 0}
    done, stages = [], {"latent_ctc": "boston104/01_sentences_from_poses", "refine": "boston104/02_refine"}
    for stage, config in stages.items():
        options = {**runs.read_config(config), **data, "output_dir": str(folder / f"{stage}-{seed}")}
        if done:
            options["upstream"] = str(done[-1].folder)
        done.append(runs.train(stage, options))
    return done


def splits(held_out: bool) -> tuple[Any, Any]:
    """Sentences trained on, and sentences measured on."""
    from signx_hf.training.arguments import DataArguments
    from signx_hf.training.examples import open_splits

    config = runs.read_config("boston104/01_sentences_from_poses")
    data = DataArguments(
        dataset="boston104",
        data_dir=str(runs.DATA / "boston104"),
        dev_split=None if held_out else "test",
        dev_share=config["dev_share"],
        dev_by=config["dev_by"],
    )
    return open_splits(data)[:2]


def measure(folder: Path, trained: Any, rows: Any) -> dict[str, Any]:
    """WER of the three ways to decode: all sentences, seen, unseen."""
    known = {" ".join(glosses) for glosses in trained["glosses"]}
    truth = rows["glosses"]
    seen = [" ".join(glosses) in known for glosses in truth]
    found = {}
    for way, options in WAYS.items():
        answers = [answer["glosses"] for answer in runs.recognize(folder, runs.poses_of(rows), **options)]
        pairs = list(zip(answers, truth, seen))
        found[way] = runs.score(answers, truth)
        for name, expected in (("seen", True), ("unseen", False)):
            part = [(answer, sentence) for answer, sentence, known_one in pairs if known_one is expected]
            if part:
                found[way][name] = runs.score(*zip(*part))["wer"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--held-out", action="store_true", help="measure on held-out training sentences, to choose settings"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=runs.ROOT / "runs" / "accuracy" / "boston104")
    options = parser.parse_args()
    record = runs.header(1) | {"data": "RWTH-BOSTON-104, hand tracks, official split", "seeds": {}}
    record["measured_on"] = "held-out training sentences" if options.held_out else "test"
    folder = options.runs / ("held_out" if options.held_out else "test")
    trained, rows = splits(options.held_out)
    for seed in options.seeds:
        done = train(seed, options.held_out, folder)
        seconds = sum(run.seconds for run in done)
        record["seeds"][seed] = {"seconds": seconds, "data_hash": done[0].data, "parameters": done[-1].parameters["all"],
                                 "wer": measure(done[-1].folder, trained, rows)}  # fmt: skip
        shown = {way: value["wer"] for way, value in record["seeds"][seed]["wer"].items()}
        print(f"seed {seed}: {seconds:.0f} s, WER {shown}", flush=True)
    words = [len(glosses) for glosses in rows["glosses"]]
    for way in WAYS:
        seeds = [seed["wer"][way] for seed in record["seeds"].values()]
        record[way] = {"wer": round(mean(run["wer"] for run in seeds), 2), "interval_95": runs.interval(seeds, words)}
        for name in ("seen", "unseen"):
            if name in seeds[0]:
                record[way][name] = round(mean(run[name] for run in seeds), 2)
        print(way, record[way])
    record["configs"] = {
        name: runs.read_config(name) for name in ("boston104/01_sentences_from_poses", "boston104/02_refine")
    }
    if not options.held_out:
        runs.save("boston104", record)


if __name__ == "__main__":
    main()
