"""The demo model and SignSynth tiny through a Hub, to an environment that has never seen this package.

    signx-hf data synth tiny --out synth_tiny --jobs 2
    python benchmarks/hub_roundtrip.py --tiny synth_tiny

The Hub is the loopback server of the tests: the real client talks HTTP to it. The environment is made new, with torch, transformers and
what the model's code needs, in the versions of this one, and without this package; it loads the model by name with its own code and
has to give the same logits for a video and for poses as the package does for the folder that was pushed. Takes some minutes, most of
them for installing torch.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

from common import RESULTS, ROOT, commit, hardware, versions, write_json

sys.path.insert(0, str(ROOT / "tests"))
from hub_client import Client
from hub_server import HubServer

MODEL, CLIPS = "someone/signsynth-demo", "someone/signsynth-tiny"
NEEDS = ("torch", "transformers", "tokenizers", "safetensors", "huggingface-hub", "numpy", "av", "datasets")
STRANGER = """
import importlib.util, json, sys
assert importlib.util.find_spec("signx_hf") is None, "the package is here"
import torch
from datasets import load_dataset
from safetensors.torch import save_file
from transformers import AutoModelForSeq2SeqLM, AutoProcessor, pipeline

model_name, clips_name, clip, poses, out = sys.argv[1:]
model = AutoModelForSeq2SeqLM.from_pretrained(model_name, trust_remote_code=True).eval()
processor = AutoProcessor.from_pretrained(model_name, trust_remote_code=True)
pipe = pipeline("sign-recognition", model=model_name, trust_remote_code=True)
found = {}
with torch.inference_mode():
    for name, inputs in (("video", processor(videos=clip)), ("poses", processor(poses=poses))):
        found[name] = model(**inputs, labels=torch.tensor([[5, 9, 12, 7]])).logits
save_file(found, out)
rows = {name: len(part) for name, part in load_dataset(clips_name).items()}
print(json.dumps({"glosses": pipe(clip)["glosses"], "rows": rows, "home": type(model).__module__.split(".")[0]}))
"""


def make_environment(folder: Path) -> Path:
    """A virtual environment without this package; its Python."""
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    found = versions(*NEEDS)
    requirements = [f"{name}=={found[name]}" for name in NEEDS]
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", *requirements], check=True)
    return python


def own_logits(folder: Path, clip: str, poses: str) -> dict:
    """What the package computes for the folder that was pushed."""
    import torch

    from signx_hf import SignXForGlossRecognition, SignXProcessor

    model, processor = SignXForGlossRecognition.from_pretrained(folder).eval(), SignXProcessor.from_pretrained(folder)
    with torch.inference_mode():
        return {
            name: model(**inputs, labels=torch.tensor([[5, 9, 12, 7]])).logits
            for name, inputs in (("video", processor(videos=clip)), ("poses", processor(poses=poses)))
        }


def make_poses(path: Path) -> None:
    """Two seconds of random key points of one of the model's tracks."""
    import numpy as np

    np.savez(path, dwpose=np.random.default_rng(0).normal(size=(30, 384)).astype(np.float32))


def prepare(base: Path) -> None:
    """The folder of the demo saved as its owner would, and an evaluation of it on three of its clips."""
    from signx_hf import SignXForGlossRecognition, SignXProcessor
    from signx_hf.assets import MODEL as DEMO
    from signx_hf.assets import demo_clips
    from signx_hf.data.schema import make_row, to_dataset
    from signx_hf.evaluation import EvaluationOptions, evaluate

    SignXForGlossRecognition.from_pretrained(DEMO).save_pretrained(base / "model")
    SignXProcessor.from_pretrained(DEMO).save_pretrained(base / "model")
    rows = [
        make_row(id=clip.video.stem, video=clip.video, glosses=clip.glosses, segments=clip.segments, signer=clip.signer,
                 split="test", licence="CC0-1.0", sign_language="qss", spoken_language="en") for clip in demo_clips()[:3]
    ]  # fmt: skip
    to_dataset(rows, "test").save_to_disk(str(base / "clips"))
    evaluate(
        EvaluationOptions(model=str(base / "model"), dataset=str(base / "clips"), out=str(base / "out")),
        progress=False,
    )


