"""The shipped model that translates: small and safe files, a card that quotes its record, and English of the demo's clips."""

import json
import re

import pytest
from conftest import ROOT

from signx_hf.assets import ASSETS, demo_clips, model_place, shipped_models

FOLDER = ASSETS / "demo-text" / "model"


def test_files_are_small_and_safe():
    assert "demo-text" in shipped_models()
    files = {path.name: path.stat().st_size for path in FOLDER.iterdir()}
    assert sum(files.values()) <= 13e6
    assert {name.rsplit(".", 1)[-1] for name in files} == {"json", "md", "safetensors"}
    texts = "".join(path.read_text() for path in FOLDER.glob("*.json"))
    assert "auto_map" not in texts and "/home/" not in texts


def test_clips_are_of_people_and_texts_the_decoder_never_saw():
    recipe = json.loads((FOLDER / "recipe.json").read_text())
    assert not {clip.signer for clip in demo_clips()} & set(recipe["training_signers"])
    assert not {clip.text for clip in demo_clips()} & set(recipe["training_texts"])


def test_the_card_quotes_its_record():
    from huggingface_hub import ModelCard

    card = ModelCard((FOLDER / "README.md").read_text())
    record = json.loads((ROOT / "benchmarks" / "results" / "accuracy_translation_demo.json").read_text())
    assert card.data.pipeline_tag == "translation" and record["signature"] in card.text
    for path, name in (("video", "video"), ("pose", "poses")):
        entry = record["paths"][path]
        assert f"| {name} | {entry['text']['bleu_4']['mean']:.1f} (" in card.text
        assert f"| {entry['wer']['wer']:.1f} (" in card.text
    for _, config in re.findall(r"^signx-hf train (\w+) --config (\S+)", card.text, re.M):
        assert (ROOT / config).is_file()


def test_it_translates_the_clips_of_the_demo():
    """Its card's code, and more than half of the words of ten clips."""
    pytest.importorskip("sacrebleu")
    from transformers import pipeline

    from signx_hf.metrics import bleu

    clips = demo_clips()
    said = pipeline("sign-translation", model=model_place("demo-text"))([str(clip.video) for clip in clips])
    assert bleu([result["text"] for result in said], [clip.text for clip in clips], "13a").parts["bleu_1"] > 50
    (code,) = re.findall(r"^```python\n(.*?)^```$", (FOLDER / "README.md").read_text(), re.M | re.S)
    printed: list[str] = []
    exec(code, {"print": printed.append})
    assert printed == [said[0]["text"]]
