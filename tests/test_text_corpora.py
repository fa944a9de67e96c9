"""Corpora with text: what the loaders give, what training takes of it, and German text from file to file without a loss."""

import json
import unicodedata

import data_minis
import pytest
import sacrebleu
from conftest import data_folder
from training_runs import SMALL, run

import signx_hf
from signx_hf.data.check import CheckOptions, check_dataset
from signx_hf.data.errors import SignXDataError
from signx_hf.processing.processing_signx import SignXProcessor
from signx_hf.processing.tokenization_signx import SignXTokenizer
from signx_hf.training.examples import Example
from signx_hf.training.targets import check_targets, dev_metrics
from signx_hf.writers import WRITERS, read_eaf

# Loader -> options, and the first text of the split train of its small copy
TEXTS = {
    "phoenix14t": ({}, "und nun das wetter ."),
    "csl_daily": ({}, "他们好"),
    "how2sign": ({}, 'I call it "painting".'),
    "signsynth": ({}, "I."),
    "phoenix_skeletons": ({}, "tiefer luftdruck ."),
    "table": ({}, '"so'),
    "elan": ({"text_tier": "English"}, "I work."),
}


def mini(name, folder, **options):
    make, _ = data_minis.MINIS[name]
    make(folder)
    return signx_hf.load_dataset(name, data_dir=str(folder), **options)


@pytest.mark.parametrize("name", TEXTS)
def test_rows_carry_text_that_training_takes(name, tmp_path):
    options, text = TEXTS[name]
    data = mini(name, tmp_path, **options)
    rows = data["train"] if hasattr(data, "keys") else data
    assert rows[0]["text"] == text
    check_targets(rows, "train", "text")
    found = check_dataset({"train": rows}, CheckOptions(media="none", poses=False, target="text"))
    assert not {"no-text", "no-glosses", "long-target"} & {finding.fault for finding in found.findings}
    assert found.splits["train"]["texts"] == len(rows)
    if name == "how2sign":
        assert not any(rows["glosses"])


def test_a_table_takes_clips_with_text_glosses_or_neither(tmp_path):
    (tmp_path / "train.tsv").write_text("id\tvideo\tglosses\ttext\na\ta.mp4\t\tGrüße\nb\tb.mp4\tA B\t\nc\tc.mp4\t\t\n")
    rows = signx_hf.load_dataset("table", data_dir=str(tmp_path))["train"]
    assert [(row["glosses"], row["text"]) for row in rows] == [([], "Grüße"), (["A", "B"], None), ([], None)]


def test_sentences_of_elan_need_no_tier_of_glosses(tmp_path):
    import pympi

    eaf = pympi.Elan.Eaf(author="test")
    eaf.remove_tier("default")
    eaf.add_tier("Deutsch")
    eaf.tiers["Deutsch"][2]["PARTICIPANT"] = "anna"
    for start, text in ((0, "Schöne Grüße."), (2000, "Bis später!")):
        eaf.add_annotation("Deutsch", start, start + 1500, text)
    eaf.to_file(str(tmp_path / "a.eaf"))
    rows = signx_hf.load_dataset("elan", data_dir=str(tmp_path), gloss_tier=None, text_tier="Deutsch")["train"]
    assert [(row["text"], row["start"], row["end"]) for row in rows] == [
        ("Schöne Grüße.", 0.0, 1.5), ("Bis später!", 2.0, 3.5),
    ]  # fmt: skip
    assert set(rows["signer"]) == {"anna"} and not any(rows["glosses"])
    with pytest.raises(SignXDataError, match="`text_tier` must be a tier of sentences without gloss_tier, got None"):
        signx_hf.load_dataset("elan", data_dir=str(tmp_path), gloss_tier=None)


