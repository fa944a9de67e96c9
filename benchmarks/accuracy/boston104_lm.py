"""Joint decoding with a language model: RWTH-BOSTON-104, official split, from hand tracks.

    python benchmarks/accuracy/boston104.py --held-out --seeds 0    # trains the models that weights are chosen on
    python benchmarks/accuracy/boston104.py                         # trains the models of the three seeds
    python benchmarks/accuracy/boston104_lm.py                      # weights on held-out sentences, then the test split

The language model learns from the training glosses alone; while weights are chosen, from those that are not held out. The
weights of the lowest WER on held-out training sentences are used; the test split is read once, with these.
"""

import argparse
import itertools
import json
import math
import sys
from pathlib import Path
from statistics import mean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
import boston104
import runs

LM = {"order": 3, "smoothing": "kneser_ney"}
ALONE = {
    "ctc": {"decoder": "ctc", "num_beams": 10},
    "joint": {"decoder": "attention", "num_beams": 10, "ctc_weight": 0.7},
}  # fmt: skip
WEIGHTS = {
    "ctc": {"lm_weight": (0.3, 0.5, 0.7, 1.0), "length_bonus": (0.0, 1.0, 2.0)},
    "joint": {"ctc_weight": (0.6, 0.7, 0.8), "lm_weight": (0.2, 0.4, 0.6), "length_bonus": (0.0, 1.0)},
}  # fmt: skip
EDITS = ("wer", "substitutions", "insertions", "deletions")


def language_model(sentences: Any, path: Path) -> Any:
    """Trained on the sentences and written to the path, for the pipeline to read."""
    from signx_hf.modeling.ngram_signx import NGramModel

    model = NGramModel.train(sentences, **LM)
    path.parent.mkdir(parents=True, exist_ok=True)
    model.write(path)
    return model


def perplexity(model: Any, sentences: Any) -> float:
    """Per gloss, `</s>` included; unknown glosses as `<unk>`."""
    total, words = sum(model.score(sentence) for sentence in sentences), sum(len(s) + 1 for s in sentences)
    return round(math.exp(-total / words), 2)


def combinations(weights: dict[str, tuple[float, ...]]) -> list[dict[str, float]]:
    return [dict(zip(weights, values)) for values in itertools.product(*weights.values())]


def keep_encoded(model: Any) -> None:
    """Lets the model encode one batch and answer with it from then on: decoding alone is done again."""
    encode, cache = model.encode, []

    def once(**inputs: Any) -> Any:
        if not cache:
            cache.append(encode(**inputs))
        return cache[0]

    model.encode = once


def choose(folder: Path) -> list[dict[str, Any]]:
    """WER of every combination of weights on the held-out sentences; clips are encoded once for all of them."""
    from transformers import pipeline

    import signx_hf  # noqa: F401  registers the task

    trained, rows = boston104.splits(held_out=True)
    path, poses, found = folder / "lm.arpa", runs.poses_of(rows), []
    language_model(trained["glosses"], path)
    recognizer = pipeline("sign-recognition", model=str(folder / "refine-0" / "model"))
    keep_encoded(recognizer.model)
    for way, grid in WEIGHTS.items():
        for weights in [{}, *combinations(grid)]:
            options = {**ALONE[way], **weights, **({"lm": str(path)} if weights else {})}
            answers = [answer["glosses"] for answer in recognizer(poses, batch_size=len(poses), **options)]
            score = runs.score(answers, rows["glosses"])
            found.append({"way": way, **weights, **{name: score[name] for name in EDITS}})
            print(json.dumps(found[-1]), flush=True)
    return found


def best(found: list[dict[str, Any]], way: str) -> dict[str, float]:
    """The weights of the lowest WER; of equals the first, which are the smaller ones."""
    rows = [row for row in found if row["way"] == way and "lm_weight" in row]
    return {name: value for name, value in min(rows, key=lambda row: row["wer"]).items() if name in WEIGHTS[way]}


def test(folder: Path, seeds: list[int], chosen: dict[str, dict[str, float]]) -> dict[str, Any]:
    """WER with and without the language model of every seed: all test sentences, seen, unseen."""
    trained, rows = boston104.splits(held_out=False)
    path = folder / "lm.arpa"
    model = language_model(trained["glosses"], path)
    known = {" ".join(glosses) for glosses in trained["glosses"]}
    seen = [" ".join(glosses) in known for glosses in rows["glosses"]]
    ways = {}
    for way, options in ALONE.items():
        ways |= {way: options, f"{way}_lm": {**options, **chosen[way], "lm": str(path)}}
    poses, words = runs.poses_of(rows), [len(glosses) for glosses in rows["glosses"]]
    record: dict[str, Any] = {
        "lm": {**LM, "ngrams": model.counts, "perplexity": perplexity(model, rows["glosses"])}, "weights": chosen,
    }  # fmt: skip
    for way, options in ways.items():
        scores = []
        for seed in seeds:
            answers = runs.recognize(folder / f"refine-{seed}" / "model", poses, **options)
            scores.append(split_score([answer["glosses"] for answer in answers], rows["glosses"], seen))
            print(way, seed, {name: scores[-1][name] for name in ("wer", "seen", "unseen")}, flush=True)
        record[way] = {name: round(mean(score[name] for score in scores), 2) for name in ("wer", "seen", "unseen")}
        record[way] |= {"interval_95": runs.interval(scores, words), "seeds": dict(zip(seeds, scores))}
    return record


def split_score(answers: list[list[str]], truth: list[list[str]], seen: list[bool]) -> dict[str, Any]:
    found = runs.score(answers, truth)
    for name, expected in (("seen", True), ("unseen", False)):
        part = [pair for pair, known in zip(zip(answers, truth), seen) if known is expected]
        found[name] = runs.score(*zip(*part))["wer"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=runs.ROOT / "runs" / "accuracy" / "boston104")
    options = parser.parse_args()
    record = runs.header(1) | {
        "data": "RWTH-BOSTON-104, hand tracks, official split; models of accuracy_boston104.json"
    }
    record["held_out"] = choose(options.runs / "held_out")
    chosen = {way: best(record["held_out"], way) for way in WEIGHTS}
    record |= test(options.runs / "test", options.seeds, chosen)
    for way in ("ctc", "ctc_lm", "joint", "joint_lm"):
        print(way, {name: record[way][name] for name in ("wer", "seen", "unseen", "interval_95")})
    runs.save("boston104_lm", record)


if __name__ == "__main__":
    main()
