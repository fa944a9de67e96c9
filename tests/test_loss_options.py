"""Weights of the parts of a loss: which parts there are, weights that are learned, and pruning relative to the median."""

import json
import math
import shutil

import numpy as np
import pytest
import torch
from training_runs import SMALL, log_of, make_corpus, options, run, started, weights_of

from signx_hf.processing.errors_signx import SignXError
from signx_hf.training.loss_weighting import LearnedWeighting
from signx_hf.training.objective import losses_of, total

THIN = {"model_type": "resnet", "embedding_size": 4, "hidden_sizes": [4, 8], "depths": [1, 1], "layer_type": "basic"}
EVERYTHING = {"alignment_weight": 1.0, "kd_weight": 1.0, "ctc_weight": 1.0, "aux_ctc_weight": 1.0}


@pytest.fixture(scope="module")
def filmed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "videos").mkdir()
    return make_corpus(folder / "data", clips=6, videos=folder / "videos")


@pytest.fixture(scope="module")
def stage1(filmed, tmp_path_factory):
    given = options(filmed, tmp_path_factory.mktemp("1") / "run", num_train_epochs=1, fps=30.0,
                    model_config={**SMALL, "image_size": 32, "vision_config": THIN})  # fmt: skip
    return run("pose2gloss", given).parent


def computed(stage):
    """The parts that the model returns for a batch of training."""
    examples = stage.train_examples[:2]
    batch = stage.collate(examples, [np.random.default_rng(index) for index in range(len(examples))])
    stage.model.train()
    return losses_of(stage.model(**batch)).keys()


@pytest.mark.parametrize("kind", ["1", "2", "3", "3 with a branch", "4 from inputs", "4 from features"])
def test_parts_that_a_stage_names_are_those_that_its_model_computes(kind, filmed, stage1, tmp_path):
    everything = {"recognizer_config": {**SMALL["recognizer_config"], **EVERYTHING}}
    new = {"model_config": {**SMALL, **everything}}
    later = {
        "upstream": str(stage1),
        "cache_dir": str(tmp_path / "cache"),
        "model_config": {**everything, "pose_weight": 1.0},
    }
    name, changes = {
        "1": ("pose2gloss", new),
        "2": ("video2pose", {**later, "window": 8}),
        "3": ("latent_ctc", new),
        "3 with a branch": ("latent_ctc", {**later, "model_config": {**everything, "frame_branch": THIN}}),
        "4 from inputs": ("refine", new),
        "4 from features": ("refine", later),
    }[kind]
    if kind == "4 from features":
        changes["upstream"] = str(
            run("latent_ctc", options(filmed, tmp_path / "3", **{**later, "num_train_epochs": 1}))
        )
    stage = started(name, options(filmed, tmp_path / "run", **changes))
    assert computed(stage) == set(stage.computed_parts())


@pytest.mark.parametrize(
    ("stage", "changes", "words"),
    [
        ("pose2gloss", {"loss_weights": {"kd": 1}}, "Stage 1, Pose2Gloss computes, got 'kd', which is not computed. Use one of text, word, ngram, contrast."),
        ("latent_ctc", {"loss_weights": {"kd": 0}}, "recognizer from inputs computes, got 'kd', which is not computed. Use one of ctc, aux_ctc, alignment."),
        ("latent_ctc", {"loss_schedules": {"text": [0, 1]}}, "`loss_schedules` must name parts"),
        ("latent_ctc", {"loss_weights": {"latent": 1}}, "got 'latent'"),
        ("latent_ctc", {"loss_schedules": {"alignment": [0, 1]}}, "`loss_schedules.alignment` has no effect"),
        ("latent_ctc", {"loss_weights": {"aux_ctc": 0}, "loss_schedules": {"aux_ctc": [0, 1]}}, "`loss_schedules.aux_ctc` has no effect"),
        ("latent_ctc", {"loss_weighting": "learned"}, "`loss_weighting` is not used by Stage 3"),
        ("latent_ctc", {"prune_below": 0.5}, "`prune_below` is not used by Stage 3"),
    ],
)  # fmt: skip
def test_weights_of_what_is_never_computed_are_refused_before_clips_are_read(
    stage, changes, words, filmed, tmp_path, monkeypatch
):
    def read(*given, **more):
        raise AssertionError("clips were read")

    monkeypatch.setattr("signx_hf.training.stages.base.read_examples", read)
    with pytest.raises(SignXError) as error:
        run(stage, options(filmed, tmp_path / "run", **changes))
    assert words in str(error.value) and "\n" not in str(error.value)


