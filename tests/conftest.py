"""Shared pieces of the test suite: a model small enough for milliseconds, and where the real data lies."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing in the suite may wait for the network

import torch  # noqa: E402

torch.set_num_threads(1)  # the suite runs as many processes as there are cores

import signx_hf  # noqa: E402  light; the order of imports in a test file then does not matter

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("SIGNX_DATA", ROOT.parent / "shared" / "data"))


def pytest_collection_modifyitems(items):
    """Mark as slow what tests/slow.txt lists."""
    lines = Path(__file__).with_name("slow.txt").read_text(encoding="utf-8").splitlines()
    slow = {line for line in lines if line and not line.startswith("#")}
    for item in items:
        if {item.path.name, f"{item.path.name}::{item.originalname}"} & slow:
            item.add_marker("slow")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Nothing of the tests goes into the user's cache, and nothing of it into the tests."""
    before = os.environ.get("SIGNX_CACHE")
    os.environ["SIGNX_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    os.environ.pop("SIGNX_CACHE")
    if before is not None:
        os.environ["SIGNX_CACHE"] = before


# Sizes all different, so that a swapped axis shows.
MINI = {
    "image_size": 32,
    "vision_config": {
        "model_type": "vit", "hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 20, "image_size": 32, "patch_size": 16,
    },
    "frame_branch": {
        "model_type": "resnet", "layer_type": "basic", "embedding_size": 6, "hidden_sizes": [6, 10], "depths": [1, 1],
    },
    "pose_config": {
        "track_dims": {"hands": 7, "body": 5, "depth": 4}, "track_hidden_size": 12, "fusion_heads": 3, "latent_size": 32,
        "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 28,
    },
    "temporal_config": {"hidden_size": 18, "num_hidden_layers": 1, "num_attention_heads": 3, "intermediate_size": 22},
    "recognizer_config": {"hidden_size": 14, "feature_size": 26},
    "text_config": {
        "vocab_size": 37, "hidden_size": 16, "encoder_layers": 2, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 30,
    },
    "ctc_vocab_size": 11,
}  # fmt: skip


def mini_config(**overrides):
    """A SignXConfig with all parts of the paper's model and a few thousand weights."""
    options = {**MINI, **overrides}
    for part in ("pose_config", "temporal_config", "recognizer_config", "text_config"):
        if part in overrides and part in MINI:
            options[part] = {**MINI[part], **overrides[part]}
    return signx_hf.SignXConfig(**options)


def mini_model(name: str, seed: int = 0, **overrides):
    """A model of that class in evaluation mode, its weights drawn so that every one of them matters to the result.

    Fresh weights will not do: with biases of zero and a spread of 0.02 the logits hardly depend on the input, and a test
    that compares them within 1e-5 could not fail.
    """
    torch.manual_seed(seed)
    model = getattr(signx_hf, name)(mini_config(**overrides)).eval()
    draw = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=draw)
            if parameter.ndim > 1:
                parameter.copy_(noise / parameter[0].numel() ** 0.5)
            else:
                parameter.add_(0.2 * noise)
        for key, buffer in model.named_buffers():
            if key.endswith(("running_mean", "running_var")):
                buffer.add_(0.3 * torch.rand(buffer.shape, generator=draw))
    return model


def mini_inputs(config, lengths, *kinds: str, seed: int = 0) -> dict:
    """Padded inputs for clips of the given lengths in frames (features: steps); kinds: video, poses, latents, features.

    Padded places hold numbers too, as a careless caller's would; tracks are missing at random, never all of a frame.
    """
    draw = torch.Generator().manual_seed(seed)
    batch, time = len(lengths), max(lengths)
    mask = torch.arange(time)[None] < torch.tensor(lengths)[:, None]
    inputs = {}
    if "features" in kinds:
        size = config.recognizer_config.feature_size
        return {"features": torch.randn(batch, time, size, generator=draw), "feature_mask": mask}
    inputs["frame_mask"] = mask
    if "video" in kinds:
        size = config.image_size
        inputs["pixel_values_videos"] = torch.randn(batch, time, 3, size, size, generator=draw)
    if "poses" in kinds:
        tracks = len(config.pose_config.track_sizes)
        inputs["pose_values"] = torch.randn(batch, time, config.pose_config.pose_size, generator=draw)
        observed = torch.rand(batch, time, tracks, generator=draw) < 0.7
        inputs["pose_mask"] = observed.index_fill(2, torch.tensor([0]), True)
    if "latents" in kinds:
        inputs["latents"] = torch.randn(batch, time, config.latent_size, generator=draw)
    return inputs


# Which inputs each class takes.
ENTRIES = {
    "SignXModel": ["video", "poses", "latents"],
    "SignXForPose2Gloss": ["video", "poses", "latents"],
    "SignXForVideo2Pose": ["video"],
    "SignXForLatentCTC": ["video", "poses", "latents", "features"],
    "SignXForGlossRecognition": ["video", "poses", "latents", "features"],
    "SignXForSignClassification": ["video", "poses", "latents"],
}

# One batch for all: labels with the task prompt first, glosses, lengths in frames.
LABELS = torch.tensor([[4, 9, 12, 2], [4, 30, 2, -100], [5, 7, 2, -100]])
CTC_LABELS = torch.tensor([[3, 5], [7, -100], [10, -100]])
LENGTHS = [8, 5, 6]


def labels_for(name: str, kind: str = "") -> dict:
    if name == "SignXForPose2Gloss":
        return {"labels": LABELS}
    if name == "SignXForLatentCTC":
        return {"ctc_labels": CTC_LABELS}
    if name == "SignXForGlossRecognition":
        return {"labels": LABELS, "ctc_labels": CTC_LABELS}
    if name == "SignXForSignClassification":
        return {"labels": torch.tensor([1, 0, 1])}
    return {}


def results(output) -> dict[str, torch.Tensor]:
    """What a model says, whichever class it is."""
    names = ("logits", "ctc_logits", "aux_logits", "features", "latents", "last_hidden_state", "fused_pose")
    return {name: output[name] for name in names if name in output and output[name] is not None}


def assert_equal_outputs(first, second, tolerance=0.0):
    first, second = results(first), results(second)
    assert first and first.keys() == second.keys()
    for name in first:
        difference = (first[name] - second[name]).abs().max().item()
        assert difference <= tolerance, f"{name} differs by {difference}"


def data_folder(*parts: str) -> Path:
    """A folder of the real data (`SIGNX_DATA`, or `../shared/data` beside the checkout); skips the test where it is absent."""
    base = DATA
    path = base.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"no real data at SIGNX_DATA: {'/'.join(parts)} is not there")
    return path
