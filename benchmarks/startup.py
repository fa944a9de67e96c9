"""How long `signx-hf` takes to start: `--help`, and the first gloss of a demo clip.

    python benchmarks/startup.py [--runs 5]

Each run is a process of its own, from its start to the end of the help, or to the first glosses on standard output (Python, torch,
transformers, the demo model, decoding, recognition). The best of the runs counts: on a machine that others use, too, the rest measure
the others. Processor seconds (user and system) of the same runs stand beside it, for they depend less on the others. A run before the
first brings files into memory and compiles modules, and is not counted. Writes results/startup.json.
"""

import argparse
import os
import resource
import subprocess
import sys
import time

import common

sys.path.insert(0, str(common.ROOT / "benchmarks" / "accuracy"))
from runs import header  # noqa: E402

HELP_WANTED, GLOSS_WANTED = 0.3, 5.0  # seconds


def start(arguments: list[str], environment: dict[str, str]) -> tuple[float, float, str]:
    """Seconds until the first line of standard output is there, processor seconds of the whole process, and that line."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "signx_hf", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=common.ROOT) as process:
        first = process.stdout.readline()
        seconds = time.perf_counter() - began
        process.stdout.read()
        if process.wait():
            raise SystemExit(f"signx-hf {' '.join(arguments)}: exit code {process.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, used, first.strip()


def measure(arguments: list[str], runs: int, environment: dict[str, str], limit: float) -> dict:
    """All runs and the best of them, after one that does not count."""
    found = [start(arguments, environment) for _ in range(runs + 1)][1:]
    best = min(found)
    return {
        "seconds": round(best[0], 3), "wanted_below": limit, "processor_seconds": round(min(run[1] for run in found), 3),
        "seconds_of_all_runs": [round(run[0], 3) for run in found], "first_line": best[2],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="of which the best counts; default: 5")
    options = parser.parse_args()
    threads = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))
    environment = {**os.environ, "PYTHONPATH": str(common.ROOT), "HF_HUB_OFFLINE": "1"}
    record = header(threads) | {"runs": options.runs, "counts": "the best run; the machine is shared"}
    from signx_hf.assets import demo_clips

    clip = demo_clips()[0].video.relative_to(common.ROOT)
    record["help"] = measure(["--help"], options.runs, environment, HELP_WANTED)
    record["first_gloss"] = measure(
        ["recognize", str(clip), "--model", "demo", "--device", "cpu"], options.runs, environment, GLOSS_WANTED
    )
    record["load_at_end"] = common.load_average()
    common.write_json(common.RESULTS / "startup.json", record)
    for name in ("help", "first_gloss"):
        print(f"{name}: {record[name]['seconds']:.2f} s (limit {record[name]['wanted_below']:g})")


if __name__ == "__main__":
    main()
