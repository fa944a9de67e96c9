"""Stage 1, Pose2Gloss: poses to latents to glosses (SignX-4, section 3.1).

    accelerate launch examples/train_stage1.py --config examples/configs/signsynth_tiny/01_pose2gloss.yaml

`signx-hf train pose2gloss` runs the same code. Options and their help: `--help`. The loop is `signx_hf/training/loop.py`, what the
stage does `signx_hf/training/stages/pose2gloss.py`.
"""

import sys

from signx_hf.training.command import main

if __name__ == "__main__":
    sys.exit(main("pose2gloss", __doc__.splitlines()[0]))
