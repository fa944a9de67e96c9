"""Time reading stored poses, checking annotations, and loading batches with two workers.

    python benchmarks/data_loading.py

Prints a table and writes results/data_loading.json beside this file. Poses are random numbers of the paper's width, 1959, so
nothing can be compressed away; they are written to disk and read from the page cache.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # read when numpy loads its BLAS, so before the imports below
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import common
import numpy as np
import torch
from datasets import Dataset, load_from_disk

from signx_hf import SignXPoseFeatureExtractor, SignXVideoProcessor
from signx_hf.data.check import CheckOptions, check_dataset
from signx_hf.data.schema import decode_poses, encode_poses, make_row, to_dataset

SEED = 0
TRACKS = {"smplerx": 165, "dwpose": 384, "mediapipe": 258, "primedepth": 576, "sapiens": 576}
CLIPS, FRAMES = 128, 111  # as long as the mean sentence of PHOENIX-2014T
VIDEOS, VIDEO_FRAMES, SIDE = 16, 60, 256
ROWS = 20000
WORKERS, BATCH = 2, 8


def pose_dataset(folder: Path) -> Dataset:
    """CLIPS clips of FRAMES frames with the five tracks of the paper, on disk."""
    draw = np.random.default_rng(SEED)
    rows = []
    for n in range(CLIPS):
        tracks = {name: draw.random(size=(FRAMES, width)) + 1 for name, width in TRACKS.items()}
        tracks["sapiens"] = draw.integers(0, 28, (FRAMES, TRACKS["sapiens"]))  # labels of body parts
        masks = {name: draw.random(FRAMES) < 0.9 for name in TRACKS}
        rows.append(make_row(id=str(n), fps=25.0, glosses=["A", "B"], poses=encode_poses(tracks, masks)))
    to_dataset(rows).save_to_disk(folder / "poses")
    return load_from_disk(folder / "poses")


def video_dataset(folder: Path) -> Dataset:
    """VIDEOS H.264 clips of moving noise, SIDE x SIDE, as files."""
    draw = np.random.default_rng(SEED)
    noise = draw.integers(0, 255, (SIDE + VIDEO_FRAMES, SIDE, 3), dtype=np.uint8)
    rows = []
    for n in range(VIDEOS):
        path = folder / f"{n}.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width = stream.height = SIDE
            for frame in range(VIDEO_FRAMES):
                image = av.VideoFrame.from_ndarray(np.ascontiguousarray(noise[frame : frame + SIDE]), format="rgb24")
                container.mux(stream.encode(image))
            container.mux(stream.encode(None))
        rows.append(make_row(id=str(n), video=path, fps=25.0, glosses=["A"]))
    return to_dataset(rows)


def annotations() -> dict[str, Dataset]:
    """ROWS rows without files, three splits, as large as a corpus."""
    draw = np.random.default_rng(SEED)
    words = np.array([f"GLOSS-{n}" for n in range(1000)])
    splits = {}
    for split, share in (("train", 0.9), ("dev", 0.05), ("test", 0.05)):
        rows = []
        for n in range(int(ROWS * share)):
            glosses = words[draw.integers(0, 1000, 8)].tolist()
            rows.append(
                make_row(
                    id=f"{split}{n}", fps=25.0, num_frames=int(draw.integers(80, 200)), glosses=glosses, signer="a"
                )
            )
        splits[split] = to_dataset(rows, split)
    return splits


class PoseCollator:
    """Rows -> padded `pose_values`, `pose_mask`, `frame_mask`."""

    def __init__(self) -> None:
        self.extractor = SignXPoseFeatureExtractor()

    def __call__(self, rows: list[dict]) -> dict:
        return self.extractor([decode_poses(row["poses"]).to_clip() for row in rows])


class VideoCollator:
    """Rows -> padded `pixel_values_videos`, `frame_mask`."""

    def __init__(self) -> None:
        self.processor = SignXVideoProcessor()

    def __call__(self, rows: list[dict]) -> dict:
        return self.processor([row["video"]["path"] for row in rows])


def read_poses(dataset: Dataset) -> int:
    """Frames read; every value is looked at, so that nothing stays on disk."""
    frames = 0
    for row in dataset:
        stored = decode_poses(row["poses"])
        stored.values.view(np.uint16).max()
        frames += len(stored.values)
    return frames


def read_poses_float32(dataset: Dataset) -> int:
    """The same, as the float32 tracks that the feature extractor takes."""
    return sum(len(decode_poses(row["poses"]).to_clip()["smplerx"]) for row in dataset)


def load_batches(dataset: Dataset, collate: Callable) -> int:
    """Frames that came out of a DataLoader with WORKERS workers."""
    loader = torch.utils.data.DataLoader(dataset, batch_size=BATCH, num_workers=WORKERS, collate_fn=collate)
    return sum(int(batch["frame_mask"].sum()) for batch in loader)


def processor_seconds() -> float:
    """Of this process and of its workers that have ended."""
    return time.process_time() + sum(os.times()[2:4])


def measure(what: str, unit: str, work: Callable[[], int], repeats: int) -> dict:
    """Runs the work once to warm up, then `repeats` times.

    Speeds are by the clock, and by the processor time of this process and its workers: the second hardly depends on who else
    uses the machine.
    """
    work()
    speeds, by_processor = [], []
    for _ in range(repeats):
        start, busy = time.perf_counter(), processor_seconds()
        count = work()
        speeds.append(count / (time.perf_counter() - start))
        by_processor.append(count / max(1e-9, processor_seconds() - busy))
    row = {"what": what, "unit": unit, "repeats": repeats, "median": statistics.median(speeds), "best": max(speeds)}
    row["median_per_processor_second"] = statistics.median(by_processor)
    print(
        f"{what:40}{row['median']:12,.0f}{row['best']:12,.0f}{row['median_per_processor_second']:14,.0f}  {unit}",
        flush=True,
    )
    return row


def check(splits: dict[str, Dataset]) -> int:
    report = check_dataset(splits, CheckOptions(same_signer=True, media="none"))
    assert report.errors == 3, "one signer in three splits"
    return ROWS


def main() -> None:
    parser = argparse.ArgumentParser(description="Time loading of poses, videos and annotations.")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=common.RESULTS / "data_loading.json", help="JSON file to write")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    load_before = common.load_average()
    print(f"load average before: {load_before}\n{'':40}{'median':>12}{'best':>12}{'a CPU second':>14}")
    repeats = arguments.repeats
    with tempfile.TemporaryDirectory() as folder:
        poses, videos, table = pose_dataset(Path(folder)), video_dataset(Path(folder)), annotations()
        rows = [
            measure("stored poses [T, 1959], float16", "frames/s", lambda: read_poses(poses), repeats),
            measure("stored poses as float32 tracks", "frames/s", lambda: read_poses_float32(poses), repeats),
            measure("batches of poses, 2 workers", "frames/s", lambda: load_batches(poses, PoseCollator()), repeats),
            measure(
                "batches of video 224 x 224, 2 workers",
                "frames/s",
                lambda: load_batches(videos, VideoCollator()),
                repeats,
            ),
            measure("data check, annotations", "clips/s", lambda: check(table), repeats),
        ]
    content = {
        "hardware": common.hardware(1),
        "load_average": {"before": load_before, "after": common.load_average()},
        "versions": common.versions("numpy", "torch", "datasets", "pyarrow", "av"),
        "commit": common.commit(),
        "command": f"python benchmarks/data_loading.py --repeats {repeats}",
        "seed": SEED,
        "clips": {
            "poses": [CLIPS, FRAMES, sum(TRACKS.values())],
            "videos": [VIDEOS, VIDEO_FRAMES, SIDE, SIDE],
            "batch": BATCH,
        },
        "rows": rows,
    }
    common.write_json(arguments.output, content)


if __name__ == "__main__":
    main()
