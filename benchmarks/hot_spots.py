"""Four hot spots before and after: threads on a busy machine, the joint beam, a list of 720p clips, a step of stage 4.

    git worktree add ../before bf4bf5f
    python benchmarks/hot_spots.py --before ../before [--rounds 3] [--neighbors 2]

Each side runs in processes of its own, in turns, from its checkout; medians over the rounds, and the ratio of the two sides
in the same round. Others may compute on the same machine, so CPU time of the process stands beside time on the wall. What the sides
give (scores, glosses, weights) must be the same, bit for bit. The clip is `asl_clips/3381121.mp4` of the folder of real data
(`SIGNX_DATA`, 720 x 720) with the weights of the demo. Writes results/hot_spots.json.
"""

import argparse
import contextlib
import hashlib
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import common

VOCABULARIES = (101, 1300, 5000)
STEPS, BEAMS, PIECES = 34, 5, 6  # of a clip, of the search, of a hypothesis
CLIPS = 6
COUNTS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "GOMP_SPINCOUNT",
    "SIGNX_THREADS",
)
PARTS = ("one_thread", "busy_machine")
# what a busy machine is measured with: name -> (side, variables)
BUSY = {
    "one thread, before": ("before", {"OMP_NUM_THREADS": "1"}),
    "as started, before": ("before", {}),
    "as started, after": ("after", {}),
    "two threads, after": ("after", {"SIGNX_THREADS": "2"}),
}


def digest(*parts: Any) -> str:
    """One hash of bytes, tensors and what JSON can write."""
    found = hashlib.sha256()
    for part in parts:
        found.update(part if isinstance(part, bytes) else json.dumps(part, default=str).encode())
    return found.hexdigest()[:16]


def clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def timed(function, repeats: int) -> tuple[Any, dict[str, float]]:
    """What the last call gave, and medians of wall and CPU time in ms; one call before is not counted."""
    found = function()
    times = []
    for _ in range(repeats):
        began = clocks()
        found = function()
        times.append([1e3 * (now - then) for now, then in zip(clocks(), began)])
    return found, {"wall_ms": statistics.median(t[0] for t in times), "cpu_ms": statistics.median(t[1] for t in times)}


# ---------------------------------------------------------------------------------------------------------- children


def joint() -> dict[str, dict]:
    """The joint search of one clip, as `generate` makes it: the share of CTC, and the whole of it."""
    import torch

    from signx_hf import SignXConfig, SignXForGlossRecognition

    rows = {}
    for size in VOCABULARIES:
        torch.manual_seed(0)
        pieces = [[], *([5 + n] for n in range(size - 1))]  # one piece each, as in the demo: the most next pieces
        text = {"vocab_size": size + 5, "gloss_pieces": pieces}
        model = SignXForGlossRecognition(SignXConfig.tiny(ctc_vocab_size=size, text_config=text)).eval()
        with torch.no_grad():
            model.decoder.embed_tokens.weight.mul_(5)
        features = torch.randn(1, STEPS, model.config.recognizer_config.feature_size)
        with torch.no_grad():
            encoded = model.encode(features=features)
        share: list[float] = []
        make = type(model)._joint_processor

        def watched(self, *given, make=make, share=share):
            began = time.process_time()
            processor = make(self, *given)
            share.append(time.process_time() - began)
            call = type(processor).__call__

            class Watched(type(processor)):
                def __call__(self, *given):
                    began = time.process_time()
                    scores = call(self, *given)
                    share[-1] += time.process_time() - began
                    return scores

            processor.__class__ = Watched
            return processor

        type(model)._joint_processor = watched
        options = {"num_beams": BEAMS, "ctc_weight": 0.3, "min_new_tokens": PIECES, "max_new_tokens": PIECES}
        options |= {"return_dict_in_generate": True, "output_scores": True}

        def search(model=model, encoded=encoded, options=options):
            return model.generate(encoder_outputs=encoded, **options)

        output, times = timed(search, 7)
        type(model)._joint_processor = make
        scores = b"".join(step.numpy().tobytes() for step in output.scores)
        rows[f"joint beam, {size} glosses"] = {
            "cpu_ms": 1e3 * statistics.median(share[1:]), "search_cpu_ms": times["cpu_ms"],
            "same": digest(output.sequences.tolist(), output.sequences_scores.numpy().tobytes(), scores),
        }  # fmt: skip
    return rows


def training() -> dict[str, dict]:
    """Steps of stage 4 of preset tiny on cached features."""
    import tempfile

    import training_speed

    case = next(case for case in training_speed.CASES if case.name.startswith("refine tiny"))
    made: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        row = training_speed.measure(case, Path(folder), 0, made)
    weights = b"".join(value.contiguous().numpy().tobytes() for value in made["model"].state_dict().values())
    return {"stage 4 tiny, a step": {"cpu_ms": row["step_cpu_ms"], "wall_ms": row["step_ms"], "same": digest(weights)}}


def load_demo():
    import torch
    from transformers import pipeline
    from transformers.utils import logging

    import signx_hf

    logging.disable_progress_bar()
    return torch, pipeline("sign-recognition", model=str(signx_hf.model_place("demo")), device="cpu")


def clip_path() -> str:
    return str(Path(os.environ.get("SIGNX_DATA", common.ROOT.parent / "shared/data")) / "asl_clips/3381121.mp4")


