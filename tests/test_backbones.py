"""Published backbones that frame encoders start from: `vision_weights` and `frame_branch_weights`."""

import json
import shutil

import numpy as np
import pytest
import torch
from conftest import mini_inputs, mini_model
from safetensors.torch import load_file, save_file
from training_runs import SMALL, make_corpus, options, run, started, weights_of
from transformers import (
    BertConfig,
    BertModel,
    ResNetConfig,
    ResNetForImageClassification,
    ViTConfig,
    ViTForImageClassification,
    ViTMAEConfig,
    ViTMAEForPreTraining,
    ViTModel,
)

from signx_hf import SignXConfig, SignXForLatentCTC, SignXProcessor
from signx_hf.hub.about import About
from signx_hf.hub.card import read_model, render_card
from signx_hf.processing.errors_signx import SignXError, SignXWarning

SIZES = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 20, "image_size": 32, "patch_size": 16}  # fmt: skip
VIT = {"model_type": "vit", **SIZES}
RESNET = {"model_type": "resnet", "layer_type": "basic", "embedding_size": 6, "hidden_sizes": [6, 10], "depths": [1, 1]}  # fmt: skip
OF_DECODER = {"decoder_hidden_size": 16, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 2, "decoder_intermediate_size": 16}  # fmt: skip
MEAN, STD = [0.2, 0.3, 0.4], [0.5, 0.25, 0.125]


def published(folder, model, **pixels):
    """A model with weights that none draws by chance, as a publisher saves it."""
    draw = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for value in model.state_dict().values():
            if value.is_floating_point():
                value.copy_(torch.rand(value.shape, generator=draw) + 0.1)
    model.save_pretrained(folder)
    pixels = {"image_mean": MEAN, "image_std": STD, "do_normalize": True, "do_rescale": True, "size": 32, **pixels}
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels))
    return folder


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    return published(tmp_path_factory.mktemp("hub") / "tiny-vit", ViTForImageClassification(ViTConfig(**SIZES)))


@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    options = {name: value for name, value in RESNET.items() if name != "model_type"}
    return published(
        tmp_path_factory.mktemp("hub") / "tiny-resnet", ResNetForImageClassification(ResNetConfig(**options)),
        image_mean=[0.1, 0.5, 0.6], image_std=0.2,
    )  # fmt: skip


@pytest.fixture(scope="module")
def filmed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "videos").mkdir()
    return make_corpus(folder / "data", clips=6, videos=folder / "videos")


@pytest.fixture(scope="module")
def stage1(filmed, tmp_path_factory):
    """Stage 1 whose video encoder is random, and a ResNet of other sizes."""
    other = {**RESNET, "hidden_sizes": [4, 8], "embedding_size": 4}
    given = options(filmed, tmp_path_factory.mktemp("1") / "run", num_train_epochs=1, fps=30.0,
                    model_config={**SMALL, "image_size": 40, "vision_config": other})  # fmt: skip
    return run("pose2gloss", given).parent


def given_for(filmed, out, **changes):
    return options(filmed, out, **{"num_train_epochs": 1, "cache_dir": str(out.parent / "cache"), **changes})


def same(module, folder, prefix):
    """Whether a module has all its weights from the prefix of a saved model, read without transformers' renaming of them."""
    source = load_file(folder / "model.safetensors")
    source = {name.removeprefix(prefix): value for name, value in source.items() if name.startswith(prefix)}
    ours = sorted(float(value.double().sum()) for value in module.state_dict().values())
    theirs = sorted(float(value.double().sum()) for name, value in source.items() if not name.startswith("pooler"))
    return ours == pytest.approx(theirs, abs=0) and len(ours) > 5


def test_a_new_model_takes_weights_architecture_and_pixels(filmed, vit, tmp_path):
    stage = started(
        "pose2gloss", given_for(filmed, tmp_path / "a", start=None, model_config=SMALL, vision_weights=str(vit))
    )
    config, video = stage.model.config, stage.processor.video_processor
    assert config.vision_config.model_type == "vit" and config.vision_config.hidden_size == 24
    assert config.image_size == 32 and video.size == {"height": 32, "width": 32}
    assert video.image_mean == MEAN and video.image_std == STD
    encoder = stage.model.model.video_encoder.frame_encoder
    assert same(encoder.backbone, vit, "vit.")
    # another library path: the class of the checkpoint itself
    frames = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        theirs = ViTModel.from_pretrained(vit).eval()(pixel_values=frames).last_hidden_state[:, 0]
        assert torch.equal(encoder.eval()(frames), theirs)
    assert config.trained_from["vision_config"]["name"] == "tiny-vit"  # no path of this machine
    assert str(vit.parent) not in json.dumps(config.to_dict())


