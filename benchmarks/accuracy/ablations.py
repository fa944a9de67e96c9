"""The ablations of SignX-4 (figure 4, tables 8 and 9) on SignSynth small (made-up signing), three seeds each.

    signx-hf data synth small --out synth_small --jobs 2
    python benchmarks/accuracy/ablations.py --data synth_small [--only pipeline rgb tracks speed]

The space of latents (stages 1 and 2) and the pose path that `tracks` starts from (or another model: --base) are trained once, with
seed 0; the seeds are those of what a part trains itself, and its intervals speak of that.
Parts that are finished are taken from the results file, so that the study can be stopped at any time.

pipeline: from video, latents standing still as in the paper: codebook decoder on them (latent), CTC of stage 3 (latent + SLR),
    joint decoding of stage 4 (refined).
rgb: the same network from pixels to CTC, never shown a pose (SLR only); it sees as many frames as stage 2.
tracks: each of the five tracks hidden, and the pose path tuned without it for a few epochs (table 9).
speed: frames a second from cached latents and from pixels, with the same model and the same glosses (table 8).
"""

import argparse
import json
import sys
import time
from pathlib import Path
from statistics import mean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
import runs
from signsynth import STAGES, WAYS, options_of

TRACKS = ("smplerx", "dwpose", "mediapipe", "primedepth", "sapiens")
RGB = "RGB only"
TUNING = {"num_train_epochs": 2, "learning_rate": 3e-4, "eval_epochs": 0, "save_epochs": 2}


def chain(options: argparse.Namespace, *names: str, seed: int = 0) -> Path:
    """Trains stages of seed 0, and the last of them with a seed of its own; the run's folder."""
    for name in names:
        own = seed if name == names[-1] else 0
        config = options_of(name, {"synth_small": options.data}, 0, options.runs)
        config |= {"seed": own, "output_dir": str(options.runs / f"{name}-{own}")}
        runs.train(STAGES[name], config)
        print(f"{name}, seed {own}", flush=True)
    return options.runs / f"{names[-1]}-{seed}"


def pipeline(options: argparse.Namespace, data: Any) -> dict[str, Any]:
    """Figure 4: what each stage adds on the way from video."""
    clips = [video["path"] for video in data["test"]["video"]]
    chain(options, "01_pose2gloss", "03_video2pose")
    found: dict[str, list] = {"latent": [latent_only(options, data)], "latent + SLR": [], "refined": []}
    for seed in options.seeds:
        third = chain(options, "04_sentences_from_latents", seed=seed)
        config = options_of("05_refine_from_latents", {"synth_small": options.data}, 0, options.runs)
        config |= {"seed": seed, "upstream": str(third), "output_dir": str(options.runs / f"latent_stage4-{seed}")}
        folders = {"latent + SLR": third / "model", "refined": runs.train("refine", config).folder}
        for name, way in (("latent + SLR", "ctc"), ("refined", "joint")):
            answers = runs.recognize(folders[name], clips, **WAYS[way])
            found[name].append(runs.score([answer["glosses"] for answer in answers], data["test"]["glosses"]))
    return found


def latent_only(options: argparse.Namespace, data: Any) -> dict[str, Any]:
    """The decoder of stage 1 on latents that stage 2 computes from the video. Nothing is trained: one seed."""
    import torch

    from signx_hf import SignXForPose2Gloss, SignXForVideo2Pose, SignXProcessor

    decoder = SignXForPose2Gloss.from_pretrained(options.runs / "stage1-0" / "model").eval()
    video = SignXForVideo2Pose.from_pretrained(options.runs / "stage2-0" / "model").eval()
    processor = SignXProcessor.from_pretrained(options.runs / "stage1-0" / "model")
    answers = []
    with torch.inference_mode():
        for clip in data["test"]["video"]:
            inputs = processor(videos=clip["path"])
            latents = video(**{name: inputs[name] for name in ("pixel_values_videos", "frame_mask")}).latents
            ids = decoder.generate(latents=latents, num_beams=5, max_length=decoder.config.text_config.max_length)
            answers.append(processor.batch_decode(ids, skip_special_tokens=True)[0].split())
    return runs.score(answers, data["test"]["glosses"])


def rgb(options: argparse.Namespace, data: Any) -> dict[str, Any]:
    """No pose anywhere: stage 3 from pixels, everything learns by CTC and the gloss alignment."""
    clips = [video["path"] for video in data["test"]["video"]]
    first, third = runs.read_config("signsynth/01_pose2gloss"), runs.read_config("signsynth/04_sentences_from_video")
    found: dict[str, list] = {RGB: []}
    for seed in options.seeds:
        config = {name: first[name] for name in ("dataset", "dev_split", "preset", "fps", "model_config")}
        config |= {name: third[name] for name in ("source", "per_device_train_batch_size", "ema_decay")}
        config |= {"start": "inputs", "num_train_epochs": options.rgb_epochs, "eval_epochs": 0, "save_epochs": 1,
                   "brightness": 0.2, "crop": 0.05, "data_dir": options.data, "seed": seed,
                   "output_dir": str(options.runs / f"rgb-{seed}")}  # fmt: skip
        folder = runs.train("latent_ctc", config).folder
        answers = runs.recognize(folder, clips, **WAYS["ctc"])
        found[RGB].append(runs.score([a["glosses"] for a in answers], data["test"]["glosses"]))
    return found


