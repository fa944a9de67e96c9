"""Every block of the README runs, in order, in a folder where `make demo` has been run; so does every example."""

import importlib.util
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import jiwer
import pytest
from conftest import DATA, ROOT
from doc_pages import blocks, broken_links, names_real_extras, run_command
from helpers import run_python

README = ROOT / "README.md"


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    """A folder in which the demo has really run, with folders of made-up signs where the README expects the reader's own."""
    folder = tmp_path_factory.mktemp("readme")
    code = f"import runpy, sys; sys.argv = ['demo.py']; runpy.run_path({str(ROOT / 'examples' / 'demo.py')!r}, run_name='__main__')"
    (folder / "demo.txt").write_text(run_python(code, folder))
    run_python(blocks(ROOT / "docs" / "your_signs.md", "python")[0][1], folder)
    if (video := real_video()) is not None:
        shutil.copyfile(video, folder / "my_sign.mp4")
    return folder


def real_video() -> Path | None:
    """A video of a sign, which the README takes as the reader's own; None where there is none, or no MediaPipe."""
    video = DATA / "wlasl_videos" / "69544.mp4"
    return video if video.is_file() and importlib.util.find_spec("mediapipe") else None


def test_demo_recognizes_signers_and_sentences_it_was_not_trained_on(demo):
    """As many as when the checkpoint was shipped, and counted right."""
    printed = (demo / "demo.txt").read_text()
    table = re.findall(r"^\S+-s\d+ +(s\d+) +(\d+) %  (.+?)(?:  \((.+)\))?$", printed, re.M)
    assert len(table) == 10
    rates = []
    for _, percent, recognized, signed in table:
        rate = jiwer.wer(signed or recognized, recognized)
        assert abs(100 * rate - int(percent)) <= 0.5
        rates.append(rate)
    assert f"{sum(rate <= 0.2 for rate in rates)} of 10 clips" in printed
    assert sum(rates) / len(rates) <= 0.35
    assert (demo / "demo_out" / "model" / "model.safetensors").is_file()
    left = sorted(path.name for path in (demo / "demo_out").iterdir())
    assert left == ["alignment.png", "clip.mp4", "letters.npz", "letters.png", "model"], "nothing half written"
    assert re.search(r"spelled +(\w+)\n +recognized +\1\n", printed), (
        "real letters, of somebody the model was not trained on"
    )


def test_python_blocks_run_in_order(demo):
    parts = [text for _, text in blocks(README, "python")]
    assert "my_sign.mp4" in parts[0]
    if real_video() is None:
        parts[0] = parts[0].partition("for candidate")[0]
    printed = run_python("\n".join(parts), demo).splitlines()
    recognized = re.search(r"recogni[sz]ed +(.+)", (demo / "demo.txt").read_text()).group(1)
    if real_video() is not None:
        assert printed[0].split()[0] == "write" and len(printed[:5]) == 5
        printed = printed[5:]
    assert printed[0] == recognized


def test_shell_lines_run_in_order(demo):
    """`signx-hf` lines run for real; `make` lines are real targets; `pip` lines name a real extra."""
    for line in [line for _, text in blocks(README, "bash") for line in text.splitlines()]:
        words = shlex.split(line)
        if words[0] == "make":
            done = subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
        elif words[:2] == ["pip", "install"]:
            assert names_real_extras(line), line
        else:
            assert words[0] == "signx-hf", line
            if "my_sign.mp4" not in words or real_video() is not None:
                run_line(words, demo)


def run_line(words: list[str], demo: Path) -> None:
    """Run one line and check how it ends."""
    done = run_command(words, demo)
    if "--camera" in words and done.returncode:  # nobody sits in front of the machine that runs the tests
        assert done.returncode == 2 and "camera 0" in done.stderr and done.stderr.count("\n") == 1
        return
    assert done.returncode == (1 if "missing.mp4" in words else 0), f"{words}: {done.stderr}"
    assert done.stdout.strip() or "--out" in words, words
    if "json" in words:
        assert [json.loads(row)["file"] for row in done.stdout.splitlines()] == ["demo_out/clip.mp4"]
        assert "missing.mp4" in done.stderr


def test_it_is_short_and_begins_with_what_to_do():
    lines = README.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150
    for line, latest in (("signx-hf live --camera 0 --model asl", 25), ('recognizer("my_sign.mp4")', 40)):
        assert next(number for number, text in enumerate(lines, 1) if line in text) <= latest


def test_links_lead_somewhere():
    assert broken_links(README) == []


def test_figures_are_those_of_the_results_page():
    """Every percentage of the table is in docs/results.md, which is made from the records."""
    table = re.search(r"^## What works today\n(.*?)^## ", README.read_text(encoding="utf-8"), re.M | re.S).group(1)
    results = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    percentages = re.findall(r"([\d.]+) %", table)
    assert len(percentages) >= 14
    assert [
        number for number in percentages if not re.search(rf"(?<![\d.]){re.escape(number)}(?![\d.])", results)
    ] == []
