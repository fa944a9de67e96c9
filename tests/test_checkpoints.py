"""What comes out of a saved model: itself, the next stage, another device, another vocabulary; and where weights start."""

import pytest
import torch
from conftest import ENTRIES, LENGTHS, assert_equal_outputs, labels_for, mini_config, mini_inputs, mini_model, results

import signx_hf
from signx_hf import SignXForGlossRecognition, SignXForLatentCTC, SignXForPose2Gloss, SignXModel

# ----- saving, loading, stages -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("name", ENTRIES)
def test_save_and_load_is_the_identity(name, tied, tmp_path):
    model = mini_model(name, text_config={"tie_word_embeddings": tied})
    model.save_pretrained(tmp_path)
    again, info = type(model).from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    first, second = model.state_dict(), again.state_dict()
    assert first.keys() == second.keys()
    for key in first:
        assert torch.equal(first[key], second[key]), key
    inputs = {**mini_inputs(model.config, LENGTHS, ENTRIES[name][0]), **labels_for(name)}
    assert_equal_outputs(model(**inputs), again(**inputs))
    assert not again.training
    if hasattr(model, "lm_head"):
        assert (again.lm_head.weight is again.decoder.embed_tokens.weight) == tied


def test_layers_that_a_config_leaves_out_are_told(tmp_path):
    model = mini_model("SignXForLatentCTC", recognizer_config={"dilations": [1, 2]})
    model.save_pretrained(tmp_path)
    blocks = {name for name in model.state_dict() if ".temporal_conv.blocks.1." in name}
    fewer = mini_config(recognizer_config={"dilations": [1]})
    _, info = SignXForLatentCTC.from_pretrained(tmp_path, config=fewer, output_loading_info=True)
    assert blocks and set(info["unexpected_keys"]) == blocks
    _, info = SignXForPose2Gloss.from_pretrained(tmp_path, config=fewer, output_loading_info=True)
    assert not info["unexpected_keys"]  # a model without recognizer has no use for any of it


@pytest.mark.parametrize("device_map", ["cpu", "auto"])
def test_device_map_loads_the_same_model(device_map, tmp_path):
    pytest.importorskip("accelerate")
    model = mini_model("SignXForGlossRecognition")
    model.save_pretrained(tmp_path)
    again = SignXForGlossRecognition.from_pretrained(tmp_path, device_map=device_map)
    inputs = {**mini_inputs(model.config, LENGTHS, "video"), **labels_for("SignXForGlossRecognition")}
    inputs = {key: value.to(again.device) for key, value in inputs.items()}
    found = {key: value.cpu() for key, value in results(again(**inputs)).items()}
    for key, value in results(model(**{k: v.cpu() for k, v in inputs.items()})).items():
        torch.testing.assert_close(found[key], value, atol=1e-4, rtol=1e-3, msg=key)


def test_each_stage_starts_from_the_one_before(tmp_path):
    stages = ["SignXForPose2Gloss", "SignXForVideo2Pose", "SignXForLatentCTC", "SignXForGlossRecognition"]
    carried = {1: ["model."], 2: ["model."], 3: ["model.", "recognizer."]}
    model = mini_model(stages[0])
    for number in range(1, 4):
        folder = tmp_path / str(number)
        model.save_pretrained(folder)
        torch.manual_seed(number)
        later = getattr(signx_hf, stages[number]).from_pretrained(folder)
        old, new = model.state_dict(), later.state_dict()
        for prefix in carried[number]:
            keys = {key for key in new if key.startswith(prefix)}
            assert keys and keys == {key for key in old if key.startswith(prefix)}
            for key in keys:
                assert torch.equal(old[key], new[key]), key
        for key in set(new) - {k for k in new if k.startswith(tuple(carried[number]))}:
            assert torch.isfinite(new[key]).all(), key
            assert new[key].abs().max() < 10, key  # drawn anew, not whatever the memory held
        model = later
        with torch.no_grad():  # so that the next stage cannot pass by drawing the same numbers again
            for parameter in model.parameters():
                parameter.add_(0.01)


