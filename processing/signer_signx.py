"""Signer of a clip: the options `hand` and `person`, and what a result says about both.

A model that has seen right-handed signers recognizes a left-handed one in the mirror image.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from .errors_signx import SignXError

HANDS = ("as_trained", "right", "left", "detect")


def check_hand(hand: str) -> str:
    """Return the option `hand`.

    Raises:
        SignXError: If the value is not one of HANDS.
    """
    if hand not in HANDS:
        raise SignXError(f"`hand` must be {', '.join(map(repr, HANDS[:-1]))} or {HANDS[-1]!r}, got {hand!r}.")
    return hand


def check_person(person: int | str) -> int | str:
    """Return the option `person`.

    Raises:
        SignXError: If the value is neither an index nor `"largest"`.
    """
    is_index = isinstance(person, int) and not isinstance(person, bool) and person >= 0
    if person != "largest" and not is_index:
        more = ""
        if person in ("central", "active"):
            more = f" Use `signx-hf extract --person {person}` to choose that way while extracting poses from video."
        raise SignXError(f"`person` must be an index from 0 or 'largest', got {person!r}.{more}")
    return person


def refuse_person(person: int | str | None, name: str) -> None:
    """Check that `person` is not set for a model that reads video frames, because it sees everybody in them.

    Raises:
        SignXError: If `person` is given.
    """
    if person is not None:
        raise SignXError(
            f"{name}: `person` must be None for a video, whose full frames the model sees, got {person!r}. "
            f"Extract the poses of one person with `signx-hf extract --person {person}`, or crop the video to the "
            "signer."
        )


def name_of(clip: object) -> str:
    """Return the name of a clip, for messages."""
    return str(clip) if isinstance(clip, (str, Path)) else "video"


def video_signer(hand: str) -> dict[str, Any]:
    """Return what a result says about the signer of a video: `person` and `people` are None, `hand` is what was
    declared.
    """
    return {
        "person": None, "people": None, "hand": hand if hand in ("left", "right") else None, "mirrored": hand == "left",
    }  # fmt: skip


def certainty(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the mean over valid steps of the log-probability of the best label.

    Args:
        logits: `[B, T', V]`.
        mask: `[B, T']`, true for valid steps.

    Returns:
        `[B]`.
    """
    best = logits.float().log_softmax(-1).amax(-1)
    return best.masked_fill(~mask.bool(), 0.0).sum(1) / mask.sum(1).clamp(min=1)


def encode_both_hands(encode: Callable, inputs: dict[str, torch.Tensor]) -> tuple[Any, list[bool]]:
    """Encode videos as they are and mirrored, and use for each clip the one whose CTC is more certain (`certainty`).

    Args:
        encode: Encoder of the model.
        inputs: Model input with `pixel_values_videos` `[B, T, 3, H, W]`.

    Returns:
        The output of `encode`, and for each clip whether it is that of the mirror image.

    Raises:
        SignXError: If the model has no CTC.
    """
    plain = encode(**inputs)
    if plain.ctc_logits is None:
        raise SignXError(
            "`hand` must be 'left', 'right' or 'as_trained' for a video and a model without CTC, by which it is detected, got "
            "'detect'. Say which hand leads."
        )
    other = encode(**{**inputs, "pixel_values_videos": inputs["pixel_values_videos"].flip(-1)})
    mirrored = certainty(other.ctc_logits, other.feature_mask) > certainty(plain.ctc_logits, plain.feature_mask)
    for name, value in list(plain.items()):
        if torch.is_tensor(value):
            rows = mirrored.to(value.device).view(-1, *(1,) * (value.ndim - 1))
            plain[name] = torch.where(rows, other[name], value)
    return plain, mirrored.tolist()


def note_hands(metadata: list[dict], mirrored: list[bool]) -> list[dict]:
    """Return the metadata of clips with the detected signing hand added to `signer`."""
    return [
        {**row, "signer": {**row["signer"], "hand": "left" if flipped else "right", "mirrored": flipped}}
        for row, flipped in zip(metadata, mirrored)
    ]
