"""Training of SignMAE and of its recognition head: data, exact resumption, and what is refused."""

import numpy as np
import pytest
import torch
from training_runs import log_of, run, started, weights_of
from uniglor_minis import MINI, make_corpus, mini, seven_config

from signx_hf import UniGloRConfig, UniGloRFeatureExtractor, UniGloRForSignClassification, UniGloRSignMAE
from signx_hf.processing.errors_signx import SignXError, SignXWarning
from signx_hf.training.arguments import collect
from signx_hf.training.schedules import StepPlan
from signx_hf.training.stages.signmae import SignMAE, draw_start


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("uniglor") / "data")


@pytest.fixture(scope="module")
def hands(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("uniglor") / "hands", 16, seed=1, track="hands", prefix="hand")


def options(corpus, out, **changes):
    return {
        "dataset": str(corpus), "output_dir": str(out), "model_config": MINI, "dev_share": 0.3, "num_train_epochs": 4,
        "per_device_train_batch_size": 4, "learning_rate": 3e-3, "progress": False, "plot": False, "num_workers": 0,
        "cache_dir": str(out) + "_cache", **changes,
    }  # fmt: skip


@pytest.fixture(scope="module")
def trained(hands, tmp_path_factory):
    """SignMAE on hands alone."""
    out = tmp_path_factory.mktemp("signmae") / "run"
    config = {**MINI, "keypoints": "hands", "coordinates": 3}
    run("signmae", options(hands, out, model_config=config, num_train_epochs=8))
    return out / "model"


def metric(log, name):
    return [float(line.split(",")[3]) for line in log.splitlines() if f",{name}," in line]


def test_segments_are_drawn_from_seed_epoch_and_clip(corpus, tmp_path):
    stage = started("signmae", options(corpus, tmp_path / "run"))
    examples = stage.train_examples[:3]
    randoms = lambda epoch: [np.random.default_rng([0, epoch, clip]) for clip in range(3)]  # noqa: E731
    first, again, later = (stage.collate(examples, randoms(epoch)) for epoch in (0, 0, 1))
    assert first["keypoints"].shape == (3, 15, 73, 2) and first["masked_frames"].sum(1).tolist() == [4, 4, 4]
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["keypoints"], later["keypoints"])
    alone = stage.collate(examples[1:2], randoms(0)[1:2])  # whatever else is in the batch
    assert all(torch.equal(alone[name][0], first[name][1]) for name in alone)
    dev = stage.collate(stage.dev_examples[:2], None)
    assert set(dev) == {"keypoints", "keypoint_mask"}


def test_starts_show_something_and_reach_every_place():
    mask = np.zeros((40, 3), bool)
    mask[20:22, 1] = True
    drawn = {draw_start(mask, 15, np.random.default_rng(seed)) for seed in range(300)}
    assert drawn == set(range(6, 22)) and draw_start(mask, 15, None) in drawn
    assert draw_start(np.ones((9, 3), bool), 15, None) == 0
    short = np.zeros((16, 3), bool)
    short[0] = True
    assert {draw_start(short, 15, np.random.default_rng(seed)) for seed in range(9)} == {0}


def test_stopped_and_resumed_is_as_if_never_stopped(corpus, tmp_path, monkeypatch):
    given = {"ema_decay": 0.9, "average_best": 2, "save_epochs": 0.5}
    run("signmae", options(corpus, tmp_path / "whole", **given))
    before_step = SignMAE.before_step
    for stop in (3, 6):

        def dying(self, step, total, stop=stop):
            if step == stop:
                raise KeyboardInterrupt
            before_step(self, step, total)

        monkeypatch.setattr(SignMAE, "before_step", dying)
        with pytest.raises(KeyboardInterrupt):
            run("signmae", options(corpus, tmp_path / "cut", **given, resume=stop > 3))
    monkeypatch.setattr(SignMAE, "before_step", before_step)
    run("signmae", options(corpus, tmp_path / "cut", **given, resume=True))
    assert log_of(tmp_path / "cut") == log_of(tmp_path / "whole")
    one, other = weights_of(tmp_path / "cut"), weights_of(tmp_path / "whole")
    assert all(torch.equal(one[name], other[name]) for name in other)
    names = {line.split(",")[2] for line in log_of(tmp_path / "whole").splitlines()}
    assert {"train/loss", "dev/mpjpe", "dev/mpjpe_face", "dev/mpjpe_left_hand", "dev/floored"} <= names


