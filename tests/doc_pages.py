"""What the tests of README and docs/ share: the blocks of a page, and running them as a reader would."""

import atexit
import functools
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from conftest import ROOT


def blocks(page: Path, *languages: str) -> list[tuple[str, str]]:
    """Return language and text of the fenced blocks of a page, in order."""
    return re.findall(rf"^```({'|'.join(languages)})\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)


def broken_links(page: Path) -> list[str]:
    """Return the relative links and pictures of a page that lead nowhere, anchors included."""
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def needs_extras(text: str) -> None:
    """Skip what asks for an extra that the environment of the lowest versions cannot have (numpy 1)."""
    for word, module in (("synth", "mannequin"), ("mediapipe", "mediapipe")):
        if word in text:
            pytest.importorskip(module)


def names_real_extras(line: str) -> bool:
    """Tell whether a `pip install` line names only extras that setup.py has."""
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    names = [name for group in re.findall(r"\[([\w,-]+)\]", line) for name in group.split(",")]
    return all(f'"{name}": [' in setup for name in names)


# Runs commands in forks of one process that has imported what they need: the start of each would take longer than its work.
FORKS = """
import json, os, sys, traceback
import accelerate, datasets, transformers.pipelines, torch
import signx_hf.recognition.run, signx_hf.training.command
from signx_hf.cli import main
for line in sys.stdin:
    words, cwd, out, errors = json.loads(line)
    if child := os.fork():
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    os.chdir(cwd)
    for target, path in ((1, out), (2, errors)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), target)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = ["signx-hf", *words]
    code = 1
    try:
        code = main()
    except SystemExit as error:
        code = error.code or 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush(), sys.stderr.flush()
    os._exit(code)
"""


@functools.cache
def _server() -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", FORKS], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    atexit.register(process.communicate)
    return process


def run_command(words: list[str], cwd: Path) -> subprocess.CompletedProcess:
    """Run a `signx-hf` line of a page with this checkout."""
    if not hasattr(os, "fork"):
        code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from signx_hf.cli import main; sys.exit(main())"
        return subprocess.run([sys.executable, "-c", code, *words[1:]], cwd=cwd, capture_output=True, text=True)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, name) for name in ("out", "errors")]
        _server().stdin.write(json.dumps([words[1:], str(cwd), *map(str, paths)]) + "\n")
        _server().stdin.flush()
        code = int(_server().stdout.readline())
        return subprocess.CompletedProcess(words, code, *(path.read_text(encoding="utf-8") for path in paths))
