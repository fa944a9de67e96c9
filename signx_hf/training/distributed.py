"""Launches of one or several processes: the accelerator, sums over processes, and weights sharded by FSDP2.

Sharded weights are gathered wherever they are written or evaluated, so checkpoints look the same for every kind of launch. A model of
this family has at most some hundred million weights, so gathering them costs little compared to a step.
"""

import contextlib
import os
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import DistributedType

from ..processing.errors_signx import SignXError
from .arguments import RunArguments

# Every process has all weights in these kinds of launch; DistributedType names one for each kind of accelerator.
UNSHARDED = (
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
FSDP_EXAMPLE = "examples/accelerate/fsdp_nodes.yaml"


def make_accelerator(options: RunArguments) -> Accelerator:
    """Build the accelerator and check that as many processes work together as were started.

    Raises:
        SignXError: If the launched processes do not find one another, or runs of this kind of launch cannot be
            resumed.
    """
    if _launched_for("DEEPSPEED"):
        raise SignXError(
            "DeepSpeed is not supported: runs trained with its engine cannot be resumed here. Use FSDP, which shards the same states: "
            f"accelerate launch --config_file {FSDP_EXAMPLE}"
        )
    accelerator = Accelerator(
        cpu=options.cpu,
        mixed_precision=options.mixed_precision,
        # Steps from poses alone or from video alone leave the other encoder unused.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        gradient_accumulation_steps=options.gradient_accumulation_steps,
    )
    started = int(os.environ.get("WORLD_SIZE", 1))
    if accelerator.num_processes != started:
        raise SignXError(
            f"{started} processes were started, but only {accelerator.num_processes} work together. On CPUs pass --cpu to the script: "
            "accelerate launch --multi_gpu --num_processes 2 SCRIPT --cpu"
        )
    expected = os.environ.get("SIGNX_EXPECT_PROCESSES")
    if expected and int(expected) != accelerator.num_processes:
        raise SignXError(
            f"SIGNX_EXPECT_PROCESSES is {expected}, but {accelerator.num_processes} are running. `accelerate launch --cpu --num_processes N` "
            "starts a single process; use accelerate launch --multi_gpu --num_processes N SCRIPT --cpu."
        )
    check_launch(accelerator, options.mixed_precision)
    return accelerator


def check_launch(accelerator: Accelerator, mixed_precision: str) -> None:
    """Reject a launch whose checkpoints this loop could not write or resume.

    Raises:
        SignXError: If the launch does not work. The message names what was launched and the setting that works.
    """
    kind = accelerator.distributed_type
    if kind == DistributedType.FSDP:
        plugin = accelerator.state.fsdp_plugin
        for wrong, words in (
            (plugin.fsdp_version != 2, f"`fsdp_version` must be 2, got {plugin.fsdp_version}"),
            (plugin.cpu_ram_efficient_loading, "`fsdp_cpu_ram_efficient_loading` must be false, got true"),
            (mixed_precision == "fp16", "`mixed_precision` must be bf16 or no with FSDP, got fp16"),
        ):
            if wrong:
                raise SignXError(f"{words}. See {FSDP_EXAMPLE}.")
    elif _launched_for("FSDP"):
        raise SignXError(
            f"FSDP needs GPUs, but accelerate fell back to {kind.value}, which shards nothing. Launch without FSDP on CPUs."
        )
    elif kind.value not in UNSHARDED:
        raise SignXError(f"The launch must be DDP or FSDP, got {kind.value}, whose checkpoints could not be resumed.")


def _launched_for(library: str) -> bool:
    """Return True in a process that `accelerate launch` started for `FSDP` or `DEEPSPEED`."""
    return os.environ.get(f"ACCELERATE_USE_{library}", "false").lower() == "true"


# sums over processes


def batch_shares(accelerator: Accelerator, counts: dict[str, float]) -> dict[str, float]:
    """Divide the counts of this process by their mean over all processes, so that a mean over clips stays one over all clips.

    Args:
        accelerator: of the run.
        counts: of the batch of this process, by unit, as `objective.counts` returns them.

    Returns:
        The quotient for each unit; empty with a single process, where all are 1.
    """
    if accelerator.num_processes == 1:
        return {}
    names = sorted(counts)
    current = torch.tensor([counts[name] for name in names], device=accelerator.device)
    mean = accelerator.reduce(current.clone(), reduction="mean").clamp_min(1e-9)
    return dict(zip(names, (current / mean).tolist()))


def mean_over_processes(accelerator: Accelerator, metrics: dict[str, float]) -> dict[str, float]:
    """Average metrics that every process has under the same names."""
    if accelerator.num_processes == 1:
        return metrics
    values = torch.tensor(list(metrics.values()), device=accelerator.device)
    return dict(zip(metrics, accelerator.reduce(values, reduction="mean").tolist()))


def any_process(accelerator: Accelerator, flag: bool) -> bool:
    """Return True in all processes if `flag` is true in one of them."""
    if accelerator.num_processes == 1:
        return flag
    total = accelerator.reduce(torch.tensor(float(flag), device=accelerator.device), reduction="sum")
    return bool(total > 0)


def sync_gradients(
    accelerator: Accelerator, model: torch.nn.Module, last: bool
) -> contextlib.AbstractContextManager[None]:
    """Return a context in which gradients are reduced over processes only for the last batch of an accumulation."""
    return contextlib.nullcontext() if last else accelerator.no_sync(model)


# sharded weights


def is_sharded(accelerator: Accelerator) -> bool:
    """Return True where a process holds a part of each weight only."""
    return accelerator.distributed_type == DistributedType.FSDP


def prepare(
    accelerator: Accelerator, model: torch.nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any] | None
) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """Hand model and optimizer to Accelerate.

    Args:
        accelerator: of the run.
        model: with its initial or restored weights.
        optimizer: of those weights.
        state: unsharded state of the optimizer to resume from, if any.

    Raises:
        SignXError: If the model cannot be prepared for this kind of launch.
    """
    sharded = is_sharded(accelerator)
    if state and not sharded:
        optimizer.load_state_dict(state)
    try:
        model, optimizer = accelerator.prepare(model, optimizer)
    except (ValueError, KeyError) as error:
        raise SignXError(f"Cannot prepare this model for the launch: {' '.join(str(error).split())[:300]}") from error
    if state and sharded:
        bare = optimizer.optimizer
        bare.load_state_dict(shard_optimizer_state(state, bare))
    return model, optimizer


def gather_full(content: Any) -> Any:
    """Return dicts and lists with every sharded tensor unsharded, on the CPU. All processes must call it together."""
    if isinstance(content, dict):
        return {name: gather_full(value) for name, value in content.items()}
    if isinstance(content, list):
        return [gather_full(value) for value in content]
    return content.full_tensor().cpu() if hasattr(content, "full_tensor") else content


def shard_like(full: torch.Tensor, example: torch.Tensor) -> torch.Tensor:
    """Move an unsharded tensor, the same in every process, to the device of `example` and shard it in the same way."""
    full = full.to(example.device)
    if not hasattr(example, "full_tensor"):
        return full
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(full, example.device_mesh, example.placements)


def shard_optimizer_state(state: dict[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Shard the state of an optimizer, unsharded by `gather_full`, like the parameters."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    sharded = {
        index: {
            name: shard_like(value, parameters[index]) if torch.is_tensor(value) and value.ndim else value
            for name, value in entry.items()
        }
        for index, entry in state["state"].items()
    }
    return {**state, "state": sharded}
