"""Confidence intervals of a rate and tests of two systems, from the edits of each clip.

Written with numpy instead of `scipy.stats.bootstrap`, so that a seed gives the same numbers with every version of
scipy and intervals of rates that can be infinite use order statistics without interpolation.
"""

from collections.abc import Iterable

import numpy as np

from ..processing.errors_signx import SignXError
from .arrays import numbers_of

TESTS = ("randomization", "bootstrap")
BLOCK = 1 << 22  # numbers drawn at a time: 32 MiB


def _counts(name: str, values: Iterable[float], size: int | None = None) -> np.ndarray:
    array = numbers_of(name, values)
    if array.ndim > 1:
        raise SignXError(f"`{name}` must hold one number per clip, got shape {list(array.shape)}.")
    if array.ndim != 1 or not array.size or (size is not None and array.size != size):
        expected = "at least one number" if size is None else f"{size}, one per clip"
        raise SignXError(f"`{name}` must hold {expected}, got {array.size}.")
    if not (np.isfinite(array) & (array >= 0)).all():
        raise SignXError(
            f"`{name}` must hold numbers of at least 0, got {array[~(np.isfinite(array) & (array >= 0))][0]}."
        )
    return array


def check_rounds(rounds: int) -> None:
    """Raise SignXError if a number of draws is not a positive integer."""
    if isinstance(rounds, bool) or not isinstance(rounds, (int, np.integer)) or rounds < 1:
        raise SignXError(f"`rounds` must be a positive integer, got {rounds!r}.")


def check_level(level: float) -> None:
    """Raise SignXError if the share of draws inside an interval is not between 0 and 1."""
    if not 0 < level < 1:
        raise SignXError(f"`level` must be between 0 and 1, such as 0.95, got {level!r}.")


def order_statistics(values: np.ndarray, level: float) -> tuple[float, float]:
    """Return the ends that a share `level` of the values lies between, without interpolation: between a number and
    infinity there is none.
    """
    ranked, rounds = np.sort(values), len(values)
    tail = (1 - level) / 2
    low, high = int(np.floor(tail * rounds)), int(np.ceil((1 - tail) * rounds)) - 1
    return float(ranked[low]), float(ranked[max(high, low)])


def _rates(errors: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Divide errors by words; without words the rate is 0, or infinity if there are errors, as in `ErrorRate.rate`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(words > 0, errors / words, np.where(errors > 0, np.inf, 0.0))


def bootstrap_interval(
    errors: Iterable[float], words: Iterable[float], level: float = 0.95, rounds: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Compute a bootstrap interval of `sum(errors) / sum(words)` over clips drawn with replacement (Bisani and Ney 2004).

    The draws depend on the order of the clips: sort them first if it may change.

    Args:
        errors: Errors of each clip; for an accuracy, the hits.
        words: Words of each clip; for an accuracy, ones.
        level: Share of the draws inside the interval.
        rounds: Number of draws.
        seed: Seed of the draws.

    Returns:
        The lower and the upper end.

    Raises:
        SignXError: If there are no clips, lengths differ, a number is negative, or the level is outside 0 to 1.
    """
    wrong = _counts("errors", errors)
    total = _counts("words", words, len(wrong))
    check_rounds(rounds)
    check_level(level)
    dice, rates = np.random.default_rng(seed), []
    for start in range(0, rounds, step := max(1, BLOCK // len(wrong))):
        drawn = dice.integers(len(wrong), size=(min(step, rounds - start), len(wrong)))
        rates.append(_rates(wrong[drawn].sum(1), total[drawn].sum(1)))
    return order_statistics(np.concatenate(rates), level)


def paired_test(
    first: Iterable[float],
    second: Iterable[float],
    words: Iterable[float],
    method: str = "randomization",
    rounds: int = 10_000,
    seed: int = 0,
) -> tuple[float, float]:
    """Test whether two systems differ on the same clips.

    Args:
        first: Errors of each clip by the first system.
        second: Errors of each clip by the second system, in the same order.
        words: Words of each clip.
        method: `randomization`: the two-sided p-value of approximate randomization, which swaps the results of the
            systems clip by clip at random (Noreen 1989; (hits + 1) / (rounds + 1)). `bootstrap`: twice the share of
            draws of clips in which the difference has not the sign it has on all clips (paired bootstrap, Bisani and
            Ney 2004), at most 1.
        rounds: Number of draws.
        seed: Seed of the draws.

    Returns:
        The difference of the rates, second - first, and the p-value. Equal errors on every clip give 0 and 1.

    Raises:
        SignXError: If there are no clips, lengths differ, or the method is unknown.
    """
    a = _counts("first", first)
    b, total = _counts("second", second, len(a)), _counts("words", words, len(a))
    check_rounds(rounds)
    if method not in TESTS:
        raise SignXError(f"`method` must be one of {', '.join(TESTS)}, got {method!r}.")
    if not total.sum():
        raise SignXError("`words` must not add up to 0: the references have no word.")
    change = b - a
    difference = change.sum()
    dice, hits = np.random.default_rng(seed), 0
    for start in range(0, rounds, step := max(1, BLOCK // len(a))):
        shape = (min(step, rounds - start), len(a))
        if method == "randomization":
            sums = np.where(dice.integers(2, size=shape, dtype=np.int8) == 1, change, -change).sum(1)
            hits += int((np.abs(sums) >= abs(difference)).sum())
        else:
            sums = change[dice.integers(len(a), size=shape)].sum(1)
            hits += int((sums <= 0).sum() if difference > 0 else (sums >= 0).sum())
    share = (hits + 1) / (rounds + 1) if method == "randomization" else min(1.0, 2 * hits / rounds)
    return float(difference / total.sum()), 1.0 if not change.any() else float(share)
