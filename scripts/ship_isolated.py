"""Puts a trained model of isolated signs into the package, so that `--model NAME` finds it.

    python scripts/ship_isolated.py dgs30 --run runs/accuracy/dgs30/all-0
    python scripts/ship_isolated.py dgs30 --card

Reads what a model card has to say from `scripts/shipped/NAME.yaml`, and its numbers from the records that are named there.
Writes to `signx_hf/assets/NAME/model`: weights (matrices as float16), config and processor without code, `recipe.json`, the card
(`README.md`), `LICENSE` of the weights, and `NOTICE` where others' work has to be named. All of it, or nothing.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks" / "accuracy"))
import runs
from ship_demo import halve

ASSETS = runs.ROOT / "signx_hf" / "assets"
TEXTS = Path(__file__).resolve().parent / "shipped"
FILES = ("config.json", "model.safetensors", "processor_config.json", "tokenizer.json", "tokenizer_config.json")
# What names code that the package itself has, or where the files lay
CODE = ("auto_map", "custom_pipelines", "_name_or_path", "name_or_path")
# Notes of training data that say who measured them: every user's clips are of another detector's version
ORIGIN = ("source", "version")


def read_texts(name: str) -> dict[str, Any]:
    """What the card of a model says, from its YAML file."""
    import yaml

    return yaml.safe_load((TEXTS / f"{name}.yaml").read_text(encoding="utf-8"))


def read_record(name: str) -> dict[str, Any]:
    """A record of `benchmarks/results`."""
    return json.loads((runs.RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def look_up(record: Any, path: str) -> Any:
    """The value at `a.b.0` of nested tables and lists."""
    for key in path.split("."):
        record = record[int(key)] if isinstance(record, list) else record[key]
    return record


def without_code(path: Path) -> dict[str, Any]:
    """A JSON file without what names code or folders, wherever it is nested."""

    def cleaned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: cleaned(item) for key, item in value.items() if key not in CODE}
        return value

    return cleaned(json.loads(path.read_text(encoding="utf-8")))


def write_settings(source: Path, folder: Path, not_sure: str | None = None) -> None:
    """Config and processor, free of code; notes on the origin of training data would warn every user of his own clips.

    not_sure: a record that says at which score the model is not sure.
    """
    config = without_code(source / "config.json")
    if not_sure is not None:
        shipped = read_record(not_sure)["shipped"]
        config |= {
            "rejection_score": shipped["score"], "rejection_threshold": shipped["threshold"], "confidence_temperature": shipped["temperature"],
        }  # fmt: skip
    config["dtype"] = "float32"  # what the weights are computed with, whatever they are stored as
    processor = without_code(source / "processor_config.json")
    extractor = processor["feature_extractor"]
    notes = extractor.get("track_notes") or {}
    extractor["track_notes"] = {
        key: text for key, text in notes.items() if key.rpartition(".")[2] not in ORIGIN
    } or None
    written = {
        "config.json": config, "processor_config.json": processor, "tokenizer_config.json": without_code(source / "tokenizer_config.json"),
    }  # fmt: skip
    for name, content in written.items():
        (folder / name).write_text(json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
    shutil.copyfile(source / "tokenizer.json", folder / "tokenizer.json")


def restricted(source: Path, folder: Path, signs: list[str]) -> Path:
    """A model that finds these signs in recordings: the rows of a classifier that are theirs, and `spotting` in the config."""
    from dataclasses import asdict

    from safetensors.torch import load_file, save_file

    from signx_hf.processing.spotting_signx import SpottingOptions

    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.py"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    rows = [config["label2id"][sign] for sign in signs]
    config |= {
        "id2label": {str(place): sign for place, sign in enumerate(signs)}, "label2id": {sign: place for place, sign in enumerate(signs)},
        "spotting": asdict(SpottingOptions()),
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config, ensure_ascii=False), encoding="utf-8")
    weights = load_file(folder / "model.safetensors")
    for name in ("classifier.weight", "classifier.bias"):
        weights[name] = weights[name][rows].contiguous()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def count_weights(path: Path) -> int:
    """How many numbers a file of weights holds."""
    from safetensors.numpy import load_file

    return sum(value.size for value in load_file(path).values())


def write_recipe(run: Path, folder: Path) -> dict[str, Any]:
    """How the weights came about: options, seed, data and commit of the run."""
    trained = json.loads((run / "trained.json").read_text(encoding="utf-8"))
    options = {
        name: value
        for name, value in trained["asked"]["options"].items()
        if name not in ("data_dir", "output_dir", "dev_split", "eval_epochs")
    }
    made = trained["trained"]
    recipe = {
        "stage": trained["asked"]["stage"], "options": options, "clips": made["clips"], "data_hash": made["data"], "steps": made["steps"],
        "parameters": count_weights(folder / "model.safetensors"), "seconds": made["seconds"], "commit": runs.commit(), "hardware": runs.hardware(1),
        "versions": runs.versions(*runs.DISTRIBUTIONS),
    }  # fmt: skip
    (folder / "recipe.json").write_text(json.dumps(recipe, indent=1, ensure_ascii=False) + "\n")
    return recipe


def check_answers(source: Path, folder: Path, clips: int = 64) -> float:
    """The share of random clips to which the stored weights give the answer of the trained ones."""
    import torch

    from signx_hf import SignXForSignClassification

    whole, stored = (SignXForSignClassification.from_pretrained(place).eval() for place in (source, folder))
    poses = torch.randn(clips, 8, whole.config.pose_config.pose_size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        return float(
            (whole(pose_values=poses).logits.argmax(1) == stored(pose_values=poses).logits.argmax(1)).float().mean()
        )


def results_table(texts: Mapping[str, Any]) -> list[str]:
    """Rows of the card's table, each number out of a record."""
    lines = ["| measured | value | 95 % interval |", "| --- | --- | --- |"]
    for row in texts["results"]:
        record = read_record(row["record"])
        value = look_up(record, row["value"])
        interval = look_up(record, row["interval"]) if "interval" in row else None
        shown = value if isinstance(value, str) else f"{value:.{row.get('digits', 1)}f}"
        interval_text = "" if interval is None else f"{interval[0]:.1f} to {interval[1]:.1f}"
        lines.append(f"| {row['text']} | {shown}{row.get('unit', ' %')} | {interval_text} |")
    return lines


