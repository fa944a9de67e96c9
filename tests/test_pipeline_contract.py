"""What transformers asks of every pipeline, and what its users pass to one that generates.

The library's own pipeline tests read tiny models of the Hub by the name of a class, so they are written anew here.
"""

import numpy as np
import pytest
import torch
from made_hands import made_sign
from make_model import FPS, GLOSSES, TRACKS, make_frames, make_model, make_poses, make_processor
from transformers import GenerationConfig, LogitsProcessorList, pipeline
from transformers.pipelines.pt_utils import KeyDataset

from signx_hf import SignXPoseFeatureExtractor
from signx_hf.processing.hands_signx import HAND_FEATURES

TASKS = ["sign-recognition", "isolated-sign-recognition", "sign-spotting"]


def make_pipeline(task: str, **options):
    """A pipeline whose model drops half of its numbers in training."""
    tracks, processor = TRACKS, make_processor()
    if task == "sign-spotting":
        tracks = {"hands": HAND_FEATURES}
        processor.feature_extractor = SignXPoseFeatureExtractor(tracks, fps=FPS, hand_steps=16)
    name, rest = "SignXForGlossRecognition", {}
    if task != "sign-recognition":
        name, rest = "SignXForSignClassification", {"id2label": dict(enumerate(GLOSSES))}
    model = make_model(name, pose_config={"track_dims": tracks}, **rest)
    if task == "sign-recognition":
        model.generation_config.max_new_tokens = 8  # random weights do not come to an end
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    return pipeline(task, model=model, processor=processor, device="cpu", **options)


def make_clips(task: str, count: int) -> list:
    if task != "sign-spotting":
        return [make_frames(9 + 4 * n, seed=n) if n % 2 else make_poses(9 + 4 * n, seed=n) for n in range(count)]
    gap = np.full((8, 126), np.nan)
    return [{"hands": np.concatenate([gap, made_sign(n % 3, n), gap]), "fps": 25.0} for n in range(count)]


@pytest.fixture(scope="module", params=TASKS)
def task(request):
    return request.param


@pytest.fixture(scope="module")
def recognizer():
    return make_pipeline("sign-recognition")


def test_lists_generators_and_datasets_in_batches_that_do_not_come_out_even(task):
    recognizer, clips = make_pipeline(task), [clip for clip in make_clips(task, 20) if isinstance(clip, dict)][:10]
    alone = [recognizer(clip) for clip in clips]
    assert len(alone) == 10
    size = {} if task == "sign-spotting" else {"batch_size": 4}
    for found in (
        list(recognizer((clip for clip in clips), **size)),
        recognizer(clips, **size),
        list(recognizer(KeyDataset([{"clip": clip} for clip in clips], "clip"), **size)),
    ):
        assert [said(result) for result in found] == [said(result) for result in alone]


def said(result):
    """What a result says, without the digits of its scores."""
    return [item["label"] for item in result] if isinstance(result, list) else result["glosses"]


def test_its_steps_give_the_result_of_a_call(task):
    recognizer, clip = make_pipeline(task), make_clips(task, 1)[0]
    assert recognizer.postprocess(recognizer.forward(recognizer.preprocess(clip))) == recognizer(clip)


def test_saved_and_loaded_in_half_precision(task, tmp_path):
    recognizer, clip = make_pipeline(task), make_clips(task, 1)[0]
    recognizer.save_pretrained(tmp_path)
    assert said(pipeline(task, model=str(tmp_path), device="cpu")(clip)) == said(recognizer(clip))
    half = pipeline(task, model=str(tmp_path), device="cpu", dtype=torch.bfloat16)
    assert half.model.dtype == torch.bfloat16
    assert type(half(clip)) is type(recognizer(clip))


def test_a_model_in_training_answers_as_one_that_is_not(task):
    recognizer, clips = make_pipeline(task), make_clips(task, 2)
    rested = [recognizer(clip) for clip in clips]
    recognizer.model.train()
    for module in list(recognizer.model.modules())[1::3]:
        module.training = False  # as a frozen part is
    modes = [module.training for module in recognizer.model.modules()]
    for _ in range(2):
        assert [recognizer(clip) for clip in clips] == rested
        assert [module.training for module in recognizer.model.modules()] == modes


def test_a_model_in_training_aligns_embeds_and_reads_long_clips_alike(recognizer):
    isolated = make_pipeline("isolated-sign-recognition")
    clip, frames = make_poses(60, seed=3), make_frames(60, seed=3)

    def answers():
        return [
            recognizer.align(clip, list(GLOSSES[:2])), recognizer(frames, chunk_length_s=1.0),
            recognizer.timing(clip)[0].tolist(), isolated.embedding(clip).tolist(), isolated.logits(clip).tolist(),
        ]  # fmt: skip

    rested = answers()
    for model in (recognizer.model, isolated.model):
        model.train()
    assert answers() == rested
    assert recognizer.model.training and isolated.model.training
    with torch.no_grad():  # or nothing above could have differed
        inputs = {name: value for name, value in isolated.preprocess(clip).items() if name != "metadata"}
        assert not torch.equal(isolated.model(**inputs).logits, isolated.model(**inputs).logits)
    recognizer.model.eval()


