"""CTC without a model: greedy and prefix beam search, forced alignment, sequence and prefix probabilities.

Legend: B items, T feature steps, V tokens (the blank among them), U labels. Computed in float64 on the CPU.

`log_probs` are log-probabilities, `logits.log_softmax(-1)`, as a torch tensor, an array or nested lists. Nothing
is normalised inside, so scores agree with `torch.nn.functional.ctc_loss`, and a token may be masked with -inf. A step
whose probabilities sum to more than one is refused: those are raw logits. What lies behind the length of an item is
never read.

Step t covers the seconds [t, t + 1) * stride / fps; all starts and ends here are steps, the end exclusive.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

ArrayLike = torch.Tensor | np.ndarray | Sequence

# Rounding to bfloat16 moves the sum of 30,000 probabilities by up to 3 %; raw logits miss one by far more.
_MAX_FRAME_MASS = 1.05
# Below this a float64 sum of products may have lost terms to underflow, so the sum is taken again from logarithms.
_UNDERFLOW = 1e-280
_LOWEST = float(np.finfo(np.float64).min)
_LABEL_PADDING = -100


@dataclass(frozen=True)
class CTCHypothesis:
    """One decoded label sequence.

    Attributes:
        ids: token ids, blanks and repeats removed.
        score: natural log-probability. Greedy search: of its one path. Beam search: of the label sequence, summed over
            the alignments that the beam kept, plus what a scorer adds.
        starts, ends: feature steps of each token, end exclusive; empty tuples if times were not asked for.
        confidences: in [0, 1], the highest probability of a step that emits the token; empty without times.
    """

    ids: tuple[int, ...]
    score: float
    starts: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()
    confidences: tuple[float, ...] = ()


@dataclass(frozen=True)
class CTCAlignment:
    """The most probable path through a known label sequence.

    Attributes:
        path: the token id or the blank at each of the T steps.
        starts, ends: first step that emits each token, and the step after the last one that does.
        score: natural log-probability of the path.
        confidences: in [0, 1], the highest probability of a step that emits the token.
    """

    path: tuple[int, ...]
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    score: float
    confidences: tuple[float, ...]


class CTCInfeasible(NamedTuple):
    """An item whose labels do not fit into its frames: its CTC loss would be infinite."""

    index: int
    frames: int
    needed: int


# -------------------------------------------------------------------------------------------------------------- input


def _to_numpy(values: ArrayLike) -> np.ndarray:
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        return (values.float() if values.dtype == torch.bfloat16 else values).numpy()  # numpy has no bfloat16
    return np.asarray(values)


def _read_log_probs(log_probs: ArrayLike, ndim: int) -> np.ndarray:
    values = _to_numpy(log_probs)
    axes = "[B, T, V]" if ndim == 3 else "[T, V]"
    if values.ndim != ndim or values.shape[-1] == 0:
        raise ValueError(f"log_probs has shape {list(values.shape)}, want {axes} with V >= 1")
    if values.dtype.kind not in "fiu":
        raise ValueError(f"log_probs has dtype {values.dtype}, want real numbers: logits.log_softmax(-1)")
    return values


def _check_blank(blank_id: int, vocab_size: int) -> None:
    if not 0 <= blank_id < vocab_size:
        raise ValueError(f"blank_id {blank_id} is outside the vocabulary of {vocab_size} tokens (0..{vocab_size - 1})")


def _read_item(values: np.ndarray, where: str = "") -> np.ndarray:
    """A checked float64 copy of one item, [T, V]; `where` names the item in errors."""
    # A contiguous copy, so that the same numbers take the same code paths in numpy wherever they came from.
    frames = np.array(values, dtype=np.float64, order="C")
    with np.errstate(over="ignore"):
        mass = np.exp(frames).sum(axis=1)
    good = (mass <= _MAX_FRAME_MASS) & (frames.max(axis=1) > -np.inf)
    if good.all():
        return frames
    step = int(np.argmin(good))
    bad = frames[step]
    if np.isnan(bad).any() or (bad == np.inf).any():
        token = int(np.argmax(np.isnan(bad) | (bad == np.inf)))
        raise ValueError(
            f"{where}log_probs[{step}, {token}] is {bad[token]}, want finite or -inf; "
            "the model diverged or the length is wrong"
        )
    if bad.max() == -np.inf:
        raise ValueError(f"{where}log_probs[{step}] is -inf for every token, want at least one token left unmasked")
    raise ValueError(
        f"{where}probabilities of step {step} sum to {mass[step]:.4g}, want at most 1; "
        "pass logits.log_softmax(-1), not logits"
    )


def _read_lengths(lengths: ArrayLike | None, batch: int, steps: int | None) -> list[int]:
    """Frames of each item, from `[B]` counts or a `[B, T]` mask that is true, then false."""
    if lengths is None:
        return [steps] * batch
    values = _to_numpy(lengths)
    if values.dtype == bool:
        if values.ndim != 2 or len(values) != batch or (steps is not None and values.shape[1] != steps):
            wanted = f"[{batch}, {'T' if steps is None else steps}]"
            raise ValueError(f"the mask has shape {list(values.shape)}, want {wanted}")
        counts = values.sum(axis=1)
        ragged = (values != (np.arange(values.shape[1]) < counts[:, None])).any(axis=1)
        if ragged.any():
            raise ValueError(
                f"the mask of item {int(np.argmax(ragged))} has a gap, want true frames first, padding last"
            )
        return counts.tolist()
    if values.shape != (batch,) or (values.dtype.kind not in "iu" and values.size):
        raise ValueError(f"lengths has shape {list(values.shape)} and dtype {values.dtype}, want [{batch}] integers")
    for index, length in enumerate(values.tolist()):
        if length < 0 or (steps is not None and length > steps):
            limit = "0 or more" if steps is None else f"0..{steps}"
            raise ValueError(f"lengths[{index}] is {length}, want {limit}, the number of frames there are")
    return values.tolist()


def _read_batch(log_probs: ArrayLike, lengths: ArrayLike | None, blank_id: int) -> list[np.ndarray]:
    values = _read_log_probs(log_probs, ndim=3)
    batch, steps, vocab_size = values.shape
    _check_blank(blank_id, vocab_size)
    counts = _read_lengths(lengths, batch, steps)
    return [_read_item(values[index, :count], f"item {index}: ") for index, count in enumerate(counts)]


def _read_one(log_probs: ArrayLike, blank_id: int) -> np.ndarray:
    values = _read_log_probs(log_probs, ndim=2)
    _check_blank(blank_id, values.shape[1])
    return _read_item(values)


def _read_ids(ids: ArrayLike, blank_id: int, vocab_size: int, where: str = "") -> tuple[int, ...]:
    values = _to_numpy(ids)
    if values.ndim != 1 or (values.dtype.kind not in "iu" and values.size):
        raise ValueError(f"{where}ids has shape {list(values.shape)} and dtype {values.dtype}, want [U] integers")
    for position, token in enumerate(values.tolist()):
        if token == blank_id:
            raise ValueError(f"{where}ids[{position}] is {token}, the blank; want gloss ids only")
        if not 0 <= token < vocab_size:
            raise ValueError(f"{where}ids[{position}] is {token}, outside the vocabulary (0..{vocab_size - 1})")
    return tuple(int(token) for token in values.tolist())


def _read_labels(labels: ArrayLike) -> list[tuple[int, ...]]:
    """Label ids of each item, from `[B, U]` padded with -100 or from lists of ids."""
    rows = [_to_numpy(row) for row in labels]
    for index, row in enumerate(rows):
        if row.ndim != 1 or (row.dtype.kind not in "iu" and row.size):
            raise ValueError(f"labels[{index}] has shape {list(row.shape)} and dtype {row.dtype}, want [U] integers")
    return [tuple(int(token) for token in row.tolist() if token != _LABEL_PADDING) for row in rows]


# ------------------------------------------------------------------------------------------------------------- length


def ctc_min_frames(ids: Sequence[int]) -> int:
    """Fewest feature steps that can spell `ids`: one per token, and a blank between equal neighbours."""
    return len(ids) + int(sum(left == right for left, right in zip(ids, ids[1:])))


def ctc_feasible(labels: ArrayLike, lengths: ArrayLike) -> list[CTCInfeasible]:
    """The items whose labels do not fit into their frames, in order; an empty list means that all of them do.

    Args:
        labels: `[B, U]` integers padded with -100, or one list of ids per item.
        lengths: `[B]` feature steps, or a `[B, T]` boolean mask.

    Returns:
        `(index, frames, needed)` for each item that needs more frames than it has.
    """
    rows = _read_labels(labels)
    counts = _read_lengths(lengths, len(rows), None)
    items = (CTCInfeasible(index, count, ctc_min_frames(row)) for index, (row, count) in enumerate(zip(rows, counts)))
    return [item for item in items if item.needed > item.frames]


def _check_frames(frames: int, ids: tuple[int, ...], where: str) -> None:
    needed = ctc_min_frames(ids)
    if frames < needed:
        raise ValueError(
            f"{where}{frames} frames cannot hold {len(ids)} glosses (need at least {needed}: {len(ids)} glosses + "
            f"{needed - len(ids)} repeats); use a longer clip, a smaller stride or fewer glosses"
        )


# ------------------------------------------------------------------------------------------------------------- greedy


def _spans(frames: np.ndarray, path: np.ndarray, blank_id: int) -> tuple[tuple, tuple, tuple, tuple]:
    """Tokens, starts, ends and confidences of the non-blank runs of a `path` [T]."""
    edges = np.flatnonzero(np.diff(path)) + 1
    starts, ends = np.append(0, edges), np.append(edges, len(path))
    emitted = frames[np.arange(len(path)), path]
    runs = [(s, e) for s, e in zip(starts.tolist(), ends.tolist()) if s < e and path[s] != blank_id]
    return (
        tuple(int(path[start]) for start, _ in runs),
        tuple(start for start, _ in runs),
        tuple(end for _, end in runs),
        tuple(min(1.0, math.exp(emitted[start:end].max())) for start, end in runs),
    )


def ctc_greedy(log_probs: ArrayLike, lengths: ArrayLike | None = None, *, blank_id: int = 0) -> list[CTCHypothesis]:
    """The best token of every step, repeats merged, blanks dropped.

    Args:
        log_probs: `[B, T, V]` log-probabilities.
        lengths: `[B]` feature steps or a `[B, T]` boolean mask; all T steps if None.
        blank_id: id of the blank.

    Returns:
        One hypothesis per item, with times. Its score is that of the single path; the label sequence as a whole is at
        least as probable (`ctc_log_prob`). Equal tokens: the lower id. No frames: no tokens, score 0.

    Raises:
        ValueError: log_probs, lengths or blank_id out of their domain.
    """
    hypotheses = []
    for frames in _read_batch(log_probs, lengths, blank_id):
        path = frames.argmax(axis=1)
        ids, starts, ends, confidences = _spans(frames, path, blank_id)
        hypotheses.append(CTCHypothesis(ids, float(frames.max(axis=1).sum()), starts, ends, confidences))
    return hypotheses


# -------------------------------------------------------------------------------------------------------- beam search


class TokenScorer(Protocol):
    """What adds to the score of a label sequence, token by token; natural logarithms. States may be shared."""

    def start(self) -> Any:
        """The state of the empty sequence."""

    def extend(self, state: Any) -> np.ndarray:
        """`[V]` what each next token adds; the entry of the blank is not read."""

    def advance(self, state: Any, token: int) -> Any:
        """The state after one more token."""

    def final(self, state: Any) -> float:
        """What the end of the sequence adds."""


class _Beam(NamedTuple):
    """The live prefixes, in no particular order, and the log-probability of each by how its paths end; arrays [K]."""

    prefixes: list[tuple[int, ...]]
    last: np.ndarray  # last token; the blank stands in for that of the empty prefix, because no token repeats it
    blank: np.ndarray  # paths that end in the blank
    token: np.ndarray  # paths that end in the last token
    total: np.ndarray  # both
    added: np.ndarray  # what a scorer adds to each prefix, and where it stands; zeros and nothing without one
    states: list


def _candidates(frames: np.ndarray, blank_id: int, count: int, min_log_prob: float | None) -> list[np.ndarray]:
    """For every step the `count` best token ids, ascending, that may be appended to a prefix."""
    scores = frames.copy()
    scores[:, blank_id] = -np.inf
    keep = scores > -np.inf
    if count < scores.shape[1]:
        threshold = np.partition(scores, -count, axis=1)[:, -count, None]
        keep &= scores >= threshold
        if (keep.sum(axis=1) > count).any():  # ties at the threshold: the lower ids
            above, tied = scores > threshold, scores == threshold
            keep &= above | (tied.cumsum(axis=1) <= count - above.sum(axis=1, keepdims=True))
    if min_log_prob is not None:
        # The best token always stays: with it and a masked blank there would be no way on.
        keep &= (scores >= min_log_prob) | (np.arange(scores.shape[1]) == scores.argmax(axis=1)[:, None])
    return [np.flatnonzero(row) for row in keep]


def _merge_extensions(beam: _Beam, log_probs: np.ndarray, stay: np.ndarray) -> tuple[list[int], list[int]]:
    """Add to `stay` [K], in place, what reaches a live prefix from its live parent; returns (parents, children)."""
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
    """Indices, ascending, of the best `num_beams` possible entries; equal scores: shorter, then lower prefix."""
    threshold = np.partition(scores, -num_beams)[-num_beams] if len(scores) > num_beams else -np.inf
    kept = (scores >= max(threshold, _LOWEST)).nonzero()[0]
    if len(kept) <= num_beams:
        return kept

    def rank(index: int) -> tuple[float, int, tuple[int, ...]]:
        prefix = prefix_of(index)
        return -scores[index], len(prefix), prefix

    return np.array(sorted(sorted(kept.tolist(), key=rank)[:num_beams]))


def _advance(
    beam: _Beam,
    log_probs: np.ndarray,
    tokens: np.ndarray,
    blank_id: int,
    num_beams: int,
    scorer: TokenScorer | None = None,
) -> _Beam:
    """The beam after one more step with `log_probs` [V]; `tokens` [C] may be appended."""
    size, width = len(beam.prefixes), len(tokens)
    # STEP 1: the same prefix again, by a blank or by its last token held on
    stay_blank = beam.total + log_probs[blank_id]
    stay_token = beam.token + log_probs[beam.last]
    # STEP 2: one token more [K, C]; to say the last token twice there must be a blank between
    repeats = beam.last[:, None] == tokens
    longer = np.where(repeats, beam.blank[:, None], beam.total[:, None]) + log_probs[tokens]
    # STEP 3: a longer prefix that is live already is the same hypothesis, whether or not its token is a candidate
    parents, children = _merge_extensions(beam, log_probs, stay_token)
    if children and width:
        columns = np.minimum(tokens.searchsorted(beam.last[children]), width - 1)
        found = tokens[columns] == beam.last[children]
        longer[np.array(parents)[found], columns[found]] = -np.inf
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

    kept = _select(scores + added, num_beams, prefix_of)
    split = kept.searchsorted(size)
    old, new = kept[:split], kept[split:] - size
    blank = np.full(len(kept), -np.inf)
    blank[:split] = stay_blank[old]
    states = []
    if scorer is not None:
        states = [beam.states[index] for index in old.tolist()]
        for parent, column in zip(*np.divmod(new, width or 1)):
            states.append(scorer.advance(beam.states[parent], int(tokens[column])))
    return _Beam(
        prefixes=[prefix_of(index) for index in kept.tolist()],
        last=np.concatenate((beam.last[old], tokens[new % width])) if width else beam.last[old],
        blank=blank,
        token=np.concatenate((stay_token[old], longer[new])),
        total=scores[kept],
        added=added[kept],
        states=states,
    )


def _search(
    frames: np.ndarray, candidates: list[np.ndarray], blank_id: int, num_beams: int, scorer: TokenScorer | None
) -> list[tuple[float, tuple[int, ...]]]:
    """Scores and prefixes of the last beam, best first."""
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
        raise ValueError(f"num_beams is {num_beams}, want 1 or more")
    if not 1 <= n_best <= num_beams:
        raise ValueError(f"n_best is {n_best}, want 1..{num_beams} (num_beams)")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k is {top_k}, want 1 or more, or None for all tokens")


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
    """Prefix beam search (Hannun et al. 2014, algorithm 1, in log space); `ctc_fused_beam_search` adds a language model.

    The score of a hypothesis is the log-probability of its label sequence, summed over the alignments whose prefixes
    stayed in the beam: never more than `ctc_log_prob`, and equal to it when `num_beams` covers every prefix.

    Args:
        log_probs: `[B, T, V]` log-probabilities.
        lengths: `[B]` feature steps or a `[B, T]` boolean mask; all T steps if None.
        blank_id: id of the blank.
        num_beams: prefixes kept after each step.
        top_k: the best tokens of each step, which alone may start a new prefix. None is all of them, at the cost of
            `num_beams + 1`: a beam cannot select a lower one. Ways between live prefixes are always open.
        min_log_prob: tokens of a step below it start no new prefix, except the best one.
        n_best: hypotheses returned for each item, at most `num_beams`; fewer if fewer are possible.
        with_times: align each returned hypothesis (`ctc_forced_align`) to fill starts, ends and confidences.

    Returns:
        For each item its hypotheses, best first. Equal scores: the shorter one, then the one with the lower ids.
        No frames: one hypothesis without tokens, score 0.

    Raises:
        ValueError: log_probs, lengths or an option out of its domain.
    """
    _check_beams(num_beams, n_best, top_k)
    if min_log_prob is not None and math.isnan(min_log_prob):
        raise ValueError("min_log_prob is nan, want a log-probability, or None for no limit")
    # A prefix adds the same number to the log-probability of every token it may append, except the one it would
    # repeat, so its num_beams + 1 best tokens already fill the next beam: a search over all V selects nothing else.
    count = num_beams + 1 if top_k is None else min(top_k, num_beams + 1)
    results = []
    for frames in _read_batch(log_probs, lengths, blank_id):
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
    """Prefix beam search whose hypotheses are ranked by CTC and a scorer, such as a language model (Hannun et al. 2014).

    The score of a hypothesis is its log-probability, as in `ctc_beam_search`, plus what the scorer adds for its tokens and for
    the end; with a scorer that adds zeros the two searches give the same.

    Args:
        log_probs, lengths, blank_id, num_beams, n_best, with_times: as in `ctc_beam_search`.
        scorer: see `TokenScorer`; what it adds must be finite.
        top_k: the best tokens of each step by CTC, which alone may start a new prefix. None is all of them: unlike without a
            scorer a token that CTC ranks low may be the best.

    Raises:
        ValueError: log_probs, lengths or an option out of its domain.
    """
    _check_beams(num_beams, n_best, top_k)
    results = []
    for frames in _read_batch(log_probs, lengths, blank_id):
        candidates = _candidates(frames, blank_id, top_k or frames.shape[1], None)
        ranked = _search(frames, candidates, blank_id, num_beams, scorer)[:n_best]
        results.append([_hypothesis(frames, ids, score, blank_id, with_times) for score, ids in ranked])
    return results


def _hypothesis(
    frames: np.ndarray, ids: tuple[int, ...], score: float, blank_id: int, with_times: bool
) -> CTCHypothesis:
    if not with_times:
        return CTCHypothesis(ids, score)
    alignment = _align(frames, ids, blank_id)
    return CTCHypothesis(ids, score, alignment.starts, alignment.ends, alignment.confidences)


# --------------------------------------------------------------------------------- alignment and sequence probability


def _lattice(frames: np.ndarray, ids: tuple[int, ...], blank_id: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """States `blank t1 blank .. tU blank` [S = 2 U + 1], their log-probabilities [T, S], and skip penalties [S].

    A token may follow the token before it without a blank unless the two are equal: penalty 0, otherwise -inf.
    """
    states = np.full(2 * len(ids) + 1, blank_id)
    states[1::2] = ids
    skip = np.full(len(states), -np.inf)
    skip[3::2] = np.where(states[3::2] != states[1:-2:2], 0.0, -np.inf)
    return states, frames[:, states], skip


def _initial(num_states: int) -> np.ndarray:
    """Log-probabilities before the first step, [S + 2]: two impossible states go before the first, for `_previous`.

    All mass is on the first blank, from where one move leads to the first token.
    """
    alpha = np.full(num_states + 2, -np.inf)
    alpha[2] = 0.0
    return alpha


def _previous(alpha: np.ndarray, skip: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What can reach each of the S states in one step from `alpha` [S + 2]: the state itself, one back, two back."""
    return alpha[2:], alpha[1:-1], alpha[:-2] + skip


