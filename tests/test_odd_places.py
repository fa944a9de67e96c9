"""Places and requests that nobody means: outputs over inputs, pipes that never end, files that fill the memory, options that no
clip can be read with. Nothing is lost, nothing hangs, and one line says what was wanted."""

import json
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from make_model import FPS, make_frames, make_poses, save_folder, write_video

from signx_hf import SignXConfig, SignXError, SignXStreamer, SignXWarning, load_dataset
from signx_hf.cli import main
from signx_hf.common.atomic_io import output_file
from signx_hf.common.fingerprints import read_sha256
from signx_hf.data.load import open_source
from signx_hf.data.xml_safety import declares_entities
from signx_hf.metrics import bootstrap_interval, expected_calibration_error, mpjpe
from signx_hf.modeling.ngram_signx import NGramModel
from signx_hf.processing.pose_files_signx import load_numpy
from signx_hf.recognition.loading import load_pipeline

BOMB = '<?xml version="1.0" encoding="{0}"?><!DOCTYPE a [<!ENTITY b "{1}"><!ENTITY c "&b;&b;">]><a>&c;</a>'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_folder(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def recognizer(folder):
    return load_pipeline(str(folder), "cpu")


def run(capsys, *arguments) -> tuple[int, list[str]]:
    code = main([str(argument) for argument in arguments])
    return code, capsys.readouterr().err.splitlines()


def test_an_output_is_no_input(tmp_path):
    source = tmp_path / "clip.mp4"
    source.write_bytes(b"film")
    link = tmp_path / "other.mp4"
    link.symlink_to(source)
    for path in (source, link, tmp_path / "." / "clip.mp4"):
        with pytest.raises(SignXError, match=r"is read, too \(.*clip.mp4\); wanted another file; choose another name"):
            output_file(path, [source])
    with pytest.raises(SignXError, match="no folder .*nowhere; wanted one that exists; make it first"):
        output_file(tmp_path / "nowhere" / "a.json", [source])
    assert output_file(tmp_path / "a.json", [source, tmp_path / "not there"]) == tmp_path / "a.json"


def test_commands_keep_what_they_read(tmp_path, capsys):
    text, clip = tmp_path / "text.txt", tmp_path / "clip.mp4"
    text.write_text("A B\n")
    clip.write_bytes(b"film")
    code, errors = run(capsys, "lm", "train", "--text", text, "--out", text)
    assert code == 2 and "is read, too" in errors[0] and text.read_text() == "A B\n"
    code, errors = run(capsys, "align", clip, "A", "--model", "demo", "--out", clip, "--format", "json")
    assert code == 2 and "is read, too" in errors[0] and clip.read_bytes() == b"film"


def test_a_language_model_goes_where_a_link_leads_and_replaces_no_pipe(tmp_path, capsys):
    text, target, link, pipe = (tmp_path / name for name in ("text.txt", "target.arpa", "link.arpa", "pipe"))
    text.write_text("A B\nB A\n")
    link.symlink_to(target)
    os.mkfifo(pipe)
    assert run(capsys, "lm", "train", "--text", text, "--out", link)[0] == 0
    assert link.is_symlink() and NGramModel.read(target).knows("A")
    code, errors = run(capsys, "lm", "train", "--text", text, "--out", pipe)
    assert (code, pipe.is_fifo()) == (2, True) and "no regular file; wanted a file or a free name" in errors[0]
    with pytest.raises(ValueError, match="pipe: .*regular file"):
        NGramModel.read(target).write(pipe)
    assert pipe.is_fifo()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be", "iso-8859-1"])
def test_entities_are_seen_in_every_encoding(encoding):
    name = encoding if encoding != "utf-16-le" and encoding != "utf-16-be" else "utf-16"
    assert declares_entities(BOMB.format(name, "lol").encode(encoding))
    plain = f'<?xml version="1.0" encoding="{name}"?><a>&lt;!ENTITY is a word here &amp; there</a>'
    assert not declares_entities(plain.encode(encoding))


def test_an_elan_file_with_entities_in_utf16_is_refused(tmp_path):
    pytest.importorskip("pympi")
    from signx_hf.writers import read_eaf

    path = tmp_path / "bomb.eaf"
    path.write_bytes(BOMB.format("utf-16", "lol" * 1000).encode("utf-16"))
    with pytest.raises(SignXError, match="bomb.eaf: declares XML entities, which can be made to fill the memory"):
        read_eaf(path)


def test_pipes_are_not_waited_for(tmp_path, capsys):
    pipe = tmp_path / "clip.npz"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="a pipe or device, no regular file"):
        read_sha256(pipe)
    with pytest.raises(SignXError, match=r"clip.npz: not a regular file \(a pipe or device\); wanted a .npz file"):
        load_numpy(pipe, ".npz")
    table = tmp_path / "table.tsv"
    os.mkfifo(table)
    with pytest.raises(SignXError, match="table.tsv: a pipe or device; wanted a saved dataset, table or folder"):
        open_source(str(table))
    with pytest.raises(SignXError, match="table.tsv: a pipe or device; wanted data_dir of table"):
        load_dataset("table", data_dir=table)
    real = tmp_path / "real.tsv"
    real.write_text(f"id\tvideo\ttrack.dwpose\tglosses\nfirst\t{pipe}\t{pipe}\tA\n")
    assert main(["data", "check", str(real)]) == 1
    assert f"{pipe} is a pipe or device; wanted a file" in capsys.readouterr().out


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_no_room_for_standard_output_is_one_line():
    command = [sys.executable, "-m", "signx_hf", "data", "list"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert done.returncode == 1
    assert done.stderr.startswith("signx-hf: standard output cannot be written (No space left on device); wanted room")
    assert done.stderr.count("\n") == 1
    closed = subprocess.run(["sh", "-c", f"{sys.executable} -m signx_hf data list >&-"], capture_output=True, cwd=ROOT)
    assert (closed.returncode, closed.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"max_new_tokens": 0}, r"max_new_tokens is 0: wanted an integer >= 1 and at most 1e\+06"),
        ({"max_new_tokens": 1.5}, "max_new_tokens is 1.5: wanted an integer >= 1"),
        ({"max_length": 1e20}, r"max_length is 1e\+20: wanted an integer >= 1"),
        ({"temperature": 0}, "temperature is 0: wanted a number above 0"),
        ({"top_k": -1}, "top_k is -1: wanted an integer >= 0"),
        ({"top_p": 7}, "top_p is 7: wanted a number above 0 and at most 1"),
        ({"repetition_penalty": float("nan")}, "repetition_penalty is nan: wanted a number above 0"),
        ({"no_repeat_ngram_size": -1}, "no_repeat_ngram_size is -1: wanted an integer >= 0"),
        ({"source_fps": 0}, "source_fps=0: wanted a positive number of frames per second"),
        ({"lm": 5}, "lm.* got 5"),
        ({"hot_words": [1]}, r"hot_words.* got \[1\]"),
        ({"hot_words": {"NOBODY": 1.0}}, "hot_words.* got 'NOBODY'"),
    ],
)
def test_options_are_refused_before_the_first_clip(recognizer, option, message):
    with pytest.raises(ValueError, match=message):
        recognizer.check_options(**option)


