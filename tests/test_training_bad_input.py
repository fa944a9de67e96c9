"""Training on damaged folders and odd options: one line that says what to do, and nothing lost or deleted that is not its own."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from conftest import ROOT
from safetensors.torch import load_file, save_file
from training_runs import log_of, make_corpus, options, run, weights_of

from signx_hf.cli import main
from signx_hf.common.locks import lock
from signx_hf.data.schema import encode_poses, make_row, to_dataset
from signx_hf.evaluation.files import acquire
from signx_hf.processing.errors_signx import SignXError, SignXWarning
from signx_hf.training import checkpoints
from signx_hf.training.arguments import collect
from signx_hf.training.folder import LOCK

NEEDED = {"dataset": "boston104", "output_dir": "run"}
CHANGES = {
    "num_train_epochs": 2,
    "eval_epochs": 0.67,
    "save_epochs": 0.34,
    "average_best": 2,
    "ema_decay": 0.9,
    "num_workers": 0,
}


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_hidden_files_of_others_are_left_alone(tmp_path):
    """What an interrupted `signx-hf pull` keeps, and names that only look like those of training."""
    for name in (
        ".demo.3f0c12345678.part",
        ".thesis.old",
        ".model.3f0c12345678.part",
        ".checkpoint-4.bak.1.abc.part",
        "best/.mine.1.ab.part",
    ):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "weights").write_text("mine")
    (tmp_path / ".checkpoint-5.1.abc.part").write_text("a file, and no folder of a checkpoint")
    before = tree(tmp_path)
    checkpoints.cleanup_stale(tmp_path)
    assert tree(tmp_path) == before


def test_evaluation_deletes_only_its_own_partial_files(tmp_path):
    own, folder = tmp_path / ".results.json.123.0a1b2c3d.part", tmp_path / ".report.html.1.0a1b2c3d.part"
    others = tmp_path / ".demo.3f0c12345678.part"
    own.write_text("{")
    others.write_text("mine")
    folder.mkdir()
    acquire(tmp_path, {"model": "m"})
    assert not own.exists() and others.read_text() == "mine" and folder.is_dir()


# options


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"model_config": "{a: ["}, "command line: `model_config` must be a mapping, got '{a: ['. Not valid YAML"),
        ({"seed": "{"}, "`seed` must be an integer from 0 to 4294967295, got '{'. Not valid YAML"),
        ({"seed": "99999999999999999999999"}, "`seed` must be an integer from 0 to 4294967295, got 99999999999999999999999"),
        ({"vocab_size": "99999999999"}, "`vocab_size` must be an integer from 1 to 2147483647, got 99999999999"),
        ({"num_train_epochs": "inf"}, "`num_train_epochs` must be a finite number of at least 0, got inf"),
        ({"fps": "nan"}, "`fps` must be a finite number, got nan"),
        ({"learning_rate": "1" + "0" * 400}, "`learning_rate` must be a finite number"),
        ({"loader_options": "{5: 1}"}, "`loader_options` must have names that are text, got 5"),
        ({"loader_options": "{split: a}"}, "`loader_options` must be options of the loader, got 'split'. Use option train_split"),
        ({"loss_weights": "{text: x}"}, "`loss_weights.text` must be a finite number of at least 0, got 'x'"),
        ({"loss_weights": "{text: .nan}"}, "`loss_weights.text` must be a finite number of at least 0, got nan"),
        ({"loss_schedules": "{text: [.inf, 0]}"}, "`loss_schedules.text[0]` must be a finite number of at least 0, got inf"),
        ({"model_config": "{a: 2024-01-01}"}, "Not valid YAML: Object of type date is not JSON serializable"),
        ({"model_config": "&a {a: *a}"}, "Not valid YAML: Circular reference detected"),
        ({"model_config": "[" * 3000}, "Not valid YAML: it is nested deeper than"),
        ({"hidden_tracks": "[[1]]"}, "`hidden_tracks[0]` must be text, got [1]"),
    ],
)  # fmt: skip
def test_options_of_the_command_line_that_are_none(given, words):
    with pytest.raises(SignXError) as error:
        collect({**NEEDED, **given})
    assert words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('seed: "{"', "bad.yaml: `seed` must be an integer"),
        (
            "a: " + "[" * 3000,
            "bad.yaml must be a YAML file of lines `name: value` (Not valid YAML: it is nested deeper than",
        ),
        ("5: 1", "bad.yaml: Unknown option 5."),
        ("loader_options: {5: 1}", "bad.yaml: `loader_options` must have names that are text, got 5"),
        ("seed: !!timestamp x", "bad.yaml must be a YAML file of lines `name: value`"),
    ],
)
def test_files_of_options_that_are_none(text, words, tmp_path, capsys):
    (tmp_path / "bad.yaml").write_text(text)
    assert (
        main(["train", "latent_ctc", "--config", str(tmp_path / "bad.yaml"), "--dataset", "x", "--output_dir", "y"])
        == 2
    )
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1


# folders


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("corpus") / "data")


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    """A run that nobody disturbed; tests go on from copies of it."""
    out = tmp_path_factory.mktemp("trained") / "run"
    run("latent_ctc", options(corpus, out, **CHANGES))
    assert [path.name for path in checkpoints.list_checkpoints(out)] == ["checkpoint-5", "checkpoint-6"]
    assert not (out / LOCK).exists()
    return out


@pytest.fixture
def copy(trained, tmp_path):
    """What a kill just before the end leaves: everything but the model."""
    out = tmp_path / "run"
    shutil.copytree(trained, out)
    shutil.rmtree(out / "model")
    return out


def go_on(corpus, out, **changes):
    run("latent_ctc", options(corpus, out, resume=True, **{**CHANGES, **changes}))


def same(one, two):
    left, right = weights_of(one), weights_of(two)
    return log_of(one) == log_of(two) and all(
        torch.equal(left[name], right[name]) for name in left.keys() | right.keys()
    )


def flags(given):
    return [f"--{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in given.items()]


def write_json(path, change):
    content = json.loads(path.read_text())
    path.write_text(json.dumps(change(content)))


def other_shape(path):
    content = load_file(path)
    name = min(content, key=lambda name: -content[name].ndim)
    save_file({**content, name: content[name][:1].clone()}, path)


DAMAGES = {
    "state is empty": (lambda folder: (folder / "state.json").write_text("{}"), "state.json is damaged (it has no progress)"),
    "state is a list": (lambda folder: (folder / "state.json").write_text("[]"), "state.json is damaged (it has no progress)"),
    "no settings": (
        lambda folder: write_json(folder / "state.json", lambda state: {"progress": state["progress"]}),
        "state.json is damaged (it has no settings)",
    ),
    "wrong key": (
        lambda folder: write_json(folder / "state.json", lambda s: {**s, "progress": {**s["progress"], "stepp": 1}}),
        "state.json is damaged (progress.stepp is 1)",
    ),
    "wrong kind": (
        lambda folder: write_json(folder / "state.json", lambda s: {**s, "progress": {**s["progress"], "step": "6"}}),
        "state.json is damaged (progress.step is '6')",
    ),
    "wrong best": (
        lambda folder: write_json(folder / "state.json", lambda s: {**s, "progress": {**s["progress"], "best": [1]}}),
        "state.json is damaged (progress.best has 1)",
    ),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors is damaged (no such file)"),
    "no average": (lambda folder: (folder / "ema.safetensors").unlink(), "ema.safetensors is damaged (no such file)"),
    "another shape": (lambda folder: other_shape(folder / "model.safetensors"), "model.safetensors is damaged ("),
    "weights are cut": (lambda folder: os.truncate(folder / "model.safetensors", 1000), "model.safetensors is damaged ("),
    "no optimizer": (lambda folder: torch.save({}, folder / "optimizer.pt"), "optimizer.pt is damaged ('param_groups' is missing)"),
    "other optimizer": (
        lambda folder: torch.save({"state": {}, "param_groups": []}, folder / "optimizer.pt"),
        "optimizer.pt is damaged (its groups of weights",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_checkpoint_is_told_and_the_one_before_goes_on_to_the_same(name, corpus, copy, trained):
    damage, words = DAMAGES[name]
    damage(copy / "checkpoint-6")
    with pytest.warns(SignXWarning) as told:
        go_on(corpus, copy)
    (said,) = [str(warning.message) for warning in told if issubclass(warning.category, SignXWarning)]
    assert words in said and "Resuming from checkpoint-5" in said
    assert "\n" not in said and same(copy, trained)


def test_the_command_warns_in_one_line(corpus, copy, capsys):
    (copy / "checkpoint-6" / "state.json").write_text("{}")
    assert main(["train", "latent_ctc", *flags(options(corpus, copy, resume=True, **CHANGES))]) == 0
    (said,) = [line for line in capsys.readouterr().err.splitlines() if "checkpoint" in line]
    assert said.startswith(
        f"signx-hf train: warning: {copy}/checkpoint-6/state.json is damaged (it has no progress). Resuming"
    )


def test_where_no_checkpoint_is_whole_it_says_which_to_move(corpus, copy):
    for name in ("checkpoint-5", "checkpoint-6"):
        (copy / name / "state.json").write_text("{}")
    before = tree(copy)
    with pytest.raises(SignXError) as error:
        go_on(corpus, copy)
    assert str(error.value).startswith(f"{copy}/checkpoint-6/state.json is damaged (it has no progress)")
    assert "move checkpoint-5, checkpoint-6 away" in str(error.value)
    assert tree(copy) == before


def test_copies_of_checkpoints_are_no_checkpoints(corpus, copy, trained):
    for name in ("checkpoint-6.bak", "checkpoint-old", "checkpoint-06", "best/step-3.bak"):
        shutil.copytree(copy / "checkpoint-6", copy / name)
    (copy / ".log.123.0a1b2c.csv").write_text("left by a kill")
    go_on(corpus, copy)
    assert same(copy, trained) and not (copy / ".log.123.0a1b2c.csv").exists()
    assert all(
        (copy / name / "state.json").is_file() for name in ("checkpoint-6.bak", "checkpoint-old", "best/step-3.bak")
    )


def best_of(out):
    return [
        entry["name"] for entry in json.loads((out / "checkpoint-6" / "state.json").read_text())["progress"]["best"]
    ]


@pytest.mark.parametrize("damage", [shutil.rmtree, lambda folder: os.truncate(folder / "model.safetensors", 1000)])
def test_best_weights_that_are_lost_leave_the_others(damage, corpus, copy):
    first, second = best_of(copy)
    damage(copy / "best" / first)
    with pytest.warns(
        SignXWarning,
        match=rf"best/{first}/model.safetensors is damaged \(.*; the final model is made from {second} instead",
    ):
        go_on(corpus, copy)
    expected = load_file(copy / "best" / second / "model.safetensors")
    assert all(torch.equal(value, expected[name]) for name, value in weights_of(copy).items())
    assert [entry["name"] for entry in json.loads((copy / "result.json").read_text())["best"]] == [second]


def test_without_any_best_weights_the_last_are_kept(corpus, copy):
    for name in best_of(copy):
        (copy / "best" / name / "model.safetensors").write_bytes(b"")
    with pytest.warns(SignXWarning, match="the final model is made from weights of later steps instead"):
        go_on(corpus, copy)
    expected = load_file(copy / "checkpoint-6" / "ema.safetensors")
    assert all(torch.equal(value, expected[name]) for name, value in weights_of(copy).items())


def test_best_weights_that_vanish_while_it_trains(corpus, copy, monkeypatch):
    whole = checkpoints.save_checkpoint

    def save(*given, **named):
        shutil.rmtree(copy / "best", ignore_errors=True)
        return whole(*given, **named)

    monkeypatch.setattr(checkpoints, "save_checkpoint", save)
    shutil.rmtree(copy / "checkpoint-6")
    with pytest.warns(
        SignXWarning, match="is damaged .*; the final model is made from weights of later steps instead"
    ):
        go_on(corpus, copy)
    assert weights_of(copy).keys() and json.loads((copy / "result.json").read_text()) == {
        "measure": "wer", "best": [], "steps": 6,
    }  # fmt: skip


def binary(path):
    path.unlink()
    path.write_bytes(bytes(range(256)) * 9)


def folder(path):
    path.unlink(missing_ok=True)
    path.mkdir()


@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        ("log.csv", binary, "log.csv is not the log of a run ("),
        ("log.csv", lambda path: path.write_text("step,epoch,name,value\n1,x,a,1\n2,1,a,2\n"), "log.csv is not the log of a run (could not convert"),
        ("log.csv", folder, "log.csv must be a file or absent"),
        ("run.json", folder, "run.json must be a file or absent"),
        ("curves.png", folder, "curves.png must be a file or absent"),
        ("model", lambda path: path.write_text("mine"), "model must be a folder or absent"),
    ],
)  # fmt: skip
def test_what_lies_in_the_way_is_named_before_anything_is_changed(name, damage, words, corpus, copy, capsys):
    damage(copy / name)
    before, content = tree(copy), (copy / name).read_bytes() if (copy / name).is_file() else None
    given = flags(options(corpus, copy, resume=True, **CHANGES))
    assert main(["train", "latent_ctc", *given]) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1 and tree(copy) == before
    assert content is None or (copy / name).read_bytes() == content


def test_the_log_of_somebody_else_is_not_written_over(corpus, tmp_path):
    (tmp_path / "log.csv").write_text("date,weight\nMonday,70\n")
    with pytest.raises(
        SignXError, match=r"log.csv is not the log of a run \(the first line is not step,epoch,name,value\)"
    ):
        run("latent_ctc", options(corpus, tmp_path))
    assert (tmp_path / "log.csv").read_text() == "date,weight\nMonday,70\n"


def test_a_model_that_lies_in_a_fresh_folder_is_not_replaced(corpus, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine").write_text("mine")
    for resume in (False, True):
        with pytest.raises(SignXError, match="holds a model, which would be replaced, and no checkpoint"):
            run("latent_ctc", options(corpus, tmp_path, resume=resume))
        assert tree(tmp_path) == ["model", "model/mine"]


BROKEN = [
    ("model.safetensors", lambda path: os.truncate(path, 1000)),
    ("model.safetensors", lambda path: path.write_bytes(b"")),
    ("config.json", lambda path: path.write_text("{")),
    ("config.json", lambda path: write_json(path, lambda config: {**config, "fps": "x"})),
    ("tokenizer.json", lambda path: path.write_text("no")),
    ("processor_config.json", lambda path: path.write_text("[")),
]


@pytest.mark.parametrize(
    ("option", "name", "damage"),
    [("upstream", *one) for one in BROKEN] + [("video_entry", *one) for one in BROKEN[:4]],
)
def test_a_damaged_upstream_is_one_line(option, name, damage, corpus, trained, tmp_path):
    shutil.copytree(trained / "model", tmp_path / "up")
    damage(tmp_path / "up" / name)
    given = options(corpus, tmp_path / "run", **{option: str(tmp_path / "up")})
    if option == "upstream":
        given["model_config"] = {}
    with pytest.raises(SignXError) as error:
        run("latent_ctc", given)
    assert f"Cannot load {tmp_path / 'up'} (" in str(error.value) and "\n" not in str(error.value)


def test_a_config_that_cannot_be_saved_is_refused_before_training(corpus, tmp_path):
    given = options(corpus, tmp_path / "run")
    given["model_config"] = {**given["model_config"], "output_attentions": True}
    with pytest.raises(SignXError, match="`model_config` must be options of SignXConfig"):
        run("latent_ctc", given)
    assert not (tmp_path / "run" / "log.csv").exists() and not list((tmp_path / "run").glob(".*.part"))


def test_what_fails_while_it_is_written_leaves_nothing_behind(tmp_path):
    def write(part):
        (part / "half").write_text("half")
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        checkpoints.write_folder(tmp_path / "model", write)
    assert tree(tmp_path) == []


def test_stages_refuse_what_they_cannot_learn_from(corpus, trained, tmp_path):
    with pytest.raises(SignXError, match="`start` must be latents or inputs in stage 3, got features"):
        run("latent_ctc", options(corpus, tmp_path / "a", upstream=str(trained), start="features"))
    with pytest.raises(SignXError, match="`loss_schedules` must name parts of the loss .*, got 'contrat'"):
        run("latent_ctc", options(corpus, tmp_path / "b", loss_schedules={"contrat": [1, 0]}))
    shutil.copytree(trained / "model", tmp_path / "stage1")
    write_json(tmp_path / "stage1" / "config.json", lambda config: {**config, "architectures": ["SignXForPose2Gloss"]})
    given = options(corpus, tmp_path / "c", upstream=str(tmp_path / "stage1"))
    given["model_config"] = {}
    with pytest.raises(SignXError, match="a SignXForPose2Gloss, whose recognizer is untrained"):
        run("refine", given)


def test_a_clip_with_more_glosses_than_steps_is_named(tmp_path):
    poses = encode_poses({"hands": np.random.default_rng(0).normal(size=(24, 6))}, fps=30.0)
    rows = [
        make_row(id=f"c{n}", fps=30.0, split="train", glosses=["A", "B"] * (20 if n == 1 else 1), poses=poses)
        for n in range(4)
    ]
    to_dataset(rows, "train").save_to_disk(str(tmp_path / "data"))
    with pytest.raises(SignXError, match=r"step 0: .*The clips of the batch are .*c1") as error:
        run("latent_ctc", options(tmp_path / "data", tmp_path / "run", dev_split="train"))
    assert "`signx-hf data check`" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/run"])
def test_a_folder_that_cannot_be_is_one_line(place, corpus, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    given = flags(options(corpus, tmp_path / place, **CHANGES))
    assert main(["train", "latent_ctc", *given]) == 2
    said = capsys.readouterr().err
    assert f"signx-hf train: Cannot write to output_dir {tmp_path / place} (" in said and said.count("\n") == 1
    assert (tmp_path / "file").read_text() == "mine"


# one run at a time


HOLD = """
import os, pathlib, sys, time
from signx_hf.common.locks import lock
with lock(pathlib.Path(sys.argv[1]), str):
    if os.fork() == 0:  # as the workers that read clips: it lives on
        print("held", flush=True)
        time.sleep(60)
        os._exit(0)
    time.sleep(60)
