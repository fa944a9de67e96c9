"""Streaming: agreement with the whole clip, latency, processor time per frame, memory over many pushed frames.

    signx-hf data synth small --out synth_small --jobs 2
    python benchmarks/streaming.py --data synth_small --model runs/pose_stage4/model
    python benchmarks/streaming.py --roy-fold 0 --model runs/accuracy/roy/test/concat-fold0-0/model

Poses of SignSynth's test split (made-up signing, unseen signers) are pushed frame by frame. Latency: from the true end of a sign to
the frame with which its gloss became final. Memory is measured with a small model over frames of noise, so that the recognizer
looks all the time. With `--roy-fold` the poses are the Kinect skeletons of the two signers that a fold of `accuracy/roy.py --task
concat` leaves out (semi-synthetic sentences), which have no key points that tell a rest from a hold.
"""

import argparse
import resource
import statistics
import sys
import time
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent / "accuracy"))
import roy  # noqa: E402
import runs  # noqa: E402


def stream(streamer: Any, clip: dict) -> list[tuple[Any, float]]:
    """Final glosses of a clip pushed frame by frame, each with the time of the frame that made it final."""
    tracks = {name: clip[name] for name in clip["masks"]}
    found = []
    for row in range(len(clip["masks"][next(iter(tracks))])):
        part = {name: values[row : row + 1] for name, values in tracks.items()}
        part["masks"] = {name: mask[row : row + 1] for name, mask in clip["masks"].items()}
        update = streamer.push(part)
        found += [(gloss, update.time) for gloss in update.final]
    update = streamer.flush()
    return found + [(gloss, update.time) for gloss in update.final]


def delays(found: list[tuple[Any, float]], segments: list[dict]) -> list[float]:
    """Seconds from the true end of each rightly recognized sign to its gloss being final."""
    matcher = SequenceMatcher(None, [g.gloss for g, _ in found], [s["gloss"] for s in segments], autojunk=False)
    return [
        found[block.a + step][1] - segments[block.b + step]["end"]
        for block in matcher.get_matching_blocks()
        for step in range(block.size)
    ]


class Stopwatch:
    """Processor time in the model's layers, apart from everything around them."""

    def __init__(self, store: Any):
        self.seconds, self.looks, self._window = 0.0, 0, store.window
        store.window = self

    def __call__(self, start: int, stop: int) -> Any:
        begin = time.process_time()
        try:
            return self._window(start, stop)
        finally:
            self.seconds, self.looks = self.seconds + time.process_time() - begin, self.looks + 1


def measure(model: str, rows: Any, **changed: float) -> dict[str, Any]:
    """Agreement, latency and cost over all clips; changed: of `StreamOptions`."""
    from transformers import pipeline

    from signx_hf.recognition.streaming import SignXStreamer, StreamOptions

    recognizer = pipeline("sign-recognition", model=model, device="cpu")
    clips, options = runs.poses_of(rows), StreamOptions(**changed)
    whole = [recognizer(clip, decoder="ctc")["glosses"] for clip in clips]
    chunks = [recognizer(clip, decoder="ctc", chunk_length_s=20)["glosses"] for clip in clips]
    streamer = SignXStreamer(recognizer.model, recognizer.processor, "poses", fps=rows[0]["fps"], options=options)
    watch = Stopwatch(streamer._store)
    streamed, late = [], []
    begin, frames, pushed = time.process_time(), 0, 0
    for clip, segments in zip(clips, rows["segments"]):
        start = streamer._reader.frames
        found = stream(streamer, clip)
        streamed.append([gloss.gloss for gloss, _ in found])
        late += delays(found, segments)
        frames += streamer._reader.frames - start
        pushed += len(next(iter(clip["masks"].values())))
    spent = time.process_time() - begin
    late.sort()
    return {
        "options": vars(options), "clips": len(clips), "frames_pushed": pushed, "frames_at_model_rate": frames,
        "wer_streaming": runs.score(streamed, rows["glosses"])["wer"], "wer_whole_clip": runs.score(whole, rows["glosses"])["wer"],
        "same_as_whole_clip_percent": round(100 - runs.score(streamed, whole)["wer"], 2),
        "chunks_same_as_whole_clip_percent": round(100 - runs.score(chunks, whole)["wer"], 2),
        "latency_s": {
            "mean": round(statistics.mean(late), 3), "median": round(statistics.median(late), 3),
            "p95": round(late[int(0.95 * len(late))], 3), "max": round(late[-1], 3),
        },
        "ms_per_pushed_frame": {
            "beyond_the_model": round(1000 * (spent - watch.seconds) / pushed, 3),
            "model": round(1000 * watch.seconds / pushed, 3), "model_ms_per_look": round(1000 * watch.seconds / watch.looks, 1),
        },
    }  # fmt: skip


def measure_memory(frames: int) -> list[dict[str, float]]:
    """Resident memory in MiB over pushed frames of noise, a small model."""
    sys.path.insert(0, str(runs.ROOT / "tests"))
    from make_model import make_model, make_poses, make_processor

    from signx_hf.recognition.streaming import SignXStreamer, StreamOptions

    streamer = SignXStreamer(
        make_model("SignXForLatentCTC"), make_processor(), "poses", options=StreamOptions(hop_s=1.0, window_s=5.0)
    )
    block, curve, final = make_poses(500), [], 0
    for pushed in range(0, frames, 500):
        final += len(streamer.push(block).final)
        if pushed % (frames // 10) == 0:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            curve.append(
                {"frames": pushed + 500, "mib": round(pages * resource.getpagesize() / 2**20, 1), "final": final}
            )
    return curve


def main() -> None:
    import torch

    from signx_hf import load_dataset

    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", help="folder of SignSynth small")
    source.add_argument(
        "--roy-fold", type=int, choices=range(len(roy.FOLDS)), help="a fold of Roy-concat, without memory"
    )
    parser.add_argument("--model", required=True)
    parser.add_argument("--right-s", type=float, help="of StreamOptions")
    parser.add_argument("--window-s", type=float, help="of StreamOptions")
    parser.add_argument("--pushes", type=int, default=100_000)
    options = parser.parse_args()
    if options.data:
        rows, what = (
            load_dataset("signsynth", data_dir=options.data, split="test"),
            "SignSynth small (made-up signing), test split",
        )
    else:
        rows = roy.tested("concat", options.roy_fold, held_out=False)
        what = f"Roy-concat (semi-synthetic), signers {' and '.join(roy.FOLDS[options.roy_fold])}"
    changed = {name: value for name in ("right_s", "window_s") if (value := getattr(options, name)) is not None}
    record = runs.header(1) | {"data": what, **measure(options.model, rows, **changed)}
    shown = ("same_as_whole_clip_percent", "chunks_same_as_whole_clip_percent", "latency_s", "ms_per_pushed_frame")
    print({key: record[key] for key in shown}, flush=True)
    if options.roy_fold is not None:
        return runs.write_json(
            runs.RESULTS / f"streaming_roy{options.roy_fold}{'_wide' if changed else ''}.json", record
        )
    record["memory"] = measure_memory(options.pushes)
    print(record["memory"])
    runs.write_json(runs.RESULTS / "streaming.json", record)


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    main()
