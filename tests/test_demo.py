"""The checkpoint and the clips that come with the package, and the figure of an alignment."""

import json
import re

import numpy as np
import pytest
from conftest import ROOT

from signx_hf.assets import FOLDER, MODEL, demo_clips

SEGMENTS = [
    {"gloss": "IX-1p", "start": 0.1, "end": 0.5, "confidence": 0.93},
    {"gloss": "FINISH", "start": 0.5, "end": 1.4, "confidence": None},
]


def test_it_is_small_and_safe():
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    weights = [path for path in files if path.suffix == ".safetensors"]
    assert [path.name for path in weights] == ["model.safetensors"]
    assert weights[0].stat().st_size <= 20e6
    assert sum(path.stat().st_size for path in files) <= 24e6
    assert not [path for path in files if path.suffix in (".bin", ".pt", ".pkl", ".pickle", ".py")]


def test_clips_are_of_people_and_sentences_the_model_never_saw():
    clips = demo_clips()
    recipe = json.loads((MODEL / "recipe.json").read_text())
    assert len(clips) == 10 and len({clip.video for clip in clips}) == 10
    assert not {clip.signer for clip in clips} & set(recipe["training_signers"])
    assert not {" ".join(clip.glosses) for clip in clips} & set(recipe["training_sentences"])
    for clip in clips:
        assert clip.video.is_file() and [part["gloss"] for part in clip.segments] == clip.glosses


def test_the_card_quotes_the_results_files():
    card = (MODEL / "README.md").read_text()
    results = json.loads((ROOT / "benchmarks" / "results" / "accuracy_signsynth_crowd.json").read_text())
    assert f"| video, CTC | {results['ctc']['wer']:.1f} |" in card
    assert f"| video, joint | {results['joint']['wer']:.1f} |" in card
    for command in re.findall(r"^signx-hf train (\w+) --config (\S+)", card, re.M):
        assert (ROOT / command[1]).is_file()


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_figure_of_a_hand_that_spells(tmp_path, suffix):
    pytest.importorskip("matplotlib")
    from signx_hf.plots.hands import plot_hands

    hands = np.random.default_rng(0).normal(0.5, 0.1, (40, 21, 2))
    seen = np.arange(40) > 5
    letters = [{"gloss": "A", "start": 0.2, "end": 0.6, "confidence": 0.93}, {"gloss": "B", "start": 0.8, "end": 1.3}]
    path = plot_hands(hands, seen, letters, 1.6, tmp_path / f"a.{suffix}", "title")
    assert [file.name for file in tmp_path.iterdir()] == [path.name], "nothing half written"
    if suffix == "svg":
        text = path.read_text()
        assert "A 0.93" in text and "recognized" in text and text.count("<path") > 12 * 20
    plot_hands(hands, np.zeros(40, bool), [], 1.6, tmp_path / f"b.{suffix}")  # nobody is there, nothing is spelled


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_alignment_figure(tmp_path, suffix):
    pytest.importorskip("matplotlib")
    from signx_hf.plots.alignment import plot_alignment

    frames = np.random.default_rng(0).integers(0, 255, (20, 32, 32, 3), dtype=np.uint8)
    path = plot_alignment(frames, SEGMENTS, 1.6, tmp_path / f"a.{suffix}", SEGMENTS[:1], "title")
    assert [file.name for file in tmp_path.iterdir()] == [path.name], "nothing half written"
    if suffix == "svg":
        text = path.read_text()
        assert "IX-1p 0.93" in text and "FINISH" in text and "truth" in text
    else:
        from PIL import Image

        assert len(Image.open(path).convert("RGB").getcolors(1 << 20)) > 100