def clips() -> dict[str, dict]:
    """A list of 720p clips, a clip."""
    _, recognizer = load_demo()
    paths = [clip_path()] * CLIPS
    results, times = timed(lambda: recognizer(paths), 3)
    return {"720p demo clip": {**{name: value / CLIPS for name, value in times.items()}, "same": digest(results)}}


def busy() -> dict[str, Any]:
    """One clip as `signx-hf recognize` computes it, with the threads of the command."""
    try:
        from signx_hf.common.threads import computing, cores

        threads = computing(None, cores(with_load=True).threads())
    except ImportError:
        threads = contextlib.nullcontext()
    with threads:
        torch, recognizer = load_demo()
        batch = recognizer.preprocess(clip_path())
        result, times = timed(lambda: recognizer.forward(dict(batch)), 7)
        return {**times, "threads": torch.get_num_threads(), "glosses": result["results"][0]["n_best"][0]["glosses"]}


def child(part: str) -> None:
    if part != "busy":  # there the command sets threads, before torch is loaded
        import torch

        torch.set_num_threads(1)
    print(json.dumps(busy() if part == "busy" else {"joint": joint, "training": training, "clips": clips}[part]()))


# ------------------------------------------------------------------------------------------------------------ parent


def run_child(tree: Path, part: str, variables: dict[str, str]) -> dict[str, Any]:
    environment = {name: value for name, value in os.environ.items() if name not in COUNTS}
    environment |= {"PYTHONPATH": str(tree), "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore", **variables}
    command = [sys.executable, str(Path(__file__).resolve()), "--child", part]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{part} of {tree}: {done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def compare(sides: dict[str, Path], rounds: int) -> list[dict]:
    """Joint beam, training and clips, each round one process a side."""
    found: dict[str, dict[str, list[dict]]] = {}
    for _ in range(rounds):
        for part in ("joint", "training", "clips"):
            for side, tree in sides.items():
                for name, row in run_child(tree, part, {"OMP_NUM_THREADS": "1"}).items():
                    found.setdefault(name, {}).setdefault(side, []).append(row)
    rows = []
    for name, both in found.items():
        if len({row["same"] for side in both.values() for row in side}) != 1:
            raise SystemExit(f"{name}: the two sides do not give the same")
        row: dict[str, Any] = {"case": name, "threads": 1, "bit_identical": True}
        for measure in (key for key in both["before"][0] if key != "same"):
            pairs = [(old[measure], new[measure]) for old, new in zip(both["before"], both["after"])]
            row[measure] = {
                "before": round(statistics.median(old for old, _ in pairs), 2),
                "after": round(statistics.median(new for _, new in pairs), 2),
                "before_over_after": [round(old / new, 2) for old, new in pairs],
            }
        rows.append(row)
    return rows


def on_busy_machine(sides: dict[str, Path], rounds: int, neighbors: int) -> list[dict]:
    """The model's share of a 720p clip beside programs that take all the processor they get."""
    found: dict[str, list[dict]] = {name: [] for name in BUSY}
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(neighbors)]
    try:
        for _ in range(rounds):
            for name, (side, variables) in BUSY.items():
                found[name].append(run_child(sides[side], "busy", variables))
    finally:
        for other in others:
            other.kill()
            other.wait()
    if len({tuple(run["glosses"]) for runs in found.values() for run in runs}) != 1:
        raise SystemExit("busy: the glosses depend on the threads")
    base = [run["wall_ms"] for run in found["one thread, before"]]
    return [
        {
            "case": name, "threads": [run["threads"] for run in runs],
            "wall_ms": [round(run["wall_ms"], 1) for run in runs], "cpu_ms": [round(run["cpu_ms"], 1) for run in runs],
            "wall_over_one_thread": [round(run["wall_ms"] / one, 2) for run, one in zip(runs, base)],
        }
        for name, runs in found.items()
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, help="checkout of the commit to compare with")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--neighbors", type=int, default=2, help="programs that keep the machine busy; default: 2")
    parser.add_argument("--only", choices=PARTS, help="measure one part; the other stays as it was")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child(options.child)
    if options.before is None:
        parser.error("--before is needed: a checkout of the commit to compare with")
    sides = {"before": options.before.resolve(), "after": common.ROOT}
    git = ["git", "-C", str(sides["before"]), "rev-parse", "HEAD"]
    before = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    path = common.RESULTS / "hot_spots.json"
    content = json.loads(path.read_text()) if path.is_file() else {}
    for part in PARTS if options.only is None else (options.only,):
        measured = {
            "command": f"python benchmarks/hot_spots.py --before BEFORE --rounds {options.rounds} --neighbors {options.neighbors}"
            f" --only {part}",
            "commit": common.commit(), "commit_before": before, "hardware": common.hardware(1),
            "versions": common.versions("torch", "transformers", "accelerate", "numpy", "av"),
            "load_at_start": common.load_average(),
        }  # fmt: skip
        if part == "one_thread":
            measured["rows"] = compare(sides, options.rounds)
        else:
            measured["rows"] = on_busy_machine(sides, options.rounds, options.neighbors)
        measured["load_at_end"] = common.load_average()
        for row in measured["rows"]:
            print(json.dumps(row), flush=True)
        content[part] = measured
        common.write_json(path, content)


if __name__ == "__main__":
    main()
