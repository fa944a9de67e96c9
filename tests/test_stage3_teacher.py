"""Stage 3 with an RGB branch: the losses of either branch, the teacher, and latents alone against the mixture."""

import json

import numpy as np
import pytest
import torch
from conftest import CTC_LABELS, mini_inputs, mini_model
from training_runs import SMALL, log_of, make_corpus, options, run

from signx_hf import SignXConfig, SignXForLatentCTC, SignXRecognizerConfig
from signx_hf.metrics import wer
from signx_hf.modeling.losses_signx import ctc_loss, distillation_loss
from signx_hf.training.objective import apply_loss_weights, unit_of, weight_of

# the losses -------------------------------------------------------------------------------------------------------------


def with_branches(**recognizer):
    """A model in training whose dropout shows, its inputs, and the two branches of that step."""
    model = mini_model("SignXForLatentCTC", recognizer_config={"dropout": 0.4, "kd_temperature": 2.0, **recognizer})
    with torch.no_grad():
        model.recognizer.classifier.weight.mul_(10)  # far apart, so that the direction of the divergence shows
    return model.train(), mini_inputs(model.config, [16, 9], "latents", "video")


def passes(model, inputs):
    """Logits of the mixture, of latents alone, of RGB alone with dropout, of the teacher; drawn as in forward."""
    torch.manual_seed(5)
    _, latents, frames, lengths = model._branches(
        inputs["pixel_values_videos"], inputs["frame_mask"], None, None, inputs["latents"]
    )
    sequence = model.recognizer.encode_sequence
    mixed = sequence(model.recognizer.mix(latents, frames), lengths)
    student, rgb = sequence(latents, lengths)[2], sequence(frames, lengths)[2]
    model.eval()
    teacher = sequence(frames, lengths)[2]
    model.train()
    return mixed, student, rgb, teacher


def test_every_part_is_what_its_branch_gives():
    model, inputs = with_branches()
    (_, mask, mixed, aux), student, rgb, teacher = passes(model, inputs)
    torch.manual_seed(5)
    losses = model(**inputs, ctc_labels=CTC_LABELS[:2]).losses
    expected = {name: ctc_loss(logits, CTC_LABELS[:2], mask) for name, logits in
                (("ctc", mixed), ("aux_ctc", aux), ("student_ctc", student), ("teacher_ctc", rgb))}  # fmt: skip
    expected["kd"] = distillation_loss(student, teacher, mask, 2.0)
    assert {name: value.item() for name, value in losses.items()} == pytest.approx(
        {name: value.item() for name, value in expected.items()}, rel=1e-5
    )
    assert losses["kd"].item() != pytest.approx(distillation_loss(student, rgb, mask, 2.0).item(), rel=1e-3)


def test_the_teacher_has_no_dropout_and_leaves_the_modes_alone():
    model, inputs = with_branches()
    recognizer, mask = model.recognizer, inputs["frame_mask"]
    recognizer.temporal_conv.norms[0].eval()  # a mode of its own
    modes = [module.training for module in model.modules()]
    frames = recognizer.encode_frames(inputs["pixel_values_videos"], mask)
    lengths = mask.sum(1)
    first, second = recognizer.teach(frames, lengths), recognizer.teach(frames, lengths)
    assert torch.equal(first, second) and not first.requires_grad
    assert [module.training for module in model.modules()] == modes
    assert not torch.equal(*(recognizer.encode_sequence(frames, lengths)[2] for _ in range(2)))  # dropout is on
    assert torch.equal(model.eval().recognizer.encode_sequence(frames, lengths)[2], first)


def test_the_ctc_of_the_teacher_trains_the_rgb_branch_alone():
    weights = {"ctc_weight": 0.0, "aux_ctc_weight": 0.0, "kd_weight": 0.0, "teacher_ctc_weight": 0.5}
    model, inputs = with_branches(**weights)
    output = model(**inputs, ctc_labels=CTC_LABELS[:2])
    assert set(output.losses) == {"teacher_ctc"}
    assert output.loss.item() == pytest.approx(0.5 * output.losses["teacher_ctc"].item())
    output.loss.backward()
    for name, parameter in model.recognizer.named_parameters():
        moved = parameter.grad is not None and parameter.grad.abs().sum() > 0
        assert moved == name.startswith(("frame_", "temporal_conv", "lstm", "classifier")), name


EVERY = {"ctc", "aux_ctc", "student_ctc", "teacher_ctc", "kd"}
CASES = [
    ({}, EVERY),
    ({"kd_weight": 0.0}, EVERY - {"kd", "teacher_ctc"}),  # what inference uses is trained all the same
    ({"kd_weight": 0.0, "teacher_ctc_weight": 0.1}, EVERY - {"kd"}),
    ({"teacher_ctc_weight": 0.0}, EVERY - {"teacher_ctc"}),
    ({"student_ctc_weight": 0.0}, EVERY - {"student_ctc"}),
    ({"kd_weight": 0.0, "student_ctc_weight": 0.0}, {"ctc", "aux_ctc"}),
    ({"ctc_weight": 0.0}, {"aux_ctc", "kd"}),
]


