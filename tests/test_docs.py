"""Every block of the pages in docs/ runs, in order, in one folder for each page."""

import shlex
import subprocess
import sys

import pytest
from conftest import ROOT
from doc_pages import blocks, broken_links, names_real_extras, needs_extras, run_command
from helpers import run_python

import signx_hf

PAGES = sorted((ROOT / "docs").glob("*.md"))
# All of a corpus takes minutes; a few clips of it show that the command and what follows work.
SHORTER = {"data synth": ["--limit", "7"], "train refine": ["--num_train_epochs", "1", "--num_workers", "0"]}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page(page, tmp_path):
    parts = blocks(page, "bash", "python")
    needs_extras("".join(text for _, text in parts))
    code, waiting = "", False
    for language, text in parts:
        if language == "python":
            code, waiting = code + text, True  # one program: later blocks use names of earlier ones
            continue
        if waiting:
            run_python(code, tmp_path)
        waiting = False
        for line in text.splitlines():
            words = shlex.split(line)
            if words[:2] == ["pip", "install"]:
                assert names_real_extras(line), line
                continue
            assert words[0] == "signx-hf", line
            for part, more in SHORTER.items():
                words += more if part in line and "--limit" not in line and "--sheets" not in line else []
            done = run_command(words, tmp_path)
            assert done.returncode in ((0, 1) if "data check" in line else (0,)), done.stderr
    if waiting:
        run_python(code, tmp_path)


@pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "ledger.md"], ids=lambda page: page.stem
)
def test_links_and_pictures_lead_somewhere(page):
    assert broken_links(page) == []


def test_every_room_is_on_the_map():
    """CONTRIBUTING.md has a line for each folder of the package and for those beside it."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rooms = [f"signx_hf/{path.parent.name}/" for path in (ROOT / "signx_hf").glob("*/__init__.py")]
    assert [room for room in [*rooms, "modeling/", "processing/", "scripts/"] if f"`{room}`" not in text] == []


def test_slow_tests_are_there():
    """A test of tests/slow.txt that is renamed would run in `make test-fast`."""
    lines = (ROOT / "tests" / "slow.txt").read_text(encoding="utf-8").splitlines()
    names = [line.partition("::") for line in lines if not line.startswith("#")]
    for file, _, test in names:
        assert f"def {test}" in (ROOT / "tests" / file).read_text(encoding="utf-8"), file


def test_the_changelog_is_short():
    lines = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
    assert f"## {signx_hf.__version__}" in lines and len(lines) < 60


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES if page.name != "README.md" and f"({page.name})" not in index] == []


@pytest.mark.parametrize(
    ("page", "folder", "code"),
    [
        ("docs/results.md", "scripts", "import results_page; text = results_page.page()"),
        ("benchmarks/ledger.md", "scripts", "import ledger; text = ledger.page(ledger.read_records())"),
    ],
)
def test_results_are_what_the_records_hold(page, folder, code):
    """No figure on these pages is typed by hand."""
    run = subprocess.run(
        [sys.executable, "-c", f"{code}; import sys; sys.stdout.write(text)"],
        cwd=ROOT / folder, capture_output=True, text=True, encoding="utf-8", check=True,
    )  # fmt: skip
    written = (ROOT / page).read_text(encoding="utf-8")
    assert run.stdout == written and written.count("| --- |") >= 2
