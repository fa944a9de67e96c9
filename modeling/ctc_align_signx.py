"""Align known labels with CTC log-probabilities, and compute the probability of a label sequence.

Step t covers the seconds [t, t + 1) * stride / fps; all starts and ends are steps, the end exclusive. See
`ctc_input_signx` for what `log_probs` may be. torchaudio's `forced_align` would do the first job, but the files in
this folder travel with the weights and depend on torch, numpy and transformers only.
"""

import math
from dataclasses import dataclass

import numpy as np

from .ctc_input_signx import ArrayLike, check_frames, read_batch, read_ids, read_labels, read_one


@dataclass(frozen=True)
class CTCAlignment:
    """The most probable path through a known label sequence.

    Attributes:
        path: the token id or the blank at each of the T steps.
        starts: the first step that emits each token.
        ends: the step after the last one that emits each token.
        score: natural log-probability of the path.
        confidences: in [0, 1], the highest probability of a step that emits the token.
    """

    path: tuple[int, ...]
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    score: float
    confidences: tuple[float, ...]


def spans(frames: np.ndarray, path: np.ndarray, blank_id: int) -> tuple[tuple, tuple, tuple, tuple]:
    """Return the tokens, starts, ends and confidences of the non-blank runs of a `path` `[T]`."""
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


def _lattice(frames: np.ndarray, ids: tuple[int, ...], blank_id: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Build the states `blank t1 blank .. tU blank` [S = 2 U + 1], their log-probabilities [T, S], skip penalties [S].

    A token may follow the token before it without a blank unless the two are equal: penalty 0, otherwise -inf.
    """
    states = np.full(2 * len(ids) + 1, blank_id)
    states[1::2] = ids
    skip = np.full(len(states), -np.inf)
    skip[3::2] = np.where(states[3::2] != states[1:-2:2], 0.0, -np.inf)
    return states, frames[:, states], skip


def _initial(num_states: int) -> np.ndarray:
    """Return the log-probabilities before the first step, [S + 2]; two impossible states in front are for `_previous`.

    All mass is on the first blank, from where one move leads to the first token.
    """
    alpha = np.full(num_states + 2, -np.inf)
    alpha[2] = 0.0
    return alpha


def _previous(alpha: np.ndarray, skip: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what reaches each of the S states in one step from `alpha` [S + 2]: itself, one back, two back."""
    return alpha[2:], alpha[1:-1], alpha[:-2] + skip


def align(frames: np.ndarray, ids: tuple[int, ...], blank_id: int, where: str = "") -> CTCAlignment:
    """Align checked ids with checked log-probabilities `[T, V]`; `where` names the item in errors."""
    check_frames(len(frames), ids, where)
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
            f"{where}`ids` {list(ids)} have probability 0 because `log_probs` is -inf for some of them. "
            "Unmask these tokens or align other ids."
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
    _, starts, ends, confidences = spans(frames, path, blank_id)
    return CTCAlignment(tuple(path.tolist()), starts, ends, score, confidences)


def ctc_forced_align(log_probs: ArrayLike, ids: ArrayLike, *, blank_id: int = 0) -> CTCAlignment:
    """Find the most probable path that spells `ids` (Viterbi over the lattice of Graves et al. 2006, section 4.1).

    Args:
        log_probs: `[T, V]` log-probabilities of one item, without padding.
        ids: `[U]` token ids without blanks; may be empty.
        blank_id: id of the blank.

    Returns:
        The alignment. Of equal paths, the one that stays in a state rather than moves on, seen from the end.

    Raises:
        ValueError: If there are too few frames for the ids, the ids have probability 0, or an argument is invalid.
    """
    frames = read_one(log_probs, blank_id)
    return align(frames, read_ids(ids, blank_id, frames.shape[1]), blank_id)


def ctc_forced_align_batch(
    log_probs: ArrayLike, labels: ArrayLike, *, lengths: ArrayLike | None = None, blank_id: int = 0
) -> list[CTCAlignment]:
    """Run `ctc_forced_align` on each item of a batch.

    Args:
        log_probs: `[B, T, V]` log-probabilities.
        labels: `[B, U]` token ids padded with -100, or one list of ids per item.
        lengths: `[B]` feature steps or a `[B, T]` boolean mask; all T steps if None.
        blank_id: id of the blank.

    Returns:
        One alignment per item.

    Raises:
        ValueError: as in `ctc_forced_align`; the message names the item.
    """
    items = read_batch(log_probs, lengths, blank_id)
    rows = read_labels(labels)
    if len(rows) != len(items):
        raise ValueError(f"`labels` must have one row per item of `log_probs`, got {len(rows)} rows for {len(items)}.")
    alignments = []
    for index, (frames, row) in enumerate(zip(items, rows)):
        where = f"item {index}: "
        alignments.append(align(frames, read_ids(row, blank_id, frames.shape[1], where), blank_id, where))
    return alignments


def ctc_log_prob(log_probs: ArrayLike, ids: ArrayLike, *, blank_id: int = 0) -> float:
    """Sum the probability of a label sequence over all alignments (forward algorithm, Graves et al. 2006, eq. 6-8).

    Args:
        log_probs: `[T, V]` log-probabilities of one item, without padding.
        ids: `[U]` token ids without blanks; may be empty.
        blank_id: id of the blank.

    Returns:
        The natural logarithm of the probability; -inf where no alignment is possible.

    Raises:
        ValueError: If an argument is invalid.
    """
    frames = read_one(log_probs, blank_id)
    states, emissions, skip = _lattice(frames, read_ids(ids, blank_id, frames.shape[1]), blank_id)
    alpha = _initial(len(states))
    for emission in emissions:
        stay, one, two = _previous(alpha, skip)
        alpha[2:] = np.logaddexp(np.logaddexp(stay, one), two) + emission
    # The path ends in the last token or the last blank; without tokens the former is -inf.
    return float(np.logaddexp(alpha[-2], alpha[-1]))
