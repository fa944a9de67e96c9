"""The loop: exact resumption, what stops it, several processes. Real runs of a few steps on a corpus made here."""

import gc
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch
from conftest import ROOT
from training_runs import SMALL, log_of, make_corpus, options, run, run_alone, weights_of
from transformers import GenerationConfig

from signx_hf.processing.errors_signx import SignXError
from signx_hf.training.arguments import collect
from signx_hf.training.distributed import check_launch
from signx_hf.training.loop import TrainingRun
from signx_hf.training.stages import stage_class


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("corpus") / "data")


FULL = {
    "speed": 0.2,
    "jitter": 0.05,
    "frame_mask": 0.2,
    "ema_decay": 0.9,
    "average_best": 2,
    "eval_epochs": 1,
    "save_epochs": 0.34,
}


# a threshold that some latents of an untrained model are under
PRUNED = {**SMALL, "recognizer_config": {**SMALL["recognizer_config"], "variance_threshold": 0.05}}
ONLY = {
    "pose2gloss": {"gradient_accumulation_steps": 2, "teacher_forcing": [0.5, 0.0], "track_dropout": 0.3},
    "latent_ctc": {"frame_drop": [0.3, 0.1], "prune_epochs": 0.7, "model_config": PRUNED},
    "refine": {"teacher_forcing": [1.0, 0.5]},
}


@pytest.mark.parametrize("stage", ["pose2gloss", "latent_ctc", "refine"])
def test_killed_and_resumed_is_as_if_never_killed(stage, corpus, tmp_path):
    """SIGKILL at random moments; then log and weights are those of a run that nobody killed, bit for bit."""
    changes = {**FULL, **ONLY[stage], "num_workers": 1}
    # from a server that has imported everything and started no thread: a fork of this process could wait for ever
    fork = multiprocessing.get_context("forkserver")
    fork.set_forkserver_preload(["signx_hf.training.loop", "signx_hf.training.stages.refine", "training_runs"])
    warm = fork.Process(target=run_alone, args=(stage, options(corpus, tmp_path / "warm", num_train_epochs=1)))
    warm.start()
    warm.join()
    began = time.monotonic()
    whole = fork.Process(target=run_alone, args=(stage, options(corpus, tmp_path / "whole", **changes)))
    whole.start()
    whole.join()
    lasted = time.monotonic() - began
    random = np.random.default_rng(sum(map(ord, stage)))
    killed = 0
    for _ in range(4):
        process = fork.Process(
            target=run_alone, args=(stage, options(corpus, tmp_path / "killed", resume=True, **changes))
        )
        process.start()
        time.sleep(lasted * float(random.uniform(0.1, 0.8)))
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            killed += 1
        process.join()
    assert killed
    rest = fork.Process(target=run_alone, args=(stage, options(corpus, tmp_path / "killed", resume=True, **changes)))
    rest.start()
    rest.join()
    assert rest.exitcode == 0
    assert log_of(tmp_path / "killed") == log_of(tmp_path / "whole")
    whole, again = weights_of(tmp_path / "whole"), weights_of(tmp_path / "killed")
    assert whole.keys() == again.keys() and all(torch.equal(whole[name], again[name]) for name in whole)


def test_it_learns_and_the_model_recognises(corpus, tmp_path):
    """The model in the folder of the run, through the pipeline, gives the glosses of its training clips."""
    import datasets
    from transformers import pipeline

    out = tmp_path / "run"
    run("latent_ctc", options(corpus, out, num_train_epochs=60, dev_split="train", eval_epochs=20, save_epochs=60))
    numbers = [line.split(",") for line in log_of(out).splitlines()[1:]]
    wer = [float(value) for _, _, name, value in numbers if name == "dev/wer"]
    assert wer[-1] <= 0.05 < wer[0]
    rows = datasets.load_from_disk(str(corpus))
    from signx_hf.data.schema import decode_poses

    recognizer = pipeline("sign-recognition", model=str(out / "model"))
    found = [recognizer(decode_poses(row["poses"]).to_clip())["glosses"] == row["glosses"] for row in rows]
    assert sum(found) >= 0.9 * len(found)
    made = json.loads((out / "run.json").read_text())
    assert made["options"]["seed"] == 0 and made["settings"]["data"] and made["versions"]["torch"] == torch.__version__


