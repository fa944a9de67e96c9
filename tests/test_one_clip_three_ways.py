"""Clips with glosses, with text and with both in one batch: each loss sees what it may, as losses clip by clip say."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import mini_model
from datasets import load_from_disk
from training_runs import SIGNS, SMALL, make_corpus, options, started

from signx_hf.modeling.losses_signx import contrastive_loss, masked_mean
from signx_hf.training.objective import losses_of

SAID = dict(zip(SIGNS, ("Ich bin hier", "ärgere mich", "sehr müde", "die Größe")))
KINDS = ("text", "glosses", "both")  # of clip n: KINDS[n % 3]
WITH_ALIGNMENT = {**SMALL, "recognizer_config": {**SMALL["recognizer_config"], "alignment_weight": 0.5}}
CTC = ("ctc", "aux_ctc", "encoder_ctc")
INPUTS = ("pose_values", "pose_mask", "frame_mask", "features", "feature_mask", "latents")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("three")
    rows = load_from_disk(str(make_corpus(folder / "glosses", clips=9)))

    def of_kind(row, index):
        kind, text = KINDS[index % 3], " ".join(SAID[gloss] for gloss in row["glosses"])
        bare = {"glosses": [], "segments": []} if kind == "text" else {}
        return {**bare, "text": None if kind == "glosses" else text}

    rows.map(of_kind, with_indices=True).save_to_disk(str(folder / "data"))
    return folder / "data"


@pytest.fixture(scope="module", params=["refine", "refine from features", "pose2gloss"])
def stage(request, corpus, tmp_path_factory):
    """A stage that decodes, set up for both tasks and without dropout, and what it feeds the model with."""
    name = request.param.split()[0]
    given = options(
        corpus, tmp_path_factory.mktemp("run"), target="both", dev_split="train", model_config=WITH_ALIGNMENT
    )
    if name == "pose2gloss":
        given.pop("start")
    stage = started(name, given)
    stage.model.eval()
    stage.from_features = "features" in request.param
    return stage


def batch_of(stage, indices, seed=0):
    """The batch of the training clips, with a draw of its own for each."""
    examples = [stage.train_examples[index] for index in indices]
    batch = stage.collate(examples, [np.random.default_rng([seed, index]) for index in indices])
    if stage.from_features:  # as from the cache of stage 4
        with torch.no_grad():
            given = {name: batch.pop(name) for name in INPUTS if name in batch}
            output = stage.model.get_features(**given)
        batch.pop("gloss_alignment", None)
        batch |= {"features": output.features, "feature_mask": output.feature_mask}
    return batch


def alone(batch, row):
    """One clip of a batch without the padding that the others need."""
    one = {name: value[row : row + 1] for name, value in batch.items()}
    for name in ("labels", "ctc_labels"):
        if name in one:
            one[name] = one[name][:, : max(1, int((one[name] != -100).sum()))]
    mask = one["feature_mask"] if "feature_mask" in one else one["frame_mask"]
    for name in INPUTS:
        if name in one:
            one[name] = one[name][:, : int(mask.sum())]
    if "gloss_alignment" in one:
        one["gloss_alignment"] = one["gloss_alignment"][:, : -(-int(mask.sum()) // 4)]
    return one


def weights_of(part, batch):
    """What each clip of a batch counts in the mean of a part of the loss, from the batch alone."""
    if part == "text":
        return (batch["labels"][:, 1:] != -100).sum(1).double()
    if part == "alignment":
        return (batch["gloss_alignment"] != -100).sum(1).double()
    if part in CTC:
        return (batch["ctc_labels"] != -100).any(1).double()
    return torch.ones(len(batch["labels"])).double()


def test_parts_are_those_of_the_clips_that_have_what_they_need(stage):
    batch = batch_of(stage, range(9))
    prompts = batch["labels"][:, 0].tolist()
    assert len(set(prompts)) == 2  # both tasks in one batch
    together = losses_of(stage.model(**batch))
    parts = {name: [] for name in together if name != "contrast"}
    for row in range(9):
        one = losses_of(stage.model(**alone(batch, row)))
        for name, values in parts.items():
            values.append(float(one[name]))
    for name, values in parts.items():
        weights = weights_of(name, batch)
        expected = float((weights * torch.tensor(values).double()).sum() / weights.sum())
        assert float(together[name]) == pytest.approx(expected, rel=2e-4), name
    if any(name in together for name in CTC):
        glossed = [index for index in range(9) if KINDS[index % 3] != "text"]
        assert (weights_of("encoder_ctc", batch) > 0).nonzero().flatten().tolist() == glossed
        for name in CTC:
            assert all(parts[name][index] == 0 for index in range(0, 9, 3) if name in parts)
    if "gloss_alignment" in batch:
        assert not (batch["gloss_alignment"][::3] != -100).any() and (batch["gloss_alignment"][1::3] != -100).any()
    expected = {"refine": {"text", *CTC, "alignment"}, "pose2gloss": {"text", "word", "ngram", "contrast"}}[stage.name]
    assert set(together) == (expected if not stage.from_features else {"text", "encoder_ctc"})


def test_contrast_compares_each_clip_with_the_sentence_it_was_given(stage):
    if stage.name != "pose2gloss":
        pytest.skip("a loss of stage 1")
    batch, model = batch_of(stage, range(9)), stage.model
    with torch.no_grad():
        poses, texts = [], []
        for row in range(9):
            one = alone(batch, row)
            encoded = model.encode(**{name: one[name] for name in INPUTS if name in one})
            poses.append(model.contrast_projection(masked_mean(encoded.latents, encoded.feature_mask)))
            texts.append(model.decoder.embed_tokens.weight[one["labels"][0, 1:]].mean(0, keepdim=True))
        expected = contrastive_loss(torch.cat(poses), torch.cat(texts), model.config.contrast_temperature)
        torch.testing.assert_close(model(**batch).losses["contrast"], expected, rtol=1e-4, atol=1e-5)


def test_heads_of_glosses_learn_nothing_from_clips_without_glosses(stage):
    if stage.name == "pose2gloss":
        pytest.skip("it has no CTC")
    model = stage.model
    heads = {
        "ctc": model.recognizer.classifier,
        "aux_ctc": model.recognizer.aux_classifier,
        "encoder_ctc": model.ctc_head,
    }
    model.zero_grad()
    model(**batch_of(stage, (0, 3, 6))).loss.backward()
    for name, head in heads.items():
        assert head.weight.grad is None or not head.weight.grad.any(), name
    assert model.decoder.embed_tokens.weight.grad.any() and model.encoder.layers[0].self_attn.q_proj.weight.grad.any()
    # and in a mixed batch what the glossed clips alone would have taught them
    mixed, glossed = batch_of(stage, range(9)), batch_of(stage, [1, 2, 4, 5, 7, 8])
    for name, head in heads.items():
        grads = []
        for batch in (mixed, glossed):
            part = losses_of(model(**batch)).get(name)
            if part is None:
                continue
            grads.append(torch.autograd.grad(part, head.weight)[0])
        if grads:
            torch.testing.assert_close(*grads, rtol=1e-3, atol=1e-6)
    model.zero_grad()


def test_the_other_target_of_a_clip_changes_nothing_that_is_decoded(stage):
    """Of a clip with both, the one that was not drawn does not matter, but for the glosses of CTC."""
    before = batch_of(stage, range(9))
    originals = list(stage.train_examples)
    prompt = stage.processor.tokenizer.convert_tokens_to_ids("<text>")
    try:
        for index in range(2, 9, 3):
            example = originals[index]
            drawn_text = int(before["labels"][index, 0]) == prompt
            changed = {"glosses": example.glosses[::-1] + ["WORK"]} if drawn_text else {"text": "etwas ganz anderes"}
            stage.train_examples[index] = replace(example, **changed)
        after = batch_of(stage, range(9))
    finally:
        stage.train_examples[:] = originals
    assert torch.equal(before["labels"], after["labels"])
    drawn = [int(before["labels"][index, 0]) == prompt for index in (2, 5, 8)]
    assert True in drawn and False in drawn
    if "ctc_labels" in before:
        for index, is_text in zip((2, 5, 8), drawn):
            rows = [[v for v in batch["ctc_labels"][index].tolist() if v != -100] for batch in (before, after)]
            assert (rows[0] != rows[1]) == is_text


@pytest.mark.parametrize("target", ["text", "glosses"])
def test_one_task_takes_the_clips_that_have_it(target, corpus, tmp_path):
    """Clips with both train either task; a clip without what is decoded is refused by name, not skipped."""
    rows = load_from_disk(str(corpus))
    rows.select([n for n in range(9) if KINDS[n % 3] in (target, "both")]).save_to_disk(str(tmp_path / "some"))
    stage = started("refine", options(tmp_path / "some", tmp_path / "run", target=target, dev_split="train"))
    stage.model.eval()
    stage.from_features = False
    batch = batch_of(stage, range(6))
    prompt = stage.processor.tokenizer.convert_tokens_to_ids("<text>" if target == "text" else "<gloss>")
    assert set(batch["labels"][:, 0].tolist()) == {prompt}
    # the glosses of a clip whose text is decoded still train CTC
    assert (batch["ctc_labels"] != -100).any(1).tolist() == [bool(example.glosses) for example in stage.train_examples]


def test_distillation_sees_every_clip_and_ctc_the_glossed_ones():
    torch.manual_seed(0)
    model = mini_model("SignXForLatentCTC")
    videos = torch.rand(3, 12, 3, 32, 32)
    size = model.config.image_size
    videos = torch.nn.functional.interpolate(videos.flatten(0, 1), size=(size, size)).view(3, 12, 3, size, size)
    labels = torch.tensor([[1, 2], [-100, -100], [3, -100]])
    batch = {"pixel_values_videos": videos, "ctc_labels": labels}
    with torch.no_grad():
        together = model(**batch).losses
        single = [model(**{name: value[row : row + 1] for name, value in batch.items()}).losses for row in range(3)]
    assert float(together["kd"]) == pytest.approx(np.mean([float(one["kd"]) for one in single]), rel=1e-3)
    for name in ("ctc", "aux_ctc", "student_ctc"):
        assert float(together[name]) == pytest.approx(np.mean([float(single[row][name]) for row in (0, 2)]), rel=1e-3)
        assert float(single[1][name]) == 0
