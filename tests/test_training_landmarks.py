"""Training, evaluation and calibration of models of poses on datasets that have nothing but videos."""

import json
import shutil

import numpy as np
import pytest
from conftest import data_folder
from sign_training import BODY
from video_files import write

from signx_hf.cli import main
from signx_hf.data import load_dataset
from signx_hf.poses import missing
from signx_hf.processing import landmarks_signx
from signx_hf.processing.errors_signx import SignXError, SignXWarning
from signx_hf.processing.landmarks_signx import LandmarkReader
from signx_hf.processing.video_decoding_signx import iter_video, open_video
from signx_hf.training.arguments import collect
from signx_hf.training.loop import TrainingRun
from signx_hf.training.stages import stage_class

pytest.importorskip("mediapipe", reason="the extra mediapipe is not installed")

VIDEOS = {"WRITE": ("69544", 22), "YELLOW": ("69545", 18)}
FRAMES = 6


@pytest.fixture(scope="module")
def signs(tmp_path_factory):
    """Two signs, three short clips of each, from real videos."""
    base = tmp_path_factory.mktemp("signs")
    for gloss, (video, first) in VIDEOS.items():
        path = str(data_folder("wlasl_videos") / f"{video}.mp4")
        frames = [frame[::2, ::2] for _, frame in iter_video(open_video(path), None, None)]
        (base / gloss).mkdir()
        for clip in range(3):
            write(base / gloss / f"{clip}.mkv", frames[first + 5 * clip :][:FRAMES])
    return base


@pytest.fixture
def extracted(monkeypatch, tmp_path):
    """Names of the videos that were extracted in this process."""
    monkeypatch.setenv("SIGNX_CACHE", str(tmp_path / "cache"))
    names = []

    class Counted(LandmarkReader):
        def __init__(self, tracks, name="video"):
            names.append(name)
            super().__init__(tracks, name)

    monkeypatch.setattr(landmarks_signx, "LandmarkReader", Counted)
    return names


def train(folder, output, **options):
    arguments = {
        "dataset": "folder", "data_dir": str(folder), "output_dir": str(output), "dev_share": 0.34, "dev_by": "clip", "max_steps": 2,
        "eval_epochs": 0, "save_epochs": 0, "model_config": BODY, "hand_steps": 8, "fps": 30, "num_workers": 0, "progress": False,
        "plot": False, "learning_rate": 1e-3, "average_best": 1, "extract_jobs": 1, **options,
    }  # fmt: skip
    stage = stage_class("isolated")
    options = collect(arguments, stage.defaults)
    run = TrainingRun(stage(options), options)
    return run.train(), run.stage


def test_training_extracts_what_it_needs_and_only_once(signs, extracted, tmp_path):
    folder, stage = train(signs, tmp_path / "run")
    assert len(extracted) == 6 and len(stage.train_examples) + len(stage.dev_examples) == 6
    assert all(len(example.hands) == FRAMES for example in stage.train_examples)
    config = json.loads((folder / "config.json").read_text())
    assert config["trained_entries"] == ["poses"] and config["trained_tracks"] == ["hands"]
    processor = json.loads((folder / "processor_config.json").read_text())
    assert processor["feature_extractor"]["track_notes"]["hands.layout"] == "hands-126"
    train(signs, tmp_path / "again")
    assert len(extracted) == 6
    # from the same cache: evaluation, calibration and recognition of these videos
    out = tmp_path / "results"
    split = ["--data-dir", str(signs), "--split", "train"]
    assert main(["evaluate", str(folder), "folder", *split, "--out", str(out)]) == 0
    results = json.loads((out / "results.json").read_text())
    assert results["data"]["clips"] == 6 and results["config"]["source"] == "video"
    assert main(["calibrate", "--model", str(folder), "--dataset", "folder", *split]) in (
        0,
        2,
    )  # of six clips all may be right, which calibrates nothing
    assert main(["recognize", str(signs / "WRITE" / "0.mkv"), "--model", str(folder), "--format", "json"]) == 0
    assert len(extracted) == 6


def test_bad_clips_among_good_ones(signs, extracted, tmp_path, capsys):
    folder = tmp_path / "mixed"
    shutil.copytree(signs, folder)
    write(folder / "WRITE" / "wall.mkv", np.full((5, 120, 160, 3), 90, np.uint8))
    (folder / "YELLOW" / "text.mp4").write_text("no video")
    with pytest.raises(SignXError, match="landmarks from . of . clips; the first: clip .*skip_bad") as error:
        train(folder, tmp_path / "run")
    assert "\n" not in str(error.value)
    done = len(extracted)
    with pytest.warns(SignXWarning, match="Skipping.*WRITE/wall: .*sees no hand"):
        _, stage = train(folder, tmp_path / "run", loader_options={"skip_bad": str(tmp_path / "left_out.tsv")})
    assert len(stage.train_examples) + len(stage.dev_examples) == 6
    assert len(extracted) - done <= 6
    for clip in folder.glob("WRITE/?.mkv"):
        clip.unlink()
    with pytest.raises(SignXError, match="WRITE"):
        train(folder, tmp_path / "none", loader_options={"skip_bad": str(tmp_path / "left_out.tsv")})


def test_processes_leave_the_same_in_the_cache(signs, extracted, tmp_path):
    rows = load_dataset("folder", data_dir=str(signs), split="train")
    _, stage = train(signs, tmp_path / "run")
    extractor = stage.processor.feature_extractor
    before = {path.name: path.read_bytes() for path in missing.cache_folder().iterdir()}
    shutil.rmtree(missing.cache_folder())
    assert missing.extract_missing(rows, ("hands",), extractor, jobs=2) == {}
    after = {path.name: path.read_bytes() for path in missing.cache_folder().iterdir()}
    assert before.keys() == after.keys() and len(after) == 6
    for name in before:
        np.testing.assert_equal(*({**np.load(part)} for part in map(_file, (before[name], after[name]))))


def _file(content: bytes):
    import io

    return io.BytesIO(content)
