"""Weights that are spread over processes (FSDP2): whole wherever they are written or measured.

Checkpoints therefore look the same for every kind of launch. A model of this family has at most some hundred million weights, so
gathering them costs little beside a step.
"""

import os
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType

from ..processing.errors_signx import SignXError

# in these every process has all weights; DistributedType names one for each kind of accelerator
WHOLE = (
    "NO",
    "MULTI_CPU",
    "MULTI_GPU",
    "MULTI_NPU",
    "MULTI_MLU",
    "MULTI_SDAA",
    "MULTI_MUSA",
    "MULTI_XPU",
    "MULTI_HPU",
)


def refuse_deepspeed() -> None:
    """Raises SignXError in a process that was launched for DeepSpeed."""
    if os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() == "true":
        raise SignXError(
            "the launch asks for DeepSpeed, whose engine steps, clips and saves by itself and could not go on after a kill here; wanted FSDP, "
            "which spreads the same things: accelerate launch --config_file examples/accelerate/fsdp_nodes.yaml"
        )


def check_kind(accelerator: Accelerator, mixed_precision: str) -> None:
    """Refuses a launch whose checkpoints this loop could not write or continue.

    Raises:
        SignXError: says what was launched and which setting works.
    """
    kind = accelerator.distributed_type
    if kind == DistributedType.FSDP:
        plugin = accelerator.state.fsdp_plugin
        wrong = [
            (plugin.fsdp_version != 2, f"fsdp_version is {plugin.fsdp_version}; wanted 2"),
            (plugin.cpu_ram_efficient_loading, "fsdp_cpu_ram_efficient_loading is true; wanted false"),
            (mixed_precision == "fp16", "mixed_precision is fp16; wanted bf16 or no"),
        ]
        for found, words in wrong:
            if found:
                raise SignXError(f"FSDP: {words}; see examples/accelerate/fsdp_nodes.yaml")
    elif os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true":
        raise SignXError(
            f"the launch asks for FSDP, but accelerate made it {kind.value}, which spreads nothing; wanted GPUs; leave FSDP out on CPUs"
        )
    elif kind.value not in WHOLE:
        raise SignXError(
            f"the launch is of kind {kind.value}, whose checkpoints are not known here; wanted DDP or FSDP"
        )


def is_spread(accelerator: Accelerator) -> bool:
    return accelerator.distributed_type == DistributedType.FSDP


def gathered(content: Any) -> Any:
    """Dicts and lists with every spread tensor made whole, on the CPU. All processes must call it together."""
    if isinstance(content, dict):
        return {name: gathered(value) for name, value in content.items()}
    if isinstance(content, list):
        return [gathered(value) for value in content]
    return content.full_tensor().cpu() if hasattr(content, "full_tensor") else content


def spread_like(whole: torch.Tensor, example: torch.Tensor) -> torch.Tensor:
    """A whole tensor, the same in every process, on the device of `example` and spread as it is."""
    whole = whole.to(example.device)
    if not hasattr(example, "full_tensor"):
        return whole
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(whole, example.device_mesh, example.placements)


def spread_optimizer_state(state: dict, optimizer: torch.optim.Optimizer) -> dict:
    """The state of an optimiser that `gathered` made whole, spread as the parameters are."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    spread = {
        index: {
            name: spread_like(value, parameters[index]) if torch.is_tensor(value) and value.ndim else value
            for name, value in entry.items()
        }
        for index, entry in state["state"].items()
    }
    return {**state, "state": spread}