"""


def test_a_second_run_in_the_same_folder_is_refused_and_a_killed_one_leaves_no_lock(corpus, copy, trained):
    pytest.importorskip("fcntl")
    command = [sys.executable, "-c", HOLD, str(copy / LOCK)]
    holder = subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        assert holder.stdout.readline() == b"held\n"
        before = tree(copy)
        with pytest.raises(SignXError) as error:
            go_on(corpus, copy)
        assert f"{copy} is locked: process {holder.pid} on " in str(error.value)
        assert tree(copy) == before
        holder.kill()
        holder.wait()
        go_on(corpus, copy)  # while the child of the dead holder lives on
        assert same(copy, trained) and not (copy / LOCK).exists()
    finally:
        os.killpg(holder.pid, signal.SIGKILL)
        holder.communicate()


def test_a_file_system_without_locks_is_no_reason_to_stop(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def flock(handle, kind):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", flock)
    with lock(tmp_path / "lock", str):
        assert (tmp_path / "lock").exists()
    assert not (tmp_path / "lock").exists()


# clips


@pytest.mark.parametrize(
    ("poses", "words"),
    [
        ({"mediapipe": np.zeros((1, 258))}, "clip c2: at least one track must be observed"),
        ({"mediapipe": np.ones((5, 9))}, "clip c2: track 'mediapipe' must have shape [frames, 258], got [5, 9]"),
    ],
)
def test_a_clip_that_cannot_be_used_is_named_and_the_check_finds_it(poses, words, tmp_path, capsys):
    good = {"mediapipe": np.random.default_rng(0).uniform(0.2, 0.8, (12, 258))}
    rows = [
        make_row(
            id=f"c{n}", fps=30.0, split="train", glosses=["A"], poses=encode_poses(poses if n == 2 else good, fps=30.0)
        )
        for n in range(4)
    ]
    to_dataset(rows, "train").save_to_disk(str(tmp_path / "data"))
    given = options(tmp_path / "data", tmp_path / "run", dev_share=0.1)
    given["model_config"] = {
        **given["model_config"],
        "pose_config": {**given["model_config"]["pose_config"], "track_dims": {"mediapipe": 258}},
    }
    with pytest.raises(SignXError) as error, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run("latent_ctc", given)
    assert (
        words in str(error.value)
        and str(error.value).count("clip c2") == 1
        and "clip 0" not in str(error.value)
        and "\n" not in str(error.value)
    )
    assert main(["data", "check", str(tmp_path / "data")]) == 1
    assert "c2: " in capsys.readouterr().out


def signs_folder(folder, clips):
    """Pose files in a folder for each sign; clips: sign -> how many."""
    draw = np.random.default_rng(0)
    for sign, count in clips.items():
        (folder / sign).mkdir(parents=True)
        for number in range(count):
            np.savez(folder / sign / f"{number}.npz", hands=draw.normal(size=(12, 6)), fps=30.0)
    return folder


def test_one_sign_alone_is_not_trained(tmp_path):
    folder = signs_folder(tmp_path / "signs", {"hola": 4})
    with pytest.raises(SignXError) as error:
        run("isolated", options(folder, tmp_path / "run"))
    assert "must have clips of at least two signs, got 'hola' alone" in str(error.value)


def test_signs_of_one_clip_are_named(tmp_path):
    folder = signs_folder(tmp_path / "single", dict.fromkeys("abcdef", 1))
    with pytest.raises(SignXError) as error:
        run("isolated", options(folder, tmp_path / "run"))
    assert "have all their clips in the dev split" in str(error.value)
    assert "Record at least two clips of each sign." in str(error.value) and "\n" not in str(error.value)
    # the clip whose name has the smallest hash is measured on
    lone = min("abcdefghijklmnopqrstuvwxyz", key=lambda sign: hashlib.sha256(f"{sign}/0".encode()).hexdigest())
    folder = signs_folder(tmp_path / "mixed", {lone: 1, "one": 5, "two": 5})
    with pytest.warns(SignXWarning, match=rf"1 signs have all their clips .* \({lone}\)"):
        run("isolated", options(folder, tmp_path / "mixed_run", dev_share=0.3, num_train_epochs=1))
