"""Puts a SignSynth model that has learned glosses and text into the package: `demo-text`.

    python scripts/ship_demo_text.py --run runs/signsynth/10_text_and_glosses --crowd2 synth_crowd2
    python benchmarks/accuracy/translation.py --data synth_small --model demo-text
    python scripts/ship_demo_text.py --card

Its encoder and its recognizer are those of the demo; the decoder is its own.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks" / "accuracy"))
import runs
from ship_demo import ASSETS, halve, without_code

FOLDER = ASSETS.parent / "demo-text" / "model"
RECORD = "accuracy_translation_demo.json"
PATHS = {"video": "video", "pose": "poses"}

CARD = """---
library_name: transformers
pipeline_tag: translation
tags: [sign-language, sign-language-translation, sign-recognition, signx]
language: [en]
license: apache-2.0
---

# SignSynth demo that translates

Translates sentences of **SignSynth**, an invented sign language of 100 signs performed by rendered figures, to English, and writes their
glosses. It knows no sign language of any people. It comes with signx_hf so that the chain from video to text can be tried without training.

```python
from transformers import pipeline
import signx_hf
from signx_hf.assets import demo_clips, model_place

print(pipeline("sign-translation", model=model_place("demo-text"))(str(demo_clips()[0].video))["text"])
```

## How it was made

The encoder and the recognizer of `demo` (its card says how they were made) with a decoder that was trained on sentences of 600 made-up people, on
glosses and on English text in turns: {millions:.1f} million weights, {megabytes:.1f} MB (matrices are stored as float16 and computed as float32), seed
{seed}. The number of epochs was chosen on dev.

```text
signx-hf data synth crowd2 --out synth_crowd2 --limit 640
signx-hf train refine --config examples/configs/signsynth/10_text_and_glosses.yaml
```

## What it reaches

{clips} test sentences of signers and sentences that are not in training; made-up signing, so these numbers say nothing about a real sign
language. Brackets: 95 % intervals, a bootstrap over clips.

| input | BLEU-4 | chrF | ROUGE-L | WER of glosses, % |
| --- | --- | --- | --- | --- |
{table}

`{signature}`. The glosses of `demo`, which has learned nothing else and from more sentences, are better: {demo:.1f} % from video.
Measured by `{command}`, commit {commit}, {cpu}.

## Licence

Weights Apache-2.0. The clips it was trained on are SignSynth, CC0: nobody is shown.
"""


def write_model(run: Path, crowd2: Path) -> None:
    """Weights, config, processor; `recipe.json` says what the decoder was trained on, beside what the demo was."""
    from signx_hf import load_dataset

    shutil.rmtree(FOLDER, ignore_errors=True)
    shutil.copytree(run / "model", FOLDER, ignore=shutil.ignore_patterns("*.py", "README.md"))
    for path in FOLDER.glob("*.json"):  # the package itself has the code
        path.write_text(json.dumps(without_code(json.loads(path.read_text())), indent=2) + "\n")
    config = json.loads((FOLDER / "config.json").read_text())
    config["dtype"] = "float32"  # what the weights are computed with, whatever they are stored as
    (FOLDER / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    halve(FOLDER / "model.safetensors")
    rows = load_dataset("signsynth", data_dir=str(crowd2), split="train").select_columns(["signer", "text"])
    recipe = {"seed": 0, "commit": runs.commit(), "training_signers": sorted(set(rows["signer"])),
              "training_texts": sorted(set(rows["text"]))}  # fmt: skip
    (FOLDER / "recipe.json").write_text(json.dumps(recipe, indent=1) + "\n")


def table(record: dict) -> list[str]:
    """A row for each input."""
    lines = []
    for path, name in PATHS.items():
        entry = record["paths"][path]
        cells = [
            f"{entry['text'][metric]['mean']:.1f} ({' to '.join(f'{end:.1f}' for end in entry['text'][metric]['interval_95'])})"
            for metric in ("bleu_4", "chrf", "rouge_l")
        ]
        ends = " to ".join(f"{end:.1f}" for end in entry["wer_interval_95"])
        lines.append(f"| {name} | {' | '.join(cells)} | {entry['wer']['wer']:.1f} ({ends}) |")
    return lines


def write_card() -> None:
    """The card, from the record."""
    import math

    from safetensors import safe_open

    record = json.loads((runs.RESULTS / RECORD).read_text())
    demo = json.loads((runs.RESULTS / "accuracy_signsynth_crowd.json").read_text())
    path = FOLDER / "model.safetensors"
    with safe_open(path, "np") as weights:
        numbers = sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118  it is no mapping
    (FOLDER / "README.md").write_text(CARD.format(
        millions=numbers / 1e6, megabytes=path.stat().st_size / 1e6, table="\n".join(table(record)), signature=record["signature"],
        seed=json.loads((FOLDER / "recipe.json").read_text())["seed"], clips=record["paths"]["video"]["wer"]["clips"],
        demo=demo["joint"]["wer"], command=record["command"], commit=record["commit"][:12], cpu=record["hardware"]["cpu"],
    ))  # fmt: skip


def main() -> None:
    """Write the model, or its card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, help="folder of the run")
    parser.add_argument("--crowd2", type=Path, help="folder of SignSynth crowd2 that it was trained on")
    parser.add_argument("--card", action="store_true", help="write the card only, from the record")
    options = parser.parse_args()
    if not options.card:
        write_model(options.run, options.crowd2)
    else:
        write_card()


if __name__ == "__main__":
    main()
