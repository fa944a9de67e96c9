"""`extract --engine ray`: two local workers, one of them killed; the rows of the local engine."""

import os

import pytest
from conftest import ROOT
from datasets import load_from_disk
from make_model import make_frames, write_video

from signx_hf.poses import ExtractOptions, dataset_hash, extract

ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")

TRACKS = ["extract_probe:Changes", "extract_probe:Squares"]


def test_ray_gives_the_same_rows_though_workers_die(tmp_path, capsys, monkeypatch):
    """One worker is killed once, and another clip kills whoever touches it: that one alone is left out."""
    from signx_hf.cli import main

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests")]))
    folder, diary = tmp_path / "videos", tmp_path / "diary"
    folder.mkdir()
    for seed in range(6):
        write_video(folder / f"clip{seed}.mkv", make_frames(4 + seed, seed=seed))
    (tmp_path / "once").write_text("once clip1")
    (tmp_path / "always").write_text("always clip4")
    options = [f"changes.die={tmp_path}/once", f"squares.die={tmp_path}/always", f"changes.diary={diary}"]
    out, bad = tmp_path / "out", tmp_path / "bad.tsv"
    arguments = ["extract", str(folder), "--tracks", ",".join(TRACKS), "--out", str(out), "--skip-bad", str(bad)]
    code = main([*arguments, "--engine", "ray", "--jobs", "2", *(f"--option={option}" for option in options)])
    assert code == 0, capsys.readouterr().err
    assert not ray.is_initialized()
    assert not (tmp_path / "once").exists()
    started = [line.split()[1] for line in diary.read_text().splitlines() if line.endswith("start")]
    assert started.count("clip1") == 2 and {started.count(f"clip{n}") for n in (0, 2, 3, 5)} == {1}
    lines = bad.read_text().splitlines()
    assert len(lines) == 2 and "clip4.mkv: the process that worked on it died 2 times" in lines[1]
    dataset = load_from_disk(out)
    assert dataset["id"][:] == [f"clip{n}" for n in (0, 1, 2, 3, 5)]
    (folder / "clip4.mkv").unlink()
    local = extract(folder, TRACKS, tmp_path / "local", ExtractOptions())
    assert dataset_hash(dataset) == dataset_hash(local)
    assert not list((tmp_path / "out.cache").glob("starts-*"))
