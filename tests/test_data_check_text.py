"""`data check` of clips with text: texts that are missing, empty or longer than a decoder can write."""

import json

import pytest
from make_model import save_folder
from training_runs import SIGNS, make_corpus, options, started

from signx_hf.cli import main
from signx_hf.data.check import CheckOptions, check_dataset
from signx_hf.data.check_targets import DecoderLimit
from signx_hf.data.errors import SignXDataError
from signx_hf.data.schema import make_row, to_dataset
from signx_hf.processing.errors_signx import SignXError

QUICK = {"media": "none", "poses": False}


def rows_of(*pairs):
    """Clips with glosses and text, for each pair."""
    rows = [
        make_row(id=f"c{n}", num_frames=4000, fps=25.0, glosses=g.split(), text=t) for n, (g, t) in enumerate(pairs)
    ]
    return to_dataset(rows, "train")


def found(rows, **changes):
    findings = check_dataset(rows, CheckOptions(**QUICK, **changes)).findings
    return {(f.fault, f.id): (f.severity, f.message) for f in findings if f.fault != "few-clips"}


def test_text_alone_is_a_corpus():
    rows = rows_of(("", "Guten Tag"), ("", "Auf Wiedersehen"))
    assert found(rows) == {} == found(rows, target="text") == found(rows, target="both")
    assert check_dataset(rows, CheckOptions(**QUICK)).splits["train"]["texts"] == 2
    (error,) = found(rows, target="glosses").items()
    assert error == (("no-glosses", ""), ("error", "no clip has glosses, which target: glosses decodes"))


def test_a_corpus_without_texts_is_no_corpus_of_text():
    assert found(rows_of(("A", None), ("B", "")), target="text") == {
        ("no-text", ""): ("error", "no clip has text, which target: text decodes")
    }


@pytest.mark.parametrize("empty", [None, "", "  \n"])
def test_an_empty_text_is_none(empty):
    rows = rows_of(("A", "Ja"), ("B", "Nein"), ("C", empty))
    assert found(rows, target="text") == {("no-text", "c2"): ("error", "no text, which target: text decodes")}
    assert found(rows, target="glosses") == {} == found(rows, target="both")
    (warning,) = found(rows).items()
    assert warning[0] == ("partial-text", "") and warning[1][0] == "warning"
    assert "1 of 3 clips have glosses and no text (c2)" in warning[1][1]
    assert found(rows_of(("", empty), ("B", "Nein")))[("no-glosses", "c0")] == ("error", "no gloss and no text")


def test_words_are_the_least_a_text_can_have():
    rows = rows_of(("A", "wort " * 62), ("A", "wort " * 63), ("A " * 62, None), ("A " * 63, None))
    told = {name: message for (fault, name), (_, message) in found(rows).items() if fault == "long-target"}
    assert set(told) == {"c1", "c3"}
    assert "text has at least 65 pieces" in told["c1"] and "glosses have at least 65 pieces" in told["c3"]
    # only what is decoded counts
    assert ("long-target", "c3") not in found(rows, target="text") and ("long-target", "c1") in found(
        rows, target="text"
    )


def test_a_model_counts_its_own_pieces(tmp_path):
    model = save_folder(tmp_path)
    limit = DecoderLimit.of_model(str(model))
    assert limit.pieces == json.loads((model / "config.json").read_text())["text_config"]["max_length"]
    word = "Donaudampfschifffahrt"  # no merge of it was learned
    expected = len(limit.tokenizer.build_targets(word, task="text"))
    assert limit.count(word, "text") == expected > 20
    long = " ".join([word] * 5)
    (finding,) = found(rows_of(("", long)), limit=limit).values()
    assert (
        f"the text has {limit.count(long, 'text')} pieces, and the model writes {limit.pieces} at most" in finding[1]
    )
    assert found(rows_of(("", long))) == {}  # by words alone it might fit


def test_a_target_that_is_named_is_one_that_training_refuses(tmp_path):
    """The same clips are too long for `data check --model` and for the stage that starts from the model."""
    from datasets import load_from_disk

    rows = load_from_disk(str(make_corpus(tmp_path / "glosses", clips=5)))
    said = rows.map(lambda row: {"text": "Wort " * (80 if row["id"] == "clip2" else 2)})
    said.save_to_disk(str(tmp_path / "text"))
    with pytest.raises(SignXError, match="clip2"):
        started("refine", options(tmp_path / "text", tmp_path / "run", target="text", dev_split="train"))
    assert [f.id for f in check_dataset(said, CheckOptions(**QUICK)).findings if f.fault == "long-target"] == ["clip2"]
    assert set(SIGNS) >= {gloss for row in said for gloss in row["glosses"]}


def test_the_command(tmp_path, capsys):
    table = tmp_path / "clips.tsv"
    table.write_text(f"id\tvideo\tglosses\ttext\n1\t1.mp4\tA\t{'wort ' * 10_000}\n2\t2.mp4\t\tNein\n")
    check = ["data", "check", "table", "--data-dir", str(table), "--media", "none"]
    assert main(check) == 0
    said = capsys.readouterr().out
    assert "10002 pieces" in said and "1 of 2 clips have text and no glosses (2)" in said
    assert main([*check, "--strict"]) == 1 and main([*check, "--target", "text"]) == 0
    assert main([*check, "--target", "glosses"]) == 1
    capsys.readouterr()
    assert main([*check, "--model", "demo"]) == 0 and "and the model writes 64 at most" in capsys.readouterr().out
    assert main([*check, "--model", str(tmp_path / "none")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--model" in line and "none" in line


@pytest.mark.parametrize(
    "model, words", [("asl", "checkpoint with a text decoder, got asl, a SignXForSignClassification")]
)
def test_a_model_without_decoder_is_refused(model, words):
    with pytest.raises(SignXDataError, match=words):
        DecoderLimit.of_model(model)


def test_an_unknown_target_is_refused():
    with pytest.raises(SignXDataError, match="`target` must be one of glosses, text, both, got 'gloss'"):
        CheckOptions(target="gloss")
