"""Every training script on SignSynth, one after the other as a user would run them, with the configurations that ship."""

import json
import os
import re
import subprocess
import sys

import pytest
from conftest import ROOT

pytest.importorskip("mannequin")
pytest.importorskip("pyvista")

CONFIGS = ROOT / "examples" / "configs"
SCRIPTS = {
    "train_stage1": "01_pose2gloss",
    "train_stage2": "02_video2pose",
    "train_stage3": "03_sentences_from_latents",
    "train_stage4": "04_refine",
    "train_isolated": "isolated",
    "train_uniglor_signmae": "uniglor_signmae",
    "train_uniglor_isolated": "uniglor_isolated",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a few clips of `tiny`, where the configurations look for it."""
    from signx_hf.data.signsynth.build import build
    from signx_hf.data.signsynth.configs import named

    folder = tmp_path_factory.mktemp("examples")
    build(named("tiny"), folder / "synth_tiny", 0, 2, 18)
    return folder


def run_script(name, folder, *options):
    env = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
        "SIGNX_CACHE": str(folder / "cache"),
        "TQDM_DISABLE": "1",
    }
    config = CONFIGS / "signsynth_tiny" / f"{SCRIPTS[name]}.yaml"
    command = [
        sys.executable,
        str(ROOT / "examples" / f"{name}.py"),
        "--config",
        str(config),
        "--num_train_epochs",
        "1",
        *options,
    ]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300)


def test_the_four_stages_and_recognition_from_video(folder):
    for script, step in list(SCRIPTS.items())[:4]:
        done = run_script(script, folder)
        assert done.returncode == 0, done.stderr[-2000:]
        run = folder / "runs" / "signsynth_tiny" / step
        assert (run / "model" / "model.safetensors").is_file() and (run / "curves.png").is_file()
        assert json.loads((run / "run.json").read_text())["stage"] in (
            "pose2gloss",
            "video2pose",
            "latent_ctc",
            "refine",
        )
        measured = [line for line in (run / "log.csv").read_text().splitlines() if ",dev/" in line]
        assert measured and all(float(line.split(",")[3]) < 100 for line in measured)
    from transformers import pipeline

    recognizer = pipeline("sign-recognition", model=str(folder / "runs" / "signsynth_tiny" / "04_refine" / "model"))
    video = sorted((folder / "synth_tiny" / "videos").glob("dev-*.mp4"))[0]
    assert set(recognizer(str(video))) >= {"glosses", "segments", "text"}


def test_representations_without_labels_and_isolated_signs_from_them(folder):
    for script in ("train_uniglor_signmae", "train_uniglor_isolated"):
        done = run_script(script, folder)
        assert done.returncode == 0, done.stderr[-2000:]
    measured = (folder / "runs" / "signsynth_tiny" / "uniglor_signmae" / "log.csv").read_text()
    assert ",dev/mpjpe," in measured and ",dev/floored," in measured


def test_isolated_signs(folder):
    done = run_script("train_isolated", folder)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "dev/top1" in (folder / "runs" / "signsynth_tiny" / "isolated" / "log.csv").read_text()


def test_a_stage_out_of_turn_says_what_to_run_first(tmp_path, folder):
    done = run_script("train_stage3", folder, "--upstream", "runs/nowhere", "--output_dir", str(tmp_path / "run"))
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "must be a trained model: runs/nowhere" in done.stderr and "signx-hf train pose2gloss" in done.stderr


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_first_line_of_a_configuration_runs_it(path):
    first = path.read_text().splitlines()[0]
    words = first.removeprefix("# ").split()
    assert words[:2] == ["accelerate", "launch"] and words[3:] == ["--config", f"{path.relative_to(ROOT).as_posix()}"]
    assert (ROOT / words[2]).is_file()


@pytest.mark.parametrize("pattern", ["README.md", "docs/*.md", "examples/*.py", "examples/configs/*.md"])
def test_configurations_that_are_mentioned_exist(pattern):
    for page in ROOT.glob(pattern):
        mentioned = re.findall(r"examples/configs/[\w/]+\.yaml", page.read_text())
        assert all((ROOT / path).is_file() for path in mentioned), page