def test_new_parts_of_a_later_stage_are_drawn_from_the_seed(tmp_path):
    mini_model("SignXForVideo2Pose").save_pretrained(tmp_path)
    states = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        states.append(SignXForLatentCTC.from_pretrained(tmp_path).state_dict())
    for key, value in states[0].items():
        assert torch.equal(value, states[1][key]), key
    for key in ("recognizer.lstm.weight_hh_l1_reverse", "recognizer.temporal_conv.convolutions.1.weight"):
        assert not torch.equal(states[0][key], states[2][key]) and states[0][key].std() > 0.01
    assert states[0]["recognizer.compiler.keep"].all()
    assert states[0]["recognizer.mixer"] == 0


def test_stage_four_reads_back_as_stage_three_and_as_the_bare_model(tmp_path):
    model = mini_model("SignXForGlossRecognition")
    model.save_pretrained(tmp_path)
    third, info = SignXForLatentCTC.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    inputs = mini_inputs(model.config, LENGTHS, "video")
    assert torch.equal(third(**inputs).logits, model(**inputs).ctc_logits)
    bare = SignXModel.from_pretrained(tmp_path)
    assert torch.equal(bare(**inputs).latents, third(**inputs).latents)
    bare.save_pretrained(tmp_path / "bare")
    back = SignXForGlossRecognition.from_pretrained(tmp_path / "bare")
    for key, value in model.model.state_dict().items():
        assert torch.equal(back.model.state_dict()[key], value), key


@pytest.mark.parametrize("name", ["SignXForPose2Gloss", "SignXForGlossRecognition"])
@pytest.mark.parametrize("size", [45, 20])
def test_resizing_the_pieces_keeps_old_rows_and_survives_saving(name, size, tmp_path):
    model = mini_model(name)
    before = model.decoder.embed_tokens.weight.detach().clone()
    inputs = mini_inputs(model.config, LENGTHS, "poses")
    ids = {"decoder_input_ids": torch.tensor([[1, 4, 8]]).expand(3, -1)}
    with torch.no_grad():
        old = model(**inputs, **ids).logits
    model.resize_token_embeddings(size)
    kept = min(size, 37)
    assert model.config.text_config.vocab_size == model.config.vocab_size == size
    assert torch.equal(model.decoder.embed_tokens.weight[:kept], before[:kept])
    assert model.lm_head.weight is model.decoder.embed_tokens.weight
    new = model(**inputs, **ids).logits.detach()
    assert new.shape[-1] == size
    torch.testing.assert_close(new[..., :kept], old[..., :kept], atol=1e-5, rtol=0)
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    assert torch.equal(again(**inputs, **ids).logits, new)
    model(**inputs, labels=torch.tensor([[4, size - 1, 2]] * 3)).loss.backward()


# ----- initial weights -------------------------------------------------------------------------------------------------


def test_initial_weights_are_scaled_by_the_fan_in():
    model = SignXForPose2Gloss(mini_config(initializer_range=0.5))
    for module in (
        model.latent_projection,
        model.model.latent_encoder.layers[0].mlp.fc1,
        model.decoder.layers[0].mlp.fc1,
    ):
        assert module.weight.std().item() == pytest.approx(module.in_features**-0.5, rel=0.15)
        assert not module.bias.any()
    assert model.model.pose_encoder.track_embedding.std().item() == pytest.approx(0.5, rel=0.4)
    size = model.config.text_config.hidden_size
    assert model.decoder.embed_tokens.weight[1:].std().item() == pytest.approx(size**-0.5, rel=0.15)
    assert not model.decoder.embed_tokens.weight[0].any()  # the padding piece


def test_fresh_models_of_one_seed_have_equal_weights():
    states = []
    for seed in (7, 7, 8):
        torch.manual_seed(seed)
        states.append(SignXForGlossRecognition(mini_config()).state_dict())
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())
    assert not torch.equal(states[0]["recognizer.lstm.weight_ih_l0"], states[2]["recognizer.lstm.weight_ih_l0"])


# ----- training --------------------------------------------------------------------------------------------------------


