"""Run a model over windows of a recording, holding no more than one window of frames.

What depends on a single frame alone (the frame encoder) runs once for each frame; the layers with a receptive field
run once for each window.

Legend: T frames, T' feature steps, F feature size, V glosses.
"""

import math
import warnings
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from .activity_signx import PictureActivity, PoseActivity
from .errors_signx import SignXError, SignXPoseError, SignXWarning
from .hand_sources_signx import PICTURE_NOTES
from .signer_signx import video_signer
from .trained_signx import hide_untrained

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from .feature_extraction_signx import SignXPoseFeatureExtractor
    from .video_processing_signx import SignXVideoProcessor

# Frames that are read and encoded together. Larger blocks (64) cost memory to fragmentation.
BLOCK_FRAMES = 32
LENGTH_STEP = 32  # windows are padded to multiples: oneDNN keeps memory for every length it has seen
SHORTEST_SECONDS, LONGEST_SECONDS = 1e-9, 1e9


class Features(Protocol):
    """Output of a model's `get_features`."""

    features: torch.Tensor
    logits: torch.Tensor
    aux_logits: torch.Tensor
    feature_mask: torch.Tensor


class SignXModel(Protocol):
    """SignX model, as far as reading in windows needs it."""

    config: Any
    device: torch.device
    get_features: Callable[..., Features]
    get_window_features: Callable[..., Features]
    encode_frames: Callable[..., tuple[torch.Tensor, torch.Tensor | None]]