def test_chinese_is_scored_by_characters():
    tokenizer = SignXTokenizer.train_from_iterator(["他们 好"], texts=["他们今天都很好", "我们明天去学校"])
    examples = [Example("a", 1, [], text="他们今天都很好"), Example("b", 1, [], text="我们明天去学校")]
    said = ["他们今天都好", "你们明天去学校"]
    metrics = dev_metrics({"text": said}, examples, SignXProcessor(tokenizer=tokenizer))
    spaced = [[" ".join(line) for line in side] for side in (said, [example.text for example in examples])]
    assert metrics["bleu"] == pytest.approx(sacrebleu.corpus_bleu(spaced[0], [spaced[1]], tokenize="none").score)
    assert 40 < metrics["bleu"] < 100  # as one word each, none would be right
    for example in examples:
        ids = tokenizer(example.text, task="text")["input_ids"]
        assert tokenizer.decode(ids, skip_special_tokens=True) == example.text


PHOENIX = {
    "dataset": "phoenix_skeletons", "target": "text", "dev_split": "train", "start": "inputs", "fps": 25.0, "vocab_size": 640,
    "num_train_epochs": 120, "eval_epochs": 120, "save_epochs": 0, "learning_rate": 1e-2, "warmup_ratio": 0.1, "num_beams": 2,
    "per_device_train_batch_size": 5, "weight_decay": 0.0, "progress": False, "plot": False, "num_workers": 0,
    "model_config": {
        **SMALL, "pose_config": {**SMALL["pose_config"], "track_dims": {"skeleton": 150}}, "label_smoothing": 0.0,
        "text_config": {**SMALL["text_config"], "hidden_size": 32, "intermediate_size": 64, "dropout": 0.0},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def phoenix(tmp_path_factory):
    """A model that knows the five sentences of the split train of PHOENIX-2014T by heart, and the corpus."""
    folder, out = data_folder("phoenix_skeletons"), tmp_path_factory.mktemp("phoenix")
    run("refine", {**PHOENIX, "data_dir": str(folder), "output_dir": str(out)})
    return out, signx_hf.load_dataset("phoenix_skeletons", data_dir=str(folder))


def test_sentences_of_phoenix_are_learned_and_written_as_they_are(phoenix, tmp_path):
    from transformers import pipeline

    from signx_hf.data.media import clip_of

    out, corpus = phoenix
    assert json.loads((out / "result.json").read_text())["best"][0]["score"] == pytest.approx(100)
    translate = pipeline("sign-translation", model=str(out / "model"))
    processor = translate.processor

    def said(row):
        return translate(clip_of(row, "poses", processor, translate.model.config)[0])

    results = [said(row) for row in corpus["train"]]
    texts = [result["text"] for result in results]
    assert texts == corpus["train"]["text"] and {"ü", "ö", "ä"} <= set("".join(texts))
    assert "größere" in texts[4].split() and "möglich" in texts[1].split()
    # saved and loaded again, and written to files
    translate.save_pretrained(tmp_path / "again")
    again = pipeline("sign-translation", model=str(tmp_path / "again"))
    row = corpus["train"][4]
    assert again(clip_of(row, "poses", again.processor, again.model.config)[0])["text"] == row["text"]
    result = {**results[4], "segments": [], "translation": results[4]["sentences"]}
    (tmp_path / "clip.eaf").write_text(WRITERS["eaf"].render(result, "clip.mp4", None), encoding="utf-8")
    assert read_eaf(tmp_path / "clip.eaf")["translation"][0]["text"] == row["text"]
    assert json.loads(WRITERS["json"].render(results[4], "clip.mp4", None))["text"] == row["text"]
    # clips that it has not seen: words of the training sentences, as it knows no others by heart
    for split in ("dev", "test"):
        for row in corpus[split]:
            result = said(row)
            assert result["text"] and result["duration"] == pytest.approx(row["num_frames"] / 25, abs=1e-3)
            assert len(result["words"]) == len(result["text"].split())


def test_umlauts_are_single_letters_in_either_form(phoenix):
    out, corpus = phoenix
    tokenizer = SignXProcessor.from_pretrained(out / "model").tokenizer
    for text in corpus["test"]["text"]:
        for form in ("NFC", "NFD"):
            ids = tokenizer(unicodedata.normalize(form, text), task="text")["input_ids"]
            assert tokenizer.decode(ids, skip_special_tokens=True) == text
