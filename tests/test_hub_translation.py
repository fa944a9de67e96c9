"""The card of a model that translates: both tables, a model-index of the task, and code that runs as it stands."""

import json
import shutil

import numpy as np
import pytest
from datasets import load_from_disk
from helpers import run_python
from huggingface_hub import ModelCard
from training_runs import SIGNS, make_corpus, options, run

from signx_hf.data.schema import decode_poses
from signx_hf.evaluation import EvaluationOptions, evaluate
from signx_hf.hub import About
from signx_hf.hub.card import metadata, read_model, render_card, snippet
from signx_hf.hub.checks import check_card, check_index_not_worse, check_not_worse, model_index, split_card
from signx_hf.hub.results import check_belongs, parse_results, read_results
from signx_hf.processing.errors_signx import SignXError
from signx_hf.recognition.loading import load_pipeline

for module in ("jiwer", "sacrebleu", "rouge_score"):
    pytest.importorskip(module)
REPO = "someone/signs"
ABOUT = About(title="Signs", sign_languages=("gsg",), spoken_languages=("de",))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model of both tasks that was hardly trained, its results of both, and one of them with a hidden track."""
    base = tmp_path_factory.mktemp("hub_translation")
    rows = load_from_disk(str(make_corpus(base / "glosses", clips=6)))
    rows.map(lambda row: {"text": " ".join(f"Wort{SIGNS.index(gloss)}" for gloss in row["glosses"])}).save_to_disk(
        str(base / "clips")
    )
    given = {"target": "both", "dev_split": "train", "num_train_epochs": 2, "eval_epochs": 0, "save_epochs": 0}
    run("refine", options(base / "clips", base / "run", vocab_size=560, **given))
    shutil.move(base / "run" / "model", base / "model")
    for task in ("gloss", "text"):
        evaluate(
            EvaluationOptions(
                model=str(base / "model"), dataset=str(base / "clips"), split="train", source="poses", task=task, rounds=50,
                out=str(base / task), command="signx-hf evaluate model clips",
            ),
            progress=False,
        )  # fmt: skip
    text_only(base / "text_only", base / "model")
    return base


@pytest.fixture(scope="module")
def results(place):
    return [read_results(place / "gloss"), read_results(place / "text")]


def text_only(folder, source):
    shutil.copytree(source, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "trained_tasks": ["text"]}))
    return folder


def test_a_model_of_both_tasks_shows_both_tables(place, results):
    model = read_model(place / "model")
    text = render_card(REPO, model, ABOUT, results)
    card = ModelCard(text)
    assert card.data.pipeline_tag == "translation" and card.data.metrics == ["wer", "bleu", "chrf", "rouge"]
    assert {"sign-language-translation", "sign-language-recognition"} <= set(card.data.tags)
    by_task = {}
    for entry in card.data.eval_results:
        by_task.setdefault((entry.task_type, entry.task_name), []).append(entry.metric_name)
    assert by_task == {
        ("video-classification", "Continuous sign language recognition"): ["WER", "WER (sclite alignment)"],
        ("translation", "Sign language translation"): ["BLEU-4", "chrF", "ROUGE-L"],
    }
    scores = results[1].content["scores"]
    bleu, letters = card.data.eval_results[2:4]
    assert (bleu.metric_value, letters.metric_value) == (
        round(scores["bleu"]["score"], 2),
        round(scores["chrf"]["score"], 2),
    )
    assert letters.metric_args["interval_95"] == [round(end, 2) for end in scores["chrf"]["interval"]]
    assert "tok:13a" in bleu.metric_args["signature"]
    assert "### Glosses" in text and "### Text" in text and "evaluation/clips-train-poses-text.json" in text
    for order in (1, 2, 3):
        assert f"| BLEU-{order} | {scores['bleu'][f'bleu_{order}']:.2f} |" in text
    assert "signx-hf evaluate someone/signs clips --split train --source poses --task text --scorer bleu" in text
    assert "as a sequence of glosses with times, and translates them into de, from" in text
    assert model_index(split_card(text)[0])[3].metric_config == "chrf"
    check_card(text, results)


def test_a_model_of_text_alone_says_nothing_of_glosses(place, results):
    model = read_model(place / "text_only")
    text = render_card(REPO, model, ABOUT, results[1:])
    assert (
        "Translates sentences of German Sign Language (gsg) into de, from" in text and "## What it translates" in text
    )
    assert "Glossing" not in text and "glosses" not in text.split("---", 2)[2].lower()
    assert ModelCard(text).data.tags == ["sign-language", "signx", "sign-language-translation"]
    assert 'pipeline("sign-recognition"' not in text and "### Text" not in text


def test_the_code_of_the_card_runs_where_the_package_is_not_installed(place, results, tmp_path):
    whole, part = (snippet(REPO, read_model(place / name)) for name in ("model", "text_only"))
    assert whole.startswith(part) and part.count("pipeline(") == 1 and whole.count("pipeline(") == 2
    assert f"```python\n{whole}\n```" in render_card(REPO, read_model(place / "model"), ABOUT, results)
    clip = decode_poses(load_from_disk(str(place / "clips"))[0]["poses"]).to_clip()
    np.savez(tmp_path / "poses.npz", hands=clip["hands"])
    code = whole.replace(REPO, str(place / "model")).replace("clip.mp4", "poses.npz")
    printed = run_python(code, tmp_path, package=False).splitlines()
    pipe = load_pipeline(str(place / "model"), task="sign-translation")
    assert printed[0] == pipe(str(tmp_path / "poses.npz"))["text"]


def test_the_two_results_are_two_test_sets(results):
    glosses, text = results
    assert glosses.test_set != text.test_set and glosses.path != text.path
    assert len(check_not_worse(results, results)) == 2
    with pytest.raises(SignXError, match="evaluated on clips train .poses, text, 6 clips., but this one was not"):
        check_not_worse([glosses], results)
    better = json.loads(json.dumps(text.content))
    better["scores"]["bleu"]["score"] += 1
    with pytest.raises(SignXError, match="worse than the published model: BLEU-4"):
        check_not_worse([text], [parse_results(better, "better")])


def test_a_published_card_of_text_is_compared_with_text(place, results):
    entries = model_index(metadata(REPO, read_model(place / "model"), ABOUT, results[1:]).to_dict())
    assert "BLEU-4 on clips train" in check_index_not_worse(results[::-1], entries)[0]


def test_hidden_tracks_are_told(results):
    content = json.loads(json.dumps(results[1].content))
    content["config"]["hidden_tracks"] = ["face"]
    hidden = parse_results(content, "hidden.json")
    assert hidden.test_set != results[1].test_set and hidden.input == "poses without face"
    assert (
        hidden.path == "evaluation/clips-train-poses_without_face-text.json"
        and "--hide-track face" in hidden.command(REPO)
    )
    for wrong in (5, [5]):
        content["config"]["hidden_tracks"] = wrong
        with pytest.raises(SignXError, match="config.hidden_tracks must be a list of strings"):
            parse_results(content, "hidden.json")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"bleu_1": "x"}, "the score bleu must be a number, got 'x'"),
        ({"intervals": {"bleu_1": 5}}, "the interval of bleu must be two numbers"),
        ({"interval": [1]}, "the interval of bleu must be two numbers"),
    ],
)
def test_damaged_results_of_text(change, message, results):
    content = json.loads(json.dumps(results[1].content))
    content["scores"]["bleu"].update(change)
    with pytest.raises(SignXError, match=message):
        parse_results(content, "results.json")


def test_results_belong_to_the_model(place, results):
    check_belongs(results[1], place / "model")
