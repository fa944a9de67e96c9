"""The card says what the results hold and nothing else; what may not be published is refused before anything is sent."""

import copy
import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest
from make_model import save_folder

from signx_hf.cli import main
from signx_hf.hub import About, read_about, write_card
from signx_hf.hub.card import metadata, read_model, render_card
from signx_hf.hub.checks import (
    check_card,
    check_index_not_worse,
    check_not_worse,
    model_index,
    quoted_numbers,
    split_card,
)
from signx_hf.hub.results import parse_results, read_results
from signx_hf.hub.upload import model_files
from signx_hf.processing.errors_signx import SignXError
from signx_hf.recognition.batch import model_fingerprint

REPO = "someone/signs"
ABOUT = About(
    title="Signs", licence="apache-2.0", sign_languages=("ase",), spoken_languages=("en",), training_data=("boston104", "Own clips"),
    glossing="ASLLRP", consent="four adults, in writing", limits=("One camera.",), authors=("A. Author",),
)  # fmt: skip


def make_results(fingerprint: str = "m" * 64, rate: float = 0.12807881773399016, **parts) -> dict:
    """As `signx-hf evaluate` writes them, with a path of somebody's machine in it."""
    content = {
        "version": 1, "task": "sign-recognition",
        "model": {"name": "/home/somebody/model", "architecture": "SignXForLatentCTC", "fingerprint": fingerprint},
        "data": {
            "dataset": "/home/somebody/clips", "split": "test", "fingerprint": "d" * 64, "clips": 50, "words": 203, "signers": 3,
            "clips_without_glosses": 0,
        },
        "config": {
            "source": "poses", "options": {"decoder": "ctc"}, "seed": 7, "rounds": 2000, "level": 0.95, "scorers": ["plain", "bleu"],
        },
        "versions": {"python": "3.11.7", "torch": "2.13.0", "jiwer": None}, "commit": "c" * 40,
        "scores": {
            "plain": {
                "rate": rate, "substitutions": 11, "insertions": 6, "deletions": 9, "words": 203, "interval": [rate / 2, 1.5 * rate],
                "signature": "wer|variant:plain",
            },
            "bleu": {"score": 80.09080284252158, "bleu_1": 91.61541038308486, "signature": "nrefs:1"},
        },
        "run": {
            "command": "signx-hf evaluate /home/somebody/model /home/somebody/clips --data-dir /home/somebody/data --loader task=x",
            "hardware": {"cpu": "A processor", "gpu": None}, "warnings": ["/home/somebody/clips/1.mp4 is odd"],
        },
    }  # fmt: skip
    for part, changes in parts.items():
        content[part].update(changes)
    return content