def test_a_run_with_an_idle_weight_from_before_the_check_resumes(filmed, tmp_path):
    given = options(filmed, tmp_path / "run", num_train_epochs=1, save_epochs=1)
    run("latent_ctc", given)
    for folder in (tmp_path / "run").glob("checkpoint-*"):  # as written before
        state = json.loads((folder / "state.json").read_text())
        state["settings"]["options"]["loss_weights"] = {"kd": 0.5}
        (folder / "state.json").write_text(json.dumps(state))
    run("latent_ctc", {**given, "loss_weights": {"kd": 0.5}, "resume": True})


# learned weights


def test_learned_weights_start_as_fixed_ones_and_end_where_parts_count_relatively():
    parts = {"text": torch.tensor(4.0), "word": torch.tensor(0.25), "ngram": torch.tensor(0.0)}
    weights, shares = {"text": 1.0, "word": 0.5, "ngram": 2.0}, {"tokens": 0.9, "clips": 1.1}
    weighting = LearnedWeighting(tuple(parts))
    assert float(weighting(parts, weights, shares).detach()) == pytest.approx(float(total(parts, weights, shares)))
    optimizer = torch.optim.SGD(weighting.parameters(), lr=0.05)
    for _ in range(3000):
        optimizer.zero_grad()
        weighting(parts, weights, {}).backward()
        optimizer.step()
    found = weighting.metrics()
    assert found["loss_weighting/text"] == pytest.approx(1 / 4, rel=1e-3)  # the optimum of exp(-s) L + s is s = log L
    assert found["loss_weighting/word"] == pytest.approx(1 / 0.25, rel=1e-3)
    assert 30 < found["loss_weighting/ngram"] < math.exp(5)  # bounded
    optimizer.zero_grad()
    weighting({**parts, "ngram": torch.tensor(0.5)}, weights, {}).backward()
    assert weighting.log_variances["ngram"].grad < -0.1  # and not stuck where it is


@pytest.mark.parametrize("optim", ["adamw", "muon"])
def test_a_run_with_learned_weights_resumes_to_the_same_numbers(optim, filmed, tmp_path):
    given = options(filmed, tmp_path / "a", num_train_epochs=3, save_epochs=1, loss_weighting="learned", optim=optim,
                    gradient_accumulation_steps=1)  # fmt: skip
    folder = run("pose2gloss", given)
    log, weights = log_of(tmp_path / "a"), weights_of(tmp_path / "a")
    for part in ("text", "word", "ngram", "contrast"):
        values = [float(line.split(",")[-1]) for line in log.splitlines() if f",loss_weighting/{part}," in line]
        assert len(set(values)) > 1 and all(0 < value != 1 for value in values)
    assert not any("log_variances" in name for name in weights)
    shutil.rmtree(folder)
    checkpoints = sorted((tmp_path / "a").glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    shutil.rmtree(checkpoints[-1])
    run("pose2gloss", {**given, "resume": True})
    assert log_of(tmp_path / "a") == log
    again = weights_of(tmp_path / "a")
    assert all(torch.equal(again[name], weights[name]) for name in weights)
    shutil.rmtree(folder)
    for path in (tmp_path / "a").glob("checkpoint-*/loss_weighting.safetensors"):
        path.unlink()
    with pytest.raises(SignXError, match="loss_weighting.safetensors is damaged"):
        run("pose2gloss", {**given, "resume": True})


# pruning


def test_pruning_below_a_share_of_the_median_variance(filmed, stage1, tmp_path):
    changes = {
        "upstream": str(stage1),
        "cache_dir": str(tmp_path / "cache"),
        "num_train_epochs": 2,
        "model_config": {},
    }
    given = options(filmed, tmp_path / "3", **changes)
    stage = started("latent_ctc", given)
    variance = np.concatenate([example.arrays["latents"] for example in stage.train_examples]).astype(float).var(0)
    share = float(np.sort(variance)[4:6].mean() / np.median(variance))
    run("latent_ctc", {**given, "prune_epochs": 1, "prune_below": round(share, 6)})
    keep = weights_of(tmp_path / "3")["recognizer.compiler.keep"]
    assert keep.tolist() == (variance >= share * np.median(variance)).astype(float).tolist() and keep.sum() == 24 - 5
    run("latent_ctc", {**given, "prune_epochs": 1, "output_dir": str(tmp_path / "absolute")})  # as before: 1e-4
    assert weights_of(tmp_path / "absolute")["recognizer.compiler.keep"].sum() == 24
