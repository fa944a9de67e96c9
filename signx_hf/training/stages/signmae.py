"""SignMAE: learn to reconstruct segments of key points from one vector, without labels (UniGloR, section 3.1)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ...modeling.losses_uniglor import segment_losses
from ...modeling.modeling_uniglor import UniGloRSignMAE
from ..examples import Example
from .uniglor import UniGloRStage, points_of


def draw_start(mask: np.ndarray, length: int, random: np.random.Generator | None) -> int:
    """Return the first frame of a segment of a clip: any whose segment shows a point, or without `random` the middle one.

    Args:
        mask: [T, V], true where a point was seen; somewhere it is.
        length: frames of a segment.
        random: generator of the draw.
    """
    seen = np.concatenate([[0], np.cumsum(mask.any(axis=1))])
    starts = np.arange(max(len(mask) - length, 0) + 1)
    legal = starts[seen[np.minimum(starts + length, len(mask))] > seen[starts]]
    return int(legal[len(legal) // 2 if random is None else random.integers(len(legal))])


class SignMAE(UniGloRStage[UniGloRSignMAE]):
    """Draw a segment of each clip in each epoch, hide a quarter of its frames, and reconstruct it; evaluate the distance."""

    name = "signmae"
    title = "SignMAE"
    metric_for_best_model = "mpjpe"
    model_class = UniGloRSignMAE
    defaults = {
        "learning_rate": 1e-4, "min_lr_ratio": 0.5, "warmup_ratio": 0.1, "weight_decay": 1e-3, "adam_beta2": 0.98,
        "per_device_train_batch_size": 64, "num_train_epochs": 50, "bucket": 0, "dev_by": "clip",
    }  # fmt: skip

    def make_model(self) -> UniGloRSignMAE:
        return self.build()

    def inputs(self, examples: Sequence[Example], randoms: Sequence[np.random.Generator] | None) -> dict[str, Any]:
        """Return `keypoints` `[B, 15, V, C]`, `keypoint_mask` and, in training, `masked_frames` `[B, 15]`.

        Both draws depend on seed, epoch and clip alone. A clip shorter than a segment repeats its last frame.
        """
        config = self.model.config
        length, segments, masked = config.segment_length, [], []
        generators: Sequence[np.random.Generator | None] = randoms or [None] * len(examples)
        for example, random in zip(examples, generators):
            keypoints, mask = points_of(example)
            frames = np.minimum(draw_start(mask, length, random) + np.arange(length), len(mask) - 1)
            segments.append((keypoints[frames], mask[frames]))
            if random is not None and config.masked_frames:
                hidden = np.zeros(length, dtype=bool)
                hidden[random.permutation(length)[: config.masked_frames]] = True
                masked.append(hidden)
        keypoints, mask = (np.stack(part) for part in zip(*segments))
        batch = {"keypoints": keypoints, "keypoint_mask": mask}
        return batch | ({"masked_frames": np.stack(masked)} if masked else {})

    def predict(self, model: UniGloRSignMAE, batch: dict[str, torch.Tensor]) -> list[dict[str, float]]:
        """Return for each clip the loss, the mean distance by part, and whether the floor of the weights acted."""
        output, target, mask = model(**batch), batch["keypoints"], batch["keypoint_mask"]
        distance = (output.reconstruction.float() - target).norm(dim=-1) * mask
        found = {"loss": segment_losses(output.reconstruction, target, mask, output.pose_weights)}
        found["floored"] = output.floored.float()
        everything = list(range(mask.shape[2]))
        for part, points in {"": everything, **model.config.parts}.items():
            name = f"mpjpe_{part}".rstrip("_")
            found[name] = distance[:, :, points].sum((1, 2)) / mask[:, :, points].sum((1, 2))  # nan where never seen
        return [dict(zip(found, row)) for row in zip(*(value.tolist() for value in found.values()))]

    def metric_names(self) -> list[str]:
        return ["mpjpe", "loss"]

    def compute_metrics(self, predictions: list[dict[str, float]]) -> dict[str, float]:
        """Return means over the clips that show a part; distances are in shoulder widths."""
        metrics = {}
        for name in predictions[0]:
            values = [row[name] for row in predictions if row[name] == row[name]]
            if values:
                metrics[name] = sum(values) / len(values)
        return metrics

    def report(self, metrics: dict[str, float]) -> str:
        if not metrics:
            return ""
        return f"{len(self.train_examples)} clips; segments of other clips are reconstructed within {metrics['mpjpe']:.3f} shoulder widths"