def _align(frames: np.ndarray, ids: tuple[int, ...], blank_id: int, where: str = "") -> CTCAlignment:
    _check_frames(len(frames), ids, where)
    states, emissions, skip = _lattice(frames, ids, blank_id)
    alphas = np.empty((len(frames) + 1, len(states) + 2))
    alphas[:] = _initial(len(states))
    for step, emission in enumerate(emissions):
        stay, one, two = _previous(alphas[step], skip)
        alphas[step + 1, 2:] = np.maximum(np.maximum(stay, one), two) + emission
    final = alphas[-1, 2:]
    state = len(states) - 2 if ids and final[-2] > final[-1] else len(states) - 1
    score = float(final[state])
    if score == -math.inf:
        raise ValueError(
            f"{where}ids {list(ids)} have probability 0 under the -inf entries of log_probs; "
            "unmask their tokens, or align others"
        )
    visited = np.empty(len(frames), dtype=np.int64)
    for step in range(len(frames) - 1, -1, -1):
        visited[step] = state
        two, one, stay = alphas[step, state : state + 3].tolist()
        two += skip[state]
        if stay < max(one, two):
            state -= 1 if one >= two else 2
    path = states[visited]
    # Two equal tokens always have a blank between them on a path, so the runs of the path are the tokens.
    _, starts, ends, confidences = _spans(frames, path, blank_id)
    return CTCAlignment(tuple(path.tolist()), starts, ends, score, confidences)


