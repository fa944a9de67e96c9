"""Check the options of `SignXPoseFeatureExtractor`."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, TypedDict, TypeGuard

import numpy as np

from .errors_signx import SignXPoseError
from .keypoints_signx import DWPOSE_WIDTH, MEDIAPIPE_WIDTH
from .pose_files_signx import CLIP_KEYS, MASK_SUFFIX, nearest
from .sampling_signx import MODEL_RATES

KEYPOINT_WIDTHS = {"dwpose": DWPOSE_WIDTH, "mediapipe": MEDIAPIPE_WIDTH}


class PosePaddingKwargs(TypedDict, total=False):
    """Options of a call of `SignXPoseFeatureExtractor` that say how clips are padded to one length."""

    padding: bool | str
    max_length: int | None
    truncation: bool
    pad_to_multiple_of: int | None


def checked_padding(options: Mapping[str, Any], others: Iterable[str]) -> Mapping[str, Any]:
    """Return the options of padding.

    Args:
        options: As given to a call.
        others: What else a call takes, for the message.

    Raises:
        SignXPoseError: If one is unknown, or a length is not a positive integer.
    """
    for name, value in options.items():
        if name not in PosePaddingKwargs.__annotations__:
            raise SignXPoseError(
                f"SignXPoseFeatureExtractor has no option '{name}'. "
                f"{nearest(name, (*PosePaddingKwargs.__annotations__, *others))}"
            )
        if name in ("max_length", "pad_to_multiple_of") and value is not None:
            checked_int(value, name, 1)
    return options


def is_number(value: object) -> TypeGuard[int | float | np.integer | np.floating]:
    """Return whether a value is a number other than a bool."""
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def checked_int(value: object, name: str, least: int, otherwise: str = "") -> int:
    """Return an integer option.

    Args:
        value: Its value.
        name: Its name, for the message.
        least: Minimum.
        otherwise: What else is possible, for the message.

    Raises:
        SignXPoseError: If the value is not an integer, or below the minimum.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise SignXPoseError(f"`{name}` must be an integer of at least {least}{otherwise}, got {value!r}.")
    return int(value)


def checked_fps(value: object, what: str, remedy: str = "") -> float:
    """Return a frame rate as a float.

    Args:
        value: Frames per second.
        what: What it is the rate of, for the message.
        remedy: What to do about a bad value, for the message.

    Raises:
        SignXPoseError: If the value is not a positive finite number.
    """
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if not is_number(value) or not math.isfinite(value) or value <= 0:
        raise SignXPoseError(f"{what} must be a positive number of frames per second, got {value!r:.80}.{remedy}")
    return float(value)


def checked_model_fps(value: object) -> float:
    """Return the frame rate of the extractor's output as a float.

    Raises:
        SignXPoseError: If the value is not a number within `MODEL_RATES`.
    """
    rate, (low, high) = checked_fps(value, "`fps`"), MODEL_RATES
    if not low <= rate <= high:
        raise SignXPoseError(f"`fps` must be from {low:g} to {high:g} frames per second, got {value!r:.80}.")
    return rate


def checked_notes(notes: object) -> dict[str, str] | None:
    """Return a copy, sorted as transformers writes it."""
    if notes is None:
        return None
    if not isinstance(notes, Mapping) or not all(isinstance(x, str) for pair in notes.items() for x in pair):
        raise SignXPoseError(
            f"`track_notes` must be a dictionary of strings such as {{'mediapipe.units': 'pixels'}}, or None, got "
            f"{notes!r}."
        )
    return dict(sorted(notes.items()))


def checked_track_dims(track_dims: object) -> dict[str, int]:
    """Return a checked, ordered copy."""
    pairs = list(track_dims.items()) if isinstance(track_dims, Mapping) else track_dims
    if (
        not isinstance(pairs, (list, tuple))
        or not pairs
        or not all(isinstance(p, (list, tuple)) and len(p) == 2 for p in pairs)
    ):
        raise SignXPoseError(
            f"`track_dims` must be a dictionary of at least one track name and its width, got {track_dims!r}."
        )
    out = {}
    for name, width in pairs:
        if not isinstance(name, str) or not name or name in CLIP_KEYS or name.endswith(MASK_SUFFIX) or name in out:
            raise SignXPoseError(
                f"`track_dims` must have unique names other than {', '.join(CLIP_KEYS)}, none of which ends in "
                f"'{MASK_SUFFIX}', got {name!r}."
            )
        out[name] = checked_int(width, f"track_dims['{name}']", 1)
        if out[name] != KEYPOINT_WIDTHS.get(name, out[name]):
            raise SignXPoseError(
                f"`track_dims['{name}']` must be {KEYPOINT_WIDTHS[name]}, the width of its layout, got {width}. Use "
                "another name for another layout."
            )
    return out
