"""The loss of a step: the model's parts, weighed, and normalised over all processes instead of each by itself."""

from typing import Any

import torch

IGNORE = -100
# part of a loss -> where its weight stands in the config
WEIGHTS = {
    "text": "text_weight",
    "word": "word_weight",
    "ngram": "ngram_weight",
    "contrast": "contrast_weight",
    "encoder_ctc": "decoder_ctc_weight",
    "ctc": "recognizer_config.ctc_weight",
    "aux_ctc": "recognizer_config.aux_ctc_weight",
    "student_ctc": "recognizer_config.ctc_weight",
    "kd": "recognizer_config.kd_weight",
    "alignment": "recognizer_config.alignment_weight",
    "pose": "pose_weight",
    "latent": None,
    "loss": None,
}
# what a part is a mean over; the others are means over clips. `contrast` compares clips of one process with one another.
PER_TOKEN, PER_STEP, PER_ALIGNED, PER_FRAME = ("text",), ("kd",), ("alignment",), ("latent", "pose")


def weight_of(config: Any, part: str) -> float:
    """The weight of a part of the loss in the model's config; 1 for parts that have none."""
    path = WEIGHTS[part]
    if path is None:
        return 1.0
    for name in path.split("."):
        config = getattr(config, name)
    return float(config)


def losses_of(output: Any) -> dict[str, torch.Tensor]:
    """The parts of a model's loss, or the whole under the name `loss` for a model with one part."""
    parts = getattr(output, "losses", None)
    return dict(parts) if parts else {"loss": output.loss}


def counts(batch: dict[str, torch.Tensor], output: Any) -> dict[str, float]:
    """What the means of a batch run over: clips, tokens, feature steps, steps of known gloss, frames."""
    rows = len(next(iter(batch.values())))
    found = {"clips": float(rows)}
    labels = batch.get("labels")
    if labels is not None and labels.ndim == 2:
        found["tokens"] = float((labels[:, 1:] != IGNORE).sum())
    steps = getattr(output, "feature_mask", None)
    if steps is not None:
        found["steps"] = float(steps.sum())
    if batch.get("gloss_alignment") is not None:
        found["aligned"] = float((batch["gloss_alignment"] != IGNORE).sum())
    if batch.get("frame_mask") is not None:
        found["frames"] = float(batch["frame_mask"].sum())
    return found


def unit_of(part: str) -> str:
    """The name in `counts` of what a part is a mean over."""
    for unit, parts in (("tokens", PER_TOKEN), ("steps", PER_STEP), ("aligned", PER_ALIGNED), ("frames", PER_FRAME)):
        if part in parts:
            return unit
    return "clips"


def total(parts: dict[str, torch.Tensor], weights: dict[str, float], shares: dict[str, float]) -> torch.Tensor:
    """The loss to differentiate: `sum_p weight_p * share_p * part_p`.

    shares: for each unit of `counts` this batch's count over the mean count of all batches of the optimiser step (processes
    and accumulation); gradients are averaged over those, so the sum is the mean over all clips, tokens or frames at once.
    """
    return sum(weights[name] * shares.get(unit_of(name), 1.0) * value for name, value in parts.items())