def results_of(**changes):
    return parse_results(make_results(**changes), "results.json")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model with a vocabulary, as it is published."""
    return save_folder(tmp_path_factory.mktemp("card") / "model", "SignXForLatentCTC")


@pytest.fixture(scope="module")
def model(folder):
    return read_model(folder)


def test_the_metadata_are_what_the_library_reads(model, folder):
    from huggingface_hub import ModelCard

    results = results_of()
    card = ModelCard(render_card(REPO, model, ABOUT, [results]))
    data = card.data
    assert (data.license, data.library_name, data.pipeline_tag) == (
        "apache-2.0",
        "transformers",
        "video-classification",
    )
    assert data.language == ["ase", "en"] and data.model_name == "Signs" and data.metrics == ["wer", "bleu"]
    wer, bleu = data.eval_results
    assert (wer.metric_value, bleu.metric_value) == (12.81, 80.09)
    assert wer.metric_args["interval_95"] == [6.4, 19.21] and wer.metric_args["signature"] == "wer|variant:plain"
    assert (wer.dataset_name, wer.dataset_split, wer.dataset_revision) == ("clips", "test", "d" * 64)
    assert model_index(split_card(str(card))[0])[0].metric_config == "plain"


def test_the_text_says_what_is_asked_of_it(model):
    text = render_card(REPO, model, ABOUT, [results_of()])
    for fact in (
        "sentences, as a sequence of glosses with times of American Sign Language (ase), written with words of en",
        f"{len(model.glosses)} glosses", "`IX-1p`", "One camera.", "Glossing convention: ASLLRP.", "four adults, in writing",
        "| clips test | 50 | 3 | 203 | poses | WER | 12.81 % | 6.40 to 19.21 |", "Weights: apache-2.0", "RWTH-BOSTON-104",
        "- Own clips", "torch 2.13.0", "A processor", "A. Author", f"{model.weights:,} weights",
        "signx-hf evaluate someone/signs clips --split test --source poses --data-dir YOUR_COPY --scorer plain --scorer bleu "
        "--option decoder=ctc --loader task=x --seed 7 --rounds 2000",
    ):  # fmt: skip
        assert fact in text, fact
    assert "somebody" not in text
    bare = render_card(REPO, model, About(), [results_of()])
    assert bare.count("not stated by the publisher") == 4 and "license:" not in bare


def test_weights_are_counted(model, folder):
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", "pt") as file:
        assert model.weights == sum(file.get_tensor(name).numel() for name in file.keys())  # noqa: SIM118


def test_published_results_name_no_folder_and_change_no_number():
    content = make_results()
    before = copy.deepcopy(content)
    published = json.loads(parse_results(content, "results.json").published(REPO))
    assert content == before and "somebody" not in json.dumps(published)
    for part in ("scores", "config", "versions", "commit"):
        assert published[part] == before[part]
    assert published["model"]["fingerprint"] == before["model"]["fingerprint"]
    assert parse_results(published, "again").metrics() == results_of().metrics()


def test_a_card_with_its_own_numbers_passes(model):
    results = results_of()
    check_card(render_card(REPO, model, ABOUT, [results]), [results])
    check_card(
        "# Mine\n\nWER is 12.8 % (95 % interval 6.4 to 19.2), BLEU-4 80.1.\n\nTrained for 3.5 hours.\n", [results]
    )
    check_card("| input | WER, % |\n| --- | --- |\n| poses | 12.81 |\n\n```text\nWER 99.9 %\n```\n", [results])


@pytest.mark.parametrize(
    "text, number",
    [
        ("The WER is 9.9 %.", "9.9"),
        ("Top-5 accuracy: 97.3", "97.3"),
        ("| input | WER, % |\n| --- | --- |\n| poses | 12 |", "12"),
        ("| measure | value |\n| --- | --- |\n| WER | 12.9 |", "12.9"),
        ("BLEU-4 of 81.1, WER 12.8 %", "81.1"),
    ],
)
def test_a_card_with_other_numbers_is_refused(text, number):
    with pytest.raises(SignXError) as error:
        check_card(f"# Mine\n\n{text}\n", [results_of()])
    assert str(error.value).startswith(f"README.md: {number} in ") and "is not in results.json" in str(error.value)


def test_a_model_index_with_another_number_is_refused(model):
    results = results_of()
    text = render_card(REPO, model, ABOUT, [results]).replace("value: 12.81", "value: 2.81")
    with pytest.raises(SignXError, match=r"must quote results.json \(12.81\), got WER 2.81"):
        check_card(text, [results])
    with pytest.raises(SignXError, match="the model-index does not have the form"):
        check_card("---\nmodel-index: [{name: x}]\n---\n", [results])
    with pytest.raises(SignXError, match="must be a YAML mapping"):
        check_card("---\na: [\n---\n", [results])


def test_what_counts_as_a_quoted_number():
    lines = [
        "WER 12.5 and 7 %", "trained for 2.5 hours", "see [WER 3.3](http://x/4.4 %)", "WER of `5.5 %`", "WER in 2024, 3 seeds, v1.2.3",
    ]  # fmt: skip
    found = [number for _, number in quoted_numbers("\n".join(lines))]
    assert found == ["12.5", "7", "3.3"]


def test_worse_is_refused_and_better_and_equal_are_not():
    old = results_of(rate=0.2)
    assert check_not_worse([results_of(rate=0.2)], [old]) == [
        "WER on clips test (poses, 50 clips): 20.00 before, 20.00 now"
    ]
    assert "19.00 now" in check_not_worse([results_of(rate=0.19)], [old])[0]
    with pytest.raises(SignXError, match=r"WER 21.00 after 20.00 on clips test"):
        check_not_worse([results_of(rate=0.21)], [old])
    higher = {"top_1": {"per_instance": 0.8, "per_class": 0.7, "interval": [0.7, 0.9], "signature": "top_n"}}
    good, bad = results_of(), results_of()
    good.content["scores"].clear()
    good.content["scores"].update(higher)
    bad.content["scores"].clear()
    bad.content["scores"].update({"top_1": {**higher["top_1"], "per_instance": 0.79}})
    assert check_not_worse([good], [bad])
    with pytest.raises(SignXError, match="top-1 accuracy 79.00 after 80.00"):
        check_not_worse([bad], [good])
    with pytest.raises(SignXError, match="has top-1 accuracy on .*, but this one does not"):
        check_not_worse([results_of()], [good])
    with pytest.raises(SignXError, match="this one was not"):
        check_not_worse([results_of(data={"fingerprint": "e" * 64})], [old])
    # every test set of the predecessor counts
    other = results_of(rate=0.1, data={"fingerprint": "e" * 64, "dataset": "more"})
    with pytest.raises(SignXError, match="WER 30.00 after 10.00 on more test"):
        check_not_worse([old, results_of(rate=0.3, data={"fingerprint": "e" * 64})], [old, other])


def test_a_card_is_a_predecessor_too(model):
    entries = model_index(metadata(REPO, model, ABOUT, [results_of(rate=0.2)]).to_dict())
    assert check_index_not_worse([results_of(rate=0.2)], entries) == ["WER on clips test: 20.00 before, 20.00 now"]
    with pytest.raises(SignXError, match="WER 20.50 after 20.00"):
        check_index_not_worse([results_of(rate=0.205)], entries)
    strange = [replace(entries[0], metric_config=None, dataset_revision=None)]
    with pytest.raises(SignXError, match="WER 20.50 after 20.00"):
        check_index_not_worse([results_of(rate=0.205)], strange)
    with pytest.raises(SignXError, match="was not evaluated there"):
        check_index_not_worse([results_of(data={"fingerprint": "e" * 64})], entries)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda found: found.pop("scores"), "does not hold the results of an evaluation"),
        (lambda found: found.update(version=2), "must be 1, got 2"),
        (lambda found: found["data"].pop("clips"), "no data.clips"),
        (lambda found: found["scores"].clear(), "holds no score"),
        (
            lambda found: found["scores"]["plain"].update(rate="infinity"),
            "the score plain must be a number, got 'infinity'",
        ),
        *[
            (
                lambda found, part=part, key=key, value=value: found[part].update({key: value}),
                f"{part}.{key} must be {kind}, got {value!r}",
            )
            for part, key, value, kind in (
                ("data", "split", 5, "a string"),
                ("data", "fingerprint", None, "a string"),
                ("data", "clips", "x", "an integer"),
                ("data", "words", True, "an integer"),
                ("model", "fingerprint", [], "a string"),
                ("config", "options", [1], "a mapping"),
                ("config", "scorers", "plain", "a list of strings"),
                ("config", "scorers", [5], "a list of strings"),
                ("config", "source", {}, "a string"),
                ("config", "seed", None, "an integer"),
                ("run", "hardware", 5, "a mapping"),
                ("run", "command", 5, "a string"),
            )
        ],
        (
            lambda found: found["run"].update(command="a 'b"),
            'run.command must be a command line, got "a \'b" (No closing quotation)',
        ),
        (lambda found: found.update(run=5), "run must be a mapping, got 5"),
        (lambda found: found["scores"].update(plain=5), "the score plain must be a mapping, got 5"),
        (
            lambda found: found["scores"]["plain"].update(interval=[1]),
            "the interval of plain must be two numbers, got [1]",
        ),
        (
            lambda found: found["scores"]["plain"].update(interval=None),
            "the interval of plain must be two numbers, got None",
        ),
        (
            lambda found: found["scores"]["plain"].update(rate=10**400),
            "its numbers are too large or nested too deeply (int too large",
        ),
    ],
)
def test_results_that_are_none(change, message):
    content = make_results()
    change(content)
    with pytest.raises(SignXError, match=re.escape(message)):
        parse_results(content, "results.json")


def test_results_files_that_are_none(tmp_path):
    with pytest.raises(SignXError, match="no such file. Run `signx-hf evaluate"):
        read_results(tmp_path / "nothing.json")
    for text in ("{", "[" * 100_000):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(SignXError, match="cannot be read"):
            read_results(tmp_path / "bad.json")


def test_facts_from_a_file(tmp_path):
    path = tmp_path / "about.yaml"
    path.write_text("title: Signs\nlicence: apache-2.0\nsign_languages: ase\nlimits:\n- One  camera.\nconsent:\n")
    assert read_about(path) == About("Signs", "apache-2.0", ("ase",), limits=("One camera.",))
    for text, message in (
        ("license: mit", "must be one of title, licence, "),
        ("- a", "must be a mapping of "),
        ("title: 3", "title must be text, got 3"),
        ("title: [a]", "title must be one text, got a list"),
        ("a: [", "must be YAML or JSON"),
    ):
        path.write_text(text)
        with pytest.raises(SignXError, match=re.escape(message)):
            read_about(path)
    with pytest.raises(SignXError, match="no such file"):
        read_about(tmp_path / "nothing.yaml")


def test_folders_that_may_not_be_published(folder, tmp_path):
    def broken(name):
        return shutil.copytree(folder, tmp_path / name)

    place = broken("pickle")
    (place / "optimizer.pt").write_bytes(b"x")
    with pytest.raises(SignXError, match=r"optimizer.pt is a pickle"):
        model_files(place)
    place = broken("code")
    (place / "modeling_signx.py").unlink()
    with pytest.raises(SignXError, match="names the code modeling_signx.py, which is missing"):
        read_model(place)
    place = broken("cut")
    weights = (place / "model.safetensors").read_bytes()
    (place / "model.safetensors").write_bytes(weights[:-1])
    with pytest.raises(SignXError, match="is not a complete safetensors file"):
        read_model(place)
    (place / "model.safetensors").unlink()
    (place / "model.safetensors").mkdir()
    with pytest.raises(SignXError, match="model.safetensors must be a safetensors file"):
        read_model(place)
    (place / "model.safetensors").rmdir()
    with pytest.raises(SignXError, match="no weights"):
        read_model(place)
    with pytest.raises(SignXError, match="no such folder"):
        read_model(tmp_path / "nothing")


def test_only_the_top_is_published(folder, tmp_path):
    place = shutil.copytree(folder, tmp_path / "model")
    (place / ".secret").write_text("x")
    (place / "checkpoint-5").mkdir()
    files, notes = model_files(place)
    assert ".secret" not in files and notes == [
        "checkpoint-5/ was left out: only files at the top of the folder are published"
    ]
    assert {"model.safetensors", "config.json", "modeling_signx.py"} <= files.keys()


def test_card_without_a_hub(folder, tmp_path, capsys, monkeypatch):
    """`--card` checks and writes, and sends nothing: there is no network in the suite."""
    path = tmp_path / "results.json"
    path.write_text(json.dumps(make_results(model_fingerprint(str(folder)))))
    words = ["push", str(folder), REPO, "--results", str(path), "--card", str(tmp_path / "card.md")]
    assert main(words) == 0
    printed = capsys.readouterr()
    assert "nothing was sent" in printed.out and printed.err == ""
    text = (tmp_path / "card.md").read_text()
    assert text == write_card(folder, REPO, [read_results(path)], tmp_path / "again.md")
    path.write_text(json.dumps(make_results("0" * 64)))
    assert main(words) == 2
    error = capsys.readouterr().err
    assert "results of another model (fingerprint 000000000000;" in error and error.count("\n") == 1
    assert main(["push", str(folder), "no/such/name", "--results", str(path)]) == 2
    assert "got 'no/such/name'" in capsys.readouterr().err
    assert main(["push", str(folder), REPO]) == 2
    assert "must hold at least one evaluation" in capsys.readouterr().err


def card_words(folder, tmp_path, card) -> list[str]:
    path = tmp_path / "measured.json"
    path.write_text(json.dumps(make_results(model_fingerprint(str(folder)))))
    return ["push", str(folder), REPO, "--results", str(path), "--card", str(card)]


@pytest.mark.parametrize(
    "name", ["--card", "--about", "--revision", "--message", "--data-dir", "--results", "--split"]
)
def test_an_empty_option_is_not_one_left_out(folder, tmp_path, capsys, monkeypatch, name):
    monkeypatch.setattr("signx_hf.hub.upload.open_api", lambda *_: pytest.fail("the Hub was asked"))
    assert main([*card_words(folder, tmp_path, "")[:-2], name, ""]) == 2
    assert capsys.readouterr().err.startswith(f"signx-hf push: {name} must not be empty. ")
    assert main(["pull", REPO, "--out", ""]) == 2
    assert capsys.readouterr().err.startswith("signx-hf pull: --out must not be empty. ")


def test_a_card_replaces_nothing_but_a_card(folder, tmp_path, capsys):
    place = shutil.copytree(folder, tmp_path / "model")
    (tmp_path / "thesis.md").write_text("---\ntitle: Thesis\n---\n")
    (tmp_path / "photo.md").write_bytes(b"\xff\xd8")
    (tmp_path / "link.md").symlink_to(place / "config.json")
    os.mkfifo(tmp_path / "pipe")
    own, other = "Choose its README.md, or a file outside of it", "is not a card (no model-index in its metadata)"
    before = {path: path.read_bytes() for path in place.iterdir()}
    for card, message in (
        (place / "config.json", own),
        (place / "card.md", own),
        (tmp_path / "link.md", own),
        (tmp_path / "thesis.md", other),
        (tmp_path / "photo.md", other),
        (tmp_path / "pipe", ""),
        ("/dev/null", ""),
        (tmp_path, "folder"),
    ):
        assert main(card_words(place, tmp_path, card)) == 2
        error = capsys.readouterr().err
        assert str(card) in error and message in error and error.count("\n") == 1, error
    assert {path: path.read_bytes() for path in place.iterdir()} == before
    assert (tmp_path / "pipe").is_fifo() and (tmp_path / "link.md").is_symlink()
    # an older card is replaced, also through a link
    (tmp_path / "card.md").symlink_to(tmp_path / "new" / "real.md")
    for card in (place / "README.md", tmp_path / "card.md"):
        for _ in range(2):
            assert main(card_words(place, tmp_path, card)) == 0, capsys.readouterr().err
        assert "model-index" in card.read_text()
    assert (tmp_path / "card.md").is_symlink() and [path.name for path in (tmp_path / "new").iterdir()] == ["real.md"]


def test_a_card_does_not_replace_a_file_of_the_cache(folder, tmp_path, capsys):
    """There the model's files are links, and a card written through one would spoil the cache."""
    place = in_cache(folder, tmp_path, **{"README.md": b"---\nmodel-index: []\n---\n"})
    before = {path: path.read_bytes() for path in place.iterdir()}
    for name in ("README.md", "config.json"):
        assert main(card_words(place, tmp_path, place / name)) == 2
        assert f"{place / name} is inside the model in {place}. Choose its README.md" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in place.iterdir()} == before


