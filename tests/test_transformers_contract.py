"""What generic code of transformers expects of a model beyond its common tests: Trainer, offloading, encoders, embeddings."""

import numpy as np
import pytest
import torch
from accelerate import cpu_offload, disk_offload
from conftest import CTC_LABELS, LENGTHS, labels_for, mini_config, mini_inputs, mini_model
from transformers import Trainer, TrainingArguments
from transformers.modeling_outputs import BaseModelOutput

import signx_hf
from signx_hf.modeling.labels_signx import check_ctc_labels, check_piece_labels, check_sign_labels
from signx_hf.modeling.losses_signx import drop_frames
from signx_hf.modeling.outputs_signx import CACHE_NAME

GENERATING = ["SignXForPose2Gloss", "SignXForGlossRecognition"]
ENCODING = ["SignXModel", "SignXForLatentCTC", "SignXForSignClassification", "SignXForPose2Gloss"]


def rows_of(model, kind="poses"):
    """One padded batch as rows, which `collate` puts together again."""
    batch = {**mini_inputs(model.config, LENGTHS, kind), **labels_for(type(model).__name__)}
    return [{name: value[row] for name, value in batch.items()} for row in range(len(LENGTHS))]


def collate(rows):
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def trainer(model, tmp_path, rows=None, **options):
    special = {
        name: options.pop(name)
        for name in ("compute_loss_func", "compute_metrics", "processing_class")
        if name in options
    }
    arguments = TrainingArguments(
        str(tmp_path), max_steps=1, per_device_train_batch_size=3, per_device_eval_batch_size=3, use_cpu=True,
        remove_unused_columns=False, report_to=[], disable_tqdm=True, save_strategy="no", **options,
    )  # fmt: skip
    rows = rows_of(model) if rows is None else rows
    return Trainer(model, arguments, train_dataset=rows, eval_dataset=rows, data_collator=collate, **special)


# ----- Trainer ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GENERATING)
@pytest.mark.parametrize(
    "options",
    [{"label_smoothing_factor": 0.1}, {"compute_loss_func": lambda outputs, labels, **_: outputs.logits.sum()}],
)
def test_a_trainer_that_drops_parts_of_the_loss_is_refused(name, options, tmp_path):
    with pytest.raises(ValueError, match="label_smoothing_factor.*compute_loss_func") as caught:
        trainer(mini_model(name), tmp_path, **options).train()
    assert "\n" not in str(caught.value)


def test_labels_that_the_loss_does_not_weigh_may_be_missing():
    model = mini_model("SignXForGlossRecognition", text_weight=0.0).train()
    output = model(**mini_inputs(model.config, LENGTHS, "poses"), ctc_labels=CTC_LABELS)
    assert set(output.losses) == {"ctc", "aux_ctc", "encoder_ctc"}


def test_inputs_of_poses_reach_the_metrics(tmp_path):
    model = mini_model("SignXForSignClassification")  # it has a video encoder, too
    seen = []

    def metrics(prediction):
        seen.append(prediction.inputs)
        return {}

    rows = rows_of(model)
    trainer(model, tmp_path, rows, include_for_metrics=["inputs"], compute_metrics=metrics).evaluate()
    np.testing.assert_array_equal(seen[0], collate(rows)["pose_values"])


def test_trainer_groups_clips_of_poses_by_length(tmp_path):
    model = mini_model("SignXForSignClassification")
    processor = signx_hf.SignXProcessor.from_config(model.config)
    lengths = [3, 9, 4, 8, 5, 7]
    rows = [{name: value[0] for name, value in mini_inputs(model.config, [n], "poses").items()} for n in lengths]
    sampler = trainer(
        model, tmp_path, rows, train_sampling_strategy="group_by_length", processing_class=processor
    )._get_train_sampler()
    assert sampler.lengths == lengths


def test_frames_are_dropped_in_a_compiled_function_at_any_length():
    torch.compiler.reset()
    compiled = torch.compile(lambda mask: drop_frames(mask, 0.5), backend="eager", dynamic=True)
    for length in (8, 12, 20):
        mask = torch.ones(2, length, dtype=torch.bool)
        torch.manual_seed(length)
        expected = drop_frames(mask, 0.5)
        torch.manual_seed(length)
        assert torch.equal(compiled(mask), expected)
    torch.compiler.reset()


