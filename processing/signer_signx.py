"""Who signs, and with which hand: the options `hand` and `person`, and what a result says about both.

A model that has seen signers who lead with the right hand sees one in the mirror image of somebody who leads with the left.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from .errors_signx import SignXError

HANDS = ("as_trained", "right", "left", "detect")


def check_hand(hand: Any) -> str:
    """A legal value of the option `hand`, or SignXError."""
    if hand not in HANDS:
        raise SignXError(f"hand is {hand!r}: wanted {', '.join(map(repr, HANDS[:-1]))} or {HANDS[-1]!r}")
    return hand


def check_person(person: Any) -> int | str:
    """A legal value of the option `person`, or SignXError."""
    is_index = isinstance(person, int) and not isinstance(person, bool) and person >= 0
    if person != "largest" and not is_index:
        more = ""
        if person in ("central", "active"):
            more = f"; `signx-hf extract --person {person}` chooses so while it extracts poses from video"
        raise SignXError(f"person is {person!r}: wanted an index from 0 or 'largest'{more}")
    return person


def refuse_person(person: int | str | None, name: str) -> None:
    """A model that reads pictures sees everybody in them; raises SignXError where one person is asked for."""
    if person is not None:
        raise SignXError(
            f"{name}: person is {person!r} for a video, but the model sees the whole picture: wanted poses, of which one person is "
            f"read; extract them with `signx-hf extract --person {person}`, or crop the video to the signer"
        )


def name_of(clip: Any) -> str:
    """What messages call a clip."""
    return str(clip) if isinstance(clip, (str, Path)) else "video"


def video_signer(hand: str) -> dict[str, Any]:
    """What a result says about the signer of a video: `person` and `people` are unknown, `hand` is what was declared."""
    return {
        "person": None, "people": None, "hand": hand if hand in ("left", "right") else None, "mirrored": hand == "left",
    }  # fmt: skip


def certainty(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean over true steps of the log-probability of the best label: logits `[B, T', V]`, mask `[B, T']` to `[B]`."""
    best = logits.float().log_softmax(-1).amax(-1)
    return best.masked_fill(~mask.bool(), 0.0).sum(1) / mask.sum(1).clamp(min=1)


def encode_both_hands(encode: Callable, inputs: dict[str, torch.Tensor]) -> tuple[Any, list[bool]]:
    """Encodes videos `[B, T, 3, H, W]` as they are and mirrored; of each clip the one whose CTC is surer (`certainty`).

    Returns:
        The output of `encode`, and for each clip whether it is that of the mirror image.
    """
    plain = encode(**inputs)
    other = encode(**{**inputs, "pixel_values_videos": inputs["pixel_values_videos"].flip(-1)})
    mirrored = certainty(other.ctc_logits, other.feature_mask) > certainty(plain.ctc_logits, plain.feature_mask)
    for name, value in list(plain.items()):
        if torch.is_tensor(value):
            rows = mirrored.to(value.device).view(-1, *(1,) * (value.ndim - 1))
            plain[name] = torch.where(rows, other[name], value)
    return plain, mirrored.tolist()


def note_hands(metadata: list[dict], mirrored: list[bool]) -> list[dict]:
    """Metadata of clips with what was found out about their hands."""
    return [
        {**row, "signer": {**row["signer"], "hand": "left" if flipped else "right", "mirrored": flipped}}
        for row, flipped in zip(metadata, mirrored)
    ]
