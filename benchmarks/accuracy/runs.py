"""Train a stage, recognize with the saved model as a user would, and write down what was done.

Every record holds the command, options, seed, commit, a hash of the data, hardware and versions. Settings are chosen on held-out
training clips; the test split is read by `recognize` alone, after training.
"""

import json
import os
import random
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import RESULTS, ROOT, commit, hardware, load_average, versions, write_json  # noqa: E402

__all__ = ["DATA", "ROOT", "Trained", "interval", "header", "read_config", "recognize", "save", "score", "train"]

DATA = Path(os.environ.get("SIGNX_DATA") or ROOT.parent / "shared" / "data")
DISTRIBUTIONS = ("torch", "transformers", "datasets", "accelerate", "numpy", "jiwer")


@dataclass(frozen=True)
class Trained:
    """A finished run. folder: of the model; seconds: wall clock of set-up and training; data: hash of the clips."""

    folder: Path
    seconds: float
    data: str
    clips: int
    steps: int
    parameters: dict[str, int]


def read_config(name: str) -> dict[str, Any]:
    """The options of `examples/configs/<name>.yaml`."""
    from signx_hf.training.arguments import read_yaml

    return read_yaml(ROOT / "examples" / "configs" / f"{name}.yaml")


def train(stage: str, options: dict[str, Any]) -> Trained:
    """Trains a stage, or takes the finished run that is in output_dir with the same options."""
    from accelerate.state import AcceleratorState

    from signx_hf.training.arguments import collect
    from signx_hf.training.loop import TrainingRun
    from signx_hf.training.stages import stage_class

    folder = Path(options["output_dir"])
    note = folder / "trained.json"
    expected = json.loads(json.dumps({"stage": stage, "options": options}, default=str))
    if note.is_file() and (found := json.loads(note.read_text()))["asked"] == expected:
        return Trained(**{**found["trained"], "folder": Path(found["trained"]["folder"])})
    start = time.perf_counter()
    chosen = stage_class(stage)
    arguments = collect({"progress": False, "resume": True, **options}, chosen.defaults_for(options))
    run = TrainingRun(chosen(arguments), arguments)
    model = run.train()
    AcceleratorState._reset_state(
        reset_partial_state=True
    )  # else the next run of this process could have no other precision
    trained = Trained(
        model, round(time.perf_counter() - start, 1), run.stage.data_fingerprint, len(run.stage.train_examples),
        run.progress.step, run.stage.parameter_counts(),
    )  # fmt: skip
    write_json(note, {"asked": expected, "trained": {**vars(trained), "folder": str(model)}})
    return trained


def recognize(
    folder: Path, clips: Iterable[Any], task: str = "sign-recognition", batch_size: int = 8, **options: Any
) -> list[Any]:
    """What `pipeline(task, model=folder)` answers to each clip, in order."""
    from transformers import pipeline

    import signx_hf  # noqa: F401  registers the tasks

    recognizer = pipeline(task, model=str(folder))
    return list(recognizer(list(clips), batch_size=batch_size, **options))


def score(hypotheses: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> dict[str, Any]:
    """WER in per cent with its edits, and the edits of every clip."""
    from signx_hf.metrics import wer

    rate = wer(hypotheses, references)
    clips = [wer([h], [r]).errors for h, r in zip(hypotheses, references)]
    return {
        "wer": round(100 * rate.rate, 2), "substitutions": rate.substitutions, "insertions": rate.insertions,
        "deletions": rate.deletions, "words": rate.references, "clips": len(references), "errors_by_clip": clips,
    }  # fmt: skip


def interval(runs: Sequence[dict[str, Any]], words: Sequence[int], rounds: int = 2000) -> list[float]:
    """95 % interval of the mean WER of several seeds, in per cent: a bootstrap that draws clips, and seeds within."""
    dice = random.Random(0)
    rates = []
    for _ in range(rounds):
        seeds = [dice.choice(runs) for _ in runs]
        clips = dice.choices(range(len(words)), k=len(words))
        errors = sum(run["errors_by_clip"][clip] for run in seeds for clip in clips)
        rates.append(100 * errors / (len(seeds) * sum(words[clip] for clip in clips)))
    rates.sort()
    return [round(rates[round(0.025 * rounds)], 2), round(rates[round(0.975 * rounds) - 1], 2)]


def header(threads: int) -> dict[str, Any]:
    """What every record begins with."""
    return {
        "command": " ".join(["python", *_command()]), "commit": commit(),
        "hardware": hardware(threads), "versions": versions(*DISTRIBUTIONS), "load_at_start": load_average(),
    }  # fmt: skip


def _command() -> list[str]:
    """The script and its options, without the folders that the project and its data lie in."""
    return [_shown(str(Path(sys.argv[0]).resolve())), *map(_shown, sys.argv[1:])]


def _shown(word: str) -> str:
    path = Path(word)
    if not path.is_absolute():
        return word
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name


def save(name: str, content: dict[str, Any]) -> Path:
    """`benchmarks/results/accuracy_<name>.json`, written whole."""
    path = RESULTS / f"accuracy_{name}.json"
    write_json(path, content)
    return path


def poses_of(rows: Any, without: Sequence[str] = ()) -> list[Any]:
    """The stored poses of a dataset's rows, as the pipeline takes them, some tracks left out."""
    from dataclasses import replace

    from signx_hf.data.schema import decode_poses

    clips = []
    for row in rows:
        stored = decode_poses(row["poses"])
        clip = replace(stored, fps=stored.fps or row["fps"]).to_clip()
        for name in without:
            clip.pop(name, None)
            clip["masks"].pop(name, None)
        clips.append(clip)
    return clips
