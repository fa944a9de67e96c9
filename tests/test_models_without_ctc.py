"""A model without CTC (stage 1): glosses and n-best of its decoder in pipeline, commands, files and evaluation, times of nothing."""

import csv
import json

import numpy as np
import pytest
from evaluation_clips import make_rows, options, save
from helpers import run_python
from make_model import FPS, make_frames, make_poses, save_folder
from transformers import pipeline

import signx_hf
from signx_hf.cli import main
from signx_hf.evaluation import evaluate
from signx_hf.hub.card import read_model, snippet
from signx_hf.processing.errors_signx import SignXError
from signx_hf.processing.results_signx import Recognition
from signx_hf.writers import WRITERS, read_eaf

# What a model without CTC says of a clip of four seconds.
RESULT = {
    "glosses": ["IX-1p", "WORK"],
    "text": "IX-1p WORK",
    "segments": [{"gloss": gloss, "start": None, "end": None, "confidence": None} for gloss in ("IX-1p", "WORK")],
    "n_best": [{"glosses": ["IX-1p", "WORK"], "score": -1.0}],
    "duration": 4.0,
    "signer": None,
}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    base = tmp_path_factory.mktemp("stage1")
    save_folder(base / "model", "SignXForPose2Gloss", trained_entries=["poses", "video"])
    save(make_rows(), base / "clips")
    for index in range(2):
        np.savez(base / f"clip{index}.npz", **make_poses(30, seed=index), fps=FPS)
    return base


@pytest.fixture(scope="module")
def recognizer(base):
    return pipeline("sign-recognition", model=str(base / "model"), max_new_tokens=8)


def test_glosses_and_n_best_are_those_of_generate(recognizer):
    assert type(recognizer.model) is signx_hf.SignXForPose2Gloss
    result = recognizer(make_poses(30), n_best=2)
    model, processor = recognizer.model, recognizer.processor
    ids = model.generate(
        **processor(poses=make_poses(30)), num_beams=5, num_return_sequences=2, length_penalty=0.7, max_new_tokens=8
    )
    said = [text.split() for text in processor.batch_decode(ids, skip_special_tokens=True)]
    assert [hypothesis["glosses"] for hypothesis in result["n_best"]] == said and result["glosses"] == said[0] != []
    nothing = dict.fromkeys(("start", "end", "confidence"))
    assert result["segments"] == [{"gloss": gloss, **nothing} for gloss in said[0]]
    assert result["duration"] == pytest.approx(2.0) and "known" not in result
    assert Recognition.from_dict(json.loads(json.dumps(result))).to_dict() == result


def test_a_batch_and_a_video_are_read_too(recognizer):
    clips = [make_poses(30, seed=seed) for seed in range(3)]
    assert [r["glosses"] for r in recognizer(clips, batch_size=3)] == [recognizer(clip)["glosses"] for clip in clips]
    assert recognizer(make_frames(30), source_fps=FPS)["segments"][0]["start"] is None


@pytest.mark.parametrize(
    "given",
    [{"chunk_length_s": 10.0}, {"decoder": "ctc"}, {"ctc_weight": 0.3}, {"threshold": 0.5}],
    ids=lambda given: next(iter(given)),
)
def test_what_needs_ctc_is_refused(recognizer, given):
    for call in (lambda: recognizer(make_poses(30), **given), lambda: recognizer.check_options(**given)):
        with pytest.raises(SignXError, match=f"{next(iter(given))}.* needs a model with CTC, got SignXForPose2Gloss"):
            call()
    assert recognizer(make_poses(30), threshold="none", ctc_weight=0.0)["glosses"]