def test_stages_follow_each_other(corpus, tmp_path):
    """Stage 3 on cached latents of stage 1, stage 4 on cached features of stage 3; a second run computes nothing."""
    from signx_hf.training import feature_cache

    changes = {"num_train_epochs": 1, "cache_dir": str(tmp_path / "cache"), "eval_epochs": 1, "save_epochs": 1}
    run("pose2gloss", options(corpus, tmp_path / "1", **changes))
    run("latent_ctc", options(corpus, tmp_path / "3", upstream=str(tmp_path / "1"), **changes))
    stored = sorted((tmp_path / "cache").rglob("*.safetensors"))
    assert len(stored) == 14
    run(
        "refine",
        options(corpus, tmp_path / "4", upstream=str(tmp_path / "3"), decode_ctc_weight=0.6, num_beams=3, **changes),
    )
    decoding = GenerationConfig.from_pretrained(tmp_path / "4" / "model")
    assert (decoding.ctc_weight, decoding.num_beams) == (0.6, 3), "a pipeline decodes as dev was measured"
    assert len(list((tmp_path / "cache").rglob("*.safetensors"))) == 28
    latents = {name: value for name, value in weights_of(tmp_path / "1").items() if name.startswith("model.")}
    assert latents and all(torch.equal(value, weights_of(tmp_path / "4")[name]) for name, value in latents.items())
    times = {path: path.stat().st_mtime_ns for path in stored}
    stored[0].write_bytes(b"torn")
    run("latent_ctc", options(corpus, tmp_path / "3b", upstream=str(tmp_path / "1"), **changes))
    assert log_of(tmp_path / "3b") == log_of(tmp_path / "3")
    assert [path for path in stored if path.stat().st_mtime_ns != times[path]] == [stored[0]]
    assert feature_cache.load_file(stored[0])["latents"].ndim == 2


def test_not_a_number_names_the_clips(tmp_path, corpus):
    class Broken(stage_class("latent_ctc")):
        def targets(self, examples, inputs):
            if any(example.id == "clip3" for example in examples):
                inputs["pose_values"][:] = np.inf
            return super().targets(examples, inputs)

    arguments = collect(options(corpus, tmp_path, dev_share=0.1, save_epochs=0.3))
    with pytest.raises(
        SignXError, match=r"step \d+: not a finite number \(.*\) in the batch of clips .*clip3.*signx-hf data check"
    ):
        TrainingRun(Broken(arguments), arguments).train()