def test_generate_kwargs_are_the_options_of_generate(recognizer):
    clip, options = make_poses(20), {"num_beams": 3, "length_penalty": 0.1, "ctc_weight": 0.3}
    expected = recognizer(clip, **options)
    assert recognizer(clip, generate_kwargs=options) == expected
    assert recognizer(clip, generate_kwargs={"num_beams": 3, "ctc_weight": 0.3}, length_penalty=0.1) == expected
    assert make_pipeline("sign-recognition", generate_kwargs=options)(clip) == expected
    assert recognizer(clip, generate_kwargs={}) == recognizer(clip)


def test_num_return_sequences_is_n_best(recognizer):
    clip = make_poses(20)
    expected = recognizer(clip, n_best=3)
    assert len(expected["n_best"]) == 3
    for options in (
        {"num_return_sequences": 3},
        {"generate_kwargs": {"num_return_sequences": 3}},
        {"num_return_sequences": 3, "n_best": 3},
        {"generation_config": GenerationConfig(num_beams=5, num_return_sequences=3, max_new_tokens=8)},
    ):
        assert recognizer(clip, **options) == expected
    assert len(recognizer(clip, decoder="ctc", num_return_sequences=2)["n_best"]) == 2
    assert len(recognizer(make_frames(60), chunk_length_s=1.0, num_return_sequences=2)["n_best"]) == 2


def test_every_value_of_a_generation_config_is_an_option(recognizer):
    clip = make_poses(20)
    expected = recognizer(clip)
    without = recognizer(clip, use_cache=False)
    assert without["glosses"] == expected["glosses"]
    assert without["n_best"][0]["score"] == pytest.approx(expected["n_best"][0]["score"], abs=1e-4)
    pieces = recognizer.tokenizer(expected["text"], add_special_tokens=False)["input_ids"]
    assert pieces, "the model must say something"
    for options in (
        {"suppress_tokens": pieces},
        {"bad_words_ids": [[piece] for piece in pieces]},
        {"logits_processor": LogitsProcessorList([lambda ids, scores: forbidden(scores, pieces)])},
    ):
        for given in (options, {"generate_kwargs": options}):
            said_now = recognizer.tokenizer(recognizer(clip, **given)["text"], add_special_tokens=False)["input_ids"]
            assert not set(said_now) & set(pieces)


def test_a_call_changes_only_the_options_that_it_names(recognizer):
    clip, both = make_poses(20), {"num_beams": 2, "max_new_tokens": 4, "ctc_weight": 0.3}
    expected = recognizer(clip, **both)
    for name, value in both.items():
        built = make_pipeline("sign-recognition", **{other: both[other] for other in both if other != name})
        assert built(clip, **{name: value}) == expected
        built = make_pipeline("sign-recognition", **{**both, name: 1})
        assert built(clip, **{name: value}) == expected
    built = make_pipeline("sign-recognition", max_new_tokens=2)
    assert built(clip, max_length=9) == recognizer(clip, max_length=9) != built(clip)
    config = GenerationConfig(max_new_tokens=5, num_beams=2)
    assert built(clip, generation_config=config) == recognizer(clip, generation_config=config)


def test_a_call_of_spotting_changes_only_the_options_that_it_names():
    (clip,), options = make_clips("sign-spotting", 1), {"confidence": 0.0, "cost": 0.0, "lengths_s": (0.4, 0.8)}
    expected = make_pipeline("sign-spotting")(clip, **options)
    assert expected["glosses"]
    for name, value in options.items():
        built = make_pipeline("sign-spotting", **{other: options[other] for other in options if other != name})
        assert built(clip, **{name: value}) == expected


def forbidden(scores, pieces):
    scores[:, pieces] = -float("inf")
    return scores


@pytest.mark.parametrize("options, words", [
    ({"generate_kwargs": 3}, "`generate_kwargs` must be a dictionary"),
    ({"generate_kwargs": {"num_beans": 3}}, "`generate_kwargs` has no option 'num_beans'.*Did you mean 'num_beams'"),
    ({"generate_kwargs": {"decoder": "ctc"}}, "`generate_kwargs` has no option 'decoder'"),
    ({"generate_kwargs": {"num_beams": 3}, "num_beams": 2}, "`num_beams` must be given once"),
    ({"generate_kwargs": {"num_beams": 1e6}}, "`num_beams` must be an integer"),
    ({"num_return_sequences": 0}, "`num_return_sequences` must be an integer"),
    ({"num_return_sequences": 2, "n_best": 3}, "must be the same, got 2 and 3"),
    ({"num_return_sequence": 2}, "Did you mean 'num_return_sequences'"),
    ({"output_scores": True}, "the pipeline sets it"),
    ({"use_cash": True}, "Did you mean 'use_cache'"),
])  # fmt: skip
def test_what_is_refused(recognizer, options, words):
    with pytest.raises(ValueError, match=words) as caught:
        recognizer(make_poses(9), **options)
    assert len(str(caught.value).splitlines()) == 1