def tracks(options: argparse.Namespace, data: Any) -> dict[str, Any]:
    """Table 9: the pose path of stage 3, tuned with all tracks and without each."""
    base = options.base or chain(options, "01_pose2gloss", "02_sentences_from_poses")
    found: dict[str, list] = {}
    for hidden in (None, *TRACKS):
        name = f"without {hidden}" if hidden else "all tracks"
        clips = runs.poses_of(data["test"], [hidden] if hidden else [])
        for seed in options.seeds:
            config = runs.read_config("signsynth/02_sentences_from_poses") | TUNING
            config |= {"data_dir": options.data, "seed": seed, "upstream": str(base),
                       "output_dir": str(options.runs / f"tracks-{hidden or 'all'}-{seed}")}  # fmt: skip
            if hidden:
                config["hidden_tracks"] = [hidden]
            folder = runs.train("latent_ctc", config).folder
            answers = runs.recognize(folder, clips, **WAYS["ctc"])
            found.setdefault(name, []).append(runs.score([a["glosses"] for a in answers], data["test"]["glosses"]))
    return found


def speed(options: argparse.Namespace, data: Any) -> dict[str, Any]:
    """Table 8: the model of stage 4 on the pixels and on the cached latents of the same clips; CPU seconds, one thread."""
    import torch

    from signx_hf import SignXForGlossRecognition, SignXProcessor

    folder = options.runs / "latent_stage4-0" / "model"
    model, processor = SignXForGlossRecognition.from_pretrained(folder).eval(), SignXProcessor.from_pretrained(folder)
    torch.set_num_threads(1)
    spent, frames, answers = {"pixels": 0.0, "latents": 0.0}, 0, {"pixels": [], "latents": []}
    with torch.inference_mode():
        for clip in data["test"]["video"]:
            start = time.process_time()
            inputs = processor(videos=clip["path"])
            video = {name: inputs[name] for name in ("pixel_values_videos", "frame_mask")}
            answers["pixels"].append(_decode(model, processor, video))
            spent["pixels"] += time.process_time() - start
            latents = {"latents": model.model(**video).last_hidden_state, "frame_mask": video["frame_mask"]}
            start = time.process_time()
            answers["latents"].append(_decode(model, processor, latents))
            spent["latents"] += time.process_time() - start
            frames += int(video["frame_mask"].sum())
    return {way: {"frames_per_cpu_second": round(frames / spent[way], 1), "fps_of_the_model": model.config.fps,
                  **runs.score(answers[way], data["test"]["glosses"])} for way in spent}  # fmt: skip


def _decode(model: Any, processor: Any, inputs: dict[str, Any]) -> list[str]:
    ids = model.generate(**inputs, num_beams=5, ctc_weight=0.5, max_length=model.config.text_config.max_length)
    return processor.batch_decode(ids, skip_special_tokens=True)[0].split()


PARTS = {"pipeline": pipeline, "speed": speed, "rgb": rgb, "tracks": tracks}


def summary(found: dict[str, Any], words: list[int]) -> dict[str, Any]:
    """Mean WER over the seeds and its interval."""
    return {name: {"wer": round(mean(run["wer"] for run in seeds), 2), "interval_95": runs.interval(seeds, words),
                   "seeds": [run["wer"] for run in seeds],
                   "errors_by_clip": [run["errors_by_clip"] for run in seeds]} for name, seeds in found.items()}  # fmt: skip


def main() -> None:
    from signx_hf import load_dataset

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder of SignSynth small")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rgb-epochs", type=float, default=5.5)
    parser.add_argument(
        "--base", type=Path, help="tracks: a model with a pose path, instead of one trained on small alone"
    )
    parser.add_argument("--runs", type=Path, default=runs.ROOT / "runs" / "accuracy" / "signsynth")
    options = parser.parse_args()
    data = load_dataset("signsynth", data_dir=options.data)
    words = [len(glosses) for glosses in data["test"]["glosses"]]
    path = runs.RESULTS / "accuracy_ablations.json"
    for name in options.only:
        found = PARTS[name](options, data)
        # read again: another part may have been finished by another process
        record = json.loads(path.read_text()) if path.is_file() else {}
        record[name] = runs.header(1) | {"seeds": options.seeds}
        if name == "tracks" and options.base:
            record[name]["base"] = str(options.base.resolve().relative_to(runs.ROOT))
        record[name] |= {"words_by_clip": words, "result": found if name == "speed" else summary(found, words)}
        runs.save("ablations", record)
        print(name, json.dumps(record[name]["result"], indent=1), flush=True)


if __name__ == "__main__":
    main()
