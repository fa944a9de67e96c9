"""Models of real languages that come with the package: small and safe files, cards that quote records, and every way to name them."""

import importlib
import json
import re
import sys

import numpy as np
import pytest
from conftest import ROOT
from made_hands import made_sign

import signx_hf  # noqa: F401  registers the tasks
from signx_hf.assets import ASSETS, letter_clips, model_place, nearest_shipped, shipped_models, spelled_clip
from signx_hf.cli import main
from signx_hf.recognition import loading

ISOLATED = [name for name in shipped_models() if name not in ("demo", "demo-text")]
SPOTTERS = ["asl-sentences"]
MEGABYTES = {"dgs30": 4.0, "asl-letters": 2.0, "asl": 15.0}
RESULTS = ROOT / "benchmarks" / "results"


def ship_isolated():
    sys.path.insert(0, str(ROOT / "scripts"))
    return importlib.import_module("ship_isolated")


def card_of(name: str) -> str:
    return (ASSETS / name / "model" / "README.md").read_text(encoding="utf-8")


def test_which_there_are():
    assert {"demo", "dgs30", "asl-letters"} <= set(shipped_models())


@pytest.mark.parametrize("name", ISOLATED)
def test_files_are_small_and_safe(name):
    folder = ASSETS / name / "model"
    names = {path.name for path in folder.iterdir()}
    assert names - {"NOTICE"} == {
        "LICENSE", "README.md", "config.json", "model.safetensors", "processor_config.json", "recipe.json", "tokenizer.json",
        "tokenizer_config.json",
    }  # fmt: skip
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 1e6 * MEGABYTES.get(name, 15.0)
    texts = "".join(path.read_text() for path in folder.glob("*.json"))
    assert "auto_map" not in texts and "/work/" not in texts and "/home/" not in texts
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["SignXForSignClassification"] and config["dtype"] == "float32"
    from safetensors.numpy import load_file

    weights = load_file(folder / "model.safetensors")
    assert all(np.isfinite(value).all() for value in weights.values())
    assert {value.dtype for value in weights.values() if value.ndim > 1} == {np.dtype("float16")}


@pytest.mark.parametrize("name", ISOLATED)
def test_card_says_what_the_records_hold(name):
    from huggingface_hub import ModelCard

    shipping = ship_isolated()
    texts, card = shipping.read_texts(name), ModelCard(card_of(name))
    assert card.data.license == texts["license"] and card.data.library_name == "transformers"
    assert [f"{value}" for value in card.data.language] == texts["language"]
    measured = [row for row in texts["results"] if "dataset" in row]
    for row, found in zip(measured, card.data.eval_results, strict=True):
        record = json.loads((RESULTS / f"{row['record']}.json").read_text())
        assert found.metric_value == shipping.look_up(record, row["value"])
    for line in shipping.results_table(texts):
        assert line in card.text
    for record in {row["record"] for row in texts["results"]}:
        content = json.loads((RESULTS / f"{record}.json").read_text())
        for part in (content["command"], content["commit"][:12], content["hardware"]["cpu"]):
            assert part in card.text
    recipe = json.loads((ASSETS / name / "model" / "recipe.json").read_text())
    assert (
        f"{recipe['parameters']:,} weights" in card.text
        and (ROOT / f"examples/configs/{texts['config']}.yaml").is_file()
    )
    own = {"asl-letters": ("J and Z", "threshold"), "asl-sentences": ("Hands only", "confidence=0.5")}
    for said in ("## Licence", "## Citation", *own.get(name, ("Hands only", "not sure"))):
        assert said.lower() in card.text.lower()


