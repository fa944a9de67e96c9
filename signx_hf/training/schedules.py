"""What depends on the step: how many there are, the learning rate, and weights of losses."""

import math
from dataclasses import dataclass

from .arguments import RunArguments


@dataclass(frozen=True)
class StepPlan:
    """Count of the optimizer steps of a run.

    Attributes:
        batch_size: clips per batch, all processes together.
        steps_per_epoch: optimizer steps.
        total_steps: of the whole run.
        warmup_steps: in which the learning rate rises.
        eval_steps: between two evaluations on dev; 0 for none.
        save_steps: between two checkpoints; 0 for none.
    """

    batch_size: int
    steps_per_epoch: int
    total_steps: int
    warmup_steps: int
    eval_steps: int
    save_steps: int

    @classmethod
    def of(cls, clips: int, processes: int, options: RunArguments) -> "StepPlan":
        """Count the steps of a run over `clips` training clips."""
        batch_size = options.per_device_train_batch_size * processes
        per_epoch = math.ceil(math.ceil(clips / batch_size) / options.gradient_accumulation_steps)
        total = options.max_steps or max(1, round(options.num_train_epochs * per_epoch))
        every_eval, every_save = (
            max(1, round(epochs * per_epoch)) if epochs else 0 for epochs in (options.eval_epochs, options.save_epochs)
        )
        warmup = round(options.warmup_ratio * total) if options.warmup_steps is None else options.warmup_steps
        return cls(batch_size, per_epoch, total, warmup, every_eval, every_save)

    def due(self, interval: int, step: int, stopping: bool = False) -> bool:
        """Return True if what is done every `interval` steps is due after `step`; the last step always is."""
        return bool(interval) and (step % interval == 0 or step >= self.total_steps or stopping)


def learning_rate_factor(step: int, total: int, warmup: int, min_ratio: float) -> float:
    """Return the share of the peak learning rate at optimizer step `step` (from 0): linear warm-up, then a cosine down to
    `min_ratio` (SignX-1, table of settings)."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return min_ratio + (1 - min_ratio) * 0.5 * (1 + math.cos(math.pi * progress))


def scheduled(first: float, last: float, step: int, total: int) -> float:
    """Interpolate linearly from `first` at step 0 to `last` at the last of `total` steps."""
    share = min(1.0, step / max(1, total - 1))
    return first + (last - first) * share
