"""How the RGB teacher of stage 3 is trained, on SignSynth small (made-up signing): WER of latents alone, of both branches, of RGB alone.

    signx-hf data synth small --out synth_small --jobs 2
    python benchmarks/accuracy/stage3_teacher.py --data synth_small [--seeds 0 1 2] [--only NAME ...]

All runs start from the same latents, cached: those of a short stage 1 from poses (seed 0). The RGB branch reads frames through the
trained frame encoder of the demo, which stands still, so that its features are cached, too. TemporalConv, BiLSTM and classifiers, which
both branches share, start from the demo's: from nothing CTC alone would take longer than a run lasts. They, the latent branch and the
projection of frames are trained. Every run takes the same steps, and its last (averaged) weights are measured: nothing is chosen on
dev or test. The budget is far below that of `examples/configs/signsynth`; compare the rows with each other only.
Finished runs are taken from --runs, so that the study can be stopped at any time.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any, ClassVar

sys.path.insert(0, str(Path(__file__).resolve().parent))
import runs
import torch
from accelerate.state import AcceleratorState
from torch import nn

from signx_hf import SignXForGlossRecognition
from signx_hf.assets import MODEL
from signx_hf.training.arguments import Arguments, collect
from signx_hf.training.examples import Example, pad
from signx_hf.training.feature_cache import FeatureCache, weights_fingerprint
from signx_hf.training.frames import evenly, video_inputs
from signx_hf.training.loop import TrainingRun
from signx_hf.training.stages.latent_ctc import LatentCTC

FIRST = {"num_train_epochs": 6, "eval_epochs": 3, "save_epochs": 1}
THIRD = {
    "max_clips": 320,
    "num_train_epochs": 5,
    "per_device_train_batch_size": 16,
    "eval_epochs": 0,
    "save_epochs": 0,
}
SHARED = (
    "temporal_conv",
    "lstm",
    "aux_classifier",
    "classifier",
)  # parts of the recognizer that both branches go through
WAYS = ("latents", "mixture", "rgb")
BATCH = 25  # clips that are measured at once


@dataclass(frozen=True)
class Variant:
    """How a run is trained. branch: whether there is an RGB branch; dropout: in the teacher, as before."""

    branch: bool = True
    dropout: bool = False
    weights: dict[str, float] = field(default_factory=dict)
    schedules: dict[str, list[float]] = field(default_factory=dict)


VARIANTS = {
    "no RGB branch": Variant(branch=False),
    "before: dropout in the teacher, no CTC of its own": Variant(dropout=True, weights={"teacher_ctc": 0.0}),
    "teacher without dropout": Variant(weights={"teacher_ctc": 0.0}),
    "teacher without dropout, with its own CTC": Variant(),
    "before, kd 0: no loss on latents alone": Variant(weights={"kd": 0.0, "student_ctc": 0.0}),
    "kd 0, CTC on latents alone": Variant(weights={"kd": 0.0}),
    "teacher with its own CTC, kd from 0 to 1": Variant(schedules={"kd": [0.0, 1.0]}),
}


class Cached(nn.Module):
    """In place of a frame encoder that stands still: it is given features `[B, T, C]` and returns them."""

    def encode_clips(self, features: torch.Tensor, mask: torch.Tensor, chunk: int) -> torch.Tensor:
        return features * mask.unsqueeze(-1)


class Study(LatentCTC):
    """Stage 3 whose frames are features of the demo's frame encoder, and that measures itself at the end."""

    clips: ClassVar[dict[str, list[Example]]] = {}  # by the first clip of a split: read once for all runs

    def __init__(self, arguments: Arguments, variant: Variant, dev_clips: int):
        super().__init__(arguments)
        self.variant, self.dev_clips, self.began = variant, dev_clips, 0.0

    def read(self, rows: Any) -> list[Example]:
        first = rows[0]["id"]
        if first not in self.clips:
            self.clips[first] = super().read(rows)
        return self.clips[first]

    def _read_frames(self, examples: Sequence[Example]) -> None:
        super()._read_frames([example for example in examples if "frames" not in example.arrays])

    def make_model(self) -> Any:
        model, demo = super().make_model(), SignXForGlossRecognition.from_pretrained(MODEL)
        for name in SHARED:
            getattr(model.recognizer, name).load_state_dict(getattr(demo.recognizer, name).state_dict())
        if self.variant.branch:
            model.recognizer.frame_encoder.load_state_dict(demo.model.video_encoder.frame_encoder.state_dict())
        return model

    def setup(self) -> None:
        super().setup()
        recognizer = self.model.recognizer
        if self.variant.branch:
            self._cache_features(recognizer.frame_encoder.eval())
            recognizer.frame_encoder = Cached()
        if self.variant.dropout:
            recognizer.teach = lambda frames, lengths: recognizer.encode_sequence(frames, lengths)[2].detach()

    @torch.inference_mode()
    def _cache_features(self, encoder: nn.Module) -> None:
        def compute(example: Example) -> dict[str, Any]:
            inputs = video_inputs([example], self.processor.video_processor, self.arguments.augmentation, None)
            frames, mask = (torch.from_numpy(inputs[name]) for name in ("pixel_values_videos", "frame_mask"))
            return {"frame_features": encoder.encode_clips(frames, mask, 64)[0].numpy()}

        folder = Path(str(self.arguments.model.cache_dir))
        examples = [*self.train_examples, *self.dev_examples]
        missing = [example for example in examples if "frame_features" not in example.arrays]
        FeatureCache(folder, weights_fingerprint([encoder]), "video").fill(missing, compute)

    def _with_frames(self, batch: dict[str, Any], examples: Sequence[Example], randoms: Any) -> dict[str, Any]:
        if not self.variant.branch:
            return batch
        features = [example.arrays["frame_features"] for example in examples]
        lengths = batch["frame_mask"].sum(1)
        rows = [values[evenly(len(values), int(length))] for values, length in zip(features, lengths)]
        return {**batch, "pixel_values_videos": pad(rows)}

    def before_step(self, step: int, total: int) -> None:
        super().before_step(step, total)
        if not step:
            self.began = time.process_time()

    def finish(self, model: Any) -> None:
        seconds = time.process_time() - self.began
        super().finish(model)
        found: dict[str, Any] = {"cpu_seconds": round(seconds, 1)}
        answers = self._answers(model)
        parts = {"dev": slice(None, self.dev_clips), "test": slice(self.dev_clips, None)}
        for split, part in parts.items():
            references = [example.glosses for example in self.dev_examples[part]]
            found[split] = {way: runs.score(glosses[part], references) for way, glosses in answers.items()}
        Path(self.arguments.run.output_dir, "measured.json").write_text(json.dumps(found))

    @torch.inference_mode()
    def _answers(self, model: Any) -> dict[str, list[list[str]]]:
        answers: dict[str, list[list[str]]] = {way: [] for way in (WAYS if self.variant.branch else WAYS[:1])}
        for start in range(0, len(self.dev_examples), BATCH):
            batch = self.collate(self.dev_examples[start : start + BATCH], None)
            mask = batch["frame_mask"]
            outputs = {"latents": model(latents=batch["latents"], frame_mask=mask)}
            steps, logits = outputs["latents"].feature_mask, {}
            if self.variant.branch:
                outputs["mixture"] = model(**batch)
                frames = model.recognizer.encode_frames(batch["pixel_values_videos"], mask)
                logits["rgb"] = model.recognizer.encode_sequence(frames, mask.sum(1))[2]
            logits |= {way: output.logits for way, output in outputs.items()}
            for way, values in logits.items():
                best = [hypotheses[0].ids for hypotheses in model.decode_ctc(values, steps, num_beams=5)]
                answers[way] += map(self.processor.tokenizer.decode_ctc, best)
        return answers