def signer_table(texts: Mapping[str, Any]) -> str:
    """Rows for each signer who was tested, where `per_signer` names a record that has them."""
    if "per_signer" not in texts:
        return ""
    table = next(iter(read_record(texts["per_signer"])["seeds"].values()))["by_signer"]
    largest = max(
        (name for found in table.values() for name in found), key=lambda name: int(name.removeprefix("wlasl"))
    )
    lines = [
        "",
        "Signers of the test part, all glosses:",
        "",
        "| signer | clips | first answer right, % | among five, % |",
        "| --- | --- | --- | --- |",
    ]
    for signer, found in sorted(table.items(), key=lambda item: -item[1][largest]["clips"]):
        lines.append(
            f"| {signer} | {found[largest]['clips']} | {found[largest]['top1']:.1f} | {found[largest]['top5']:.1f} |"
        )
    return "\n".join(lines)


def sources_of(texts: Mapping[str, Any]) -> list[str]:
    """The records of the table, with what is needed to make them again."""
    lines = []
    for name in dict.fromkeys(row["record"] for row in texts["results"]):
        record = read_record(name)
        versions = ", ".join(f"{key} {value}" for key, value in record["versions"].items())
        lines.append(
            f"- `benchmarks/results/{name}.json`: `{record['command']}`, commit {record['commit'][:12]}, {record['hardware']['cpu']}, "
            f"{record['hardware']['threads_used']} core; {versions}."
        )
    return lines


def metadata(name: str, texts: Mapping[str, Any]) -> dict[str, Any]:
    """The card's YAML as a mapping, with `model-index`."""
    from huggingface_hub import EvalResult, ModelCardData

    found = [
        EvalResult(
            task_type="video-classification", task_name="Isolated sign recognition", dataset_type=row["dataset"], dataset_name=row["dataset"],
            metric_type=row.get("metric", "accuracy"), metric_name=row["text"], metric_value=look_up(read_record(row["record"]), row["value"]),
        )
        for row in texts["results"] if "dataset" in row
    ]  # fmt: skip
    data = ModelCardData(
        language=texts["language"], license=texts["license"], license_name=texts.get("license_name"),
        license_link=texts.get("license_link"), library_name="transformers", pipeline_tag="video-classification",
        tags=["sign-language", "sign-language-recognition", "signx"], model_name=texts["title"], eval_results=found,
    )  # fmt: skip
    return data.to_dict()


PYTHON = """from transformers import pipeline

import signx_hf

recognizer = pipeline("isolated-sign-recognition", model=signx_hf.model_place("{name}"))
for candidate in recognizer("clip.mp4", top_k=5):
    print(candidate["label"], candidate["score"])"""
