"""What extractors ask of a frame before a model sees it."""

import numpy as np

from ..processing.errors_signx import SignXPoseError
from .base import Clip


def check_frame(frame: np.ndarray, index: int, clip: Clip) -> np.ndarray:
    """The frame in one block of memory; SignXPoseError where it is no picture of 8-bit RGB."""
    is_array = isinstance(frame, np.ndarray)
    if not is_array or frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or not frame.size:
        found = f"{frame.dtype} {list(frame.shape)}" if is_array else type(frame).__name__
        raise SignXPoseError(f"{clip.id}: frame {index} is {found}; wanted uint8 [height, width, 3], RGB")
    return np.ascontiguousarray(frame)


def one_line(error: BaseException) -> str:
    """The message of somebody else's error, fit to stand inside one of ours."""
    return " ".join(str(error).split())[:160] or type(error).__name__
