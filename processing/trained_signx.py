"""Inputs and pose tracks that a model was trained on, according to its config. Others would reach random weights."""

import warnings
from collections.abc import Collection, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from .errors_signx import SignXPoseError, SignXWarning

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

_said: set[tuple[str, ...]] = set()  # tracks that this process has warned about


def takes_landmarks(config: "PreTrainedConfig") -> bool:
    """Return whether a model reads landmarks of a video: it has no video encoder, or only its pose encoder was
    trained.
    """
    entries = getattr(config, "trained_entries", None)
    return config.vision_config is None or (entries is not None and "poses" in entries and "video" not in entries)


def check_trained(trained: Collection[str] | None, tracks: Collection[str], name: str) -> None:
    """Check that the model was trained on a track of the clip, because the result would be meaningless otherwise.

    Args:
        trained: Tracks that the model was trained on; None if unknown.
        tracks: Tracks of the clip.
        name: Name of the clip, for the message.

    Raises:
        SignXPoseError: If the model was trained on no track of the clip.
    """
    if trained is not None and tracks and not set(tracks) & set(trained):
        raise SignXPoseError(
            f"{name}: poses must have tracks that the model was trained on ({', '.join(trained) or 'none'}), got "
            f"{', '.join(tracks)}. Extract them from the video with `signx-hf extract --tracks`, or train the "
            "model on these."
        )


def hide_untrained(
    batch: MutableMapping[str, Any], track_dims: Mapping[str, int], trained: Collection[str] | None
) -> None:
    """Mask the tracks that the model was not trained on, in place, as if the clips did not have them. Warns once about
    each set.

    Args:
        batch: `pose_values` [B, T, D] and `pose_mask` [B, T, N].
        track_dims: Name -> width of each track, in order.
        trained: Tracks that the model was trained on; None if unknown.
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
            f"tracks {said[0]} were masked because the model was trained only on {said[1]} (warned once)",
            SignXWarning,
            stacklevel=3,
        )