def in_cache(folder, tmp_path, **more: bytes) -> Path:
    """The model as the Hub's client keeps it."""
    repo = tmp_path / "models--someone--model"
    place = repo / "snapshots" / ("c" * 40)
    place.mkdir(parents=True)
    (repo / "blobs").mkdir()
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    for name, content in {**files, **more}.items():
        (repo / "blobs" / f"blob-{name}").write_bytes(content)
        (place / name).symlink_to(f"../../blobs/blob-{name}")
    return place


def test_links_that_lead_out_of_the_folder(folder, tmp_path):
    """What they lead to was put there by nobody who publishes; links inside it, and in the client's cache, are files."""
    place = shutil.copytree(folder, tmp_path / "model")
    (tmp_path / "secret").write_text("x")
    (place / ".env").write_text("TOKEN=x")
    (place / "checkpoint-5").mkdir()
    (place / "checkpoint-5" / "notes.txt").write_text("x")
    for name, target in (
        ("notes.md", tmp_path / "secret"),
        ("notes.md", "../secret"),
        ("README.md", tmp_path / "secret"),
        ("notes.md", place / ".env"),
    ):
        (place / name).symlink_to(target)
        linked = (place / target).resolve()
        with pytest.raises(SignXError) as error:
            model_files(place)
        assert f"{place / name} must be a file of the folder, got a link to {linked}" in str(error.value)
        (place / name).unlink()
    (place / "notes.txt").symlink_to("checkpoint-5/notes.txt")
    (tmp_path / "again").symlink_to(place)
    for found in (place, tmp_path / "again"):
        assert "notes.txt" in model_files(found)[0] and ".env" not in model_files(found)[0]
    shutil.move(place / "model.safetensors", tmp_path / "model.safetensors")
    (place / "model.safetensors").symlink_to(tmp_path / "model.safetensors")
    with pytest.raises(SignXError, match=r"model\.safetensors must be a file of the folder, got a link"):
        model_files(place)
    cached = in_cache(folder, tmp_path)
    assert {name: path.read_bytes() for name, path in model_files(cached)[0].items()} == {
        path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()
    }
    (cached / "notes.md").symlink_to(tmp_path / "secret")
    with pytest.raises(SignXError, match="which is not published"):
        model_files(cached)


