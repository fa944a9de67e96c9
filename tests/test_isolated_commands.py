"""Every command of the README's table with a model of isolated signs."""

import csv
import json
import re
import warnings

import numpy as np
import pytest
import torch
from conftest import ROOT, data_folder
from make_model import FPS, GLOSSES, make_frames, make_poses, save_folder, write_video

from signx_hf.cli import main
from signx_hf.data import decode_poses
from signx_hf.data.schema import encode_poses, make_row, to_dataset
from signx_hf.processing.video_decoding_signx import iter_video, open_video
from signx_hf.recognition import loading
from signx_hf.recognition.tasks import SENTENCES, SIGNS, task_of


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model of isolated signs and one of sentences, two videos, a pose file, and a file that is no clip."""
    base = tmp_path_factory.mktemp("isolated")
    save_folder(base / "model", "SignXForSignClassification", id2label=dict(enumerate(GLOSSES)))
    save_folder(base / "sentences")
    (base / "clips").mkdir()
    write_video(base / "clips" / "one.mkv", make_frames(20))
    write_video(base / "clips" / "two.mkv", make_frames(9, seed=1))
    np.savez(base / "clips" / "three.npz", fps=FPS, **make_poses(25, seed=2))
    (base / "bad.mp4").write_text("once upon a time")
    (base / "words.txt").write_text("WETTER\n天气\n#IF\n")
    return base


def run(capsys, *arguments) -> tuple[int, str, list[str]]:
    """Exit code, standard output, lines of standard error."""
    code = main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err.splitlines()


def files_of(place):
    return [place / "clips" / name for name in ("one.mkv", "three.npz", "two.mkv")]


# ----- recognize -------------------------------------------------------------------------------------------------------


def test_the_task_is_told_without_weights(place, tmp_path):
    assert task_of(str(place / "model")) == SIGNS and task_of(str(place / "sentences")) == SENTENCES
    (tmp_path / "config.json").write_text("{")
    for nothing in (tmp_path, tmp_path / "nowhere", place / "words.txt"):
        assert task_of(str(nothing)) == SENTENCES


def test_recognize_json(place, capsys):
    recognizer = loading.load_pipeline(str(place / "model"))
    options = {"vocabulary": ["WETTER", "天气", "#IF"], "top_k": 2}
    best = [recognizer(str(path), **options)[0]["score"] for path in files_of(place)]
    threshold = round(sum(best) / len(best), 6)
    words = ["--vocabulary", place / "words.txt", "--top-k", 2, "--threshold", threshold]
    code, out, errors = run(
        capsys, "recognize", "--model", place / "model", "--format", "json", *words, *files_of(place)
    )
    assert (code, errors) == (0, [])
    rows = [json.loads(line) for line in out.splitlines()]
    for path, row in zip(files_of(place), rows, strict=True):
        found = recognizer(str(path), threshold=threshold, **options)
        assert row["candidates"] == [{"label": item["label"], "score": item["score"]} for item in found]
        assert row["sure"] is found[0]["sure"] is bool(found[0]["score"] >= threshold)
        assert row["glosses"] == ([found[0]["label"]] if row["sure"] else [])
        assert ("reason" in row) is not row["sure"]
    assert {row["sure"] for row in rows} == {True, False}  # else the test would say little


@pytest.mark.parametrize("name", ["txt", "tsv", "csv", "ctm"])
def test_recognize_streams(place, capsys, name):
    code, out, errors = run(
        capsys, "recognize", "--model", place / "model", "--format", name, *files_of(place), place / "bad.mp4"
    )
    assert code == 1 and any("bad.mp4" in line for line in errors)
    recognizer = loading.load_pipeline(str(place / "model"))
    best = [recognizer(str(path))[0]["label"] for path in files_of(place)]
    lines = out.splitlines()
    if name == "csv":
        assert [row["gloss"] for row in csv.DictReader(lines)] == best
    elif name == "tsv":
        rows = list(csv.DictReader(lines, delimiter="\t"))
        assert len(rows) == 15 and [row["gloss"] for row in rows if row["rank"] == "1"] == best
    else:
        assert [line.split("\t" if name == "txt" else " ")[1 if name == "txt" else 4] for line in lines] == best


def test_recognize_says_when_it_is_not_sure(place, capsys):
    code, out, _ = run(capsys, "recognize", "--model", place / "model", "--threshold", 1, *files_of(place))
    assert code == 0 and [line.split("\t")[1] for line in out.splitlines()] == ["?"] * 3
    code, out, _ = run(capsys, "recognize", "--model", place / "model", "--threshold", 1, files_of(place)[0])
    assert (code, out) == (0, "?\n")


def test_recognize_into_a_folder(place, capsys, tmp_path):
    """Every format; batches and processes say the same; a finished clip is left, another vocabulary is another result."""
    words = ["recognize", place / "clips", "--model", place / "model", "--format", "all"]
    assert run(capsys, *words, "--out", tmp_path / "a")[0] == 0
    assert run(capsys, *words, "--out", tmp_path / "b", "--batch-size", 3)[0] == 0
    assert run(capsys, *words, "--out", tmp_path / "c", "--jobs", 2)[0] == 0
    names = sorted(path.name for path in (tmp_path / "a").iterdir() if path.is_file())
    assert len(names) == 3 * 8
    for name in names:
        texts = [(tmp_path / folder / name).read_text() for folder in "abc"]
        if name.endswith((".srt", ".txt", ".tsv", ".csv", ".ctm")):
            assert texts[0] == texts[1] == texts[2]
    done = run(capsys, *words, "--out", tmp_path / "a", "--resume")[1]
    assert "0 recognized" in done and "3 already finished" in done
    done = run(capsys, *words, "--out", tmp_path / "a", "--resume", "--vocabulary", place / "words.txt")[1]
    assert "3 recognized" in done
    found = json.loads((tmp_path / "a" / "three.json").read_text())
    assert {item["label"] for item in found["candidates"]} == {"WETTER", "天气", "#IF"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--vocabulary", "nowhere.txt"], "no such file"),
        (["--vocabulary", "."], "is a folder"),
        (["--vocabulary", "{empty}"], "at least one gloss"),
        (["--vocabulary", "{unknown}"], "'WEATHER' is not a sign of the model; the nearest are WETTER"),
        (["--top-k", "0"], "--top-k"),
        (["--threshold", "2"], "--threshold must be a number from 0 to 1"),
        (["--threshold", "never"], "threshold"),
        (["--option", "beams=3"], "has no option 'beams'"),
        (["--vocabulary", "{words}", "--option", "vocabulary=#IF"], "--vocabulary and --option vocabulary=#IF"),
        (["--lm", "{words}"], "--lm is for models of sentences, and {model} recognizes single signs"),
        (["--chunk-length", "20"], "--chunk-length is for models of sentences"),
    ],
)
def test_recognize_refuses(place, capsys, tmp_path, words, said):
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "unknown.txt").write_text("WEATHER\n")
    names = {"empty": tmp_path / "empty.txt", "unknown": tmp_path / "unknown.txt"}
    names |= {"words": place / "words.txt", "model": place / "model"}
    words = [word.format(**names) for word in words]
    code, out, errors = run(capsys, "recognize", files_of(place)[0], "--model", place / "model", *words)
    assert (code, out, len(errors)) == (2, "", 1)
    assert said.format(**names) in errors[0]


@pytest.mark.parametrize("words", [["--vocabulary", "{words}"], ["--top-k", "3"]])
def test_a_model_of_sentences_has_no_flags_of_signs(place, capsys, words):
    words = [word.format(words=place / "words.txt") for word in words]
    code, _, errors = run(capsys, "recognize", files_of(place)[0], "--model", place / "sentences", *words)
    assert code == 2 and errors == [
        f"signx-hf: {words[0]} is for models of isolated signs, and {place / 'sentences'} recognizes sentences. Leave it out."
    ]


def test_recognize_on_ray(place, capsys, tmp_path, monkeypatch):
    pytest.importorskip("ray.data")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    words = ["recognize", place / "clips", "--model", place / "model", "--format", "csv", "--out", tmp_path / "ray"]
    assert run(capsys, *words, "--engine", "ray")[0] == 0
    run(capsys, *words[:-1], tmp_path / "local")
    for path in (tmp_path / "local").glob("*.csv"):
        assert path.read_text() == (tmp_path / "ray" / path.name).read_text()


# ----- align, lm -------------------------------------------------------------------------------------------------------


def test_align_refuses(place, capsys):
    code, out, errors = run(capsys, "align", files_of(place)[0], "WETTER", "--model", place / "model")
    assert (code, out) == (2, "")
    assert len(errors) == 1 and f"{place / 'model'} recognizes single signs" in errors[0]


# ----- evaluate --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rows(place):
    """A split of 20 clips: half of them of what the model says, the others not; saved as a dataset."""
    recognizer, rows = loading.load_pipeline(str(place / "model")), []
    for number in range(20):
        clip = {**make_poses(12 + number % 3, seed=number), "fps": FPS}
        labels = [
            item["label"] for item in recognizer(clip) if item["label"] != "NOT-YET"
        ]  # of which there is no clip
        gloss = "BOOK" if number == 19 else labels[0] if number % 2 else labels[number % 3 + 1]
        poses = encode_poses(make_poses(12 + number % 3, seed=number), fps=FPS)
        signer = f"s{number % 3}"
        rows.append(make_row(id=f"clip/{number}", glosses=[gloss], poses=poses, signer=signer, split="test"))
    to_dataset(rows, "test").save_to_disk(place / "rows")
    return rows


def answers_of(place, rows, **options):
    recognizer = loading.load_pipeline(str(place / "model"))
    return [recognizer(decode_poses(row["poses"]), top_k=7, **options) for row in rows]


def evaluated(place, out, capsys, *more):
    words = ["evaluate", place / "model", place / "rows", "--source", "poses", "--rounds", 50, "--out", out, *more]
    code, said, errors = run(capsys, *words)
    assert code == 0, errors
    return json.loads((out / "results.json").read_text()), said


def test_evaluate_counts_signs_and_no_insertions(place, rows, capsys, tmp_path):
    results, said = evaluated(place, tmp_path / "out", capsys)
    answers = answers_of(place, rows)
    right = [answer[0]["label"] == row["glosses"][0] for answer, row in zip(answers, rows)]
    among = [row["glosses"][0] in [item["label"] for item in answer[:5]] for answer, row in zip(answers, rows)]
    assert results["scores"]["top_1"]["per_instance"] == pytest.approx(np.mean(right)) and 0.3 < np.mean(right) < 0.7
    shares = [np.mean([r for r, row in zip(right, rows) if row["glosses"] == [sign]]) for sign in signs_of(rows)]
    assert results["scores"]["top_1"]["per_class"] == pytest.approx(np.mean(shares))
    assert results["scores"]["top_5"]["hits"] == sum(among)
    for row in results["by_signer"]:
        own = [r for r, clip in zip(right, rows) if clip["signer"] == row["signer"]]
        assert (row["clips"], row["right"], row["top_1"]) == (len(own), sum(own), pytest.approx(np.mean(own)))
    assert {row["sign"] for row in results["by_sign"]} == set(signs_of(rows))
    assert [row["top_1"] for row in results["by_sign"]] == sorted(row["top_1"] for row in results["by_sign"])
    assert sum(sum(row["taken_for"].values()) for row in results["by_sign"]) == sum(not r for r in right)
    table = list(csv.DictReader((tmp_path / "out" / "clips.tsv").read_text().splitlines(), delimiter="\t"))
    assert [row["rank"] == "1" for row in sorted(table, key=lambda row: int(row["id"][5:]))] == right
    page = (tmp_path / "out" / "report.html").read_text()
    for text in (said, page, (tmp_path / "out" / "clips.tsv").read_text(), json.dumps(results)):
        assert not re.search(r"insertion|deletion|substitution|\bWER\b", text)
    assert "Accuracy by sign" in page and "20 clips, 8 signs, 3 signers" in said or len(signs_of(rows)) != 8


def signs_of(rows) -> list[str]:
    return sorted({row["glosses"][0] for row in rows})


def test_evaluate_with_a_vocabulary_a_threshold_and_unknown_signs(place, rows, capsys, tmp_path):
    chosen = ["WETTER", "天气", "#IF"]
    answers = answers_of(place, rows, vocabulary=chosen)
    inside = [row["glosses"][0] in chosen for row in rows]
    values = [answer[0]["score"] for answer in answers]
    threshold = round(float(np.median(values)), 4)
    words = ["--vocabulary", place / "words.txt", "--threshold", threshold]
    results, said = evaluated(place, tmp_path / "out", capsys, *words, "--unknown")
    right = [a[0]["label"] == row["glosses"][0] for a, row, known in zip(answers, rows, inside) if known]
    assert results["scores"]["top_1"]["hits"] == sum(right) and results["data"]["clips"] == sum(inside)
    assert results["data"]["clips_outside_vocabulary"] == 20 - sum(inside) and 0 < sum(inside) < 20
    part = results["rejection"]
    sure = [value >= threshold for value, known in zip(values, inside) if known]
    assert part["right"] == pytest.approx(np.mean([r and s for r, s in zip(right, sure)]))
    assert part["wrong"] == pytest.approx(np.mean([s and not r for r, s in zip(right, sure)]))
    assert part["refused"] == pytest.approx(1 - np.mean(sure))
    others = [value for value, known in zip(values, inside) if not known]
    assert part["unknown_refused"] == pytest.approx(np.mean([value < threshold for value in others]))
    known = [value for value, is_known in zip(values, inside) if is_known]
    pairs = [(k > o) + 0.5 * (k == o) for k in known for o in others]
    assert (
        part["auroc"] == pytest.approx(np.mean(pairs))
        and f"AUROC of probability against known ones {part['auroc']:.3f}" in said
    )
    without, _ = evaluated(place, tmp_path / "without", capsys, *words)
    assert without["scores"] == results["scores"] and "auroc" not in without["rejection"]
    again, _ = evaluated(place, tmp_path / "jobs", capsys, *words, "--unknown", "--jobs", 2)
    assert {**again, "run": None} == {**results, "run": None}


@pytest.mark.parametrize(
    ("model", "words", "said"),
    [
        ("model", ["--vocabulary", "nowhere.txt"], "no such file"),
        ("model", ["--option", "vocabulary=[BOOK]"], "'BOOK' is not a sign of the model"),
        ("model", ["--option", "vocabulary=[NOT-YET]"], "must have at least one clip of a sign in the vocabulary"),
        ("model", ["--threshold", "7"], "threshold must be a number from 0 to 1"),
        ("model", ["--scorer", "plain"], "for isolated-sign-recognition, got 'plain'"),
        ("sentences", ["--vocabulary", "{words}"], "--vocabulary is for models of isolated signs"),
        ("sentences", ["--unknown"], "--unknown is for models of isolated signs"),
    ],
)
def test_evaluate_refuses(place, rows, capsys, tmp_path, model, words, said):
    words = [word.format(words=place / "words.txt") for word in words]
    words = ["evaluate", place / model, place / "rows", "--source", "poses", "--out", tmp_path / "out", *words]
    code, out, errors = run(capsys, *words)
    assert (code, out) == (2, "") and said in errors[-1]
    assert not (tmp_path / "out" / "results.json").exists()


# ----- explain ---------------------------------------------------------------------------------------------------------


def test_importance_is_what_a_small_change_of_the_input_does(place):
    pytest.importorskip("matplotlib")
    from signx_hf.interpretability.single_sign import explain_sign

    recognizer, chosen = loading.load_pipeline(str(place / "model"), "cpu"), ["WETTER", "#IF", "IX-1p"]
    clip, model = {**make_poses(18, seed=4), "fps": FPS}, recognizer.model
    found = explain_sign(recognizer, clip, vocabulary=chosen)
    assert found.result == recognizer(clip, vocabulary=chosen, details=True)
    inputs, ids = recognizer.preprocess(clip), [GLOSSES.index(gloss) for gloss in chosen]
    best = ids.index(GLOSSES.index(found.result["candidates"][0]["label"]))
    poses, double = inputs["pose_values"].double(), model.double()
    rest = {name: inputs[name] for name in ("pose_mask", "frame_mask")}

    def log_probability(values):
        with torch.no_grad():
            return float(double(pose_values=values, **rest).logits[0, ids].log_softmax(-1)[best])

    try:
        for place_ in np.argsort(found.importance.ravel())[::-1][:4]:
            frame, column = np.unravel_index(place_, found.importance.shape)
            step = torch.zeros_like(poses)
            step[0, frame, column] = 1e-6 * poses[0, frame, column]
            slope = (log_probability(poses + step) - log_probability(poses - step)) / 2e-6
            assert abs(slope) == pytest.approx(found.importance[frame, column], rel=2e-2)
    finally:
        model.float()
    assert found.tracks == recognizer.feature_extractor.track_slices() and found.importance.shape[0] == 18
    logits = recognizer.logits(clip)
    assert model.classifier(torch.from_numpy(found.vectors))[0].detach().numpy() == pytest.approx(
        logits.numpy(), abs=1e-4
    )


def test_explain_draws(place, capsys, tmp_path):
    pytest.importorskip("matplotlib")
    words = ["explain", *files_of(place), "--model", place / "model", "--format", "svg", "--out", tmp_path]
    code, out, errors = run(capsys, *words, "--threshold", 1)
    assert (code, errors) == (0, [])
    names = {path.name for path in tmp_path.iterdir()}
    figures = {"candidates", "importance", "when"}  # the poses have no key points that are known
    expected = {f"{clip}-{name}.svg" for clip in ("one", "two", "three") for name in figures}
    assert names == expected | {"one-contact_sheet.svg", "two-contact_sheet.svg"}
    assert out.count("not sure: probability") == 3
    assert "not sure: probability" in (tmp_path / "one-candidates.svg").read_text()


def test_hands_are_drawn_where_they_are(tmp_path):
    pytest.importorskip("matplotlib")
    from signx_hf.plots.keypoints import parts_of

    rows = np.random.default_rng(0).uniform(size=(4, 2, 21, 3))
    rows[1, 0] = np.nan
    rows[2, 1] = 0
    parts = parts_of("hands", rows.reshape(4, -1))
    assert list(parts) == ["first hand", "second hand"]
    assert parts["first hand"][1].all(1).tolist() == [True, False, True, True]
    assert parts["second hand"][1].all(1).tolist() == [True, True, False, True]
    np.testing.assert_array_equal(parts["first hand"][0][0], rows[0, 0, :, :2])


@pytest.mark.parametrize(
    ("model", "words", "said"),
    [
        ("model", ["--vocabulary", "nowhere.txt"], "no such file"),
        ("model", ["--threshold", "2"], "threshold"),
        ("sentences", ["--top-k", "2"], "--top-k is for models of isolated signs"),
    ],
)
def test_explain_refuses(place, capsys, tmp_path, model, words, said):
    pytest.importorskip("matplotlib")
    code, out, errors = run(
        capsys, "explain", files_of(place)[0], "--model", place / model, "--out", tmp_path / "o", *words
    )
    assert (code, out, len(errors)) == (2, "", 1) and said in errors[0]


# ----- push, pull ------------------------------------------------------------------------------------------------------


def test_push_and_pull(place, rows, capsys, tmp_path):
    """With a Hub on the loopback: the card is worded for single signs, the model is recognized with by folder and by name."""
    from hub_client import Client
    from hub_server import HubServer

    words = ["--vocabulary", place / "words.txt", "--threshold", 0.9, "--unknown"]
    results, _ = evaluated(place, tmp_path / "out", capsys, *words)
    part = results["rejection"]
    with HubServer() as hub:
        client = Client(hub.environment(tmp_path / "home"), tmp_path / "work")
        try:
            code, _, errors = client("push", place / "model", "someone/signs", "--results", tmp_path / "out")
            assert code == 0, errors
            code, _, errors = client("pull", "someone/signs", "--out", tmp_path / "pulled")
            assert code == 0, errors
            given = [files_of(place)[1], "--format", "csv", "--vocabulary", place / "words.txt"]
            answers = [
                client("recognize", *given, "--model", model) for model in ("someone/signs", tmp_path / "pulled")
            ]
        finally:
            client.close()
    assert answers[0] == answers[1] and answers[0][0] == 0
    assert answers[0][1] == run(capsys, "recognize", *given, "--model", place / "model")[1]
    card = (tmp_path / "pulled" / "README.md").read_text()
    head = card.split("---")[1]
    assert "pipeline_tag: video-classification" in head and "- isolated-sign-recognition" in head
    assert "type: accuracy" in head and "name: top-1 accuracy" in head and "name: top-5 accuracy" in head
    for score, n in (("top_1", 1), ("top_5", 5)):
        found = results["scores"][score]
        assert f"| top-{n} accuracy | {100 * found['per_instance']:.2f} %" in card
        assert f"| top-{n} accuracy, averaged over signs | {100 * found['per_class']:.2f} %" in card
    assert (
        "Recognizes single signs of" in card and 'pipeline("isolated-sign-recognition", model="someone/signs"' in card
    )
    assert f"{100 * part['unknown_refused']:.2f} % are not sure (AUROC {part['auroc']:.3f})" in card
    assert not re.search(r"\bWER\b|insertion|deletion|as a sequence of glosses", card)


# ----- train, extract --------------------------------------------------------------------------------------------------


def test_train_ends_in_a_model_that_recognize_takes(rows, place, capsys, tmp_path):
    words = ["train", "isolated", "--dataset", place / "rows", "--dev_share", 0.2, "--output_dir", tmp_path / "run"]
    tracks = json.dumps({"vision_config": None, "pose_config": {"track_dims": {"hands": 7, "body": 5, "depth": 4}}})
    more = ["--train_split", "test", "--num_train_epochs", 1, "--model_config", tracks, "--fps", FPS]
    assert main([str(word) for word in [*words, *more]]) == 0
    capsys.readouterr()
    code, out, errors = run(capsys, "recognize", files_of(place)[1], "--model", tmp_path / "run" / "model")
    assert (code, errors) == (0, []) and out.strip() in signs_of(rows)


def test_extracted_hands_are_checked_and_evaluated_as_the_video_is_recognized(capsys, tmp_path):
    """extract, data check and evaluate with the shipped model, on a real video."""
    pytest.importorskip("mediapipe", reason="the extra mediapipe is not installed")
    video = tmp_path / "clips" / "write" / "ann_1.mkv"
    video.parent.mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frames = [
            f[::3, ::3] for _, f in iter_video(open_video(str(data_folder("wlasl_videos") / "69544.mp4")), None, None)
        ]
    write_video(video, np.stack(frames[18:34]), 30)
    extracted = tmp_path / "poses"
    words = ["extract", "folder", "--data-dir", tmp_path / "clips", "--tracks", "hands", "--out", extracted]
    assert run(capsys, *words)[0] == 0
    assert run(capsys, "data", "check", extracted)[0] == 0
    words = ["--split", "train", "--source", "poses", "--rounds", 9, "--threshold", "none", "--out", tmp_path / "out"]
    code, _, errors = run(capsys, "evaluate", "asl", extracted, *words)
    assert code == 0, errors
    (row,) = csv.DictReader((tmp_path / "out" / "clips.tsv").read_text().splitlines(), delimiter="\t")
    code, out, _ = run(capsys, "recognize", video, "--model", "asl", "--threshold", "none")
    assert code == 0 and list(row.values())[-1].split(" | ")[0] == out.strip()
