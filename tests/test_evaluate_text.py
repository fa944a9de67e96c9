"""`signx-hf evaluate --task text`: scores of the pipeline's texts against normalized references, its files, and hidden tracks."""

import json
import shutil

import numpy as np
import pytest
from datasets import load_from_disk
from evaluation_clips import make_rows
from evaluation_clips import options as gloss_options
from evaluation_clips import save as save_clips
from make_model import FPS, make_poses, save_folder
from training_runs import SIGNS, make_corpus, options, run

from signx_hf.cli import main
from signx_hf.data.schema import decode_poses, encode_poses, make_row, to_dataset
from signx_hf.evaluation import EvaluationOptions, evaluate, translations
from signx_hf.metrics import (
    best_clip_bleu_1,
    best_sample_bleu_1,
    bleu,
    chrf,
    mean_sentence_bleu,
    rouge_l,
    sentence_scores,
    text_interval,
)
from signx_hf.processing.errors_signx import SignXError

for module in ("jiwer", "sacrebleu", "rouge_score"):
    pytest.importorskip(module)
SAID = dict(zip(SIGNS, ("Ich bin hier", "ärgere mich", "sehr müde", "die Größe")))


def with_tasks(folder, source, *tasks):
    """A copy of a model that has learned only some tasks, as far as its config says."""
    shutil.copytree(source, folder)
    config = json.loads((folder / "config.json").read_text())
    config["trained_tasks"] = list(tasks) or None
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model that has learned both tasks a little, lower-cased; and its clips, two of them without text."""
    base = tmp_path_factory.mktemp("evaluate_text")
    rows = load_from_disk(str(make_corpus(base / "glosses", clips=8)))
    rows.map(lambda row: {"text": "  ".join(SAID[gloss] for gloss in row["glosses"])}).save_to_disk(str(base / "data"))
    given = {
        "target": "both", "text_lowercase": True, "dev_split": "train", "num_train_epochs": 40, "eval_epochs": 0, "save_epochs": 0,
        "learning_rate": 1e-2, "vocab_size": 560,
    }  # fmt: skip
    run("refine", options(base / "data", base / "run", **given))
    both = base / "run" / "model"
    with_tasks(base / "text", both, "text")
    with_tasks(base / "gloss", both)
    mute = {"clip2": "", "clip5": None}
    load_from_disk(str(base / "data")).map(lambda row: {"text": mute.get(row["id"], row["text"])}).save_to_disk(
        str(base / "clips")
    )
    with_tasks(base / "both", both, "gloss", "text")
    evaluate(chosen(base, "both", task="text"), progress=False)
    return base


def chosen(base, model, out="out", **others):
    given = {"source": "poses", "split": "train", "rounds": 200, **others}
    return EvaluationOptions(model=str(base / model), dataset=str(base / "clips"), out=str(base / out), **given)


def found_in(folder):
    head, *lines = (folder / "clips.tsv").read_text().splitlines()
    return json.loads((folder / "results.json").read_text()), [
        dict(zip(head.split("\t"), line.split("\t"))) for line in lines
    ]


def test_texts_are_those_of_the_pipeline_and_scores_those_of_the_metrics(place):
    from signx_hf.recognition.loading import load_pipeline

    results, rows = found_in(place / "out")
    pipe = load_pipeline(str(place / "both"), task="sign-translation")
    data = {row["id"]: row for row in load_from_disk(str(place / "clips"))}
    assert [row["id"] for row in rows] == sorted(set(data) - {"clip2", "clip5"})
    for row in rows:
        clip = data[row["id"]]
        assert row["reference"] == " ".join(clip["text"].lower().split())
        assert row["hypothesis"] == pipe({"hands": decode_poses(clip["poses"]).to_clip()["hands"]})["text"]
    said, true = [row["hypothesis"] for row in rows], [row["reference"] for row in rows]
    scores = results["scores"]
    found = bleu(said, true, "13a")
    assert (
        found.score > 0 and scores["bleu"]["score"] == found.score and scores["bleu"]["signature"] == found.signature
    )
    assert {name: scores["bleu"][name] for name in found.parts} == found.parts
    assert (
        scores["chrf"]["score"] == chrf(said, true).score and scores["rouge_l"]["score"] == rouge_l(said, true).score
    )
    for name, score, measure in (("bleu", scores["bleu"], "bleu_4"), ("chrf", scores["chrf"], "chrf")):
        assert tuple(score["interval"]) == text_interval(said, true, measure, "13a", rounds=200), name
    assert set(scores["bleu"]["intervals"]) == {"bleu_1", "bleu_2", "bleu_3", "bleu_4"}
    each = sentence_scores(said, true, "13a")
    assert [row["bleu"] for row in rows] == [f"{value:.2f}" for value in each["bleu"]]
    assert results["sentences_right"] == sum(map(str.__eq__, said, true)) / len(rows)
    assert sum(group["words"] for group in results["by_length"]) == results["data"]["words"]
    assert sum(group["clips"] for group in results["by_signer"]) == len(rows)
    assert results["task"] == "sign-translation" and results["config"]["text"]["lowercase"]
    assert not (place / "out" / "confusion.tsv").exists()


def test_what_is_said_and_reported(place, capsys):
    code = main(
        ["evaluate", str(place / "both"), str(place / "clips"), "--task", "text", "--split", "train", "--source", "poses", "--rounds", "200",
         "--out", str(place / "out")]
    )  # fmt: skip
    said = capsys.readouterr().out
    assert code == 0 and "2 clips without text left out: clip2, clip5\n" in said
    assert "BLEU-4: " in said and "BLEU-1 to 3: " in said and "tok:13a" in said and "rougeL|f1" in said
    assert "references as the model's targets: lower-cased, NFC, single spaces; BLEU is of words (13a)" in said
    results, _ = found_in(place / "out")
    assert "--task text" in results["run"]["command"] and results["run"]["finished_before"] == 6
    page = (place / "out" / "report.html").read_text(encoding="utf-8")
    assert "BLEU by signer" in page and "2 clips without text" in page and "ärgere" in page and "Confused" not in page


def test_text_is_the_default_of_a_model_that_has_learned_nothing_else(place):
    results = evaluate(chosen(place, "text", "text_out"), progress=False)
    assert results["task"] == "sign-translation"
    assert results["scores"] == found_in(place / "out")[0]["scores"]
    assert evaluate(chosen(place, "both", "gloss_out"), progress=False)["task"] == "sign-recognition"


def test_several_hypotheses(place):
    results = evaluate(
        chosen(place, "both", "n_best", task="text", options={"n_best": 3}, scorers=("mean_sentence_bleu", "best_clip_bleu_1")),
        progress=False,
    )  # fmt: skip
    _, rows = found_in(place / "n_best")
    several = [row["n_best"].split(" | ") for row in rows]
    assert all(len(group) == 3 and group[0] == row["hypothesis"] for group, row in zip(several, rows))
    true = [row["reference"] for row in rows]
    expected = best_sample_bleu_1(several, true, "13a").parts["best_bleu_1"]
    assert results["n_best"]["hypotheses"] == 3 and results["n_best"]["best_bleu_1"] == expected
    mean = mean_sentence_bleu([row["hypothesis"] for row in rows], true, "13a")
    assert results["scores"]["mean_sentence_bleu"]["score"] == mean.score
    assert "interval" not in results["scores"]["best_clip_bleu_1"]


def refused(capsys, *words):
    capsys.readouterr()  # what saving a dataset has said
    code = main(["evaluate", *map(str, words)])
    said = capsys.readouterr().err.strip()
    assert code == 2 and len(said.splitlines()) == 1
    return said


def test_one_line_for_what_is_refused(place, tmp_path, capsys):
    clips = (place / "clips", "--split", "train", "--source", "poses", "--out", tmp_path / "out")
    said = refused(capsys, place / "gloss", *clips, "--task", "text")
    assert "has learned glosses, not text. Use --task gloss, or train it with target: text or both" in said
    said = refused(capsys, place / "text", *clips, "--task", "gloss")
    assert "has learned text, not glosses. Use --task text, or train it with target: both" in said
    said = refused(capsys, place / "both", *clips, "--task", "text", "--scorer", "plain")
    assert "for sign-translation, got 'plain'" in said
    said = refused(capsys, place / "both", *clips, "--task", "text", "--option", "ctc_weight=0.3")
    assert "no option 'ctc_weight'" in said
    said = refused(capsys, place / "both", *clips, "--task", "text", "--unknown")
    assert "--unknown is for models of isolated signs" in said and "translates" in said
    mute = load_from_disk(str(place / "glosses")).map(lambda row: {"text": " "})
    mute.save_to_disk(str(tmp_path / "mute"))
    said = refused(capsys, place / "both", tmp_path / "mute", *clips[1:], "--task", "text")
    assert "no clip of split 'train' has text" in said
    assert not (tmp_path / "out").exists()
    said = refused(capsys, place / "both", *clips[:-1], place / "out")
    assert "holds the results of" in said  # of text, and glosses are asked for
    stage3 = save_folder(tmp_path / "stage3", "SignXForLatentCTC")
    assert "has learned glosses, not text. Use --task gloss." in refused(capsys, stage3, *clips, "--task", "text")


def test_text_without_spaces_is_scored_by_characters():
    clips = [
        translations.TextClip("a", "s", "今天天气很好。", "今天天气好。"),
        translations.TextClip("b", "s", "我们明天去北京", "我们明天去上海"),
    ]
    found = translations.content(clips, ("bleu", "rouge_l"), 50, 0)
    sides = [one.hypothesis for one in clips], [one.reference for one in clips]
    assert found["scores"]["bleu"]["score"] == bleu(*sides, "char").score > 0
    assert "tok:char" in found["scores"]["bleu"]["signature"]
    assert found["scores"]["rouge_l"]["score"] == rouge_l(*sides, "char").score
    tokenizer = type("Tokenizer", (), {"text_lowercase": False, "text_form": "NFKC"})
    assert translations.facts(clips, tokenizer, [])["data"]["words"] == 14
    assert translations.clip_rows(clips)[1][0][2] == "7"


# ---------------------------------------------------------------------------------------------------------- hidden tracks


@pytest.fixture(scope="module")
def tracks(tmp_path_factory):
    """A model of three tracks, and clips in which one of them is masked."""
    base = tmp_path_factory.mktemp("hide")
    save_folder(base / "model", "SignXForLatentCTC")
    save_clips(make_rows(), base / "clips")
    rows = []
    for index, row in enumerate(make_rows()):
        poses = make_poses(row["num_frames"], seed=index)
        masks = {name: np.full(row["num_frames"], name != "body") for name in poses}
        stored = encode_poses(poses, masks, fps=FPS)
        rows.append(make_row(**{**{k: v for k, v in row.items() if k in KEPT}, "poses": stored}))
    save_clips(rows, base / "masked")
    return base


KEPT = ("id", "fps", "num_frames", "signer", "split", "glosses", "segments")


def records(folder):
    return {
        record["id"]: record["result"]
        for record in (json.loads(path.read_text()) for path in (folder / ".signx_evaluate" / "clips").iterdir())
    }


def test_a_hidden_track_is_a_masked_track(tracks):
    hidden = evaluate(gloss_options(tracks, "clips", "hidden", hide_tracks=("body",)), progress=False)
    evaluate(gloss_options(tracks, "masked", "masked_out"), progress=False)
    scorers = ("plain", "mean_sentence_bleu", "best_clip_bleu_1")
    whole = evaluate(gloss_options(tracks, "clips", "whole", scorers=scorers), progress=False)
    assert records(tracks / "hidden") == records(tracks / "masked_out") != records(tracks / "whole")
    assert hidden["config"]["hidden_tracks"] == ["body"] and not hidden["run"]["warnings"]
    assert "from poses without body" in (tracks / "hidden" / "report.html").read_text()
    _, rows = found_in(tracks / "whole")
    sides = [row["hypothesis"] for row in rows], [row["reference"] for row in rows]
    for name, function in (("mean_sentence_bleu", mean_sentence_bleu), ("best_clip_bleu_1", best_clip_bleu_1)):
        found = function(*sides)
        assert (whole["scores"][name]["score"], whole["scores"][name]["signature"]) == (found.score, found.signature)
    two = evaluate(gloss_options(tracks, "clips", "two", hide_tracks=("body", "depth")), progress=False)
    assert two["config"]["hidden_tracks"] == ["body", "depth"]
    with pytest.raises(SignXError, match=r"other hidden tracks \(there: .*body.*; now: \[\]\)"):
        evaluate(gloss_options(tracks, "clips", "hidden"), progress=False)


def test_tracks_that_cannot_be_hidden(tracks, tmp_path, capsys):
    for names, message in (
        (("face",), "--hide-track must be one of hands, body, depth, got 'face'"),
        (("hands", "body", "depth"), "must leave a track"),
    ):
        with pytest.raises(SignXError, match=message):
            evaluate(gloss_options(tracks, hide_tracks=names))
    shutil.copytree(tracks / "model", tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps({**config, "trained_tracks": ["hands", "body"]}))
    save_clips(make_rows(), tmp_path / "clips")
    with pytest.raises(
        SignXError, match="one of hands, body, got 'depth': .* was not trained on it, so it is always hidden"
    ):
        evaluate(gloss_options(tmp_path, hide_tracks=("depth",)))
    said = refused(
        capsys,
        tracks / "model",
        tracks / "clips",
        "--hide-track",
        "body",
        "--source",
        "video",
        "--out",
        tmp_path / "out",
    )
    assert "--hide-track is for poses" in said


def test_a_clip_of_hidden_tracks_alone_is_named(tracks, tmp_path, capsys):
    poses = {"body": make_poses(20)["body"]}
    row = make_row(
        id="bare", fps=FPS, num_frames=20, split="test", glosses=["IX-1p"], poses=encode_poses(poses, fps=FPS)
    )
    to_dataset([row], "test").save_to_disk(str(tmp_path / "clips"))
    words = ["--hide-track", "body", "--source", "poses", "--out", tmp_path / "out"]
    assert main(["evaluate", str(tracks / "model"), str(tmp_path / "clips"), *map(str, words)]) == 1
    said = capsys.readouterr().err
    assert "clip bare: " in said and "(hidden: body)" in said
