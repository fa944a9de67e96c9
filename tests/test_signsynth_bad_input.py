"""What SignSynth says to wrong arguments, folders it may not have, damaged files, missing extras: one line, before any harm."""

import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("mannequin", reason="SignSynth draws with the extra synth")
pytest.importorskip("pyvista", reason="SignSynth draws with the extra synth")

import signx_hf  # noqa: E402
from signx_hf.cli import main  # noqa: E402
from signx_hf.data.signsynth import build as builder  # noqa: E402
from signx_hf.data.signsynth import mesh as meshes  # noqa: E402
from signx_hf.data.signsynth.build import build, digest  # noqa: E402
from signx_hf.data.signsynth.clip import render_clip  # noqa: E402
from signx_hf.data.signsynth.configs import CONFIGS  # noqa: E402
from signx_hf.data.signsynth.grammar import sentences  # noqa: E402
from signx_hf.data.signsynth.lexicon import lexicon  # noqa: E402
from signx_hf.data.signsynth.motion import perform  # noqa: E402
from signx_hf.data.signsynth.render import Renderer  # noqa: E402
from signx_hf.data.signsynth.signers import signers  # noqa: E402
from signx_hf.processing.errors_signx import SignXError  # noqa: E402

SMALLEST = replace(CONFIGS["tiny"], name="smallest", size=48, fps=8.0)
LIMIT = 2
CHANCE = np.random.default_rng(0)
WORDS = lexicon("tiny")
ANYBODY = signers(1, 0)[0]
NOT_CHANCE = r"`generator` must be a Generator, got a \w+. Make one with numpy.random.default_rng\(seed\)"
FULL_DISK = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
from signx_hf.cli import main
sys.exit(main(["data", "synth", "tiny", "--out", sys.argv[1], "--limit", "1"]))
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    out = tmp_path_factory.mktemp("synth") / "corpus"
    build(SMALLEST, out, limit=LIMIT)
    return out, digest(out)


# -- arguments ------------------------------------------------------------------------------------------------------------


ARGUMENTS = [
    (lambda: build("tyni", "x"), r"no SignSynth configuration is called 'tyni'; did you mean 'tiny'\?"),
    (lambda: build("tiny", "x", jobs=-1), "`jobs` must be an integer of at least 1, got -1"),
    (lambda: build("tiny", "x", jobs="abc"), "`jobs` must be an integer of at least 1, got 'abc'"),
    (lambda: build("tiny", "x", jobs=True), "`jobs` must be an integer.*got True"),
    (lambda: build("tiny", "x", limit=-1), "`limit` must be an integer of at least 1, got -1"),
    (lambda: build("tiny", "x", limit=1.5), "`limit` must be an integer.*got 1.5"),
    (lambda: build("tiny", "x", seed="0"), "`seed` must be an integer of at least 0, got '0'"),
    (lambda: replace(SMALLEST, size=49), "`size` must be an even number of pixels.*got 49"),
    (lambda: replace(SMALLEST, size=0), "`size` must be an integer from 16 to 2048, got 0"),
    (lambda: replace(SMALLEST, fps=float("nan")), "`fps` must be from 1 to 240.*got nan"),
    (lambda: replace(SMALLEST, signers=(1, 0, 1)), "`signers of dev` must be an integer of at least 1, got 0"),
    (
        lambda: replace(SMALLEST, takes=(1, 1)),
        r"`takes` must hold a number for each of train, dev, test.*got \(1, 1\)",
    ),
    (lambda: replace(SMALLEST, sentences=(1, 1, -1)), "`sentences of test` must be an integer of at least 0, got -1"),
    (lambda: lexicon(0), "must be an integer from 1 to .*, got 0"),
    (lambda: lexicon(7.5), r"must be an integer from 1 to \d+, got 7.5"),
    (lambda: lexicon(None), r"must be an integer from 1 to \d+, got None"),
    (lambda: lexicon(5, -1), "`seed` must be an integer of at least 0, got -1"),
    (lambda: sentences(lexicon(7), 5, CHANCE), "5 distinct sentences cannot be made of 7 glosses, only 0"),
    (
        lambda: sentences(lexicon(16), 10**6, CHANCE),
        r"1000000 distinct sentences cannot be made of 16 glosses, only \d{3}",
    ),
    (lambda: sentences(WORDS, -1, CHANCE), "`count` must be an integer of at least 0, got -1"),
    (lambda: sentences("tiny", 1, CHANCE), r"`lexicon` must be a Lexicon, got a str. Make one with lexicon\('tiny'\)"),
    (lambda: sentences(WORDS, 1, 0), NOT_CHANCE),
    (lambda: signers(2, -1), "`seed` must be an integer of at least 0, got -1"),
    (lambda: signers(1.5, 0), "`count` must be an integer of at least 1, got 1.5"),
    (
        lambda: perform(["BOOK"], ANYBODY, CHANCE),
        r"must be a list of Sign.*Lexicon.signs_of\(glosses\)",
    ),
    (lambda: perform("BOOK", ANYBODY, CHANCE), "`signs` must be a list of Sign.*got 'BOOK'"),
    (lambda: perform(WORDS.signs[0], ANYBODY, CHANCE), "must be a list of Sign"),
    (lambda: perform(WORDS.signs[:1], "me", CHANCE), "`signer` must be a Signer.*got a str"),
    (lambda: perform(WORDS.signs[:1], ANYBODY, 0), NOT_CHANCE),
    (lambda: perform(WORDS.signs[:1], ANYBODY, np.random.RandomState(0)), NOT_CHANCE),
    (
        lambda: perform(WORDS.signs[:1], ANYBODY, CHANCE, 1e9),
        "`fps` must be above 0 and at most 1000.*got 1000000000.0",
    ),
    (lambda: perform(WORDS.signs[:1], ANYBODY, CHANCE, "25"), "`fps` must be above 0.*got '25'"),
    (
        lambda: perform(WORDS.signs[:1], replace(ANYBODY, shape=(0.0,)), CHANCE),
        r"`shape` of a body must be 10 finite numbers.*got \(0.0,\)",
    ),
    (
        lambda: perform(WORDS.signs[:1], replace(ANYBODY, shape=(float("nan"),) * 10), CHANCE),
        "`shape` of a body must be 10 finite numbers.*got .*",
    ),
    (lambda: Renderer(0), "`size` must be an integer from 16 to 2048, got 0"),
    (lambda: Renderer("112"), "`size` must be an integer.*got '112'"),
    (lambda: digest("nowhere"), "nowhere: no config.json"),
]


