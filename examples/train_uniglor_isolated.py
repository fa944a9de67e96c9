"""Isolated signs from the representations of SignMAE (UniGloR, arXiv 2407.02854 v2, section 3.4).

    accelerate launch examples/train_uniglor_isolated.py --config examples/configs/signsynth_tiny/uniglor_isolated.yaml

`signx-hf train uniglor_isolated` runs the same code; `--help` lists the options. The loop is in `signx_hf/training/loop.py`, the stage in
`signx_hf/training/stages/uniglor_isolated.py`.
"""

import sys

from signx_hf.training.command import main

if __name__ == "__main__":
    sys.exit(main("uniglor_isolated", __doc__.splitlines()[0]))
