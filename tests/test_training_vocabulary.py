"""What training finds out before its first step: glosses and tracks that upstream does not know, misspelled data."""

import json
import subprocess
import sys
import warnings

import numpy as np
import pytest
from conftest import ROOT
from training_runs import SMALL, make_corpus, options, run, started, weights_of

from signx_hf.cli import main
from signx_hf.data.schema import encode_poses
from signx_hf.processing.errors_signx import SignXError, SignXWarning

TWO_TRACKS = {
    **SMALL,
    "pose_config": {**SMALL["pose_config"], "track_dims": {"hands": 6, "face": 4}, "track_dropout": 0.0},
}


def changed(corpus, out, change):
    """Save a corpus again with `change` done to each row."""
    from datasets import load_from_disk

    rows = load_from_disk(str(corpus))
    rows.map(change, features=rows.features, load_from_cache_file=False).save_to_disk(str(out))
    return out


def renamed(row):
    """Replace a gloss of the even clips, and give clip0 nothing else."""
    number = int(row["id"].removeprefix("clip"))
    names = {"WORK": "WERK", "#JOB": "#JOBB"} if number % 2 == 0 else {}
    glosses = ["WERK"] if number == 0 else [names.get(gloss, gloss) for gloss in row["glosses"]]
    segments = [{**part, "gloss": names.get(part["gloss"], part["gloss"])} for part in row["segments"]]
    return {"glosses": glosses, "segments": [] if number == 0 else segments}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("corpus") / "data", clips=10)