def test_a_compiled_model_trains_on_batches_of_several_lengths():
    model = mini_model("SignXForLatentCTC", vision_config=None, frame_branch=None).train()
    torch.compiler.reset()
    compiled = torch.compile(model, backend="eager")
    for lengths in ([8, 5, 6], [12, 5, 6]):
        batch = {**mini_inputs(model.config, lengths, "poses"), "ctc_labels": CTC_LABELS}
        compiled(**batch).loss.backward()
    torch.compiler.reset()


# ----- offloaded weights -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GENERATING)
@pytest.mark.parametrize("place", ["cpu", "disk"])
def test_a_model_with_offloaded_weights_says_the_same(name, place, tmp_path):
    model = mini_model(name)
    inputs = mini_inputs(model.config, LENGTHS, "video")
    with torch.no_grad():
        logits, pieces = model(**inputs).logits, model.generate(**inputs, max_new_tokens=4)
        if place == "cpu":
            cpu_offload(model, execution_device=torch.device("cpu"))
        else:
            disk_offload(model, str(tmp_path), execution_device=torch.device("cpu"))
        assert model.device.type == "meta"
        assert torch.equal(model(**inputs).logits, logits)
        assert torch.equal(model.generate(**inputs, max_new_tokens=4), pieces)


# ----- encoders and positional inputs ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GENERATING)
def test_encoder_outputs_are_taken_in_the_forms_of_the_library(name):
    model = mini_model(name)
    inputs = mini_inputs(model.config, LENGTHS, "poses")
    with torch.no_grad():
        expected, pieces = model(**inputs).logits, model.generate(**inputs, max_new_tokens=4)
        encoded = model.get_encoder()(**inputs)
        mask_name = "feature_mask" if name == "SignXForGlossRecognition" else "frame_mask"
        mask = {mask_name: encoded.feature_mask}
        forms = [
            ({}, encoded),
            ({}, encoded.to_tuple()),
            ({}, (encoded.last_hidden_state, encoded.feature_mask)),
            (mask, (encoded.last_hidden_state,)),
            (mask, BaseModelOutput(encoded.last_hidden_state)),
        ]
        for more, form in forms:
            assert torch.equal(model(encoder_outputs=form, **more).logits, expected)
            assert torch.equal(model.generate(encoder_outputs=form, **more, max_new_tokens=4), pieces)
    with pytest.raises(TypeError, match="encoder_outputs.*got a dict"):
        model(encoder_outputs={"states": encoded.last_hidden_state})


def test_a_tuple_of_encoder_outputs_keeps_what_joint_scoring_needs():
    model = mini_model(
        "SignXForGlossRecognition", text_config={"gloss_pieces": [[], *([[n + 10] for n in range(10)])]}
    )
    encoded = model.encode(**mini_inputs(model.config, LENGTHS, "poses"))
    options = {"ctc_weight": 0.5, "max_new_tokens": 4, "num_beams": 2}
    expected = model.generate(encoder_outputs=encoded, **options)
    assert torch.equal(model.generate(encoder_outputs=encoded.to_tuple(), **options), expected)


@pytest.mark.parametrize("name", GENERATING)
def test_freezing_the_encoder_freezes_all_before_the_decoder(name):
    model = mini_model(name)
    model.get_encoder().requires_grad_(False)
    trained = {key.split(".")[0] for key, value in model.named_parameters() if value.requires_grad}
    assert trained == {"decoder", "codebook_projection", "lm_head"} - {"lm_head"} | (
        {"ctc_head"} if name == "SignXForGlossRecognition" else {"contrast_projection"}
    )
    assert not any("_owner" in key for key in model.state_dict())


