"""Four real videos of single signs, told by every kind of input that there is, and what is found in two real videos of sentences.

    python benchmarks/asl_videos.py [--model asl]

The videos are those of WLASL that no model here is trained on (`SIGNX_DATA`, `wlasl_videos`). Ways: the video; MediaPipe Holistic's rows as
`signx-hf extract --tracks mediapipe` makes them; a `.pose` file of pose-format; the video by a checkpoint that brings its own code, in a process
that cannot import this package. Two videos of ASLLRP (`asl_clips`), one sentence each: the stretches that `signx-hf live` takes for signs, and what
`sign-spotting` finds, among all signs and among those of the sentence.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, commit, hardware, load_average, versions, write_json

sys.path.insert(0, str(Path(__file__).resolve().parent / "accuracy"))
import runs

SIGNS = {"69532": "when", "69544": "write", "69545": "yellow", "69547": "you"}
# What is signed, as the corpus has it, and the glosses of WLASL for it
SENTENCES = {
    "3381121": ("BOX/ROOM IX NOT-YET ARRIVE IX SHOULD CONTACT ns-fs-FEDEX", ["box", "arrive", "should", "contact"]),
    "629983": ("IX FINISH WORK WHEN IX", ["finish", "work", "when"]),
}
REMOTE = """
import json, sys
sys.modules["signx_hf"] = None
from transformers import pipeline
recognizer = pipeline("isolated-sign-recognition", model=sys.argv[1], trust_remote_code=True, device="cpu")
print(json.dumps([[item["label"] for item in recognizer(path, top_k=20)] for path in sys.argv[2:]]))
"""


def mediapipe_version() -> str:
    """Of the module: there are wheels of other names."""
    import mediapipe

    return mediapipe.__version__


def holistic_rows(paths: list[Path], place: Path) -> list[Any]:
    """The track `mediapipe` of each video, as a user extracts it."""
    from datasets import load_from_disk

    folder = place / "videos"
    folder.mkdir()
    for path in paths:
        shutil.copy(path, folder)
    command = [
        sys.executable,
        "-m",
        "signx_hf",
        "extract",
        str(folder),
        "--tracks",
        "mediapipe",
        "--out",
        str(place / "holistic"),
    ]
    subprocess.run(command, check=True, capture_output=True)
    data = load_from_disk(str(place / "holistic"))
    rows = data["train"] if hasattr(data, "keys") else data
    clips = dict(zip((Path(row["id"]).stem for row in rows), runs.poses_of(rows)))
    return [clips[path.stem] for path in paths]


def pose_file(path: Path, place: Path) -> str:
    """A `.pose` file of a video, as pose-format writes it."""
    import av
    from pose_format.utils.holistic import load_holistic

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        fps = float(stream.average_rate)
    height, width = frames[0].shape[:2]
    target = place / f"{path.stem}.pose"
    with target.open("wb") as file:
        load_holistic(frames, fps=fps, width=width, height=height).write(file)
    return str(target)


def ranks(labels: list[list[str]], truth: list[str]) -> dict[str, int | None]:
    """Gloss -> at which place it is named, from 1."""
    return {gloss: found.index(gloss) + 1 if gloss in found else None for gloss, found in zip(truth, labels)}


def single_signs(model: str, place: Path) -> dict[str, Any]:
    """The place of the sign among the candidates, by each way."""
    from transformers import pipeline

    from signx_hf.assets import model_place

    paths = sorted((runs.DATA / "wlasl_videos").glob("*.mp4"))
    truth = [SIGNS[path.stem] for path in paths]
    recognizer = pipeline("isolated-sign-recognition", model=model_place(model))

    def labels(clips: list[Any]) -> list[list[str]]:
        return [[item["label"] for item in recognizer(clip, top_k=20, threshold="none")] for clip in clips]

    remote = place / "remote"
    recognizer.save_pretrained(remote)
    told = subprocess.run(
        [sys.executable, "-c", REMOTE, str(remote), *map(str, paths)], check=True, capture_output=True, text=True, cwd=place
    ).stdout.splitlines()[-1]  # fmt: skip
    ways = {
        "video": labels([str(path) for path in paths]), "Holistic rows": labels(holistic_rows(paths, place)),
        ".pose": labels([pose_file(path, place) for path in paths]), "video, code of the checkpoint": json.loads(told),
    }  # fmt: skip
    return {way: ranks(found, truth) for way, found in ways.items()} | {
        "first_five": dict(zip(truth, (f[:5] for f in ways["video"])))
    }


def sentences(model: str) -> dict[str, Any]:
    """What is found in two videos of sentences."""
    from transformers import pipeline

    from signx_hf.assets import model_place

    spotter = pipeline("sign-spotting", model=model_place(model))
    found = {}
    for name, (signed, glosses) in SENTENCES.items():
        path = str(runs.DATA / "asl_clips" / f"{name}.mp4")
        known = [gloss for gloss in glosses if gloss in spotter.model.config.label2id]
        command = [sys.executable, "-m", "signx_hf", "live", "--from-file", path, "--model", model, "--format", "json"]
        live = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        found[name] = {
            "signed": signed, "known": known, "live": [json.loads(line) for line in live],
            "spotting": spotter(path)["segments"], "spotting_of_the_sentence": spotter(path, vocabulary=known)["segments"],
        }  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="asl")
    options = parser.parse_args()
    record: dict[str, Any] = {
        "command": runs.header(2)["command"], "commit": commit(), "hardware": hardware(2), "load_at_start": load_average(),
        "versions": versions("torch", "transformers", "numpy", "pose-format") | {"mediapipe": mediapipe_version()}, "model": options.model,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        record["signs"] = single_signs(options.model, Path(place))
        record["sentences"] = sentences(options.model)
    for way, found in record["signs"].items():
        print(way, found)
    for name, found in record["sentences"].items():
        print(name, found["signed"], {key: [one.get("gloss", one) for one in found[key]] for key in ("live", "spotting", "spotting_of_the_sentence")})  # fmt: skip
    write_json(
        RESULTS / "asl_videos.json", json.loads(json.dumps(record, default=lambda value: np.asarray(value).tolist()))
    )


if __name__ == "__main__":
    main()
