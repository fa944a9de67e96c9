"""The recognizer: time steps, distillation, vocabularies, pruning; and other libraries' backbones as frame encoders."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT, mini_config, mini_inputs, mini_model
from transformers import (
    ConvNextConfig,
    ConvNextV2Config,
    Dinov2Config,
    MobileNetV2Config,
    ResNetConfig,
    SwinConfig,
    ViTConfig,
)

from signx_hf import SignXForGlossRecognition, SignXForLatentCTC, SignXModel
from signx_hf.modeling.layers_signx import length_mask, mask_lengths
from signx_hf.modeling.losses_signx import ctc_loss, distillation_loss
from signx_hf.modeling.recognizer_signx import SignXFrameEncoder, SignXLatentCompiler, SignXTemporalConv

CTC_LABELS = torch.tensor([[3, 5], [7, -100]])

# ----- time ------------------------------------------------------------------------------------------------------------


def steps_by_hand(frames, pools):
    for pool in pools:
        frames = math.ceil(frames / pool)
    return frames


@pytest.mark.parametrize("pools", [[2, 2], [2], [1, 1], [3, 2], [2, 2, 2], [4]])
def test_t_prime_for_one_to_twenty_frames(pools):
    model = mini_model("SignXForLatentCTC", recognizer_config={"pool_sizes": pools})
    assert model.config.recognizer_config.stride == math.prod(pools)
    lengths = list(range(1, 21))
    output = model(**mini_inputs(model.config, lengths, "latents"))
    expected = [steps_by_hand(length, pools) for length in lengths]
    assert output.feature_mask.sum(1).tolist() == expected
    assert output.logits.shape[1] == output.features.shape[1] == output.aux_logits.shape[1] == expected[-1]
    assert torch.equal(output.feature_mask, torch.arange(expected[-1])[None] < torch.tensor(expected)[:, None])
    assert not output.features[~output.feature_mask].any()
    assert [model.recognizer.feature_lengths(length) for length in lengths] == expected


def test_the_published_examples_of_frame_compression():
    # SignX-4 reports 136 frames -> 3.89x, 74 -> 3.70x, 106 -> 3.79x; ceil twice gives 4.00, 3.89 and 3.93, near but above
    model = mini_model("SignXForLatentCTC")
    assert [model.recognizer.feature_lengths(frames) for frames in (136, 74, 106)] == [34, 19, 27]


def test_mask_lengths_counts_holes_and_length_mask_is_its_inverse():
    mask = torch.tensor([[True, False, True, False], [False] * 4, [True] * 4, [False, False, False, True]])
    assert mask_lengths(mask).tolist() == [3, 0, 4, 4]
    assert length_mask(torch.tensor([3, 0, 4]), 4).int().tolist() == [[1, 1, 1, 0], [0] * 4, [1] * 4]
    assert mask_lengths(torch.ones(2, 0, dtype=torch.bool)).tolist() == [0, 0]


def test_temporal_conv_sees_its_receptive_field_and_no_more():
    # two kernels of 5 and two poolings of 2: step s reads frames 4 s - 6 to 4 s + 9
    torch.manual_seed(0)
    conv = SignXTemporalConv(mini_config().recognizer_config).eval()
    frames = torch.randn(1, 40, 14)
    lengths = torch.tensor([40])
    before, _ = conv(frames, lengths)
    for changed in (0, 17, 39):
        other = frames.clone()
        other[0, changed] += 100.0
        after, _ = conv(other, lengths)
        touched = ((after - before)[0].abs().amax(-1) > 0).nonzero().flatten().tolist()
        allowed = [step for step in range(10) if 4 * step - 6 <= changed <= 4 * step + 9]
        assert touched and set(touched) <= set(allowed), (changed, touched)
        assert changed // 4 in touched  # a step's own frames are among what it reads


@pytest.mark.parametrize("dilations", [[3], [1, 2, 4]])
def test_dilated_convolutions_see_whole_signs(dilations):
    # each kernel of 5 reads steps up to twice its dilation away, beside what the poolings have read
    torch.manual_seed(0)
    config = mini_config(recognizer_config={"dilations": dilations}).recognizer_config
    conv = SignXTemporalConv(config).eval()
    frames, lengths = torch.randn(1, 240, 14), torch.tensor([240])
    before, _ = conv(frames, lengths)
    assert config.reach == 6 + 4 * 2 * sum(dilations)
    reach = {0}
    for dilation in dilations:
        reach = {place + tap * dilation for place in reach for tap in range(-2, 3)}
    for changed in (0, 117, 239):
        other = frames.clone()
        other[0, changed] += 1000.0
        touched = ((conv(other, lengths)[0] - before)[0].abs().amax(-1) > 0).nonzero().flatten().tolist()
        read = [step for step in range(60) if 4 * step - 6 <= changed <= 4 * step + 9]
        allowed = {step + way for step in read for way in reach}
        assert set(touched) <= allowed, (changed, touched)
        # all blocks are there: a change is seen as far as their reaches add up to
        assert min(touched) == max(0, min(read) - 2 * sum(dilations)) and max(touched) == min(
            59, max(read) + 2 * sum(dilations)
        )


@pytest.mark.parametrize("dilations", [[], [1, 2, 4]])
def test_temporal_conv_does_not_read_past_a_length(dilations):
    torch.manual_seed(0)
    conv = SignXTemporalConv(mini_config(recognizer_config={"dilations": dilations}).recognizer_config).eval()
    frames = torch.randn(2, 13, 14)
    before, lengths = conv(frames, torch.tensor([13, 6]))
    assert lengths.tolist() == [4, 2] and not before[1, 2:].any()
    frames[1, 6:] = 1e4
    assert torch.equal(conv(frames, torch.tensor([13, 6]))[0], before)
    alone, _ = conv(frames[1:, :6], torch.tensor([6]))
    torch.testing.assert_close(alone[0], before[1, :2])


def test_features_see_both_directions():
    model = mini_model("SignXForLatentCTC")
    inputs = mini_inputs(model.config, [40], "latents")
    before = model(**inputs).features
    for changed in (0, 39):
        inputs2 = {**inputs, "latents": inputs["latents"].clone()}
        inputs2["latents"][0, changed] *= -3
        assert ((model(**inputs2).features - before).abs().amax(-1) > 0).all()


# ----- compilation of latents ------------------------------------------------------------------------------------------


def test_compilation_normalises_whitens_and_zeroes():
    config = mini_config(recognizer_config={"whitening_gamma": 0.5}).recognizer_config
    compiler = SignXLatentCompiler(3, config).eval()
    latents = torch.tensor([[[1.0, 2.0, 3.0], [4.0, 0.0, 2.0], [9.0, 9.0, 9.1]]])
    mask = torch.tensor([[True, True, False]])
    result, kept = compiler(latents, mask)
    rows = [(row - row.mean()) / (row.var(unbiased=False) + 1e-5).sqrt() for row in latents[0, :2]]
    mean = (rows[0] + rows[1]) / 2
    expected = rows[1] - 0.5 * (rows[1] - mean) * (rows[0] - mean)
    torch.testing.assert_close(result[0], torch.stack([rows[0], expected, torch.zeros(3)]))
    assert torch.equal(kept, mask)


def test_frames_are_dropped_in_training_only():
    config = mini_config(recognizer_config={"frame_drop_rate": 0.5}).recognizer_config
    compiler = SignXLatentCompiler(4, config)
    latents, mask = torch.randn(4, 30, 4), torch.ones(4, 30, dtype=torch.bool)
    torch.manual_seed(0)
    result, kept = compiler.train()(latents, mask)
    assert 20 < (~kept).sum() < 100
    assert not result[~kept].any() and (result[kept].abs().sum(-1) > 0).all()
    assert torch.equal(compiler.eval()(latents, mask)[1], mask)


# ----- mixer and distillation ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scalar", [0.0, 1.5, -40.0, 40.0])
def test_the_mixer_is_a_sigmoid_of_one_scalar(scalar):
    recognizer = mini_model("SignXForLatentCTC").recognizer
    with torch.no_grad():
        recognizer.mixer.fill_(scalar)
    latents, frames = torch.ones(1, 2, 14), 3 * torch.ones(1, 2, 14)
    share = 1 / (1 + math.exp(-scalar))
    torch.testing.assert_close(recognizer.mix(latents, frames), torch.full((1, 2, 14), 3 * share + 1 - share))
    assert torch.equal(recognizer.mix(latents, None), latents) and torch.equal(recognizer.mix(None, frames), frames)


def test_teacher_is_the_rgb_branch_and_student_the_latent_branch():
    model = mini_model("SignXForLatentCTC")
    inputs = mini_inputs(model.config, [8, 6], "latents", "video")
    with torch.no_grad():
        model.recognizer.classifier.weight.mul_(20)  # far apart, so that the direction of the divergence shows
    losses = model(**inputs, ctc_labels=CTC_LABELS).losses
    with torch.no_grad():
        model.recognizer.mixer.fill_(40.0)
        teacher = model(**inputs).logits  # frames alone
        model.recognizer.mixer.fill_(-40.0)
        student = model(**inputs)  # latents alone
        latents_only = model(latents=inputs["latents"], frame_mask=inputs["frame_mask"])
    torch.testing.assert_close(student.logits, latents_only.logits)
    mask = student.feature_mask
    assert losses["kd"].item() == pytest.approx(distillation_loss(student.logits, teacher, mask).item(), rel=1e-4)
    assert losses["student_ctc"].item() == pytest.approx(ctc_loss(student.logits, CTC_LABELS, mask).item(), rel=1e-5)
    assert abs(distillation_loss(teacher, student.logits, mask).item() / losses["kd"].item() - 1) > 0.01


def test_distillation_leaves_the_rgb_branch_alone():
    model = mini_model("SignXForLatentCTC", recognizer_config={"ctc_weight": 0.0, "aux_ctc_weight": 0.0})
    model(**mini_inputs(model.config, [8, 6], "latents", "video"), ctc_labels=CTC_LABELS).loss.backward()
    for name, parameter in model.recognizer.named_parameters():
        moved = parameter.grad is not None and parameter.grad.abs().sum() > 0
        assert moved != name.startswith(("frame_", "mixer", "aux_classifier")), name


def test_teacher_logits_can_be_handed_in():
    model = mini_model("SignXForLatentCTC")
    inputs = mini_inputs(model.config, [8, 6], "latents")
    teacher = torch.randn(2, 2, 11, generator=torch.Generator().manual_seed(9))
    output = model(**inputs, ctc_labels=CTC_LABELS, teacher_logits=teacher)
    assert set(output.losses) == {"ctc", "aux_ctc", "kd"}
    expected = distillation_loss(output.logits, teacher, output.feature_mask)
    assert output.losses["kd"].item() == pytest.approx(expected.item(), rel=1e-6)


def test_features_taken_out_and_handed_in_give_the_same_logits():
    model = mini_model("SignXForGlossRecognition")
    inputs = mini_inputs(model.config, [9, 4], "poses", "video")
    ids = {"decoder_input_ids": torch.tensor([[1, 4, 8]]).expand(2, -1)}
    whole = model(**inputs, **ids)
    again = model(features=whole.features, feature_mask=whole.feature_mask, **ids)
    torch.testing.assert_close(again.logits, whole.logits, atol=1e-6, rtol=0)
    torch.testing.assert_close(again.ctc_logits, whole.ctc_logits, atol=1e-6, rtol=0)
    third = SignXForLatentCTC(model.config)
    third.load_state_dict(model.state_dict(), strict=False)
    encoded = third.eval().encode(**inputs)
    assert torch.equal(encoded.features, whole.features) and torch.equal(encoded.ctc_logits, whole.ctc_logits)


def test_latents_taken_out_and_handed_in_give_the_same_logits():
    model = mini_model("SignXForLatentCTC")
    inputs = mini_inputs(model.config, [9, 4], "poses")
    whole = model(**inputs)
    again = model(latents=whole.latents, frame_mask=inputs["frame_mask"])
    assert torch.equal(again.logits, whole.logits)


def test_infeasible_clips_are_named_unless_the_config_says_otherwise():
    labels = torch.tensor([[3, 3], [4, -100]])
    model = mini_model("SignXForLatentCTC")
    inputs = mini_inputs(model.config, [8, 6], "latents")
    with pytest.raises(ValueError, match="Clip 0 .* 2 feature steps.* 2 glosses with 1 repeats need 3"):
        model(**inputs, ctc_labels=labels)
    loose = mini_model("SignXForLatentCTC", recognizer_config={"zero_infinity": True})
    assert torch.isfinite(loose(**inputs, ctc_labels=labels).loss)


@pytest.mark.parametrize("blank", [0, 10])
def test_decode_and_align_use_the_blank_of_the_config(blank):
    model = mini_model("SignXForLatentCTC", ctc_blank_id=blank)
    path = [blank, 3, 3, blank, 7, blank]
    logits = torch.nn.functional.one_hot(torch.tensor([path, path]), 11).float() * 30
    mask = torch.tensor([[True] * 6, [True] * 3 + [False] * 3])
    decoded = model.decode_ctc(logits, mask)
    assert [list(hypotheses[0].ids) for hypotheses in decoded] == [[3, 7], [3]]
    alignment = model.align_ctc(logits[0], [3, 7])
    assert (alignment.starts, alignment.ends) == ((1, 4), (3, 5))


# ----- vocabularies and pruning ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SignXForLatentCTC", "SignXForGlossRecognition"])
@pytest.mark.parametrize("size", [17, 6])
def test_resizing_the_ctc_vocabulary_keeps_old_rows_and_survives_saving(name, size, tmp_path):
    pieces = [[]] + [[6 + i] for i in range(10)]
    model = mini_model(name, text_config={"gloss_pieces": pieces})
    inputs = mini_inputs(model.config, [8, 6], "latents")
    with torch.no_grad():
        old = model(**inputs)
    model.resize_ctc_vocabulary(size)
    kept = min(size, 11)
    assert model.config.ctc_vocab_size == size and model.config.text_config.gloss_pieces is None
    heads = ["recognizer.classifier", "recognizer.aux_classifier"] + ["ctc_head"] * hasattr(model, "ctc_head")
    for head in heads:
        assert model.get_submodule(head).out_features == size
        assert not model.get_submodule(head).bias[kept:].any()
    key = "ctc_logits" if name == "SignXForGlossRecognition" else "logits"
    new = model(**inputs)
    torch.testing.assert_close(new[key][..., :kept], old[key][..., :kept])
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    assert torch.equal(again(**inputs)[key], new[key])
    labels = torch.tensor([[size - 1], [1]])
    assert torch.isfinite(model(**inputs, ctc_labels=labels).loss)


@pytest.mark.parametrize(("blank", "size"), [(0, 1), (4, 4), (4, 3)])
def test_a_ctc_vocabulary_without_room_is_refused(blank, size):
    model = mini_model("SignXForLatentCTC", ctc_blank_id=blank)
    with pytest.raises(ValueError, match=f"at least 2 and above the blank {blank}, got {size}"):
        model.resize_ctc_vocabulary(size)


def test_pruned_dimensions_have_no_influence_and_stay_pruned(tmp_path):
    model = mini_model("SignXForLatentCTC", recognizer_config={"variance_threshold": 0.05})
    inputs = mini_inputs(model.config, [9, 5], "latents")
    inputs["latents"][..., [2, 30]] *= 0.01
    assert model.prune_latent_dimensions(inputs["latents"], inputs["frame_mask"]) == 30
    model.save_pretrained(tmp_path)
    again = SignXForLatentCTC.from_pretrained(tmp_path)
    pruned = (again.recognizer.compiler.keep == 0).nonzero().flatten().tolist()
    assert pruned == [2, 30]
    # what the weights behind a pruned dimension are does not matter any more
    before = again(**inputs).logits
    with torch.no_grad():
        again.recognizer.latent_projection[0].weight[:, [2, 30]] = 1e4
    assert torch.equal(again(**inputs).logits, before)
    # a later round adds to it, and does not bring back what varies again
    inputs["latents"][..., [2, 30]] *= 1000
    inputs["latents"][..., 7] = 1.0
    assert again.prune_latent_dimensions(inputs["latents"], inputs["frame_mask"], 0.1) == 29
    fourth = SignXForGlossRecognition.from_pretrained(tmp_path)
    assert (fourth.recognizer.compiler.keep == 0).sum() == 2


# ----- frame encoders --------------------------------------------------------------------------------------------------

BACKBONES = {
    "vit": ViTConfig(hidden_size=12, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, image_size=32, patch_size=16),
    "dinov2": Dinov2Config(hidden_size=12, num_hidden_layers=1, num_attention_heads=2, mlp_ratio=2, image_size=32, patch_size=16),
    "swin": SwinConfig(embed_dim=8, depths=[1, 1], num_heads=[2, 2], window_size=4, image_size=32, patch_size=4),
    "resnet": ResNetConfig(embedding_size=6, hidden_sizes=[6, 10], depths=[1, 1], layer_type="basic"),
    "convnext": ConvNextConfig(hidden_sizes=[6, 10], depths=[1, 1], num_stages=2),
    "convnextv2": ConvNextV2Config(hidden_sizes=[6, 10], depths=[1, 1], num_stages=2),
    "mobilenet_v2": MobileNetV2Config(depth_multiplier=0.25),
}  # fmt: skip


def backbone(name):
    return BACKBONES[name].to_dict()


@pytest.mark.parametrize("name", BACKBONES)
def test_any_vision_backbone_of_transformers_runs_as_frame_encoder_and_branch(name, tmp_path):
    torch.manual_seed(0)
    config = mini_config(vision_config=backbone(name), frame_branch=backbone(name))
    model = SignXForLatentCTC(config).eval()
    inputs = mini_inputs(config, [5, 3], "video")
    with torch.no_grad():
        output = model.model.get_video_latents(**inputs)
        assert output.latents.shape == (2, 5, 32) and torch.isfinite(output.latents).all()
        encoder = model.model.video_encoder.frame_encoder
        frames = inputs["pixel_values_videos"][0]
        features = encoder(frames)
        assert features.shape == (5, encoder.feature_size)
        loud = inputs["pixel_values_videos"].clone()
        loud[1, 3:] = float("nan")
        again = model.model.get_video_latents(loud, inputs["frame_mask"])
        assert torch.equal(output.latents, again.latents)
        model.save_pretrained(tmp_path)
        loaded = SignXForLatentCTC.from_pretrained(tmp_path)
        assert all(torch.equal(value, loaded.state_dict()[key]) for key, value in model.state_dict().items())
        # weights that lie elsewhere in memory may go through other kernels
        torch.testing.assert_close(loaded(**inputs).logits, model(**inputs).logits, atol=1e-7, rtol=0)


def test_a_frame_feature_is_the_class_token_or_the_mean():
    torch.manual_seed(0)
    frames = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        for name, by_hand in {
            "vit": lambda hidden: hidden[:, 0],
            "dinov2": lambda hidden: hidden[:, 0],
            "swin": lambda hidden: hidden.mean(1),
            "resnet": lambda hidden: hidden.mean((2, 3)),
            "mobilenet_v2": lambda hidden: hidden.mean((2, 3)),
        }.items():
            encoder = SignXFrameEncoder(mini_config(vision_config=backbone(name)).vision_config, 32).eval()
            hidden = encoder.backbone(pixel_values=frames).last_hidden_state
            torch.testing.assert_close(encoder(frames), by_hand(hidden), msg=name)


@pytest.mark.parametrize("name", ["vit", "resnet", "mobilenet_v2"])
def test_the_frame_encoder_exports_and_says_the_same(name):
    torch.manual_seed(0)
    encoder = SignXFrameEncoder(mini_config(vision_config=backbone(name)).vision_config, 32).eval()
    frames = torch.randn(3, 3, 32, 32)
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(encoder, (frames,), dynamic_shapes={"frames": {0: batch}}).module()
    with torch.no_grad():
        for count in (3, 5):
            frames = torch.randn(count, 3, 32, 32)
            torch.testing.assert_close(program(frames), encoder(frames), atol=1e-5, rtol=0)


def test_the_chunk_of_frames_changes_no_result():
    outputs = []
    for chunk in (1, 3, 64):
        model = mini_model("SignXForLatentCTC", temporal_config={"frames_per_chunk": chunk})
        outputs.append(model(**mini_inputs(model.config, [7, 4], "video")).logits)
    torch.testing.assert_close(outputs[0], outputs[2], atol=1e-5, rtol=0)
    torch.testing.assert_close(outputs[1], outputs[2], atol=1e-5, rtol=0)


def test_the_order_of_frames_matters():
    model = mini_model("SignXModel")
    inputs = mini_inputs(model.config, [6], "video")
    forward = model(**inputs).latents
    backward = model(inputs["pixel_values_videos"].flip(1), inputs["frame_mask"]).latents.flip(1)
    assert (forward - backward).abs().max() > 1e-2


def test_a_student_with_latents_narrower_than_the_poses():
    model = mini_model("SignXModel", pose_config={"latent_size": 8})
    assert model.latent_encoder.padding == 0
    assert model(**mini_inputs(model.config, [4], "poses")).latents.shape == (1, 4, 8)
    assert mini_model("SignXModel").latent_encoder.padding == 32 - 16


def test_one_lstm_layer_and_no_pooling_and_no_branch():
    model = mini_model("SignXForGlossRecognition", recognizer_config={"num_lstm_layers": 1, "pool_sizes": [1]}, frame_branch=None)  # fmt: skip
    output = model(**mini_inputs(model.config, [7, 2], "video"))
    assert output.ctc_logits.shape == (2, 7, 11)
    assert model.recognizer.frame_encoder is None and not hasattr(model.recognizer, "mixer")


def test_the_tiny_preset_runs_from_video():
    from signx_hf import SignXConfig

    torch.manual_seed(0)
    config = SignXConfig.tiny()
    model = SignXModel(config).eval()
    with torch.no_grad():
        output = model(torch.randn(1, 2, 3, 112, 112))
    assert output.latents.shape == (1, 2, 192) and output.fused_pose.shape == (1, 2, 1959)


# glibc's malloc that looks at every block it is given back
CHECKED_MALLOC = next(Path("/lib").glob("*/libc_malloc_debug.so*"), None)
GRADIENT = """
import torch
from transformers import ResNetConfig
from signx_hf.modeling.recognizer_signx import SignXFrameEncoder
torch.set_num_threads(1)
config = ResNetConfig(embedding_size=6, hidden_sizes=[6, 10], depths=[1, 1], layer_type="basic")
encoder = SignXFrameEncoder(config, 32)
for frames in (15, 7, 24):
    encoder(torch.rand(frames, 3, 32, 32)).sum().backward()
    encoder.zero_grad()
print("whole")
"""


@pytest.mark.skipif(CHECKED_MALLOC is None, reason="no checking malloc of glibc here")
def test_gradients_of_a_narrow_network_stay_in_their_memory():
    """With channels last, a strided 1 x 1 convolution of 6 channels wrote past it; the process died some time later."""
    checked = {"LD_PRELOAD": str(CHECKED_MALLOC), "MALLOC_CHECK_": "3", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", GRADIENT], env={**os.environ, **checked}, capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stdout) == (0, "whole\n"), done.stderr[-500:]


def test_networks_of_usual_width_keep_the_faster_order():
    wide = ResNetConfig(embedding_size=32, hidden_sizes=[32, 64], depths=[1, 1], layer_type="basic")
    thin = ResNetConfig(embedding_size=6, hidden_sizes=[6, 10], depths=[1, 1], layer_type="basic")
    assert SignXFrameEncoder(wide, 32).channels_last and not SignXFrameEncoder(thin, 32).channels_last