@pytest.fixture(scope="module")
def upstream(corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("upstream")
    run("latent_ctc", options(corpus, out / "run", num_train_epochs=1, cache_dir=str(out / "cache")))
    return out / "run"


@pytest.fixture(scope="module")
def misspelt(corpus, tmp_path_factory):
    return changed(corpus, tmp_path_factory.mktemp("misspelt") / "data", renamed)


def given(data, upstream, out, **changes):
    return options(data, out, upstream=str(upstream), cache_dir=str(out / "cache"), num_train_epochs=1, **changes)


@pytest.mark.parametrize("stage", ["latent_ctc", "refine"])
def test_all_unknown_glosses_are_named_before_a_clip_is_read(stage, misspelt, upstream, tmp_path, monkeypatch):
    monkeypatch.setattr("signx_hf.training.stages.base.read_examples", lambda *a, **o: pytest.fail("clips were read"))
    with pytest.raises(SignXError, match="on_unknown: drop") as caught:
        run(stage, given(misspelt, upstream, tmp_path / "out", dev_share=0.0, dev_split="train"))
    said = str(caught.value)
    assert "WERK in " in said and "#JOBB in " in said and "(first: clip" in said and "IX-1p" not in said
    assert not (tmp_path / "out").exists(), "a failed run leaves no folder"


@pytest.mark.parametrize("stage, start", [("latent_ctc", "latents"), ("latent_ctc", "inputs"), ("refine", "features")])
def test_drop_leaves_unknown_glosses_out_of_the_labels(stage, start, misspelt, upstream, tmp_path):
    options = given(misspelt, upstream, tmp_path / "out", on_unknown="drop", start=start, dev_split="train")
    with pytest.warns(SignXWarning, match="WERK") as caught:
        ready = started(stage, options)
    assert {"They are left out of the labels.", "They count as errors."} == {
        " ".join(str(one.message).split()[-7:]).split(". ")[-1] for one in caught if "WERK" in str(one.message)
    }
    known = set(ready.processor.tokenizer.ctc_glosses)
    assert {gloss for example in ready.train_examples for gloss in example.glosses} <= known
    assert all(example.glosses for example in ready.train_examples)
    assert "clip0" not in {example.id for example in ready.train_examples}
    assert any("WERK" in example.glosses for example in ready.dev_examples), "the reference of dev stays whole"
    ready.collate(ready.train_examples, [np.random.default_rng(i) for i in range(len(ready.train_examples))])


def test_on_unknown_of_a_run_that_makes_its_own_vocabulary_is_refused(corpus, tmp_path):
    with pytest.raises(SignXError, match="`on_unknown` is not used"):
        run("latent_ctc", options(corpus, tmp_path / "out", on_unknown="drop"))


def test_a_checkpoint_from_before_the_option_can_be_resumed(corpus, tmp_path):
    run("latent_ctc", options(corpus, tmp_path / "out", num_train_epochs=2, save_epochs=1))
    before = weights_of(tmp_path / "out")
    newest = max((tmp_path / "out").glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    for path in (tmp_path / "out").glob("checkpoint-*/state.json"):
        state = json.loads(path.read_text())
        del state["settings"]["options"]["on_unknown"]
        path.write_text(json.dumps(state))
    assert newest.is_dir()
    run("latent_ctc", options(corpus, tmp_path / "out", num_train_epochs=2, save_epochs=1, resume=True))
    assert all((before[name] == value).all() for name, value in weights_of(tmp_path / "out").items())


# ------------------------------------------------------------------------------------------------------------- tracks


def with_face(row):
    """Give a clip a second track, and clip3 that one alone."""
    from signx_hf.data.schema import decode_poses

    hands = decode_poses(row["poses"]).to_clip()["hands"]
    face = np.random.default_rng(len(row["id"])).normal(size=(len(hands), 4))
    tracks = {"face": face} if row["id"] == "clip3" else {"hands": hands, "face": face}
    return {"poses": encode_poses(tracks, fps=30.0)}


def test_frozen_encoders_of_tracks_that_upstream_never_saw_are_not_read(corpus, tmp_path):
    common = {"cache_dir": str(tmp_path / "cache"), "num_train_epochs": 1}
    run("pose2gloss", options(corpus, tmp_path / "1", model_config=TWO_TRACKS, **common))
    known = json.loads((tmp_path / "1" / "model" / "config.json").read_text())["trained_tracks"]
    assert known == ["hands"]
    both = changed(corpus, tmp_path / "both", with_face)
    settings = options(both, tmp_path / "2", upstream=str(tmp_path / "1"), model_config={}, **common)
    with pytest.raises(SignXError, match="clip clip3: .*tracks that the model was trained on .hands., got face"):
        started("latent_ctc", settings)
    usable = changed(corpus, tmp_path / "usable", lambda row: {} if row["id"] == "clip3" else with_face(row))
    from signx_hf.processing import trained_signx

    trained_signx._said.clear()
    with pytest.warns(SignXWarning, match="tracks face were masked"):
        hidden = started("latent_ctc", {**settings, "dataset": str(usable)})
    plain = started("latent_ctc", {**settings, "dataset": str(corpus)})
    for ours, theirs in zip(hidden.train_examples, plain.train_examples, strict=True):
        assert ours.id == theirs.id and np.array_equal(ours.arrays["latents"], theirs.arrays["latents"])
    trained = started("latent_ctc", {**settings, "dataset": str(usable), "start": "inputs"})
    assert any(example.pose_mask[:, 1].any() for example in trained.train_examples), "these encoders are trained"


# --------------------------------------------------------------------------------------------------------------- data


@pytest.mark.parametrize("words", [["train", "refine", "--upstream", "nobody/nothing", "--output_dir", "out"]])
def test_a_misspelt_dataset_is_refused_before_torch_is_imported(words, tmp_path):
    code = "import sys; from signx_hf.cli import main; print(main(sys.argv[1:]), 'torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, *words, "--dataset", "phoenix14tt"], cwd=tmp_path, capture_output=True, text=True,
        env={**__import__("os").environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout.split() == ["2", "False"]
    assert "phoenix14tt: no such file, folder or corpus" in done.stderr and "did you mean 'phoenix14t'" in done.stderr
    assert not list(tmp_path.iterdir())


def test_evaluate_refuses_a_misspelt_dataset_before_the_model_is_opened(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("signx_hf.evaluation.run.open_model", lambda options: pytest.fail("the model was opened"))
    assert main(["evaluate", "demo", "my_sings", "--out", str(tmp_path / "out")]) == 2
    assert "my_sings: no such file, folder or corpus" in capsys.readouterr().err


def test_one_warning_of_notes_for_all_clips(corpus, tmp_path):
    """Reading warns once about all clips that differ in the same way, with how many they are."""
    common = {"cache_dir": str(tmp_path / "cache"), "num_train_epochs": 1}

    def noted(layout):
        def note(row):
            from signx_hf.data.schema import decode_poses

            hands = decode_poses(row["poses"]).to_clip()["hands"]
            return {"poses": encode_poses({"hands": hands}, fps=30.0, notes={"hands.layout": layout})}

        return note

    first, second = (changed(corpus, tmp_path / name, noted(name)) for name in ("six", "other"))
    run("pose2gloss", options(first, tmp_path / "1", **common))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        started("latent_ctc", options(second, tmp_path / "2", upstream=str(tmp_path / "1"), model_config={}, **common))
    said = [str(one.message) for one in caught if "layout is 'other'" in str(one.message)]
    assert len(said) == 2 and all("clips, the first clip" in one for one in said), "one for train, one for dev"
