"""Shared pieces of the test suite: a model small enough for milliseconds, and where the real data lies."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing in the suite may wait for the network

ROOT = Path(__file__).resolve().parent.parent

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
    from signx_hf import SignXConfig

    options = {**MINI, **overrides}
    for part in ("pose_config", "temporal_config", "recognizer_config", "text_config"):
        if part in overrides and part in MINI:
            options[part] = {**MINI[part], **overrides[part]}
    return SignXConfig(**options)


def data_folder(*parts: str) -> Path:
    """A folder of the real data (`SIGNX_DATA`, or `../shared/data` beside the checkout); skips the test where it is absent."""
    base = Path(os.environ.get("SIGNX_DATA", ROOT.parent / "shared" / "data"))
    path = base.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"no real data at SIGNX_DATA: {'/'.join(parts)} is not there")
    return path
