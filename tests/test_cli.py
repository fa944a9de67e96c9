"""The command line: every format, what goes where when a file is bad, exit codes, and any name or locale."""

import json
import os
import signal
import subprocess
import sys

import pytest
from conftest import ROOT
from make_model import FPS, make_frames, make_poses, save_folder, write_video

from signx_hf import __version__
from signx_hf.cli import main
from signx_hf.recognition import loading


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model folder, two clips, and one that is bad."""
    base = tmp_path_factory.mktemp("cli")
    save_folder(base / "model")
    write_video(base / "one.mkv", make_frames(20))
    write_video(base / "two.mkv", make_frames(9, seed=1))
    (base / "bad.mp4").write_text("once upon a time")
    return base


class FakeRecognizer:
    """Answers without a model where a test is about the printing: glosses by file name."""

    def __init__(self, answers: dict):
        self.answers = answers

    def __call__(self, path):
        answer = self.answers[path]
        if isinstance(answer, BaseException):
            raise answer
        segments = [
            {"gloss": gloss, "start": 0.25 * n, "end": 0.25 * n + 0.25, "confidence": None if n else 0.5}
            for n, gloss in enumerate(answer)
        ]
        return {"glosses": answer, "text": " ".join(answer), "segments": segments, "n_best": [], "duration": 1.0}


@pytest.fixture
def answers(monkeypatch):
    """Lets a test say what each file contains."""
    table = {}
    monkeypatch.setattr(loading, "load_pipeline", lambda *_: FakeRecognizer(table))
    return table


def run(capsys, *arguments) -> tuple[int, str, list[str]]:
    """Exit code, standard output, lines of standard error."""
    code = main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err.splitlines()


def process(*arguments, cwd, **environment) -> subprocess.CompletedProcess:
    """A real process, as bytes."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", **environment}
    command = [sys.executable, "-m", "signx_hf", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, timeout=1500)


def test_json_has_what_the_pipeline_says(place, capsys):
    files = [place / "one.mkv", place / "two.mkv"]
    code, out, errors = run(capsys, "recognize", "--model", place / "model", "--format", "json", *files)
    assert (code, errors) == (0, [])
    rows = [json.loads(line) for line in out.splitlines()]
    recognizer = loading.load_pipeline(str(place / "model"))
    assert rows == [{"version": 1, "file": str(path), **recognizer(str(path))} for path in files]
    assert [row["duration"] for row in rows] == [pytest.approx(20 / FPS, abs=1e-3), pytest.approx(9 / FPS, abs=1e-3)]


def test_tsv_columns(answers, capsys):
    answers.update({"a.mp4": ["WETTER", "天气"], "none.mp4": [], "b\tc\n.mp4": ["IX\x1b[2J"]})
    code, out, errors = run(capsys, "recognize", "--model", "m", "--format", "tsv", *answers)
    assert (code, errors) == (0, [])
    assert out.split("\n") == [
        "file\tgloss\tstart\tend\tconfidence",
        "a.mp4\tWETTER\t0.000\t0.250\t0.5000",
        "a.mp4\t天气\t0.250\t0.500\t",
        "b\\tc\\n.mp4\tIX\\x1b[2J\t0.000\t0.250\t0.5000",
        "",
    ]


def test_txt_names_the_file_where_there_are_several(answers, capsys):
    answers.update({"a.mp4": ["WETTER", "天气"], "none.mp4": []})
    assert run(capsys, "recognize", "--model", "m", "a.mp4") == (0, "WETTER 天气\n", [])
    assert run(capsys, "recognize", "--model", "m", "none.mp4") == (0, "\n", [])
    assert run(capsys, "recognize", "--model", "m", *answers) == (0, "a.mp4\tWETTER 天气\nnone.mp4\t\n", [])


@pytest.mark.parametrize("output_format", ["json", "tsv", "txt"])
def test_a_bad_file_never_stops_the_rest(place, capsys, output_format):
    files = [place / "one.mkv", place / "bad.mp4", place / "no.mp4", place / "two.mkv"]
    code, out, errors = run(capsys, "recognize", "--model", place / "model", "--format", output_format, *files)
    assert code == 1
    assert str(files[0]) in out and str(files[3]) in out and "bad.mp4" not in out and "no.mp4" not in out
    assert len(errors) == 3
    assert errors[0].startswith(f"signx-hf: {files[1]}: cannot be opened as a video (")
    assert errors[1].startswith(f"signx-hf: {files[2]}: no such file or folder")
    assert errors[2] == "signx-hf: 2 of 4 files failed"
    assert [sum(str(path) in line for line in errors) for path in files] == [0, 1, 1, 0]