def ctc_forced_align(log_probs: ArrayLike, ids: ArrayLike, *, blank_id: int = 0) -> CTCAlignment:
    """The most probable path that spells `ids` (Viterbi over the lattice of Graves et al. 2006, section 4.1).

    Args:
        log_probs: `[T, V]` log-probabilities of one item, without padding.
        ids: `[U]` token ids without blanks; may be empty.
        blank_id: id of the blank.

    Returns:
        The alignment. Equal paths: the one that holds a state rather than moves on, seen from the end.

    Raises:
        ValueError: too few frames for the ids, ids of probability 0, or an argument out of its domain.
    """
    frames = _read_one(log_probs, blank_id)
    return _align(frames, _read_ids(ids, blank_id, frames.shape[1]), blank_id)


def ctc_forced_align_batch(
    log_probs: ArrayLike, labels: ArrayLike, *, lengths: ArrayLike | None = None, blank_id: int = 0
) -> list[CTCAlignment]:
    """`ctc_forced_align` of each item.

    Args:
        log_probs: `[B, T, V]` log-probabilities.
        labels: `[B, U]` token ids padded with -100, or one list of ids per item.
        lengths: `[B]` feature steps or a `[B, T]` boolean mask; all T steps if None.
        blank_id: id of the blank.

    Raises:
        ValueError: as `ctc_forced_align`; the message names the item.
    """
    items = _read_batch(log_probs, lengths, blank_id)
    rows = _read_labels(labels)
    if len(rows) != len(items):
        raise ValueError(f"labels of {len(rows)} items for log_probs of {len(items)}, want one row of labels per item")
    alignments = []
    for index, (frames, row) in enumerate(zip(items, rows)):
        where = f"item {index}: "
        alignments.append(_align(frames, _read_ids(row, blank_id, frames.shape[1], where), blank_id, where))
    return alignments


