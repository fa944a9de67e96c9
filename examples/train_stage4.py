"""Stage 4: refinement by encoder and decoder over BPE pieces, joint with CTC (SignX-4, section 3.2).

    accelerate launch examples/train_stage4.py --config examples/configs/signsynth_tiny/04_refine.yaml

`signx-hf train refine` runs the same code; `--help` lists the options. The loop is in `signx_hf/training/loop.py`, the stage in
`signx_hf/training/stages/refine.py`.
"""

import sys

from signx_hf.training.command import main

if __name__ == "__main__":
    sys.exit(main("refine", __doc__.splitlines()[0]))