@pytest.mark.parametrize(
    ("path", "message", "line"),
    [
        ("a", "a: an empty file", "a: an empty file"),
        ("./a.npz", "a.npz: an empty file", "a.npz: an empty file"),
        ("a", "a bad day", "a: a bad day"),
        ("a", "out of\nmemory", "a: out of memory"),
        ("", "'': an empty path", ": '': an empty path"),
        ("b\nc", "x", "b\\nc: x"),
        ("\x1b[2J", "\x1b[2J: x", "\\x1b[2J: x"),
        ("b\udcff", "x", "b\\xff: x"),
        ("\udce5\udca4\udca9", "x", "天: x"),
    ],
)
def test_a_failure_names_its_file_once(answers, capsys, path, message, line):
    answers[path] = RuntimeError(message)
    code, out, errors = run(capsys, "recognize", "--model", "m", path)
    assert (code, out, errors) == (1, "", [f"signx-hf: {line}", "signx-hf: 1 of 1 files failed"])


def test_of_a_page_of_tracebacks_the_last_error(answers, capsys):
    page = (
        "Could not load\n\nTraceback (most recent call last):\n  File x\nOSError: first\n\nValueError: the cause\n\n"
    )
    answers["a"] = ValueError(page)
    assert run(capsys, "recognize", "--model", "m", "a")[2][0] == "signx-hf: a: the cause"


def test_no_model(capsys):
    code, out, errors = run(capsys, "recognize", "clip.mp4")
    assert (code, out) == (2, "")
    assert len(errors) == 1 and errors[0].startswith("signx-hf: --model is required")


@pytest.mark.parametrize("device", ["banana", "meta", ""])
def test_a_bad_device(place, capsys, device):
    code, out, errors = run(capsys, "recognize", "--model", place / "model", "--device", device, place / "one.mkv")
    assert (code, out, len(errors)) == (2, "", 1)
    assert errors[0].startswith(f"signx-hf: cannot load the model '{place}/model': ")
    assert f"got '{device}' (" in errors[0] and "signx-hf doctor" in errors[0]


def test_a_name_that_is_no_folder_is_one_of_the_hub(capsys):
    code, out, errors = run(capsys, "recognize", "--model", "nobody/nothing-of-that-name", "clip.mp4")
    assert (code, out, len(errors)) == (2, "", 1)
    assert errors[0].startswith(
        "signx-hf: cannot load the model 'nobody/nothing-of-that-name' (there is no such folder, so the Hub was searched): "
    )
    code, out, errors = run(capsys, "recognize", "--model", "", "clip.mp4")
    assert (code, len(errors)) == (2, 1) and "must not be empty" in errors[0]