@pytest.mark.parametrize("call, message", ARGUMENTS)
def test_arguments_are_refused_in_one_line(call, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SignXError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value) and not os.listdir(tmp_path)


def test_what_cannot_be_drawn_is_refused():
    motion = perform(WORDS.signs[:1], ANYBODY, np.random.default_rng(0), 8)
    renderer = Renderer(16)
    for changed, message in (
        ({"motion": motion.rows}, r"`motion` must be a Motion, got a ndarray. Make one with perform"),
        ({"renderer": 16}, r"`renderer` must be a Renderer, got a int. Make one with Renderer\(pixels\)"),
        ({"generator": 16}, NOT_CHANCE),
        ({"motion": replace(motion, rows=motion.rows[:, :100])}, r"finite numbers \[frames, 165\], got shape \[\d+, 100\]"),
        ({"motion": replace(motion, rows=motion.rows[:0])}, r"shape \[0, 165\]"),
        ({"motion": replace(motion, rows=motion.rows * np.nan)}, "must be finite numbers"),
    ):  # fmt: skip
        plain = {"motion": motion, "signer": ANYBODY, "renderer": renderer, "generator": np.random.default_rng(0)}
        with pytest.raises(SignXError, match=message):
            render_clip(**(plain | changed))
    renderer.close()


# -- folders --------------------------------------------------------------------------------------------------------------


def _refused(out, capsys) -> str:
    """What the command says when it refuses: one line."""
    assert main(["data", "synth", "tiny", "--out", str(out), "--limit", "1"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def test_folders_that_cannot_be_had(tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    assert "file: must be a folder or a new path, got a file" in _refused(tmp_path / "file", capsys)
    assert "file/x: cannot be written (Not a directory)" in _refused(tmp_path / "file" / "x", capsys)
    assert (tmp_path / "file").read_text() == "mine"
    if os.path.isdir("/proc/self"):
        assert "/proc/synth: cannot be written" in _refused("/proc/synth", capsys)
    assert main(["data", "synth", "--sheets", str(tmp_path / "file")]) == 2
    assert "file: the folder cannot be created (File exists)" in capsys.readouterr().err


def test_a_full_disk_loses_nothing(tmp_path):
    pytest.importorskip("resource", reason="Windows limits no files")
    out = tmp_path / "corpus"
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(out)], capture_output=True, text=True)
    said = [line for line in done.stderr.splitlines() if line.startswith("signx-hf:")]
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert len(said) == 1 and "cannot be written (File too large)" in said[0]
    assert not list(out.rglob("*.partial"))
    assert build("tiny", out, limit=1).made == 1
    assert sorted(os.listdir(out)) == ["config.json", "continuous_train.arrow", "truth", "videos"]


def test_a_build_killed_before_it_began_goes_on(corpus, tmp_path):
    (tmp_path / builder.CLAIM).write_text('{"signsy')
    assert build(SMALLEST, tmp_path, limit=LIMIT).made == LIMIT and digest(tmp_path) == corpus[1]


def test_one_build_at_a_time(corpus):
    pytest.importorskip("fcntl", reason="Windows has no locks of folders")
    out, before = corpus
    with builder._alone(out), pytest.raises(SignXError, match="another process is building here"):
        build(SMALLEST, out, limit=LIMIT)
    assert build(SMALLEST, out, limit=LIMIT).made == 0 and digest(out) == before


def die(job, plan):
    """In place of `make_clip`: what the system does when memory runs out."""
    os._exit(9)


def test_a_process_that_is_killed_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(builder, "make_clip", die)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)  # on one core this process would draw, and die
    with pytest.raises(SignXError, match="was killed; .*Run again with fewer jobs; finished clips are kept"):
        build(SMALLEST, tmp_path / "corpus", jobs=2, limit=LIMIT)


