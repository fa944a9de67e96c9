"""Time the CTC prefix beam search on one core, next to a textbook search in plain Python.

    python benchmarks/ctc_decode.py

Prints a table and writes results/ctc_decode.json beside this file. The two searches are also checked against each
other: same beam, same labels, same score.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # read when numpy loads its BLAS, so before the imports below

import argparse
import math
import statistics
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from common import RESULTS, commit, hardware, load_average, versions, write_json

from signx_hf.modeling.ctc_search_signx import ctc_beam_search, ctc_greedy

SEED = 0
NUM_BEAMS = 10
SHAPES = [(34, 1300), (68, 802)]  # feature steps, tokens


def textbook_beam_search(log_probs: np.ndarray, blank_id: int, num_beams: int) -> list[tuple[tuple[int, ...], float]]:
    """Prefix beam search as it is usually taught: two log-probabilities for each prefix, in a dict, token by token.

    Args:
        log_probs: `[T, V]` log-probabilities.
        blank_id: id of the blank.
        num_beams: prefixes kept after each step.

    Returns:
        (ids, log-probability) of the last beam, best first.
    """

    def add(left: float, right: float) -> float:
        high, low = max(left, right), min(left, right)
        return high if low == -math.inf else high + math.log1p(math.exp(low - high))

    beam = {(): (0.0, -math.inf)}  # prefix -> paths that end in the blank, paths that end in its last token
    for step in log_probs.tolist():
        grown = defaultdict(lambda: (-math.inf, -math.inf))
        for prefix, (blank, token) in beam.items():
            for candidate, log_prob in enumerate(step):
                if candidate == blank_id:
                    old = grown[prefix]
                    grown[prefix] = add(old[0], add(blank, token) + log_prob), old[1]
                elif prefix and candidate == prefix[-1]:
                    old = grown[prefix]
                    grown[prefix] = old[0], add(old[1], token + log_prob)
                    old = grown[(*prefix, candidate)]
                    grown[(*prefix, candidate)] = old[0], add(old[1], blank + log_prob)
                else:
                    old = grown[(*prefix, candidate)]
                    grown[(*prefix, candidate)] = old[0], add(old[1], add(blank, token) + log_prob)
        ranked = sorted(grown.items(), key=lambda item: (-add(*item[1]), len(item[0]), item[0]))
        beam = {prefix: ends for prefix, ends in ranked[:num_beams] if max(ends) > -math.inf}
    return [(prefix, add(*ends)) for prefix, ends in beam.items()]


def make_log_probs(kind: str, steps: int, vocab_size: int) -> torch.Tensor:
    """`[1, T, V]` float32: `flat` is an untrained head, `peaky` a trained one (a few glosses among blanks)."""
    generator = torch.Generator().manual_seed(SEED)
    logits = torch.randn(1, steps, vocab_size, generator=generator)
    if kind == "peaky":
        tokens = torch.randint(1, vocab_size, (steps,), generator=generator)
        tokens[torch.rand(steps, generator=generator) < 0.6] = 0
        logits[0, torch.arange(steps), tokens] += 12.0
    return logits.log_softmax(-1)


def time_ms(function, repeats: int) -> list[float]:
    """Wall time of each call in ms, after one call to warm up."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(1e3 * (time.perf_counter() - start))
    return times


def measure(kind: str, steps: int, vocab_size: int, repeats: int, textbook_repeats: int) -> list[dict]:
    """One row for each way to decode one item."""
    log_probs = make_log_probs(kind, steps, vocab_size)
    double = log_probs[0].double().numpy()
    ways = {
        "greedy": (lambda: ctc_greedy(log_probs), repeats),
        "beam": (lambda: ctc_beam_search(log_probs, num_beams=NUM_BEAMS), repeats),
        "beam, top_k=4": (lambda: ctc_beam_search(log_probs, num_beams=NUM_BEAMS, top_k=4), repeats),
        "beam, n_best=10": (lambda: ctc_beam_search(log_probs, num_beams=NUM_BEAMS, n_best=10), repeats),
        "textbook beam": (lambda: textbook_beam_search(double, 0, NUM_BEAMS), textbook_repeats),
    }
    ours, reference = ways["beam"][0]()[0][0], ways["textbook beam"][0]()[0]
    if ours.ids != reference[0] or not math.isclose(ours.score, reference[1], rel_tol=1e-9):
        raise SystemExit(f"{kind} T={steps} V={vocab_size}: {ours} is not what the textbook search finds: {reference}")
    rows = []
    for way, (function, count) in ways.items():
        times = time_ms(function, count)
        row = {"logits": kind, "T": steps, "V": vocab_size, "way": way, "repeats": count}
        row |= {"median_ms": statistics.median(times), "p90_ms": float(np.percentile(times, 90))}
        rows.append(row)
    for row in rows:
        row["textbook_over_this"] = rows[-1]["median_ms"] / row["median_ms"]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Time CTC decoding of one item on one core.")
    parser.add_argument("--repeats", type=int, default=100, help="calls of each fast way (default: %(default)s)")
    parser.add_argument("--textbook-repeats", type=int, default=5, help="calls of the slow one (default: %(default)s)")
    parser.add_argument(
        "--output", type=Path, default=RESULTS / "ctc_decode.json", help="JSON file to write (default: results/)"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows, load_before = [], load_average()
    print(f"{'logits':8}{'T':>4}{'V':>6}  {'way':18}{'median ms':>10}{'p90 ms':>10}{'textbook / this':>17}")
    for steps, vocab_size in SHAPES:
        for kind in ("flat", "peaky"):
            for row in measure(kind, steps, vocab_size, arguments.repeats, arguments.textbook_repeats):
                rows.append(row)
                print(
                    f"{kind:8}{steps:4}{vocab_size:6}  {row['way']:18}{row['median_ms']:10.3f}{row['p90_ms']:10.3f}"
                    f"{row['textbook_over_this']:17.1f}",
                    flush=True,
                )
    content = {
        "hardware": hardware(threads=1),
        "load_average": {"before": load_before, "after": load_average()},
        "versions": versions("numpy", "torch"),
        "commit": commit(),
        "command": "python benchmarks/ctc_decode.py"
        f" --repeats {arguments.repeats} --textbook-repeats {arguments.textbook_repeats}",
        "seed": SEED,
        "num_beams": NUM_BEAMS,
        "rows": rows,
    }
    write_json(arguments.output, content)


if __name__ == "__main__":
    main()
