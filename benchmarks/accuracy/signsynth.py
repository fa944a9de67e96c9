"""SignSynth small (made-up signing): unseen signers and unseen sentences, from poses and from video.

    signx-hf data synth small --out synth_small --jobs 2
    python benchmarks/accuracy/signsynth.py --data synth_small --path pose
    python benchmarks/accuracy/signsynth.py --data synth_small --path video

The stages are those of `examples/configs/signsynth_small_*.yaml`; settings were chosen on the dev split. The video path is the
model that ships as the demo.
"""

import argparse
import sys
from pathlib import Path
from statistics import mean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
import runs

CHAINS = {
    "pose": {"stage1": "pose2gloss", "pose_stage3": "latent_ctc", "pose_stage4": "refine"},
    "video": {"stage1": "pose2gloss", "stage2": "video2pose", "stage3": "latent_ctc", "stage4": "refine"},
}
WAYS = {
    "ctc": {"decoder": "ctc"},
    "decoder": {"decoder": "attention", "num_beams": 5, "ctc_weight": 0.0},
    "joint": {"decoder": "attention", "num_beams": 5, "ctc_weight": 0.5},
}


def train(path: str, data: str, seed: int, folder: Path) -> dict[str, runs.Trained]:
    """Every stage of a path; one that was finished with the same options is not trained again."""
    done: dict[str, runs.Trained] = {}
    upstream = None
    for name, stage in CHAINS[path].items():
        options = runs.read_config(f"signsynth_small_{name}")
        options |= {"data_dir": data, "seed": seed, "output_dir": str(folder / f"{name}-{seed}")}
        if upstream is not None:
            options["upstream"] = str(upstream)
        done[name] = runs.train(stage, options)
        upstream = done[name].folder
        print(f"{name}, seed {seed}: {done[name].seconds:.0f} s", flush=True)
    return done


def measure(folder: Path, path: str, rows: Any) -> dict[str, Any]:
    """WER of the three ways to decode."""
    clips = runs.poses_of(rows) if path == "pose" else [video["path"] for video in rows["video"]]
    return {
        way: runs.score([a["glosses"] for a in runs.recognise(folder, clips, **options)], rows["glosses"])
        for way, options in WAYS.items()
    }


def main() -> None:
    from signx_hf import load_dataset

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder of SignSynth small")
    parser.add_argument("--path", choices=CHAINS, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--split", choices=("dev", "test"), default="test", help="dev: to choose settings; writes no result"
    )
    parser.add_argument("--runs", type=Path, default=runs.ROOT / "runs" / "accuracy" / "signsynth")
    options = parser.parse_args()
    rows = load_dataset("signsynth", data_dir=options.data, split=options.split)
    training = load_dataset("signsynth", data_dir=options.data, split="train")
    record = runs.header(1) | {"data": f"SignSynth small (made-up signing), {options.split} split", "path": options.path,
                               "signers": sorted(set(rows["signer"])), "training_clips": len(training),
                               "training_signers": sorted(set(training["signer"])), "seeds": {}}  # fmt: skip
    for seed in options.seeds:
        done = train(options.path, options.data, seed, options.runs)
        last = list(done.values())[-1]
        record["seeds"][seed] = {
            "stages": {name: {"seconds": run.seconds, "steps": run.steps, "parameters": run.parameters,
                              "data_hash": run.data} for name, run in done.items()},
            "wer": measure(last.folder, options.path, rows),
        }  # fmt: skip
        print(f"seed {seed}:", {way: value["wer"] for way, value in record["seeds"][seed]["wer"].items()}, flush=True)
    words = [len(glosses) for glosses in rows["glosses"]]
    for way in WAYS:
        seeds = [seed["wer"][way] for seed in record["seeds"].values()]
        record[way] = {"wer": round(mean(run["wer"] for run in seeds), 2), "interval_95": runs.interval(seeds, words)}
    record["configs"] = {name: runs.read_config(f"signsynth_small_{name}") for name in CHAINS[options.path]}
    if options.split == "test":
        runs.save(f"signsynth_{options.path}", record)


if __name__ == "__main__":
    main()
