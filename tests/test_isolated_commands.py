"""Every command of the README's table with a model of isolated signs."""

import csv
import json

import numpy as np
import pytest
from conftest import ROOT
from make_model import FPS, GLOSSES, make_frames, make_poses, save_folder, write_video

from signx_hf import recognize
from signx_hf.cli import main
from signx_hf.recognition.tasks import SENTENCES, SIGNS, task_of


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model of isolated signs and one of sentences, two videos, a pose file, and a file that is no clip."""
    base = tmp_path_factory.mktemp("isolated")
    save_folder(base / "model", "SignXForSignClassification", id2label=dict(enumerate(GLOSSES)))
    save_folder(base / "sentences")
    (base / "clips").mkdir()
    write_video(base / "clips" / "one.mkv", make_frames(20))
    write_video(base / "clips" / "two.mkv", make_frames(9, seed=1))
    np.savez(base / "clips" / "three.npz", fps=FPS, **make_poses(25, seed=2))
    (base / "bad.mp4").write_text("once upon a time")
    (base / "words.txt").write_text("WETTER\n天气\n#IF\n")
    return base


def run(capsys, *arguments) -> tuple[int, str, list[str]]:
    """Exit code, standard output, lines of standard error."""
    code = main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err.splitlines()


def files_of(place):
    return [place / "clips" / name for name in ("one.mkv", "three.npz", "two.mkv")]


# ----- recognize -------------------------------------------------------------------------------------------------------


def test_the_task_is_told_without_weights(place, tmp_path):
    assert task_of(str(place / "model")) == SIGNS and task_of(str(place / "sentences")) == SENTENCES
    (tmp_path / "config.json").write_text("{")
    for nothing in (tmp_path, tmp_path / "nowhere", place / "words.txt"):
        assert task_of(str(nothing)) == SENTENCES


def test_recognize_json(place, capsys):
    recognizer = recognize.load_pipeline(str(place / "model"))
    options = {"vocabulary": ["WETTER", "天气", "#IF"], "top_k": 2}
    best = [recognizer(str(path), **options)[0]["score"] for path in files_of(place)]
    threshold = round(sum(best) / len(best), 6)
    words = ["--vocabulary", place / "words.txt", "--top-k", 2, "--threshold", threshold]
    code, out, errors = run(
        capsys, "recognize", "--model", place / "model", "--format", "json", *words, *files_of(place)
    )
    assert (code, errors) == (0, [])
    rows = [json.loads(line) for line in out.splitlines()]
    for path, row in zip(files_of(place), rows, strict=True):
        found = recognizer(str(path), threshold=threshold, **options)
        assert row["candidates"] == [{"label": item["label"], "score": item["score"]} for item in found]
        assert row["sure"] is found[0]["sure"] is bool(found[0]["score"] >= threshold)
        assert row["glosses"] == ([found[0]["label"]] if row["sure"] else [])
        assert ("reason" in row) is not row["sure"]
    assert {row["sure"] for row in rows} == {True, False}  # else the test would say little


@pytest.mark.parametrize("name", ["txt", "tsv", "csv", "ctm"])
def test_recognize_streams(place, capsys, name):
    code, out, errors = run(
        capsys, "recognize", "--model", place / "model", "--format", name, *files_of(place), place / "bad.mp4"
    )
    assert code == 1 and any("bad.mp4" in line for line in errors)
    recognizer = recognize.load_pipeline(str(place / "model"))
    best = [recognizer(str(path))[0]["label"] for path in files_of(place)]
    lines = out.splitlines()
    if name == "csv":
        assert [row["gloss"] for row in csv.DictReader(lines)] == best
    elif name == "tsv":
        rows = list(csv.DictReader(lines, delimiter="\t"))
        assert len(rows) == 15 and [row["gloss"] for row in rows if row["rank"] == "1"] == best
    else:
        assert [line.split("\t" if name == "txt" else " ")[1 if name == "txt" else 4] for line in lines] == best


def test_recognize_says_when_it_is_not_sure(place, capsys):
    code, out, _ = run(capsys, "recognize", "--model", place / "model", "--threshold", 1, *files_of(place))
    assert code == 0 and [line.split("\t")[1] for line in out.splitlines()] == ["?"] * 3
    code, out, _ = run(capsys, "recognize", "--model", place / "model", "--threshold", 1, files_of(place)[0])
    assert (code, out) == (0, "?\n")


def test_recognize_into_a_folder(place, capsys, tmp_path):
    """Every format; batches and processes say the same; a finished clip is left, another vocabulary is another result."""
    words = ["recognize", place / "clips", "--model", place / "model", "--format", "all"]
    assert run(capsys, *words, "--out", tmp_path / "a")[0] == 0
    assert run(capsys, *words, "--out", tmp_path / "b", "--batch-size", 3)[0] == 0
    assert run(capsys, *words, "--out", tmp_path / "c", "--jobs", 2)[0] == 0
    names = sorted(path.name for path in (tmp_path / "a").iterdir() if path.is_file())
    assert len(names) == 3 * 8
    for name in names:
        texts = [(tmp_path / folder / name).read_text() for folder in "abc"]
        if name.endswith((".srt", ".txt", ".tsv", ".csv", ".ctm")):
            assert texts[0] == texts[1] == texts[2]
    done = run(capsys, *words, "--out", tmp_path / "a", "--resume")[1]
    assert "0 recognised" in done and "3 finished before" in done
    done = run(capsys, *words, "--out", tmp_path / "a", "--resume", "--vocabulary", place / "words.txt")[1]
    assert "3 recognised" in done
    found = json.loads((tmp_path / "a" / "three.json").read_text())
    assert {item["label"] for item in found["candidates"]} == {"WETTER", "天气", "#IF"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--vocabulary", "nowhere.txt"], "no such file"),
        (["--vocabulary", "."], "is a folder"),
        (["--vocabulary", "{empty}"], "at least one gloss"),
        (["--vocabulary", "{unknown}"], "'WEATHER' is no sign of the model; the nearest are WETTER"),
        (["--top-k", "0"], "top_k is 0"),
        (["--threshold", "2"], "threshold must be a number from 0 to 1"),
        (["--threshold", "never"], "threshold must be"),
        (["--option", "beams=3"], "has no option 'beams'"),
        (["--vocabulary", "{words}", "--option", "vocabulary=#IF"], "wanted one of them"),
        (["--lm", "{words}"], "--lm is for models of sentences, and {model} recognizes single signs"),
        (["--chunk-length", "20"], "--chunk-length is for models of sentences"),
    ],
)
def test_recognize_refuses(place, capsys, tmp_path, words, said):
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "unknown.txt").write_text("WEATHER\n")
    names = {"empty": tmp_path / "empty.txt", "unknown": tmp_path / "unknown.txt"}
    names |= {"words": place / "words.txt", "model": place / "model"}
    words = [word.format(**names) for word in words]
    code, out, errors = run(capsys, "recognize", files_of(place)[0], "--model", place / "model", *words)
    assert (code, out, len(errors)) == (2, "", 1)
    assert said.format(**names) in errors[0]


@pytest.mark.parametrize("words", [["--vocabulary", "{words}"], ["--top-k", "3"], ["--threshold", "0.5"]])
def test_a_model_of_sentences_has_no_flags_of_signs(place, capsys, words):
    words = [word.format(words=place / "words.txt") for word in words]
    code, _, errors = run(capsys, "recognize", files_of(place)[0], "--model", place / "sentences", *words)
    assert code == 2 and errors == [
        f"signx-hf: {words[0]} is for models of isolated signs, and {place / 'sentences'} recognizes sentences. Leave it out."
    ]


def test_recognize_on_ray(place, capsys, tmp_path, monkeypatch):
    pytest.importorskip("ray.data")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    words = ["recognize", place / "clips", "--model", place / "model", "--format", "csv", "--out", tmp_path / "ray"]
    assert run(capsys, *words, "--engine", "ray")[0] == 0
    run(capsys, *words[:-1], tmp_path / "local")
    for path in (tmp_path / "local").glob("*.csv"):
        assert path.read_text() == (tmp_path / "ray" / path.name).read_text()


# ----- align, lm -------------------------------------------------------------------------------------------------------


def test_align_refuses(place, capsys):
    code, out, errors = run(capsys, "align", files_of(place)[0], "WETTER", "--model", place / "model")
    assert (code, out) == (2, "")
    assert errors == [
        f"signx-hf align: {place / 'model'} recognizes single signs, one a clip, so there is no sequence of glosses to align. Use "
        "`signx-hf recognize`, or a model of sentences."
    ]
