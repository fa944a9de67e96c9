"""`signx-hf extract` killed at random moments and run again: the same dataset, nothing done again, nothing lost."""

import contextlib
import os
import random
import re
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
from signx_hf.poses.extraction import make_plan, open_extractors, open_videos, run_extract

TRACKS = ["extract_probe:Changes", "extract_probe:Squares"]
NAMES = ["changes", "squares"]
KILLS = 10
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
    plan = make_plan(open_videos(videos, ExtractOptions())[1], extractors, cache, ExtractOptions())
    return {
        f"{track} {task.id}"
        for task in plan.tasks.values()
        for track, key in zip(NAMES, task.keys)
        if cache.seen(key) is not None
    }


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for seed in range(8):
        write_video(folder / f"clip{seed}.mkv", make_frames(5 + seed % 3, seed=seed))
    return folder


@pytest.fixture(scope="module")
def uninterrupted(videos, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "out"
    return out, run_extract(videos, TRACKS, out, ExtractOptions()).dataset_hash


def wait_for(ready, process: subprocess.Popen) -> None:
    """Until the moment has come, or the process has ended on its own."""
    limit = time.monotonic() + 90
    while process.poll() is None and not ready():
        assert time.monotonic() < limit, "the moment never came"
        time.sleep(0.002)


def test_killed_at_ten_random_moments(videos, uninterrupted, tmp_path):
    """Each run gets one or two clips further, and is then killed with all its processes; the last kills meet the run that
    puts the dataset together."""
    draw = random.Random(20)
    out, diary = tmp_path / "out", tmp_path / "diary"
    before: set[str] = set()
    survived = 0
    for kill in range(KILLS):
        diary.unlink(missing_ok=True)
        process = subprocess.Popen(
            command(videos, out, diary, jobs=1 + kill % 2),
            env=ENVIRONMENT,
            start_new_session=True,
            stderr=subprocess.PIPE,
        )
        if len(before) == len(NAMES) * 8:
            beside = out.with_name(".out.partial")
            wait_for(lambda beside=beside: beside.exists(), process)
        else:
            count = draw.randint(1, 6)  # lines of the diary: loads, starts, ends
            wait_for(lambda count=count: len(lines(diary)) >= count, process)
        time.sleep(draw.random() * 0.1)
        survived += process.poll() is None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        done = finished(videos, out)
        assert before <= done, "something was lost"
        again = {line.removesuffix(" start") for line in lines(diary) if line.endswith(" start")} & before
        assert not again, "something was done again"
        assert not out.exists() or dataset_hash(load_from_disk(out)) == uninterrupted[1], "half a dataset"
        before = done
    assert survived >= KILLS - 2, "too few runs were there to be killed"
    diary.unlink(missing_ok=True)
    last = subprocess.run(
        command(videos, out, diary, 1, 0), env=ENVIRONMENT, capture_output=True, text=True, timeout=120
    )
    assert last.returncode == 0, last.stderr
    assert re.search(r"hash +(\w+)", last.stdout).group(1) == uninterrupted[1]
    assert not {line.removesuffix(" start") for line in lines(diary)} & before
    for path in sorted(uninterrupted[0].iterdir()):
        assert (out / path.name).read_bytes() == path.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["diary", "out", "out.cache"]


def test_control_c_keeps_what_is_finished(videos, uninterrupted, tmp_path):
    out, diary = tmp_path / "out", tmp_path / "diary"
    process = subprocess.Popen(
        command(videos, out, diary, jobs=2), env=ENVIRONMENT, start_new_session=True, stderr=subprocess.PIPE
    )
    wait_for(lambda: sum(line.endswith("end") for line in lines(diary)) >= 5, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all processes of the run
    errors = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 130 and errors.splitlines() == ["signx-hf: stopped"]
    done = finished(videos, out)
    assert 4 <= len(done) < 16 and not out.exists() and not list(tmp_path.glob(".out*"))
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
        text, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        assert uninterrupted[1] in text
        assert dataset_hash(load_from_disk(tmp_path / f"out{number}")) == uninterrupted[1]
