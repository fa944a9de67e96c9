"""How many threads compute and how they wait: made-up machines, what the user has set, and every command."""

import argparse
import json
import os
import subprocess
import sys

import pytest
from conftest import ROOT
from helpers import run_python

from signx_hf.cli import _leaves, build_parser, main
from signx_hf.common.threads import COUNTS, WAITING, Cores, cgroup_quota, computing, read_threads, settings
from signx_hf.jobs.local_engine import thread_environment


@pytest.mark.parametrize(
    ("cores", "expected"),
    [
        (Cores(8, 8), 8),
        (Cores(8, 3), 3),  # taskset
        (Cores(64, 64, quota=2.0), 2),  # docker run --cpus 2
        (Cores(64, 64, quota=2.9), 2),  # a part of a core is no core
        (Cores(64, 64, quota=0.5), 1),
        (Cores(8, 8, load=0.3), 8),
        (Cores(8, 8, load=5.2), 3),
        (Cores(2, 2, load=1.0), 1),
        (Cores(2, 2, load=17.0), 1),
        (Cores(64, 4, load=32.0), 4),  # the load is that of the whole machine
        (Cores(64, 4, quota=3.0, load=62.0), 2),
        (Cores(64, 4, quota=3.0, load=10.0), 3),
        (Cores(1, 1, quota=0.1, load=3.0), 1),
    ],
)
def test_threads_have_a_core_each(cores, expected):
    assert cores.threads() == expected


def _write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"": "max 100000"}, None),
        ({"a/b": "150000 100000"}, 1.5),
        ({"a/b": "max 100000", "a": "400000 100000"}, 4.0),  # of a group above
        ({"a/b": "300000 100000", "a": "200000 50000"}, 3.0),
        ({"a/b": "300000 100000", "a": "100000 50000"}, 2.0),
        ({"a/b": "garbage"}, None),
        ({"": "50000 100000", "other": "1000 100000"}, 0.5),  # a container: the path is that of the host
    ],
)
def test_quota_of_version_2(tmp_path, limits, expected):
    for group, text in limits.items():
        _write(tmp_path / "fs" / group, cpu__max=text)
    (tmp_path / "cgroup").write_text("0::/a/b\n")
    assert cgroup_quota(tmp_path / "cgroup", tmp_path / "fs") == expected


@pytest.mark.parametrize(
    ("folder", "controllers"), [("cpu", "cpu,cpuacct"), ("cpu,cpuacct", "cpu,cpuacct"), ("cpu", "cpu")]
)
def test_quota_of_version_1(tmp_path, folder, controllers):
    _write(tmp_path / "fs" / folder, cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    lines = f"12:memory:/docker/x\n4:{controllers}:/docker/x\n0::/docker/x\n"
    (tmp_path / "cgroup").write_text(lines)
    assert cgroup_quota(tmp_path / "cgroup", tmp_path / "fs") is None
    _write(tmp_path / "fs" / folder / "docker" / "x", cpu__cfs_quota_us="250000", cpu__cfs_period_us="100000")
    assert cgroup_quota(tmp_path / "cgroup", tmp_path / "fs") == 2.5


def test_no_quota_where_there_are_no_groups(tmp_path):
    assert cgroup_quota(tmp_path / "missing", tmp_path) is None


def test_what_the_user_has_set_is_kept():
    every = dict.fromkeys(COUNTS, "3")
    assert settings(None, 3, {}) == {**WAITING, **every}
    assert settings(None, 3, {"MKL_NUM_THREADS": "5"}) == WAITING
    assert settings(None, 3, {"OMP_NUM_THREADS": ""}) == {**WAITING, **every}
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"):
        assert settings(None, 3, {name: "7"}) == every
    assert settings(2, 3, {"OMP_NUM_THREADS": "9", "OMP_WAIT_POLICY": "ACTIVE"}) == {
        **dict.fromkeys(COUNTS, "2"),
        "SIGNX_THREADS": "2",
    }


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "4097", "99999999999", "", "two", "²", "1_0"])
def test_numbers_of_threads(text):
    with pytest.raises(ValueError, match="from 1 to 4096"):
        read_threads(text)


def test_every_command_has_the_option(capsys):
    leaves = list(_leaves(build_parser()))
    assert len({leaf.prog for leaf in leaves}) == len(leaves) > 15
    for leaf in leaves:
        option = leaf._option_string_actions["--threads"]
        assert isinstance(option, argparse.Action) and option.default is None and "cores are free" in option.help
    with pytest.raises(SystemExit):
        main(["data", "list", "--threads", "none"])
    assert "must be a whole number" in capsys.readouterr().err


def test_a_wrong_variable_is_one_line(monkeypatch, capsys):
    monkeypatch.setenv("SIGNX_THREADS", "many")
    assert main(["data", "list"]) == 2
    assert capsys.readouterr().err.startswith("signx-hf: SIGNX_THREADS: `threads` must be")


SHOW = """
import json, os, sys
import signx_hf.doctor as doctor
from signx_hf.cli import main

before = dict(os.environ)
assert "torch" not in sys.modules

def run(options):
    assert "torch" not in sys.modules, "the variables would come too late"
    import torch

    seen = {name: os.environ.get(name) for name in %r}
    print(json.dumps({**seen, "torch": torch.get_num_threads()}))
    return 0

doctor.run = run
assert main(%r) == 0
assert dict(os.environ) == before, "a process is left as it was"
"""


@pytest.mark.parametrize(
    ("arguments", "environment", "threads"),
    [
        ([], {}, None),
        (["--threads", "1"], {"OMP_NUM_THREADS": "2"}, 1),
        ([], {"SIGNX_THREADS": "1", "OMP_NUM_THREADS": "2"}, 1),
    ],
)
def test_a_command_sets_them_before_torch_loads(arguments, environment, threads):
    names = [*COUNTS, *WAITING]
    clean = {name: value for name, value in os.environ.items() if name not in (*names, "SIGNX_THREADS")}
    code = SHOW % (names, ["doctor", *arguments])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env={**clean, **environment}
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    threads = threads or seen["torch"]
    assert 1 <= threads <= os.cpu_count()
    assert seen == {**WAITING, **dict.fromkeys(COUNTS, str(threads)), "torch": threads}


def test_an_import_sets_nothing(tmp_path):
    run_python(
        "import os; before = dict(os.environ); import signx_hf, torch; threads = torch.get_num_threads();"
        "signx_hf.SignXConfig; import signx_hf.cli;"
        "assert dict(os.environ) == before and torch.get_num_threads() == threads",
        tmp_path,
    )


def test_a_loaded_torch_is_left_alone():
    import torch

    before, environment = torch.get_num_threads(), dict(os.environ)
    with computing(None, 7):
        assert torch.get_num_threads() == before and dict(os.environ) == environment
    with computing(before + 1, 7):
        assert torch.get_num_threads() == before + 1
        assert set(thread_environment().values()) == {str(before + 1)}  # so have the processes of --jobs
    assert torch.get_num_threads() == before and dict(os.environ) == environment
    assert set(thread_environment().values()) == {"1"}