def test_warnings_of_a_cut_video_every_time(place, capsys):
    content = (place / "one.mkv").read_bytes()
    path = place / "cut.mkv"
    path.write_bytes(content[: len(content) // 2])
    code, out, errors = run(capsys, "recognize", "--model", place / "model", path, path)
    assert code == 0 and len(out.splitlines()) == 2
    assert len(errors) == 2 and errors[0] == errors[1]
    assert errors[0].startswith(f"signx-hf: warning: {path}: the file declares ")


def test_stop(answers, capsys):
    answers.update({"a": ["A"], "b": KeyboardInterrupt(), "c": ["C"]})
    assert run(capsys, "recognize", "--model", "m", *answers) == (130, "a\tA\n", ["signx-hf: stopped"])


def test_wrong_usage(capsys):
    for arguments in ([], ["recognise"], ["recognize"], ["recognize", "a", "--format", "xml"]):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 2
        assert "usage: signx-hf" in capsys.readouterr().err


def test_version_and_help(capsys):
    for option, text in (("--version", f"signx-hf {__version__}\n"), ("--help", "recognize")):
        with pytest.raises(SystemExit) as stop:
            main([option])
        assert stop.value.code == 0
        assert text in capsys.readouterr().out


def test_doctor(capsys):
    code, out, errors = run(capsys, "doctor", "--json")
    findings = {(finding["section"], finding["name"]): finding for finding in json.loads(out)}
    assert findings["core", "signx_hf"]["found"] == __version__
    assert findings["codecs", "h264"]["status"] == "ok"
    assert "threads" in findings["devices", "cpu"]["found"]
    assert {name for section, name in findings if section == "extras"} >= {"poses", "plots", "dwpose"}
    for finding in findings.values():
        assert finding["status"] in ("ok", "missing", "broken")
        if finding["status"] != "ok" and finding["section"] != "devices":
            assert finding["fix"] and "\n" not in finding["fix"]
    broken = [finding["name"] for finding in findings.values() if finding["status"] == "broken"]
    assert code == (1 if broken else 0) and len(errors) == bool(broken)
    text_code, text, _ = run(capsys, "doctor")
    assert text_code == code
    lines = text.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == ["core", "codecs", "devices", "extras"]
    for finding in findings.values():
        found = [line for line in lines if line.split()[:2] == [finding["status"], finding["name"]]]
        assert len(found) == 1 and finding["found"] in found[0]
        assert (finding["fix"] in found[0]) or finding["status"] == "ok"


def test_doctor_names_what_is_missing(monkeypatch, capsys):
    from signx_hf import doctor

    monkeypatch.setattr(doctor, "CORE", ("torch", "no-such-package"))
    monkeypatch.setattr(doctor, "EXTRAS", {"poses": {"no_such_module": "no-such"}})
    code, out, errors = run(capsys, "doctor")
    assert code == 1
    assert any(line.split("->")[-1].strip() == "pip install no-such-package" for line in out.splitlines())
    assert any('without no-such  -> pip install "signx_hf[poses]"' in line for line in out.splitlines())
    assert errors == ["signx-hf: broken: no-such-package"]


def test_any_name_in_any_locale(place):
    """A process in the C locale, without UTF-8 mode: names are bytes there, and glosses are Unicode all the same."""
    names = ["天气 clip.npz", "-dash.npz"]
    import numpy as np

    for seed, name in enumerate(names):
        np.savez(place / name, fps=15.0, **make_poses(12, seed=seed))
    locale = {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = process("recognize", "--model", "model", "--format", "json", "--", *names, "没有.mp4", cwd=place, **locale)
    assert done.returncode == 1, done.stderr
    rows = [json.loads(line) for line in done.stdout.decode("utf-8").splitlines()]
    assert [row["file"] for row in rows] == names
    errors = done.stderr.decode("utf-8").splitlines()
    assert errors[0].startswith("signx-hf: 没有.mp4: no such file or folder")
    assert errors[1:] == ["signx-hf: 1 of 3 files failed"]


ENDLESS = """
import sys
from signx_hf.recognition import loading
from signx_hf.cli import main
result = {"glosses": ["天气"], "text": "天气", "segments": [], "n_best": [], "duration": 1.0}
loading.load_pipeline = lambda *_: lambda path: (print("ready", file=sys.stderr, flush=True), wait(), result)[2]
"""


def test_a_reader_that_leaves(tmp_path):
    """`signx-hf ... | head -1`: no traceback, no complaint at exit."""
    code = ENDLESS + "wait = lambda: None\nsys.exit(main(['recognize', '--model', 'm', *map(str, range(100000))]))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""}
    child = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout.readline().decode("utf-8") == "0\t天气\n"
    child.stdout.close()
    errors = child.stderr.read().decode()
    assert child.wait(500) == 1
    assert set(errors.split()) == {"ready"}


def test_a_reader_that_left_before_the_first_line(tmp_path):
    code = "import sys\nfrom signx_hf.cli import main\nsys.stdin.read()\nsys.exit(main(['doctor']))"
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    child.stdout.close()
    child.stdin.close()
    assert (child.stderr.read(), child.wait(500)) == (b"", 1)


def test_control_c(tmp_path):
    listens = "signal.signal(signal.SIGINT, signal.default_int_handler)"  # a job in the background ignores it
    code = (
        ENDLESS
        + f"import signal, time\n{listens}\nwait = lambda: time.sleep(600)\nsys.exit(main(['recognize', '--model', 'm', 'a', 'b']))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""}
    child = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stderr.readline() == b"ready\n"
    child.send_signal(signal.SIGINT)
    out, errors = child.communicate(timeout=500)
    assert (child.returncode, out, errors) == (130, b"", b"signx-hf: stopped\n")
