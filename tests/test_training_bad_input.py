"""Training on damaged folders and odd options: one line that says what to do, and nothing lost or deleted that is not its own."""

import json

import pytest

from signx_hf.evaluation.files import claim
from signx_hf.training import checkpoints


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_hidden_files_of_others_are_left_alone(tmp_path):
    """What an interrupted `signx-hf pull` keeps, and names that only look like those of training."""
    for name in (
        ".demo.3f0c12345678.part",
        ".thesis.old",
        ".model.3f0c12345678.part",
        ".checkpoint-4.bak.1.abc.part",
        "best/.mine.1.ab.part",
    ):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "weights").write_text("mine")
    (tmp_path / ".checkpoint-5.1.abc.part").write_text("a file, and no folder of a checkpoint")
    before = tree(tmp_path)
    checkpoints.sweep(tmp_path)
    assert tree(tmp_path) == before


def test_evaluation_deletes_only_its_own_partial_files(tmp_path):
    own, folder = tmp_path / ".results.json.123.0a1b2c3d.part", tmp_path / ".report.html.1.0a1b2c3d.part"
    others = tmp_path / ".demo.3f0c12345678.part"
    own.write_text("{")
    others.write_text("mine")
    folder.mkdir()
    claim(tmp_path, {"model": "m"})
    assert not own.exists() and others.read_text() == "mine" and folder.is_dir()