@pytest.mark.parametrize("name", ISOLATED)
def test_card_runs(name, tmp_path, monkeypatch):
    """Its Python, with a clip of hands in the place of the video."""
    monkeypatch.chdir(tmp_path)
    np.savez("clip.npz", hands=np.nan_to_num(made_sign(1, 0)), fps=25.0)
    (code,) = re.findall(r"^```python\n(.*?)^```$", card_of(name), re.M | re.S)
    printed: list[str] = []
    exec(code.replace("clip.mp4", "clip.npz"), {"print": lambda *words: printed.append(" ".join(map(str, words)))})
    scores = [float(line.split()[-1]) for line in printed]
    if name in SPOTTERS:  # hands that move in a made-up way need not be any sign
        assert all(0 <= score <= 1 for score in scores)
        return
    assert len(scores) == 5 and scores == sorted(scores, reverse=True) and 0 < sum(scores) <= 1.0001


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Two stretches of made-up signing with a rest between, and no hand at either end."""
    rest = np.zeros((40, 126))
    rows = [rest, np.nan_to_num(made_sign(1, 0, frames=60)), rest, np.nan_to_num(made_sign(5, 2, frames=70)), rest]
    path = tmp_path_factory.mktemp("recording") / "two.npz"
    np.savez(path, hands=np.concatenate(rows), fps=25.0)
    return path


@pytest.mark.parametrize("name", SPOTTERS)
def test_signs_in_a_recording_by_every_way(name, recording, capsys):
    """Whatever it takes made-up signing for: pipeline, command line and live say the same, with the same times."""
    from transformers import pipeline

    from signx_hf.recognition.sign_stream import open_stream

    options = {"confidence": 0.02, "cost": 0.01}
    spotter = pipeline("sign-spotting", model=model_place(name))
    expected = spotter(str(recording), **options)
    capsys.readouterr()
    assert expected["segments"] and set(expected["glosses"]) <= set(spotter.model.config.label2id)
    command = ["recognize", str(recording), "--model", name, "--format", "json"]
    assert main([*command, "--option", "confidence=0.02", "--option", "cost=0.01"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [(s["gloss"], s["start"]) for s in said["segments"]] == [
        (s["gloss"], s["start"]) for s in expected["segments"]
    ]
    with np.load(recording) as file:
        rows, fps = file["hands"], float(file["fps"])
    streamer, live = open_stream(spotter, "poses", **options), []
    for number, row in enumerate(rows):
        live += streamer.push({"hands": row}, number / fps).final
    live += streamer.flush().final
    assert [sign.gloss for sign in live] == expected["glosses"]
    assert [sign.start for sign in live] == pytest.approx([s["start"] for s in expected["segments"]], abs=0.2)


def test_times_of_a_single_sign_are_those_of_the_whole_clip(tmp_path, capsys):
    """Not of the part that shows hands; what was asked for is printed, and figures lie where the hands are."""
    from signx_hf.interpretability.single_sign import explain_sign

    frames, rest = 50, 25
    rows = np.concatenate(
        [np.zeros((rest, 126)), np.nan_to_num(made_sign(1, 0, frames=frames)), np.zeros((rest, 126))]
    )
    np.savez(tmp_path / "clip.npz", hands=rows, fps=25.0)
    recognizer = loading.open_recognizer(model_place("asl"), "cpu", False, {})
    result = recognizer(str(tmp_path / "clip.npz"), details=True)
    assert result["duration"] == pytest.approx(len(rows) / 25.0)
    assert rest / 25.0 <= result["start"] < result["end"] <= (rest + frames) / 25.0
    assert explain_sign(recognizer, str(tmp_path / "clip.npz")).window == (result["start"], result["end"])
    assert (
        main(["recognize", str(tmp_path / "clip.npz"), "--model", "asl", "--top-k", "3", "--threshold", "none"]) == 0
    )
    shown = capsys.readouterr().out.strip().split(", ")
    assert shown == [f"{item['label']} {item['score']:.2f}" for item in result["candidates"][:3]]


def test_a_vocabulary_is_blamed_by_its_own_flag(tmp_path, capsys):
    np.savez(tmp_path / "clip.npz", hands=np.nan_to_num(made_sign(1, 0)), fps=25.0)
    (tmp_path / "words.txt").write_text("book\nplaying\n")
    words = ["recognize", str(tmp_path / "clip.npz"), "--model", "asl", "--vocabulary", str(tmp_path / "words.txt")]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "--vocabulary: 'playing'" in said and "--option" not in said


@pytest.mark.parametrize(
    "words, message",
    [
        (["recognize", "{clip}", "--top-k", "3"], "every sign that is found has one gloss"),
        (["recognize", "{clip}", "--threshold", "0.5"], "--option confidence=0.5"),
        (["live", "--from-file", "{clip}", "--threshold", "0.5"], "--option confidence=0.5"),
        (["align", "{clip}", "book drink"], "align needs a model of sentences"),
        (["explain", "{clip}", "--out", "figures"], "Cut a sign out"),
        (["calibrate", "--dataset", "folder"], "its option `confidence`"),
    ],
)
def test_what_a_model_that_finds_signs_is_not_for(words, message, recording, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    place = model_place("asl-sentences")
    model = place if words[0] == "calibrate" else "asl-sentences"
    assert main([*(word.replace("{clip}", str(recording)) for word in words), "--model", model]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


@pytest.mark.parametrize("name", sorted({*ISOLATED} - {*SPOTTERS}))
def test_pipeline_and_command_line_by_name(name, tmp_path, capsys):
    from transformers import pipeline

    np.savez(tmp_path / "clip.npz", hands=np.nan_to_num(made_sign(1, 0, frames=40)), fps=25.0)
    recognizer = pipeline("isolated-sign-recognition", model=model_place(name))
    best = recognizer(str(tmp_path / "clip.npz"))[0]
    assert best["label"] in recognizer.model.config.label2id
    if name == "dgs30":
        assert recognizer.model.config.num_labels == 30
    capsys.readouterr()  # the library's bars, which the command line does without
    command = ["recognize", str(tmp_path / "clip.npz"), "--model", name, "--format", "json"]
    assert main(command) == 0
    said = capsys.readouterr()
    result = json.loads(said.out)
    assert said.err == "", "the origin of the training data is no news of a user's clips"
    if recognizer.model.config.spells:
        assert set(result["text"]) <= {*recognizer.model.config.label2id, " "}
    else:
        assert result["candidates"][0]["label"] == best["label"]


@pytest.mark.parametrize(
    "typed, meant",
    [
        ("als", "asl"),
        ("asl-leters", "asl-letters"),
        ("ASL_letters", "asl-letters"),
        ("dgs-30", "dgs30"),
        ("DGS30", "dgs30"),
    ],
)
@pytest.mark.parametrize("command", ["recognize", "live"])
def test_names_that_are_nearly_right(typed, meant, command, tmp_path, capsys):
    np.savez(tmp_path / "clip.npz", hands=np.nan_to_num(made_sign(1, 0)), fps=25.0)
    words = [str(tmp_path / "clip.npz")] if command == "recognize" else ["--from-file", str(tmp_path / "clip.npz")]
    assert main([command, *words, "--model", typed]) == 2
    said = capsys.readouterr().err
    assert f"Did you mean {meant}?" in said and said.count("\n") == 1
    assert nearest_shipped(f"somebody/{typed}") is None and nearest_shipped("resnet-50") is None


def test_letter_clips_may_be_passed_on_and_are_read():
    from signx_hf.recognition.spelling_stream import SpellingRecognizer

    clips = letter_clips()
    folder = next(iter(clips.values())).parent
    assert {path.name for path in folder.iterdir()} == {*(path.name for path in clips.values()), "NOTICE"}
    assert "MIT License" in (folder / "NOTICE").read_text() and sum(p.stat().st_size for p in folder.iterdir()) < 120e3
    recognizer = loading.open_recognizer(model_place("asl-letters"), "cpu", False, {})
    record = json.loads((RESULTS / "accuracy_asl_letters.json").read_text())["lexicon"]
    said = {letter: recognizer(str(path))[0]["label"] for letter, path in clips.items()}
    assert said == {letter: record["answers"][letter] for letter in clips}
    assert sum(letter == answer for letter, answer in said.items()) == record["right"]
    spell = SpellingRecognizer(recognizer)
    assert spell(spelled_clip("HELLO"))["text"] == "HELLO"
    with pytest.raises(ValueError, match="HELLOX"):
        spelled_clip("HELLOX?")


def test_asl_is_not_sure_below_what_was_measured():
    shipped = json.loads((RESULTS / "accuracy_not_sure.json").read_text())["shipped"]
    config = json.loads((ASSETS / "asl" / "model" / "config.json").read_text())
    found = {name: config[name] for name in ("rejection_score", "rejection_threshold", "confidence_temperature")}
    assert list(found.values()) == [shipped["score"], shipped["threshold"], shipped["temperature"]]
