"""Scheduled sampling: some of the decoder's input pieces are what the model itself would write there, not the labels.

SignX-1 lets the share of labels fall from 0.5 to 0. The decoder is a transformer, which reads a whole sequence at once; so (choice)
a first pass without gradient reads the labels and predicts every piece, and the pass that learns reads the mixture (Mihaylova and
Martins 2019, "Scheduled Sampling for Transformers").
"""

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

IGNORE = -100
PROMPT = 2  # the start token and the task prompt are always given


def draws(ids: Sequence[str], length: int, seed: int, step: int) -> torch.Tensor:
    """`[B, length]` from 0 to 1, for each clip by itself: what a clip draws depends neither on its batch nor on padding."""
    rows = [np.random.default_rng([seed, step, zlib.crc32(clip.encode())]).random(length) for clip in ids]
    return torch.from_numpy(np.stack(rows))


def mix(labelled: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """Decoder inputs `[B, L]` with the most likely piece instead of the label where `own` `[B, L]` is true.

    Args:
        labelled: `[B, L]` the decoder inputs made of labels: the start token, then all labels but the last.
        logits: `[B, L, V]` of that input; those at one place predict the input at the next.
        labels: `[B, L]`, -100 where padded; padding and prompt stay.
    """
    predicted = logits.argmax(-1).roll(1, dims=1)
    own = own & (labels.roll(1, dims=1) != IGNORE)
    own[:, :PROMPT] = False
    return torch.where(own, predicted, labelled)


def decoder_inputs(
    model: Any, batch: dict[str, torch.Tensor], make: Any, ids: Sequence[str], share: float, seed: int, step: int
) -> torch.Tensor:
    """Decoder inputs `[B, L]` of a batch of which about `share` are labels.

    Args:
        model: called as `model(**batch)`; runs in evaluation mode, and is in training mode again afterwards.
        make: labels `[B, L]` -> decoder inputs made of them, the model's own function.
    """
    labels = batch["labels"]
    own = draws(ids, labels.shape[1], seed, step).to(labels.device) >= share
    model.eval()  # what it writes when it is used; and dropout then draws for the pass that learns as it always does
    with torch.no_grad():
        logits = model(**batch).logits
    model.train()
    return mix(make(labels), logits, labels, own)
