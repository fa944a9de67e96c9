"""Stage 1, Pose2Gloss: from poses to latents to glosses (SignX-4, section 3.1).

    accelerate launch examples/train_stage1.py --config examples/configs/signsynth_tiny/01_pose2gloss.yaml

`signx-hf train pose2gloss` runs the same code; `--help` lists the options. The loop is in `signx_hf/training/loop.py`, the stage in
`signx_hf/training/stages/pose2gloss.py`.
"""

import sys

from signx_hf.training.command import main

if __name__ == "__main__":
    sys.exit(main("pose2gloss", __doc__.splitlines()[0]))
