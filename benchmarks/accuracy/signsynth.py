"""SignSynth small (made-up signing): unseen signers and unseen sentences, from poses and from video.

    signx-hf data synth small --out synth_small --jobs 2
    python benchmarks/accuracy/signsynth.py --data synth_small --path pose
    python benchmarks/accuracy/signsynth.py --data synth_small --path video
    signx-hf data synth crowd --out synth_crowd --jobs 2
    signx-hf data synth crowd2 --out synth_crowd2 --jobs 2
    python benchmarks/accuracy/signsynth.py --data synth_small --crowd synth_crowd --crowd2 synth_crowd2 --path crowd

The stages are those of `examples/configs/signsynth/*.yaml`; settings were chosen on dev splits. `pose` and `video` are
trained on `small` alone. `crowd` goes on from stage 3 of `video` with 240 other made-up people who sign other sentences; it is the
model that ships as the demo.
"""

import argparse
import json
import sys
from pathlib import Path
from statistics import mean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
import runs

STAGES = {
    "01_pose2gloss": "pose2gloss", "03_video2pose": "video2pose", "04_sentences_from_video": "latent_ctc", "05_video_random_colors": "latent_ctc", "06_refine_from_video": "refine",
    "02_sentences_from_poses": "latent_ctc", "03_refine_from_poses": "refine", "06_video_many_signers": "latent_ctc", "07_video_many_signers_longer": "latent_ctc", "08_video_more_signers": "latent_ctc", "09_refine_more_signers": "refine",
    "04_sentences_from_latents": "latent_ctc", "05_refine_from_latents": "refine",
}  # fmt: skip
CHAINS = {
    "pose": ("01_pose2gloss", "02_sentences_from_poses", "03_refine_from_poses"),
    "video": (
        "01_pose2gloss",
        "02_sentences_from_poses",
        "03_video2pose",
        "04_sentences_from_video",
        "05_video_random_colors",
        "06_refine_from_video",
    ),
    "crowd": (
        "01_pose2gloss",
        "02_sentences_from_poses",
        "03_video2pose",
        "04_sentences_from_video",
        "05_video_random_colors",
        "06_video_many_signers",
        "07_video_many_signers_longer",
        "08_video_more_signers",
        "09_refine_more_signers",
    ),
}
WAYS = {
    "ctc": {"decoder": "ctc"},
    "decoder": {"decoder": "attention", "num_beams": 5, "ctc_weight": 0.0},
    "joint": {"decoder": "attention", "num_beams": 5, "ctc_weight": 0.5},
}


def options_of(name: str, data: dict[str, str], seed: int, folder: Path) -> dict[str, Any]:
    """Options of a stage, the stages it starts from looked for in `folder`. data: folder of each corpus, by its name in the
    configs."""
    options = runs.read_config(f"signsynth/{name}")
    options |= {"data_dir": data[options["data_dir"]], "seed": seed, "output_dir": str(folder / f"{name}-{seed}")}
    for key in {"upstream", "video_entry"} & options.keys():
        options[key] = str(folder / f"{Path(options[key]).name}-{seed}")
    return options


def train(path: str, data: dict[str, str], seed: int, folder: Path) -> dict[str, runs.Trained]:
    """Every stage of a path; one that was finished with the same options is not trained again."""
    done: dict[str, runs.Trained] = {}
    for name in CHAINS[path]:
        done[name] = runs.train(STAGES[name], options_of(name, data, seed, folder))
        print(f"{name}, seed {seed}: {done[name].seconds:.0f} s", flush=True)
    return done


def training_rows(data: dict[str, str]) -> list[dict[str, Any]]:
    """Signer and glosses of all sentences that are trained on, as the folders' corpora are planned."""
    from signx_hf.data.signsynth.configs import named
    from signx_hf.data.signsynth.plan import plan_corpus

    rows = []
    for folder in data.values():
        built = json.loads((Path(folder) / "config.json").read_text())
        rows += [
            {"signer": plan.signer.id, "glosses": [sign.gloss for sign in plan.signs]}
            for plan in plan_corpus(named(built["config"]["name"]), built["seed"])
            if plan.split == "train" and plan.text
        ]
    return rows


def measure(folder: Path, path: str, rows: Any) -> dict[str, Any]:
    """WER of the three ways to decode."""
    clips = runs.poses_of(rows) if path == "pose" else [video["path"] for video in rows["video"]]
    return {
        way: runs.score([a["glosses"] for a in runs.recognize(folder, clips, **options)], rows["glosses"])
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
    parser.add_argument("--note", help="what went otherwise than the commands say, for the record and the demo's card")
    parser.add_argument("--crowd", help="folder of SignSynth crowd, for --path crowd")
    parser.add_argument("--crowd2", help="folder of SignSynth crowd2, for --path crowd")
    options = parser.parse_args()
    if options.path == "crowd" and not (options.crowd and options.crowd2):
        parser.error("--path crowd needs --crowd and --crowd2, the folders of these corpora.")
    data = {"synth_small": options.data, "synth_crowd": options.crowd, "synth_crowd2": options.crowd2}
    rows = load_dataset("signsynth", data_dir=options.data, split=options.split)
    training = training_rows(data if options.path == "crowd" else {"synth_small": options.data})
    record = runs.header(1) | {"data": f"SignSynth small (made-up signing), {options.split} split", "path": options.path,
                               "signers": sorted(set(rows["signer"])), "training_clips": len(training),
                               "training_signers": sorted({row["signer"] for row in training}), "seeds": {}}  # fmt: skip
    if options.note:
        record["note"] = options.note
    for seed in options.seeds:
        done = train(options.path, data, seed, options.runs)
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
    record["configs"] = {name: runs.read_config(f"signsynth/{name}") for name in CHAINS[options.path]}
    if options.split == "test":
        runs.save(f"signsynth_{options.path}", record)


if __name__ == "__main__":
    main()
