"""Kill `signx-hf recognize DIR --out OUT --resume` ten times at random moments, and compare with a run that nobody killed.

    python tests/stress/recognize_kill.py
    python tests/stress/recognize_kill.py --long

Clips are poses of random walks, the model is a small one of random weights: what is studied is what lies on the disk. Each round
gets SIGKILL at a moment drawn from the whole length of a run, from loading the model to the last file, and the next goes on with
`--resume`; a round that comes to its end ahead of its kill begins a new output. After every kill: each file that is there is, byte
for byte, the one of the uninterrupted run. In the end: all files are, none is half written or more than it should be, and no clip
was recognised again after its result had been kept. Last, two kills of the real command line with two processes.
Writes benchmarks/results/recognize_kill.json. About two minutes on one core.

With `--long` the same, by kills of one process alone, on long recordings: the demo's clips joined two and two with pauses, recognised
by the demo's model in windows (`--option chunk_length_s=8`). Its numbers stand beside the others in the file. A few minutes.

The processes of the ten kills are forked from a server that has imported everything: importing takes longer than recognising here.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # read when numpy loads its BLAS, so before the imports below
os.environ.update(HF_HUB_OFFLINE="1", TQDM_DISABLE="1", TOKENIZERS_PARALLELISM="false")

import argparse
import json
import multiprocessing
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))
import common

sys.path.append(str(common.ROOT / "tests"))
os.environ["PYTHONPATH"] = os.pathsep.join([str(common.ROOT), str(common.ROOT / "tests")])

import recognize_probe

from signx_hf.recognition.outputs import STATE
from signx_hf.writers import WRITERS

SEED = 0
KILLS = 10
CLIPS = 24
FRAMES = (20, 60)
PAUSE = 0.02  # seconds a clip, so that a run lasts long enough to be hit anywhere
LONG_KILLS = 4
RECORDINGS, CLIPS_EACH = 4, 2  # long ones; of the demo's clips, in the order of their names
LONG = ("--option", "chunk_length_s=8", "--option", "decoder=ctc")


def prepare(folder: Path) -> None:
    """The model and the clips."""
    import numpy as np
    from make_model import make_poses, save_folder

    save_folder(folder / "model", "SignXForLatentCTC")
    (folder / "clips").mkdir()
    draw = random.Random(SEED)
    for seed in range(CLIPS):
        np.savez(folder / "clips" / f"clip{seed:02d}.npz", **make_poses(draw.randint(*FRAMES), seed=seed))


def prepare_long(folder: Path) -> None:
    """The demo's model, and recordings of its clips joined."""
    import shutil

    from long_video import write_video

    demo = common.ROOT / "signx_hf" / "assets" / "demo"
    shutil.copytree(demo / "model", folder / "model")
    (folder / "clips").mkdir()
    clips = sorted(str(path) for path in (demo / "clips").glob("*.mp4"))
    for number in range(RECORDINGS):
        order = [(number * CLIPS_EACH + place) % len(clips) for place in range(CLIPS_EACH)]
        write_video(folder / "clips" / f"recording{number}.mp4", clips, order)


def command(folder: Path, out: str, *more: str) -> list[str]:
    """The command line, less `signx-hf`."""
    model = str(folder / "model")
    out = str(folder / out)
    return ["recognize", str(folder / "clips"), "--model", model, "--format", "all", "--out", out, "--resume", *more]


def files(out: Path) -> dict[str, bytes]:
    """All output by name, with the name of the output folder taken out of the addresses of the media."""
    paths = [path for path in out.rglob("*") if path.is_file() and STATE not in path.parts]
    return {path.name: path.read_bytes().replace(f"/{out.name}/".encode(), b"/out/") for path in paths}


def kept(out: Path) -> set[str]:
    """Clips whose result is on the disk."""
    return {path.stem for path in (out / STATE / "clips").glob("*.json")}


def differing(out: Path, whole: dict[str, bytes]) -> list[str]:
    """Files that are not those of the uninterrupted run."""
    return sorted(name for name, content in files(out).items() if whole.get(name) != content)


class Study:
    """Rounds in forked processes. more: options of the command line."""

    def __init__(self, folder: Path, *more: str):
        self.folder, self.diary, self.more = folder, folder / "diary", more
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(
            ["recognize_probe", "signx_hf.recognition.batch", "signx_hf.processing.pipeline_signx"]
        )

    def start(self, out: str) -> multiprocessing.Process:
        """A process that runs the command line and writes into the diary which clips it begins."""
        self.diary.write_bytes(b"")
        given = (command(self.folder, out, *self.more), str(self.diary), PAUSE, str(self.folder / "said"))
        process = self.context.Process(target=recognize_probe.child, args=given)
        process.start()
        return process

    def begun(self) -> list[str]:
        """The clips of the diary."""
        return [Path(line).stem for line in self.diary.read_text().splitlines()]

    def finish(self, out: str) -> int:
        """A round that nobody kills: its exit code."""
        process = self.start(out)
        process.join()
        return process.exitcode


