"""Stage 3: the latent recognizer with CTC (SignX-4, section 3.2).

    accelerate launch examples/train_stage3.py --config examples/configs/signsynth_tiny/03_sentences_from_latents.yaml

`signx-hf train latent_ctc` runs the same code; `--help` lists the options. The loop is in `signx_hf/training/loop.py`, the stage in
`signx_hf/training/stages/latent_ctc.py`.
"""

import sys

from signx_hf.training.command import main

if __name__ == "__main__":
    sys.exit(main("latent_ctc", __doc__.splitlines()[0]))
