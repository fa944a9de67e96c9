"""Training with FSDP2 on CPUs, which accelerate starts on GPUs only: `torch.distributed.run fsdp_on_cpus.py STAGE OPTIONS`.

The settings are those that a launch with examples/accelerate/fsdp_nodes.yaml hands to its processes.
"""

import json
import os
import sys
from pathlib import Path

import accelerate
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from accelerate.utils.launch import prepare_multi_gpu_env

from signx_hf.training import command, distributed

CONFIG = Path(__file__).parents[1] / "examples" / "accelerate" / "fsdp_nodes.yaml"


def launched_plugin():
    arguments = ["--config_file", str(CONFIG), "--main_process_ip", "127.0.0.1", "script.py"]
    given = _validate_launch_command(launch_command_parser().parse_args(arguments))[0]
    environment = prepare_multi_gpu_env(given)
    os.environ.update({name: value for name, value in environment.items() if "FSDP" in name})
    return FullyShardedDataParallelPlugin()


class OnCPUs(accelerate.Accelerator):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        shared = accelerate.state.AcceleratorState._shared_state
        shared["distributed_type"], shared["fsdp_plugin"] = DistributedType.FSDP, launched_plugin()


if __name__ == "__main__":
    distributed.Accelerator = OnCPUs
    sys.exit(command.train(sys.argv[1], json.loads(sys.argv[2])))
