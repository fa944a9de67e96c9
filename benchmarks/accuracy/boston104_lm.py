"""Joint decoding with a language model: RWTH-BOSTON-104, official split, from hand tracks.

    python benchmarks/accuracy/boston104.py --held-out --seeds 0    # trains the models that weights are chosen on
    python benchmarks/accuracy/boston104.py                         # trains the models of the three seeds
    python benchmarks/accuracy/boston104_lm.py --choose             # every weight on held-out training sentences
    python benchmarks/accuracy/boston104_lm.py                      # the chosen weights on the test split

The language model learns from the training glosses alone; while weights are chosen, from those that are not held out.
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
BEAMS = 10
WEIGHTS = {
    "ctc": {"lm_weight": (0.3, 0.5, 0.7, 1.0), "length_bonus": (0.0, 1.0, 2.0, 3.0)},
    "joint": {"ctc_weight": (0.5, 0.7), "lm_weight": (0.2, 0.4, 0.6), "length_bonus": (0.0, 1.0)},
}  # fmt: skip
ALONE = {"ctc": {"decoder": "ctc"}, "joint": {"decoder": "attention", "ctc_weight": 0.7}}
# What --choose found; see the record.
CHOSEN: dict[str, dict[str, Any]] = {}


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


def choose(folder: Path, ways: list[str]) -> None:
    """WER of every combination of weights on the held-out sentences; clips are encoded once for all of them."""
    trained, rows = boston104.splits(held_out=True)
    path = folder / "lm.arpa"
    model = language_model(trained["glosses"], path)
    print(f"perplexity of {len(rows)} held-out sentences {perplexity(model, rows['glosses'])}", flush=True)
    from transformers import pipeline

    import signx_hf  # noqa: F401  registers the task

    recogniser = pipeline("sign-recognition", model=str(folder / "refine-0" / "model"))
    # What the pipeline reads of a batch is kept, so that only decoding is done again.
    encode, kept = recogniser.model.encode, {}
    recogniser.model.encode = lambda **inputs: kept.setdefault(inputs["pose_values"].shape, encode(**inputs)) if (
        inputs["pose_values"].shape not in kept) else kept[inputs["pose_values"].shape]  # fmt: skip
    poses, found = runs.poses_of(rows), []
    for way in ways:
        for weights in [{}, *combinations(WEIGHTS[way])]:
            options = {**ALONE[way], "num_beams": BEAMS, **weights, **({"lm": str(path)} if weights else {})}
            answers = [answer["glosses"] for answer in recogniser(poses, batch_size=len(poses), **options)]
            score = runs.score(answers, rows["glosses"])
            found.append({"way": way, **weights, **{k: score[k] for k in ("wer", "substitutions", "insertions", "deletions")}})
            print(json.dumps(found[-1]), flush=True)
    (folder / "lm_weights.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=Path)
    parser.add_argument("ways", nargs="+")
    options = parser.parse_args()
    choose(options.runs / "held_out", options.ways)
