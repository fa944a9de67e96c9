"""What changes while a run goes on: own pieces in place of labels, frame drop, pruned dimensions, the RGB teacher."""

import numpy as np
import pytest
import torch
from training_runs import SMALL, log_of, make_corpus, options, run, started, weights_of

from signx_hf.processing.errors_signx import SignXError
from signx_hf.training.teacher_forcing import decoder_inputs, draws, mix


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("corpus") / "data")


# teacher forcing


def test_mixture_is_what_a_loop_over_places_gives():
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([[4, 9, 8, 7, 2], [4, 9, 2, -100, -100]])
    labeled = torch.tensor([[1, 4, 9, 8, 7], [1, 4, 9, 2, 0]])
    logits = torch.rand(2, 5, 12, generator=generator)
    own = torch.rand(2, 5, generator=generator) < 0.7
    expected = labeled.clone()
    for row in range(2):
        for place in range(2, 5):  # start token and prompt are always given
            if own[row, place] and labels[row, place - 1] != -100:
                expected[row, place] = logits[row, place - 1].argmax()
    assert mix(labeled, logits, labels, own).tolist() == expected.tolist() != labeled.tolist()
    assert mix(labeled, logits, labels, torch.zeros_like(own)).tolist() == labeled.tolist()


def test_what_a_clip_draws_is_its_own():
    """Neither the batch nor its padding matters, so two processes draw what one would; another step draws anew."""
    whole = draws(["a", "b", "c"], 9, 0, 5)
    assert torch.equal(draws(["c"], 6, 0, 5)[0], whole[2, :6])
    assert not torch.equal(draws(["a"], 9, 0, 6)[0], whole[0]) and not torch.equal(whole[0], whole[1])
    assert draws([str(i) for i in range(200)], 50, 1, 2).mean().item() == pytest.approx(0.5, abs=0.01)


def test_share_of_labels_and_nothing_else_changes(corpus, tmp_path):
    stage = started("pose2gloss", options(corpus, tmp_path))
    examples = stage.train_examples[:6]
    batch = {**stage.inputs(examples, None), **stage.targets(examples, {})}
    batch = {name: torch.as_tensor(value) for name, value in batch.items()}
    ids = [example.id for example in examples]
    model = stage.model.train()
    make = model.prepare_decoder_input_ids_from_labels
    state = torch.random.get_rng_state()
    labeled = make(batch["labels"])
    assert torch.equal(decoder_inputs(model, batch, make, ids, 1.0, 0, 0), labeled)
    own = decoder_inputs(model, batch, make, ids, 0.0, 0, 0)
    assert model.training and torch.equal(torch.random.get_rng_state(), state)
    model.eval()
    with torch.no_grad():
        for row, length in enumerate((batch["labels"] != -100).sum(1).tolist()):  # one clip by itself, no padding
            one = {name: value[row : row + 1] for name, value in batch.items()}
            one["labels"] = one["labels"][:, :length]
            best = model(**one).logits.argmax(-1)[0]
            assert own[row, 2:length].tolist() == best[1 : length - 1].tolist()
    assert torch.equal(own[:, :2], labeled[:, :2])


def test_teacher_forcing_goes_from_first_to_last(corpus, tmp_path):
    stage = started("refine", options(corpus, tmp_path, teacher_forcing=[1.0, 0.0]))
    examples = stage.train_examples[:4]
    batch = {name: torch.as_tensor(value) for name, value in stage.collate(examples, None).items()}
    batch |= stage.decoder_targets(examples)
    ids = [example.id for example in examples]
    model = stage.model.train()
    assert "decoder_input_ids" not in stage.before_batch(model, batch, ids, 0, 11)
    last = stage.before_batch(model, batch, ids, 10, 11)["decoder_input_ids"]
    make = model.prepare_decoder_input_ids_from_labels
    assert torch.equal(last, decoder_inputs(model, batch, make, ids, 0.0, 0, 10))


# frame drop, track dropout


def test_frame_drop_and_track_dropout_reach_the_model(corpus, tmp_path):
    stage = started("latent_ctc", options(corpus, tmp_path, frame_drop=[0.4, 0.1], track_dropout=0.3))
    compiler, rates = stage.model.recognizer.compiler, []
    for step in range(4):
        stage.before_step(step, 4)
        rates.append(compiler.frame_drop_rate)
    assert rates == pytest.approx([0.4, 0.3, 0.2, 0.1])
    mask = torch.ones(64, 200, dtype=torch.bool)
    stage.model.train()
    kept = compiler(torch.zeros(64, 200, 24), mask)[1].float().mean().item()
    assert kept == pytest.approx(0.9, abs=0.01)
    assert stage.model.config.pose_config.track_dropout == stage.model.model.pose_encoder.track_dropout == 0.3


