"""Stages of training: one file for each stage of SignX-4, and one for isolated signs."""

import importlib
from typing import TYPE_CHECKING

from ...data.errors import nearest
from ...processing.errors_signx import SignXError

if TYPE_CHECKING:
    from .base import Stage

# name -> (class, what it does); the file has the stage's name
STAGES = {
    "pose2gloss": ("Pose2Gloss", "stage 1: poses to latents to glosses"),
    "video2pose": ("Video2Pose", "stage 2: the video encoder learns the latents of the poses"),
    "latent_ctc": ("LatentCTC", "stage 3: the recognizer on latents"),
    "refine": ("Refine", "stage 4: encoder and decoder over BPE pieces, joint with CTC"),
    "isolated": ("Isolated", "isolated signs: one clip, one sign"),
    "signmae": ("SignMAE", "UniGloR: representations of segments of key points, without labels"),
    "uniglor_isolated": ("UniGloRIsolated", "UniGloR: isolated signs from representations"),
}


def check_stage(name: str) -> None:
    """Reject an unknown stage.

    Raises:
        SignXError: If the stage is unknown. The message lists all of them.
    """
    if name not in STAGES:
        raise SignXError(f"Unknown stage {name!r}; {nearest(name, STAGES)}")


def stage_class(name: str) -> "type[Stage]":
    """Return the class of a stage.

    Raises:
        SignXError: As `check_stage`.
    """
    check_stage(name)
    return getattr(importlib.import_module(f".{name}", __package__), STAGES[name][0])
