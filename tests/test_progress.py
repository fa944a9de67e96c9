"""Progress: a bar on a terminal, elsewhere a line now and then, in every command by the same rule."""

import io
import re

import pytest
from conftest import ROOT

from signx_hf.common import progress as module
from signx_hf.common.progress import progress


class Clock:
    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_short_work_says_nothing_without_a_terminal(clock, capsys):
    for _ in progress(range(100), desc="extract"):
        clock.now += 0.2
    assert capsys.readouterr() == ("", "")


def test_long_work_says_a_line_now_and_then(clock, capsys):
    for _ in progress(range(100), desc="extract"):
        clock.now += 1.0
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "signx-hf: extract: 30 of 100 clips, 01:10 left",
        "signx-hf: extract: 60 of 100 clips, 00:40 left",
        "signx-hf: extract: 90 of 100 clips, 00:10 left",
        "signx-hf: extract: 100 of 100 clips",
    ]


def test_a_resumed_run_counts_what_was_done_before(clock, capsys):
    with progress(total=100, initial=40, desc="train", unit="step") as bar:
        clock.now += 30
        bar.set_postfix({"loss": "0.5"}, refresh=False)
        bar.update()
    assert capsys.readouterr().err == "signx-hf: train: 41 of 100 steps, 29:30 left, loss 0.5\n"


def test_nothing_is_shown_on_request(clock, capsys):
    for _ in progress(range(3), show=False):
        clock.now += 100
    assert capsys.readouterr() == ("", "")


def test_a_terminal_has_a_bar(monkeypatch):
    monkeypatch.setattr("sys.stderr", Terminal())
    assert list(progress(iter("abc"), total=3, desc="extract")) == list("abc")
    assert list(progress([], desc="extract")) == []
    import sys

    assert re.search(r"extract: .*3/3", sys.stderr.getvalue())


def test_every_command_shows_progress_by_this_rule():
    """`tqdm` draws a bar into a file, or nothing at all, unless each caller asks for what this module asks once."""
    users = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "signx_hf").rglob("*.py")
        if re.search(r"import tqdm|tqdm\(", path.read_text(encoding="utf-8"))
    ]
    assert sorted(users) == ["signx_hf/common/progress.py", "signx_hf/hub/download.py"]
