"""Kill every stage of training ten times, resume it, and compare with a run that nobody killed.

    python tests/stress/training_kill.py

Each stage trains on a few clips of SignSynth `tiny`: once by `python -m signx_hf train`, uninterrupted; once more in processes that
get SIGKILL within set-up, steps, measurements, writing of checkpoints and the end, the place within drawn at random, and go on with
`--resume true`. Then `log.csv` and `model/model.safetensors` must be the same bytes. After that the bad ends: numbers that are none,
a video cut short, a full disk, each in the middle of a run: one line, the earlier checkpoints untouched, and with the cause gone
the run goes on to the same bytes. Writes benchmarks/results/training_kill.json. About ten minutes on one core.

The processes that are killed are forked from a server that has imported everything: importing takes longer than training here.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # read when numpy loads its BLAS, so before the imports below
os.environ.update(HF_HUB_OFFLINE="1", TQDM_DISABLE="1", TOKENIZERS_PARALLELISM="false")

import argparse
import contextlib
import hashlib
import importlib
import io
import multiprocessing
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))
import common
import numpy as np

SEED = 0
CLIPS = 36  # six training sentences, six training signs
PHASES = ("import", "set-up", "caching", "step", "measurement", "checkpoint", "end")
# module of signx_hf.training, class, method -> phase
METHODS = {
    ("loop", "TrainingLoop", "run"): None, ("loop", "TrainingLoop", "_step"): "step", ("evaluator", "Evaluator", "run"): "measurement",
    ("saving", "RunSaver", "save"): "checkpoint", ("saving", "RunSaver", "write_model"): "end",
}  # fmt: skip
# where the ten kills fall: (phase, how often it is entered before); the moment within the phase is drawn
PLAN = (
    ("set-up", 0), ("step", 1), ("checkpoint", 0), ("measurement", 0), ("step", 3), ("checkpoint", 1), ("set-up", 0),
    ("measurement", 1), ("step", 2), ("end", 0),
)  # fmt: skip
CACHING = (("caching", 0), ("caching", 0), *PLAN[2:])  # of stages that cache what stands still
COMMON = {"num_train_epochs": 6, "per_device_train_batch_size": 2, "bucket": 2, "eval_epochs": 1, "save_epochs": 0.67,
          "ema_decay": 0.9, "average_best": 2, "progress": "false"}  # fmt: skip
# stage -> configuration, the stage it starts from, options of its own
STAGES = {
    "pose2gloss": (
        "01_pose2gloss",
        None,
        {"gradient_accumulation_steps": 2, "frame_mask": 0.1, "num_train_epochs": 9},
    ),
    "video2pose": (
        "02_video2pose",
        "pose2gloss",
        {"num_workers": 1, "window": 8, "loader_options": "{task: isolated}"},
    ),
    "latent_ctc": ("03_sentences_from_latents", "video2pose", {"tensorboard": "true"}),
    "refine": ("04_refine", "latent_ctc", {"num_workers": 1}),
    "isolated": ("isolated", None, {"frame_mask": 0.1}),
}


@dataclass
class Study:
    """Where everything lies: corpus, runs, caches; and what the children say about themselves."""

    folder: Path
    context: multiprocessing.context.BaseContext
    shared: object  # [phase, entries of that phase in this process, step]
    durations: dict[str, list[float]] = field(default_factory=dict)

    def arguments(self, stage: str, out: str, **changes: object) -> list[str]:
        """The command line of a run, less `python -m signx_hf`."""
        config, upstream, options = STAGES[stage]
        options = {**COMMON, **options, "data_dir": self.folder / "synth_tiny", **changes}
        if upstream:
            options["upstream"] = self.folder / f"{upstream}-whole"
        options |= {"output_dir": self.folder / out, "resume": "true"}
        path = common.ROOT / "examples" / "configs" / "signsynth_tiny" / f"{config}.yaml"
        return ["train", stage, "--config", str(path), *(f"--{name}={value}" for name, value in options.items())]

    def whole(self, stage: str) -> tuple[float, str]:
        """The uninterrupted run by the real command line: seconds, standard error."""
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "signx_hf", *self.arguments(stage, f"{stage}-whole", cache_dir=self.folder / "cache")],
            cwd=common.ROOT, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"{stage}: the uninterrupted run failed: {done.stderr[-2000:]}")
        return time.monotonic() - began, done.stderr

    def start(self, arguments: list[str]) -> multiprocessing.Process:
        """A process that runs that command line and says in `shared` where it is."""
        self.shared[:] = [0, 0, 0]
        process = self.context.Process(target=child, args=(arguments, self.shared, str(self.folder / "stderr.txt")))
        process.start()
        return process


def child(arguments: list[str], shared: object, errors: str) -> None:
    """The command line in a forked process. The loop's own methods run; they only say when they are entered and left."""
    from signx_hf import cli
    from signx_hf.training.checkpoints import Progress
    from signx_hf.training.feature_cache import FeatureCache

    with open(errors, "w") as file:
        os.dup2(file.fileno(), 2)
    entries = dict.fromkeys(PHASES, 0)

    def observed(method, phase):
        def run(self, *given):
            before = shared[:2]
            progress = [one for one in (getattr(self, "progress", None), *given) if isinstance(one, Progress)]
            shared[2] = progress[0].step if progress else 0
            if phase is not None:
                shared[1] = entries[phase]
                shared[0] = PHASES.index(phase)
                entries[phase] += 1
            try:
                return method(self, *given)
            finally:
                shared[:2] = before if phase is not None else shared[:2]

        return run

    for (module, owner, name), phase in METHODS.items():
        owner = getattr(importlib.import_module(f"signx_hf.training.{module}"), owner)
        setattr(owner, name, observed(getattr(owner, name), phase))
    FeatureCache.fill = observed(FeatureCache.fill, "caching")
    shared[0] = PHASES.index("set-up")  # of everything up to the first step
    with contextlib.redirect_stdout(io.StringIO()):
        code = cli.main(arguments)
    sys.stderr.flush()
    os._exit(code)


