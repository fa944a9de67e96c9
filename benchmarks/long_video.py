"""Recordings of any length: memory, errors against clip by clip, whole against pieces.

    signx-hf data synth small --out synth_small --jobs 2
    python benchmarks/long_video.py --data synth_small --model runs/pose_stage4/model --minutes 60

Clips of SignSynth's test split (made-up signing, unseen signers) are joined with pauses of a second, over and over until the wanted
length, into a `.npz` file of poses, or into a video with `--path video`. Each run is a process of its own, so that its peak memory
is its own.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent / "accuracy"))
import runs  # noqa: E402

PAUSE_SECONDS = 1.0


def clip_order(clips: int, seconds: list[float], minutes: float) -> list[int]:
    """Which clips in which order: all of them, again and again, until the length is reached."""
    order: list[int] = []
    total = 0.0
    while total < 60 * minutes or not order:
        order.append(len(order) % clips)
        total += seconds[order[-1]] + PAUSE_SECONDS
    return order


def write_poses(path: Path, clips: list[dict], order: list[int], fps: float) -> None:
    """One `.npz` of the joined clips, a track at a time; the last row of a clip stands through the pause."""
    pause = round(PAUSE_SECONDS * fps)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("fps.npy", "w") as file:
            np.lib.format.write_array(file, np.array(fps))
        for name in clips[0]["masks"]:
            frames = sum(len(clips[index][name]) + pause for index in order)
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                head = {"descr": "<f4", "fortran_order": False, "shape": (frames, clips[0][name].shape[1])}
                np.lib.format.write_array_header_1_0(file, head)
                for index in order:
                    rows = np.asarray(clips[index][name], "<f4")
                    file.write(rows.tobytes() + np.repeat(rows[-1:], pause, 0).tobytes())


def write_video(path: Path, clips: list[str], order: list[int]) -> None:
    """One video of the joined clips, encoded again; the last frame of a clip stands through the pause."""
    import av

    with av.open(str(path), "w") as out:
        stream = None
        for index in order:
            with av.open(clips[index]) as source:
                if stream is None:
                    rate = source.streams.video[0].average_rate
                    stream = out.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "crf": "20"})
                    stream.width, stream.height = source.streams.video[0].width, source.streams.video[0].height
                    stream.pix_fmt = "yuv420p"
                picture = None
                for frame in source.decode(video=0):
                    picture = frame.to_ndarray(format="yuv420p")
                    out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p")))
                for _ in range(round(PAUSE_SECONDS * rate)):
                    out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p")))
        out.mux(stream.encode())


CHILD = """
import json, resource, sys, time
import torch
torch.set_num_threads(1)
from transformers import pipeline
import signx_hf
recognizer = pipeline("sign-recognition", model=sys.argv[1], device="cpu")
start = time.process_time()
result = recognizer(sys.argv[2], **json.loads(sys.argv[3]))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 if sys.platform == "darwin" else 1024) / 1024
print(json.dumps({"peak_gib": peak, "cpu_s": time.process_time() - start, **{k: result[k] for k in ("glosses", "duration")},
                  "utterances": len(result.get("utterances", []))}))
"""


def recognise(model: str, path: Path, **options: Any) -> dict[str, Any]:
    """What a fresh process answers, with its peak memory in GiB and its processor time in seconds."""
    command = [sys.executable, "-c", CHILD, model, str(path), json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=runs.ROOT)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    from signx_hf import load_dataset

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder of SignSynth small")
    parser.add_argument("--model", required=True)
    parser.add_argument("--path", choices=("pose", "video"), default="pose")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--chunks", type=float, nargs="+", default=[20.0, 8.0])
    options = parser.parse_args()
    rows = load_dataset("signsynth", data_dir=options.data, split="test")
    clips = runs.poses_of(rows) if options.path == "pose" else [video["path"] for video in rows["video"]]
    seconds = [row["num_frames"] / row["fps"] for row in rows.select_columns(["num_frames", "fps"])]
    single = [found["glosses"] for found in runs.recognise(Path(options.model), clips, batch_size=1, decoder="ctc")]
    truth = list(rows["glosses"])
    record = runs.header(1) | {
        "data": "SignSynth small (made-up signing), test split, joined", "path": options.path,
        "clip_by_clip_wer": runs.score(single, truth)["wer"], "runs": {},
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        for name, minutes in (("ten_seconds", 0.1), ("one_minute", 1.0), ("long", options.minutes)):
            order = clip_order(len(clips), seconds, minutes)
            path = Path(folder) / (f"{name}.npz" if options.path == "pose" else f"{name}.mp4")
            if options.path == "pose":
                write_poses(path, clips, order, rows[0]["fps"])
            else:
                write_video(path, clips, order)
            ways = {f"chunks_of_{chunk:g}_s": {"chunk_length_s": chunk} for chunk in options.chunks}
            if name == "one_minute":
                ways["at_once"] = {}
            for way, how in ways.items():
                found = recognise(options.model, path, decoder="ctc", **how)
                joined = [word for index in order for word in single[index]]
                record["runs"][f"{name}, {way}"] = {
                    "seconds": found["duration"], "peak_gib": round(found["peak_gib"], 3), "cpu_s": round(found["cpu_s"], 1),
                    "utterances": found["utterances"], "clips": len(order),
                    "wer": runs.score([found["glosses"]], [[w for index in order for w in truth[index]]])["wer"],
                    "clip_by_clip_wer": runs.score([joined], [[w for index in order for w in truth[index]]])["wer"],
                    "same_as_clip_by_clip_percent": round(100 - runs.score([found["glosses"]], [joined])["wer"], 2),
                }  # fmt: skip
                print(name, way, record["runs"][f"{name}, {way}"], flush=True)
            path.unlink()
    path = runs.RESULTS / "long_video.json"
    record = (json.loads(path.read_text()) if path.is_file() else {}) | {options.path: record}
    runs.write_json(path, record)


if __name__ == "__main__":
    main()