@pytest.mark.parametrize("kind", ["base", "mae"])
def test_heads_are_left_out(kind, filmed, tmp_path):
    model = (
        ViTModel(ViTConfig(**SIZES)) if kind == "base" else ViTMAEForPreTraining(ViTMAEConfig(**SIZES, **OF_DECODER))
    )
    folder = published(tmp_path / kind, model)
    stage = started(
        "pose2gloss", given_for(filmed, tmp_path / "a", start=None, model_config=SMALL, vision_weights=str(folder))
    )
    assert stage.model.config.vision_config.model_type == "vit"
    assert same(stage.model.model.video_encoder.frame_encoder.backbone, folder, "vit." if kind == "mae" else "")


def test_stage_two_replaces_an_untrained_encoder_of_another_architecture(filmed, stage1, vit, tmp_path):
    given = given_for(filmed, tmp_path / "2", upstream=str(stage1), model_config={}, window=8, vision_weights=str(vit))
    stage = started("video2pose", given)
    before, after = weights_of(stage1), stage.model.state_dict()
    poses = [name for name in before if "pose_encoder" in name or "latent_encoder" in name]
    assert poses and all(torch.equal(before[name], after[name]) for name in poses)
    assert same(stage.model.model.video_encoder.frame_encoder.backbone, vit, "vit.")
    folder = run("video2pose", given)
    notes = json.loads((folder.parent / "run.json").read_text())["backbones"]["vision_weights"]
    assert notes["name"] == str(vit) and len(notes["sha256"]) == 64 and notes["revision"] is None
    processor = SignXProcessor.from_pretrained(folder)
    assert processor.video_processor.image_mean == MEAN and processor.video_processor.size["height"] == 32
    with pytest.raises(SignXError, match="whose video encoder is trained"):
        started("video2pose", {**given, "output_dir": str(tmp_path / "3"), "upstream": str(folder)})


def test_rgb_branch_converts_pixels_that_are_normalized_for_another(filmed, vit, resnet, tmp_path):
    given = given_for(filmed, tmp_path / "a", source="video", start="inputs", model_config=SMALL,
                      vision_weights=str(vit), frame_branch_weights=str(resnet))  # fmt: skip
    stage = started("latent_ctc", given)
    branch, video = stage.model.recognizer.frame_encoder, stage.processor.video_processor
    assert same(branch.backbone, resnet, "resnet.") and video.image_mean == MEAN
    frames = np.random.default_rng(0).integers(0, 256, size=(2, 32, 32, 3), dtype=np.uint8)
    read = np.empty((2, 3, 32, 32), np.float32)
    video.normalize_frames(frames, read)
    expected = (frames.transpose(0, 3, 1, 2) / 255 - np.array([0.1, 0.5, 0.6]).reshape(3, 1, 1)) / 0.2
    with torch.no_grad():
        theirs = branch.eval().backbone(pixel_values=torch.tensor(expected, dtype=torch.float32)).pooler_output
        assert torch.allclose(branch(torch.from_numpy(read)), theirs.flatten(1), rtol=1e-4)
    stage.model.save_pretrained(tmp_path / "saved")
    again = SignXForLatentCTC.from_pretrained(tmp_path / "saved").recognizer.frame_encoder.eval()
    with torch.no_grad():
        assert torch.equal(again(torch.from_numpy(read)), branch(torch.from_numpy(read)))


def test_stage_three_gets_a_branch_that_upstream_lacks(filmed, resnet, stage1, tmp_path):
    given = given_for(filmed, tmp_path / "a", upstream=str(stage1), start="latents", model_config={}, frame_branch_weights=str(resnet))  # fmt: skip
    folder = run("latent_ctc", given)
    config = SignXConfig.from_pretrained(folder)
    assert config.frame_branch.hidden_sizes == [6, 10] and "train/kd" in (folder.parent / "log.csv").read_text()
    processor = SignXProcessor.from_pretrained(folder)
    assert processor.video_processor.image_mean == [0.5] * 3  # of upstream; the branch converts
    assert config.frame_branch_norm["std"] == pytest.approx([0.4] * 3)
    shutil.copytree(folder, tmp_path / "copy")
    card = render_card("me/signs", read_model(tmp_path / "copy"), About(), [])
    assert "Training of its RGB branch started from `tiny-resnet` (SHA-256" in card
    with pytest.raises(SignXError, match="whose RGB branch is trained"):
        started("latent_ctc", {**given, "upstream": str(folder), "output_dir": str(tmp_path / "b")})


