"""Whether a model of 2,000 signs knows that a sign is none of the hundred it was asked for: signers never seen.

    python benchmarks/accuracy/wlasl.py --split signer       # the models: five folds, each signer tested once
    python benchmarks/accuracy/not_sure.py [--folds 0 1 2 3 4]

The vocabulary is WLASL100; clips of the other 1,900 glosses are unknown signs. Score and threshold of a fold are fitted on the test signers of
the other folds (of the fold itself, by halves of its signers, where there is one alone), as `signx-hf calibrate --vocabulary` fits them.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
import runs
import wlasl

COUNT = 100  # glosses of the vocabulary
# The score that ships: it means the same with and without a vocabulary
SHIPPED = "likelihood"


def scores_of(logits: np.ndarray, name: str, temperature: float) -> np.ndarray:
    """A rejection score `[clips]` of the vocabulary."""
    import torch

    from signx_hf.processing.answers_signx import rejection_scores

    return rejection_scores(torch.from_numpy(logits), name, range(COUNT), temperature).numpy()


def fit(logits: np.ndarray, truth: np.ndarray) -> Any:
    """Temperature, scores and threshold as `signx-hf calibrate` fits them."""
    import torch

    from signx_hf.recognition.rejection import Rule, fit_logits

    known = truth < COUNT
    tensors = torch.from_numpy(logits)
    return fit_logits(tensors[known], torch.from_numpy(truth[known]), tensors[~known], range(COUNT), Rule())


def threshold_of(logits: np.ndarray, truth: np.ndarray, temperature: float) -> float:
    """The threshold of the score that ships: 95 % of the right answers stay."""
    from signx_hf.recognition.rejection import Rule, choose_threshold

    values, known = scores_of(logits, SHIPPED, temperature), truth < COUNT
    right = known & (logits[:, :COUNT].argmax(1) == truth)
    return choose_threshold(values[right], values[known & ~right], values[~known], Rule())


def shares(logits: np.ndarray, truth: np.ndarray, temperature: float, threshold: float) -> dict[str, float]:
    """What becomes of clips at a threshold of the score that ships, in per cent."""
    accepted, known = scores_of(logits, SHIPPED, temperature) >= threshold, truth < COUNT
    right = logits[:, :COUNT].argmax(1) == truth
    parts = {
        "known_right": (accepted & right)[known], "known_wrong": (accepted & ~right)[known], "known_refused": ~accepted[known],
        "unknown_refused": ~accepted[~known],
    }  # fmt: skip
    return {name: round(100 * float(part.mean()), 2) for name, part in parts.items()}


def parts_of(folds: list[int], seed: int, folder: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Logits and truth of each fold; of a single fold, of two halves of its signers."""
    found = []
    for fold in folds:
        rows = wlasl.tested("signer", fold)
        logits, truth = wlasl.answers(folder / f"signer-{fold}-{seed}" / "model", rows)
        found.append((logits, truth, np.array(rows["signer"])))
    if len(found) > 1:
        return [part[:2] for part in found]
    logits, truth, signers = found[0]
    people = sorted(set(signers), key=int)
    first = np.isin(signers, people[::2])
    return [(logits[first], truth[first]), (logits[~first], truth[~first])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folds", type=int, nargs="+", choices=range(wlasl.FOLDS), default=list(range(wlasl.FOLDS)))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=Path, default=runs.ROOT / "runs" / "accuracy" / "wlasl")
    options = parser.parse_args()
    from signx_hf.metrics import auroc
    from signx_hf.processing.answers_signx import REJECTION

    parts = parts_of(options.folds, options.seed, options.runs)
    tested: dict[str, list[Any]] = {name: [] for name in REJECTION}
    weighted: list[tuple[int, int, dict[str, float]]] = []
    for place, (logits, truth) in enumerate(parts):
        rest = [np.concatenate([part[key] for i, part in enumerate(parts) if i != place]) for key in (0, 1)]
        fitted = fit(*rest)
        known = truth < COUNT
        for name in REJECTION:
            values = scores_of(logits, name, fitted.temperature)
            tested[name].append(auroc(values[known], values[~known]))
        threshold = threshold_of(*rest, fitted.temperature)
        found = shares(logits, truth, fitted.temperature, threshold)
        weighted.append((int(known.sum()), int((~known).sum()), found))
    everything = [np.concatenate([part[key] for part in parts]) for key in (0, 1)]
    fitted = fit(*everything)
    record = runs.header(1) | {
        "data": "wlasl_hands, signers never seen; vocabulary WLASL100, unknown signs are the other 1,900 glosses",
        "folds": options.folds, "clips": {"known": sum(w[0] for w in weighted), "unknown": sum(w[1] for w in weighted)},
        "auroc": {name: round(float(np.mean(values)), 4) for name, values in tested.items()},
        "auroc_by_part": {name: [round(value, 4) for value in values] for name, values in tested.items()},
        "shipped_score": SHIPPED, "shipped_temperature": fitted.temperature,
        "shipped_threshold": threshold_of(*everything, fitted.temperature),
        "at_threshold": {
            name: round(float(np.average([w[2][name] for w in weighted], weights=[w[name == "unknown_refused"] for w in weighted])), 2)
            for name in weighted[0][2]
        },
    }  # fmt: skip
    print({key: record[key] for key in ("auroc", "shipped_temperature", "shipped_threshold", "at_threshold")})
    runs.save("not_sure", record)


if __name__ == "__main__":
    main()
