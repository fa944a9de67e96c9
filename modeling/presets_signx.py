"""Options of the published model sizes; `SignXConfig.small()` and `SignXConfig.tiny()` build configs from them."""

PARTS = ("pose_config", "temporal_config", "recognizer_config", "text_config", "classifier_config")


def _resnet(hidden_sizes: list[int], depths: list[int]) -> dict:
    """Return the options of a basic-block ResNet of transformers."""
    return {
        "model_type": "resnet",
        "layer_type": "basic",
        "embedding_size": hidden_sizes[0],
        "hidden_sizes": hidden_sizes,
        "depths": depths,
    }


VIT_BASE = {"model_type": "vit"}  # the default ViT of transformers is ViT-B/16 at 224
RESNET34 = _resnet([64, 128, 256, 512], [3, 4, 6, 3])


def small_options() -> dict:
    """Return the options of a student: a thin ResNet-18 at 160 px, 512-d latents, no RGB branch."""
    return {
        "image_size": 160,
        "vision_config": _resnet([48, 96, 192, 384], [2, 2, 2, 2]),
        "frame_branch": None,
        "pose_config": {
            "track_hidden_size": 128, "fusion_heads": 4, "latent_size": 512,
            "num_hidden_layers": 3, "num_attention_heads": 8, "intermediate_size": 1024,
        },
        "temporal_config": {"hidden_size": 256, "num_attention_heads": 4, "intermediate_size": 512},
        "recognizer_config": {"hidden_size": 256, "feature_size": 512},
        "text_config": {"encoder_layers": 3, "num_hidden_layers": 3, "intermediate_size": 512},
    }  # fmt: skip


def tiny_options() -> dict:
    """Return the options of a student for laptops: a thin ResNet-18 at 112 px, 192-d latents, no RGB branch."""
    return {
        "image_size": 112,
        "vision_config": _resnet([32, 64, 128, 160], [2, 2, 2, 1]),
        "frame_branch": None,
        "pose_config": {
            "track_hidden_size": 64, "fusion_heads": 4, "latent_size": 192,
            "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 384,
        },
        "temporal_config": {
            "hidden_size": 192, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 384,
        },
        "recognizer_config": {"hidden_size": 128, "feature_size": 192},
        "text_config": {
            "vocab_size": 1024, "hidden_size": 128, "encoder_layers": 2, "num_hidden_layers": 2,
            "num_attention_heads": 4, "intermediate_size": 256,
        },
        "ctc_vocab_size": 501,
    }  # fmt: skip


def override(options: dict, overrides: dict) -> dict:
    """Return a preset with `overrides`; a dict for a part replaces only the options that it names."""
    merged = {**options, **overrides}
    for part, value in overrides.items():
        if part in PARTS and isinstance(value, dict):
            merged[part] = {**options.get(part, {}), **value}
    return merged
