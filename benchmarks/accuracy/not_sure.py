"""Whether a model of 2,000 signs knows that a sign is none of the hundred it was asked for: signers never seen.

    python benchmarks/accuracy/wlasl.py --split signer       # the models: five folds, each signer tested once
    python benchmarks/accuracy/not_sure.py [--folds 0 1 2 3 4]

The vocabulary is WLASL100; clips of the other 1,900 glosses are unknown signs. Temperature (of all signs) and threshold of a fold are fitted on
the test signers of the other folds, of a single fold on those of the other half; what ships is fitted on all of them.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
import runs
import wlasl

COUNT = 100  # glosses of the vocabulary
SCORE = "likelihood"  # of the best sign among all signs: it means the same with and without a vocabulary
ACCEPT_RIGHT = 0.9
STRICT = 0.15  # where there is no vocabulary, `--threshold` that the card speaks of


def temperature_of(logits: np.ndarray, truth: np.ndarray) -> float:
    """The temperature under which the signs of the clips are likeliest, as `signx-hf calibrate` fits it."""
    import torch

    from signx_hf.recognition.rejection import Rule, fit_logits

    # a sign that no clip of a fold's training shows is -inf there, at every temperature
    learned = np.isfinite(logits[np.arange(len(truth)), truth])
    found = fit_logits(
        torch.from_numpy(logits[learned]),
        torch.from_numpy(truth[learned]),
        torch.empty(0, logits.shape[1]),
        None,
        Rule(),
    )
    return found.temperature


def scores_of(logits: np.ndarray, name: str, temperature: float, count: int | None = COUNT) -> np.ndarray:
    """A rejection score `[clips]` of the vocabulary, or (None) of all signs."""
    import torch

    from signx_hf.processing.answers_signx import rejection_scores

    ids = None if count is None else range(count)
    return rejection_scores(torch.from_numpy(logits), name, ids, temperature).numpy()


def threshold_of(logits: np.ndarray, truth: np.ndarray, temperature: float) -> float:
    """The threshold that `ACCEPT_RIGHT` of the right answers reach."""
    from signx_hf.recognition.rejection import Rule, choose_threshold

    values, known = scores_of(logits, SCORE, temperature), truth < COUNT
    right = known & (logits[:, :COUNT].argmax(1) == truth)
    return choose_threshold(values[right], values[known & ~right], values[~known], Rule(accept_right=ACCEPT_RIGHT))


def shares(accepted: np.ndarray, right: np.ndarray) -> dict[str, float]:
    """What becomes of clips whose sign there is, in per cent."""
    parts = {"right": accepted & right, "wrong": accepted & ~right, "refused": ~accepted}
    return {name: round(100 * float(part.mean()), 2) for name, part in parts.items()}


def parts_of(folds: list[int], seed: int, folder: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Logits and truth of each fold; of a single fold, of two halves of its signers with about as many clips."""
    found = []
    for fold in folds:
        rows = wlasl.tested("signer", fold)
        logits, truth = wlasl.answers(folder / f"signer-{fold}-{seed}" / "model", rows)
        found.append((logits, truth, np.array(rows["signer"])))
    if len(found) > 1:
        return [part[:2] for part in found]
    logits, truth, signers = found[0]
    people, clips = np.unique(signers, return_counts=True)
    halves: tuple[list[str], list[str]] = ([], [])
    sizes = [0, 0]
    for place in np.argsort(-clips, kind="stable"):
        smaller = int(sizes[1] < sizes[0])
        halves[smaller].append(people[place])
        sizes[smaller] += clips[place]
    return [(logits[np.isin(signers, half)], truth[np.isin(signers, half)]) for half in halves]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folds", type=int, nargs="+", choices=range(wlasl.FOLDS), default=list(range(wlasl.FOLDS)))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=Path, default=runs.ROOT / "runs" / "accuracy" / "wlasl")
    options = parser.parse_args()
    from signx_hf.metrics import auroc
    from signx_hf.processing.answers_signx import REJECTION

    parts = parts_of(options.folds, options.seed, options.runs)
    values: dict[str, list[np.ndarray]] = {name: [] for name in REJECTION}
    accepted, strict = [], []
    for place, (logits, _) in enumerate(parts):
        rest = [np.concatenate([part[key] for i, part in enumerate(parts) if i != place]) for key in (0, 1)]
        temperature = temperature_of(*rest)
        for name in REJECTION:
            values[name].append(scores_of(logits, name, temperature))
        accepted.append(values[SCORE][-1] >= threshold_of(*rest, temperature))
        strict.append(scores_of(logits, SCORE, temperature, None) >= STRICT)
    logits, truth = (np.concatenate([part[key] for part in parts]) for key in (0, 1))
    known, answered = truth < COUNT, np.concatenate(accepted)
    right = logits[:, :COUNT].argmax(1) == truth
    temperature = temperature_of(logits, truth)
    scores = {name: np.concatenate(found) for name, found in values.items()}
    record = runs.header(1) | {
        "data": "wlasl_hands, signers never seen; vocabulary WLASL100, unknown signs are the other 1,900 glosses",
        "folds": options.folds, "clips": {"known": int(known.sum()), "unknown": int((~known).sum())},
        "auroc": {name: round(auroc(found[known], found[~known]), 4) for name, found in scores.items()},
        "auroc_of_right_answers": {name: round(auroc(found[known & right], found[~known]), 4) for name, found in scores.items()},
        "accept_right": ACCEPT_RIGHT, "known": shares(answered[known], right[known]),
        "unknown_refused": round(100 * float((~answered[~known]).mean()), 2),
        "strict": {"threshold": STRICT} | shares(np.concatenate(strict), logits.argmax(1) == truth),
        "shipped": {"score": SCORE, "temperature": temperature, "threshold": threshold_of(logits, truth, temperature)},
    }  # fmt: skip
    print({key: value for key, value in record.items() if key in ("auroc", "auroc_of_right_answers", "known", "unknown_refused", "strict", "shipped")})  # fmt: skip
    runs.save("not_sure", record)


if __name__ == "__main__":
    main()
