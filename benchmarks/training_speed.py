"""Time a training step of stages 1 to 4, and the share of it spent waiting for the data loader.

    python benchmarks/training_speed.py

The real loop over real batches, with augmentation as in examples/configs, on clips of random numbers: latents and features as a
cache holds them, poses of the paper's width (1959), frames of 112 px as a frame store holds them. Neither measurements on dev nor
checkpoints are in the times. Others may compute on the same machine, so CPU time of the process stands beside time on the wall.
Prints a line a case and writes results/training_speed.json beside this file.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # read when numpy loads its BLAS, so before the imports below
os.environ.update(HF_HUB_OFFLINE="1", TQDM_DISABLE="1", TOKENIZERS_PARALLELISM="false")

import argparse
import gc
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import common
import numpy as np
import torch

from signx_hf import (
    SignXConfig,
    SignXForGlossRecognition,
    SignXForLatentCTC,
    SignXForPose2Gloss,
    SignXForVideo2Pose,
    SignXProcessor,
    SignXTokenizer,
)
from signx_hf.training import loop
from signx_hf.training.arguments import collect
from signx_hf.training.augmentation import PoseAugmentation
from signx_hf.training.batching import load_batches
from signx_hf.training.examples import Example
from signx_hf.training.stages import stage_class

SEED = 0
GLOSSES = [f"GLOSS-{n}" for n in range(500)]
MODELS = {"pose2gloss": SignXForPose2Gloss, "video2pose": SignXForVideo2Pose, "latent_ctc": SignXForLatentCTC,
          "refine": SignXForGlossRecognition}  # fmt: skip
POSES = {"speed": 0.2, "scale": 0.1, "rotation": 5, "shift": 0.1, "jitter": 0.02}
AUGMENTATION = {
    "pose2gloss": POSES,
    "video2pose": {"brightness": 0.2, "crop": 0.05},
    "latent_ctc": {"speed": 0.2},
    "refine": {},
}


@dataclass(frozen=True)
class Case:
    """stage, preset (`base`: the paper's sizes), clips a step, frames a clip; steps: measured, after `warm` that are not."""

    stage: str
    preset: str
    batch: int
    frames: int
    steps: int
    warm: int = 2
    workers: tuple[int, ...] = (0, 1, 2)

    @property
    def name(self) -> str:
        return f"{self.stage} {self.preset} B={self.batch} T={self.frames}"


CASES = (
    Case("latent_ctc", "base", 8, 128, 5),
    Case("refine", "base", 8, 128, 8),
    Case("pose2gloss", "base", 32, 64, 2, 1, (0,)),
    Case("pose2gloss", "small", 32, 64, 4, 1),
    Case("pose2gloss", "tiny", 32, 64, 8),
    Case("latent_ctc", "tiny", 8, 128, 30),
    Case("refine", "tiny", 8, 128, 30),
    Case("video2pose", "tiny", 8, 32, 5, 1),
)
STEPS_AN_EPOCH = 20


@dataclass
class Times:
    """Seconds on the wall and of the process' CPU, a step each."""

    step: list[float] = field(default_factory=list)
    step_cpu: list[float] = field(default_factory=list)
    wait: list[float] = field(default_factory=list)
    wait_cpu: list[float] = field(default_factory=list)
    began: list[float] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)


class TimedLoop(loop.TrainingLoop):
    """The loop, with a clock about the step."""

    times: ClassVar[Times]

    def _step(self, batches: list) -> dict[str, float]:
        masks = [batch.get("frame_mask", batch.get("feature_mask")) for _, batch in batches]
        self.times.frames.append(sum(int(mask.sum()) for mask in masks))
        wall, cpu = time.perf_counter(), time.process_time()
        metrics = super()._step(batches)
        self.times.step.append(time.perf_counter() - wall)
        self.times.step_cpu.append(time.process_time() - cpu)
        return metrics


def timed(batches: Any, times: Times) -> Any:
    """The same batches; how long each took to come."""
    while True:
        wall, cpu = time.perf_counter(), time.process_time()
        batch = next(batches)
        times.began.append(wall)
        times.wait.append(time.perf_counter() - wall)
        times.wait_cpu.append(time.process_time() - cpu)
        yield batch


