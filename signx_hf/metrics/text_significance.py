"""Confidence intervals of BLEU, chrF and ROUGE-L, and tests of two systems: as for error rates, over clips."""

from collections.abc import Callable, Iterable

import numpy as np

from ..processing.errors_signx import SignXError
from .arrays import sentences_of
from .error_rate import Sentence
from .significance import BLOCK, TESTS, check_level, check_rounds, order_statistics
from .text import statistics


def text_interval(
    hypotheses: Iterable[Sentence],
    references: Iterable[Sentence],
    metric: str = "bleu_4",
    tokenize: str = "none",
    level: float = 0.95,
    rounds: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Compute a bootstrap interval of a score over clips drawn with replacement (Koehn 2004).

    The draws depend on the order of the clips: sort them first if it may change.

    Args:
        hypotheses: As in `bleu`.
        references: As in `bleu`.
        metric: `bleu_1` to `bleu_4`, `chrf`, `rouge_l` or `mean_sentence_bleu`.
        tokenize: As in `bleu`; with `zh` and `char`, ROUGE-L is of characters.
        level: Share of the draws inside the interval.
        rounds: Number of draws.
        seed: Seed of the draws.

    Returns:
        The lower and the upper end, 0 to 100.

    Raises:
        SignXError: As in `bleu`, or an option is out of range.
        ImportError: If a package is missing. The message names the extra.
    """
    counts, score = statistics(metric, hypotheses, references, tokenize)
    check_rounds(rounds)
    check_level(level)
    return order_statistics(_resampled(counts, score, rounds, seed), level)


def _resampled(counts: np.ndarray, score: Callable[[np.ndarray], float], rounds: int, seed: int) -> np.ndarray:
    """Return the score of `rounds` draws of clips; counts: `[clips, K]`."""
    dice, size, scores = np.random.default_rng(seed), len(counts), []
    for start in range(0, rounds, step := max(1, BLOCK // counts.size)):
        drawn = dice.integers(size, size=(min(step, rounds - start), size))
        scores += [score(sums) for sums in counts[drawn].sum(1)]
    return np.array(scores)


def paired_text_test(
    first: Iterable[Sentence],
    second: Iterable[Sentence],
    references: Iterable[Sentence],
    metric: str = "bleu_4",
    tokenize: str = "none",
    method: str = "randomization",
    rounds: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Test whether two systems differ on the same clips.

    Args:
        first: Hypotheses of the first system.
        second: Hypotheses of the second system, in the same order.
        references: True sentences.
        metric: As in `text_interval`.
        tokenize: As in `text_interval`.
        method: `randomization` (Riezler and Maxwell 2005) or `bootstrap` (Koehn 2004), as in `paired_test`.
        rounds: Number of draws.
        seed: Seed of the draws.

    Returns:
        The difference of the scores, second - first, and the p-value. Equal counts on every clip give 0 and 1.

    Raises:
        SignXError: As in `text_interval`, or the method is unknown.
        ImportError: If a package is missing. The message names the extra.
    """
    references = sentences_of("references", references)
    (a, score), (b, _) = (statistics(metric, side, references, tokenize) for side in (first, second))
    check_rounds(rounds)
    if method not in TESTS:
        raise SignXError(f"`method` must be one of {', '.join(TESTS)}, got {method!r}.")
    difference = score(b.sum(0)) - score(a.sum(0))
    if (a == b).all():
        return 0.0, 1.0
    if method == "bootstrap":
        changes = _resampled(b, score, rounds, seed) - _resampled(a, score, rounds, seed)  # the same draws
        hits = (changes <= 0).sum() if difference > 0 else (changes >= 0).sum()
        return difference, min(1.0, float(2 * hits / rounds))
    dice, change, hits = np.random.default_rng(seed), b - a, 0
    for start in range(0, rounds, step := max(1, BLOCK // a.size)):
        swapped = dice.integers(2, size=(min(step, rounds - start), len(a))) @ change
        hits += sum(abs(score(b.sum(0) - one) - score(a.sum(0) + one)) >= abs(difference) - 1e-9 for one in swapped)
    return difference, (int(hits) + 1) / (rounds + 1)
