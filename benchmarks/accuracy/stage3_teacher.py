"""How the RGB teacher of stage 3 is trained, on SignSynth small (made-up signing): WER of latents alone, of both branches, of RGB alone.

    signx-hf data synth small --out synth_small --jobs 2
    python benchmarks/accuracy/stage3_teacher.py --data synth_small [--seeds 0 1 2] [--only NAME ...]

All runs start from the same latents, cached: those of a short stage 1 (seed 0). The RGB branch reads frames through the trained
frame encoder of the demo, which stands still, so that its features are cached, too; only its projection is trained. Every run
takes the same steps, and its last weights are measured: nothing is chosen on dev or test. The budget is far below that of
`examples/configs/signsynth`, which is why errors are higher than in `accuracy_signsynth_pose.json`.
Finished runs are taken from --runs, so that the study can be stopped at any time.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
import runs

FIRST = {"num_train_epochs": 6, "eval_epochs": 3, "save_epochs": 1}


def first_stage(options: argparse.Namespace) -> Path:
    """Stage 1 on poses, for a share of the epochs of its recipe; the run's folder."""
    config = runs.read_config("signsynth/01_pose2gloss") | FIRST
    config |= {"data_dir": options.data, "seed": 0, "output_dir": str(options.runs / "stage1")}
    return runs.train("pose2gloss", config).folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder of SignSynth small")
    parser.add_argument("--runs", type=Path, default=runs.ROOT / "runs" / "accuracy" / "stage3_teacher")
    options = parser.parse_args()
    print(first_stage(options), json.dumps(FIRST))


if __name__ == "__main__":
    main()