def ctc_log_prob(log_probs: ArrayLike, ids: ArrayLike, *, blank_id: int = 0) -> float:
    """Log-probability of the label sequence, all alignments summed (forward algorithm, Graves et al. 2006, eq. 6-8).

    Args:
        log_probs: `[T, V]` log-probabilities of one item, without padding.
        ids: `[U]` token ids without blanks; may be empty.
        blank_id: id of the blank.

    Returns:
        The natural logarithm; -inf where no alignment is possible.

    Raises:
        ValueError: an argument out of its domain.
    """
    frames = _read_one(log_probs, blank_id)
    states, emissions, skip = _lattice(frames, _read_ids(ids, blank_id, frames.shape[1]), blank_id)
    alpha = _initial(len(states))
    for emission in emissions:
        stay, one, two = _previous(alpha, skip)
        alpha[2:] = np.logaddexp(np.logaddexp(stay, one), two) + emission
    return float(
        np.logaddexp(alpha[-2], alpha[-1])
    )  # the last token, the last blank; without tokens the former is -inf


# ------------------------------------------------------------------------------------------------------ prefix scores


@dataclass(frozen=True, eq=False)
class CTCPrefixState:
    """What CTC knows of one prefix; immutable, so the beams of a search can share it.

    Attributes:
        prefix: the tokens so far.
        prefix_score: log-probability of all label sequences that begin with the prefix.
        token: `[T + 1]` log-probability that the first t steps spell the prefix and end in its last token.
        blank: `[T + 1]` the same, ending in a blank.
    """

    prefix: tuple[int, ...]
    prefix_score: float
    token: np.ndarray
    blank: np.ndarray


