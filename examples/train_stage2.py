"""Stage 2, Video2Pose: the video encoder learns the latents of the poses (SignX-4, section 3.1).

    accelerate launch examples/train_stage2.py --config examples/configs/signsynth_tiny/02_video2pose.yaml

`signx-hf train video2pose` runs the same code; `--help` lists the options. The loop is in `signx_hf/training/loop.py`, the stage in
`signx_hf/training/stages/video2pose.py`.
"""

import sys

from signx_hf.training.command import main

if __name__ == "__main__":
    sys.exit(main("video2pose", __doc__.splitlines()[0]))