@pytest.mark.parametrize(
    ("stage", "changes", "words"),
    [
        ("video2pose", {}, "Stage 2, Video2Pose: it starts from a trained checkpoint, and option `upstream` is missing. Make one with `signx-hf train pose2gloss"),
        ("latent_ctc", {"start": None}, "Make one with `signx-hf train pose2gloss --config ...`, or train everything with start: inputs"),
        ("refine", {"start": None}, "Stage 4, refinement: it starts from a trained checkpoint, and option `upstream` is missing. Make one with `signx-hf train latent_ctc"),
        ("latent_ctc", {"start": "latents"}, "`start` must be inputs without a trained latent path, got 'latents'"),
        ("refine", {"upstream": "./nowhere"}, "`upstream` must be a trained model: ./nowhere: no such folder. Pass the checkpoint of `signx-hf train latent_ctc"),
        ("latent_ctc", {"model_config": {"latent_size": 3}}, "'pose_config.latent_size'"),
        ("latent_ctc", {"loss_weights": {"kdd": 1}}, "computes, got 'kdd', which is none. Use one of ctc, aux_ctc, alignment"),
        ("latent_ctc", {"train_split": "tran", "dataset": "boston104x"}, "'boston104'"),
        ("latent_ctc", {"dev_split": "nope"}, "the dev split is empty"),
        ("isolated", {}, "must have one gloss for isolated signs"),
        ("latent_ctc", {"model_config": {"pose_config": {"track_dims": {"dwpose": 384}}}}, "clip clip0 has no poses of the tracks dwpose"),
        ("latent_ctc", {"source": "video", "start": "inputs"}, "clip clip0 has no video file"),
        ("nothing", {}, "Unknown stage 'nothing'"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_says_why(stage, changes, words, corpus, tmp_path):
    with pytest.raises(SignXError) as error:
        run(stage, options(corpus, tmp_path / "run", **changes))
    assert words in str(error.value) and "\n" not in str(error.value)


def test_an_earlier_run_is_never_overwritten_nor_mixed(corpus, tmp_path):
    run("latent_ctc", options(corpus, tmp_path, num_train_epochs=1))
    before = log_of(tmp_path)
    with pytest.raises(SignXError, match=r"holds checkpoint-\d+ of an earlier run. Pass --resume"):
        run("latent_ctc", options(corpus, tmp_path, num_train_epochs=1))
    with pytest.raises(SignXError, match=r"other options \(learning_rate=0.003, now learning_rate=0.1\)"):
        run("latent_ctc", options(corpus, tmp_path, num_train_epochs=1, learning_rate=0.1, resume=True))
    assert log_of(tmp_path) == before


def launch(arguments, *launcher, **environment):
    command = [sys.executable, "-m", "accelerate.commands.launch", *launcher, "examples/train_stage3.py", *arguments]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)


# nothing that draws differently in two processes than in one
STILL = {
    "pose_config": {**SMALL["pose_config"], "dropout": 0.0},
    "recognizer_config": {
        **SMALL["recognizer_config"],
        "dropout": 0.0,
        "frame_drop_rate": 0.0,
        "alignment_weight": 0.5,
    },
    "text_config": {**SMALL["text_config"], "dropout": 0.0},
}


def as_one(one, two):
    """Compares the logs of two runs number by number, and their weights; two processes round otherwise than one."""
    left, right = ([line.split(",") for line in log_of(out).splitlines()[1:]] for out in (one, two))
    assert [row[:3] for row in left] == [row[:3] for row in right] and len(left) > 20
    for name in {row[2] for row in left} - {"train/learning_rate"}:
        values = ([float(row[3]) for row in rows if row[2] == name] for rows in (left, right))
        assert next(values) == pytest.approx(next(values), abs=1e-4), name
    first, second = weights_of(one), weights_of(two)
    # Adam turns a gradient of rounding noise into a whole step, so single weights may differ by some learning rates
    moved = {name: (first[name] - second[name]).double().abs().mean().item() for name in first}
    assert first.keys() == second.keys() and max(moved.values()) < 1e-3, moved


def launch_fsdp(stage, given):
    """Two processes on CPUs between which FSDP shards weights, gradients and optimizer."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", str(port)]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command += [str(ROOT / "tests" / "fsdp_on_cpus.py"), stage, json.dumps({**given, "cpu": True})]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)


def test_weights_sharded_over_two_processes_are_as_in_one(corpus, tmp_path):
    """FSDP2: the losses of one process; files of the same form; and a run that was cut off goes on to the same numbers."""
    given = options(
        corpus, "x", num_train_epochs=2, model_config=STILL, jitter=0.05, dev_share=0.3, eval_epochs=1, ema_decay=0.9,
        teacher_forcing=[0.7, 0.3], save_epochs=1,
    )  # fmt: skip
    run("refine", {**given, "output_dir": str(tmp_path / "one")})
    given = {**given, "output_dir": str(tmp_path / "two"), "per_device_train_batch_size": 2}
    done = launch_fsdp("refine", given)
    assert done.returncode == 0, done.stderr[-3000:]
    as_one(tmp_path / "one", tmp_path / "two")
    one, two = (json.loads((tmp_path / name / "model" / "config.json").read_text()) for name in ("one", "two"))
    assert one == two and json.loads((tmp_path / "two" / "run.json").read_text())["settings"]["processes"] == 2
    log, weights = log_of(tmp_path / "two"), weights_of(tmp_path / "two")
    shutil.rmtree(tmp_path / "two" / "checkpoint-6")
    shutil.rmtree(tmp_path / "two" / "model")
    done = launch_fsdp("refine", {**given, "resume": True})
    assert done.returncode == 0, done.stderr[-3000:]
    assert log_of(tmp_path / "two") == log
    assert all(torch.equal(value, weights[name]) for name, value in weights_of(tmp_path / "two").items())


@pytest.mark.parametrize(
    ("kind", "plugin", "precision", "words"),
    [
        ("DEEPSPEED", {}, "no", "must be DDP or FSDP, got DEEPSPEED"),
        ("FSDP", {"fsdp_version": 1}, "no", "`fsdp_version` must be 2, got 1. See examples/accelerate/fsdp_nodes.yaml"),
        ("FSDP", {"cpu_ram_efficient_loading": True}, "no", "`fsdp_cpu_ram_efficient_loading` must be false"),
        ("FSDP", {}, "fp16", "`mixed_precision` must be bf16 or no with FSDP, got fp16"),
    ],
)  # fmt: skip
def test_a_launch_that_could_not_be_continued_is_refused(kind, plugin, precision, words):
    from accelerate.utils import DistributedType

    plugin = SimpleNamespace(**{"fsdp_version": 2, "cpu_ram_efficient_loading": False, **plugin})
    launched = SimpleNamespace(distributed_type=DistributedType(kind), state=SimpleNamespace(fsdp_plugin=plugin))
    with pytest.raises(SignXError) as error:
        check_launch(launched, precision)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("ACCELERATE_USE_DEEPSPEED", "DeepSpeed is not supported"),
        ("ACCELERATE_USE_FSDP", "FSDP needs GPUs, but accelerate fell back to NO"),
    ],
)
def test_a_kind_that_accelerate_cannot_start_here_is_refused(variable, words, monkeypatch, tmp_path):
    monkeypatch.setenv(variable, "true")
    with pytest.raises(SignXError) as error:
        run("latent_ctc", options("nowhere", tmp_path / "run", cpu=True))
    assert words in str(error.value) and not (tmp_path / "run").exists()


def test_two_processes_are_one_with_twice_the_batch(corpus, tmp_path):
    given = options(corpus, "x", num_train_epochs=2, model_config=STILL, jitter=0.05, dev_share=0.3, eval_epochs=1)
    run("latent_ctc", {**given, "output_dir": str(tmp_path / "one"), "per_device_train_batch_size": 4})
    both = {**given, "output_dir": str(tmp_path / "two"), "per_device_train_batch_size": 2, "cpu": True}
    flags = [
        f"--{name}={json.dumps(value) if isinstance(value, (dict, bool)) else value}" for name, value in both.items()
    ]
    done = launch(flags, "--multi_gpu", "--num_processes", "2", "--main_process_port", "0")
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads((tmp_path / "two" / "run.json").read_text())["settings"]["processes"] == 2
    as_one(tmp_path / "one", tmp_path / "two")


def test_a_launch_that_starts_processes_apart_is_refused(corpus, tmp_path):
    """torchrun without --cpu on a machine without GPU: two processes that both believe to be alone."""
    if torch.cuda.is_available():
        pytest.skip("with a GPU the two processes find each other")
    given = options(corpus, tmp_path / "two", num_train_epochs=1)
    flags = [
        f"--{name}={json.dumps(value) if isinstance(value, (dict, bool)) else value}" for name, value in given.items()
    ]
    done = launch(flags, "--multi_gpu", "--num_processes", "2", "--main_process_port", "0")
    assert done.returncode != 0 and "2 processes were started, but only 1 work together" in done.stderr
    assert not (tmp_path / "two" / "log.csv").exists()


def test_stopped_early_and_killed_before_the_end_stays_stopped(corpus, tmp_path):
    changes = {"learning_rate": 0, "patience": 2, "num_train_epochs": 9, "max_grad_norm": 0}
    run("latent_ctc", options(corpus, tmp_path, **changes))
    before, state = log_of(tmp_path), json.loads((tmp_path / "result.json").read_text())
    assert state["steps"] == 18  # of 27: the measurement of epoch 2 is the best, two more are not
    (tmp_path / "model").rename(tmp_path / "gone")
    run("latent_ctc", options(corpus, tmp_path, resume=True, **changes))
    assert log_of(tmp_path) == before and (tmp_path / "model" / "model.safetensors").is_file()


@pytest.mark.parametrize("room", [30, 20_000])  # bytes a file may have: not even a line of the log, or no weights
def test_full_disk_is_one_line_and_the_run_goes_on_with_room(room, corpus, tmp_path):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    class Filled(stage_class("latent_ctc")):
        def before_step(self, step, total):
            if step == 4:
                resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))

    changes = {"num_train_epochs": 2, "save_epochs": 0.34}
    run("latent_ctc", options(corpus, tmp_path / "whole", **changes))
    arguments = collect(options(corpus, tmp_path / "full", **changes), Filled.defaults)
    try:
        with pytest.raises(SignXError, match="the disk is full.*--resume") as error:
            TrainingRun(Filled(arguments), arguments).train()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(error.value)
    assert sorted(path.name for path in (tmp_path / "full").glob("*checkpoint*")) == ["checkpoint-3", "checkpoint-4"]
    run("latent_ctc", options(corpus, tmp_path / "full", resume=True, **changes))
    assert log_of(tmp_path / "full") == log_of(tmp_path / "whole")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_clip_that_breaks_in_the_middle_is_named_and_the_run_goes_on_without_the_break(workers, corpus, tmp_path):
    class Broken(stage_class("latent_ctc")):
        def targets(self, examples, inputs):
            if any(example.id == "clip3" for example in examples):
                raise OSError("Input/output error")
            return super().targets(examples, inputs)

    changes = {"num_train_epochs": 2, "save_epochs": 0.34, "dev_share": 0.1}
    run("latent_ctc", options(corpus, tmp_path / "whole", **changes))
    arguments = collect(options(corpus, tmp_path / "run", num_workers=workers, **changes), Broken.defaults)
    with pytest.raises(
        SignXError, match=r"Cannot make a batch of clips .*clip3.*\(OSError: Input/output error\)"
    ) as error:
        TrainingRun(Broken(arguments), arguments).train()
    assert "\n" not in str(error.value)
    run("latent_ctc", options(corpus, tmp_path / "run", resume=True, num_workers=1 - workers, **changes))
    assert log_of(tmp_path / "run") == log_of(tmp_path / "whole")


def test_a_worker_clears_up_nothing_that_its_parent_left(corpus, tmp_path):
    """A decoder of video that a fork cleared up would wait for threads that only the parent has."""
    before, cleared, kept = os.getpid(), tmp_path / "cleared", []

    class Left:
        def __init__(self):
            self.itself = self  # only the collector of garbage finds it

        def __del__(self):
            with open(cleared, "a") as file:
                file.write(f"{os.getpid()}\n")

    class Collecting(stage_class("latent_ctc")):
        def targets(self, examples, inputs):
            if os.getpid() != before:
                kept.clear()
                gc.collect()
                (tmp_path / "collected").touch()
            return super().targets(examples, inputs)

    arguments = collect(options(corpus, tmp_path / "run", num_workers=1, num_train_epochs=1), Collecting.defaults)
    training = TrainingRun(Collecting(arguments), arguments)
    gc.disable()
    try:
        Left()
        kept.append(Left())
        training.train()
        found = cleared.read_text()
    finally:
        kept.clear()
        gc.collect()
        gc.enable()
    assert (tmp_path / "collected").exists() and found == f"{before}\n"


def test_cached_latents_do_not_depend_on_which_clips_were_missing(corpus, tmp_path):
    changes = {"num_train_epochs": 1, "dev_share": 0.1}
    run("pose2gloss", options(corpus, tmp_path / "1", **changes))
    for name, clips in (("few", 3), ("all", None)):
        given = options(corpus, tmp_path / name, upstream=str(tmp_path / "1"), max_clips=clips, **changes)
        run("latent_ctc", given | {"cache_dir": str(tmp_path / f"cache-{name}")})
    few, whole = (
        {path.name: path.read_bytes() for path in (tmp_path / f"cache-{name}").rglob("*.safetensors")}
        for name in ("few", "all")
    )
    assert 0 < len(few) < len(whole) == 14 and all(whole[name] == content for name, content in few.items())


def test_frames_cut_short_on_disk_are_decoded_again(tmp_path):
    from signx_hf import SignXVideoProcessor
    from signx_hf.training.examples import Example
    from signx_hf.training.frames import FrameStore

    video = tmp_path / "a.mp4"
    with av.open(str(video), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width = stream.height = 64
        for index in range(6):
            picture = np.full((64, 64, 3), 40 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    store = FrameStore(tmp_path / "frames", SignXVideoProcessor())
    first = Example("a", 0, ["A"], video={"path": str(video), "bytes": None})
    assert store.fill([first]) == 1 and store.fill([first]) == 0
    expected = np.array(first.arrays["frames"])
    (path,) = store.folder.glob("*.npy")
    for size in (path.stat().st_size // 2, 0):
        os.truncate(path, size)
        assert store.fill([first]) == 1
        assert np.array_equal(first.arrays["frames"], expected)


def test_what_a_kill_left_half_written_is_swept(tmp_path):
    from signx_hf.training.checkpoints import cleanup_stale

    for name in (
        ".checkpoint-5.1.abc.part",
        "best/.step-5.1.abc.part",
        "best/.step-2.abc.old",
        ".model.abc.old",
        "model",
    ):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_text(name)
    cleanup_stale(tmp_path)
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("file"))
    assert left == ["best/step-2/file", "model/file"] and (tmp_path / "model" / "file").read_text() == "model"