def test_a_language_model_that_is_none_is_refused_before_the_first_clip(folder, tmp_path, capsys):
    lm, clip = tmp_path / "lm.arpa", tmp_path / "clip.npz"
    lm.write_text("once upon a time")
    np.savez(clip, **make_poses(20))
    code, errors = run(capsys, "recognize", clip, "--model", folder, "--lm", lm)
    assert code == 2 and len(errors) == 1 and errors[0].startswith(f"signx-hf: --option: {lm}")


def test_explain_goes_on_after_a_clip_that_breaks_a_library(folder, tmp_path, capsys, monkeypatch):
    pytest.importorskip("matplotlib")
    from signx_hf.interpretability import explanation

    explain = explanation.explain

    def breaks(recognizer, file, **options):
        if "first" in file:
            raise RuntimeError("something in a library")
        return explain(recognizer, file, **options)

    monkeypatch.setattr(explanation, "explain", breaks)
    clips = [write_video(tmp_path / name, make_frames(20)) for name in ("first.mp4", "x$\\frac{$.mp4", "b\udcff.mp4")]
    code, errors = run(capsys, "explain", *clips, "--model", folder, "--out", tmp_path / "out")
    assert code == 1 and errors == [f"signx-hf explain: {clips[0]}: something in a library"]
    assert len(list((tmp_path / "out").iterdir())) >= 6, "figures of the other two"
    file = tmp_path / "file"
    file.write_text("")
    code, errors = run(capsys, "explain", clips[0], "--model", folder, "--out", file)
    assert (code, errors) == (
        2,
        [f"signx-hf explain: {file}: a file; wanted a folder for the figures; choose another --out"],
    )