def first_stage(options: argparse.Namespace) -> runs.Trained:
    """Stage 1 on poses, for a share of the epochs of its recipe."""
    config = runs.read_config("signsynth/01_pose2gloss") | FIRST
    config |= {"data_dir": options.data, "seed": 0, "output_dir": str(options.runs / "stage1")}
    return runs.train("pose2gloss", config)


def measured(options: argparse.Namespace, name: str, seed: int, dev_clips: int) -> dict[str, Any]:
    """What a run of a variant measured; it is trained unless it is finished."""
    variant = VARIANTS[name]
    folder = options.runs / f"{list(VARIANTS).index(name)}-{seed}"
    note = folder / "measured.json"
    if not (note.is_file() and (folder / "result.json").is_file()):
        config = runs.read_config("signsynth/04_sentences_from_latents") | THIRD
        del config["video_entry"]
        config |= {"source": "poses", "data_dir": options.data, "seed": seed, "upstream": str(options.runs / "stage1" / "model"),
                   "dev_split": "dev+test", "cache_dir": str(options.runs / "cache"), "output_dir": str(folder),
                   "loss_weights": variant.weights, "loss_schedules": variant.schedules, "progress": False, "resume": True,
                   "plot": False}  # fmt: skip
        if variant.branch:
            demo = json.loads((MODEL / "config.json").read_text())
            config["model_config"] = {"frame_branch": demo["vision_config"]}
        arguments = collect(config, LatentCTC.defaults)
        TrainingRun(Study(arguments, variant, dev_clips), arguments).train()
        AcceleratorState._reset_state(reset_partial_state=True)
    return json.loads(note.read_text())


def summary(found: list[dict[str, Any]], words: list[int]) -> dict[str, Any]:
    """Mean WER over the seeds of each way to read a clip, its interval on test, and the CPU seconds of a run."""
    entry: dict[str, Any] = {"cpu_seconds": round(mean(run["cpu_seconds"] for run in found), 1)}
    for way in found[0]["test"]:
        seeds = [run["test"][way] for run in found]
        entry[way] = {
            "wer": round(mean(run["wer"] for run in seeds), 2), "interval_95": runs.interval(seeds, words),
            "seeds": [run["wer"] for run in seeds], "dev": [run["dev"][way]["wer"] for run in found],
            "errors_by_clip": [run["errors_by_clip"] for run in seeds],
        }  # fmt: skip
    return entry


def main() -> None:
    from signx_hf import load_dataset

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder of SignSynth small")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", choices=VARIANTS, nargs="+", default=list(VARIANTS))
    parser.add_argument("--runs", type=Path, default=runs.ROOT / "runs" / "accuracy" / "stage3_teacher")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = load_dataset("signsynth", data_dir=options.data)
    words = [len(glosses) for glosses in data["test"]["glosses"]]
    first = first_stage(options)
    record = runs.header(1) | {
        "data": "SignSynth small (made-up signing), test split", "data_hash": first.data, "training_clips": first.clips, "seeds": options.seeds,
        "budget": {"stage1": FIRST, "stage3": THIRD}, "words_by_clip": words, "result": {},
    }  # fmt: skip
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in options.only}
    for seed in options.seeds:
        for name in options.only:
            found[name].append(measured(options, name, seed, len(data["dev"])))
            print(seed, name, {way: value["wer"] for way, value in found[name][-1]["test"].items()}, flush=True)
    record["result"] = {name: summary(entries, words) for name, entries in found.items()}
    runs.save("stage3_teacher", record)


if __name__ == "__main__":
    main()
