"""Training with FSDP2 on CPUs, which accelerate itself starts on GPUs only: `torch.distributed.run fsdp_on_cpus.py STAGE OPTIONS`.

Everything but the kind of accelerator is what a launch with examples/accelerate/fsdp_nodes.yaml runs.
"""

import json
import sys

import accelerate
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

from signx_hf.training import command, loop


class OnCPUs(accelerate.Accelerator):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        shared = accelerate.state.AcceleratorState._shared_state
        shared["distributed_type"] = DistributedType.FSDP
        shared["fsdp_plugin"] = FullyShardedDataParallelPlugin(
            fsdp_version=2,
            auto_wrap_policy="transformer_based_wrap",
            transformer_cls_names_to_wrap=["SignXEncoderLayer"],
            cpu_ram_efficient_loading=False,
        )


if __name__ == "__main__":
    loop.Accelerator = OnCPUs
    sys.exit(command.train(sys.argv[1], json.loads(sys.argv[2])))
