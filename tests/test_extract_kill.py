"""`signx-hf extract` killed at random moments and run again: the same dataset, nothing done again, nothing lost."""

import contextlib
import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT
from datasets import load_from_disk
from make_model import make_frames, write_video

from signx_hf.poses import ExtractOptions, dataset_hash
from signx_hf.poses.cache import RowCache
from signx_hf.poses.extraction import open_extractors, run_extract
from signx_hf.poses.planning import make_plan
from signx_hf.poses.sources import open_videos

TRACKS = ["extract_probe:Changes", "extract_probe:Squares"]
NAMES = ["changes", "squares"]
KILLS = 10
WITH_WORKERS = (3,)
AT_THE_END = (8, 9)
CLIPS = 6
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]), "OMP_NUM_THREADS": "1"}


def command(videos: Path, out: Path, diary: Path, jobs: int, pause: float = 0.03) -> list[str]:
    options = [
        f"--option={name}.{option}={value}" for name in NAMES for option, value in (("diary", diary), ("pause", pause))
    ]
    base = [sys.executable, "-m", "signx_hf", "extract", str(videos), "--tracks", ",".join(TRACKS), "--out", str(out)]
    return [*base, "--jobs", str(jobs), *options]


def lines(diary: Path) -> list[str]:
    return diary.read_text().splitlines() if diary.exists() else []


def finished(videos: Path, out: Path) -> set[str]:
    """`<track> <clip>` of everything that the cache holds."""
    cache, extractors = RowCache(out.with_name(out.name + ".cache")), open_extractors(TRACKS, {})
    plan = make_plan(open_videos(videos)[1], extractors, cache)
    return {
        f"{track} {task.id}"
        for task in plan.tasks.values()
        for track, key in zip(NAMES, task.keys)
        if cache.seen(key) is not None
    }


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for seed in range(CLIPS):
        write_video(folder / f"clip{seed}.mkv", make_frames(5 + seed % 3, seed=seed))
    return folder


