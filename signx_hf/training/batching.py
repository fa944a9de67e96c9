"""Which clips a step sees. The order is a pure function of seed and epoch, so a resumed run needs no stored state."""

from collections.abc import Sequence

import numpy as np


def epoch_batches(lengths: Sequence[int], batch_size: int, seed: int, epoch: int, bucket: int = 16) -> list[list[int]]:
    """Indices of the clips in each batch of an epoch; every clip comes once.

    Clips are shuffled, then sorted by length within groups of `bucket` batches (0: not at all), so that a batch holds clips
    of like length and little padding; then the batches are shuffled.

    Args:
        lengths: frames of each clip.
        batch_size: clips a batch, all processes together.
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    if bucket:
        lengths = np.asarray(lengths)
        size = batch_size * bucket
        groups = [order[start : start + size] for start in range(0, len(order), size)]
        order = np.concatenate([group[np.argsort(-lengths[group], kind="stable")] for group in groups])
    batches = [order[start : start + batch_size].tolist() for start in range(0, len(order), batch_size)]
    return [batches[index] for index in random.permutation(len(batches))] if bucket else batches


def shard(batch: Sequence[int], rank: int, processes: int) -> list[int]:
    """The part of a batch that one process takes. A batch with fewer clips than processes is filled up from its front, for
    every process has to take part in every step."""
    whole = [batch[index % len(batch)] for index in range(max(len(batch), processes))]
    return whole[rank::processes]