def test_a_run_resumes_and_its_model_loads_without_the_backbone(filmed, vit, tmp_path):
    source = shutil.copytree(vit, tmp_path / "vit")
    given = given_for(filmed, tmp_path / "a", source="video", start="inputs", model_config=SMALL, vision_weights=str(source),
                      num_train_epochs=2, save_epochs=1, average_best=2)  # fmt: skip
    whole = weights_of(run("latent_ctc", {**given, "output_dir": str(tmp_path / "whole")}).parent)
    folder = run("latent_ctc", given)
    shutil.rmtree(folder)
    newest = max(folder.parent.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    shutil.rmtree(newest)  # as if killed after the checkpoint before
    shutil.rmtree(source)
    run("latent_ctc", {**given, "resume": True})
    resumed = weights_of(folder.parent)
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    assert "vision_weights" in json.loads((folder.parent / "run.json").read_text())["backbones"]
    assert SignXForLatentCTC.from_pretrained(folder).config.trained_from["vision_config"]["name"] == "vit"
    with pytest.raises(SignXError, match="no such folder"):  # a new run needs it
        run("latent_ctc", {**given, "output_dir": str(tmp_path / "b")})


# what cannot be used


def refused(filmed, out, backbone, stage="pose2gloss", option="vision_weights", **changes):
    given = given_for(filmed, out, **{"model_config": SMALL, "start": None, option: str(backbone), **changes})
    with pytest.raises(SignXError) as error:
        started(stage, given)
    assert "\n" not in str(error.value) and str(error.value).startswith(f"`{option}`"), error.value
    return str(error.value)


def test_another_architecture_is_named_in_one_line(filmed, vit, tmp_path):
    wider = {**SMALL, "image_size": 32, "vision_config": {**VIT, "hidden_size": 32, "num_hidden_layers": 2}}
    said = refused(filmed, tmp_path / "a", vit, model_config=wider)
    assert "hidden_size 24 instead of 32, num_hidden_layers 1 instead of 2" in said
    said = refused(filmed, tmp_path / "a", vit, model_config={**SMALL, "image_size": 32, "vision_config": RESNET})
    assert "model_type 'vit' instead of 'resnet'" in said
    assert "needs `model_config.vision_config`" in refused(filmed, tmp_path / "a", vit, model_config={**SMALL, "vision_config": None})  # fmt: skip
    assert "reads 32 x 32 only" in refused(filmed, tmp_path / "a", vit, model_config={**SMALL, "image_size": 48})
    dropout = {**SMALL, "image_size": 32, "vision_config": {**VIT, "hidden_dropout_prob": 0.1}}  # no architecture
    stage = started(
        "pose2gloss", given_for(filmed, tmp_path / "a", model_config=dropout, start=None, vision_weights=str(vit))
    )
    assert stage.model.config.vision_config.hidden_dropout_prob == 0.1


def test_folders_that_hold_no_backbone(filmed, vit, tmp_path):
    out, copies = tmp_path / "run", {name: shutil.copytree(vit, tmp_path / name) for name in ("none", "pickled", "torn", "code", "part", "more", "bgr")}  # fmt: skip
    (copies["none"] / "model.safetensors").unlink()
    assert "no model.safetensors in this folder" in refused(filmed, out, copies["none"])
    weights = load_file(vit / "model.safetensors")
    (copies["pickled"] / "model.safetensors").unlink()
    torch.save(weights, copies["pickled"] / "pytorch_model.bin")
    assert "a pickle that can run any code" in refused(filmed, out, copies["pickled"])
    data = (vit / "model.safetensors").read_bytes()
    (copies["torn"] / "model.safetensors").write_bytes(data[: len(data) // 2])
    assert "bytes according to its header" in refused(filmed, out, copies["torn"])
    config = {"model_type": "of-its-own", "auto_map": {"AutoConfig": "own.Config", "AutoModel": "own.Model"}}
    (copies["code"] / "config.json").write_text(json.dumps(config))
    (copies["code"] / "own.py").write_text("raise SystemExit('ran')")
    assert "must be the folder" in refused(filmed, out, copies["code"])
    first = next(name for name in weights if name.startswith("vit.encoder") and name.endswith("output.dense.weight"))
    save_file({n: v for n, v in weights.items() if n != first}, copies["part"] / "model.safetensors", {"format": "pt"})
    assert "has no" in refused(filmed, out, copies["part"])
    extra = {first.replace(".0.", ".1."): weights[first].clone()}
    save_file({**weights, **extra}, copies["more"] / "model.safetensors", {"format": "pt"})
    assert "has also" in refused(filmed, out, copies["more"])
    (copies["bgr"] / "preprocessor_config.json").write_text(json.dumps({"image_mean": 0.5, "image_std": 0.5, "do_flip_channel_order": True}))  # fmt: skip
    assert "in the order BGR" in refused(filmed, out, copies["bgr"])
    (copies["bgr"] / "preprocessor_config.json").unlink()
    with pytest.warns(SignXWarning, match="has no preprocessor_config.json"):
        started(
            "pose2gloss", given_for(filmed, out, model_config=SMALL, start=None, vision_weights=str(copies["bgr"]))
        )


def test_a_name_on_the_hub_is_noted_with_its_commit(filmed, vit, tmp_path, monkeypatch):
    """From the cache, as `snapshot_download` leaves it; the suite is offline."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    commit, repo = "0123456789abcdef0123456789abcdef01234567", tmp_path / "hub" / "models--someone--tiny-vit"
    shutil.copytree(vit, repo / "snapshots" / commit)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    given = given_for(filmed, tmp_path / "a", start=None, model_config=SMALL, vision_weights="someone/tiny-vit")
    stage = started("pose2gloss", given)
    assert same(stage.model.model.video_encoder.frame_encoder.backbone, vit, "vit.")
    origin = stage.model.config.trained_from["vision_config"]
    assert (origin["name"], origin["revision"]) == ("someone/tiny-vit", commit)
    assert stage.backbones.notes()["vision_weights"]["revision"] == commit


def test_names_and_kinds_that_are_no_backbone(filmed, tmp_path):
    out = tmp_path / "run"
    assert "offline, and not in the cache" in refused(filmed, out, "someone/vit-that-is-not-there")
    assert "no such folder" in refused(filmed, out, "/no/such/folder")
    text = BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    BertModel(text).save_pretrained(tmp_path / "bert")
    assert "that reads RGB images, got" in refused(filmed, out, tmp_path / "bert")
    config = json.loads((tmp_path / "bert" / "config.json").read_text())
    (tmp_path / "bert" / "config.json").write_text(json.dumps({**config, **VIT, "num_hidden_layers": 10**7}))
    assert "must be at most 1000" in refused(filmed, out, tmp_path / "bert")


def test_stages_that_do_not_train_the_part_refuse_the_option(filmed, vit, stage1, tmp_path):
    out = tmp_path / "run"
    assert "is not used by Stage 1" in refused(filmed, out, vit, option="frame_branch_weights")
    said = refused(filmed, out, vit, stage="latent_ctc", upstream=str(stage1), model_config={})
    assert "is not used by Stage 3, latent recognizer from latents" in said
    said = refused(filmed, out, vit, stage="latent_ctc", start="inputs", source="video", video_entry=str(stage1))
    assert "left out with `video_entry`" in said
    hybrid = {**SMALL, "recognizer_config": {"body": "hybrid", "feature_size": 256, "pool_sizes": [2]}}
    given = given_for(filmed, out, start="inputs", model_config=hybrid, frame_branch_weights=str(vit))
    with pytest.raises(SignXError, match="`SignXConfig.frame_branch` must be None with"):
        started("latent_ctc", given)


# the option of the model


def test_norm_of_the_branch_is_checked_and_changes_nothing_where_it_is_the_identity():
    for wrong in (
        {"mean": [0, 0, 0]},
        {"mean": [0, 0, 0], "std": [1, 0, 1]},
        {"mean": 0, "std": 1},
        [[0] * 3, [1] * 3],
    ):
        with pytest.raises(ValueError, match="`SignXConfig.frame_branch_norm` must be"):
            SignXConfig(frame_branch_norm=wrong)
    plain = mini_model("SignXForLatentCTC")
    same_as = mini_model("SignXForLatentCTC", frame_branch_norm={"mean": [0.0] * 3, "std": [1.0] * 3})
    other = mini_model("SignXForLatentCTC", frame_branch_norm={"mean": [0.5] * 3, "std": [2.0] * 3})
    inputs = mini_inputs(plain.config, [6, 4], "video")
    with torch.no_grad():
        expected = plain(**inputs).logits
        assert torch.equal(same_as(**inputs).logits, expected)
        assert not torch.allclose(other(**inputs).logits, expected)