def test_hands_are_detected_in_poses_and_not_in_a_video(recognizer):
    with pytest.raises(
        SignXError, match="`hand` must be 'left', 'right' or 'as_trained' for a video and a model without"
    ):
        recognizer(make_frames(30), source_fps=FPS, hand="detect")


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["live", "--from-file", "clip0.npz"], "live recognition needs a model with CTC"),
        (["align", "clip0.npz", "IX-1p"], "align needs a model with CTC"),
        (["calibrate", "--dataset", "clips", "--split", "test", "--source", "poses"], "calibrate needs a model with CTC"),
        (["recognize", "clip0.npz", "--chunk-length", "10"], "needs a model with CTC"),
        (["recognize", "clip0.npz", "--threshold", "0.5"], "needs a model with CTC"),
        (["explain", "clip0.npz", "--out", "figures"], "explain needs a model with CTC"),
    ],
    ids=lambda value: "-".join(value[::2][:2]) if isinstance(value, list) else "",
)  # fmt: skip
def test_commands_that_need_ctc_say_so_in_one_line(base, arguments, words, capsys, monkeypatch):
    monkeypatch.chdir(base)
    assert main([*arguments, "--model", "model"]) in (1, 2)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "CTC" in line]
    assert words in line and "got SignXForPose2Gloss" in line and "signx-hf train latent_ctc" in line


