"""Types of the clips that the processor and the pipelines read."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, Protocol

import numpy as np
import torch

from .pose_files_signx import PoseClip


class GivesClip(Protocol):
    """Poses that give a clip, such as those stored in a dataset."""

    def to_clip(self) -> dict[str, Any]:
        """Return the clip as a dictionary of tracks."""


# A sequence holds the frames of one video; frames may be PIL images.
VideoInput = str | os.PathLike | bytes | bytearray | memoryview | BinaryIO | np.ndarray | torch.Tensor | Sequence[Any]
PoseInput = str | os.PathLike | Mapping[str, Any] | np.ndarray | torch.Tensor | PoseClip | GivesClip
ClipInput = VideoInput | PoseInput
