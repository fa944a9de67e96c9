"""Every block of the pages in docs/ runs, in order, in one folder for each page."""

import re
import shlex
import subprocess
import sys

import pytest
from conftest import ROOT
from helpers import run_python
from test_readme import needs_extras, run_command

PAGES = sorted((ROOT / "docs").glob("*.md"))
# A whole corpus takes minutes; a few clips of it show that the command and what follows work.
SHORTER = {"data synth": ["--limit", "7"]}


def blocks(page) -> list[tuple[str, str]]:
    """Language and text, in the order of the page."""
    return re.findall(r"^```(bash|python)\n(.*?)^```$", page.read_text(), re.M | re.S)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page(page, tmp_path):
    needs_extras(page.read_text())
    code = ""
    for language, text in blocks(page):
        if language == "python":
            code += text  # one program: later blocks use names of earlier ones
            run_python(code, tmp_path)
            continue
        for line in text.splitlines():
            words = shlex.split(line)
            if words[:2] == ["pip", "install"]:
                extra = re.search(r"\[(\w+)\]", line)
                assert extra is None or f'"{extra.group(1)}": [' in (ROOT / "setup.py").read_text()
                continue
            assert words[0] == "signx-hf", line
            for part, more in SHORTER.items():
                words += more if part in line and "--sheets" not in line else []
            done = run_command(words, tmp_path)
            assert done.returncode in ((0, 1) if "data check" in line else (0,)), done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pictures_are_there(page):
    for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text()):
        assert (page.parent / path).is_file(), path


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