def check_seconds(name: str, value: float, otherwise: str = "") -> float:
    """Return a duration given as an option, as a float.

    Args:
        name: Name of the option.
        value: Its value in seconds.
        otherwise: What else is possible, for the message.

    Raises:
        SignXError: If the value is not a number of seconds in range.
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (is_number and SHORTEST_SECONDS <= value <= LONGEST_SECONDS):
        raise SignXError(
            f"`{name}` must be seconds from {SHORTEST_SECONDS:g} to {LONGEST_SECONDS:g}{otherwise}, got {value!r:.40}."
        )
    return float(value)


@dataclass(frozen=True)
class WindowOptions:
    """Options of windowed inference, in seconds.

    Attributes:
        window: Longest stretch that the model sees at once.
        right: Context that a step needs after it to be final; where two windows overlap, both lose this much at the
            seam.
        rest: How much rest is kept before and after an utterance, and how long a rest has to be to end one. For pose
            tracks without keypoints at least 1.5, since shorter stillness may be a hold.
    """

    window: float = 20.0
    right: float = 4.0
    rest: float = 0.4

    def __post_init__(self):
        for name in ("window", "right", "rest"):
            check_seconds(name, getattr(self, name))
        if self.window < 3 * self.right:
            raise SignXError(
                "the window (`chunk_length_s`) must be at least 3 times the context on each side "
                f"(`stride_length_s`), {3 * self.right:g} s, got {self.window:g} s. Make it longer or the stride "
                "shorter."
            )


def window_options(chunk_length_s: float | None, stride_length_s: float | None) -> WindowOptions | None:
    """Build the windows of the options `chunk_length_s` and `stride_length_s`.

    Args:
        chunk_length_s: Length of a window in seconds; None to read a clip at once.
        stride_length_s: Overlap on each side in seconds; None for a fifth of the window.

    Returns:
        Options of the windows, or None if clips are read at once.

    Raises:
        ValueError: If a length is not positive, or the stride is given alone or too long for its window.
    """
    for name, value in (("chunk_length_s", chunk_length_s), ("stride_length_s", stride_length_s)):
        if value is not None:
            check_seconds(name, value, ", or None to read a clip at once")
    if chunk_length_s is None:
        if stride_length_s is not None:
            raise ValueError(
                f"`stride_length_s` needs `chunk_length_s`, got {stride_length_s:g} without it. Pass both or none."
            )
        return None
    stride = chunk_length_s / 5 if stride_length_s is None else stride_length_s
    if not 3 * stride <= chunk_length_s:
        raise ValueError(
            f"`stride_length_s` must be at most a third of `chunk_length_s` ({chunk_length_s:g}), got {stride:g}."
        )
    return WindowOptions(window=float(chunk_length_s), right=float(stride))


@dataclass(frozen=True)
class Steps:
    """Outputs of the model for a stretch of signing.

    Attributes:
        features: `[n, F]`.
        logits: `[n, V]` CTC logits.
        aux_logits: `[n, V]` logits of the auxiliary CTC, which are local in time.
    """

    features: torch.Tensor
    logits: torch.Tensor
    aux_logits: torch.Tensor

    def __len__(self) -> int:
        return len(self.logits)

    def cut(self, start: int, stop: int | None = None) -> "Steps":
        """Return the steps from `start` to `stop`."""
        return Steps(*(part[start:stop] for part in (self.features, self.logits, self.aux_logits)))

    @staticmethod
    def join(parts: list["Steps"]) -> "Steps":
        """Return the steps of all parts, one after the other."""
        names = ("features", "logits", "aux_logits")
        return Steps(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


def _padded(rows: tuple[torch.Tensor, ...], count: int) -> torch.Tensor:
    """Stack rows `[C]` to `[1, count, C]`, padded with zeros."""
    padded = rows[0].new_zeros(1, count, rows[0].shape[-1])
    padded[0, : len(rows)] = torch.stack(rows)
    return padded


def _steps_of(output: Features) -> Steps:
    """Return the one clip of an output of `get_features`."""
    return Steps(output.features[0], output.logits[0], output.aux_logits[0])


class PoseRows:
    """Buffer of pose rows as measured.

    Args:
        fps: Frames per second.

    Attributes:
        notes: Notes about the picture (`PICTURE_NOTES`), for all windows.
        activity: Detector of rest and activity.
    """

    def __init__(self, fps: float):
        self.notes: Mapping[str, str] = {}
        self._fps = fps
        self._rows: deque[tuple[dict, dict]] = deque()
        self.activity = PoseActivity(fps)

    def append(self, frames: list[tuple[dict, dict]]) -> tuple[np.ndarray, np.ndarray]:
        """Add frames and return which of them rest and which follow a cut, as `PoseActivity.push`.

        Args:
            frames: For each frame its row of each track and whether each was observed: `({track: [d]}, {track:
                bool})`.
        """
        self._rows.extend(frames)
        names = list(frames[0][0])
        tracks = {name: np.stack([row[name] for row, _ in frames]) for name in names}
        masks = {name: np.array([mask[name] for _, mask in frames], bool) for name in names}
        return self.activity.push(tracks, masks)

    def drop(self, count: int) -> None:
        """Drop the first `count` frames."""
        for _ in range(count):
            self._rows.popleft()


class PoseFrames(PoseRows):
    """Store of poses as measured; each window is normalized, and mirrored if `hand` says so, by itself, as clips are
    in training.

    Args:
        model: SignX model.
        extractor: `SignXPoseFeatureExtractor` of the model.
        fps: Frames per second.
        hand: As for the pipeline.
    """

    def __init__(
        self,
        model: SignXModel,
        extractor: "SignXPoseFeatureExtractor",
        fps: float,
        hand: str = "as_trained",
    ):
        super().__init__(fps)
        self._model, self._extractor, self._hand = model, extractor, hand
        self._hands: set[str | None] = set()  # leading hands of the windows so far

    def window(self, start: int, stop: int) -> Steps | None:
        """Return the model's outputs for held frames; None if nobody was observed in them.

        Args:
            start: First frame, counted from the first held one.
            stop: Frame after the last.
        """
        rows = [self._rows[index] for index in range(start, stop)]
        clip: dict[str, Any] = {name: np.stack([row[name] for row, _ in rows]) for name in rows[0][0]}
        clip["masks"] = {name: np.array([mask[name] for _, mask in rows], bool) for name in rows[0][1]}
        clip["notes"] = {name: self.notes[name] for name in PICTURE_NOTES if name in self.notes}
        try:
            inputs = self._extractor(clip, source_fps=self._fps, return_metadata=True, hand=self._hand)
        except SignXPoseError:  # no body, or no shoulders as reference: nobody signs here
            return None
        self._hands.add(inputs["pose_metadata"][0]["signer"]["hand"])
        hide_untrained(inputs, self._extractor.track_dims, getattr(self._model.config, "trained_tracks", None))
        output = self._model.get_features(
            **{name: inputs[name].to(self._model.device) for name in ("pose_values", "pose_mask", "frame_mask")}
        )
        return _steps_of(output)

    def signer(self) -> dict[str, Any]:
        """Return the hand that led in all windows so far (None if they differ), and whether any was mirrored."""
        hand = next(iter(self._hands)) if len(self._hands) == 1 else None
        return {"hand": hand, "mirrored": "left" in self._hands}


class VideoFrames:
    """Store of video frames, encoded as they arrive and mirrored if `hand` is "left"; only the outputs of the frame
    encoder are held.

    Args:
        model: SignX model.
        video_processor: `SignXVideoProcessor` of the model.
        fps: Frames per second.
        hand: As for the pipeline.

    Attributes:
        activity: Detector of rest and activity.
        frames_encoded: Number of frames that went through the frame encoder.
    """

    def __init__(
        self, model: SignXModel, video_processor: "SignXVideoProcessor", fps: float, hand: str = "as_trained"
    ):
        self._model, self._processor, self._hand = model, video_processor, hand
        self._encoded: deque[tuple[torch.Tensor, torch.Tensor | None]] = deque()
        self.activity = PictureActivity(fps)
        self.frames_encoded = 0

    def append(self, frames: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Add uint8 frames [H, W, 3] of the processor's size and return which rest and which follow a cut, as
        `PictureActivity.push`.
        """
        stacked = np.stack(frames)
        pixels = np.empty((len(frames), 3, *stacked.shape[1:3]), np.float32)
        self._processor.normalize_frames(stacked[:, :, ::-1] if self._hand == "left" else stacked, out=pixels)
        features, branch = self._model.encode_frames(torch.from_numpy(pixels)[None].to(self._model.device))
        for index in range(len(frames)):  # copies: a view would keep the full block
            self._encoded.append((features[0, index].clone(), None if branch is None else branch[0, index].clone()))
        self.frames_encoded += len(frames)
        return self.activity.push(stacked)

    def drop(self, count: int) -> None:
        """Drop the first `count` frames."""
        for _ in range(count):
            self._encoded.popleft()

    def window(self, start: int, stop: int) -> Steps:
        """Return the model's outputs for held frames `[start, stop)`."""
        held = [self._encoded[index] for index in range(start, stop)]
        count = len(held) + -len(held) % LENGTH_STEP
        parts = [None if part[0] is None else _padded(part, count) for part in zip(*held)]
        mask = torch.arange(count, device=parts[0].device)[None] < len(held)
        output = self._model.get_window_features(*parts, frame_mask=mask)
        return _steps_of(output).cut(0, int(output.feature_mask[0].sum()))

    def signer(self) -> dict[str, Any]:
        """Return the hand that was declared, and whether frames are mirrored."""
        return video_signer(self._hand)


def warn_of_receptive_field(config: "PreTrainedConfig", fps: float, right: float, option: str) -> None:
    """Warn if steps become final before all frames in their receptive field (of TemporalConv) have been seen.

    Args:
        config: `SignXConfig` of the model.
        fps: Frames per second.
        right: Seconds of context after a step.
        option: Name of the option that sets `right`.
    """
    frames = config.recognizer_config.reach
    field = frames / fps
    if right < field:
        warnings.warn(
            f"`{option}` should be at least {math.ceil(10 * field) / 10:g} for this model, got {right:g}. A step "
            f"reads {field:.1f} s after it ({frames} frames at {fps:g} fps), so glosses may differ from those of "
            "the full recording.",
            SignXWarning,
            stacklevel=3,
        )