def _log_add(left: float, right: float) -> float:
    if left < right:
        left, right = right, left
    return left if right == -math.inf else left + math.log1p(math.exp(right - left))


class CTCPrefixScorer:
    """CTC scores of growing prefixes, for joint CTC/attention decoding (Hori et al. 2017, algorithm 2).

    Unlike the published algorithm it does not take each step for normalised: the mass of the steps behind a prefix
    enters its score, so that masked tokens (-inf) leave `sum over c of P(g c ..) + P(g) = P(g ..)` exact.

        scorer = CTCPrefixScorer(log_probs)
        state = scorer.initial_state()
        scores = scorer.extend(state)            # [V]
        state = scorer.select(state, token)
        scorer.final_score(state)                # when the decoder ends the sentence

    Args:
        log_probs: `[T, V]` log-probabilities of one item, without padding.
        blank_id: id of the blank.

    Raises:
        ValueError: an argument out of its domain.
    """

    def __init__(self, log_probs: ArrayLike, *, blank_id: int = 0):
        self.blank_id = blank_id
        self._log_probs = _read_one(log_probs, blank_id)
        self._probs = np.exp(self._log_probs)
        self._possible = (self._log_probs > -np.inf).any(axis=0)
        self._possible[blank_id] = False
        # [T + 1]: log of the mass of steps t and later, whatever they spell; zero for normalised frames.
        self._rest = np.append(np.logaddexp.reduce(self._log_probs, axis=1)[::-1].cumsum()[::-1], 0.0)

    def initial_state(self) -> CTCPrefixState:
        """The state of the empty prefix."""
        blank = np.append(0.0, self._log_probs[:, self.blank_id].cumsum())
        return self._state((), float(self._rest[0]), np.full(len(blank), -np.inf), blank)

    def extend(self, state: CTCPrefixState) -> np.ndarray:
        """`[V]` log-probability of all label sequences that begin with the prefix and then token c, for every c.

        The blank is no token: its entry is -inf. To end the sequence instead, see `final_score`.
        """
        scores = np.full(self._log_probs.shape[1], -np.inf)
        weights = np.logaddexp(state.token, state.blank)[:-1] + self._rest[1:]
        peak = weights.max(initial=-np.inf)
        if peak > -np.inf:
            mass = np.exp(weights - peak) @ self._probs
            safe = self._possible & (mass > _UNDERFLOW)
            scores[safe] = np.log(mass[safe]) + peak
            rare = np.flatnonzero(self._possible & ~safe)
            if len(rare):
                scores[rare] = np.logaddexp.reduce(weights[:, None] + self._log_probs[:, rare], axis=0)
        if state.prefix:
            last = state.prefix[-1]
            scores[last] = self._completion(state, last)
        return scores

    def select(self, state: CTCPrefixState, token: int) -> CTCPrefixState:
        """The state of the prefix with `token` appended; its `prefix_score` is `extend(state)[token]`."""
        (token,) = _read_ids([token], self.blank_id, self._log_probs.shape[1])
        before = self._before(state, token).tolist()
        emitted, blanks = self._log_probs[:, token].tolist(), self._log_probs[:, self.blank_id].tolist()
        ends_token, ends_blank = [-math.inf], [-math.inf]
        for arriving, emission, blank in zip(before, emitted, blanks):
            held = _log_add(ends_token[-1], arriving) + emission
            ends_blank.append(_log_add(ends_token[-1], ends_blank[-1]) + blank)
            ends_token.append(held)
        score = self._completion(state, token)
        return self._state((*state.prefix, token), score, np.array(ends_token), np.array(ends_blank))

    def final_score(self, state: CTCPrefixState) -> float:
        """Log-probability that the whole item spells exactly the prefix: `ctc_log_prob(log_probs, state.prefix)`."""
        return _log_add(float(state.token[-1]), float(state.blank[-1]))

    def _before(self, state: CTCPrefixState, token: int) -> np.ndarray:
        """`[T]` log-probability that the steps before t spell the prefix so that step t may add `token`."""
        if state.prefix and state.prefix[-1] == token:
            return state.blank[:-1]
        return np.logaddexp(state.token, state.blank)[:-1]

    def _completion(self, state: CTCPrefixState, token: int) -> float:
        terms = self._before(state, token) + self._log_probs[:, token] + self._rest[1:]
        return float(np.logaddexp.reduce(terms, initial=-np.inf))

    @staticmethod
    def _state(prefix: tuple[int, ...], score: float, token: np.ndarray, blank: np.ndarray) -> CTCPrefixState:
        token.flags.writeable = blank.flags.writeable = False
        return CTCPrefixState(prefix, score, token, blank)
