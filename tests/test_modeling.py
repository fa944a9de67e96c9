"""The models as a family: every entry of every class, masks, tracks, gradients, attention kernels, saving and loading."""

import copy
import inspect
import itertools

import pytest
import torch
from conftest import (
    ENTRIES,
    LABELS,
    LENGTHS,
    assert_equal_outputs,
    labels_for,
    mini_config,
    mini_inputs,
    mini_model,
    results,
)
from transformers import set_seed

import signx_hf
from signx_hf import (
    SignXConfig,
    SignXForGlossRecognition,
    SignXForVideo2Pose,
)
from signx_hf.modeling import layers_signx
from signx_hf.modeling.encoders_signx import SignXTrackFusion

PAIRS = [(name, kind) for name, kinds in ENTRIES.items() for kind in kinds]

# ----- entries and shapes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_every_entry_runs_with_the_shapes_of_the_vocabulary(name, kind):
    model = mini_model(name)
    config = model.config
    output = model(**mini_inputs(config, LENGTHS, kind), **labels_for(name))
    batch, time = len(LENGTHS), max(LENGTHS)
    steps = time if kind == "features" else -(-time // 4)
    shapes = {
        "latents": [batch, time, 32],
        "last_hidden_state": [batch, time, 32],
        "fused_pose": [batch, time, 16],
        "features": [batch, steps, 26],
        "aux_logits": [batch, steps, 11],
        "ctc_logits": [batch, steps, 11],
    }
    shapes["logits"] = {
        "SignXForPose2Gloss": [batch, LABELS.shape[1], 37],
        "SignXForGlossRecognition": [batch, LABELS.shape[1], 37],
        "SignXForLatentCTC": [batch, steps, 11],
        "SignXForSignClassification": [batch, 2],
    }.get(name)
    found = results(output)
    assert "logits" in found or name in ("SignXModel", "SignXForVideo2Pose")
    for key, value in found.items():
        assert list(value.shape) == shapes[key], key
        assert torch.isfinite(value).all(), key
    if name in ("SignXForLatentCTC", "SignXForGlossRecognition"):
        expected = LENGTHS if kind == "features" else [-(-length // 4) for length in LENGTHS]
        assert output.feature_mask.dtype == torch.bool and output.feature_mask.sum(1).tolist() == expected
    if name != "SignXModel":
        assert (output.loss is None) == (name == "SignXForVideo2Pose")


@pytest.mark.parametrize("name", ENTRIES)
def test_return_dict_false_gives_the_same_as_a_tuple(name):
    model = mini_model(name)
    inputs = mini_inputs(model.config, LENGTHS, "video")
    as_tuple = model(**inputs, return_dict=False)
    as_dict = [value for value in model(**inputs).to_tuple() if isinstance(value, torch.Tensor)]
    assert isinstance(as_tuple, tuple)
    for first, second in zip([v for v in as_tuple if isinstance(v, torch.Tensor)], as_dict, strict=True):
        assert torch.equal(first, second)


WEIGHTS = {
    "text_weight": 0.7, "word_weight": 0.3, "ngram_weight": 0.9, "contrast_weight": 0.2, "pose_weight": 0.6,
    "decoder_ctc_weight": 0.4,
}  # fmt: skip
RECOGNIZER_WEIGHTS = {"ctc_weight": 0.8, "aux_ctc_weight": 0.5, "kd_weight": 1.3}
PARTS = [
    # class, inputs, {part: option that holds its weight}
    ("SignXForPose2Gloss", ["poses"], {n: f"{n}_weight" for n in ("text", "word", "ngram", "contrast")}),
    ("SignXForVideo2Pose", ["video", "poses"], {"latent": None, "pose": "pose_weight"}),
    ("SignXForLatentCTC", ["latents"], {"ctc": "ctc_weight", "aux_ctc": "aux_ctc_weight"}),
    (
        "SignXForLatentCTC",
        ["latents", "video"],
        {
            "ctc": "ctc_weight",
            "aux_ctc": "aux_ctc_weight",
            "kd": "kd_weight",
            "student_ctc": "ctc_weight",
            "teacher_ctc": "ctc_weight",
        },
    ),
    ("SignXForLatentCTC", ["features"], {"ctc": "ctc_weight"}),
    (
        "SignXForGlossRecognition",
        ["poses"],
        {"text": "text_weight", "encoder_ctc": "decoder_ctc_weight", "ctc": "ctc_weight", "aux_ctc": "aux_ctc_weight"},
    ),
    ("SignXForGlossRecognition", ["features"], {"text": "text_weight", "encoder_ctc": "decoder_ctc_weight"}),
]


@pytest.mark.parametrize(("name", "kinds", "parts"), PARTS)
def test_the_loss_is_the_weighted_sum_of_its_parts(name, kinds, parts):
    model = mini_model(name, recognizer_config=RECOGNIZER_WEIGHTS, **WEIGHTS)
    output = model(**mini_inputs(model.config, LENGTHS, *kinds), **labels_for(name))
    assert set(output.losses) == set(parts)
    weights = {**WEIGHTS, **RECOGNIZER_WEIGHTS, None: 1.0}
    expected = sum(weights[option] * output.losses[part].item() for part, option in parts.items())
    assert output.loss.item() == pytest.approx(expected, rel=1e-5)
    assert all(value.item() > 0 for value in output.losses.values())


@pytest.mark.parametrize(
    ("name", "kinds", "parts", "option"),
    [(*row, option) for row in PARTS for option in dict.fromkeys(row[2].values()) if option],
)
def test_a_weight_of_zero_leaves_its_part_out_and_the_others_alone(name, kinds, parts, option):
    def losses(**zero):
        recognizer = {**RECOGNIZER_WEIGHTS, **{k: v for k, v in zero.items() if k in RECOGNIZER_WEIGHTS}}
        others = {**WEIGHTS, **{k: v for k, v in zero.items() if k in WEIGHTS}}
        model = mini_model(name, recognizer_config=recognizer, **others)
        return model(**mini_inputs(model.config, LENGTHS, *kinds), **labels_for(name)).losses

    every, some = losses(), losses(**{option: 0.0})
    gone = {part for part, held_by in parts.items() if held_by == option}
    if option == "kd_weight":
        gone = {"kd", "teacher_ctc"}  # the RGB branch then teaches nothing
    assert set(some or ()) == set(every) - gone
    for part, value in (some or {}).items():
        assert value.item() == pytest.approx(every[part].item(), rel=1e-6), part


def test_losses_of_video2pose_by_hand():
    model = mini_model("SignXForVideo2Pose", pose_weight=1.0)
    inputs = mini_inputs(model.config, [6, 3], "video", "poses")
    output = model(**inputs)
    mask, total, count = inputs["frame_mask"], 0.0, 0
    for b, t in mask.nonzero().tolist():
        start = 0
        for n, size in enumerate(model.config.pose_config.track_sizes):
            if inputs["pose_mask"][b, t, n]:
                part = slice(start, start + size)
                total += (output.predicted_pose[b, t, part] - inputs["pose_values"][b, t, part]).square().sum().item()
                count += size
            start += size
    assert output.losses["pose"].item() == pytest.approx(total / count, rel=1e-5)
    pose_names = ("pose_values", "pose_mask", "frame_mask")
    target = model.model.get_pose_latents(**{name: inputs[name] for name in pose_names}).latents
    assert torch.equal(output.target_latents, target)
    error = (output.latents - target)[mask].square().mean()
    assert output.losses["latent"].item() == pytest.approx(error.item(), rel=1e-5)
    given = model(inputs["pixel_values_videos"], inputs["frame_mask"], target_latents=target)
    assert given.loss.item() == pytest.approx(error.item(), rel=1e-5)


def test_the_contrastive_part_pairs_a_clip_with_its_own_words():
    model = mini_model("SignXForPose2Gloss")
    inputs = mini_inputs(model.config, LENGTHS, "poses")
    before = model(**inputs, labels=LABELS).losses
    other = model(**inputs, labels=LABELS[[1, 2, 0]]).losses
    assert before["contrast"].item() != pytest.approx(other["contrast"].item(), rel=1e-3)
    # all rows turned alike: the same pairs in another order
    turned = {name: value[[1, 2, 0]] for name, value in inputs.items()}
    again = model(**turned, labels=LABELS[[1, 2, 0]]).losses
    for part, value in before.items():
        assert again[part].item() == pytest.approx(value.item(), rel=1e-4), part


# ----- padding ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_a_clip_in_a_padded_batch_of_eight_is_the_clip_alone(name, kind):
    model = mini_model(name)
    lengths = [1, 2, 3, 5, 7, 8, 11, 13]
    inputs = mini_inputs(model.config, lengths, kind)
    prompt = {"decoder_input_ids": torch.tensor([[1, 4, 8]])} if hasattr(model, "decoder") else {}
    with torch.no_grad():
        together = results(model(**inputs, **{k: v.expand(8, -1) for k, v in prompt.items()}))
        for row, length in enumerate(lengths):
            alone = model(**{key: value[row : row + 1, :length] for key, value in inputs.items()}, **prompt)
            for key, value in results(alone).items():
                padded = together[key][row : row + 1]
                if name != "SignXForSignClassification" or key != "logits":
                    padded = padded[:, : value.shape[1]]
                difference = (padded - value).abs().max().item()
                assert difference <= 1e-5, f"{key} of a clip of {length} frames differs by {difference}"


@pytest.mark.parametrize("garbage", [1e4, float("nan"), float("inf")])
@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_what_lies_in_the_padding_has_no_influence(name, kind, garbage):
    model = mini_model(name)
    inputs = mini_inputs(model.config, LENGTHS, kind)
    loud = {key: value.clone() for key, value in inputs.items()}
    mask = inputs["feature_mask"] if kind == "features" else inputs["frame_mask"]
    for value in loud.values():
        if value.is_floating_point():
            value[~mask] = garbage
    with torch.no_grad():
        quiet = model(**inputs, **labels_for(name))
        noisy = model(**loud, **labels_for(name))
    assert_equal_outputs(quiet, noisy)
    if quiet.get("loss") is not None:
        assert torch.equal(quiet.loss, noisy.loss)


@pytest.mark.parametrize("kind", ["video", "poses", "latents"])
def test_latents_are_zero_where_no_frame_is(kind):
    model = mini_model("SignXModel")
    output = model(**mini_inputs(model.config, LENGTHS, kind))
    assert not output.last_hidden_state[~output.frame_mask].any()
    assert (output.last_hidden_state[output.frame_mask].abs().sum(-1) > 0).all()
    assert torch.equal(output.latents, output.last_hidden_state)


@pytest.mark.parametrize("kind", ["video", "poses", "latents"])
@pytest.mark.parametrize("name", ["SignXForLatentCTC", "SignXForPose2Gloss"])
def test_a_hole_in_the_frame_mask_hides_the_frame_and_keeps_time(name, kind):
    model = mini_model(name)
    inputs = mini_inputs(model.config, [9], kind)
    inputs["frame_mask"] = torch.tensor([[True, True, False, True, True, False, False, True, True]])
    quiet = model(**inputs)
    for key, value in inputs.items():
        if value.is_floating_point():
            inputs[key] = value.masked_fill(~inputs["frame_mask"].view(1, 9, *[1] * (value.ndim - 2)), 1e4)
    assert_equal_outputs(quiet, model(**inputs))
    if name == "SignXForLatentCTC":
        assert quiet.feature_mask.sum().item() == 3  # ceil(ceil(9 / 2) / 2): the holes do not shorten the clip


def test_the_caller_keeps_its_inputs():
    for name, kind in PAIRS:
        model = mini_model(name).train()
        inputs = {**mini_inputs(model.config, LENGTHS, kind), **labels_for(name)}
        before = copy.deepcopy(inputs)
        model(**inputs)
        for key in inputs:
            assert torch.equal(inputs[key], before[key]), f"{name} changed {key}"


def test_two_forwards_and_two_models_of_one_seed_are_equal():
    for name, kinds in ENTRIES.items():
        first, second, third = mini_model(name), mini_model(name), mini_model(name, seed=5)
        inputs = mini_inputs(first.config, LENGTHS, kinds[0])
        assert_equal_outputs(first(**inputs), first(**inputs))
        assert_equal_outputs(first(**inputs), second(**inputs))
        with pytest.raises(AssertionError, match="differs by"):
            assert_equal_outputs(first(**inputs), third(**inputs))


# ----- tracks ----------------------------------------------------------------------------------------------------------


def masked_equals_left_out(model, tracks, inputs, subset):
    """Latents with only the tracks of `subset`, once with garbage under the mask and once as they were."""
    mask = torch.zeros_like(inputs["pose_mask"])
    mask[:, :, list(subset)] = True
    keep = mask.repeat_interleave(torch.tensor(tracks), dim=-1)
    outputs = []
    for filling in (None, 0.0, 1e4, float("nan")):
        values = inputs["pose_values"]
        values = values if filling is None else torch.where(keep, values, filling)
        outputs.append(model(pose_values=values, pose_mask=mask, frame_mask=inputs["frame_mask"]))
    for output in outputs[1:]:
        assert_equal_outputs(outputs[0], output)
    return outputs[0].latents


def test_every_subset_of_tracks_runs_and_a_masked_track_is_a_track_left_out():
    model = mini_model("SignXModel")
    sizes = model.config.pose_config.track_sizes
    inputs = mini_inputs(model.config, [4, 3], "poses")
    found = []
    for count in range(1, len(sizes) + 1):
        for subset in itertools.combinations(range(len(sizes)), count):
            found.append(masked_equals_left_out(model, sizes, inputs, subset))
    assert len(found) == 2 ** len(sizes) - 1
    for first, second in itertools.combinations(found, 2):
        assert (first - second).abs().max() > 1e-3  # each subset says something of its own


def test_all_31_subsets_of_the_paper_s_five_tracks():
    small = {
        "track_dims": signx_hf.SignXConfig().pose_config.track_dims,
        "track_hidden_size": 8, "fusion_heads": 2, "latent_size": 16, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 8,
    }  # fmt: skip
    model = mini_model("SignXModel", pose_config=small, vision_config=None, frame_branch=None)
    assert model.config.pose_config.pose_size == 1959
    inputs = mini_inputs(model.config, [3], "poses")
    subsets = [s for n in range(1, 6) for s in itertools.combinations(range(5), n)]
    assert len(subsets) == 31
    for subset in subsets:
        latents = masked_equals_left_out(model, model.config.pose_config.track_sizes, inputs, subset)
        assert torch.isfinite(latents).all()


def test_a_masked_track_is_a_track_that_the_fusion_never_had():
    """Attention over the observed tracks alone, computed without the missing token being there at all."""
    model = mini_model("SignXModel")
    fusion = model.pose_encoder
    inputs = mini_inputs(model.config, [4], "poses")
    mask = torch.tensor([True, False, True]).expand(1, 4, 3)
    fused = fusion(inputs["pose_values"], mask)
    parts = inputs["pose_values"].split(fusion.track_sizes, dim=-1)
    kept = [0, 2]
    tokens = torch.stack([fusion.encoders[n](parts[n]) + fusion.track_embedding[n] for n in kept], 2).view(4, 2, 12)
    update, _ = fusion.attention(fusion.norm(tokens))
    alone = (tokens + update).view(1, 4, 2, 12)
    for place, n in enumerate(kept):
        expected = parts[n] + fusion.decoders[n](alone[:, :, place])
        torch.testing.assert_close(fused.split(fusion.track_sizes, -1)[n], expected, atol=1e-5, rtol=0)


def test_a_track_missing_from_some_frames_leaves_the_fusion_of_the_others():
    model = mini_model("SignXModel")
    inputs = mini_inputs(model.config, [5], "poses")
    mask = torch.ones(1, 5, 3, dtype=torch.bool)
    every = model.pose_encoder(inputs["pose_values"], mask)
    mask[0, 2, 1] = False
    some = model.pose_encoder(inputs["pose_values"], mask)
    different = (every - some).abs().amax(-1)[0] > 0
    assert different.tolist() == [False, False, True, False, False]


def test_a_frame_without_any_track_inside_a_clip_is_finite():
    model = mini_model("SignXModel")
    inputs = mini_inputs(model.config, [5], "poses")
    mask = torch.ones(1, 5, 3, dtype=torch.bool)
    mask[0, 2] = False
    output = model(pose_values=inputs["pose_values"], pose_mask=mask)
    assert torch.isfinite(output.latents).all()
    assert output.frame_mask.all()  # frames up to the last one with a track are real
    mask[0, 3:] = False
    assert model(pose_values=inputs["pose_values"], pose_mask=mask).frame_mask.tolist() == [[True, True, False, False, False]]  # fmt: skip


def test_track_dropout_hides_tracks_but_never_all_that_a_clip_has():
    fusion = SignXTrackFusion(mini_config(pose_config={"track_dropout": 0.9}))
    present = torch.rand(400, 3, 3, generator=torch.Generator().manual_seed(0)) < 0.4
    present[0] = False
    torch.manual_seed(0)
    kept = fusion._dropped_tracks(present)
    assert not (kept & ~present).any()
    assert torch.equal(kept.any((1, 2)), present.any((1, 2)))
    tracks = kept.any(1).sum(1)[present.any(1).sum(1) == 3].float()
    # three tracks, each kept with 0.1, one always: 1 + P(two of three ...) = 3 * 0.1 + 0.9 ** 3 on average
    assert tracks.mean().item() == pytest.approx(0.3 + 0.9**3, abs=0.06)


def test_track_dropout_acts_in_training_only():
    inputs = mini_inputs(mini_config(), [4, 4], "poses")
    without = {"dropout": 0.0, "track_dropout": 0.9}
    model = mini_model("SignXModel", pose_config=without)
    quiet = model(**inputs)
    assert_equal_outputs(quiet, model(**inputs))
    set_seed(0)
    with pytest.raises(AssertionError, match="differs by"):
        assert_equal_outputs(quiet, model.train()(**inputs))
    # with dropout off too, training and evaluation agree
    model = mini_model("SignXModel", pose_config={"dropout": 0.0})
    quiet = model(**inputs)
    assert_equal_outputs(quiet, model.train()(**inputs), 1e-6)


# ----- errors ----------------------------------------------------------------------------------------------------------

POSES = torch.zeros(2, 4, 16)
VIDEO = torch.zeros(2, 4, 3, 32, 32)
LATENTS = torch.zeros(2, 4, 32)
EMPTY = torch.tensor([[True] * 4, [False] * 4])


@pytest.mark.parametrize(
    ("name", "inputs", "text"),
    [
        ("SignXModel", {}, "pixel_values_videos, pose_values or latents"),
        ("SignXModel", {"pose_values": POSES[..., 1:]}, "`pose_values` must have shape [B, T, 16] (hands 7, body 5, depth 4), got [2, 4, 15]"),
        ("SignXModel", {"pose_values": POSES[0]}, "got [4, 16]"),
        ("SignXModel", {"pose_values": POSES, "pose_mask": EMPTY}, "`pose_mask` must have shape [2, 4, 3], one value per frame and track, got [2, 4]"),
        ("SignXModel", {"pose_values": POSES, "frame_mask": EMPTY[:, 1:]}, "`frame_mask` must have shape [2, 4], one value per frame, got [2, 3]"),
        ("SignXModel", {"pose_values": POSES, "frame_mask": EMPTY}, "clip 1 of the batch"),
        ("SignXModel", {"pose_values": POSES, "pose_mask": EMPTY[..., None].expand(2, 4, 3)}, "clip 1 of the batch"),
        ("SignXModel", {"pixel_values_videos": VIDEO, "frame_mask": EMPTY}, "clip 1 of the batch"),
        ("SignXModel", {"pixel_values_videos": VIDEO.transpose(1, 2)}, "must have shape [B, T, 3, H, W], got [2, 3, 4, 32, 32]"),
        ("SignXModel", {"pixel_values_videos": VIDEO[0]}, "must have shape [B, T, 3, H, W], got [4, 3, 32, 32]"),
        ("SignXModel", {"latents": LATENTS[..., 1:]}, "`latents` must have shape [B, T, 32], got [2, 4, 31]"),
        ("SignXModel", {"latents": LATENTS, "frame_mask": EMPTY}, "clip 1 of the batch"),
        ("SignXModel", {"latents": LATENTS, "frame_mask": EMPTY[:1]}, "`frame_mask` must have shape [2, 4], one value per frame, got [1, 4]"),
        ("SignXForVideo2Pose", {"pose_values": POSES}, "Pass pixel_values_videos"),
        ("SignXForVideo2Pose", {"pixel_values_videos": VIDEO, "target_latents": LATENTS[:, 1:]}, "[2, 4, 32], got [2, 3, 32]"),
        ("SignXForLatentCTC", {"features": LATENTS}, "`features` must have shape [B, T', 26], got [2, 4, 32]"),
        ("SignXForLatentCTC", {"features": LATENTS[..., :26], "feature_mask": EMPTY}, "`feature_mask` must have at least one true frame"),
        ("SignXForLatentCTC", {"latents": LATENTS, "pixel_values_videos": VIDEO[:, 1:]}, "[2, 4], got [2, 3]"),
        ("SignXForLatentCTC", {"latents": LATENTS, "ctc_labels": torch.tensor([[3], [11]])}, "`ctc_labels[1, 0]` must be a gloss id from 0 to 10"),
        ("SignXForLatentCTC", {"latents": LATENTS, "ctc_labels": torch.tensor([[3, 4], [3, -100]])}, "Clip 0 of the batch has 1 feature steps, but its 2 glosses with 0 repeats need 2"),
        ("SignXForGlossRecognition", {"latents": LATENTS, "labels": torch.tensor([[4, 2], [9, 2]])}, "`labels[1]` must start with the task prompt 4 (gloss) or 5 (text), got 9"),
        ("SignXForPose2Gloss", {"latents": LATENTS, "labels": torch.tensor([[1, 2], [4, 2]])}, "`labels[0]` must start with the task prompt"),
    ],
)  # fmt: skip
def test_wrong_inputs_are_refused(name, inputs, text):
    with pytest.raises(ValueError) as caught:
        mini_model(name)(**inputs)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


MISSPELLED = [
    ("SignXModel", "pose_values", "frame_maks", "frame_mask"),
    ("SignXForPose2Gloss", "poses", "label", "labels"),
    ("SignXForVideo2Pose", "video", "target_latent", "target_latents"),
    ("SignXForLatentCTC", "poses", "ctc_label", "ctc_labels"),
    ("SignXForGlossRecognition", "poses", "pose_maks", "pose_mask"),
    ("SignXForSignClassification", "poses", "label", "labels"),
]


@pytest.mark.parametrize(("name", "kind", "wrong", "right"), MISSPELLED)
def test_a_misspelled_keyword_is_refused_with_the_nearest_one(name, kind, wrong, right):
    model = mini_model(name)
    inputs = mini_inputs(model.config, LENGTHS, "video" if kind == "video" else "poses")
    with pytest.raises(TypeError, match=f"{name}.forward.*'{wrong}'.*'{right}'"):
        model(**inputs, **{wrong: torch.ones(3, 2, dtype=torch.long)})


@pytest.mark.parametrize("name", ["SignXForPose2Gloss", "SignXForGlossRecognition"])
def test_a_misspelled_keyword_of_encode_is_refused(name):
    model = mini_model(name)
    inputs = mini_inputs(model.config, LENGTHS, "poses")
    inputs["pose_maks"] = inputs.pop("pose_mask")
    with pytest.raises(TypeError, match=f"{name}.encode.*'pose_maks'.*'pose_mask'"):
        model.encode(**inputs)


def test_keywords_of_transformers_are_accepted():
    """Trainer and PEFT pass such keywords to any model; None says nothing."""
    model = mini_model("SignXForGlossRecognition")
    inputs = mini_inputs(model.config, LENGTHS, "poses")
    output = model(
        **inputs, labels=LABELS, num_items_in_batch=3, return_dict=True, output_attentions=True, attention_mask=None
    )
    assert torch.equal(output.logits, model(**inputs, labels=LABELS).logits)
    assert output.decoder_attentions is not None
    with pytest.raises(TypeError, match="Its arguments are pixel_values_videos, "):
        model(**inputs, zzz=1)


def test_a_model_without_vision_backbone_has_poses_only():
    model = mini_model("SignXModel", vision_config=None)
    assert model.video_encoder is None
    assert model(**mini_inputs(model.config, [3], "poses")).latents.shape == (1, 3, 32)
    with pytest.raises(ValueError, match="vision_config is None.*pose_values"):
        model(pixel_values_videos=VIDEO)
    with pytest.raises(ValueError, match="vision_config is None"):
        SignXForVideo2Pose(mini_config(vision_config=None))


# ----- gradients -------------------------------------------------------------------------------------------------------


def gradients(model) -> set[str]:
    return {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}


def quiet_config(**overrides):
    """Options without any dropout, so that training mode repeats."""
    parts = {
        "pose_config": {"dropout": 0.0},
        "temporal_config": {"dropout": 0.0},
        "recognizer_config": {"dropout": 0.0, "frame_drop_rate": 0.0},
        "text_config": {"dropout": 0.0},
    }
    for part, options in overrides.items():
        parts[part] = {**parts.get(part, {}), **options} if isinstance(options, dict) else options
    return parts


# Parameters that a class owns without using them in the given forward, and why.
WITHOUT_GRADIENT = {
    # latents of poses: the video entry rests
    "SignXForPose2Gloss": ("model.video_encoder.",),
    "SignXForVideo2Pose": ("model.pose_encoder.",),  # the target is a constant
    "SignXForLatentCTC": ("model.video_encoder.",),
    "SignXForGlossRecognition": ("model.video_encoder.",),
    "SignXForSignClassification": ("model.video_encoder.",),
}


@pytest.mark.parametrize("name", WITHOUT_GRADIENT)
def test_every_parameter_gets_a_gradient(name):
    kinds = {"SignXForPose2Gloss": ["poses"], "SignXForSignClassification": ["poses"]}.get(name, ["poses", "video"])
    model = mini_model(name, **quiet_config(), pose_weight=1.0).train()
    inputs = mini_inputs(model.config, LENGTHS, *kinds)
    model(**inputs, **labels_for(name)).loss.backward()
    every = {key for key, _ in model.named_parameters()}
    resting = {key for key in every if key.startswith(WITHOUT_GRADIENT[name])}
    # softmax does not see a constant in all scores: the bias of the keys has no gradient but rounding
    keys = {key for key in every if key.endswith("k_proj.bias")}
    assert every - gradients(model) - keys == resting - keys
    # and from video the other entry learns
    if "video" in ENTRIES[name]:
        model.zero_grad()
        model(**mini_inputs(model.config, LENGTHS, "video"), **labels_for(name), **(
            {"target_latents": torch.randn(3, 8, 32)} if name == "SignXForVideo2Pose" else {}
        )).loss.backward()  # fmt: skip
        resting = {key for key in every if key.startswith("model.pose_encoder.")}
        assert every - gradients(model) - keys == resting - keys


def test_stage_two_trains_the_video_entry_only_and_the_pose_path_stands_still():
    model = mini_model("SignXForVideo2Pose", pose_config={"dropout": 0.5, "track_dropout": 0.5}, pose_weight=1.0)
    inputs = mini_inputs(model.config, LENGTHS, "video", "poses")
    target = model(**inputs).target_latents
    model.freeze_pose_path()
    model.train()
    assert torch.equal(model(**inputs).target_latents, target)  # no dropout in a frozen path
    model(**inputs).loss.backward()
    assert gradients(model) and all(key.startswith("model.video_encoder.") for key in gradients(model))
    before = copy.deepcopy(model.model.state_dict())
    trainable = [p for p in model.parameters() if p.requires_grad]
    torch.optim.SGD(trainable, lr=0.1).step()
    changed = {key for key, value in model.model.state_dict().items() if not torch.equal(value, before[key])}
    assert changed and all(key.startswith("video_encoder.") for key in changed)
    assert model.training and model.model.video_encoder.training and not model.model.latent_encoder.training
    model.eval()
    assert not model.model.video_encoder.training


def test_freezing_is_not_part_of_the_checkpoint(tmp_path):
    model = mini_model("SignXForVideo2Pose")
    model.freeze_pose_path()
    model.save_pretrained(tmp_path)
    again = SignXForVideo2Pose.from_pretrained(tmp_path)
    assert all(p.requires_grad for p in again.parameters())
    again.freeze_pose_path()
    assert not any(p.requires_grad for p in again.model.pose_encoder.parameters())


@pytest.mark.parametrize("name", ["SignXForLatentCTC", "SignXForGlossRecognition"])
def test_stage_three_trains_the_recogniser_and_the_latent_path_stands_still(name):
    resnet = {"model_type": "resnet", "layer_type": "basic", "embedding_size": 6, "hidden_sizes": [6, 10], "depths": [1, 1]}  # fmt: skip
    model = mini_model(name, vision_config=resnet, pose_config={"dropout": 0.5, "track_dropout": 0.5})
    inputs = mini_inputs(model.config, LENGTHS, "video")
    with torch.no_grad():
        latents = model.model(**inputs).latents
    before = copy.deepcopy(model.model.state_dict())
    model.freeze_latent_path()
    model.train()
    output = model(**inputs, **labels_for(name))
    output.loss.backward()
    assert gradients(model) and not any(key.startswith("model.") for key in gradients(model))
    # batch normalization of the backbone would move its statistics in training mode
    for key, value in model.model.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert torch.equal(model.model(**inputs).latents, latents)
    assert model.training and model.recognizer.training


def test_an_unobserved_track_gives_no_gradient_even_where_it_holds_nan():
    model = mini_model("SignXForVideo2Pose", pose_weight=1.0)
    inputs = mini_inputs(model.config, LENGTHS, "video", "poses")
    keep = inputs["pose_mask"].repeat_interleave(torch.tensor(model.config.pose_config.track_sizes), dim=-1)
    model(**inputs).loss.backward()
    quiet = {key: p.grad.clone() for key, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    inputs["pose_values"] = torch.where(keep, inputs["pose_values"], float("nan"))
    model(**inputs).loss.backward()
    for key, gradient in quiet.items():
        assert torch.equal(model.get_parameter(key).grad, gradient), key


@pytest.mark.parametrize("name", ["SignXForPose2Gloss", "SignXForGlossRecognition"])
def test_gradient_checkpointing_changes_neither_loss_nor_gradients(name):
    calls = []
    model = mini_model(name, **quiet_config()).train()
    model.model.latent_encoder.layers[0].self_attn_norm.register_forward_hook(lambda *_: calls.append(True))
    inputs = {**mini_inputs(model.config, LENGTHS, "poses"), **labels_for(name)}
    plain = model(**inputs).loss
    plain.backward()
    expected = {key: p.grad.clone() for key, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    calls.clear()
    enable = getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)
    enable()
    again = model(**inputs).loss
    again.backward()
    assert len(calls) == 2  # forward, and once more on the way back
    assert again.item() == pytest.approx(plain.item(), abs=1e-6)
    for key, gradient in expected.items():
        torch.testing.assert_close(model.get_parameter(key).grad, gradient, atol=1e-6, rtol=1e-4, msg=key)


# ----- decoder ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SignXForPose2Gloss", "SignXForGlossRecognition"])
def test_the_decoder_is_causal(name):
    model = mini_model(name)
    inputs = mini_inputs(model.config, [6], "poses")
    first = model(**inputs, decoder_input_ids=torch.tensor([[1, 4, 8, 9, 10]])).logits
    second = model(**inputs, decoder_input_ids=torch.tensor([[1, 4, 8, 20, 30]])).logits
    assert torch.equal(first[:, :3], second[:, :3])
    assert (first[:, 3:] - second[:, 3:]).abs().amin() > 0


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("name", ["SignXForPose2Gloss", "SignXForGlossRecognition"])
def test_step_by_step_with_a_cache_is_all_at_once(name, implementation):
    model = mini_model(name)
    model.set_attn_implementation(implementation)
    inputs = mini_inputs(model.config, [6, 3], "poses")
    ids = torch.tensor([[1, 4, 8, 9], [1, 5, 7, 7]])
    whole = model(**inputs, decoder_input_ids=ids).logits
    encoded = model.encode(**inputs)
    cache, steps = None, []
    for step in range(ids.shape[1]):
        output = model(
            encoder_outputs=encoded, decoder_input_ids=ids[:, step : step + 1], past_key_values=cache, use_cache=True
        )
        cache = output.past_key_values
        steps.append(output.logits)
    torch.testing.assert_close(torch.cat(steps, 1), whole, atol=1e-5, rtol=0)


def test_the_decoder_reads_labels_one_to_the_right_and_is_not_asked_for_the_prompt():
    model = mini_model("SignXForGlossRecognition")
    inputs = mini_inputs(model.config, LENGTHS, "latents")
    shifted = torch.tensor([[1, 4, 9, 12], [1, 4, 30, 2], [1, 5, 7, 2]])
    output = model(**inputs, labels=LABELS)
    assert torch.equal(model.prepare_decoder_input_ids_from_labels(LABELS), shifted)
    assert torch.equal(output.logits, model(**inputs, decoder_input_ids=shifted).logits)
    targets = LABELS.clone()
    targets[:, 0] = -100
    expected = torch.nn.functional.cross_entropy(output.logits.flatten(0, 1), targets.flatten(), label_smoothing=0.1)
    assert output.losses["text"].item() == pytest.approx(expected.item(), rel=1e-5)


# ----- attention kernels and number types ------------------------------------------------------------------------------


class Spy:
    """Counts who calls the attention that is written out."""

    def __init__(self, monkeypatch):
        self.callers, real = [], layers_signx.eager_attention

        def eager(module, *args, **kwargs):
            self.callers.append(module)
            return real(module, *args, **kwargs)

        monkeypatch.setattr(layers_signx, "eager_attention", eager)


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_eager_and_sdpa_agree_and_switching_reaches_every_layer(name, kind, monkeypatch):
    spy = Spy(monkeypatch)
    model = mini_model(name)
    assert model.config._attn_implementation == "sdpa"
    inputs = mini_inputs(model.config, LENGTHS, kind)
    with torch.no_grad():
        fast = model(**inputs, **labels_for(name))
        assert not spy.callers
        model.set_attn_implementation("eager")
        written_out = model(**inputs, **labels_for(name))
    assert_equal_outputs(fast, written_out, 1e-5)
    modules = {key: m for key, m in model.named_modules() if isinstance(m, layers_signx.SignXAttention)}
    asleep = {"video": ["pose_encoder"], "poses": ["video_encoder"]}.get(kind, ["model."])
    asleep = ["pose_encoder", "video_encoder", "latent_encoder"] if asleep == ["model."] else asleep
    expected = {key for key in modules if not any(part in key for part in asleep)}
    assert {key for key, module in modules.items() if module in spy.callers} == expected
    model.set_attn_implementation("sdpa")
    spy.callers.clear()
    model(**inputs)
    assert not spy.callers


@pytest.mark.parametrize("name", ["SignXForLatentCTC", "SignXForGlossRecognition"])
def test_a_kernel_named_when_loading_or_building_is_no_matter_of_the_resnet(name, tmp_path):
    model = mini_model(name)
    model.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path, attn_implementation="sdpa")
    built = type(model)(mini_config(attn_implementation="sdpa"))
    for again in (loaded, built):
        assert again.config._attn_implementation == again.config.text_config._attn_implementation == "sdpa"
        assert again.config.vision_config._attn_implementation == "sdpa"
    inputs = mini_inputs(model.config, LENGTHS, "video")
    assert_equal_outputs(model(**inputs), loaded(**inputs))


def test_an_unknown_kernel_is_refused():
    with pytest.raises(ValueError, match="only possible arguments are"):
        mini_model("SignXForLatentCTC").set_attn_implementation("fast_attention")


def test_eager_can_be_chosen_when_loading(tmp_path, monkeypatch):
    mini_model("SignXForGlossRecognition").save_pretrained(tmp_path)
    spy = Spy(monkeypatch)
    model = SignXForGlossRecognition.from_pretrained(tmp_path, attn_implementation="eager")
    model(**mini_inputs(model.config, LENGTHS, "poses"))
    assert model.model.pose_encoder.attention in spy.callers
    assert model.decoder.layers[1].cross_attn in spy.callers
    assert model.encoder.layers[0].self_attn in spy.callers


def test_eager_gives_the_attention_weights():
    model = mini_model("SignXForGlossRecognition")
    model.set_attn_implementation("eager")
    inputs = mini_inputs(model.config, [8, 3], "latents")
    output = model(**inputs, labels=LABELS[:2], output_attentions=True, output_hidden_states=True)
    assert [tuple(a.shape) for a in output.cross_attentions] == [(2, 4, 4, 2)] * 2
    assert [tuple(a.shape) for a in output.decoder_attentions] == [(2, 4, 4, 4)] * 2
    assert [tuple(a.shape) for a in output.encoder_attentions] == [(2, 4, 2, 2)] * 2
    for weights in (*output.cross_attentions, *output.decoder_attentions):
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
    assert not output.cross_attentions[0][1, :, :, 1].any()  # the second clip has one step
    assert not output.decoder_attentions[0].triu(1).any()


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_bfloat16_runs_and_stays_close(name, kind, tmp_path):
    model = mini_model(name, pose_weight=1.0)
    model.save_pretrained(tmp_path)
    half = type(model).from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert half.dtype == torch.bfloat16
    inputs = mini_inputs(model.config, LENGTHS, *({"video", "poses"} if name == "SignXForVideo2Pose" else {kind}))
    inputs |= labels_for(name)
    expected, found = model(**inputs), half(**inputs)
    for key, value in results(found).items():
        reference = results(expected)[key]
        assert torch.isfinite(value).all()
        assert (value - reference).norm() <= 0.08 * reference.norm(), key
    if expected.get("loss") is not None:
        assert found.loss.item() == pytest.approx(expected.loss.item(), rel=0.1)
        half.train()(**inputs).loss.backward()
        assert all(torch.isfinite(p.grad).all() for p in half.parameters() if p.grad is not None)


def test_all_names_of_the_package_can_be_had():
    for name in signx_hf.modeling.EXPORTS:
        assert inspect.isclass(getattr(signx_hf, name)), name
    assert SignXConfig().model_type == "signx"
