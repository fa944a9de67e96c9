"""Every block of the README runs, in order, in a folder where `make demo` has been run; so does every example."""

import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import jiwer
import pytest
from conftest import DATA, ROOT
from helpers import run_python

README = ROOT / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(), re.M | re.S)


def needs_extras(line: str) -> None:
    """Skips what asks for an extra that the environment of the lowest versions cannot have (numpy 1)."""
    for word, module in (("synth", "mannequin"), ("mediapipe", "mediapipe")):
        if word in line:
            pytest.importorskip(module)


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    """A folder in which the demo has really run."""
    folder = tmp_path_factory.mktemp("readme")
    code = f"import runpy, sys; sys.argv = ['demo.py']; runpy.run_path({str(ROOT / 'examples' / 'demo.py')!r}, run_name='__main__')"
    (folder / "demo.txt").write_text(run_python(code, folder))
    if (video := real_video()) is not None:
        shutil.copyfile(video, folder / "my_sign.mp4")
    return folder


def real_video() -> Path | None:
    """A video of a sign, which the README takes as the reader's own; None where there is none, or no MediaPipe."""
    video = DATA / "wlasl_videos" / "69544.mp4"
    return video if video.is_file() and importlib.util.find_spec("mediapipe") else None


def test_demo_recognises_signers_and_sentences_it_was_not_trained_on(demo):
    """As many as when the checkpoint was shipped, and counted right."""
    printed = (demo / "demo.txt").read_text()
    table = re.findall(r"^\S+-s\d+ +(s\d+) +(\d+) %  (.+?)(?:  \((.+)\))?$", printed, re.M)
    assert len(table) == 10
    rates = []
    for _, percent, recognised, signed in table:
        rate = jiwer.wer(signed or recognised, recognised)
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
    needs_extras("signx-hf data synth")
    done = run_command(
        shlex.split(next(line for line in blocks("bash") if "data synth" in line).splitlines()[0]), demo
    )
    assert done.returncode == 0, done.stderr
    parts = blocks("python")
    assert "my_sign.mp4" in parts[0]
    if real_video() is None:
        parts[0] = parts[0].partition("for candidate")[0]
    printed = run_python("\n".join(parts), demo).splitlines()
    recognised = re.search(r"recognised +(.+)", (demo / "demo.txt").read_text()).group(1)
    if real_video() is not None:
        assert printed[0].split()[0] == "write" and len(printed[:5]) == 5
        printed = printed[5:]
    assert printed[0] == recognised


def test_result_is_within_thirty_lines():
    lines = README.read_text().splitlines()
    for line, latest in (("signx-hf live --camera 0 --model asl", 10), ('recognizer("my_sign.mp4")', 30)):
        assert next(number for number, text in enumerate(lines, 1) if line in text) <= latest


def run_command(words: list[str], cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys; sys.path.insert(0, {str(ROOT)!r}); from signx_hf.cli import main; sys.exit(main())",
        ]
        + words[1:],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("line", [line for block in blocks("bash") for line in block.splitlines()])
def test_shell_line(line, demo):
    """`signx-hf` lines run for real; `make` lines are real targets; `pip` lines name a real extra."""
    words = shlex.split(line)
    if words[0] == "make":
        done = subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    elif words[:2] == ["pip", "install"]:
        extras = re.findall(r"\[(\w+)\]", line)
        setup = (ROOT / "setup.py").read_text()
        assert all(f'"{extra}": [' in setup for extra in extras)
    else:
        assert words[0] == "signx-hf"
        needs_extras(line)
        if "my_sign.mp4" in words and real_video() is None:
            pytest.skip("no video of a real sign: set SIGNX_DATA, and install MediaPipe")
        done = run_command(words, demo)
        if "--camera" in words and done.returncode:  # nobody sits in front of the machine that runs the tests
            assert done.returncode == 2 and "camera 0" in done.stderr and done.stderr.count("\n") == 1
            return
        expected = 1 if "missing.mp4" in words else 0
        assert done.returncode == expected, done.stderr
        assert done.stdout.strip()
        if "json" in words:
            assert [json.loads(row)["file"] for row in done.stdout.splitlines()] == ["demo_out/clip.mp4"]
            assert "missing.mp4" in done.stderr
