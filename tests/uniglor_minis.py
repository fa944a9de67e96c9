"""Small UniGloR models, segments and corpora for tests."""

import numpy as np
import torch

from signx_hf.data.schema import encode_poses, make_row, to_dataset

MINI = {
    "graph_sizes": [8, 12], "refinement_size": 2, "hidden_size": 24, "encoder_layers": 1, "decoder_layers": 1,
    "num_attention_heads": 2, "intermediate_size": 40, "classifier_layers": 1,
}  # fmt: skip
# Seven points: a body of three, a face of two, a "hand" of two; sizes differ from one another.
SEVEN = {
    "keypoints": "seven",
    "nodes": ["neck", "nose", "arm", "brow", "mouth", "palm", "finger"],
    "parts": {"body": [0, 1, 2], "face": [3, 4], "hand": [5, 6]},
    "edges": [[1, 0], [2, 0], [3, 1], [4, 1], [5, 2], [6, 5]],
    "weight_groups": {
        "body": [{"points": [0, 1, 2], "about": None}],
        "face": [{"points": [3, 4], "about": "mean"}],
        "hands": [{"points": [5, 6], "about": 5}],
    },
}


def seven_config(**changes):
    from signx_hf import UniGloRConfig

    return UniGloRConfig(**{**SEVEN, **MINI, **changes})


def mini(name="UniGloRSignMAE", seed=0, config=None, **changes):
    """A model in evaluation mode whose every weight matters, the refinement of the graph among them."""
    import signx_hf

    torch.manual_seed(seed)
    model = getattr(signx_hf, name)(config or seven_config(**changes)).eval()
    draw = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=draw))
        for key, buffer in model.named_buffers():
            if key.endswith(("running_mean", "running_var")):
                buffer.add_(0.3 * torch.rand(buffer.shape, generator=draw))
    return model


def segments(config, count=3, frames=None, seed=0, missing=0.2):
    """Segments `[B, 15, V, C]` and a mask with some points missing, never all."""
    draw = torch.Generator().manual_seed(seed)
    shape = count, frames or config.segment_length, config.num_keypoints
    mask = torch.rand(shape, generator=draw) >= missing
    mask[:, 0, 0] = True
    return torch.randn(*shape, config.coordinates, generator=draw), mask


def make_corpus(folder, clips=10, seed=0, track="dwpose", shortest=9, signs=("WORK", "FINISH"), prefix="clip"):
    """A saved dataset of poses in pixels; the hands of each sign go their own way."""
    random = np.random.default_rng(seed)
    places = random.uniform(150, 350, size=(128, 2))
    places[2], places[5] = (180, 200), (320, 200)
    places[18:39], places[39:60] = ((x, 260) + random.normal(0, 10, size=(21, 2)) for x in (200, 300))
    rows = []
    for index in range(clips):
        frames, sign = shortest + int(random.integers(0, 30)), index % len(signs)
        points = np.repeat(places[None], frames, axis=0) + random.normal(0, 0.5, size=(frames, 128, 2))
        turn = np.linspace(0, 6, frames)[:, None, None] * (1 + 2 * sign)
        points[:, 18:60] += 40 * np.concatenate([np.sin(turn), np.cos(turn) * (-1) ** sign], axis=2)
        points[:, [3, 4, 6, 7]] += 20 * np.sin(turn)
        values = np.concatenate([points, np.ones((frames, 128, 1))], axis=2).reshape(frames, -1)
        if track == "hands":
            hands = np.concatenate([points[:, 18:60] / 640, np.zeros((frames, 42, 1))], axis=2)
            values = hands.reshape(frames, -1)
        rows.append(
            make_row(
                id=f"{prefix}{index}", fps=25.0, num_frames=frames, signer="ab"[index // 2 % 2], split="train",
                glosses=[signs[sign]], poses=encode_poses({track: values}, fps=25.0),
            )
        )  # fmt: skip
    to_dataset(rows, "train").save_to_disk(str(folder))
    return folder
