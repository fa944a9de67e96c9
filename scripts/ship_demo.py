"""Puts a trained SignSynth model and ten test clips into the package: the demo.

    python benchmarks/accuracy/signsynth.py --data synth_small --crowd synth_crowd --crowd2 synth_crowd2 --path crowd
    python scripts/ship_demo.py --data synth_small --crowd synth_crowd --crowd2 synth_crowd2 --seed 0

Clips are the first test clips in the order of a hash of their names, no matter how well they are recognized.
"""

import argparse
import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks" / "accuracy"))
import runs
from signsynth import CHAINS, STAGES, training_rows

ASSETS = runs.ROOT / "signx_hf" / "assets" / "demo"
COUNT = 10


def choose(rows: Any) -> list[dict[str, Any]]:
    """Ten test clips by hash."""
    return sorted(rows, key=lambda row: hashlib.sha256(row["id"].encode()).hexdigest())[:COUNT]


def write_clips(rows: list[dict[str, Any]], folder: Path) -> None:
    """The videos and `clips.json`."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    table = []
    for row in rows:
        name = f"{row['id']}.mp4"
        shutil.copyfile(row["video"]["path"], folder / name)
        segments = [
            {"gloss": s["gloss"], "start": round(s["start"], 4), "end": round(s["end"], 4)} for s in row["segments"]
        ]
        table.append({"video": name, "glosses": row["glosses"], "segments": segments, "signer": row["signer"],
                      "text": row["text"]})  # fmt: skip
    (folder / "clips.json").write_text(json.dumps(table, indent=1) + "\n")


def halve(path: Path) -> None:
    """Stores matrices and kernels as float16: half the size. Vectors, variances among them, stay as they are."""
    from safetensors.torch import load_file, save_file

    weights = {
        name: value.half() if value.ndim > 1 and value.is_floating_point() else value
        for name, value in load_file(path).items()
    }
    save_file(weights, path, metadata={"format": "pt"})
    path.chmod(0o644)


def without_code(content: Any) -> Any:
    """Return the content of a JSON file without the names of code files, in whatever part of a processor they are."""
    if not isinstance(content, dict):
        return content
    return {
        name: without_code(value) for name, value in content.items() if name not in ("auto_map", "custom_pipelines")
    }


def write_model(source: Path, rows: list[dict[str, Any]], folder: Path, seed: int) -> None:
    """Weights, config, processor; `recipe.json` says what they were trained on."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.py", "README.md"))
    for path in folder.glob("*.json"):  # the package itself has the code
        path.write_text(json.dumps(without_code(json.loads(path.read_text())), indent=2) + "\n")
    config = json.loads((folder / "config.json").read_text())
    known = runs.RESULTS / "known_clips.json"  # of the checkpoint that shipped before: measure again, and ship again
    config["rejection_threshold"] = json.loads(known.read_text())["threshold_of_known"]
    config["dtype"] = "float32"  # what the weights are computed with, whatever they are stored as
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    halve(folder / "model.safetensors")
    recipe = {
        "seed": seed, "commit": runs.commit(), "training_signers": sorted({row["signer"] for row in rows}),
        "training_sentences": sorted({" ".join(row["glosses"]) for row in rows}),
    }  # fmt: skip
    (folder / "recipe.json").write_text(json.dumps(recipe, indent=1) + "\n")


def calibrate(folder: Path, rows: Any) -> Any:
    """Fits confidences and times to dev clips and saves both with the model."""
    import transformers

    from signx_hf.recognition.calibration import fit, save

    found = fit(transformers.pipeline("sign-recognition", model=str(folder)), rows, "video")
    save(folder, found)
    return found