def forked_kills(study: Study, kills: int = KILLS) -> dict:
    """Kills of runs of one process."""
    folder, draw = study.folder, random.Random(SEED)
    if not study.more:
        study.finish("warm-up")  # the server imports now, and not in a round that is timed
    began = time.monotonic()
    if study.finish("whole") != 0:
        raise SystemExit(f"the uninterrupted run failed: {(folder / 'said').read_text()}")
    length = time.monotonic() - began
    whole, rounds, again, bad, number = files(folder / "whole"), [], [], [], 0
    while len(rounds) < kills:
        out = folder / f"killed{number}"
        before = kept(out)
        process = study.start(out.name)
        process.join(draw.uniform(0, 1) * length)
        alive = process.is_alive()
        if alive:
            os.kill(process.pid, signal.SIGKILL)
        process.join()
        again += sorted(before & set(study.begun()))
        bad += differing(out, whole)
        if not alive:  # it had come to its end before
            number += 1
            continue
        parts = len(list((out / STATE / "parts").glob("*"))) if out.exists() else 0
        done = kept(out)
        rounds.append({"kept_before": len(before), "kept": len(done), "files": len(files(out)), "half_written": parts})
    out = folder / f"killed{number}"
    before = kept(out)
    code = study.finish(out.name)
    again += sorted(before & set(study.begun()))
    outs = [folder / f"killed{index}" for index in range(number + 1)]
    return {
        "seconds_uninterrupted": round(length, 2),
        "kills": rounds,
        "outputs_begun": number + 1,
        "exit_code_of_last_resumption": code,
        "files_that_differ_after_a_kill": sorted(set(bad)),
        "identical": all(files(out) == whole for out in outs),
        "files": len(whole),
        "recognised_again": again,
        "left_over": sorted(path.name for out in outs for path in (out / STATE / "parts").iterdir()),
    }


def real_kills(folder: Path, whole: dict[str, bytes]) -> dict:
    """Two kills of `python -m signx_hf` with two processes, each once some clips are there; then to the end."""
    out, rounds = folder / "jobs", []
    base = [sys.executable, "-m", "signx_hf", *command(folder, "jobs", "--jobs", "2")]
    for wanted in (3, 12):
        process = subprocess.Popen(base, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and len(kept(out)) < wanted:
            time.sleep(0.002)
        process.kill()
        code = process.wait()
        rounds.append({"kept": len(kept(out)), "exit_code": code})
    done = subprocess.run(base, capture_output=True, text=True)
    return {"kills": rounds, "exit_code_of_last_resumption": done.returncode, "identical": files(out) == whole}


def long_study(folder: Path, load: float | None) -> dict:
    """Kills of runs on long recordings, with what is needed to read the numbers."""
    began = time.monotonic()
    prepare_long(folder)
    found = forked_kills(Study(folder, *LONG), LONG_KILLS)
    results = [json.loads(path.read_text()) for path in sorted((folder / "whole").glob("*.json"))]
    found = {
        "hardware": common.hardware(1),
        "load_average_before": load,
        "commit": common.commit(),
        "options": list(LONG),
        "recordings": len(results),
        "seconds_of_recordings": [result["duration"] for result in results],
        "glosses": [len(result["glosses"]) for result in results],
        "utterances": [len(result["utterances"]) for result in results],
        **found,
        "seconds": round(time.monotonic() - began),
    }
    print({name: value for name, value in found.items() if name != "kills"}, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--long", action="store_true", help="the study of long recordings alone")
    is_long = parser.parse_args().long
    began, load = time.monotonic(), common.load_average()
    path = common.RESULTS / "recognize_kill.json"
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place).resolve()
        if is_long:
            return common.write_json(
                path, json.loads(path.read_text()) | {"long_recordings": long_study(folder, load)}
            )
        prepare(folder)
        one = forked_kills(Study(folder))
        print({name: value for name, value in one.items() if name != "kills"}, flush=True)
        two = real_kills(folder, files(folder / "whole"))
        print(two, flush=True)
    content = {
        "hardware": common.hardware(1),
        "load_average_before": load,
        "commit": common.commit(),
        "versions": common.versions("torch", "transformers", "pympi-ling", "webvtt-py"),
        "seed": SEED,
        "seconds": round(time.monotonic() - began),
        "clips": CLIPS,
        "formats": list(WRITERS),
        "one_process": one,
        "two_processes": two,
    }
    before = json.loads(path.read_text()) if path.is_file() else {}
    common.write_json(path, content | {name: before[name] for name in ("long_recordings",) if name in before})


if __name__ == "__main__":
    main()