# -- damage ---------------------------------------------------------------------------------------------------------------


def _cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _spoil(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 64] = bytes(64)
    path.write_bytes(data)


DAMAGE = [
    ("videos/*.mp4", _cut),
    ("videos/*.mp4", lambda path: path.write_bytes(b"")),
    ("videos/*.mp4", lambda path: path.unlink()),
    ("truth/*.npz", _cut),
    ("truth/*.npz", _spoil),
    ("truth/*.npz", lambda path: path.unlink()),
    ("*.arrow", _cut),
    ("*.arrow", lambda path: path.write_bytes(b"")),
    ("*.arrow", lambda path: path.unlink()),
]


@pytest.mark.parametrize("pattern, harm", DAMAGE)
def test_a_damaged_corpus_is_repaired(corpus, pattern, harm):
    """By the same command, with the same bytes, and without making again what is whole."""
    out, before = corpus
    harm(sorted(out.glob(pattern))[-1])
    assert digest(out) != before
    assert build(SMALLEST, out, limit=LIMIT).made == 1
    assert digest(out) == before


def test_a_damaged_unfinished_corpus_goes_on(corpus, tmp_path):
    out, before = corpus
    again = tmp_path / "again"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builder, "_assemble", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            build(SMALLEST, again, limit=LIMIT)
    rows = sorted(again.glob("work/*.arrow"))
    assert len(rows) == LIMIT
    _cut(rows[0])
    assert build(SMALLEST, again, limit=LIMIT).made == 1 and digest(again) == before


def test_a_config_that_was_edited_is_refused(corpus):
    out, before = corpus
    text = (out / "config.json").read_text()
    for old, new, message in (
        ('"size": 48', '"size": 64', "config.size must be 48.*got 64"),
        ('"jitter": 0.004', '"jitter": 1', "config.faults.jitter must be 0.004.*got 1"),
        ('"seed": 0', '"seed": 7', "seed must be 0.*got 7"),
        (text, "[]", r"the file must be .*got \[\]"),
        ('"seed": 0', '"mine": 1', "seed must be 0.*got null"),
        ('"seed": 0', '"seed": 0, "mine": 1', "mine must be null.*got 1"),
    ):
        (out / "config.json").write_text(text.replace(old, new))
        with pytest.raises(SignXError, match=f"config.json: {message}"):
            build(SMALLEST, out, limit=LIMIT)
    (out / "config.json").write_bytes(b"\xff")
    with pytest.raises(SignXError, match="config.json: not valid JSON"):
        build(SMALLEST, out, limit=LIMIT)
    (out / "config.json").write_text(text)
    assert digest(out) == before


@pytest.mark.parametrize(
    "options, message",
    [
        ({"split": "trian"}, "signsynth has no split 'trian'. Choose one of train, dev, test"),
        ({"split": ""}, "signsynth has no split ''"),
        ({"task": "isolatd"}, r"no task 'isolatd'; did you mean 'isolated'\?"),
        ({"task": None}, "no task None; choose one of continuous, isolated"),
        ({"tsk": "isolated"}, "unexpected keyword argument 'tsk'; see the docstring of SignSynth"),
        ({"cleanup": "phoenix"}, "`cleanup` must be one of .*got 'phoenix'"),
        ({"data_dir": None}, "`data_dir` must be the folder of your copy, got None. Get one from signx-hf data synth"),
        ({"data_dir": "nowhere"}, "nowhere: no such folder"),
    ],
)
def test_options_of_the_loader(corpus, options, message):
    with pytest.raises(SignXError, match=message):
        signx_hf.load_dataset("signsynth", **({"data_dir": corpus[0]} | options))


# -- packages -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", ["mannequin", "pyvista"])
def test_a_missing_package_is_named_before_anything_is_written(module, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, module, None)
    said = _refused(tmp_path / "corpus", capsys)
    assert f"{module} cannot be imported" in said and 'pip install "signx_hf[synth]"' in said
    assert not os.listdir(tmp_path)


def test_sheets_name_the_extra_plots(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["data", "synth", "--sheets", str(tmp_path / "sheets")]) == 2
    assert 'pip install "signx_hf[plots]"' in capsys.readouterr().err and not os.listdir(tmp_path)


def test_another_mannequin_is_an_error_and_not_a_wrong_picture(monkeypatch):
    body = meshes.mesh()
    model = meshes.figure()
    other = SimpleNamespace(vertices=lambda pose: model.vertices(pose) + 0.01)
    with pytest.raises(SignXError, match=r'is 0.010 m off the one of 0.3.0. Run pip install "mannequin-x==0.3.0"'):
        body._compare(other)
    monkeypatch.setattr(meshes, "figure", lambda: SimpleNamespace(num_vertices=3))
    with pytest.raises(SignXError, match='no skin weights where 0.3 has them .*pip install "mannequin-x==0.3.0"'):
        meshes._skin_weights()
