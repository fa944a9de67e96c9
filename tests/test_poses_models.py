"""The tracks `sapiens` and `primedepth`: tiny models of the real classes, saved, loaded and run as large ones would be."""

import copy
import json
import logging
import pickle
import re

import numpy as np
import pytest
import torch
import transformers
from slow_grids import slow_majority, slow_mean

from signx_hf.poses.base import Clip
from signx_hf.poses.primedepth import PrimeDepthExtractor
from signx_hf.poses.sapiens import SapiensExtractor
from signx_hf.processing.errors_signx import SignXError, SignXFileNotFoundError, SignXPoseError

HEIGHT, WIDTH = 64, 96
CLIP = Clip("clip", 25.0, (WIDTH, HEIGHT))
MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]


def make_frames(count=6, height=HEIGHT, width=WIDTH, seed=0):
    """Frames with large shapes in them, so that a model has something to say that differs from cell to cell."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.uniform(0, 255, (count, 3, 5, 7)))
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    return list(smooth.permute(0, 2, 3, 1).numpy().astype(np.uint8))


def randomised(model):
    """Weights that matter: fresh ones are so small that every pixel would get the same answer."""
    draw = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=draw)
            if parameter.ndim > 1:
                parameter.copy_(noise * parameter[0].numel() ** -0.5)
            else:
                parameter.add_(0.1 * noise)
    return model.eval()


def lifted(model):
    """The last bias raised, so that the ReLU at the end does not cut the map to zeros."""
    with torch.no_grad():
        list(model.head.parameters())[-1].add_(3.0)
    return model


def save(model, folder, processor):
    model.save_pretrained(folder)
    if isinstance(processor, dict):
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    else:
        processor.save_pretrained(folder)
    return folder


def sapiens2(labels=9):
    config = transformers.Sapiens2Config(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2, image_size=[64, 48], patch_size=16,
        num_labels=labels, num_first_full_attention_layers=1, num_last_full_attention_layers=1, num_key_value_attention_heads=1,
        head_config={"upsample_out_channels": [16, 16], "conv_out_channels": [16], "conv_kernel_sizes": [1]},
    )  # fmt: skip
    return randomised(transformers.Sapiens2ForSemanticSegmentation(config))


def segformer(labels=9):
    config = transformers.SegformerConfig(
        depths=[1, 1, 1, 1], hidden_sizes=[8, 8, 16, 16], num_attention_heads=[1, 1, 2, 2], decoder_hidden_size=16,
        num_labels=labels,
    )  # fmt: skip
    return randomised(transformers.SegformerForSemanticSegmentation(config))


def dpt(**options):
    config = transformers.DPTConfig(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=8,
        backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8, 8, 8, 8], fusion_hidden_size=8, is_hybrid=False, **options,
    )  # fmt: skip
    return config


def dpt_model():
    return lifted(randomised(transformers.DPTForDepthEstimation(dpt())))


def depth_anything(kind):
    backbone = transformers.Dinov2Config(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, mlp_ratio=2, image_size=28, patch_size=14,
        out_indices=[1, 2, 3, 4], apply_layernorm=True, reshape_hidden_states=False,
    )  # fmt: skip
    config = transformers.DepthAnythingConfig(
        backbone_config=backbone, patch_size=14, reassemble_hidden_size=16, neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8, head_hidden_size=8, depth_estimation_type=kind, max_depth=5,
    )  # fmt: skip
    return lifted(randomised(transformers.DepthAnythingForDepthEstimation(config)))


def glpn():
    config = transformers.GLPNConfig(
        depths=[1, 1, 1, 1], hidden_sizes=[8, 8, 16, 16], num_attention_heads=[1, 1, 2, 2], decoder_hidden_size=16
    )
    return randomised(transformers.GLPNForDepthEstimation(config))


PLAIN = {"size": {"height": 64, "width": 48}, "image_mean": MEAN, "image_std": STD, "rescale_factor": 1 / 255}
SQUARE = {"size": {"height": 32, "width": 32}, "image_mean": MEAN, "image_std": STD}


def dpt_processor(side, **options):
    size = {"height": side, "width": side}
    return transformers.DPTImageProcessorPil(size=size, resample=2, image_mean=MEAN, image_std=STD, **options)


def sapiens_folder(path):
    return save(sapiens2(), path, {"image_processor_type": "Sapiens2ImageProcessor", **PLAIN})


def dpt_folder(path):
    return save(dpt_model(), path, dpt_processor(32))


def rows(extractor, frames, clip=CLIP):
    found = list(extractor.extract(iter(frames), clip))
    assert all(len(people) == 1 and people[0].whole_frame for people in found)
    return np.stack([extractor.to_row(people[0]) for people in found])


def stretched(frames, height, width):
    """The frame as the model should see it, by PIL: nothing cropped, nothing padded."""
    from PIL import Image

    pixels = np.stack(
        [np.asarray(Image.fromarray(f).resize((width, height), Image.Resampling.BILINEAR)) for f in frames]
    )
    pixels = (pixels.astype(np.float64) / 255 - MEAN) / STD
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float()


# ------------------------------------------------------------------------------------------------------------ sapiens


def test_sapiens2_rows_are_what_the_model_says_counted_by_hand(tmp_path):
    folder, frames = sapiens_folder(tmp_path / "m"), make_frames()
    extractor = SapiensExtractor(folder, batch_size=4)
    found = list(extractor.extract(iter(frames), CLIP))
    assert [people[0].box for people in found] == [(0.0, 0.0, 96.0, 64.0)] * 6
    got = rows(extractor, frames)
    assert got.shape == (6, 576) and got.dtype == np.float32 and len(np.unique(got)) >= 3
    with torch.no_grad():
        pixels = torch.nn.functional.interpolate(
            torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float(), (64, 48), mode="bilinear", antialias=True
        )
        logits = sapiens2()((pixels / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)).logits
    labels = logits.argmax(1).numpy()
    assert labels.shape[1:] == (16, 12)  # fewer than 24 x 24: a cell takes the pixel under its centre
    expected = [labels[:, int((r + 0.5) * 16 / 24), int((c + 0.5) * 12 / 24)] for r in range(24) for c in range(24)]
    assert (got == np.stack(expected, axis=1)).mean() > 0.999


def test_any_segmentation_model_works(tmp_path):
    processor = {"image_processor_type": "SegformerImageProcessor", **SQUARE, "size": {"height": 224, "width": 160}}
    folder, frames = save(segformer(), tmp_path / "m", processor), make_frames(2, 120, 80)
    got = rows(SapiensExtractor(folder), frames, Clip("a", 25.0, (80, 120)))
    with torch.no_grad():
        labels = segformer()(stretched(frames, 224, 160)).logits.argmax(1).numpy()
    expected = np.stack([slow_majority(label) for label in labels])
    assert labels.shape[1:] == (56, 40) and len(np.unique(expected)) >= 3
    assert (got == expected).mean() > 0.99  # without the PIL version the resize is torch's, and borders may move


def test_the_layout_names_the_number_of_labels(tmp_path):
    layout = SapiensExtractor(sapiens_folder(tmp_path / "m")).layout
    assert (layout.track, layout.width, layout.layout) == ("sapiens", 576, "24x24 part labels, 9 classes")
    assert layout.source == "Sapiens2ForSemanticSegmentation m" and transformers.__version__ in layout.version
    assert set(layout.notes()) == {f"sapiens.{key}" for key in ("layout", "units", "order", "source", "version")}


# -------------------------------------------------------------------------------------------------------------- depth


def test_dpt_rows_are_the_area_mean_of_its_inverse_depth(tmp_path):
    folder, frames = dpt_folder(tmp_path / "m"), make_frames(3)
    got = rows(PrimeDepthExtractor(folder), frames)
    with torch.no_grad():
        depth = dpt_model()(stretched(frames, 32, 32)).predicted_depth.numpy()
    assert depth.shape[1:] == (64, 64)
    for row, values in zip(got, depth):
        cells = slow_mean(values.astype(np.float64)).ravel()
        np.testing.assert_allclose(row, (cells - cells.min()) / np.ptp(cells), atol=1e-5)
        assert row.min() == 0 and row.max() == 1 and len(np.unique(row)) > 100


@pytest.mark.parametrize("kind", ["relative", "metric"])
def test_depth_anything_says_by_itself_what_it_gives(kind, tmp_path):
    folder = save(
        depth_anything(kind), tmp_path / "m", dpt_processor(56, ensure_multiple_of=14, keep_aspect_ratio=False)
    )
    frames = make_frames(2)
    with torch.no_grad():
        depth = depth_anything(kind)(stretched(frames, 56, 56)).predicted_depth.numpy().astype(np.float64)
    assert depth.min() > 0.1
    for output, is_metric in ((None, kind == "metric"), ("metric", True), ("inverse", False)):
        for row, values in zip(rows(PrimeDepthExtractor(folder, output=output), frames), depth):
            cells = slow_mean(1 / values if is_metric else values).ravel()
            np.testing.assert_allclose(row, (cells - cells.min()) / np.ptp(cells), atol=1e-5)


def test_a_metric_model_by_its_type(tmp_path):
    folder = save(glpn(), tmp_path / "m", transformers.GLPNImageProcessorPil())
    frames = make_frames(2)
    got = rows(PrimeDepthExtractor(folder), frames)
    pixels = (
        torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float() / 255
    )  # already a multiple of 32: not resized
    with torch.no_grad():
        depth = glpn()(pixels).predicted_depth.numpy().astype(np.float64)
    for row, values in zip(got, depth):
        cells = slow_mean(1 / values).ravel()
        np.testing.assert_allclose(row, (cells - cells.min()) / np.ptp(cells), atol=1e-4)


def test_an_unknown_kind_of_depth_must_be_said(tmp_path, monkeypatch):
    folder = dpt_folder(tmp_path / "m")
    monkeypatch.delitem(PrimeDepthExtractor._inverse.__globals__["OUTPUTS"], "dpt")
    with pytest.raises(SignXPoseError, match="'dpt' may return depth or inverse depth"):
        PrimeDepthExtractor(folder).load()
    assert rows(PrimeDepthExtractor(folder, output="inverse"), make_frames(1)).shape == (1, 576)


# --------------------------------------------------------------------------------------------------------------- both


EXTRACTORS = {"sapiens": (SapiensExtractor, sapiens_folder), "primedepth": (PrimeDepthExtractor, dpt_folder)}


@pytest.mark.parametrize("track", EXTRACTORS)
def test_batches_and_neighbours_do_not_change_a_row(track, tmp_path):
    make, folder = EXTRACTORS[track]
    folder, frames = folder(tmp_path / "m"), make_frames(7)
    before = [frame.copy() for frame in frames]
    extractor = make(folder, batch_size=4)
    together = rows(extractor, frames)
    # convolutions of another batch size round otherwise, by 1e-6 of what the model says; a row is its range
    np.testing.assert_allclose(rows(make(folder, batch_size=1), frames), together, atol=5e-6)
    np.testing.assert_allclose(rows(extractor, frames[3:4]), together[3:4], atol=5e-6)
    np.testing.assert_array_equal(rows(extractor, frames), together)
    np.testing.assert_array_equal(rows(pickle.loads(pickle.dumps(extractor)), frames), together)  # noqa: S301 as a worker gets it
    assert rows(extractor, make_frames(1)).shape == (1, 576) and not list(extractor.extract([], CLIP))
    for frame, same in zip(frames, before):
        np.testing.assert_array_equal(frame, same)


def test_frames_are_taken_as_they_are_needed(tmp_path):
    extractor, taken = PrimeDepthExtractor(dpt_folder(tmp_path / "m"), batch_size=2).load(), []
    stream = extractor.extract((taken.append(i) or frame for i, frame in enumerate(make_frames(6))), CLIP)
    next(stream)
    assert len(taken) == 2


def test_zoedepth_takes_frames_one_by_one(tmp_path):
    extractor = PrimeDepthExtractor(dpt_folder(tmp_path / "m"), batch_size=4).load()
    assert extractor._frames_at_once() == 4
    extractor._loaded_model.config = transformers.ZoeDepthConfig()
    assert extractor._frames_at_once() == 1


def test_the_fingerprint_follows_options_and_bytes(tmp_path):
    folder = dpt_folder(tmp_path / "m")
    first = PrimeDepthExtractor(folder).fingerprint
    assert len(first) == 64 and PrimeDepthExtractor(folder).fingerprint == first
    folder.rename(tmp_path / "moved")
    assert PrimeDepthExtractor(tmp_path / "moved").fingerprint == first
    assert PrimeDepthExtractor(tmp_path / "moved", output="metric").fingerprint != first
    weights = tmp_path / "moved" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    assert PrimeDepthExtractor(tmp_path / "moved").fingerprint != first


def test_a_processor_that_crops_is_told_not_to(tmp_path):
    from signx_hf.poses.picture_models import _load_processor

    crops = transformers.MobileViTImageProcessorPil(size={"shortest_edge": 40}, crop_size={"height": 32, "width": 32})
    crops.save_pretrained(tmp_path)
    frame = np.zeros((60, 90, 3), np.uint8)
    frame[:, :5], frame[:, -5:] = 255, 128  # what a centre crop would lose
    pixels = _load_processor(tmp_path)([frame])
    assert tuple(pixels.shape) == (1, 3, 32, 32)
    assert pixels[0, 0, :, 0].min() > 0.8 and 0.4 < pixels[0, 0, :, -1].min() < 0.6


def test_a_processor_that_pads_is_told_not_to(tmp_path):
    from signx_hf.poses.picture_models import _load_processor

    pads = transformers.ZoeDepthImageProcessorPil(
        size={"height": 64, "width": 96}, image_mean=MEAN, image_std=STD, do_pad=True, keep_aspect_ratio=False
    )
    pads.save_pretrained(tmp_path)
    expected = stretched(make_frames(1), 64, 96)
    assert (pads(make_frames(1), return_tensors="pt")["pixel_values"] - expected).abs().max() > 0.1
    torch.testing.assert_close(_load_processor(tmp_path)(make_frames(1)), expected, atol=0.02, rtol=0)


def test_no_observation_keeps_more_than_its_row(tmp_path):
    (people,) = PrimeDepthExtractor(dpt_folder(tmp_path / "m")).extract(make_frames(1), CLIP)
    assert sum(a.nbytes for a in people[0].data.values()) == 576 * 4


# ---------------------------------------------------------------------------------------------------------- bad input


def edited_config(path, **changes):
    config = json.loads((path / "config.json").read_text())
    config.update(changes)
    (path / "config.json").write_text(json.dumps(config))
    return path


def other_task(path):
    config = transformers.BertConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=9
    )
    return save(transformers.BertModel(config), path, SQUARE)


def other_head(path):
    config = dpt(num_labels=3, semantic_classifier_dropout=0.0, auxiliary_loss_weight=0.0, use_auxiliary_head=False)
    return save(transformers.DPTForSemanticSegmentation(config), path, dpt_processor(32))


def pickled(path):
    dpt_folder(path)
    (path / "model.safetensors").unlink()
    torch.save({}, path / "pytorch_model.bin")
    return path


def cut(path, name, keep):
    dpt_folder(path)
    (path / name).write_bytes((path / name).read_bytes()[:keep])
    return path


def without(path, name):
    dpt_folder(path)
    (path / name).unlink()
    return path


def empty(path):
    path.mkdir()
    return path


def a_file(path):
    path.write_text("x")
    return path


def plain(path, text):
    dpt_folder(path)
    (path / "preprocessor_config.json").write_text(text)
    return path


BAD_MODELS = {
    "missing": (lambda p: p, "no such folder"),
    "empty folder": (empty, "no .safetensors file"),
    "a file": (a_file, "got a file"),
    "not on this machine": (lambda p: "someone/some-model", "cannot be fetched from the Hub"),
    "web address": (lambda p: "https://example.org/m", "got a web address"),
    "pickle": (pickled, "got pytorch_model.bin, a pickle, which can run any code"),
    "no config": (lambda p: without(p, "config.json"), "no config.json"),
    "no processor": (lambda p: without(p, "preprocessor_config.json"), "Save the image processor with the model"),
    "config cut": (lambda p: cut(p, "config.json", 40), "must be the configuration of a transformers model"),
    "weights cut": (lambda p: cut(p, "model.safetensors", 3000), "the weights cannot be loaded"),
    "another task": (other_task, "a model for depth estimation"),
    "another head": (other_head, "weights of DPTForDepthEstimation are missing or of another size ("),
    "other sizes": (lambda p: edited_config(dpt_folder(p), hidden_size=24), "of another size)"),
    "bad config": (lambda p: edited_config(dpt_folder(p), hidden_size="many"), "the configuration is invalid"),
    "processor text": (lambda p: plain(p, "hello"), "cannot be read as the settings of an image processor"),
    "processor list": (lambda p: plain(p, "[1]"), "cannot be read as the settings of an image processor"),
    "processor size": (lambda p: plain(p, '{"size": 5}'), "must have size (height, width), and image_mean and image_std"),
    "processor std": (
        lambda p: plain(p, json.dumps({**SQUARE, "image_std": [0, 0, 0]})),
        "must have size (height, width), and image_mean and image_std",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_MODELS)
def test_a_model_that_cannot_be_used_is_refused_in_one_line(case, tmp_path, caplog, monkeypatch):
    make, text = BAD_MODELS[case]
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    with pytest.raises(SignXError, match=re.escape(text)) as error:
        PrimeDepthExtractor(make(tmp_path / "m")).load()
    assert "\n" not in str(error.value) and ("some-model" in str(error.value) or "/m" in str(error.value))
    assert "LOAD REPORT" not in caplog.text  # a table of transformers, which the line above makes needless
    missing = ("missing", "empty folder", "not on this machine", "no config", "no processor")
    assert isinstance(error.value, SignXFileNotFoundError) == (case in missing)


def test_a_type_that_this_transformers_lacks_names_the_version(tmp_path):
    folder = edited_config(sapiens_folder(tmp_path / "m"), model_type="sapiens9")
    expected = f"type 'sapiens9', which transformers {transformers.__version__} does not have"
    with pytest.raises(ImportError, match=re.escape(expected)):
        SapiensExtractor(folder).load()


def test_bad_options_are_refused(tmp_path):
    with pytest.raises(SignXPoseError, match="batch_size must be a positive integer, got 0"):
        SapiensExtractor("m", batch_size=0)
    with pytest.raises(SignXPoseError, match="output must be 'metric', 'inverse' or None, got 'disparity'"):
        PrimeDepthExtractor("m", output="disparity")
    with pytest.raises(SignXPoseError, match="device 'gpu' .*Try 'cpu'"):
        PrimeDepthExtractor(dpt_folder(tmp_path / "m"), device="gpu").load()
    with pytest.raises(SignXPoseError, match="from 2 to 2048, .*got 2049"):
        SapiensExtractor(save(segformer(2049), tmp_path / "s", SQUARE)).load()


def test_a_frame_without_depth_is_named(tmp_path):
    extractor = PrimeDepthExtractor(dpt_folder(tmp_path / "m")).load()
    broken = copy.deepcopy(extractor._loaded_model)
    with torch.no_grad():
        next(iter(broken.head.parameters())).fill_(float("nan"))
    extractor._loaded_model = broken
    with pytest.raises(
        SignXPoseError, match="clip clip, frame 0: the depth map must have at least one measured pixel"
    ):
        list(extractor.extract(make_frames(1), CLIP))