def make_examples(case: Case, config: SignXConfig, folder: Path) -> list[Example]:
    """Clips of random numbers, as the stage has them once it is set up. Lengths differ by a fifth, so batches are padded."""
    random = np.random.default_rng(SEED)
    made = []
    width = {"latent_ctc": config.pose_config.latent_size, "refine": config.recognizer_config.feature_size}
    for n in range(STEPS_AN_EPOCH * case.batch):
        frames = int(case.frames * random.uniform(0.9, 1.1)) if case.stage != "video2pose" else 3 * case.frames
        example = Example(str(n), frames, [GLOSSES[i] for i in random.integers(0, len(GLOSSES), 8)], fps=25.0)
        if case.stage == "pose2gloss":
            example.pose_values = random.standard_normal((frames, 1959), dtype=np.float32)
            example.pose_mask = np.ones((frames, len(config.pose_config.track_dims)), dtype=bool)
        elif case.stage == "video2pose":
            size = config.image_size
            np.save(folder / f"{n}.npy", random.integers(0, 255, (frames, size, size, 3), dtype=np.uint8))
            example.arrays["frames"] = np.load(folder / f"{n}.npy", mmap_mode="r")
            example.arrays["latents"] = random.standard_normal(
                (frames, config.pose_config.latent_size), dtype=np.float32
            )
        else:
            name = "latents" if case.stage == "latent_ctc" else "features"
            rows = frames if name == "latents" else -(-frames // config.recognizer_config.stride)
            example.arrays[name] = random.standard_normal((rows, width[case.stage]), dtype=np.float32)
        made.append(example)
    return made


def make_stage(case: Case, folder: Path, workers: int, made: dict[str, Any]) -> Any:
    """The real stage, but its model is untrained and its clips are random; `made` keeps both for the next run."""

    class Random(stage_class(case.stage)):
        def setup(self) -> None:
            if not made:
                tokenizer = SignXTokenizer.train_from_iterator([" ".join(GLOSSES)], vocab_size=1024)
                text = {"vocab_size": len(tokenizer), "gloss_pieces": tokenizer.gloss_piece_ids()}
                preset = SignXConfig if case.preset == "base" else getattr(SignXConfig, case.preset)
                config = preset(ctc_vocab_size=tokenizer.ctc_vocab_size, text_config=text)
                made["processor"] = SignXProcessor.from_config(config, tokenizer)
                made["model"] = MODELS[case.stage](config)
                made["examples"] = make_examples(case, config, folder)
            self.model, self.processor, self.train_examples = made["model"], made["processor"], made["examples"]
            self.augment = PoseAugmentation(self.arguments.augmentation, self.model.config.pose_config.track_dims)
            if case.stage == "video2pose":
                self.model.freeze_pose_path()
            elif case.stage != "pose2gloss":
                self.model.freeze_latent_path()
                self.model.recognizer.requires_grad_(self.start != "features")

    given = {
        "dataset": "random", "output_dir": str(folder / f"run-{time.monotonic_ns()}"), "max_steps": case.warm + case.steps,
        "per_device_train_batch_size": case.batch, "gradient_accumulation_steps": 1, "eval_epochs": 0, "save_epochs": 0,
        "num_workers": workers, "progress": False, "window": 32, "cpu": True, **AUGMENTATION[case.stage],
    }  # fmt: skip
    start = {"latent_ctc": "latents", "refine": "features"}.get(case.stage)
    arguments = collect(given | ({"start": start} if start else {}), stage_class(case.stage).defaults)
    return Random(arguments), arguments


def measure(case: Case, folder: Path, workers: int, made: dict[str, Any]) -> dict[str, Any]:
    """One run of the loop: medians of a step, and the loader's share."""
    load = common.load_average()
    stage, arguments = make_stage(case, folder, workers, made)
    times = TimedLoop.times = Times()
    run = loop.TrainingRun(stage, arguments)
    with (
        mock.patch.object(loop, "TrainingLoop", TimedLoop),
        mock.patch.object(loop, "load_batches", lambda *given: timed(load_batches(*given), times)),
        mock.patch.object(loop.RunSaver, "write_model"),  # the model is not kept
    ):
        run.train()
    ended = times.began[case.warm + case.steps - 1] + times.wait[case.warm + case.steps - 1] + times.step[-1]
    measured = slice(case.warm, case.warm + case.steps)
    wall = ended - times.began[case.warm]
    step, step_cpu = statistics.median(times.step[measured]), statistics.median(times.step_cpu[measured])
    wait, wait_cpu = sum(times.wait[measured]), sum(times.wait_cpu[measured])
    counts = run.stage.parameter_counts()
    return {
        "case": case.name, "workers": workers, "threads": torch.get_num_threads(), "parameters_trained": counts["trained"],
        "steps": case.steps, "step_ms": round(step * 1e3, 1), "step_cpu_ms": round(step_cpu * 1e3, 1),
        "steps_per_second": round(case.steps / wall, 3), "frames_per_second": round(sum(times.frames[measured]) / wall),
        "loader_ms": round(wait / case.steps * 1e3, 2), "loader_cpu_ms": round(wait_cpu / case.steps * 1e3, 2),
        "loader_share": round(wait / wall, 4), "loader_cpu_share": round(wait_cpu / (wait_cpu + sum(times.step_cpu[measured])), 4),
        "load_average": load,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="cases whose name holds this; writes no result")
    parser.add_argument("--threads", type=int, default=1, help="of torch; other than 1 writes no result")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = []
    for case in CASES:
        if options.only not in case.name:
            continue
        made: dict[str, Any] = {}
        with tempfile.TemporaryDirectory() as folder:
            for workers in case.workers:
                rows.append(measure(case, Path(folder), workers, made))
                row = rows[-1]
                print(f"{row['case']:34} workers {workers}  step {row['step_ms']:8.1f} ms (CPU {row['step_cpu_ms']:8.1f})  "
                      f"{row['frames_per_second']:6} frames/s  loader {row['loader_ms']:7.2f} ms = {row['loader_share']:.1%} "
                      f"(of CPU {row['loader_cpu_share']:.1%})  load {row['load_average']}", flush=True)  # fmt: skip
        made.clear()
        gc.collect()
    if not options.only and options.threads == 1:
        content = {
            "hardware": common.hardware(options.threads), "commit": common.commit(),
            "versions": common.versions("torch", "transformers", "accelerate", "numpy"), "seed": SEED,
            "augmentation": AUGMENTATION, "results": rows,
        }  # fmt: skip
        common.write_json(common.RESULTS / "training_speed.json", content)


if __name__ == "__main__":
    main()