def test_what_is_no_file_is_refused_by_both(folder, tmp_path, capsys, monkeypatch):
    """Before a repository is made for it."""
    monkeypatch.setattr("signx_hf.hub.upload.open_api", lambda *_: pytest.fail("the Hub was asked"))
    place = shutil.copytree(folder, tmp_path / "model")
    words = card_words(place, tmp_path, tmp_path / "card.md")
    for make, message in (
        (os.mkfifo, "got a pipe"),
        (lambda path: path.symlink_to("nothing"), "got a broken link"),
    ):
        make(place / "notes")
        for given in (words, words[:-2]):
            assert main(given) == 2
            error = capsys.readouterr().err
            assert f"{place / 'notes'} must be a file, {message}" in error and error.count("\n") == 1
        (place / "notes").unlink()
    shutil.rmtree(place)
    for given in (words, words[:-2]):
        assert main(given) == 2
        assert capsys.readouterr().err.startswith(f"signx-hf push: {place}: no such folder. ")
    assert not (tmp_path / "card.md").exists()


def test_a_file_that_cannot_be_opened_makes_no_repository(tmp_path, monkeypatch):
    """There is no client here to make one with."""
    from signx_hf.hub import upload
    from signx_hf.hub.client import Remote

    remote, options = Remote(None, False, False, {}, {}), upload.PushOptions(REPO)
    with pytest.raises(SignXError) as error:
        upload._commit(None, REPO, "model", remote, {"notes": tmp_path / "notes"}, [], options, [])
    assert str(error.value).startswith(f"{tmp_path / 'notes'} cannot be published (")
    assert "Nothing was sent" in str(error.value)
    monkeypatch.chdir(tmp_path)
    Path("~root").mkdir()
    Path("~root/a.txt").write_text("a")
    (operation,) = upload._operations({"a.txt": Path("~root/a.txt")}, [])
    assert operation.path_or_fileobj == str(tmp_path / "~root" / "a.txt")


