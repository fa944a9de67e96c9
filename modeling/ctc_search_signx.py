"""Search the gloss sequences that CTC log-probabilities spell: greedy, prefix beam search, beam search with a scorer.

See `ctc_input_signx` for what `log_probs` may be; starts and ends are feature steps, the end exclusive. pyctcdecode
and k2 offer such searches, but the files in this folder travel with the weights and depend on torch, numpy and
transformers only.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from .ctc_align_signx import align, spans
from .ctc_input_signx import ArrayLike, read_batch

_LOWEST = float(np.finfo(np.float64).min)


@dataclass(frozen=True)
class CTCHypothesis:
    """One decoded label sequence.

    Attributes:
        ids: token ids, blanks and repeats removed.
        score: natural log-probability. Greedy search: of its one path. Beam search: of the label sequence, summed over
            the alignments in the beam, plus the score of a scorer.
        starts: feature step at which each token starts; empty if times were not requested.
        ends: feature step at which each token ends, exclusive; empty if times were not requested.
        confidences: in [0, 1], the highest probability of a step that emits the token; empty without times.
    """

    ids: tuple[int, ...]
    score: float
    starts: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()
    confidences: tuple[float, ...] = ()


def ctc_greedy(log_probs: ArrayLike, lengths: ArrayLike | None = None, *, blank_id: int = 0) -> list[CTCHypothesis]:
    """Take the best token of every step, merge repeats and drop blanks.

    Args:
        log_probs: `[B, T, V]` log-probabilities.
        lengths: `[B]` feature steps or a `[B, T]` boolean mask; all T steps if None.
        blank_id: id of the blank.

    Returns:
        One hypothesis per item, with times. Its score is that of the single path; the label sequence is at least as
        probable (`ctc_log_prob`). Of equal tokens the lower id wins. An item without frames has no tokens and score 0.

    Raises:
        ValueError: If `log_probs`, `lengths` or `blank_id` are invalid.
    """
    hypotheses = []
    for frames in read_batch(log_probs, lengths, blank_id):
        path = frames.argmax(axis=1)
        ids, starts, ends, confidences = spans(frames, path, blank_id)
        hypotheses.append(CTCHypothesis(ids, float(frames.max(axis=1).sum()), starts, ends, confidences))
    return hypotheses


class TokenScorer(Protocol):
    """A scorer that is added to CTC token by token, in natural logarithms. Hypotheses may share states."""

    def start(self) -> Any:
        """Return the state of the empty sequence."""

    def extend(self, state: Any) -> np.ndarray:
        """Return the score `[V]` of each next token; the entry of the blank is not read."""

    def advance(self, state: Any, token: int) -> Any:
        """Return the state after one more token."""

    def final(self, state: Any) -> float:
        """Return the score of the end of the sequence."""


class _Beam(NamedTuple):
    """The live prefixes, in no particular order, and the log-probability of each by how its paths end; arrays [K]."""

    prefixes: list[tuple[int, ...]]
    last: np.ndarray  # last token; the blank for the empty prefix, because no token repeats it
    blank: np.ndarray  # paths that end in the blank
    token: np.ndarray  # paths that end in the last token
    total: np.ndarray  # both
    added: np.ndarray  # score that a scorer adds to each prefix; zeros without one
    states: list  # of the scorer, one per prefix; empty without one


def _candidates(frames: np.ndarray, blank_id: int, count: int, min_log_prob: float | None) -> list[np.ndarray]:
    """Return for every step the `count` best token ids, ascending, that may be appended to a prefix."""
    scores = frames.copy()
    scores[:, blank_id] = -np.inf
    mask = scores > -np.inf
    if count < scores.shape[1]:
        threshold = np.partition(scores, -count, axis=1)[:, -count, None]
        mask &= scores >= threshold
        if (mask.sum(axis=1) > count).any():  # ties at the threshold: the lower ids
            above, tied = scores > threshold, scores == threshold
            mask &= above | (tied.cumsum(axis=1) <= count - above.sum(axis=1, keepdims=True))
    if min_log_prob is not None:
        # The best token always stays: without it a masked blank would leave no continuation.
        mask &= (scores >= min_log_prob) | (np.arange(scores.shape[1]) == scores.argmax(axis=1)[:, None])
    return [np.flatnonzero(row) for row in mask]


def _merge_extensions(beam: _Beam, log_probs: np.ndarray, stay: np.ndarray) -> tuple[list[int], list[int]]:
    """Add what reaches a live prefix from its live parent to `stay` [K] in place; return (parents, children)."""
    slot = {prefix: index for index, prefix in enumerate(beam.prefixes)}
    parents, children = [], []
    for index, prefix in enumerate(beam.prefixes):
        parent = slot.get(prefix[:-1]) if prefix else None
        if parent is not None:
            parents.append(parent)
            children.append(index)
    if children:
        tokens = beam.last[children]
        mass = np.where(tokens == beam.last[parents], beam.blank[parents], beam.total[parents]) + log_probs[tokens]
        stay[children] = np.logaddexp(stay[children], mass)
    return parents, children


def _select(scores: np.ndarray, num_beams: int, prefix_of: Callable[[int], tuple[int, ...]]) -> np.ndarray:
    """Return the ascending indices of the best `num_beams` entries; of equal scores the shorter, then lower prefix."""
    threshold = np.partition(scores, -num_beams)[-num_beams] if len(scores) > num_beams else -np.inf
    selected = (scores >= max(threshold, _LOWEST)).nonzero()[0]
    if len(selected) <= num_beams:
        return selected

    def rank(index: int) -> tuple[float, int, tuple[int, ...]]:
        prefix = prefix_of(index)
        return -scores[index], len(prefix), prefix

    return np.array(sorted(sorted(selected.tolist(), key=rank)[:num_beams]))


def _advance(
    beam: _Beam,
    log_probs: np.ndarray,
    tokens: np.ndarray,
    blank_id: int,
    num_beams: int,
    scorer: TokenScorer | None = None,
) -> _Beam:
    """Return the beam after one more step with `log_probs` [V]; `tokens` [C] may be appended."""
    size, width = len(beam.prefixes), len(tokens)
    # STEP 1: the same prefix again, by a blank or by its last token repeated
    stay_blank = beam.total + log_probs[blank_id]
    stay_token = beam.token + log_probs[beam.last]
    # STEP 2: one more token [K, C]; the last token twice needs a blank in between
    repeats = beam.last[:, None] == tokens
    longer = np.where(repeats, beam.blank[:, None], beam.total[:, None]) + log_probs[tokens]
    # STEP 3: a longer prefix that is already live is the same hypothesis, whether or not its token is a candidate
    parents, children = _merge_extensions(beam, log_probs, stay_token)
    if children and width:
        columns = np.minimum(tokens.searchsorted(beam.last[children]), width - 1)
        is_candidate = tokens[columns] == beam.last[children]
        longer[np.array(parents)[is_candidate], columns[is_candidate]] = -np.inf
    # STEP 4: keep the best
    longer = longer.ravel()
    scores = np.concatenate((np.logaddexp(stay_blank, stay_token), longer))
    added = np.append(beam.added, np.repeat(beam.added, width))
    if scorer is not None and width:
        gains = np.stack([scorer.extend(state) for state in beam.states])[:, tokens]
        added[size:] += gains.ravel()

    def prefix_of(index: int) -> tuple[int, ...]:
        if index < size:
            return beam.prefixes[index]
        parent, column = divmod(index - size, width)
        return (*beam.prefixes[parent], int(tokens[column]))

    selected = _select(scores + added, num_beams, prefix_of)
    split = selected.searchsorted(size)
    old, new = selected[:split], selected[split:] - size
    blank = np.full(len(selected), -np.inf)
    blank[:split] = stay_blank[old]
    states = []
    if scorer is not None:
        states = [beam.states[index] for index in old.tolist()]
        for parent, column in zip(*np.divmod(new, width or 1)):
            states.append(scorer.advance(beam.states[parent], int(tokens[column])))
    return _Beam(
        prefixes=[prefix_of(index) for index in selected.tolist()],
        last=np.concatenate((beam.last[old], tokens[new % width])) if width else beam.last[old],
        blank=blank,
        token=np.concatenate((stay_token[old], longer[new])),
        total=scores[selected],
        added=added[selected],
        states=states,
    )


def _search(
    frames: np.ndarray, candidates: list[np.ndarray], blank_id: int, num_beams: int, scorer: TokenScorer | None
) -> list[tuple[float, tuple[int, ...]]]:
    """Return the scores and prefixes of the last beam, best first."""
    zero, states = np.zeros(1), [] if scorer is None else [scorer.start()]
    beam = _Beam([()], np.array([blank_id]), zero, np.full(1, -np.inf), zero, zero, states)
    for step, tokens in zip(frames, candidates):
        beam = _advance(beam, step, tokens, blank_id, num_beams, scorer)
    scores = beam.total
    if scorer is not None:
        scores = scores + beam.added + [scorer.final(state) for state in beam.states]
    return sorted(zip(scores.tolist(), beam.prefixes), key=lambda pair: (-pair[0], len(pair[1]), pair[1]))


def _check_beams(num_beams: int, n_best: int, top_k: int | None) -> None:
    if num_beams < 1:
        raise ValueError(f"`num_beams` must be at least 1, got {num_beams}.")
    if not 1 <= n_best <= num_beams:
        raise ValueError(f"`n_best` must be from 1 to num_beams={num_beams}, got {n_best}.")
    if top_k is not None and top_k < 1:
        raise ValueError(f"`top_k` must be at least 1, or None for all tokens, got {top_k}.")


def ctc_beam_search(
    log_probs: ArrayLike,
    lengths: ArrayLike | None = None,
    *,
    blank_id: int = 0,
    num_beams: int = 10,
    top_k: int | None = None,
    min_log_prob: float | None = None,
    n_best: int = 1,
    with_times: bool = True,
) -> list[list[CTCHypothesis]]:
    """Run prefix beam search (Hannun et al. 2014, algorithm 1, in log space), without a language model.

    The score of a hypothesis is the log-probability of its label sequence, summed over the alignments whose prefixes
    stayed in the beam: at most `ctc_log_prob`, and equal to it if `num_beams` covers every prefix.

    Args:
        log_probs: `[B, T, V]` log-probabilities.
        lengths: `[B]` feature steps or a `[B, T]` boolean mask; all T steps if None.
        blank_id: id of the blank.
        num_beams: number of prefixes that survive each step.
        top_k: number of best tokens of each step that may start a new prefix. None means all, at the cost of
            `num_beams + 1`, because a beam cannot select a lower one. Transitions between live prefixes are always
            allowed.
        min_log_prob: tokens of a step below this log-probability start no new prefix, except the best one.
        n_best: number of hypotheses per item, at most `num_beams`; fewer if fewer are possible.
        with_times: align each returned hypothesis (`ctc_forced_align`) to fill starts, ends and confidences.

    Returns:
        The hypotheses of each item, best first. Of equal scores the shorter one comes first, then the one with the
        lower ids. An item without frames has one hypothesis without tokens and score 0.

    Raises:
        ValueError: If `log_probs`, `lengths` or an option are invalid.
    """
    _check_beams(num_beams, n_best, top_k)
    if min_log_prob is not None and math.isnan(min_log_prob):
        raise ValueError("`min_log_prob` must be a log-probability, or None for no limit, got nan.")
    # A prefix adds the same number to the log-probability of every token it may append, except the one it would
    # repeat, so its num_beams + 1 best tokens already fill the next beam: a search over all V selects nothing else.
    count = num_beams + 1 if top_k is None else min(top_k, num_beams + 1)
    results = []
    for frames in read_batch(log_probs, lengths, blank_id):
        candidates = _candidates(frames, blank_id, count, min_log_prob)
        ranked = _search(frames, candidates, blank_id, num_beams, None)[:n_best]
        results.append([_hypothesis(frames, ids, score, blank_id, with_times) for score, ids in ranked])
    return results


def ctc_fused_beam_search(
    log_probs: ArrayLike,
    scorer: TokenScorer,
    lengths: ArrayLike | None = None,
    *,
    blank_id: int = 0,
    num_beams: int = 10,
    top_k: int | None = None,
    n_best: int = 1,
    with_times: bool = True,
) -> list[list[CTCHypothesis]]:
    """Run prefix beam search by CTC and a scorer, such as a language model (Hannun et al. 2014).

    The score of a hypothesis is its log-probability, as in `ctc_beam_search`, plus the scorer's score of its tokens
    and of the end of the sequence. With a scorer that returns zeros the two searches agree.

    Args:
        log_probs: `[B, T, V]` log-probabilities.
        scorer: see `TokenScorer`; its scores must be finite.
        lengths: `[B]` feature steps or a `[B, T]` boolean mask; all T steps if None.
        blank_id: id of the blank.
        num_beams: number of prefixes that survive each step.
        top_k: number of best tokens of each step by CTC that may start a new prefix. None means all, because the
            scorer may prefer a token that CTC ranks low.
        n_best: number of hypotheses per item, at most `num_beams`.
        with_times: align each returned hypothesis (`ctc_forced_align`) to fill starts, ends and confidences.

    Returns:
        The hypotheses of each item, best first, as in `ctc_beam_search`.

    Raises:
        ValueError: If `log_probs`, `lengths` or an option are invalid.
    """
    _check_beams(num_beams, n_best, top_k)
    results = []
    for frames in read_batch(log_probs, lengths, blank_id):
        candidates = _candidates(frames, blank_id, top_k or frames.shape[1], None)
        ranked = _search(frames, candidates, blank_id, num_beams, scorer)[:n_best]
        results.append([_hypothesis(frames, ids, score, blank_id, with_times) for score, ids in ranked])
    return results


def _hypothesis(
    frames: np.ndarray, ids: tuple[int, ...], score: float, blank_id: int, with_times: bool
) -> CTCHypothesis:
    if not with_times:
        return CTCHypothesis(ids, score)
    alignment = align(frames, ids, blank_id)
    return CTCHypothesis(ids, score, alignment.starts, alignment.ends, alignment.confidences)
