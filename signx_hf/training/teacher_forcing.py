"""Scheduled sampling: some of the decoder's input pieces are the model's own predictions instead of labels.

SignX-1 lets the share of labels fall from 0.5 to 0. The decoder is a transformer, which reads a full sequence at once; so (choice)
a first pass without gradient reads the labels and predicts every piece, and the training pass reads the mixture (Mihaylova and
Martins 2019, "Scheduled Sampling for Transformers").
"""

import zlib
from collections.abc import Callable, Sequence

import numpy as np
import torch

IGNORE = -100
PROMPT = 2  # the start token and the task prompt are always given


def draws(ids: Sequence[str], length: int, seed: int, step: int) -> torch.Tensor:
    """Return `[B, length]` from 0 to 1. What a clip draws depends neither on its batch nor on padding.

    Args:
        ids: of the clips.
        length: pieces, padded.
        seed: of the run.
        step: of the run.
    """
    rows = [np.random.default_rng([seed, step, zlib.crc32(clip.encode())]).random(length) for clip in ids]
    return torch.from_numpy(np.stack(rows))


def mix(labeled: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor, replace: torch.Tensor) -> torch.Tensor:
    """Return decoder inputs `[B, L]` with the most likely piece instead of the label where `replace` is true.

    Args:
        labeled: `[B, L]`, the decoder inputs made from labels: the start token, then all labels but the last.
        logits: `[B, L, V]` of that input; those at one position predict the input at the next.
        labels: `[B, L]`, -100 where padded; padding and prompt stay.
        replace: `[B, L]` bool.
    """
    predicted = logits.argmax(-1).roll(1, dims=1)
    replace = replace & (labels.roll(1, dims=1) != IGNORE)
    replace[:, :PROMPT] = False
    return torch.where(replace, predicted, labeled)


def decoder_inputs(
    model: torch.nn.Module,
    batch: dict[str, torch.Tensor],
    make: Callable[[torch.Tensor], torch.Tensor],
    ids: Sequence[str],
    share: float,
    seed: int,
    step: int,
) -> torch.Tensor:
    """Return decoder inputs `[B, L]` of a batch, of which about `share` are labels.

    Args:
        model: called as `model(**batch)`; runs in evaluation mode, and is in training mode afterwards.
        batch: with `labels` `[B, L]`.
        make: the model's function from labels `[B, L]` to decoder inputs.
        ids: of the clips.
        share: of labels, from 0 to 1.
        seed: of the run.
        step: of the run.
    """
    labels = batch["labels"]
    replace = draws(ids, labels.shape[1], seed, step).to(labels.device) >= share
    model.eval()  # predictions as at inference; and no dropout is drawn before the training pass
    with torch.no_grad():
        logits = model(**batch).logits
    model.train()
    return mix(make(labels), logits, labels, replace)
