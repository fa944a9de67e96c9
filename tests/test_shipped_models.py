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
from signx_hf import recognize
from signx_hf.cli import main
from signx_hf.demo import ASSETS, letter_clips, model_place, nearest_shipped, shipped_models, spelled_clip

ISOLATED = [name for name in shipped_models() if name != "demo"]
MEGABYTES = {"dgs30": 4.0, "asl-letters": 2.0, "asl": 15.0}
RESULTS = ROOT / "benchmarks" / "results"


def ship_isolated():
    sys.path.insert(0, str(ROOT / "benchmarks" / "accuracy"))
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
    for said in (
        "Hands only" if name != "asl-letters" else "J and Z",
        "## Licence",
        "## Citation",
        "not sure" if name != "asl-letters" else "threshold",
    ):
        assert said in card.text


@pytest.mark.parametrize("name", ISOLATED)
def test_card_runs(name, tmp_path, monkeypatch):
    """Its Python, with a clip of hands in the place of the video."""
    monkeypatch.chdir(tmp_path)
    np.savez("clip.npz", hands=np.nan_to_num(made_sign(1, 0)), fps=25.0)
    (code,) = re.findall(r"^```python\n(.*?)^```$", card_of(name), re.M | re.S)
    printed: list[str] = []
    exec(code.replace("clip.mp4", "clip.npz"), {"print": lambda *words: printed.append(" ".join(map(str, words)))})
    scores = [float(line.split()[-1]) for line in printed]
    assert len(scores) == 5 and scores == sorted(scores, reverse=True) and 0 < sum(scores) <= 1.0001


@pytest.mark.parametrize("name", ISOLATED)
def test_pipeline_and_command_line_by_name(name, tmp_path, capsys):
    from transformers import pipeline

    np.savez(tmp_path / "clip.npz", hands=np.nan_to_num(made_sign(1, 0, frames=40)), fps=25.0)
    recognizer = pipeline("isolated-sign-recognition", model=model_place(name))
    best = recognizer(str(tmp_path / "clip.npz"))[0]
    assert best["label"] in recognizer.model.config.label2id
    if name == "dgs30":
        assert recognizer.model.config.num_labels == 30
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
    [("asl-leters", "asl-letters"), ("ASL_letters", "asl-letters"), ("dgs-30", "dgs30"), ("DGS30", "dgs30")],
)
@pytest.mark.parametrize("command", ["recognize", "live"])
def test_names_that_are_nearly_right(typed, meant, command, tmp_path, capsys):
    np.savez(tmp_path / "clip.npz", hands=np.nan_to_num(made_sign(1, 0)), fps=25.0)
    words = [str(tmp_path / "clip.npz")] if command == "recognize" else ["--from-file", str(tmp_path / "clip.npz")]
    assert main([command, *words, "--model", typed]) == 2
    said = capsys.readouterr().err
    assert f"Did you mean {meant}?" in said and said.count("\n") == 1
    assert nearest_shipped(f"somebody/{typed}") is None and nearest_shipped("resnet-50") is None


def test_a_folder_of_that_name_goes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dgs30").mkdir()
    assert model_place("dgs30") == "dgs30"
    with pytest.raises(FileNotFoundError, match="without config.json"):
        recognize.check_model("dgs30")


def test_letter_clips_may_be_passed_on_and_are_read():
    from signx_hf.recognition.spelling_stream import SpellingRecognizer

    clips = letter_clips()
    folder = next(iter(clips.values())).parent
    assert {path.name for path in folder.iterdir()} == {*(path.name for path in clips.values()), "NOTICE"}
    assert "MIT License" in (folder / "NOTICE").read_text() and sum(p.stat().st_size for p in folder.iterdir()) < 120e3
    recognizer = recognize.open_recognizer(model_place("asl-letters"), "cpu", False, {})
    record = json.loads((RESULTS / "accuracy_asl_letters.json").read_text())["lexicon"]
    said = {letter: recognizer(str(path))[0]["label"] for letter, path in clips.items()}
    assert said == {letter: record["answers"][letter] for letter in clips}
    assert sum(letter == answer for letter, answer in said.items()) == record["right"]
    spell = SpellingRecognizer(recognizer)
    assert spell(spelled_clip("HELLO"))["text"] == "HELLO"
    with pytest.raises(ValueError, match="HELLOX"):
        spelled_clip("HELLOX?")