def rehearse(study: Study, stage: str) -> bool:
    """An uninterrupted run in a forked process, to see how long each phase lasts. True if it left the bytes of the command line."""
    process = study.start(study.arguments(stage, f"{stage}-rehearsal", cache_dir=study.folder / "cache-rehearsal"))
    seen: dict[str, list[float]] = {}
    last, since = (0, 0), time.monotonic()
    while process.is_alive():
        now = tuple(study.shared[:2])
        if now != last:
            seen.setdefault(PHASES[last[0]], []).append(time.monotonic() - since)
            last, since = now, time.monotonic()
        time.sleep(0.0005)
    process.join()
    study.durations = {phase: sorted(times) for phase, times in seen.items()}
    return process.exitcode == 0 and same(study, stage, f"{stage}-rehearsal")


def kill(study: Study, arguments: list[str], phase: str, skip: int, random: np.random.Generator) -> dict | None:
    """Starts the run and kills it within a phase, at a moment drawn at random. Where it fell; None if it came to its end before."""
    process = study.start(arguments)
    lasts = study.durations.get(phase, [0.02])
    wait = float(random.uniform(0, 1)) * lasts[len(lasts) // 2]
    wanted = PHASES.index(phase)
    while process.is_alive() and not (study.shared[0] == wanted and study.shared[1] >= skip):
        time.sleep(0.0005)
    time.sleep(wait)
    killed = process.is_alive()
    if killed:
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    if not killed or process.exitcode != -signal.SIGKILL:
        return None
    out = Path(next(a for a in arguments if a.startswith("--output_dir=")).split("=", 1)[1])
    saved = sorted(int(path.name.rsplit("-", 1)[1]) for path in out.glob("checkpoint-*"))
    half = [path.name for path in out.rglob(".*") if path.suffix in (".part", ".old")]
    return {
        "aimed_at": phase, "fell_in": PHASES[study.shared[0]], "at_step": study.shared[2],
        "newest_checkpoint": saved[-1] if saved else None, "half_written": sorted(name.split(".")[1] for name in half),
    }  # fmt: skip


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes, empty if it is not there."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def same(study: Study, stage: str, out: str) -> bool:
    """Whether a run left the log and the weights of the uninterrupted one, byte for byte."""
    names = ("log.csv", "model/model.safetensors")
    pairs = [[digest(study.folder / run / name) for run in (f"{stage}-whole", out)] for name in names]
    return all(one and one == two for one, two in pairs)


def finish(study: Study, arguments: list[str]) -> tuple[int, str]:
    """Runs to the end: exit code, standard error."""
    process = study.start(arguments)
    process.join()
    return process.exitcode, (study.folder / "stderr.txt").read_text()


def study_stage(study: Study, stage: str) -> dict:
    """One stage: whole, rehearsed, and killed ten times."""
    for old in study.folder.glob(f"{stage}-*"):
        shutil.rmtree(old)
    seconds, _ = study.whole(stage)
    rehearsed = rehearse(study, stage)
    random = np.random.default_rng([SEED, list(STAGES).index(stage)])
    arguments = study.arguments(stage, f"{stage}-killed", cache_dir=study.folder / "cache-killed")
    kills, escaped = [], 0
    for phase, skip in CACHING if STAGES[stage][1] else PLAN:
        found = kill(study, arguments, phase, skip, random)
        while found is None and escaped < 10:  # it had come to its end before
            found, escaped = kill(study, arguments, phase, skip, random), escaped + 1
        kills.append(found)
    code, errors = finish(study, arguments)
    log = study.folder / f"{stage}-whole" / "log.csv"
    out = study.folder / f"{stage}-killed"
    return {
        "steps": int(log.read_text().splitlines()[-1].split(",")[0]), "numbers_logged": len(log.read_text().splitlines()) - 1,
        "seconds_uninterrupted_with_imports": round(seconds, 1), "rehearsal_identical": rehearsed,
        "kills": [found for found in kills if found], "came_to_an_end_before_the_kill": escaped,
        "exit_code_of_last_resumption": code, "identical": code == 0 and same(study, stage, out.name),
        "left_over": sorted(str(path.relative_to(out)) for path in out.rglob(".*")), "errors": errors[-500:] if code else "",
    }  # fmt: skip


# bad ends


def stopped_and_resumed(study: Study, stage: str, out: str, arguments: list[str], mend) -> dict:
    """A run whose cause to stop is there: what it says, what is left, and where it ends once `mend` has removed the cause."""
    before = checkpoints(study.folder / out)
    code, errors = finish(study, arguments)
    after = checkpoints(study.folder / out)
    kept = {name: value for name, value in before.items() if name in after}
    newest = max(after, key=lambda name: int(name.split("-")[1]), default=None)
    mend()
    again, said = finish(study, arguments)
    return {
        "exit_code": code, "lines": len(errors.strip().splitlines()), "message": errors.strip().replace(str(study.folder), ".")[-600:],
        "checkpoints_before_unchanged": all(after[name] == value for name, value in kept.items()) and bool(after),
        "newest_checkpoint": newest, "identical_after_resumption": again == 0 and same(study, stage, out),
        "said_after_resumption": said.strip()[-300:] if again else "",
    }  # fmt: skip


def checkpoints(out: Path) -> dict[str, list[str]]:
    """The bytes of every checkpoint of a run, as hashes."""
    return {folder.name: [digest(path) for path in sorted(folder.iterdir())] for folder in out.glob("checkpoint-*")}


def halfway(study: Study, arguments: list[str]) -> None:
    """Leaves a run with checkpoints, killed in its middle."""
    found = kill(study, arguments, "step", 9, np.random.default_rng(SEED))
    if found is None or found["newest_checkpoint"] is None:
        raise SystemExit(f"no run that stands in its middle: {found}")


def not_a_number(study: Study) -> dict:
    """Stage 3, a cached latent damaged into NaN between two runs."""
    from safetensors.numpy import load_file, save_file

    cache, stage = study.folder / "cache-nan", "latent_ctc"
    arguments = study.arguments(stage, "nan", cache_dir=cache)
    halfway(study, arguments)
    shutil.copytree(cache, study.folder / "cache-good")
    for path in cache.rglob("*.safetensors"):
        arrays = load_file(path)
        if "latents" in arrays:
            save_file({name: np.full_like(value, np.nan) for name, value in arrays.items()}, path)

    def mend() -> None:
        shutil.rmtree(cache)
        (study.folder / "cache-good").rename(cache)

    return stopped_and_resumed(study, stage, "nan", arguments, mend)


def video_cut_short(study: Study) -> dict:
    """Stage 2, a training video truncated between two runs."""
    stage = "video2pose"
    data = shutil.copytree(study.folder / "synth_tiny", study.folder / "synth_cut")
    arguments = study.arguments(stage, "cut", cache_dir=study.folder / "cache-cut", data_dir=data)
    halfway(study, arguments)
    path = sorted((data / "videos").glob("train-g*.mp4"))[0]  # this stage trains on single signs here
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return stopped_and_resumed(study, stage, "cut", arguments, lambda: path.write_bytes(content))


def frames_cut_short(study: Study) -> dict:
    """Stage 2, a file of decoded frames truncated between two runs: not a stop, it is decoded again."""
    stage, cache = "video2pose", study.folder / "cache-frames"
    arguments = study.arguments(stage, "frames", cache_dir=cache)
    halfway(study, arguments)
    for path in (cache / "frames").rglob("*.npy"):
        os.truncate(path, path.stat().st_size // 2)
    code, errors = finish(study, arguments)
    said = errors.strip()[-600:] if code else ""
    return {"exit_code": code, "identical": code == 0 and same(study, stage, "frames"), "message": said}


def fill_disk(study: Study, name: str, left: float) -> dict:
    """Stage 3 in a file system of its own that is filled in the middle of the run, but for `left` times the weights."""
    stage, out = "latent_ctc", study.folder / name
    out.mkdir()
    weights = (study.folder / f"{stage}-whole" / "model" / "model.safetensors").stat().st_size
    mount = ["mount", "-t", "tmpfs", "-o", f"size={40 * weights}", "none", str(out)]
    mounted = subprocess.run(mount, capture_output=True, text=True)
    if mounted.returncode:
        return {"skipped": f"no file system of its own could be mounted: {mounted.stderr.strip()}"}
    try:
        arguments = study.arguments(stage, name, cache_dir=study.folder / "cache")
        halfway(study, arguments)
        ballast = out / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        os.truncate(ballast, ballast.stat().st_size - int(left * weights) // 4096 * 4096)
        return stopped_and_resumed(study, stage, name, arguments, ballast.unlink)
    finally:
        subprocess.run(["umount", str(out)], check=False)


def disk_full(study: Study) -> dict:
    """No room for a checkpoint."""
    return fill_disk(study, "full", 0.5)


def log_full(study: Study) -> dict:
    """Not a byte left."""
    return fill_disk(study, "full-log", 0)


BAD_ENDS = {"not a number": not_a_number, "video cut short": video_cut_short, "cached frames cut short": frames_cut_short,
            "disk full at a checkpoint": disk_full, "disk full at the log": log_full}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where to work, kept afterwards; default: a temporary folder")
    parser.add_argument(
        "--stages", nargs="*", choices=STAGES, default=list(STAGES), help="for a look; writes no result"
    )
    parser.add_argument("--bad-ends", nargs="*", choices=BAD_ENDS, default=list(BAD_ENDS))
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = str(common.ROOT)
    began, load = time.monotonic(), common.load_average()
    with contextlib.ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder = folder.resolve()
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["signx_hf.cli", "signx_hf.training.loop", "signx_hf.training.stages.refine", "datasets",
                                        "signx_hf.training.stages.video2pose", "matplotlib.figure"])  # fmt: skip
        study = Study(folder, context, context.RawArray("l", 3))
        if not (folder / "synth_tiny").is_dir():
            build = ["data", "synth", "tiny", "--out", str(folder / "synth_tiny"), "--limit", str(CLIPS)]
            subprocess.run(
                [sys.executable, "-m", "signx_hf", *build], cwd=common.ROOT, check=True, capture_output=True
            )
        results, ends = {}, {}
        for stage in options.stages:
            found = results[stage] = study_stage(study, stage)
            places = [kill["fell_in"] for kill in found["kills"]]
            print(
                f"{stage}: killed in {', '.join(places)}; identical: {found['identical']} {found['errors']}",
                flush=True,
            )
        for name in options.bad_ends:
            ends[name] = BAD_ENDS[name](study)
            print(f"{name}: {ends[name]}", flush=True)
    if options.stages == list(STAGES) and options.bad_ends == list(BAD_ENDS):
        content = {
            "hardware": common.hardware(1), "load_average_before": load, "commit": common.commit(),
            "versions": common.versions("torch", "transformers", "accelerate", "safetensors"), "seed": SEED,
            "seconds": round(time.monotonic() - began), "kills": sum(len(found["kills"]) for found in results.values()),
            "stages": results, "bad_ends": ends,
        }  # fmt: skip
        common.write_json(common.RESULTS / "training_kill.json", content)


if __name__ == "__main__":
    main()
