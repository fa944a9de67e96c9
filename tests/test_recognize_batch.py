"""`signx-hf recognize --out`: whole files or none, nothing done twice, nothing of others replaced, whatever ends a run."""

import errno
import json
import multiprocessing
import os
import random
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import recognize_probe
from conftest import ROOT
from make_model import FPS, make_frames, make_poses, save_folder, write_video
from recognition_results import tree

from signx_hf.cli import main
from signx_hf.jobs.local_engine import ONE_THREAD
from signx_hf.processing.errors_signx import SignXError
from signx_hf.recognition import loading
from signx_hf.recognition.inputs import ClipFile, check_stems, find_clips
from signx_hf.recognition.outputs import STATE, OutputFolder
from signx_hf.writers import WRITERS, read_eaf

for module in ("pympi", "webvtt"):
    pytest.importorskip(module)

PLACES = ["a/one", "b/two", "frames", "three"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model, and a folder with clips of every kind below it."""
    base = tmp_path_factory.mktemp("batch")
    save_folder(base / "model", "SignXForLatentCTC")  # CTC: beams of an untrained decoder would take their time
    for name in ("a", "b", "frames", ".hidden"):
        (base / "clips" / name).mkdir(parents=True)
    write_video(base / "clips" / "a" / "one.mkv", make_frames(20))
    write_video(base / "clips" / "b" / "two.mkv", make_frames(9, seed=1))
    write_video(base / "clips" / ".hidden" / "no.mkv", make_frames(9, seed=1))
    np.savez(base / "clips" / "three.npz", fps=FPS, **make_poses(12, seed=2))
    (base / "clips" / "notes.txt").write_text("no clip")
    from PIL import Image

    for number, frame in enumerate(make_frames(6, seed=3)):
        Image.fromarray(frame).save(base / "clips" / "frames" / f"{number}.png")
    return base


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """On some processors two threads round a product otherwise than one; here it is processes that are compared."""
    import torch

    before = torch.get_num_threads()
    for name in ONE_THREAD:
        monkeypatch.setenv(name, "1")
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def clips(place, tmp_path) -> Path:
    """A copy of the clips that a test may change."""
    return Path(shutil.copytree(place / "clips", tmp_path / "clips"))


@pytest.fixture
def no_model(monkeypatch):
    monkeypatch.setattr(loading, "load_pipeline", lambda *_: pytest.fail("the model was loaded"))


@pytest.fixture
def diary(monkeypatch, tmp_path):
    """The clips that were recognized, as their paths."""
    path, load = tmp_path / "diary", loading.load_pipeline
    monkeypatch.setattr(loading, "load_pipeline", lambda *given: recognize_probe.Observed(load(*given), str(path)))

    def read() -> list[str]:
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    return read


def run(capsys, *arguments) -> tuple[int, str, list[str]]:
    """Exit code, standard output, lines of standard error."""
    code = main(["recognize", *map(str, arguments)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err.splitlines()


def left_over(out: Path) -> list[Path]:
    return list((out / STATE / "parts").iterdir())


def test_all_formats_of_all_that_lies_below_a_folder(place, clips, tmp_path, capsys):
    (clips / "bad.mp4").write_text("once upon a time")
    out = clips / "results"  # inside of the source
    arguments = (clips, "--recursive", "--model", place / "model", "--format", "all", "--out", out)
    code, said, errors = run(capsys, *arguments)
    assert code == 1 and len(errors) == 2
    assert errors[0].startswith(f"signx-hf: {clips}/bad.mp4: cannot be opened as a video (")
    assert errors[1] == "signx-hf: 1 of 5 files failed"
    frames = 20 + 9 + 6 + 12
    assert said == f"5 clips: 4 recognized ({frames} frames), 0 already finished, 1 failed; results in {out}\n"
    files = tree(out)
    assert sorted(files) == sorted(f"{name}.{kind}" for name in PLACES for kind in WRITERS)
    assert not left_over(out)
    recognizer = loading.load_pipeline(str(place / "model"))
    for name, path in zip(PLACES, ("a/one.mkv", "b/two.mkv", "frames", "three.npz")):
        result = recognizer(str(clips / path))
        assert json.loads(files[f"{name}.json"]) == {"version": 1, "file": str(clips / path), **result}
        assert files[f"{name}.txt"].decode() == WRITERS["txt"].render(result, "", None)
        found = read_eaf(out / f"{name}.eaf")
        assert found["glosses"] == result["glosses"] and found["media" if name < "c" else "glosses"]
    code, said, errors = run(capsys, *arguments)  # the results in the folder are no clips
    assert code == 1 and said.startswith("5 clips: 4 ") and tree(out) == files


def test_resume_does_nothing_twice(place, clips, tmp_path, capsys, diary):
    out = tmp_path / "out"
    arguments = [clips, "--recursive", "--model", place / "model", "--format", "json,srt", "--out", out, "--resume"]
    assert run(capsys, *arguments)[0] == 0
    before = tree(out)
    assert len(diary()) == 4

    def again(*more) -> tuple[int, list[str]]:
        code, _, errors = run(capsys, *(more or arguments))
        return code, [f"error {line}" for line in errors] + diary()

    assert again() == (0, []) and tree(out) == before
    (out / "three.srt").unlink()
    assert again() == (0, []) and tree(out) == before, "written again from what was recognized"
    wider = [*arguments[:5], "all", *arguments[6:]]
    assert again(*wider) == (0, []) and len(tree(out)) == 4 * len(WRITERS), "further formats need no model"
    (out / STATE / "clips" / "b" / "two.json").write_text("{")
    (out / "b" / "two.json").unlink(), (out / "b" / "two.srt").unlink()
    for kind in set(WRITERS) - {"json", "srt"}:
        (out / "b" / f"two.{kind}").unlink()
    assert again() == (0, [f"{clips}/b/two.mkv"]), "a damaged record"
    write_video(clips / "a" / "one.mkv", make_frames(11, seed=5))
    assert again() == (0, [f"{clips}/a/one.mkv"]), "another clip of the same name"
    assert json.loads((out / "a" / "one.json").read_text())["duration"] == pytest.approx(11 / 15, abs=1e-3)
    code, found = again(*arguments, "--option", "num_beams=2")
    assert code == 0 and len(found) == 4, "other options"
    shutil.copytree(place / "model", tmp_path / "model")
    (tmp_path / "model" / "more.json").write_text("{}")
    arguments[3] = tmp_path / "model"
    assert len(again()[1]) == 4, "another model"
    assert len(again(*arguments[:-1])[1]) == 4, "without --resume all of it"


def test_what_others_wrote_is_never_replaced(place, clips, tmp_path, capsys, diary):
    out = tmp_path / "out"
    arguments = (clips / "three.npz", "--model", place / "model", "--format", "txt,eaf", "--out", out)
    out.mkdir()
    (out / "three.eaf").write_text("mine")
    code, _, errors = run(capsys, *arguments)
    assert code == 1 and (out / "three.eaf").read_text() == "mine" and not diary()
    assert errors[0].startswith(f"signx-hf: {clips}/three.npz: {out}/three.eaf: already exists")
    (out / "three.eaf").unlink()
    assert run(capsys, *arguments)[0] == 0 and diary()
    assert run(capsys, *arguments)[0] == 0 and diary(), "our own are replaced"
    (out / "three.eaf").write_text("corrected")
    assert run(capsys, *arguments)[0] == 1 and (out / "three.eaf").read_text() == "corrected" and not diary()
    code, said, errors = run(capsys, *arguments, "--resume")
    assert (code, diary()) == (0, []) and (out / "three.eaf").read_text() == "corrected"
    assert len(errors) == 1 and errors[0].startswith(f"signx-hf: warning: {out}/three.eaf: was changed since")


def test_several_processes_write_the_same_bytes(place, clips, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (clips / "bad.npz").write_bytes(b"PK")
    base = (clips, "--recursive", "--model", place / "model", "--format", "all")
    assert run(capsys, *base, "--out", tmp_path / "one")[0] == 1
    code, said, errors = run(capsys, *base, "--out", tmp_path / "two", "--jobs", 2)
    assert code == 1 and said.startswith("5 clips: 4 recognized (47 frames)")
    assert len(errors) == 2 and errors[0].startswith(f"signx-hf: {clips}/bad.npz: ")
    one, two = tree(tmp_path / "one"), tree(tmp_path / "two")
    assert one.keys() == two.keys() and [name for name in one if one[name] != two[name] and ".eaf" not in name] == []
    relative = [content.replace(b"/one/", b"/two/") for content in one.values()]
    assert relative == [two[name] for name in one]


def test_ray_writes_the_same_bytes(place, clips, tmp_path, capsys, monkeypatch):
    pytest.importorskip("ray.data")
    import ray

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (clips / "bad.npz").write_bytes(b"PK")
    base = (clips, "--recursive", "--model", place / "model", "--format", "json,vtt")
    assert run(capsys, *base, "--out", tmp_path / "one")[0] == 1
    code, said, errors = run(capsys, *base, "--out", tmp_path / "two", "--engine", "ray")
    assert not ray.is_initialized()
    assert code == 1 and said.startswith("5 clips: 4 recognized (47 frames)")
    assert any(line.startswith(f"signx-hf: {clips}/bad.npz: ") for line in errors)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    assert not list((tmp_path / "two" / STATE).glob("starts-*"))


def finished(out: Path, kinds: int) -> set[str]:
    """Places of which the record and every file is there."""
    base = out / STATE / "clips"
    names = [path.relative_to(base).with_suffix("").as_posix() for path in base.rglob("*.json")]
    return {name for name in names if len(list(out.glob(f"{name}.*"))) == kinds}


@pytest.mark.parametrize(
    ("frames", "options"), [(6, ()), (200, ("--option", "chunk_length_s=4"))], ids=["clips", "long"]
)
def test_killed_and_resumed(place, tmp_path, capsys, frames, options):
    """SIGKILL at two random moments: the files of a run that nobody killed, and no clip recognized after it was finished."""
    folder, out, journal = tmp_path / "clips", tmp_path / "out", tmp_path / "diary"
    folder.mkdir()
    for seed in range(8):
        np.savez(folder / f"clip{seed}.npz", **make_poses(frames + seed, seed=seed))
    arguments = ["recognize", str(folder), "--model", str(place / "model"), "--format", "all", *options]
    assert main([*arguments, "--out", str(tmp_path / "whole")]) == 0
    context = multiprocessing.get_context("forkserver")  # importing takes longer than working here
    context.set_forkserver_preload(
        ["recognize_probe", "signx_hf.recognition.batch", "signx_hf.processing.pipeline_signx"]
    )
    given = ([*arguments, "--out", str(out), "--resume"], str(journal), 0.05, str(tmp_path / "errors"))
    draw = random.Random(0)
    for expected in (1, 4):
        process = context.Process(target=recognize_probe.child, args=given)
        process.start()
        limit = time.monotonic() + 120
        while len(finished(out, len(WRITERS))) < expected and process.is_alive() and time.monotonic() < limit:
            time.sleep(0.002)
        time.sleep(draw.uniform(0, 0.1))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL, (tmp_path / "errors").read_text()
        done = finished(out, len(WRITERS))
        assert expected <= len(done) < 8
        whole = tree(tmp_path / "whole")
        for name, content in tree(out).items():  # what is there, is whole
            if not name.endswith(".eaf"):
                assert content == whole[name]
        journal.unlink(missing_ok=True)
        process = None
        if expected == 4:
            process = context.Process(target=recognize_probe.child, args=given)
            process.start(), process.join(120)
            assert process.exitcode == 0, (tmp_path / "errors").read_text()
            assert not {Path(line).stem for line in journal.read_text().splitlines()} & done
    found = {name: content.replace(b"/out/", b"/whole/") for name, content in tree(out).items()}
    assert found == tree(tmp_path / "whole") and not left_over(out)


class Answers:
    """A recognizer whose answers are given, where a test is about what happens around it."""

    def __init__(self, *answers):
        self.answers, self.model = list(answers), None

    def __call__(self, path):
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer() if callable(answer) else answer


EMPTY = {"glosses": [], "text": "", "segments": [], "n_best": [], "duration": 1.0, "reason": "nobody signs"}


def test_control_c_keeps_what_is_finished(place, clips, tmp_path, capsys, monkeypatch):
    answers = Answers(EMPTY, KeyboardInterrupt(), EMPTY, EMPTY, EMPTY)
    monkeypatch.setattr(loading, "load_pipeline", lambda *_: answers)
    out = tmp_path / "out"
    arguments = (clips, "--recursive", "--model", place / "model", "--format", "all", "--out", out, "--resume")
    assert run(capsys, *arguments)[::2] == (130, ["signx-hf: stopped"])
    assert len(tree(out)) == len(WRITERS) and not left_over(out)
    code, said, _ = run(capsys, *arguments)
    assert code == 0 and said.startswith("4 clips: 3 recognized (0 frames), 1 already finished")
    assert json.loads((out / "three.json").read_text())["reason"] == "nobody signs"


def test_a_full_disk_stops_the_run_and_keeps_what_is_there(place, clips, tmp_path, capsys, monkeypatch):
    write, left = OutputFolder._write, [1 + 1 + 2]  # the probe, a clip, its record, half of the next

    def full(self, path, text, sync=False):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, path, text, sync)

    monkeypatch.setattr(OutputFolder, "_write", full)
    monkeypatch.setattr(loading, "load_pipeline", lambda *_: Answers(EMPTY, EMPTY, EMPTY, EMPTY))
    out = tmp_path / "out"
    arguments = (clips, "--recursive", "--model", place / "model", "--out", out, "--resume")
    code, said, errors = run(capsys, *arguments)
    assert (code, said) == (1, "")
    assert len(errors) == 1 and "--resume" in errors[0]
    assert errors[0].startswith(f"signx-hf: {out}: cannot be written (No space left on device)")
    assert len(tree(out)) == 1
    monkeypatch.setattr(OutputFolder, "_write", write)
    code, said, _ = run(capsys, *arguments)
    assert (
        code == 0 and said.startswith("4 clips: 2 recognized (0 frames), 2 already finished") and len(tree(out)) == 4
    )


def test_a_file_that_grows_while_it_is_read(place, clips, tmp_path, capsys, monkeypatch):
    path = clips / "three.npz"

    def grow():
        path.write_bytes(path.read_bytes() + b"more")
        return EMPTY

    monkeypatch.setattr(loading, "load_pipeline", lambda *_: Answers(grow))
    code, _, errors = run(capsys, path, "--model", place / "model", "--out", tmp_path / "out")
    assert code == 1 and not tree(tmp_path / "out")
    assert errors[0].startswith(f"signx-hf: {path}: changed while it was being read")


def test_two_clips_of_one_output_are_refused_before_any_work(place, tmp_path, capsys, no_model):
    out = tmp_path / "out"
    for first, second in (("a/clip.mp4", "b/clip.mp4"), ("clip.mp4", "clip.mkv"), ("clip.mp4", "clip.mp4")):
        code, said, errors = run(capsys, first, second, "--model", place / "model", "--out", out)
        assert (code, said) == (2, "") and not out.exists()
        assert len(errors) == 1
        assert errors[0].startswith(f"signx-hf: {first} and {second} would both be written to clip.*")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--resume"], "--resume needs --out"),
        (["--jobs", "2"], "--jobs needs --out"),
        (["--jobs", "0"], "--jobs must be a positive integer, got 0"),
        (["--engine", "ray"], "--engine ray needs --out"),
        (["--format", "json,tsv"], "--format json,tsv needs --out"),
        (["--format", "eaf"], "--format eaf needs --out"),
        (["--out", " "], "--out must be a folder, got an empty name"),
        (["--out", "x", "--option", "beams"], "--option must be NAME=VALUE, such as num_beams=8, got 'beams'"),
        (["--out", "no-such.json/x"], "cannot load the model 'm'"),
    ],
)
def test_what_cannot_be_done_is_said_before_any_work(arguments, said, capsys, no_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, printed, errors = run(capsys, "one.mp4", "--model", "m", *arguments)
    assert (code, printed, len(errors)) == (2, "", 1) and said in errors[0]


def test_a_place_that_cannot_be_written_and_subtitles_of_two_clips(place, capsys, no_model):
    model = ("--model", place / "model")
    code, _, errors = run(capsys, "one.mp4", *model, "--out", __file__)
    assert (code, len(errors)) == (2, 1)
    assert errors[0].startswith(f"signx-hf: {__file__}: cannot be written (Not a directory)")
    code, _, errors = run(capsys, "one.mp4", "two.mp4", *model, "--format", "srt")
    assert (code, len(errors)) == (2, 1) and "--format srt needs --out for 2 clips" in errors[0]


def test_an_option_that_the_pipeline_does_not_have(place, clips, tmp_path, capsys):
    for out in ((), ("--out", tmp_path / "out")):
        code, _, errors = run(capsys, clips / "three.npz", "--model", place / "model", "--option", "beams=3", *out)
        assert (code, len(errors)) == (2, 1)
        assert "'beams'" in errors[0] and "decoder," in errors[0]
    code, said, _ = run(
        capsys, clips / "three.npz", "--model", place / "model", "--format", "json", "--option", "n_best=3"
    )
    assert code == 0 and len(json.loads(said)["n_best"]) == 3


def test_subtitles_of_one_clip_on_standard_output(place, clips, capsys):
    from signx_hf.writers import WRITERS

    recognizer = loading.load_pipeline(str(place / "model"))
    path = clips / "three.npz"
    for kind in ("srt", "vtt", "ctm"):
        code, said, errors = run(capsys, path, "--model", place / "model", "--format", kind)
        assert (code, errors) == (0, [])
        assert said.strip() == WRITERS[kind].render(recognizer(str(path)), str(path), None).strip()


def test_two_files_of_one_name_are_two_clips_in_ctm(place, clips, capsys, tmp_path):
    (tmp_path / "again").mkdir()
    shutil.copy(clips / "a" / "one.mkv", tmp_path / "again" / "one.mkv")
    paths = [str(clips / "a" / "one.mkv"), str(clips / "three.npz"), str(tmp_path / "again" / "one.mkv")]
    code, said, errors = run(capsys, *paths, "--model", place / "model", "--format", "ctm")
    names = list(dict.fromkeys(line.split()[0] for line in said.splitlines()))
    assert code == 0 and names == [paths[0], "three", paths[2]]
    assert "several clips share the name one, so CTM names them by their paths" in errors[0]


def test_an_extra_that_is_missing_is_named_before_any_work(place, capsys, no_model, monkeypatch, tmp_path):
    import sys

    monkeypatch.setitem(sys.modules, "webvtt", None)
    code, _, errors = run(capsys, "a.mp4", "--model", place / "model", "--format", "all", "--out", tmp_path / "out")
    assert code == 2 and "it belongs to the extra 'subtitles', pip install \"signx_hf[subtitles]\"" in errors[0]


def test_which_clips_a_folder_stands_for(clips, tmp_path):
    def stems(*files, **options) -> list[str]:
        return [clip.stem for clip in find_clips([str(file) for file in files], **options)]

    assert stems(clips, recursive=True) == ["three", "frames", "a/one", "b/two"]
    assert stems(clips) == ["three"] == stems(clips / "three.npz")
    assert stems(clips / "frames") == ["frames"] == stems(clips / "frames", recursive=True)
    assert stems(clips / "a", clips / "b") == ["one", "two"]
    (clips / "a" / "preview.png").write_bytes(b"")
    assert stems(clips, recursive=True) == ["three", "frames", "a/one", "b/two"]
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (clip,) = find_clips([str(tmp_path / "deep")])
    assert clip.problem.startswith(f"{tmp_path}/deep: no video or pose file") and "--recursive" in clip.problem
    (clip,) = find_clips([str(tmp_path / "deep")], recursive=True)
    assert clip.problem.startswith(f"{tmp_path}/deep: no video or pose file") and "--recursive" not in clip.problem
    with pytest.raises(SignXError, match="/: must be a file or folder with a name"):
        check_stems([ClipFile("/", "")])
