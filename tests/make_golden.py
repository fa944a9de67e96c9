"""Writes tests/golden/*.safetensors: the weights of a mini model, inputs, and what the model said on the day of writing.

    python tests/make_golden.py

They hold the numerics still: whoever changes the order of layers, a norm, a mask or a name of a weight is told by
`test_golden.py`. Write them anew only when the mathematics of the model changes on purpose, that is, when published
checkpoints will not load or will answer differently, and say so in the changelog. A new version of torch or transformers
is no reason: then the difference itself is the finding.
"""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]

import torch  # noqa: E402
from conftest import mini_inputs, mini_model  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from signx_hf import SignXForGlossRecognition  # noqa: E402

FOLDER = Path(__file__).resolve().parent / "golden"

# Smaller than the mini model of the other tests: the files travel with the repository.
SIZES = {
    "image_size": 16,
    "vision_config": {
        "model_type": "vit", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 6,
        "image_size": 16, "patch_size": 8,
    },
    "frame_branch": {
        "model_type": "resnet", "layer_type": "basic", "embedding_size": 4, "hidden_sizes": [4, 5], "depths": [1, 1],
    },
    "pose_config": {
        "track_dims": {"hands": 7, "body": 5, "depth": 4}, "track_hidden_size": 6, "fusion_heads": 3, "latent_size": 18,
        "num_attention_heads": 2, "intermediate_size": 10,
    },
    "temporal_config": {"hidden_size": 9, "num_attention_heads": 3, "intermediate_size": 8},
    "recognizer_config": {"hidden_size": 7, "feature_size": 12},
    "text_config": {"vocab_size": 13, "hidden_size": 8, "encoder_layers": 1, "num_hidden_layers": 1, "intermediate_size": 10},
}  # fmt: skip
IDS = torch.tensor([[1, 4, 8, 2], [1, 5, 12, 9]])


def golden_model() -> SignXForGlossRecognition:
    return mini_model("SignXForGlossRecognition", seed=20250416, **SIZES)


@torch.no_grad()
def run(model: SignXForGlossRecognition, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Every intermediate of both entries, under the names of the vocabulary of tensors."""
    expected = {}
    entries = {
        "poses": ("pose_values", "pose_mask", "frame_mask"),
        "video": ("pixel_values_videos", "frame_mask"),
    }
    for entry, names in entries.items():
        given = {name: inputs[name] for name in names}
        output = model(**given, decoder_input_ids=inputs["decoder_input_ids"])
        latents = model.model(**given)
        expected |= {
            f"{entry}.fused_pose": latents.fused_pose,
            f"{entry}.latents": latents.last_hidden_state,
            f"{entry}.features": output.features,
            f"{entry}.feature_mask": output.feature_mask,
            f"{entry}.ctc_logits": output.ctc_logits,
            f"{entry}.logits": output.logits,
        }
    return {name: value.clone().contiguous() for name, value in expected.items()}


def main() -> None:
    model = golden_model()
    inputs = mini_inputs(model.config, [9, 6], "video", "poses", seed=5)
    inputs["decoder_input_ids"] = IDS
    FOLDER.mkdir(exist_ok=True)
    weights = {name: value.contiguous() for name, value in model.state_dict().items() if name != "lm_head.weight"}
    save_file(weights, FOLDER / "weights.safetensors")
    save_file(inputs, FOLDER / "inputs.safetensors")
    save_file(run(model, inputs), FOLDER / "expected.safetensors")
    for file in sorted(FOLDER.iterdir()):
        print(f"{file.name} {file.stat().st_size / 1000:.1f} kB")


if __name__ == "__main__":
    main()
