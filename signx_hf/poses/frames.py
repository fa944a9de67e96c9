"""Check the frames of an extractor before a model sees them."""

import numpy as np

from ..processing.errors_signx import SignXPoseError
from .base import Clip


def check_frame(frame: np.ndarray, index: int, clip: Clip) -> np.ndarray:
    """Return the frame as a contiguous array; raise SignXPoseError unless it is an 8-bit RGB image, uint8 [height,
    width, 3]."""
    is_array = isinstance(frame, np.ndarray)
    if not is_array or frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or not frame.size:
        actual = f"{frame.dtype} {list(frame.shape)}" if is_array else type(frame).__name__
        raise SignXPoseError(f"{clip.id}: frame {index} must be RGB, uint8 [height, width, 3], got {actual}.")
    return np.ascontiguousarray(frame)
