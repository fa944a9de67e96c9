"""What the tests of README and docs/ share: the blocks of a page, and running them as a reader would."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

PATIENCE = 1500  # seconds: only so that what hangs ends


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


def run_command(words: list[str], cwd: Path) -> subprocess.CompletedProcess:
    """Run a `signx-hf` line of a page with this checkout."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from signx_hf.cli import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *words[1:]], cwd=cwd, capture_output=True, text=True, timeout=PATIENCE
    )