@pytest.mark.parametrize(
    ("stage", "changes", "words"),
    [
        ("isolated", {"teacher_forcing": [0.5, 0]}, "`teacher_forcing` is not used by Isolated signs, got [0.5, 0]"),
        ("pose2gloss", {"frame_drop": [0.1, 0]}, "`frame_drop` is not used by Stage 1, Pose2Gloss, got [0.1, 0]"),
        ("refine", {"prune_epochs": 2, "upstream": "x"}, "`prune_epochs` is not used by Stage 4, refinement from features, got 2.0"),
        ("latent_ctc", {"track_dropout": 0.1, "upstream": "x"}, "`track_dropout` is not used by Stage 3, latent recognizer from latents, got 0.1"),
        ("pose2gloss", {"teacher_forcing": 0.5}, "`teacher_forcing` must be [first, last], two numbers from 0 to 1, got 0.5"),
        ("pose2gloss", {"teacher_forcing": [0.5, 1.5]}, "`teacher_forcing[1]` must be a finite number from 0 to 1, got 1.5"),
        ("latent_ctc", {"frame_drop": [0.5]}, "`frame_drop` must be [first, last], two numbers from 0 to 0.99, got [0.5]"),
        ("latent_ctc", {"track_dropout": 1.0}, "`track_dropout` must be a finite number from 0 to 0.99, got 1.0"),
    ],
)  # fmt: skip
def test_an_option_that_would_do_nothing_or_harm_is_refused(stage, changes, words, corpus, tmp_path):
    with pytest.raises(SignXError) as error:
        run(stage, options(corpus, tmp_path, **changes))
    assert words in str(error.value) and "\n" not in str(error.value)


# variance pruning


def with_threshold(value):
    return {**SMALL, "recognizer_config": {**SMALL["recognizer_config"], "variance_threshold": value}}


def test_pruned_dimensions_are_those_of_low_variance_and_stay_pruned(corpus, tmp_path):
    """Stage 3 on cached latents: what is pruned is what numpy finds, in the model that is kept as in its checkpoints, though
    weights are averaged in two ways; and options of the stage reach a config that comes from the stage before."""

    from safetensors.torch import load_file

    changes = {"num_train_epochs": 3, "cache_dir": str(tmp_path / "cache"), "eval_epochs": 1, "save_epochs": 1}
    run("pose2gloss", options(corpus, tmp_path / "1", **{**changes, "num_train_epochs": 1}))
    given = options(corpus, tmp_path / "3", upstream=str(tmp_path / "1"), **changes)
    stage = started("latent_ctc", {**given, "model_config": {}})
    variance = np.concatenate([example.arrays["latents"] for example in stage.train_examples]).astype(float).var(0)
    threshold = float(np.sort(variance)[7:9].mean())
    only = {"recognizer_config": {"variance_threshold": threshold}}
    pruned = {**given, "model_config": only, "prune_epochs": 2, "ema_decay": 0.9, "average_best": 3}
    run("latent_ctc", pruned)
    keep = weights_of(tmp_path / "3")["recognizer.compiler.keep"]
    assert keep.tolist() == (variance >= threshold).astype(float).tolist() and keep.sum() == 24 - 8
    steps = [
        line.split(",")[0] for line in log_of(tmp_path / "3").splitlines() if "prune/dimensions_left,16.0" in line
    ]
    assert len(steps) == 1
    for folder in (tmp_path / "3").glob("checkpoint-*"):
        early = int(folder.name.split("-")[1]) < int(steps[0])
        for name in ("model", "ema"):
            assert load_file(folder / f"{name}.safetensors")["recognizer.compiler.keep"].sum() == (24 if early else 16)


def test_pruning_everything_is_refused(corpus, tmp_path):
    given = options(corpus, tmp_path, model_config=with_threshold(1e6), prune_epochs=0.1, track_dropout=0.0)
    with pytest.raises(SignXError, match=r"step 1: Variance pruning at 1000000.0 .* all 24 latent dimensions"):
        run("latent_ctc", given)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"recognizer_config": {"varianc": 1}}, "has no option 'varianc'"),
        ({"fps": 15}, "`model_config.fps` cannot change with upstream"),
        ({"pose_config": {"latent_size": 32}}, "`model_config` does not fit the checkpoint"),
    ],
)
def test_a_config_that_the_stage_before_does_not_allow(changes, words, corpus, tmp_path):
    from signx_hf.modeling.modeling_signx import SignXForPose2Gloss

    stage = started("pose2gloss", options(corpus, tmp_path))
    stage.model.save_pretrained(tmp_path / "1")
    stage.processor.save_pretrained(tmp_path / "1")
    assert SignXForPose2Gloss.from_pretrained(tmp_path / "1").config.latent_size == 24
    with pytest.raises(SignXError) as error:
        run("latent_ctc", options(corpus, tmp_path / "3", upstream=str(tmp_path / "1"), model_config=changes))
    assert words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "value", "learned"),
    [
        ("dilations", [1], [1, 2]),
        ("dilations", [2, 1], [1, 2]),
        ("pool_sizes", [2], [2, 2]),
        ("num_lstm_layers", 1, 2),
    ],
)
def test_convolutions_that_have_learned_do_not_change(name, value, learned, corpus, tmp_path):
    small = {**SMALL, "recognizer_config": {**SMALL["recognizer_config"], "dilations": [1, 2], "num_lstm_layers": 2}}
    stage = started("latent_ctc", options(corpus, tmp_path, model_config=small))
    stage.model.save_pretrained(tmp_path / "3")
    stage.processor.save_pretrained(tmp_path / "3")
    changed = options(
        corpus, tmp_path / "4", upstream=str(tmp_path / "3"), model_config={"recognizer_config": {name: value}}
    )
    for stage in ("refine", "latent_ctc"):
        with pytest.raises(SignXError) as error:
            started(stage, changed)
        assert f"`model_config.recognizer_config.{name}` must be {learned}" in str(error.value)
        assert f"got {value}" in str(error.value)
    # from a stage that has no recognizer it is free
    stage = started("pose2gloss", options(corpus, tmp_path, model_config=small))
    stage.model.save_pretrained(tmp_path / "1")
    stage.processor.save_pretrained(tmp_path / "1")
    free = options(
        corpus, tmp_path / "5", upstream=str(tmp_path / "1"), model_config={"recognizer_config": {name: value}}
    )
    assert getattr(started("latent_ctc", free).model.config.recognizer_config, name) == value