@pytest.mark.parametrize(("weights", "parts"), CASES, ids=[",".join(weights) or "default" for weights, _ in CASES])
def test_parts_by_their_weights(weights, parts):
    model, inputs = with_branches(**weights)
    output = model(**inputs, ctc_labels=CTC_LABELS[:2])
    assert set(output.losses) == parts
    total = sum(weight_of(model.config, name) * value.item() for name, value in output.losses.items())
    assert output.loss.item() == pytest.approx(total, rel=1e-5)


def test_without_video_nothing_changed():
    model, inputs = with_branches()
    del inputs["pixel_values_videos"]
    assert set(model(**inputs, ctc_labels=CTC_LABELS[:2]).losses) == {"ctc", "aux_ctc"}


@pytest.mark.parametrize("name", ["student_ctc", "teacher_ctc"])
def test_a_branch_has_the_weight_of_ctc_unless_it_has_its_own(name):
    config = SignXConfig(recognizer_config={"ctc_weight": 0.7})
    assert weight_of(config, name) == 0.7 and unit_of(name) == "glossed"
    apply_loss_weights(config, {name: 0.3})
    assert weight_of(config, name) == 0.3 and weight_of(config, "ctc") == 0.7
    with pytest.raises(ValueError, match=f"{name}_weight` must be a number from 0"):
        SignXRecognizerConfig(**{f"{name}_weight": -1.0})


def test_a_config_from_before_the_weights_existed_loads(tmp_path):
    model, inputs = with_branches()
    model.eval().save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    saved = json.loads(path.read_text())
    for name in ("student_ctc_weight", "teacher_ctc_weight"):
        assert saved["recognizer_config"].pop(name) is None
    path.write_text(json.dumps(saved))
    again = SignXForLatentCTC.from_pretrained(tmp_path)
    assert torch.equal(again(**inputs).logits, model(**inputs).logits)
    assert set(again(**inputs, ctc_labels=CTC_LABELS[:2]).losses) == EVERY


# latents alone against the mixture ----------------------------------------------------------------------------------------


THIN = {"model_type": "resnet", "layer_type": "basic", "embedding_size": 6, "hidden_sizes": [10], "depths": [1]}


def learned(**weights):
    """WER, in per cent, of the mixture and of latents alone, after 120 steps on clips whose latents and frames both show the
    glosses."""
    options = {"frame_drop_rate": 0.0, "pool_sizes": [2], "num_lstm_layers": 1, **weights}
    model = mini_model(
        "SignXForLatentCTC", recognizer_config=options, image_size=8, vision_config=None, frame_branch=THIN
    )
    with torch.no_grad():
        model.recognizer.frame_projection.bias.fill_(8.0)  # the mixture gets used to it, and without frames it is gone
    random = np.random.default_rng(0)
    patterns = torch.from_numpy(random.normal(size=(6, 32))).float()
    pictures = torch.from_numpy(random.normal(size=(6, 3, 8, 8))).float()

    def batch(size):
        labels = torch.from_numpy(random.integers(1, 5, size=(size, 2)))
        shown = torch.zeros(size, 16, dtype=torch.long)
        for start, gloss in zip((2, 9), labels.T):
            shown[:, start : start + 5] = gloss[:, None]
        noise = torch.from_numpy(random.normal(size=(size, 16, 32))).float()
        return {"latents": patterns[shown] + 0.3 * noise, "pixel_values_videos": pictures[shown]}, labels

    torch.manual_seed(0)
    optimizer = torch.optim.Adam(model.train().parameters(), lr=1e-2)
    for _ in range(120):
        inputs, labels = batch(8)
        optimizer.zero_grad()
        model(**inputs, ctc_labels=labels).loss.backward()
        optimizer.step()
    model.eval()
    inputs, labels = batch(40)
    references = [[str(gloss) for gloss in row] for row in labels.tolist()]
    rates = []
    for given in (inputs, {"latents": inputs["latents"]}):
        with torch.no_grad():
            output = model(**given)
        decoded = model.decode_ctc(output.logits, output.feature_mask)
        rates.append(100 * wer([[str(gloss) for gloss in items[0].ids] for items in decoded], references).rate)
    return rates


@pytest.mark.parametrize("kd", [1.0, 0.0])
def test_latents_alone_reach_the_wer_of_the_mixture(kd):
    mixture, latents = learned(kd_weight=kd)
    assert mixture <= 5 and latents <= mixture + 2


def test_without_its_own_ctc_the_path_of_latents_is_not_learned():
    mixture, latents = learned(kd_weight=0.0, student_ctc_weight=0.0)
    assert mixture <= 5 and latents >= 20


# a run --------------------------------------------------------------------------------------------------------------------


def test_a_run_logs_every_part_and_schedules_the_distillation(tmp_path):
    (tmp_path / "videos").mkdir()
    corpus = make_corpus(tmp_path / "data", clips=6, videos=tmp_path / "videos")
    config = {**SMALL, "image_size": 32, "vision_config": None, "frame_branch": THIN}
    given = options(
        corpus, tmp_path / "run", model_config=config, fps=30.0, cache_dir=str(tmp_path / "cache"), max_steps=2,
        loss_schedules={"kd": [0.0, 1.0]},
    )  # fmt: skip
    run("latent_ctc", given)
    assert {name for name in EVERY if f"train/{name}," in log_of(tmp_path / "run")} == EVERY
    assert "dev/wer_latent" in log_of(tmp_path / "run")
    assert SignXForLatentCTC.from_pretrained(tmp_path / "run" / "model").config.recognizer_config.kd_weight == 1