def test_recognize_writes_every_format(base, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(base)
    given = ["--model", "model", "--option", "max_new_tokens=8", "--out", str(tmp_path)]
    assert main(["recognize", "clip0.npz", "clip1.npz", "--format", "all", *given]) == 0
    result = json.loads((tmp_path / "clip0.json").read_text())
    assert result["glosses"] and result["segments"][0]["start"] is None
    rows = list(csv.DictReader((tmp_path / "clip0.csv").open()))
    assert [row["gloss"] for row in rows] == result["glosses"] and {row["start"] for row in rows} == {""}
    assert main(["recognize", "clip0.npz", "clip1.npz", "--format", "all", *given, "--resume"]) == 0
    assert "2 already finished" in capsys.readouterr().out


def test_files_do_not_make_up_times(tmp_path):
    files = {name: WRITERS[name].render(RESULT, "clip.mp4", tmp_path / f"clip.{name}") for name in WRITERS}
    assert files["txt"] == "IX-1p WORK\n"
    assert files["tsv"].splitlines()[1:] == ["clip.mp4\tIX-1p\t\t\t", "clip.mp4\tWORK\t\t\t"]
    assert files["csv"].splitlines()[1:] == ["clip.mp4,IX-1p,,,", "clip.mp4,WORK,,,"]
    assert json.loads(files["json"])["segments"] == RESULT["segments"]
    assert files["srt"] == "1\n00:00:00,000 --> 00:00:04,000\nIX-1p WORK\n"
    assert files["vtt"].split("\n\n")[1].strip() == "00:00:00.000 --> 00:00:04.000\nIX-1p WORK"
    (tmp_path / "clip.eaf").write_text(files["eaf"])
    read = read_eaf(tmp_path / "clip.eaf")
    assert read["segments"] == [{"gloss": "IX-1p WORK", "start": 0.0, "end": 4.0, "confidence": None}]
    # sclite needs a time for each word, and goes by their order
    assert files["ctm"] == "clip 1 0.000 2.000 IX-1p\nclip 1 2.000 2.000 WORK\n"


def test_times_of_a_model_with_ctc_are_written_as_before():
    segments = [{"gloss": "A", "start": 0.5, "end": 1.0, "confidence": 0.5}]
    result = {**RESULT, "glosses": ["A"], "text": "A", "segments": segments}
    assert WRITERS["srt"].render(result, "c", None) == "1\n00:00:00,500 --> 00:00:01,000\nA\n"
    assert WRITERS["ctm"].render(result, "c", None) == "c 1 0.500 0.500 A 0.5000\n"


def test_evaluation_counts_errors_and_no_times(base):
    results = evaluate(options(base, options={"max_new_tokens": 8, "num_beams": 1}), progress=False)
    assert results["task"] == "sign-recognition" and results["model"]["architecture"] == "SignXForPose2Gloss"
    assert results["scores"]["plain"]["words"] == sum(len(row["glosses"]) for row in make_rows())
    assert results["times"] is None and results["calibration"] is None
    again = evaluate(options(base, options={"max_new_tokens": 8, "num_beams": 1}), progress=False)
    assert again["run"]["finished_before"] == again["data"]["clips"]  # records without times are records


def test_a_card_does_not_print_times(base):
    model = read_model(base / "model")
    assert not model.has_times and "segments" not in snippet("user/name", model)


def test_text_of_such_a_model(base, tmp_path):
    save_folder(tmp_path, "SignXForPose2Gloss", trained_tasks=["gloss", "text"])
    translate = pipeline("sign-translation", model=str(tmp_path), max_new_tokens=6)
    result = translate(make_poses(30))
    assert type(translate.model) is signx_hf.SignXForPose2Gloss
    assert result["text"] and result["sentences"][0]["end"] == result["duration"]
    with pytest.raises(SignXError, match="needs a model with CTC"):
        translate(make_poses(30), chunk_length_s=10.0)
    with pytest.raises(SignXError, match="learned glosses, not text"):
        pipeline("sign-translation", model=str(base / "model"))


def test_it_travels(base, recognizer, tmp_path):
    config = json.loads((base / "model" / "config.json").read_text())
    assert config["auto_map"]["AutoModelForSeq2SeqLM"] == "modeling_signx.SignXForPose2Gloss"
    code = f"""
    import numpy as np
    from transformers import pipeline
    recognizer = pipeline(model={str(base / "model")!r}, trust_remote_code=True, max_new_tokens=8)
    print(recognizer.task, type(recognizer.model).__name__, *recognizer({str(base / "clip0.npz")!r})["glosses"])
    """
    said = run_python(code, tmp_path, package=False).split()
    assert said == ["sign-recognition", "SignXForPose2Gloss", *recognizer(str(base / "clip0.npz"))["glosses"]]


def test_a_language_model_scores_its_glosses(base, recognizer, tmp_path):
    """It needs the spelling of glosses, and no CTC."""
    signx_hf.NGramModel.train([["WETTER", "WETTER"]] * 20, 2).write(str(tmp_path / "lm.arpa"))
    given = {"lm": str(tmp_path / "lm.arpa"), "lm_weight": 0.7, "num_beams": 2}
    (best,) = recognizer(make_poses(30), **given)["n_best"]
    model, processor = recognizer.model, recognizer.processor
    output = model.generate(
        **processor(poses=make_poses(30)), **given, ctc_glosses=processor.tokenizer.ctc_glosses, length_penalty=0.7,
        max_new_tokens=8, return_dict_in_generate=True, output_scores=True,
    )  # fmt: skip
    assert best["glosses"] == processor.batch_decode(output.sequences, skip_special_tokens=True)[0].split()
    assert best["score"] == pytest.approx(float(output.sequences_scores[0]), rel=1e-5)
    assert best["score"] != recognizer(make_poses(30), num_beams=2)["n_best"][0]["score"]


def test_a_later_stage_does_not_name_the_class_of_this_one(base, tmp_path):
    signx_hf.SignXForLatentCTC.from_pretrained(base / "model").save_pretrained(tmp_path / "3")
    signx_hf.SignXForGlossRecognition.from_pretrained(tmp_path / "3").save_pretrained(tmp_path / "4")
    maps = [
        json.loads((folder / "config.json").read_text())["auto_map"] for folder in (tmp_path / "3", tmp_path / "4")
    ]
    models = [{name: code for name, code in found.items() if name.startswith("AutoModelFor")} for found in maps]
    assert models == [
        {"AutoModelForCTC": "modeling_signx.SignXForLatentCTC"},
        {"AutoModelForSeq2SeqLM": "modeling_signx.SignXForGlossRecognition"},
    ]
