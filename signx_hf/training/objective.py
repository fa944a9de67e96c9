"""The loss of a step: the parts of the model, weighted, and normalized over all processes rather than within each."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import torch

from ..processing.errors_signx import SignXError
from .arguments import RunArguments

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

IGNORE = -100
# part of a loss -> where its weight is in the config; None for parts without one
WEIGHTS = {
    "text": "text_weight",
    "word": "word_weight",
    "ngram": "ngram_weight",
    "contrast": "contrast_weight",
    "encoder_ctc": "decoder_ctc_weight",
    "ctc": "recognizer_config.ctc_weight",
    "aux_ctc": "recognizer_config.aux_ctc_weight",
    "student_ctc": "recognizer_config.student_ctc_weight",
    "teacher_ctc": "recognizer_config.teacher_ctc_weight",
    "kd": "recognizer_config.kd_weight",
    "alignment": "recognizer_config.alignment_weight",
    "pose": "pose_weight",
    "latent": None,
    "loss": None,
}
# What a part is a mean over; the others are means over clips. `contrast` compares clips of one process with one another.
PER_TOKEN, PER_STEP, PER_ALIGNED, PER_FRAME = ("text",), ("kd",), ("alignment",), ("latent", "pose")
PER_GLOSSED = ("ctc", "aux_ctc", "student_ctc", "teacher_ctc", "encoder_ctc")  # clips with glosses


class LossOutput(Protocol):
    """What a model returns in training, with or without the parts of the loss in `losses`, and with or without `feature_mask`."""

    loss: torch.Tensor


def check_loss_options(config: "PreTrainedConfig", run: RunArguments, computed: Sequence[str], trained: str) -> None:
    """Reject weights of parts of the loss that a run never computes.

    Args:
        config: of the model.
        run: options `loss_weights` and `loss_schedules`.
        computed: parts that the model computes where their weight is not 0.
        trained: what is trained, for the message.

    Raises:
        SignXError: If the options name another part, or schedule one whose weight is 0.
    """
    weights, schedules = run.loss_weights, run.loss_schedules
    weighted = [name for name in computed if WEIGHTS[name]]
    for option, given, legal in (("loss_weights", weights, weighted), ("loss_schedules", schedules, computed)):
        unused = [name for name in given if name not in legal]
        if unused:
            kind = "is not computed" if unused[0] in WEIGHTS else "is none"
            remedy = f"Use one of {', '.join(legal)}." if legal else "Remove it."
            raise SignXError(
                f"`{option}` must name parts of the loss that {trained} computes, got {unused[0]!r}, which {kind}. {remedy}"
            )
    for name in schedules:
        if not weights.get(name, weight_of(config, name)):
            raise SignXError(
                f"`loss_schedules.{name}` has no effect, because a part of weight 0 is not computed. Set another weight in loss_weights, too."
            )


def apply_loss_weights(config: "PreTrainedConfig", weights: dict[str, float]) -> None:
    """Write the weights given for a run into the config, so that the checkpoint says what it was trained with.

    Args:
        config: of the model.
        weights: option `loss_weights`, by part.
    """
    for name, value in weights.items():
        *parents, attribute = str(WEIGHTS[name]).split(".")
        owner = config
        for parent in parents:
            owner = getattr(owner, parent)
        setattr(owner, attribute, value)


def weight_of(config: "PreTrainedConfig", part: str) -> float:
    """Return the weight of a part of the loss in the model's config; 1 for parts without one."""
    path = WEIGHTS[part]
    if path is None:
        return 1.0
    if path.startswith("recognizer_config."):
        return float(config.recognizer_config.loss_weight(part))
    for name in path.split("."):
        config = getattr(config, name)
    return float(config)


def losses_of(output: LossOutput) -> dict[str, torch.Tensor]:
    """Return the parts of a model's loss, or the full loss as `loss` for a model with one part."""
    parts = getattr(output, "losses", None)
    return dict(parts) if parts else {"loss": output.loss}


def counts(batch: dict[str, torch.Tensor], output: LossOutput) -> dict[str, float]:
    """Count what the means of a batch run over: clips, those with glosses, tokens, feature steps, steps of known gloss, frames."""
    rows = len(next(iter(batch.values())))
    count = {"clips": float(rows)}
    labels = batch.get("labels")
    if labels is not None and labels.ndim == 2:
        count["tokens"] = float((labels[:, 1:] != IGNORE).sum())
    glosses = batch.get("ctc_labels")
    if glosses is not None:
        count["glossed"] = float((glosses != IGNORE).any(1).sum())
    steps = getattr(output, "feature_mask", None)
    if steps is not None:
        count["steps"] = float(steps.sum())
    if batch.get("gloss_alignment") is not None:
        count["aligned"] = float((batch["gloss_alignment"] != IGNORE).sum())
    frames = batch.get("loss_mask", batch.get("frame_mask"))
    if frames is not None:
        count["frames"] = float(frames.sum())
    return count


def unit_of(part: str) -> str:
    """Return the name in `counts` of what a part is a mean over."""
    units = ("tokens", PER_TOKEN), ("steps", PER_STEP), ("aligned", PER_ALIGNED), ("frames", PER_FRAME)
    for unit, parts in (*units, ("glossed", PER_GLOSSED)):
        if part in parts:
            return unit
    return "clips"


def total(parts: dict[str, torch.Tensor], weights: dict[str, float], shares: dict[str, float]) -> torch.Tensor:
    """Return the loss to differentiate: `sum_p weight_p * share_p * part_p`.

    Args:
        parts: of the loss, scalars.
        weights: of each part.
        shares: for each unit of `counts` this batch's count over the mean count of all processes. Gradients are averaged over
            processes, so the sum is the mean over all clips, tokens or frames at once.
    """
    return sum(weights[name] * shares.get(unit_of(name), 1.0) * value for name, value in parts.items())
