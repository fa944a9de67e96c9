"""The weights of a run: those that are trained, their moving average, and the model to evaluate and save."""

import contextlib
import copy
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator

from .distributed import gather_full, is_sharded, shard_like

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def copy_if_sharded(accelerator: Accelerator, model: "PreTrainedModel") -> "PreTrainedModel | None":
    """Return a full copy of the model to evaluate with where its weights will be sharded: its methods need full weights."""
    return copy.deepcopy(model).to(accelerator.device) if is_sharded(accelerator) else None


class TrainedWeights:
    """Weights under training, with their exponential moving average (EMA).

    Args:
        accelerator: of the run.
        model: the model that Accelerate has prepared.
        full_copy: a full copy of it, as `copy_if_sharded` makes one.
        ema_decay: of the moving average; 0 for none.
        exact_buffers: names of buffers that hold decisions, which no average may blur.
        average: unsharded moving average to resume from, if any.

    Attributes:
        unwrapped: the model without what Accelerate wraps around it.
        parameters: of the model. Both are found once, as finding them walks all modules.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        model: torch.nn.Module,
        full_copy: "PreTrainedModel | None" = None,
        ema_decay: float = 0.0,
        exact_buffers: Collection[str] = (),
        average: dict[str, torch.Tensor] | None = None,
    ):
        self.accelerator, self.model, self.full_copy = accelerator, model, full_copy
        self.unwrapped: PreTrainedModel = accelerator.unwrap_model(model)
        self.parameters = list(model.parameters())
        self.ema_decay, self.exact_buffers = ema_decay, exact_buffers
        self.average: dict[str, torch.Tensor] | None = None
        if ema_decay:
            self.average = {name: value.detach().clone() for name, value in self.unwrapped.state_dict().items()}
            restored = average or {}
            self.average |= {name: shard_like(value, self.average[name]) for name, value in restored.items()}

    def update_average(self, step: int) -> None:
        """Move the average toward the current weights, `step` optimizer steps having been done before this one."""
        if self.average is None:
            return
        decay = min(self.ema_decay, (1 + step) / (10 + step))  # a short memory at the beginning
        for name, value in self.unwrapped.state_dict().items():
            if value.is_floating_point() and name not in self.exact_buffers:
                self.average[name].lerp_(value.to(self.average[name].device), 1 - decay)
            else:
                self.average[name].copy_(value)

    @contextlib.contextmanager
    def evaluated(self) -> Iterator["PreTrainedModel"]:
        """Yield the model to evaluate and save: averaged where there is an average, with all its weights in this process."""
        model, current = self.unwrapped, None
        if self.full_copy is not None:
            self.full_copy.load_state_dict(gather_full(model.state_dict() if self.average is None else self.average))
            model = self.full_copy
        elif self.average is not None:
            current = {name: value.detach().clone() for name, value in model.state_dict().items()}
            model.load_state_dict(self.average)
        yield model
        if current is not None:
            model.load_state_dict(current)

    def state(self, optimizer: torch.optim.Optimizer) -> tuple[dict[str, dict[str, torch.Tensor]], dict[str, Any]]:
        """Return tensors by file (`model` and, with an average, `ema`) and the optimizer's state, both unsharded.

        All processes must call it together.
        """
        tensors = {"model": self.unwrapped.state_dict()} | ({"ema": self.average} if self.average is not None else {})
        optimizer_state = getattr(optimizer, "optimizer", optimizer).state_dict()
        if self.full_copy is not None:
            return gather_full(tensors), gather_full(optimizer_state)
        return tensors, optimizer_state