def test_a_refused_evaluation_claims_no_folder(folder, tmp_path):
    pytest.importorskip("jiwer")
    from signx_hf.data.schema import encode_poses, make_row, to_dataset
    from signx_hf.evaluation import EvaluationOptions, evaluate

    poses = encode_poses(make_poses(20), fps=FPS)
    row = make_row(id="a", fps=FPS, num_frames=20, signer="s", split="test", glosses=["IX-1p"], poses=poses)
    to_dataset([row], "test").save_to_disk(str(tmp_path / "clips"))
    given = {"model": str(folder), "dataset": str(tmp_path / "clips"), "out": str(tmp_path / "out"), "rounds": 10}
    with pytest.raises(SignXError, match="--option: sign-recognition has no option 'foo'"):
        evaluate(EvaluationOptions(**given, options={"foo": 1}), progress=False)
    with pytest.raises(SignXError, match="seed is -1; wanted a whole number from 0"):
        EvaluationOptions(**given, seed=-1)
    assert not (tmp_path / "out").exists()
    before = evaluate(EvaluationOptions(**given), progress=False)["scores"]
    record = next((tmp_path / "out" / ".signx_evaluate" / "clips").iterdir())
    content = json.loads(record.read_text())
    for damage in ({"glosses": 5, "segments": [1]}, {"glosses": [5]}, {"segments": [{"gloss": "A"}]}, [1]):
        record.write_text(json.dumps({**content, "result": damage}))
        assert evaluate(EvaluationOptions(**given), progress=False)["scores"] == before, "recognised again"


def test_metrics_take_nothing_for_what_it_is_not():
    with pytest.raises(SignXError, match="right: found 'False'; wanted true or false"):
        expected_calibration_error([0.5], ["False"])
    with pytest.raises(SignXError, match="right: found .*nan.*; wanted true or false"):
        expected_calibration_error([0.5], [float("nan")])
    with pytest.raises(SignXError, match="bins is nan; wanted a whole number"):
        expected_calibration_error([0.5], [True], bins=float("nan"))
    assert expected_calibration_error([0.5, 0.5], [1, 0]) == 0
    with pytest.raises(SignXError, match="the mask of found: found .*nan.*; wanted true or false"):
        mpjpe(np.zeros((1, 2, 2)), np.zeros((1, 2, 2)), found_mask=np.array([[1.0, np.nan]]))
    with pytest.raises(
        SignXError, match=r"errors: found numbers of shape \[1, 1\]; wanted one for each clip, in a row"
    ):
        bootstrap_interval([[1]], [[1]])
    assert bootstrap_interval([1, 2], [3, 4], rounds=np.int64(10)) == bootstrap_interval([1, 2], [3, 4], rounds=10)


def test_a_file_of_poses_without_a_rate_is_warned_of(recognizer, tmp_path):
    path = tmp_path / "clip.npz"
    np.savez(path, **make_poses(20))
    with pytest.warns(
        SignXWarning, match=r"clip.npz: no frame rate in it, so the model's 15 a second was taken; wanted `fps`"
    ):
        unknown = recognizer(str(path), decoder="ctc")
    with warnings.catch_warnings():
        warnings.simplefilter("error", SignXWarning)
        assert recognizer(str(path), source_fps=30, decoder="ctc")["duration"] == pytest.approx(
            unknown["duration"] / 2, abs=0.07
        )
        recognizer(make_poses(20), decoder="ctc")  # an array that a program hands over is its own business


def test_clips_of_a_kind_that_was_never_trained_on_are_refused(tmp_path):
    config = recognizer_of(tmp_path, ["poses"])
    for options in ({}, {"chunk_length_s": 20}):
        with pytest.raises(
            SignXError, match="video, but the model reads poses of hands, body, depth, which cannot be ext"
        ):
            config(make_frames(20), **options)
    assert config(make_poses(20), decoder="ctc")["segments"] is not None
    with pytest.raises(SignXError, match="stream: video, but the model reads poses of hands, body, depth"):
        SignXStreamer(config.model, config.processor)
    with pytest.raises(ValueError, match=r"trained_entries.* got \['sound'\]"):
        SignXConfig(trained_entries=["sound"])


def recognizer_of(folder, entries):
    return load_pipeline(str(save_folder(folder / "model", trained_entries=entries)), "cpu")


def test_glosses_that_are_not_in_the_clip_are_warned_of(recognizer, monkeypatch):
    monkeypatch.setattr(
        recognizer.model.config, "confidence_temperature", 0.1
    )  # surer of itself than random weights are
    logits, _ = recognizer.timing(make_poses(40))
    shares = (logits / 0.1).softmax(-1).amax(0)[1:]
    rare = recognizer.tokenizer.ctc_glosses[int(shares.argmin())]
    often = recognizer.tokenizer.ctc_glosses[int(shares.argmax())]
    assert shares.min() < 0.01 < shares.max(), "the model of the test has to know such glosses"
    with pytest.warns(SignXWarning, match=rf"1 of 1 glosses are hardly in the clip \({re.escape(rare)}\)"):
        recognizer.align(make_poses(40), [rare])
    with warnings.catch_warnings():
        warnings.simplefilter("error", SignXWarning)
        recognizer.align(make_poses(40), [often])
    with pytest.raises(SignXError, match="gloss 1, 'IX', is not in the model's vocabulary: the nearest are IX-1p"):
        recognizer.align(make_poses(40), ["IX"])
