"""The report of an evaluation in a real browser: headless Chromium, from a file, with no network, nothing on its console."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from evaluation_clips import make_rows, options, save
from make_model import save_folder

from signx_hf.evaluation import evaluate

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = next((path for name in BROWSERS if (path := shutil.which(name))), None)
pytest.importorskip("matplotlib")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium here")


def browse(page: Path, profile: Path) -> tuple[str, list[str]]:
    """The page as the browser has it after its scripts ran, and the lines of its console. Every host is unknown to it."""
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", f"--user-data-dir={profile}",
        "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def look(page: Path, profile: Path) -> tuple[int, int, list[str]]:
    """How many drawings the page shows, how many files it asked for, and its console."""
    watched = page.with_name("watched.html")
    watched.write_text(
        page.read_text(encoding="utf-8")
        + """<script>
        addEventListener("load", () => {
          const shown = [...document.querySelectorAll("svg")].filter((one) => one.getBoundingClientRect().width > 50).length;
          document.title = `${shown} ${performance.getEntriesByType("resource").length}`;
        });
        </script>""",
        encoding="utf-8",
    )
    content, console = browse(watched, profile)
    drawings, files = re.search(r"<title>(\d+) (\d+)</title>", content).groups()
    return int(drawings), int(files), console


@pytest.mark.parametrize(
    ("fault", "files", "lines"),
    [
        ('<script>console.error("planted")</script>', 0, 1),
        ("<script>nothing.here()</script>", 0, 1),
        ('<img src="http://example.com/a.png">', 1, 0),
    ],
)
def test_a_fault_is_seen(fault, files, lines, tmp_path):
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><title>a page</title><svg width=80></svg>{fault}")
    drawings, asked, console = look(page, tmp_path / "profile")
    assert (drawings, asked, len(console)) == (1, files, lines), console


def test_the_report_opens_without_a_word_on_the_console(tmp_path):
    save_folder(tmp_path / "model", "SignXForLatentCTC")
    save(make_rows(), tmp_path / "clips")
    evaluate(options(tmp_path), progress=False)
    page = tmp_path / "out" / "report.html"
    content, console = browse(page, tmp_path / "profile")
    assert console == [] and "clip/0" in content
    drawings, files, console = look(page, tmp_path / "profile")
    assert (drawings, files, console) == (page.read_text(encoding="utf-8").count("<svg"), 0, []) and drawings >= 2