def test_the_positional_input_of_generate_is_what_it_looks_like():
    model = mini_model("SignXForGlossRecognition")
    poses = mini_inputs(model.config, [8], "poses")["pose_values"]
    video = mini_inputs(model.config, [8], "video")["pixel_values_videos"]
    assert torch.equal(model.generate(poses, max_new_tokens=4), model.generate(pose_values=poses, max_new_tokens=4))
    assert torch.equal(
        model.generate(video, max_new_tokens=4), model.generate(pixel_values_videos=video, max_new_tokens=4)
    )
    assert signx_hf.SignXForGlossRecognition(mini_config()).main_input_name == "pixel_values_videos"
    for options in ({"vision_config": None}, {"trained_entries": ["poses"]}):
        assert signx_hf.SignXForGlossRecognition(mini_config(**options)).main_input_name == "pose_values"


# ----- outputs and inputs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*ENCODING, "SignXForVideo2Pose"])
@pytest.mark.parametrize("way", ["keyword", "config"])
def test_hidden_states_and_attentions_are_those_of_the_layers_over_time(name, way):
    model = mini_model(name, pose_config={"num_hidden_layers": 2})
    model.set_attn_implementation("eager")
    inputs = mini_inputs(model.config, LENGTHS, "video" if name == "SignXForVideo2Pose" else "poses")
    flags = {"output_hidden_states": True, "output_attentions": True}
    if way == "config":
        model.config.output_hidden_states = model.config.output_attentions = True
    output = model(**inputs, **(flags if way == "keyword" else {}))
    prefix = "encoder_" if name == "SignXForPose2Gloss" else ""
    states, attentions = output[f"{prefix}hidden_states"], output[f"{prefix}attentions"]
    assert [tuple(state.shape) for state in states] == [(3, 8, 32)] * 3
    assert [tuple(weights.shape) for weights in attentions] == [(3, 2, 8, 8)] * 2
    torch.testing.assert_close(attentions[0].sum(-1), torch.ones(3, 2, 8))
    latents = output.last_hidden_state if name == "SignXModel" else output.get("latents")
    if latents is not None:  # the last state is what the layers give, here after the normalization
        assert torch.equal(states[-1], latents)
    assert not any("hidden_states" in key for key in model(**inputs, output_hidden_states=False))


def test_attentions_of_a_kernel_without_weights_are_told():
    model = mini_model("SignXForLatentCTC")
    with pytest.warns(UserWarning, match="output_attentions.*'sdpa'.*eager"):
        model(**mini_inputs(model.config, LENGTHS, "poses"), output_attentions=True)


@pytest.mark.parametrize("keyword", ["position_ids", "is_causal", "cu_seq_lens_q", "seq_idx", "decoder_inputs_embeds"])
def test_keywords_that_no_layer_reads_are_refused(keyword):
    model = mini_model("SignXForGlossRecognition")
    with pytest.raises(TypeError, match=keyword):
        model(**mini_inputs(model.config, LENGTHS, "poses"), **{keyword: torch.zeros(3, 8)})


def test_a_masked_piece_of_the_decoder_has_no_influence():
    model = mini_model("SignXForGlossRecognition")
    inputs = mini_inputs(model.config, LENGTHS, "poses")
    pieces = torch.tensor([[1, 4, 9, 12]]).expand(3, -1)
    other = torch.tensor([[1, 4, 20, 12]]).expand(3, -1)
    mask = torch.tensor([[1, 1, 0, 1]]).expand(3, -1)
    first, second = (model(**inputs, decoder_input_ids=p, decoder_attention_mask=mask).logits for p in (pieces, other))
    assert torch.equal(first[:, 3], second[:, 3])
    assert not torch.equal(first[:, 3], model(**inputs, decoder_input_ids=pieces).logits[:, 3])
    everything = model(**inputs, decoder_input_ids=pieces, decoder_attention_mask=torch.ones(3, 4)).logits
    torch.testing.assert_close(everything, model(**inputs, decoder_input_ids=pieces).logits)