def test_dilations_need_a_pooling_that_has_convolutions(tmp_path):
    single = make_corpus(tmp_path / "single", clips=6, longest=1)
    given = options(single, tmp_path / "1", model_config={**SMALL, "recognizer_config": {"dilations": [1, 2]}})
    with pytest.raises(SignXError) as error:
        started("isolated", given)
    assert "recognizer_config.dilations` needs pooling: convolution, got [1, 2] with pooling 'mean'" in str(
        error.value
    )


# the RGB teacher


THIN = {"model_type": "resnet", "embedding_size": 4, "hidden_sizes": [4, 8], "depths": [1, 1], "layer_type": "basic"}
WITH_TEACHER = {**SMALL, "image_size": 32, "vision_config": None, "frame_branch": THIN}


@pytest.fixture(scope="module")
def filmed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("filmed")
    (folder / "videos").mkdir()
    return make_corpus(folder / "data", clips=6, videos=folder / "videos")


def test_the_rgb_branch_teaches_from_frames_beside_cached_latents(filmed, tmp_path):
    changes = {"cache_dir": str(tmp_path / "cache"), "num_train_epochs": 1, "model_config": WITH_TEACHER, "fps": 30.0}
    run("pose2gloss", options(filmed, tmp_path / "1", **changes))
    given = options(
        filmed, tmp_path / "3", upstream=str(tmp_path / "1"), **{**changes, "model_config": {}, "fps": None}
    )
    run("latent_ctc", {**given, "speed": 0.2, "brightness": 0.1})
    rows = [line.split(",") for line in log_of(tmp_path / "3").splitlines()[1:]]
    values = {name: [float(row[3]) for row in rows if row[2] == name] for name in {row[2] for row in rows}}
    assert (
        values["train/kd"] and min(values["train/kd"]) > 0 and values["train/student_ctc"] and values["dev/wer_latent"]
    )
    stage = started("latent_ctc", {**given, "speed": 0.2})
    examples = stage.train_examples[:3]
    still, fast = stage.collate(examples, None), stage.collate(examples, [np.random.default_rng(i) for i in range(3)])
    for batch in (still, fast):
        assert batch["pixel_values_videos"].shape[:2] == batch["latents"].shape[:2]
    assert not torch.equal(fast["frame_mask"].sum(1), still["frame_mask"].sum(1))  # other speeds
    for row, example in enumerate(examples):  # frame and latent of one place belong together
        frames, length = example.arrays["frames"], int(fast["frame_mask"][row].sum())
        places = [round(i * (len(frames) - 1) / (length - 1)) for i in range(length)]
        pixels = np.empty((length, 3, 32, 32), np.float32)
        stage.processor.video_processor.normalize_frames(np.stack([frames[place] for place in places]), pixels)
        assert np.array_equal(fast["pixel_values_videos"][row, :length].numpy(), pixels)
    stage.model.train()
    losses = stage.model(**fast).losses
    losses["kd"].backward()
    student = stage.model.recognizer.latent_projection[0].weight.grad
    teacher = [p.grad for p in stage.model.recognizer.frame_encoder.parameters()]
    assert student.abs().sum() > 0 and all(gradient is None or not gradient.any() for gradient in teacher)


def test_a_branch_that_nothing_teaches_is_left_out(corpus, filmed, tmp_path):
    from signx_hf.processing.errors_signx import SignXWarning

    given = options(corpus, tmp_path / "run", model_config=WITH_TEACHER, num_train_epochs=1)
    with pytest.warns(SignXWarning, match="No clip has a video"):
        run("latent_ctc", given)
    assert not any("frame_" in name or "mixer" in name for name in weights_of(tmp_path / "run"))
    from signx_hf.modeling.modeling_signx import SignXForLatentCTC

    assert SignXForLatentCTC.from_pretrained(tmp_path / "run" / "model").config.frame_branch is None
    assert "train/kd," not in log_of(tmp_path / "run")
    stage = started("latent_ctc", {**given, "dataset": str(filmed), "fps": 30.0, "cache_dir": str(tmp_path / "cache")})
    assert stage.feeds_rgb and "pixel_values_videos" in stage.collate(stage.train_examples[:2], None)