def test_the_trainer_of_transformers_takes_two_steps(tmp_path):
    pytest.importorskip("accelerate")
    from transformers import Trainer, TrainingArguments

    model = mini_model("SignXForGlossRecognition")
    inputs = {**mini_inputs(model.config, LENGTHS, "poses"), **labels_for("SignXForGlossRecognition")}
    rows = [{key: value[row] for key, value in inputs.items()} for row in range(3)]
    arguments = TrainingArguments(
        tmp_path, max_steps=2, per_device_train_batch_size=3, learning_rate=1e-3, use_cpu=True, report_to=[],
        save_strategy="no", label_names=["labels", "ctc_labels"], disable_tqdm=True, logging_strategy="no",
    )  # fmt: skip
    trainer = Trainer(model, arguments, train_dataset=rows, eval_dataset=rows)
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    assert trainer.state.global_step == 2
    assert trainer.evaluate()["eval_loss"] < before


def test_accumulated_batches_weigh_like_one_batch(tmp_path):
    """Three batches of two, accumulated, give the gradient norm of one batch of six (losses are means, clips alike long)."""
    from transformers import Trainer, TrainingArguments

    norms = []
    for batch_size, steps in ((6, 1), (2, 3)):
        model = mini_model("SignXForSignClassification")
        config = model.config
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
            if hasattr(module, "dropout") and isinstance(module.dropout, float):
                module.dropout = 0.0
        poses = torch.randn(6, 5, config.pose_config.pose_size, generator=torch.Generator().manual_seed(1))
        rows = [{"pose_values": clip, "labels": torch.tensor(n % config.num_labels)} for n, clip in enumerate(poses)]
        arguments = TrainingArguments(
            tmp_path / str(steps), max_steps=1, per_device_train_batch_size=batch_size, gradient_accumulation_steps=steps,
            use_cpu=True, report_to=[], save_strategy="no", disable_tqdm=True, logging_steps=1, max_grad_norm=1e9,
        )  # fmt: skip
        trainer = Trainer(model, arguments, train_dataset=rows)
        trainer.train()
        norms.append(next(float(entry["grad_norm"]) for entry in trainer.state.log_history if "grad_norm" in entry))
    assert norms[1] == pytest.approx(norms[0], rel=1e-3)


@pytest.mark.parametrize("later", ["SignXForLatentCTC", "SignXForGlossRecognition"])
def test_a_student_without_rgb_branch_starts_stage_three_with_every_dimension(tmp_path, later):
    """Its recognizer has no parameter of its own, and the library initializes only modules with one that is missing."""
    import signx_hf

    mini_model("SignXForPose2Gloss", frame_branch=None).save_pretrained(tmp_path)
    for _ in range(3):
        garbage = torch.full((1 << 16,), 7.0)  # what fresh memory may hold
        del garbage
        model = getattr(signx_hf, later).from_pretrained(tmp_path)
        assert torch.equal(model.recognizer.compiler.keep, torch.ones_like(model.recognizer.compiler.keep))


def test_seq2seq_trainer_evaluates_by_generating(tmp_path):
    from make_model import make_model, make_poses, make_processor
    from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments, Trainer, TrainingArguments

    model, processor = make_model("SignXForGlossRecognition"), make_processor()
    clips = [{"poses": make_poses(12, seed=n), "glosses": "IX-1p WETTER"} for n in range(4)]

    def collate(rows):
        return processor(poses=[row["poses"] for row in rows], glosses=[row["glosses"] for row in rows])

    arguments = Seq2SeqTrainingArguments(
        tmp_path, max_steps=1, per_device_train_batch_size=2, per_device_eval_batch_size=2, use_cpu=True, report_to=[],
        save_strategy="no", disable_tqdm=True, predict_with_generate=True, generation_max_length=9,
        remove_unused_columns=False, label_names=["labels"],
    )  # fmt: skip
    trainer = Seq2SeqTrainer(
        model, arguments, train_dataset=clips, eval_dataset=clips, data_collator=collate, processing_class=processor
    )
    trainer.train()
    output = trainer.predict(clips)
    assert len(output.predictions) == 4
    assert ((output.predictions > 0).sum(1) <= 9).all()  # beyond the generation there is only padding
    plain = Trainer(model, TrainingArguments(tmp_path, use_cpu=True, report_to=[], remove_unused_columns=False),
                    data_collator=collate)  # fmt: skip
    assert plain.predict(clips).predictions.shape[::2] == (4, model.config.text_config.vocab_size)