@pytest.mark.parametrize("name", GENERATING)
def test_generation_goes_on_from_a_cache_as_if_it_had_not_stopped(name):
    model = mini_model(name)
    inputs = mini_inputs(model.config, LENGTHS, "poses")
    options = {"eos_token_id": -1, "return_dict_in_generate": True, "output_scores": True}
    whole = model.generate(**inputs, **options, max_new_tokens=4)
    first = model.generate(**inputs, **options, max_new_tokens=3)
    more = {"decoder_input_ids": first.sequences, "decoder_attention_mask": torch.ones_like(first.sequences)}
    more[CACHE_NAME] = first[CACHE_NAME]
    rest = model.generate(**inputs, **options, **more, max_new_tokens=1)
    assert torch.equal(rest.sequences, whole.sequences)
    torch.testing.assert_close(rest.scores[0], whole.scores[3])


def test_an_assistant_is_refused():
    model = mini_model("SignXForGlossRecognition")
    with pytest.raises(ValueError, match="assistant_model.*must be None"):
        model.generate(**mini_inputs(model.config, LENGTHS, "poses"), assistant_model=model)


# ----- embeddings ------------------------------------------------------------------------------------------------------


def test_a_shrunken_model_is_loaded_again_or_refused(tmp_path):
    spelled = [[], *([[n + 10] for n in range(10)])]
    model = mini_model("SignXForGlossRecognition", text_config={"gloss_pieces": spelled})
    with pytest.raises(ValueError, match="above the special piece 5, got 5"):
        model.resize_token_embeddings(5)
    model.resize_token_embeddings(30)
    assert model.config.text_config.gloss_pieces == spelled
    model.resize_token_embeddings(15)
    assert model.config.text_config.gloss_pieces is None
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    inputs = mini_inputs(model.config, LENGTHS, "poses")
    assert torch.equal(again(**inputs).logits, model(**inputs).logits)


# ----- checks of labels ------------------------------------------------------------------------------------------------


def test_values_of_labels_are_read_on_the_cpu_only():
    """On the meta device reading a value is an error, as on a GPU it is a wait."""
    lengths = torch.tensor([9])
    bad = {"ctc": torch.tensor([[99]]), "pieces": torch.tensor([[4, 99]]), "sign": torch.tensor([99])}
    checks = {
        "ctc": lambda labels, where: check_ctc_labels(labels, lengths.to(where), 11, 0),
        "pieces": lambda labels, where: check_piece_labels(labels, 1, 37, (4, 5)),
        "sign": lambda labels, where: check_sign_labels(labels, 1, 3),
    }
    for name, check in checks.items():
        with pytest.raises(ValueError, match="99"):
            check(bad[name], "cpu")
        check(bad[name].to("meta"), "meta")
        with pytest.raises(ValueError, match="shape"):
            check(torch.zeros(2, 3, 4, dtype=torch.long, device="meta"), "meta")


@pytest.mark.parametrize("name", ["SignXForGlossRecognition", "SignXForLatentCTC", "SignXForSignClassification", "SignXForPose2Gloss"])  # fmt: skip
def test_a_batch_is_checked_before_it_goes_to_the_device_as_forward_checks_it(name):
    model = mini_model(name)
    kind = "poses"
    good = {**mini_inputs(model.config, LENGTHS, kind), **labels_for(name)}
    model.check_labels(good)
    wrong = {}
    for key, labels in labels_for(name).items():
        wrong[f"{key} outside"] = {**good, key: torch.where(labels == labels.flatten()[-3], 77, labels)}
    if "ctc_labels" in good:
        wrong["too many glosses"] = {**good, "ctc_labels": torch.tensor([[3, 5, 4], [7, 4, 5], [1, 2, 3]])}
        features = mini_inputs(model.config, [2, 2, 2], "features")
        targets = {key: value for key, value in good.items() if key.endswith("labels")}
        wrong["features"] = {**features, **targets, "ctc_labels": torch.tensor([[3, 5, 4], [7, 4, 5], [1, 2, 3]])}
    for batch in wrong.values():
        messages = []
        for check in (lambda batch: model.check_labels(batch), lambda batch: model(**batch)):
            with pytest.raises(ValueError) as caught:
                check(batch)
            messages.append(str(caught.value))
        assert messages[0] == messages[1]
