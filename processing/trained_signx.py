"""What a model was trained on, as its config says: entries and pose tracks. What it never saw would reach random weights."""

import warnings
from collections.abc import Collection, Mapping
from typing import Any

from .errors_signx import SignXPoseError, SignXWarning

_said: set[tuple[str, ...]] = set()  # which tracks this process has warned of


def takes_landmarks(config: Any) -> bool:
    """Return whether a model is shown landmarks of a video: it has no entry for pictures, or none that was trained."""
    entries = getattr(config, "trained_entries", None)
    return config.vision_config is None or (entries is not None and "poses" in entries and "video" not in entries)


def check_trained(trained: Collection[str] | None, found: Collection[str], name: str) -> None:
    """Refuse a clip all of whose tracks the model was never trained on: it would make something up.

    Args:
        trained: names of the tracks of the model that were trained, None: unknown. found: those that the clip shows.

    Raises:
        SignXPoseError: names both.
    """
    if trained is not None and found and not set(found) & set(trained):
        raise SignXPoseError(
            f"{name}: poses must be of the tracks the model was trained on ({', '.join(trained) or 'none'}), got {', '.join(found)}, which "
            "it never saw; extract those of a video with `signx-hf extract --tracks`, or train the model on them"
        )


def hide_untrained(batch: Any, track_dims: Mapping[str, int], trained: Collection[str] | None) -> None:
    """Mask the tracks of model input, in place, that the model was never trained on, as if the clips did not have them.

    Args:
        batch: `pose_values` [B, T, D] and `pose_mask` [B, T, N]. trained: as for `check_trained`. What is left out is said once.
    """
    start, hidden = 0, []
    for n, (name, width) in enumerate(track_dims.items() if trained is not None else ()):
        if name not in trained and batch["pose_mask"][..., n].any():
            batch["pose_mask"][..., n] = False
            batch["pose_values"][..., start : start + width] = 0.0
            hidden.append(name)
        start += width
    said = (", ".join(hidden), ", ".join(trained or ()))
    if hidden and said not in _said:
        _said.add(said)
        warnings.warn(
            f"tracks {said[0]} were left out: the model was trained on {said[1]} alone (said once)",
            SignXWarning,
            stacklevel=3,
        )
