"""SignSynth small (made-up signing) to English: unseen signers and unseen sentences, from poses and from video.

    signx-hf data synth small --out synth_small --jobs 2
    python benchmarks/accuracy/translation.py --data synth_small --path pose --seeds 0 1 2
    python benchmarks/accuracy/translation.py --data synth_small --path video
    python benchmarks/accuracy/translation.py --data synth_small --model demo-text

Stage 4 is trained on glosses, on text, and on both with one prompt each, on the features of the demo that ships, with the same number
of epochs by a decoder with fresh weights. The yardstick is a table lookup: the
text of the training sentence whose glosses are nearest to the recognized ones (nearest to the true ones: what a perfect recognizer
would get). Settings were chosen on dev. `--model` measures a model that is there, from poses and from video.
"""

import argparse
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
import runs

TARGETS = ("glosses", "text", "both")
REFINE = "10_text_and_glosses"
SOURCES = {"pose": "poses", "video": "video"}
METRICS = ("bleu_4", "chrf", "rouge_l")


def recognizer_of_demo(folder: Path) -> Path:
    """Save the demo without its decoder, so that every target starts from the same weights."""
    from signx_hf import SignXForLatentCTC, SignXProcessor
    from signx_hf.assets import MODEL

    if not (folder / "config.json").is_file():
        SignXProcessor.from_pretrained(MODEL).save_pretrained(folder)
        SignXForLatentCTC.from_pretrained(MODEL).save_pretrained(folder)
    return folder


