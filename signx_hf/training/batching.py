"""Batches: which clips a step sees, and the loader that collates them.

The order is a pure function of seed and epoch, so a resumed run needs no stored state.
"""

import gc
import math
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from accelerate import Accelerator

from ..processing.errors_signx import SignXError
from .arguments import RunArguments

if TYPE_CHECKING:
    from .stages.base import Stage

Batch = tuple[list[str], dict[str, torch.Tensor]]  # ids of the clips, model inputs and labels
Step = tuple[int, int, list[list[int]]]  # epoch, index within it, clips of each batch of the accumulation


def epoch_batches(lengths: Sequence[int], batch_size: int, seed: int, epoch: int, bucket: int = 16) -> list[list[int]]:
    """Return the indices of the clips in each batch of an epoch; every clip comes once.

    Clips are shuffled, then sorted by length within groups of `bucket` batches (0: not at all), so that a batch holds clips
    of like length and little padding; then the batches are shuffled.

    Args:
        lengths: of each clip, in frames.
        batch_size: clips per batch, all processes together.
        seed: of the run.
        epoch: from 0.
        bucket: batches that are sorted together.
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


def remaining_steps(
    lengths: Sequence[int], batch_size: int, options: RunArguments, start: tuple[int, int], count: int
) -> Iterator[Step]:
    """Yield the optimizer steps that are left of a run.

    Args:
        lengths: of each clip, in frames.
        batch_size: clips per batch, all processes together.
        options: of the run.
        start: the epoch, and the optimizer steps done within it.
        count: optimizer steps that are left.
    """
    (epoch, done), size = start, options.gradient_accumulation_steps
    while count > 0:
        batches = epoch_batches(lengths, batch_size, options.seed, epoch, options.bucket)
        for index in range(done, min(math.ceil(len(batches) / size), done + count)):
            yield epoch, index, batches[index * size : (index + 1) * size]
            count -= 1
        epoch, done = epoch + 1, 0


def shard(batch: Sequence[int], rank: int, processes: int) -> list[int]:
    """Return the part of a batch that one process takes. A batch with fewer clips than processes is filled up from its
    front, because every process has to take part in every step."""
    full = [batch[index % len(batch)] for index in range(max(len(batch), processes))]
    return full[rank::processes]


class CollatedClips(torch.utils.data.Dataset):
    """Batches by (epoch, clips), collated in this process or in a worker.

    Args:
        stage: that is trained, set up.
        seed: of the run; each clip is augmented by a generator of (seed, epoch, clip).
    """

    def __init__(self, stage: "Stage", seed: int):
        self.stage, self.seed = stage, seed

    def __getitem__(self, key: tuple[int, list[int]]) -> tuple[list[str], dict[str, torch.Tensor] | SignXError]:
        """Return ids and batch, or the error in place of the batch: raised in a worker, it would carry the traceback as text."""
        epoch, clips = key
        examples = [self.stage.train_examples[clip] for clip in clips]
        randoms = [np.random.default_rng([self.seed, epoch, clip]) for clip in clips]
        ids = [example.id for example in examples]
        try:
            return ids, self.stage.collate(examples, randoms)
        except Exception as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            failure = SignXError(
                f"Cannot make a batch of clips {', '.join(ids)} ({reason}). Check them with `signx-hf data check`, then continue with --resume."
            )
            failure.__cause__ = error
            return ids, failure


def _freeze_inherited(worker: int) -> None:
    """Keep a worker's garbage collector away from objects of the parent process."""
    gc.freeze()


def load_batches(
    stage: "Stage", options: RunArguments, accelerator: Accelerator, steps: Iterator[Step]
) -> Iterator[Batch]:
    """Iterate over the batches of all steps, one after the other.

    One loader serves all epochs: workers start once, and stay ahead at the end of an epoch.

    Args:
        stage: that is trained, set up.
        options: of the run.
        accelerator: of the run.
        steps: as `remaining_steps` yields them.

    Raises:
        SignXError: If a clip of the batch cannot be read. The message names it.
    """
    rank, processes = accelerator.process_index, accelerator.num_processes
    keys = ((epoch, shard(batch, rank, processes)) for epoch, _, batches in steps for batch in batches)
    workers = options.num_workers
    if workers is None:
        # One worker is enough never to wait; where it cannot be forked it would get a copy of all clips. Cached features are
        # at hand, and sending them between processes takes longer than collating them.
        workers = int(sys.platform == "linux" and getattr(stage, "start", None) in (None, "inputs"))
    loader = torch.utils.data.DataLoader(
        CollatedClips(stage, options.seed),
        sampler=keys,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        pin_memory=accelerator.device.type == "cuda",
        multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
        worker_init_fn=_freeze_inherited if workers else None,
    )
    if workers:
        # A video decoder joins its threads when it is collected. A fork has none of them, so a worker that collected what its
        # parent left behind would wait forever.
        gc.collect()
    for ids, batch in loader:
        if isinstance(batch, SignXError):
            raise batch
        yield ids, batch