def travel(base: Path, tiny: str, hub: HubServer) -> dict[str, float]:
    """Pushes both and pulls both; seconds of each."""
    seconds, client = {}, Client(hub.environment(base / "home"), base / "work")
    commands = {
        "push_model": ("push", base / "model", MODEL, "--results", base / "out" / "results.json"),
        "push_clips": ("push", "--dataset", "signsynth", CLIPS, "--data-dir", Path(tiny).resolve()),
        "pull_model": ("pull", MODEL, "--out", base / "pulled"),
        "pull_clips": ("pull", "--dataset", CLIPS, "--out", base / "pulled_clips"),
    }
    for name, words in commands.items():
        start = time.perf_counter()
        code, _, errors = client(*words)
        if code:
            sys.exit(f"{name}: {errors}")
        seconds[name] = round(time.perf_counter() - start, 1)
    client.close()
    return seconds


def same_rows(tiny: str, pulled: Path) -> dict[str, int]:
    """Rows of each split whose glosses, times, poses and video are byte for byte those of the corpus."""
    from datasets import load_from_disk

    import signx_hf

    before, after = signx_hf.load_dataset("signsynth", data_dir=tiny), load_from_disk(str(pulled))
    same = {}
    for name, rows in before.items():
        pairs = list(zip(rows, after[name], strict=True))
        same[name] = sum(
            all(a[key] == b[key] for key in ("id", "glosses", "segments", "poses", "signer", "text"))
            and Path(a["video"]["path"]).read_bytes() == b["video"]["bytes"]
            for a, b in pairs
        )
        if same[name] != len(pairs):
            sys.exit(f"{name}: {same[name]} of {len(pairs)} rows came back as they were")
    return same


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", required=True, help="folder of SignSynth tiny")
    options = parser.parse_args()
    from safetensors.torch import load_file

    from signx_hf.assets import demo_clips

    clip = str(demo_clips()[0].video)
    with tempfile.TemporaryDirectory() as name, HubServer() as hub:
        base = Path(name)
        prepare(base)
        poses = base / "poses.npz"
        make_poses(poses)
        seconds = travel(base, options.tiny, hub)
        python = make_environment(base / "venv")
        words = [str(python), "-c", STRANGER, MODEL, CLIPS, clip, str(poses), str(base / "logits.safetensors")]
        environment = {**os.environ, **hub.environment(base / "stranger", token=None), "PYTHONPATH": ""}
        done = subprocess.run(words, capture_output=True, text=True, env=environment, cwd=base)
        if done.returncode:
            sys.exit(done.stderr[-3000:])
        said = json.loads(done.stdout.splitlines()[-1])
        theirs, ours = load_file(base / "logits.safetensors"), own_logits(base / "model", clip, str(poses))
        record = {
            "command": "python benchmarks/hub_roundtrip.py --tiny synth_tiny", "commit": commit(), "hardware": hardware(1),
            "versions": versions(*NEEDS), "seconds": seconds,
            "published_files": {kind: len(hub.tree(repo, kind)) for kind, repo in (("model", MODEL), ("dataset", CLIPS))},
            "rows_that_came_back_the_same": same_rows(options.tiny, base / "pulled_clips"), "stranger": said,
            "largest_difference_of_logits": {name: float((ours[name] - theirs[name]).abs().max()) for name in ours},
            "largest_logit": {name: float(ours[name].abs().max()) for name in ours},
        }  # fmt: skip
    print(json.dumps(record, indent=1))
    write_json(RESULTS / "hub_roundtrip.json", record)


if __name__ == "__main__":
    main()