def refine_options(target: str, options: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Options of stage 4 for one target."""
    name = f"refine_{options.path}_{target}-{seed}"
    return runs.read_config(f"signsynth/{REFINE}") | {
        "data_dir": options.data, "seed": seed, "target": target, "source": SOURCES[options.path],
        "output_dir": str(options.runs / name), "upstream": str(recognizer_of_demo(options.runs / "recognizer")), "num_train_epochs": options.epochs, "eval_epochs": 10,
    }  # fmt: skip


def scores(hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """BLEU-4, chrF and ROUGE-L of texts."""
    from signx_hf.metrics import bleu, chrf, rouge_l

    return {
        "bleu_4": bleu(hypotheses, references, tokenize="13a").score,
        "chrf": chrf(hypotheses, references).score,
        "rouge_l": rouge_l(hypotheses, references).score,
    }


def with_intervals(
    hypotheses: Sequence[Sequence[str]], references: Sequence[str], rounds: int = 500
) -> dict[str, Any]:
    """Mean of each metric over seeds, and its 95 % interval: a bootstrap that draws clips, and seeds within.

    hypotheses: of each seed, a text for each clip.
    """
    dice = random.Random(0)
    drawn: dict[str, list[float]] = {name: [] for name in METRICS}
    for _ in range(rounds):
        clips = dice.choices(range(len(references)), k=len(references))
        seed = dice.choice(hypotheses)
        for name, value in scores([seed[i] for i in clips], [references[i] for i in clips]).items():
            drawn[name].append(value)
    by_seed = [scores(texts, references) for texts in hypotheses]
    report: dict[str, Any] = {}
    for name in METRICS:
        values = sorted(drawn[name])
        report[name] = {
            "mean": round(mean(seed[name] for seed in by_seed), 1),
            "seeds": [round(seed[name], 1) for seed in by_seed],
            "interval_95": [round(values[round(0.025 * rounds)], 1), round(values[round(0.975 * rounds) - 1], 1)],
        }
    return report


def nearest_texts(glosses: Sequence[Sequence[str]], rows: Any) -> list[str]:
    """The text of the training sentence with the fewest edits between its glosses and those recognized; the first of equals."""
    from signx_hf.metrics import wer

    table = list(dict.fromkeys((tuple(g), t) for g, t in zip(rows["glosses"], rows["text"]) if t))
    return [min(table, key=lambda entry: wer([list(said)], [list(entry[0])]).errors)[1] for said in glosses]


def answers(folder: Path, target: str, clips: Sequence[Any]) -> dict[str, list[Any]]:
    """What the pipelines answer to the clips, by task."""
    found: dict[str, list[Any]] = {}
    if target != "text":
        found["glosses"] = [answer["glosses"] for answer in runs.recognize(folder, clips, threshold="none")]
    if target != "glosses":
        found["text"] = [answer["text"] for answer in runs.recognize(folder, clips, "sign-translation")]
    return found


def clips_of(rows: Any, path: str) -> list[Any]:
    """The poses or the videos of rows."""
    return runs.poses_of(rows) if path == "pose" else [video["path"] for video in rows["video"]]


def measure_model(model: str, rows: Any) -> dict[str, Any]:
    """Texts and WER of a model that has learned both, by path."""
    from signx_hf.assets import model_place

    texts, found = list(rows["text"]), {}
    for path in SOURCES:
        said = answers(Path(model_place(model)), "both", clips_of(rows, path))
        scored = runs.score(said["glosses"], rows["glosses"])
        words = [len(glosses) for glosses in rows["glosses"]]
        found[path] = {
            "text": with_intervals([said["text"]], texts), "wer": scored, "wer_interval_95": runs.interval([scored], words)
        }  # fmt: skip
        print(path, found[path]["text"], scored["wer"], found[path]["wer_interval_95"], flush=True)
    return found


def main() -> None:
    from signx_hf import load_dataset
    from signx_hf.metrics import bleu

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder of SignSynth small")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--path", choices=tuple(SOURCES))
    what.add_argument("--model", help="folder or name of a model that has learned both, instead of training")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument(
        "--split", choices=("dev", "test"), default="test", help="dev: to choose settings; writes no result"
    )
    parser.add_argument("--runs", type=Path, default=runs.ROOT / "runs" / "accuracy" / "translation")
    options = parser.parse_args()

    rows = load_dataset("signsynth", data_dir=options.data, split=options.split)
    training = load_dataset("signsynth", data_dir=options.data, split="train").select_columns(["glosses", "text"])
    if options.model:
        record = runs.header(1) | {
            "data": f"SignSynth small (made-up signing), {options.split} split", "model": Path(options.model).name,
            "signature": bleu(rows["text"], rows["text"], tokenize="13a").signature, "paths": measure_model(options.model, rows),
        }  # fmt: skip
        if options.split == "test":
            runs.save("translation_demo", record)
        return
    clips = clips_of(rows, options.path)
    found: dict[str, dict[int, dict[str, list[Any]]]] = {target: {} for target in TARGETS}
    trained = {}
    for seed in options.seeds:
        for target in TARGETS:
            run = runs.train("refine", refine_options(target, options, seed))
            trained[f"{target}-{seed}"] = {"seconds": run.seconds, "steps": run.steps, "parameters": run.parameters}
            found[target][seed] = answers(run.folder, target, clips)
            print(target, seed, {k: v[:2] for k, v in found[target][seed].items()}, flush=True)
    texts = list(rows["text"])
    recognized = [found["glosses"][seed]["glosses"] for seed in options.seeds]
    record = runs.header(1) | {
        "data": f"SignSynth small (made-up signing), {options.split} split", "path": options.path,
        "signature": bleu(texts, texts, tokenize="13a").signature,
        "stages": trained,
        "text": {target: with_intervals([found[target][seed]["text"] for seed in options.seeds], texts)
                 for target in ("text", "both")},
        "nearest_training_sentence": with_intervals([nearest_texts(said, training) for said in recognized], texts),
        "nearest_to_true_glosses": with_intervals([nearest_texts(rows["glosses"], training)], texts),
        "wer": {target: [runs.score(found[target][seed]["glosses"], rows["glosses"]) for seed in options.seeds]
                for target in ("glosses", "both")},
        "examples": [{"reference": reference, "text": said} for reference, said
                     in zip(texts[:10], found["both"][options.seeds[0]]["text"])],
    }  # fmt: skip
    words = [len(glosses) for glosses in rows["glosses"]]
    for target, scored in record["wer"].items():
        record[f"wer_{target}"] = {
            "mean": round(mean(run["wer"] for run in scored), 2), "interval_95": runs.interval(scored, words)
        }  # fmt: skip
    for key in ("text", "nearest_training_sentence", "nearest_to_true_glosses", "wer_glosses", "wer_both"):
        print(key, record[key], flush=True)
    if options.split == "test":
        runs.save(f"translation_{options.path}", record)


if __name__ == "__main__":
    main()