CARD = """---
library_name: transformers
pipeline_tag: video-classification
tags: [sign-language, sign-recognition, signx]
license: apache-2.0
---

# SignSynth demo

Recognizes sentences of **SignSynth**, an invented sign language of 100 signs performed by rendered figures. It recognizes no sign
language of any people. It comes with signx_hf so that the chain from video to glosses can be tried without training.

```python
from transformers import pipeline
import signx_hf
from signx_hf.assets import MODEL, demo_clips

print(pipeline("sign-recognition", model=str(MODEL))(str(demo_clips()[0].video))["text"])
```

## How it was made

SignX-4 (arXiv 2504.16315 v4) with a thin ResNet at 112 px and 12.5 frames/s, 192-d latents: {millions:.1f} million weights,
{megabytes:.1f} MB (matrices are stored as float16 and computed as float32). Seed {seed}; training took {minutes:.0f} minutes on CPUs, other work on the machine. Measured with commit {commit} on {cores} core ({cpu}).

```text
signx-hf data synth small --out synth_small --jobs 2
signx-hf data synth crowd --out synth_crowd --jobs 2
signx-hf data synth crowd2 --out synth_crowd2 --jobs 2
{commands}
```

or `python benchmarks/accuracy/signsynth.py --data synth_small --crowd synth_crowd --crowd2 synth_crowd2 --path crowd --seeds {seed}`. {note}Versions: {versions}.

## What it reaches

{clips} test sentences of signers ({signers}) and sentences that are not in training ({training} training clips of {people} signers); made-up
signing, so these numbers say nothing about a real sign language.

| input, decoding | WER, % | 95 % interval |
| --- | --- | --- |
{table}

The interval is a bootstrap over clips. Edits: {edits}. Confidences and times were fitted to the dev split of `small`
(`signx-hf calibrate`): temperature {temperature:g}, margins {before:g} s and {after:g} s.
{known}

## Licence

Weights Apache-2.0; the clips are SignSynth, CC0: nobody is shown.
"""


KNOWN = """A clip whose `known` is below {threshold:g} is "not sure" and has no glosses: none of {test} test sentences, {other:.0f} % of sentences with other signs of
SignSynth, {real:.0f} % of {clips} real clips of other sign languages (`benchmarks/results/known_clips.json`). `threshold="none"` reads them all the same."""


def known_text() -> str:
    """What the threshold does, from its record."""
    record = json.loads((runs.RESULTS / "known_clips.json").read_text())
    shares, clips = record["not_sure"], record["clips"]
    if shares["test"]:
        raise SystemExit("the card says that no test sentence is refused, and some are: write another sentence")
    return KNOWN.format(
        threshold=record["threshold_of_known"], test=clips["test"], other=100 * shares["other_signs"], real=100 * shares["real"], clips=clips["real"]
    )  # fmt: skip


def write_card(folder: Path, seed: int, found: Any) -> None:
    """The card, from the results file."""
    results = json.loads((runs.RESULTS / "accuracy_signsynth_crowd.json").read_text())
    run = results["seeds"][str(seed)]
    table = [f"| video, {'CTC' if way == 'ctc' else way} | {results[way]['wer']:.1f} | {results[way]['interval_95'][0]:.1f} to "
             f"{results[way]['interval_95'][1]:.1f} |" for way in ("ctc", "decoder", "joint")]  # fmt: skip
    joint = run["wer"]["joint"]
    (folder / "README.md").write_text(CARD.format(
        note=f"{results['note']} " if "note" in results else "", temperature=found.temperature, before=found.margins[0], after=found.margins[1],
        millions=list(run["stages"].values())[-1]["parameters"]["all"] / 1e6,
        megabytes=(folder / "model.safetensors").stat().st_size / 1e6, seed=seed,
        minutes=sum(stage["seconds"] for stage in run["stages"].values()) / 60, cores=results["hardware"]["threads_used"],
        cpu=results["hardware"]["cpu"], commit=results["commit"],
        commands="\n".join(f"signx-hf train {stage} --config examples/configs/signsynth/{name}.yaml" for name, stage in ((name, STAGES[name]) for name in CHAINS["crowd"])),
        versions=", ".join(f"{name} {version}" for name, version in results["versions"].items()), clips=joint["clips"],
        signers=", ".join(results["signers"]), training=results["training_clips"],
        people=len(results["training_signers"]), table="\n".join(table),
        known=known_text(), edits=", ".join(f"{joint[name]} {name}" for name in ("substitutions", "insertions", "deletions")) + " (joint)",
    ))  # fmt: skip


def main() -> None:
    """Write the clips, the model, and its card."""
    from signx_hf import load_dataset

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder of SignSynth small")
    parser.add_argument("--crowd", required=True, help="folder of SignSynth crowd")
    parser.add_argument("--crowd2", required=True, help="folder of SignSynth crowd2")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=Path, default=runs.ROOT / "runs" / "accuracy" / "signsynth")
    options = parser.parse_args()
    write_clips(choose(load_dataset("signsynth", data_dir=options.data, split="test")), ASSETS / "clips")
    training = training_rows(
        {"synth_small": options.data, "synth_crowd": options.crowd, "synth_crowd2": options.crowd2}
    )
    write_model(
        options.runs / f"{CHAINS['crowd'][-1]}-{options.seed}" / "model", training, ASSETS / "model", options.seed
    )
    found = calibrate(ASSETS / "model", load_dataset("signsynth", data_dir=options.data, split="dev"))
    write_card(ASSETS / "model", options.seed, found)


if __name__ == "__main__":
    main()