def test_it_learns_and_the_folder_holds_all_that_is_needed(trained):
    log = log_of(trained.parent)
    assert metric(log, "dev/mpjpe")[-1] < 0.8 * metric(log, "dev/mpjpe")[0]
    extractor, model = UniGloRFeatureExtractor.from_pretrained(trained), UniGloRSignMAE.from_pretrained(trained)
    assert (extractor.keypoints, model.config.keypoints, model.config.num_keypoints) == ("hands", "hands", 42)
    assert model.config.nodes == extractor.nodes


def test_several_corpora_are_one_run_and_others_are_refused(corpus, hands, tmp_path):
    other = make_corpus(tmp_path / "other", 6, seed=4, prefix="other")
    stage = started(
        "signmae", options(corpus, tmp_path / "run"), more_data=[{"dataset": str(other), "dev_share": 0.2}]
    )
    alone = started("signmae", options(corpus, tmp_path / "run"))
    assert {e.id[:4] for e in stage.train_examples} == {"clip", "othe"}
    assert (
        len(stage.train_examples) + len(stage.dev_examples) == 16 and stage.data_fingerprint != alone.data_fingerprint
    )
    with pytest.raises(SignXError, match="hand.* dwpose.*keypoints73"):
        started("signmae", options(corpus, tmp_path / "run"), more_data=[{"dataset": str(hands)}])
    with pytest.raises(SignXError, match=r"more_data\[0\].*seed"):
        started("signmae", options(corpus, tmp_path / "run"), more_data=[{"dataset": "x", "seed": 3}])
    with pytest.raises(SignXError, match="more_data.*not used"):
        started("pose2gloss", {"dataset": str(corpus), "output_dir": "x", "more_data": [{"dataset": str(other)}]})


def test_a_corpus_without_a_face_is_named_once(corpus, tmp_path):
    from datasets import load_from_disk

    from signx_hf.data.schema import decode_poses, encode_poses

    def faceless(row):
        rows = decode_poses(row["poses"]).to_clip()["dwpose"].reshape(-1, 128, 3).copy()
        rows[:, 60:] = 0
        return {"poses": encode_poses({"dwpose": rows.reshape(len(rows), -1)}, fps=25.0)}

    load_from_disk(str(corpus)).map(faceless).save_to_disk(str(tmp_path / "faceless"))
    with pytest.warns(SignXWarning, match="of .* clips never show the face") as caught:
        stage = started("signmae", options(tmp_path / "faceless", tmp_path / "run"))
    assert len([w for w in caught if "face" in str(w.message)]) == 2  # training clips and dev clips
    output = stage.model(**stage.collate(stage.train_examples[:2], None))
    assert torch.isfinite(output.loss) and (output.pose_weights[:, :19] == 1).all()


@pytest.mark.parametrize(
    "stage, changes, says",
    [
        ("signmae", {"preset": "small"}, "tiny or base"),
        ("signmae", {"rotation": 5}, "rotation"),
        ("signmae", {"source": "video"}, "source"),
        ("signmae", {"model_config": {"keypoint": "hands"}}, "keypoint"),
        ("signmae", {"model_config": {"hidden_size": 7}}, "multiple"),
        ("signmae", {"model_config": {"keypoints": "phoenix_skeletons"}}, "skeleton"),
        ("signmae", {"teacher_forcing": [0.5, 0.0]}, "teacher_forcing"),
        ("signmae", {"metric_for_best_model": "wer"}, "mpjpe"),
        ("uniglor_isolated", {}, "upstream"),
        ("uniglor_isolated", {"start": "features"}, "start"),
        ("uniglor_isolated", {"upstream": "runs/nowhere"}, "signmae"),
        ("isolated", {"noise_threshold": 1.0, "model_config": {}}, "noise_threshold"),
    ],
)
def test_options_without_effect_or_sense_are_refused(corpus, tmp_path, stage, changes, says):
    with pytest.raises(SignXError, match=says) as caught:
        started(stage, options(corpus, tmp_path / "run", **changes))
    assert "\n" not in str(caught.value)


