"""Recordings of any length: memory, errors against clip by clip, whole against pieces.

    signx-hf data synth small --out synth_small --jobs 2
    python benchmarks/long_video.py --data synth_small --model runs/pose_stage4/model --minutes 60
    python benchmarks/long_video.py --path video --minutes 8 --chunks 8

Clips of SignSynth's test split (made-up signing, unseen signers) are joined with pauses of a second, over and over until the requested
length, into a `.npz` file of poses, or into a video with `--path video`. Without `--data` they are the ten clips of the demo, and the
model is the demo's. Each run is a process of its own, so that its peak memory is its own; what it holds is looked at every second,
and the most in each quarter of the run says whether it grows with the length.
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
DEMO = runs.ROOT / "signx_hf" / "assets" / "demo"


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
import json, os, resource, sys, threading, time
import torch
torch.set_num_threads(1)
from transformers import pipeline
import signx_hf
recognizer = pipeline("sign-recognition", model=sys.argv[1], device="cpu")
held = []
def look():
    while not done.wait(1.0):
        with open("/proc/self/statm") as file:
            held.append(int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**30)
done = threading.Event()
if os.path.exists("/proc/self/statm"):
    threading.Thread(target=look, daemon=True).start()
start = time.process_time()
result = recognizer(sys.argv[2], **json.loads(sys.argv[3]))
done.set()
quarters = [held[n * len(held) // 4 : (n + 1) * len(held) // 4] for n in range(4)] if len(held) >= 8 else []
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 if sys.platform == "darwin" else 1024) / 1024
print(json.dumps({"peak_gib": peak, "cpu_s": time.process_time() - start, "quarters": [round(max(q), 3) for q in quarters], **{k: result[k] for k in ("glosses", "duration")},
                  "utterances": len(result.get("utterances", []))}))
"""


def recognize(model: str, path: Path, **options: Any) -> dict[str, Any]:
    """What a fresh process answers, with its peak memory in GiB and its processor time in seconds."""
    command = [sys.executable, "-c", CHILD, model, str(path), json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=runs.ROOT)
    return json.loads(done.stdout.splitlines()[-1])


def demo_clips() -> tuple[list[str], list[float], list[list[str]]]:
    """Paths, seconds and glosses of the clips beside the demo's model."""
    import av

    folder = DEMO / "clips"
    entries = json.loads((folder / "clips.json").read_text())
    paths = [str(folder / entry["video"]) for entry in entries]
    seconds = []
    for path in paths:
        with av.open(path) as clip:
            stream = clip.streams.video[0]
            seconds.append(float(stream.duration * stream.time_base))
    return paths, seconds, [entry["glosses"] for entry in entries]


def corpus_clips(data: str, path: str) -> tuple[list[Any], list[float], list[list[str]], float]:
    """Clips of SignSynth's test split, their seconds and glosses, and the frames per second of the first."""
    from signx_hf import load_dataset

    rows = load_dataset("signsynth", data_dir=data, split="test")
    clips = runs.poses_of(rows) if path == "pose" else [video["path"] for video in rows["video"]]
    seconds = [row["num_frames"] / row["fps"] for row in rows.select_columns(["num_frames", "fps"])]
    return clips, seconds, list(rows["glosses"]), rows[0]["fps"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder of SignSynth small; default: the demo's clips, with --path video")
    parser.add_argument("--model", help="folder; default: the demo's, for --path video")
    parser.add_argument("--path", choices=("pose", "video"), default="pose")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--chunks", type=float, nargs="+", default=[20.0, 8.0])
    options = parser.parse_args()
    if options.path == "pose" and not (options.data and options.model):
        parser.error("--path pose needs --data and --model: the demo has videos alone")
    if options.data:
        clips, seconds, truth, fps = corpus_clips(options.data, options.path)
    else:
        clips, seconds, truth = demo_clips()
    options.model = options.model or str(DEMO / "model")
    single = [found["glosses"] for found in runs.recognize(Path(options.model), clips, batch_size=1, decoder="ctc")]
    record = runs.header(1) | {
        "data": f"SignSynth small (made-up signing), {'test split' if options.data else 'ten clips of the demo'}, joined",
        "path": options.path,
        "clip_by_clip_wer": runs.score(single, truth)["wer"], "runs": {},
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        for name, minutes in (("ten_seconds", 0.1), ("one_minute", 1.0), ("long", options.minutes)):
            order = clip_order(len(clips), seconds, minutes)
            path = Path(folder) / (f"{name}.npz" if options.path == "pose" else f"{name}.mp4")
            if options.path == "pose":
                write_poses(path, clips, order, fps)
            else:
                write_video(path, clips, order)
            ways = {f"chunks_of_{chunk:g}_s": {"chunk_length_s": chunk} for chunk in options.chunks}
            if name == "one_minute" and options.path == "pose":
                ways["at_once"] = {}
            for way, how in ways.items():
                found = recognize(options.model, path, decoder="ctc", **how)
                joined = [word for index in order for word in single[index]]
                record["runs"][f"{name}, {way}"] = {
                    "seconds": found["duration"], "peak_gib": round(found["peak_gib"], 3), "cpu_s": round(found["cpu_s"], 1),
                    "utterances": found["utterances"], "clips": len(order),
                    "held_gib_by_quarter": found["quarters"],
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
