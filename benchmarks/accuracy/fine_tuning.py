"""Fine-tuning of the demo to ten signs that it never saw (SignSynth, made-up signing), and what it forgets.

    signx-hf data synth small --out synth_small --jobs 2
    python benchmarks/accuracy/fine_tuning.py --data synth_small --new synth_new --jobs 2

The new signs are the next ten words of the lexicon, in sentences with known signs, performed by people whom the demo never saw: 20
training clips for each, and other people in other sentences in dev and test. Sentences of `small` that the demo was trained on are in the
training set, too (`--rehearsal`), so that it does not forget; its test sentences are those of the demo's card. `--scratch` trains a model
of the same size on the same clips without upstream. Settings were chosen on dev.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
import runs

OLD, NEW = 100, 10  # glosses of SignSynth small, and the next ones of the lexicon
OTHERS = 265  # people of small, crowd and crowd2, whom the demo may have seen
PEOPLE = {"train": 10, "dev": 2, "test": 3}
CLIPS = {"train": 20, "dev": 3, "test": 5}  # of each new gloss, each another sentence
# settings of the runs, chosen on dev
TUNED: dict[str, Any] = {
    "upstream": "demo", "extend_vocabulary": True, "start": "latents", "num_train_epochs": 20, "learning_rate": 1e-4,
    "eval_epochs": 10, "save_epochs": 10,
}  # fmt: skip
SCRATCH: dict[str, Any] = {
    "start": "inputs", "num_train_epochs": 60, "learning_rate": 1e-3, "brightness": 0.4, "color": 0.4, "crop": 0.1, "eval_epochs": 10, "save_epochs": 10,
}  # fmt: skip
# the demo's sizes; what it has learned is not taken
SIZES = (
    "fps",
    "image_size",
    "pose_config",
    "vision_config",
    "temporal_config",
    "recognizer_config",
    "text_config",
    "track_names",
)


def new_signs() -> list[str]:
    """The glosses that the demo lacks."""
    from signx_hf.data.signsynth.lexicon import lexicon
    from signx_hf.data.signsynth.plan import LANGUAGE_SEED

    return list(lexicon(OLD + NEW, LANGUAGE_SEED))[OLD:]


def plan(seed: int = 0) -> list:
    """Clips with one new gloss each, by people and in sentences that are in no other split."""
    from signx_hf.data.signsynth.grammar import sentences
    from signx_hf.data.signsynth.lexicon import lexicon
    from signx_hf.data.signsynth.plan import LANGUAGE_SEED, ClipPlan
    from signx_hf.data.signsynth.signers import signers

    words, generator = lexicon(OLD + NEW, LANGUAGE_SEED), np.random.default_rng([seed, 19])
    new, pool = new_signs(), sorted(sentences(words, 12000, generator), key=lambda s: len(s.glosses))
    people, plans, first, left = signers(OTHERS + sum(PEOPLE.values()), seed)[OTHERS:], [], 0, {}
    for gloss in new:  # the shortest sentences, in a random order
        shortest = [s for s in pool if [g for g in s.glosses if g in new] == [gloss]][: sum(CLIPS.values())]
        left[gloss] = [shortest[index] for index in generator.permutation(len(shortest))]
    for split, count in CLIPS.items():
        here, first = people[first : first + PEOPLE[split]], first + PEOPLE[split]
        for number, gloss in enumerate(new):
            for take in range(count):
                sentence, signer = left[gloss].pop(), here[(number + take) % len(here)]
                name = f"{split}-n{number}{take:02d}-{signer.id}"
                signs = tuple(words.signs_of(sentence.glosses))
                plans.append(ClipPlan(name, "continuous", split, signer, signs, sentence.text, sentence.head))
    return plans


def build(out: Path, jobs: int) -> None:
    """The corpus of `plan` in a folder, as `signx-hf data synth` writes one; finished clips are kept."""
    from signx_hf.data.signsynth.build import Job, _alone, _complete
    from signx_hf.data.signsynth.configs import named

    with _alone(out):
        runs.write_json(out / "config.json", {"signsynth": "1", "format": 1, "seed": 0, "plan": Path(__file__).name})
        _complete(Job(named("small"), 0, str(out)), plan(), jobs, progress=True)


def videos(folder: str | Path, split: str, count: int | None = None) -> Any:
    """The sentences of a split, without their poses: the first `count`, of each sentence one signer, where it is given."""
    from signx_hf import load_dataset

    rows = load_dataset("signsynth", data_dir=str(folder), split=split)
    if count is not None:
        first = {" ".join(glosses): index for index, glosses in reversed(list(enumerate(rows["glosses"])))}
        rows = rows.select(sorted(first.values())[:count])
    return rows.map(lambda row: {"poses": None}, features=rows.features, load_from_cache_file=False)


def mix(options: argparse.Namespace) -> Path:
    """What is trained on, saved: new clips and old ones, and dev of both."""
    from datasets import DatasetDict, concatenate_datasets

    out = options.runs / f"clips-{options.rehearsal}"
    if not out.is_dir():
        parts = {
            "train": [videos(options.new, "train"), videos(options.data, "train", options.rehearsal)],
            "dev": [videos(options.new, "dev"), videos(options.data, "dev")],
        }
        DatasetDict({split: concatenate_datasets(rows) for split, rows in parts.items()}).save_to_disk(str(out))
    return out


def settings(options: argparse.Namespace, scratch: bool) -> dict[str, Any]:
    """Options of the run."""
    common = {
        "dataset": str(mix(options)), "dev_split": "dev", "source": "video", "per_device_train_batch_size": 16, "seed": options.seed,
        "num_beams": 5, "decode_ctc_weight": 0.5, "num_workers": 0,
    }  # fmt: skip
    name = f"{'scratch' if scratch else 'tuned'}-{options.rehearsal}-{options.seed}"
    if not scratch:
        return common | TUNED | {"output_dir": str(options.runs / name)}
    from signx_hf.assets import MODEL
    from signx_hf.modeling.configuration_signx import SignXConfig

    demo = SignXConfig.from_pretrained(MODEL).to_diff_dict()
    sizes = {key: demo[key] for key in SIZES if key in demo}
    for key in ("vocab_size", "gloss_pieces"):
        sizes["text_config"].pop(key, None)
    return common | SCRATCH | {"model_config": sizes, "output_dir": str(options.runs / name)}


def measure(model: str | Path, tests: dict[str, Any], new: set[str]) -> dict[str, Any]:
    """WER of joint decoding, as the pipeline does it, on old and new sentences, and how many of the new signs are found."""
    measured = {}
    for name, rows in tests.items():
        clips = [video["path"] for video in rows["video"]]
        said = [answer["glosses"] for answer in runs.recognize(model, clips, threshold="none")]
        measured[name] = runs.score(said, rows["glosses"])
        if name == "new":
            pairs = [(gloss in heard) for heard, true in zip(said, rows["glosses"]) for gloss in true if gloss in new]
            measured[name]["new_signs_found"] = [sum(pairs), len(pairs)]
        words = [len(glosses) for glosses in rows["glosses"]]
        measured[name]["interval_95"] = runs.interval([measured[name]], words)
    return measured


def main() -> None:
    from signx_hf.assets import MODEL

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder of SignSynth small")
    parser.add_argument(
        "--new", type=Path, required=True, help="folder of the clips with new signs; built where they are missing"
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes that build it")
    parser.add_argument("--rehearsal", type=int, default=800, help="old training sentences beside the new ones")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--split", choices=("dev", "test"), default="test", help="dev: to choose settings; writes no result"
    )
    parser.add_argument("--scratch", action="store_true", help="train a model without upstream, too")
    parser.add_argument("--runs", type=Path, default=runs.ROOT / "runs" / "accuracy" / "fine_tuning")
    options = parser.parse_args()
    build(options.new, options.jobs)
    record = runs.header(1) | {"data": f"SignSynth (made-up signing), {options.split} split", "seed": options.seed,
                               "rehearsal": options.rehearsal, "clips_of_each_new_sign": CLIPS["train"]}  # fmt: skip
    tests = {"old": videos(options.data, options.split), "new": videos(options.new, options.split)}
    names = new_signs()
    record |= {
        "new_glosses": names,
        "test_signers": {name: sorted(set(rows["signer"])) for name, rows in tests.items()},
    }
    start = time.perf_counter()
    record["before"] = measure(MODEL, tests, set(names))
    record["seconds_to_recognize"] = round(time.perf_counter() - start, 1)
    for name in ("tuned", *(["scratch"] if options.scratch else [])):
        chosen = settings(options, name == "scratch")
        done = runs.train("refine", chosen)
        record[name] = {"seconds": done.seconds, "steps": done.steps, "clips": done.clips, "data_hash": done.data,
                        "parameters": done.parameters, "wer": measure(done.folder, tests, set(names))}  # fmt: skip
        record[name]["options"] = TUNED if name == "tuned" else SCRATCH
        print(name, {kind: value["wer"] for kind, value in record[name]["wer"].items()}, flush=True)
    print("before", {kind: value["wer"] for kind, value in record["before"].items()}, flush=True)
    if options.split == "test":
        runs.save("fine_tuning", record)


if __name__ == "__main__":
    main()
