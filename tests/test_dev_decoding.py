"""Dev is decoded as the pipelines decode the saved model; the decoding of the papers by name."""

import json

import pytest
import torch
from conftest import mini_model
from datasets import load_from_disk
from make_model import make_poses, save_folder
from training_runs import SIGNS, log_of, make_corpus, options, run
from transformers import GenerationConfig, pipeline

from signx_hf.data.schema import decode_poses
from signx_hf.metrics import bleu, wer
from signx_hf.modeling.generation_signx import PUBLISHED
from signx_hf.training.arguments import ModelArguments
from signx_hf.training.decoding import DEFAULTS, dev_decoding, saved_decoding

SAID = dict(zip(SIGNS, ("ich bin hier", "ich arbeite sehr viel", "fertig", "der Beruf")))
NAMES = ("num_beams", "length_penalty", "ctc_weight")


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Rows with glosses and text, and the folder they are in."""
    folder = tmp_path_factory.mktemp("clips")
    rows = load_from_disk(str(make_corpus(folder / "glosses", clips=10)))
    rows = rows.map(lambda row: {"text": " ".join(SAID[gloss] for gloss in row["glosses"])})
    rows.save_to_disk(str(folder / "data"))
    return rows, folder / "data"


def last(out, name):
    return [float(line.split(",")[3]) for line in log_of(out).splitlines() if f",{name}," in line][-1]


def test_metrics_on_dev_are_those_of_the_pipelines(clips, tmp_path):
    rows, folder = clips
    given = {"target": "both", "dev_split": "train", "num_beams": 4, "decode_ctc_weight": 0.1, "vocab_size": 560}
    steps = {"num_train_epochs": 16, "eval_epochs": 16, "save_epochs": 0, "learning_rate": 1e-2}
    run("refine", options(folder, tmp_path / "run", **given, **steps))
    model = str(tmp_path / "run" / "model")
    saved = GenerationConfig.from_pretrained(model)
    assert [getattr(saved, name) for name in NAMES] == [4, 0.7, 0.1]
    poses = [decode_poses(row["poses"]).to_clip() for row in rows]
    recognize, translate = pipeline("sign-recognition", model=model), pipeline("sign-translation", model=model)
    glosses = [recognize(clip)["glosses"] for clip in poses]
    texts = [translate(clip)["text"] for clip in poses]
    assert last(tmp_path / "run", "dev/wer") == pytest.approx(wer(glosses, rows["glosses"]).rate, abs=1e-6)
    assert last(tmp_path / "run", "dev/bleu") == pytest.approx(bleu(texts, rows["text"]).score, abs=1e-4)
    by_decoder = [recognize(clip, ctc_weight=0.0)["glosses"] for clip in poses]
    assert last(tmp_path / "run", "dev/wer_decoder") == pytest.approx(wer(by_decoder, rows["glosses"]).rate, abs=1e-6)
    other = [recognize(clip, length_penalty=5.0)["glosses"] for clip in poses]
    assert other != glosses, "the clips must be such that the penalty shows"


def test_stage_1_is_saved_as_it_is_measured(clips, tmp_path):
    _, folder = clips
    given = options(folder, tmp_path / "run", max_steps=2, vocab_size=560)
    given.pop("start")
    run("pose2gloss", given)
    saved = GenerationConfig.from_pretrained(tmp_path / "run" / "model")
    assert [getattr(saved, name) for name in NAMES] == [1, None, 0.0]  # greedy


def test_what_a_model_came_with_is_kept_and_the_rest_is_the_pipelines(tmp_path):
    model = mini_model("SignXForGlossRecognition")
    assert [getattr(saved_decoding(model, 5, 0.3), name) for name in NAMES] == [5, 0.7, 0.3]
    model.generation_config.length_penalty, model.generation_config.repetition_penalty = 0.2, 1.5
    saved = saved_decoding(model, 3, 0.3)
    assert (saved.length_penalty, saved.repetition_penalty, saved.max_new_tokens) == (0.2, 1.5, 64)
    greedy = saved_decoding(model, 1)
    greedy.save_pretrained(tmp_path)  # transformers refuses a penalty of beams without beams
    assert GenerationConfig.from_pretrained(tmp_path).length_penalty is None


@pytest.mark.parametrize("task, name", [("gloss", "sign-recognition"), ("text", "sign-translation")])
@pytest.mark.parametrize("num_beams", [1, 5])
def test_dev_has_the_generation_config_of_the_pipeline(task, name, num_beams, tmp_path):
    made = pipeline(name, model=str(save_folder(tmp_path, trained_tasks=["gloss", "text"])))
    made.model.generation_config = saved = saved_decoding(made.model, num_beams, 0.4)
    configs = made._generation_config({}), dev_decoding(saved, made.tokenizer, task)
    theirs, ours = ({k: v for k, v in config.to_dict().items() if v is not None} for config in configs)
    if num_beams == 1:  # the pipeline takes it out right before the search
        assert theirs.pop("length_penalty") == 0.7
    assert ours == theirs


def test_one_set_of_defaults():
    assert {name: PUBLISHED[name] for name in DEFAULTS} == DEFAULTS
    assert ModelArguments().num_beams == DEFAULTS["num_beams"]


# as published -------------------------------------------------------------------------------------------------------------


def test_the_decoding_of_the_papers_by_name(tmp_path):
    recognizer = pipeline("sign-recognition", model=str(save_folder(tmp_path)))
    config = recognizer.model.published_generation_config()
    assert config.to_diff_dict().items() >= {
        "num_beams": 5, "length_penalty": 0.7, "max_new_tokens": 64, "repetition_penalty": 2.5, "do_sample": True,
        "temperature": 0.7, "top_k": 50, "top_p": 0.92,
    }.items()  # fmt: skip
    config.save_pretrained(tmp_path, "generation_config_as_published.json")
    again = GenerationConfig.from_pretrained(tmp_path, "generation_config_as_published.json")
    assert again.to_dict() == config.to_dict()
    unchanged = json.loads((tmp_path / "generation_config.json").read_text())
    assert "repetition_penalty" not in unchanged and "do_sample" not in unchanged

    again.max_new_tokens = 9

    def drawn(seed):
        torch.manual_seed(seed)
        return recognizer(make_poses(9), generation_config=again)["n_best"][0]

    assert drawn(0) == drawn(0) != drawn(1)  # it samples
    torch.manual_seed(0)
    ids = recognizer.model.generate(**recognizer.processor(poses=make_poses(9)), generation_config=config)
    assert 2 < ids.shape[1] <= 66 and ids[0, 0] == recognizer.model.config.text_config.decoder_start_token_id