CARD = """---
{head}
---

# {title}

{what}

```bash
signx-hf recognize clip.mp4 --model {name}
signx-hf live --camera 0 --model {name}
```

```python
{python}
```

{use}

{parameters:,} weights, {megabytes:.1f} MB (matrices are stored as float16 and computed as float32).

## Signs

{signs}

{gloss_limits}

## What it reaches

{table}

{results_note}

{sources}

## How it was made

{made} `examples/configs/{config}.yaml`, seed {seed}, {clips} clips, {steps} steps, {minutes:.0f} minutes on one core with other work on the
machine; `recipe.json` has options, a hash of the data, commit and versions.

```text
{command}
```

## Training data

{data}

## Limits

{limits}
- {not_for}

## Licence

{licence}

## Citation

{citation}
"""


def write_card(name: str, texts: Mapping[str, Any], recipe: Mapping[str, Any], folder: Path) -> None:
    """The card, from its texts, the records and the files that are there."""
    from huggingface_hub import ModelCard
    from huggingface_hub.utils import yaml_dump

    from signx_hf.hub.card import GLOSS_LIMITS, NOT_FOR

    labels = json.loads((folder / "config.json").read_text(encoding="utf-8"))["id2label"]
    signs = [labels[key] for key in sorted(labels, key=int)]
    text = CARD.format(
        head=yaml_dump(metadata(name, texts), sort_keys=False).strip(), title=texts["title"], name=name, python=texts.get("python", PYTHON).strip().format(name=name),
        what=texts["what"].strip(), use=texts["use"].strip(), parameters=recipe["parameters"],
        megabytes=(folder / "model.safetensors").stat().st_size / 1e6,
        signs=", ".join(f"`{sign}`" for sign in signs) if len(signs) <= 100 else f"{len(signs)} glosses, in `config.json` (`id2label`).",
        gloss_limits=GLOSS_LIMITS, table="\n".join(results_table(texts)), results_note=texts.get("results_note", "").strip() + "\n" + signer_table(texts),
        sources="\n".join(sources_of(texts)), made=texts["made"].strip(), config=texts["config"], seed=recipe["options"]["seed"],
        clips=recipe["clips"], steps=recipe["steps"], minutes=recipe["seconds"] / 60, command=texts["command"].strip(),
        data="\n".join(f"- {one.strip()}" for one in texts["data"]), limits="\n".join(f"- {one.strip()}" for one in texts["limits"]),
        not_for=NOT_FOR, licence=texts["licence"].strip(), citation=texts["citation"].strip(),
    )  # fmt: skip
    card = ModelCard(text)
    if card.data.license != texts["license"] or not card.data.eval_results:
        raise SystemExit(f"{name}: the card's metadata do not say what {TEXTS.name}/{name}.yaml says")
    (folder / "README.md").write_text(text, encoding="utf-8")


def ship(name: str, run: Path, target: Path) -> None:
    """Make the folder of a model and put it in its place."""
    texts, source = read_texts(name), run / "model"
    with tempfile.TemporaryDirectory(dir=target.parent.parent) as place:
        folder = Path(place) / "model"
        if "first_glosses" in texts:
            from wlasl import glosses_in_order

            source = restricted(source, Path(place) / "restricted", glosses_in_order()[: texts["first_glosses"]])
        folder.mkdir()
        write_settings(source, folder, texts.get("not_sure"))
        shutil.copyfile(source / "model.safetensors", folder / "model.safetensors")
        halve(folder / "model.safetensors")
        same = check_answers(source, folder)
        if same < texts.get("same_answers", 0.95):
            raise SystemExit(
                f"{name}: weights in float16 answer {100 * same:.0f} % of random clips as before, expected 95 %"
            )
        recipe = write_recipe(run, folder)
        shutil.copyfile(TEXTS / texts["license_file"], folder / "LICENSE")
        if "notice" in texts:
            (folder / "NOTICE").write_text(texts["notice"].strip() + "\n", encoding="utf-8")
        write_card(name, texts, recipe, folder)
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(folder, target)
    target.chmod(0o755)
    size = sum(path.stat().st_size for path in target.rglob("*"))
    print(
        f"{target.relative_to(runs.ROOT)}: {size / 1e6:.2f} MB; {100 * same:.0f} % of random clips answered as in float32"
    )


def main() -> None:
    """Write the folder of a model, or only its card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", help="of the model, and of its texts in scripts/shipped")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--run", type=Path, help="folder of the finished run")
    what.add_argument("--card", action="store_true", help="write only the card, beside the weights that are there")
    options = parser.parse_args()
    if options.card:
        folder = ASSETS / options.name / "model"
        recipe = json.loads((folder / "recipe.json").read_text(encoding="utf-8"))
        return write_card(options.name, read_texts(options.name), recipe, folder)
    ship(options.name, options.run, ASSETS / options.name / "model")


if __name__ == "__main__":
    main()
