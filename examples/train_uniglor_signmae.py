"""SignMAE of UniGloR: representations of segments of key points, without labels (arXiv 2407.02854 v2, section 3.1).

    accelerate launch examples/train_uniglor_signmae.py --config examples/configs/signsynth_tiny/uniglor_signmae.yaml

`signx-hf train signmae` runs the same code; `--help` lists the options. The loop is in `signx_hf/training/loop.py`, the stage in
`signx_hf/training/stages/signmae.py`.
"""

import sys

from signx_hf.training.command import main

if __name__ == "__main__":
    sys.exit(main("signmae", __doc__.splitlines()[0]))
