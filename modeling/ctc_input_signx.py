"""Read and check the input of the CTC functions: log-probabilities, lengths and label ids.

Legend: B items, T feature steps, V tokens (the blank among them), U labels. All computation is in float64 on the CPU.

`log_probs` are log-probabilities, `logits.log_softmax(-1)`, as a torch tensor, an array or nested lists. Nothing is
normalized inside, so scores agree with `torch.nn.functional.ctc_loss`, and a token may be masked with -inf. A step
whose probabilities sum to more than one is rejected: those are raw logits. Steps past the length of an item are never
read.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

ArrayLike = torch.Tensor | np.ndarray | Sequence

# Rounding to bfloat16 moves the sum of 30,000 probabilities by up to 3 %; raw logits miss one by far more.
_MAX_FRAME_MASS = 1.05
_LABEL_PADDING = -100


class CTCInfeasible(NamedTuple):
    """An item whose labels do not fit into its frames, so that its CTC loss would be infinite."""

    index: int
    frames: int
    needed: int


def _to_numpy(values: ArrayLike) -> np.ndarray:
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        return (values.float() if values.dtype == torch.bfloat16 else values).numpy()  # numpy has no bfloat16
    return np.asarray(values)


def _read_log_probs(log_probs: ArrayLike, ndim: int) -> np.ndarray:
    values = _to_numpy(log_probs)
    axes = "[B, T, V]" if ndim == 3 else "[T, V]"
    if values.ndim != ndim or values.shape[-1] == 0:
        raise ValueError(f"`log_probs` must have shape {axes} with V >= 1, got {list(values.shape)}.")
    if values.dtype.kind not in "fiu":
        raise ValueError(f"`log_probs` must be real numbers, got dtype {values.dtype}. Pass logits.log_softmax(-1).")
    return values


def _check_blank(blank_id: int, vocab_size: int) -> None:
    if not 0 <= blank_id < vocab_size:
        raise ValueError(f"`blank_id` must be a token id from 0 to {vocab_size - 1}, got {blank_id}.")


def _read_item(values: np.ndarray, where: str = "") -> np.ndarray:
    """Return a checked float64 copy of one item, `[T, V]`; `where` names the item in errors."""
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
            f"{where}`log_probs[{step}, {token}]` must be finite or -inf, got {bad[token]}. "
            "Either the model diverged or the length is wrong."
        )
    if bad.max() == -np.inf:
        raise ValueError(f"{where}`log_probs[{step}]` is -inf for every token. Leave at least one token unmasked.")
    raise ValueError(
        f"{where}the probabilities of step {step} must sum to at most 1, got {mass[step]:.4g}. "
        "Pass logits.log_softmax(-1), not logits."
    )


def _read_lengths(lengths: ArrayLike | None, batch: int, steps: int | None) -> list[int]:
    """Return the number of frames of each item, from `[B]` counts or a `[B, T]` mask that is true, then false."""
    if lengths is None:
        return [steps] * batch
    values = _to_numpy(lengths)
    if values.dtype == bool:
        if values.ndim != 2 or len(values) != batch or (steps is not None and values.shape[1] != steps):
            expected = f"[{batch}, {'T' if steps is None else steps}]"
            raise ValueError(f"The mask must have shape {expected}, got {list(values.shape)}.")
        counts = values.sum(axis=1)
        ragged = (values != (np.arange(values.shape[1]) < counts[:, None])).any(axis=1)
        if ragged.any():
            raise ValueError(
                f"The mask of item {int(np.argmax(ragged))} has a gap. Put the true frames first and padding last."
            )
        return counts.tolist()
    if values.shape != (batch,) or (values.dtype.kind not in "iu" and values.size):
        raise ValueError(
            f"`lengths` must be integers of shape [{batch}], got shape {list(values.shape)} and dtype {values.dtype}."
        )
    for index, length in enumerate(values.tolist()):
        if length < 0 or (steps is not None and length > steps):
            limit = "at least 0" if steps is None else f"from 0 to {steps}"
            raise ValueError(f"`lengths[{index}]` must be {limit}, the number of frames, got {length}.")
    return values.tolist()


def read_batch(log_probs: ArrayLike, lengths: ArrayLike | None, blank_id: int) -> list[np.ndarray]:
    """Return the checked float64 log-probabilities `[T, V]` of each item, without its padding."""
    values = _read_log_probs(log_probs, ndim=3)
    batch, steps, vocab_size = values.shape
    _check_blank(blank_id, vocab_size)
    counts = _read_lengths(lengths, batch, steps)
    return [_read_item(values[index, :count], f"item {index}: ") for index, count in enumerate(counts)]


def read_one(log_probs: ArrayLike, blank_id: int) -> np.ndarray:
    """Return the checked float64 log-probabilities `[T, V]` of a single item."""
    values = _read_log_probs(log_probs, ndim=2)
    _check_blank(blank_id, values.shape[1])
    return _read_item(values)


def read_ids(ids: ArrayLike, blank_id: int, vocab_size: int, where: str = "") -> tuple[int, ...]:
    """Return checked token ids `[U]` without blanks; `where` names the item in errors."""
    values = _to_numpy(ids)
    if values.ndim != 1 or (values.dtype.kind not in "iu" and values.size):
        raise ValueError(
            f"{where}`ids` must be integers of shape [U], got shape {list(values.shape)} and dtype {values.dtype}."
        )
    for position, token in enumerate(values.tolist()):
        if token == blank_id:
            raise ValueError(f"{where}`ids[{position}]` must be a gloss id, got {token}, the blank.")
        if not 0 <= token < vocab_size:
            raise ValueError(f"{where}`ids[{position}]` must be from 0 to {vocab_size - 1}, got {token}.")
    return tuple(int(token) for token in values.tolist())


def read_labels(labels: ArrayLike) -> list[tuple[int, ...]]:
    """Return the label ids of each item, from `[B, U]` padded with -100 or from lists of ids."""
    rows = [_to_numpy(row) for row in labels]
    for index, row in enumerate(rows):
        if row.ndim != 1 or (row.dtype.kind not in "iu" and row.size):
            raise ValueError(
                f"`labels[{index}]` must be integers of shape [U], got shape {list(row.shape)} and dtype {row.dtype}."
            )
    return [tuple(int(token) for token in row.tolist() if token != _LABEL_PADDING) for row in rows]


def ctc_min_frames(ids: Sequence[int]) -> int:
    """Return the fewest feature steps that can spell `ids`: one per token, and a blank between equal neighbors."""
    return len(ids) + int(sum(left == right for left, right in zip(ids, ids[1:])))


def ctc_feasible(labels: ArrayLike, lengths: ArrayLike) -> list[CTCInfeasible]:
    """Find the items whose labels do not fit into their frames.

    Args:
        labels: `[B, U]` integers padded with -100, or one list of ids per item.
        lengths: `[B]` feature steps, or a `[B, T]` boolean mask.

    Returns:
        `(index, frames, needed)` of each item that needs more frames than it has, in order; empty if all items fit.
    """
    rows = read_labels(labels)
    counts = _read_lengths(lengths, len(rows), None)
    items = (CTCInfeasible(index, count, ctc_min_frames(row)) for index, (row, count) in enumerate(zip(rows, counts)))
    return [item for item in items if item.needed > item.frames]


def check_frames(frames: int, ids: tuple[int, ...], where: str) -> None:
    """Raise a ValueError if `ids` do not fit into a number of frames."""
    needed = ctc_min_frames(ids)
    if frames < needed:
        raise ValueError(
            f"{where}{frames} frames cannot hold {len(ids)} glosses, which need at least {needed} ({len(ids)} glosses "
            f"+ {needed - len(ids)} repeats). Use a longer clip, a smaller stride or fewer glosses."
        )
