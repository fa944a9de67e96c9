"""How long a single sign takes with a shipped model: from a file, from a camera, by the model alone; and whether memory stays flat.

    python benchmarks/signs_speed.py [--model asl] [--minutes 60]

A 720p clip of WLASL (`SIGNX_DATA`). File to gloss against MediaPipe on the same decoded frames, in the same process, so the ratio does
not depend on the machine; the cache of landmarks is off. The camera is the clip's frames at 640 x 480, played over and over without
waiting. Memory over `--minutes` of landmarks at 12 frames a second, which is what a camera leaves once MediaPipe has seen it.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, ROOT, commit, hardware, load_average, versions, write_json

DATA = Path(os.environ.get("SIGNX_DATA", ROOT.parent / "shared" / "data"))
RATE = 12.0  # frames a second that a camera should at least reach


def median_s(call: Callable[[], Any], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def file_to_gloss(recognizer: Any, clip: Path, repeats: int) -> dict[str, float]:
    """Seconds of the pipeline on a video, and of MediaPipe Hands on its frames as the pipeline shows them."""
    from signx_hf.processing.landmarks_signx import LandmarkOptions, extract_landmarks

    recognizer(str(clip), landmarks_cache=False)  # models are loaded
    whole = median_s(lambda: recognizer(str(clip), landmarks_cache=False), repeats)
    options = LandmarkOptions(30.0, 30.0, None, None, clip.name, False)
    landmarks = median_s(lambda: extract_landmarks(str(clip), ("hands",), options), repeats)
    poses = recognizer.landmarks(str(clip), cache=False)
    model = median_s(lambda: recognizer(poses), 20)
    batch = recognizer.preprocess(poses)
    inputs, _ = recognizer._split(batch)
    import torch

    with torch.inference_mode():
        alone = median_s(lambda: recognizer.model(**inputs), 50)
    return {
        "file_to_gloss_s": round(whole, 3), "decoding_and_mediapipe_s": round(landmarks, 3), "ratio": round(whole / landmarks, 2),
        "landmarks_to_gloss_ms": round(1000 * model, 2), "model_alone_ms": round(1000 * alone, 2),
    }  # fmt: skip


def camera(recognizer: Any, clip: Path) -> dict[str, float]:
    """Frames a second of the whole live path, and how long after the hands rest the answer comes."""
    from signx_hf.processing.frame_rendering_signx import FrameGeometry
    from signx_hf.processing.video_decoding_signx import iter_video, open_video
    from signx_hf.recognition.sign_stream import open_stream

    frames = [frame for _, frame in iter_video(open_video(str(clip)), FrameGeometry(480, 640, "stretch"), None)]
    blank = np.zeros_like(frames[0])
    streamer = open_stream(recognizer, "video", RATE)
    played = [*frames[::2], *[blank] * 10] * 4
    start, spent, answers, waits = time.perf_counter(), [], 0, []
    for index, frame in enumerate(played):
        began = time.perf_counter()
        update = streamer.push(frame, index / RATE)
        spent.append(time.perf_counter() - began)
        for sign in update.final:
            answers += 1
            waits.append(index / RATE - sign.end + spent[-1])
    seconds = time.perf_counter() - start
    return {
        "frames": len(played), "frames_a_second": round(len(played) / seconds, 1), "answers": answers,
        "answer_after_rest_s": round(max(waits), 2) if waits else None, "slowest_push_s": round(max(spent), 3),
    }  # fmt: skip


def memory(model: str, minutes: float) -> dict[str, Any]:
    """Peak resident memory of a process that streams landmarks, after a minute and at the end."""
    code = (
        "import sys, resource, numpy as np\n"
        "sys.path[:0] = ['tests']\n"
        "import signx_hf\n"
        "from signx_hf.recognition.loading import load_pipeline\n"
        "from signx_hf.recognition.sign_stream import open_stream\n"
        "from made_hands import made_sign\n"
        f"stream = open_stream(load_pipeline(signx_hf.model_place({model!r}), task='isolated-sign-recognition'), 'poses', 12.0)\n"
        "rows = np.concatenate([part for n in range(6) for part in (made_sign(n, 0, 20), np.full((10, 126), np.nan))])\n"
        "peaks, frame = [], 0\n"
        f"for minute in range({int(minutes)}):\n"
        "    for _ in range(720 // len(rows)):\n"
        "        for row in rows:\n"
        "            stream.push({'hands': row[None]}, frame / 12.0)\n"
        "            frame += 1\n"
        "    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)\n"
        "print(peaks[0], peaks[len(peaks) // 2], peaks[-1], frame)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    first, middle, last, frames = map(int, done.stdout.split()[-4:])
    return {
        "minutes": minutes,
        "frames": frames,
        "after_a_minute_mib": first,
        "half_way_mib": middle,
        "at_the_end_mib": last,
    }


def first_gloss(model: str, clip: Path) -> float:
    """Seconds from the start of `signx-hf recognize` to its first line, the landmarks in the cache."""
    command = [sys.executable, "-m", "signx_hf", "recognize", str(clip), "--model", model]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    return min(
        median_s(lambda: subprocess.run(command, cwd=ROOT, capture_output=True, check=True), 1) for _ in range(3)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="asl")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    import signx_hf
    from signx_hf.recognition.loading import load_pipeline

    place = signx_hf.model_place(options.model)
    clip = DATA / "wlasl_videos" / "69532.mp4"
    recognizer = load_pipeline(place, task="isolated-sign-recognition")
    record: dict[str, Any] = {
        "command": " ".join(["python", "benchmarks/signs_speed.py", *sys.argv[1:]]), "commit": commit(), "hardware": hardware(os.cpu_count() or 1),
        "versions": versions("torch", "transformers", "numpy"), "load_at_start": load_average(), "model": options.model,
        "bytes": sum(path.stat().st_size for path in Path(place).iterdir() if path.is_file()),
    }  # fmt: skip
    record["file"] = file_to_gloss(recognizer, clip, options.repeats)
    print(record["file"], flush=True)
    record["camera"] = camera(recognizer, clip)
    print(record["camera"], flush=True)
    record["start_to_first_gloss_s"] = round(first_gloss(options.model, clip), 2)
    print(record["start_to_first_gloss_s"], flush=True)
    record["memory"] = memory(options.model, options.minutes)
    print(record["memory"])
    record["peak_of_this_process_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    record["load_at_end"] = load_average()
    write_json(RESULTS / "signs_speed.json", record)


if __name__ == "__main__":
    main()