@pytest.fixture(scope="module")
def uninterrupted(videos, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "out"
    return out, run_extract(videos, TRACKS, out, ExtractOptions()).dataset_hash


# Runs the command in forks of one process that has imported everything: ten starts from nothing would take minutes.
FORKS = """
import json, os, sys
import signx_hf.poses.extraction, extract_probe
from signx_hf.cli import main
for line in sys.stdin:
    if child := os.fork():
        print(child, flush=True)
        print(os.waitpid(child, 0)[1], flush=True)
        continue
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)
    os._exit(main(json.loads(line)))
"""


class Forked:
    """A run of the command as a fork, in the little of `subprocess.Popen` that is needed here."""

    def __init__(self, server: subprocess.Popen, arguments: list[str]):
        self.server = server
        server.stdin.write(json.dumps(arguments) + "\n")
        server.stdin.flush()
        self.pid = int(server.stdout.readline())

    def poll(self) -> int | None:
        return 0 if select.select([self.server.stdout], [], [], 0)[0] else None

    def communicate(self) -> None:
        self.status = int(self.server.stdout.readline())


@pytest.fixture(scope="module")
def server():
    arguments = [sys.executable, "-c", FORKS]
    process = subprocess.Popen(arguments, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    yield process
    process.communicate()


def wait_for(ready, process) -> None:
    """Until the moment has come, or the process has ended on its own."""
    limit = time.monotonic() + 600  # only so that what hangs ends
    while process.poll() is None and not ready():
        assert time.monotonic() < limit, "the moment never came"
        time.sleep(0.002)


def test_killed_at_ten_random_moments(videos, uninterrupted, server, tmp_path):
    """Each run gets a few clips further, and is then killed with all its processes: one of them a whole command with two workers,
    the last two while they put the dataset together."""
    draw = random.Random(20)
    out, diary = tmp_path / "out", tmp_path / "diary"
    before: set[str] = set()
    killed, steps = 0, []
    for kill in range(KILLS):
        diary.unlink(missing_ok=True)
        if kill in WITH_WORKERS:
            process = subprocess.Popen(
                command(videos, out, diary, jobs=2), env=ENVIRONMENT, start_new_session=True, stderr=subprocess.DEVNULL
            )
        else:
            pause = 0 if kill in AT_THE_END else 0.03
            process = Forked(server, command(videos, out, diary, jobs=1, pause=pause)[3:])
        if kill in AT_THE_END:
            wait_for(lambda: out.with_name(".out.partial").exists(), process)
            time.sleep(draw.random() * 0.01)
        else:
            count = draw.randint(1, 9)  # lines of the diary: loads, starts, ends
            wait_for(lambda count=count: len(lines(diary)) >= count, process)
            time.sleep(draw.random() * 0.1)
        killed += process.poll() is None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        done = finished(videos, out)
        assert before <= done, "something was lost"
        again = {line.removesuffix(" start") for line in lines(diary) if line.endswith(" start")} & before
        assert not again, "something was done again"
        assert not out.exists() or dataset_hash(load_from_disk(out)) == uninterrupted[1], "half a dataset"
        before = done
        steps.append(len(done))
    assert killed >= KILLS - 2, "too few runs were there to be killed"
    assert len(set(steps)) >= 3, f"the kills met too few moments: {steps}"
    diary.unlink(missing_ok=True)
    last = Forked(server, command(videos, out, diary, jobs=1, pause=0)[3:])
    last.communicate()
    assert last.status == 0 and dataset_hash(load_from_disk(out)) == uninterrupted[1]
    assert not {line.removesuffix(" start") for line in lines(diary)} & before
    for path in sorted(uninterrupted[0].iterdir()):
        assert (out / path.name).read_bytes() == path.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} - {"diary"} == {"out", "out.cache"}


def test_control_c_keeps_what_is_finished(videos, uninterrupted, tmp_path):
    out, diary = tmp_path / "out", tmp_path / "diary"
    process = subprocess.Popen(
        [*command(videos, out, diary, jobs=2), *(f"--option={name}.hold=clip{CLIPS - 1}" for name in NAMES)],
        env=ENVIRONMENT,
        start_new_session=True,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
    )
    # both workers have started, and all clips are finished but the one that never ends
    wait_for(lambda: sum(line.endswith("load") for line in lines(diary)) == 2 * len(NAMES), process)
    wait_for(lambda: len(finished(videos, out)) >= len(NAMES) * (CLIPS - 1), process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all processes of the run
    errors = process.communicate(timeout=600)[1].decode()
    assert process.returncode == 130 and errors.splitlines() == ["signx-hf: stopped"]
    done = finished(videos, out)
    assert 4 <= len(done) < len(NAMES) * CLIPS and not out.exists() and not list(tmp_path.glob(".out*"))
    report = run_extract(videos, TRACKS, out, ExtractOptions())
    assert report.dataset_hash == uninterrupted[1] and report.cached >= 2


def test_two_runs_share_a_cache(videos, uninterrupted, tmp_path):
    """At the same time, over the same clips; and a third at the output of the first is refused."""
    runs = []
    for number in range(2):
        arguments = command(videos, tmp_path / f"out{number}", tmp_path / "diary", 1, 0.05)
        arguments += ["--cache", str(tmp_path / "rows")]
        runs.append(
            subprocess.Popen(arguments, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
    wait_for(lambda: len(lines(tmp_path / "diary")) > 2, runs[0])
    wait_for(lambda: (tmp_path / ".out0.lock").exists() and (tmp_path / ".out0.lock").stat().st_size, runs[0])
    with pytest.raises(ValueError, match=f"out0: process {runs[0].pid} on .* is making this dataset"):
        run_extract(videos, TRACKS, tmp_path / "out0", ExtractOptions())
    for number, process in enumerate(runs):
        text, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors
        assert uninterrupted[1] in text
        assert dataset_hash(load_from_disk(tmp_path / f"out{number}")) == uninterrupted[1]