def test_warmup_steps_outrank_the_ratio():
    base = {"dataset": "x", "output_dir": "y", "max_steps": 200}
    plan = lambda **more: StepPlan.of(64, 1, collect({**base, **more}).run)  # noqa: E731
    assert plan().warmup_steps == 10 and plan(warmup_steps=37).warmup_steps == 37
    assert plan(warmup_steps=0, warmup_ratio=0.5).warmup_steps == 0


def test_head_learns_from_cached_representations_while_the_encoder_stands_still(hands, tmp_path):
    upstream = tmp_path / "signmae" / "model"  # random, but with representations that differ from clip to clip
    mini(config=UniGloRConfig(**MINI, keypoints="hands", coordinates=3)).save_pretrained(upstream)
    UniGloRFeatureExtractor("hands", coordinates=3).save_pretrained(upstream)
    given = {
        "upstream": str(upstream), "model_config": {}, "num_train_epochs": 20, "ema_decay": 0.5, "dev_by": "clip",
        "metric_for_best_model": "error", "learning_rate": 1e-2,
    }  # fmt: skip
    run("uniglor_isolated", options(hands, tmp_path / "run", **given))
    before, after = weights_of(upstream.parent), weights_of(tmp_path / "run")
    encoder = [name for name in after if name.startswith("encoder.")]
    assert encoder and all(torch.equal(before[name], after[name]) for name in encoder)
    losses = metric(log_of(tmp_path / "run"), "train/loss")
    assert losses[-1] < 0.6 * losses[0]
    cached = list((tmp_path / "run_cache").rglob("*.safetensors"))
    assert len(cached) == 16
    stamps = {path: path.stat().st_mtime_ns for path in cached}
    stage = started("uniglor_isolated", options(hands, tmp_path / "run", **given))
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run_cache").rglob("*.safetensors")} == stamps
    example = stage.train_examples[0]
    inputs = {name: torch.from_numpy(value) for name, value in stage.clip_inputs([example]).items()}
    model = UniGloRForSignClassification.from_pretrained(tmp_path / "run" / "model")
    z = torch.from_numpy(example.arrays["representations"])[None]
    torch.testing.assert_close(model(**inputs).logits, model(representations=z).logits, atol=1e-5, rtol=1e-5)
    assert set(model.config.label2id) == {"WORK", "FINISH"}

    mini(seed=5, config=UniGloRConfig(**MINI, keypoints="hands", coordinates=3)).save_pretrained(upstream)
    other = started("uniglor_isolated", options(hands, tmp_path / "run", **given))  # other weights, another entry
    assert len(list((tmp_path / "run_cache").rglob("*.safetensors"))) == 32
    assert not np.allclose(other.train_examples[0].arrays["representations"], example.arrays["representations"])


def test_head_and_encoder_are_trained_together_on_request(trained, hands, tmp_path):
    config = {"train_encoder": True}
    run("uniglor_isolated", options(hands, tmp_path / "run", upstream=str(trained), model_config=config, max_steps=2))
    before, after = weights_of(trained.parent), weights_of(tmp_path / "run")
    assert not torch.equal(before["encoder.pooling.weight"], after["encoder.pooling.weight"])
    scratch = {**MINI, **config, "keypoints": "hands"}
    stage = started("uniglor_isolated", options(hands, tmp_path / "other", model_config=scratch))
    assert stage.start == "inputs" and all(p.requires_grad for p in stage.model.parameters())


def test_a_frozen_encoder_stays_in_evaluation_mode_and_padding_changes_nothing():
    model = mini("UniGloRForSignClassification", config=seven_config(num_labels=4, norm="batch")).train()
    assert not model.encoder.training and model.layers[0].training
    assert not any(p.requires_grad for p in model.encoder.parameters()) and model.classifier.weight.requires_grad
    assert mini("UniGloRForSignClassification", train_encoder=True).train().encoder.training
    model.eval()
    z = torch.randn(2, 5, 24)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    together = model(representations=z, representation_mask=mask, labels=torch.tensor([1, 3]))
    torch.testing.assert_close(model(representations=z[1:, :3]).logits[0], together.logits[1], atol=1e-5, rtol=1e-5)
    for labels, says in ((torch.tensor([1, 4]), "4"), (torch.tensor([1.0, 2.0]), "integers")):
        with pytest.raises(ValueError, match=says):
            model(representations=z, labels=labels)
    with pytest.raises(ValueError, match="neither"):
        model()
    assert isinstance(model.config, UniGloRConfig)
