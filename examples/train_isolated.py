"""Isolated signs: one clip, one sign.

    accelerate launch examples/train_isolated.py --config examples/configs/signsynth_tiny/isolated.yaml

`signx-hf train isolated` runs the same code; `--help` lists the options. The loop is in `signx_hf/training/loop.py`, the stage in
`signx_hf/training/stages/isolated.py`.
"""

import sys

from signx_hf.training.command import main

if __name__ == "__main__":
    sys.exit(main("isolated", __doc__.splitlines()[0]))