def test_a_card_of_the_publisher_that_is_no_text(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("signx_hf.hub.upload.open_api", lambda *_: pytest.fail("the Hub was asked"))
    place = shutil.copytree(folder, tmp_path / "model")
    (place / "README.md").write_bytes("# Gebärden".encode("latin-1"))
    words = card_words(place, tmp_path, tmp_path / "card.md")
    for given in (words, words[:-2]):
        assert main(given) == 2
        error = capsys.readouterr().err
        assert (
            error.startswith(f"signx-hf push: {place / 'README.md'} must be text in UTF-8 (")
            and error.count("\n") == 1
        )
    assert not (tmp_path / "card.md").exists()


def test_a_model_of_single_signs(tmp_path):
    folder = save_folder(tmp_path / "model", "SignXForSignClassification", id2label={0: "HOUSE", 1: "TREE"})
    model = read_model(folder)
    assert model.glosses == ("HOUSE", "TREE") and model.task == "isolated-sign-recognition"
    content = make_results()
    content["scores"] = {
        "top_1": {
            "per_instance": 0.5,
            "per_class": 0.4,
            "hits": 1,
            "clips": 2,
            "interval": [0.1, 0.9],
            "signature": "top_n|n:1",
        }
    }
    results = parse_results(content, "results.json")
    text = render_card(REPO, model, ABOUT, [results])
    assert "Recognizes single signs of" in text and "top-1 accuracy | 50.00 %" in text
    assert 'candidates = recognizer("poses.npz")' in text and "top-1 accuracy, averaged over signs | 40.00 %" in text
    assert "no threshold was fitted" in text and "isolated-sign-recognition" in text.split("---")[1]
    content["config"]["source"] = "video"
    assert 'candidates = recognizer("clip.mp4")' in render_card(
        REPO, model, ABOUT, [parse_results(content, "results.json")]
    )
    check_card(text, [results])


@pytest.mark.parametrize(
    "entries, source, says, clip",
    [
        (["poses", "video"], "video", "from video, or pose tracks (", "clip.mp4"),
        (["poses", "video"], "poses", "from pose tracks (", "poses.npz"),
        (None, "video", "from video, or pose tracks (", "clip.mp4"),
        (["poses"], "poses", "which MediaPipe finds in a video", "clip.mp4"),
    ],
)
def test_what_a_model_reads_is_said_once(entries, source, says, clip, tmp_path):
    folder = save_folder(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    assert config["vision_config"] is not None
    (folder / "config.json").write_text(json.dumps({**config, "trained_entries": entries}))
    content = make_results()
    content["config"]["source"] = source
    text = render_card(REPO, read_model(folder), ABOUT, [parse_results(content, "results.json")])
    assert says in text and f'recognizer("{clip}")' in text and "not video" not in text
    assert ("was evaluated on poses alone" in text) is (source == "poses" and "video" in (entries or []))


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    import errno

    from huggingface_hub import HfApi

    from signx_hf.hub import download, pull
    from signx_hf.hub.client import Remote

    monkeypatch.setattr(
        download, "fetch_state", lambda *_: Remote("c" * 40, False, True, {"a.txt": "git:0"}, {"a.txt": 1})
    )
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):  # the last is that of a limit, as of `ulimit -f`
        error = OSError(number, "No space left on device")
        monkeypatch.setattr(HfApi, "hf_hub_download", Mock(side_effect=error))
        with pytest.raises(SignXError, match="the disk is full. Files downloaded so far are kept"):
            pull("someone/model", tmp_path / "out")
        assert not (tmp_path / "out").exists()
