"""Runs of a few steps on a corpus made here, shared by the tests of training. Imports nothing of pytest: forked servers load it."""

import numpy as np
import torch
from make_model import write_video

from signx_hf.data.schema import encode_poses, make_row, to_dataset
from signx_hf.training.arguments import collect
from signx_hf.training.loop import TrainingRun
from signx_hf.training.stages import stage_class

SIGNS = ("IX-1p", "WORK", "FINISH", "#JOB")
SMALL = {
    "pose_config": {
        "track_dims": {"hands": 6}, "track_hidden_size": 16, "fusion_heads": 2, "latent_size": 24, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 32,
    },
    "recognizer_config": {"hidden_size": 16, "feature_size": 24},
    "text_config": {"hidden_size": 16, "encoder_layers": 1, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24},
}  # fmt: skip


def make_corpus(folder, clips=14, seed=0, videos=None, longest=3):
    """Each sign is a path of its own, so that something can be learned.

    videos: folder for a video of each clip, whose frames show the numbers of the poses as gray bars.
    """
    random = np.random.default_rng(seed)
    rows = []
    for index in range(clips):
        glosses = [SIGNS[i] for i in random.integers(0, len(SIGNS), size=random.integers(1, longest + 1))]
        parts = [np.zeros((3, 6))]
        for gloss in glosses:
            angle = np.linspace(0, 6.28, 10)[:, None] * (1 + SIGNS.index(gloss))
            parts += [np.sin(angle + np.arange(6) * SIGNS.index(gloss)), np.zeros((3, 6))]
        values = np.concatenate(parts) + random.normal(0, 0.05, size=(sum(map(len, parts)), 6))
        segments = [{"gloss": g, "start": (3 + 13 * i) / 30, "end": (13 + 13 * i) / 30} for i, g in enumerate(glosses)]
        video = None
        if videos is not None:
            bars = np.clip(128 + 60 * values, 0, 255).astype(np.uint8).repeat(6, axis=1)[:, None, :36, None]
            video = write_video(videos / f"clip{index}.mkv", np.broadcast_to(bars, (len(values), 36, 36, 3)), 30)
        rows.append(
            make_row(
                id=f"clip{index}", fps=30.0, num_frames=len(values), signer="ab"[index % 2], split="train", glosses=glosses,
                segments=segments, poses=encode_poses({"hands": values}, fps=30.0), video=video,
            )
        )  # fmt: skip
    to_dataset(rows, "train").save_to_disk(str(folder))
    return folder


def options(corpus, out, **changes):
    base = {
        "dataset": str(corpus), "output_dir": str(out), "model_config": SMALL, "dev_share": 0.2, "dev_by": "clip", "num_train_epochs": 4,
        "per_device_train_batch_size": 4, "progress": False, "plot": False, "learning_rate": 3e-3, "warmup_ratio": 0.1, "bucket": 2,
        "vocab_size": 530, "num_workers": 0,
    }  # fmt: skip
    if "upstream" not in changes:
        base["start"] = "inputs"
    return {**base, **changes}


def run(stage, given):
    chosen = stage_class(stage)
    arguments = collect(dict(given), chosen.defaults)
    return TrainingRun(chosen(arguments), arguments).train()


def run_alone(stage, given):
    """In a process of its own. One thread: with more a BLAS may share sums out otherwise, and round otherwise, each time."""
    torch.set_num_threads(1)
    run(stage, given)


def log_of(out):
    return (out / "log.csv").read_text()


def weights_of(out):
    from safetensors.torch import load_file

    return load_file(out / "model" / "model.safetensors")


def started(stage, given, **changes):
    """A stage that is set up, without a run."""
    chosen = stage_class(stage)
    stage = chosen(collect({**given, **changes}, chosen.defaults))
    stage.setup()
    return stage
