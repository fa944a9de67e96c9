"""Run a model over windows of a recording, holding no more than one window of frames.

What depends on a single frame alone (the frame encoder) runs once for each frame; the layers with a receptive field run once for
each window.

Legend: T frames, T' feature steps, F feature size, V glosses.
"""

import math
import warnings
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .activity_signx import PictureActivity, PoseActivity
from .errors_signx import SignXError, SignXPoseError, SignXWarning
from .hand_sources_signx import PICTURE_NOTES
from .signer_signx import video_signer
from .trained_signx import hide_untrained

# Frames that are read, and encoded, together. Their number varies with where hands rest, and blocks of 64 cost memory to fragmentation.
BLOCK_FRAMES = 32
LENGTH_STEP = 32  # windows are padded to multiples: oneDNN keeps memory for each length that it has met
SHORTEST_SECONDS, LONGEST_SECONDS = 1e-9, 1e9


def check_seconds(name: str, value: Any, otherwise: str = "") -> float:
    """A length of time that options may have; raises SignXError, which ends with `otherwise`."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (is_number and SHORTEST_SECONDS <= value <= LONGEST_SECONDS):
        raise SignXError(
            f"{name} is {value!r:.40}: wanted seconds above 0 ({SHORTEST_SECONDS:g} to {LONGEST_SECONDS:g}){otherwise}"
        )
    return float(value)


@dataclass(frozen=True)
class WindowOptions:
    """How much the model sees at once. Seconds.

    Attributes:
        window: the longest stretch that the model sees at once.
        right: what a step needs to see after it to be settled; where two windows overlap, both lose this at the seam.
        rest: how much rest is kept before and after an utterance, and how long a rest has to be to end one; of pose tracks without
            key points at least 1.5, for what is still there may be a hold.
    """

    window: float = 20.0
    right: float = 4.0
    rest: float = 0.4

    def __post_init__(self):
        for name in ("window", "right", "rest"):
            check_seconds(name, getattr(self, name))
        if self.window < 3 * self.right:
            raise SignXError(
                f"a window of {self.window:g} s with {self.right:g} s on each side leaves too little between: wanted at least "
                f"{3 * self.right:g} s; make the window (chunk_length_s) longer or the stride shorter"
            )


def window_options(chunk_length_s: Any, stride_length_s: Any) -> WindowOptions | None:
    """The windows of `chunk_length_s` and `stride_length_s` (seconds); None where clips are read at once.

    Raises:
        ValueError: lengths that are no seconds above 0, a stride without or too long for its chunk.
    """
    for name, value in (("chunk_length_s", chunk_length_s), ("stride_length_s", stride_length_s)):
        if value is not None:
            check_seconds(name, value, ", or None to read a clip at once")
    if chunk_length_s is None:
        if stride_length_s is not None:
            raise ValueError(f"stride_length_s is {stride_length_s:g} without chunk_length_s: wanted both or none")
        return None
    stride = chunk_length_s / 5 if stride_length_s is None else stride_length_s
    if not 3 * stride <= chunk_length_s:
        raise ValueError(
            f"stride_length_s is {stride:g} for chunk_length_s={chunk_length_s:g}: wanted at most a third of it"
        )
    return WindowOptions(window=float(chunk_length_s), right=float(stride))


@dataclass(frozen=True)
class Steps:
    """What the model says of a stretch: features `[n, F]`, CTC logits `[n, V]`, and those of the auxiliary CTC, which say when."""

    features: torch.Tensor
    logits: torch.Tensor
    aux_logits: torch.Tensor

    def __len__(self) -> int:
        return len(self.logits)

    def cut(self, start: int, stop: int | None = None) -> "Steps":
        return Steps(*(part[start:stop] for part in (self.features, self.logits, self.aux_logits)))

    @staticmethod
    def join(parts: list["Steps"]) -> "Steps":
        names = ("features", "logits", "aux_logits")
        return Steps(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


def _padded(rows: tuple[torch.Tensor, ...], count: int) -> torch.Tensor:
    """Rows `[C]` to `[1, count, C]`, zero behind the last."""
    padded = rows[0].new_zeros(1, count, rows[0].shape[-1])
    padded[0, : len(rows)] = torch.stack(rows)
    return padded


def _steps_of(output: Any) -> Steps:
    """The one clip of an output of `get_features`."""
    return Steps(output.features[0], output.logits[0], output.aux_logits[0])


class PoseFrames:
    """Poses as they are measured; a window is normalised, and mirrored if `hand` says so, by itself, as a clip is in training.

    Attributes:
        notes: what is known of the picture (`PICTURE_NOTES`), for all windows.
    """

    def __init__(
        self,
        model: Any,
        extractor: Any,
        fps: float,
        hand: str = "as_trained",
    ):
        self.notes: Mapping[str, str] = {}
        self._model, self._extractor, self._fps, self._hand = model, extractor, fps, hand
        self._hands: set[str | None] = set()  # that led in the windows
        self._rows: deque[tuple[dict, dict]] = deque()
        self.activity = PoseActivity(fps)

    def append(self, frames: list[tuple[dict, dict]]) -> tuple[np.ndarray, np.ndarray]:
        """Rows `({track: [d]}, {track: observed})`, one for each frame; returns what `PoseActivity.push` does."""
        self._rows.extend(frames)
        names = list(frames[0][0])
        tracks = {name: np.stack([row[name] for row, _ in frames]) for name in names}
        masks = {name: np.array([mask[name] for _, mask in frames], bool) for name in names}
        return self.activity.push(tracks, masks)

    def drop(self, count: int) -> None:
        for _ in range(count):
            self._rows.popleft()

    def window(self, start: int, stop: int) -> Steps | None:
        """What the model says of held frames; None where nobody was observed in them."""
        rows = [self._rows[index] for index in range(start, stop)]
        clip: dict[str, Any] = {name: np.stack([row[name] for row, _ in rows]) for name in rows[0][0]}
        clip["masks"] = {name: np.array([mask[name] for _, mask in rows], bool) for name in rows[0][1]}
        clip["notes"] = {name: self.notes[name] for name in PICTURE_NOTES if name in self.notes}
        try:
            inputs = self._extractor(clip, source_fps=self._fps, return_metadata=True, hand=self._hand)
        except SignXPoseError:  # no body, or no shoulders to measure it by: nobody signs here
            return None
        self._hands.add(inputs["pose_metadata"][0]["signer"]["hand"])
        hide_untrained(inputs, self._extractor.track_dims, getattr(self._model.config, "trained_tracks", None))
        output = self._model.get_features(
            **{name: inputs[name].to(self._model.device) for name in ("pose_values", "pose_mask", "frame_mask")}
        )
        return _steps_of(output)

    def signer(self) -> dict[str, Any]:
        """The hand that led in all windows so far, None where they differ, and whether any was mirrored."""
        hand = next(iter(self._hands)) if len(self._hands) == 1 else None
        return {"hand": hand, "mirrored": "left" in self._hands}


class VideoFrames:
    """Pictures, encoded as they come, mirrored where `hand` is "left"; only what the frame encoder makes of them is held."""

    def __init__(self, model: Any, video_processor: Any, fps: float, hand: str = "as_trained"):
        self._model, self._processor, self._hand = model, video_processor, hand
        self._encoded: deque[tuple[torch.Tensor, torch.Tensor | None]] = deque()
        self.activity = PictureActivity(fps)
        self.frames_encoded = 0

    def append(self, frames: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """uint8 frames [H, W, 3] of the processor's size; returns what `PictureActivity.push` does."""
        stacked = np.stack(frames)
        pixels = np.empty((len(frames), 3, *stacked.shape[1:3]), np.float32)
        self._processor.normalize_frames(stacked[:, :, ::-1] if self._hand == "left" else stacked, out=pixels)
        features, branch = self._model.encode_frames(torch.from_numpy(pixels)[None].to(self._model.device))
        for index in range(len(frames)):  # copies: a view would hold the whole block
            self._encoded.append((features[0, index].clone(), None if branch is None else branch[0, index].clone()))
        self.frames_encoded += len(frames)
        return self.activity.push(stacked)

    def drop(self, count: int) -> None:
        for _ in range(count):
            self._encoded.popleft()

    def window(self, start: int, stop: int) -> Steps:
        """What the model says of held frames."""
        held = [self._encoded[index] for index in range(start, stop)]
        count = len(held) + -len(held) % LENGTH_STEP
        parts = [None if part[0] is None else _padded(part, count) for part in zip(*held)]
        mask = torch.arange(count, device=parts[0].device)[None] < len(held)
        output = self._model.get_window_features(*parts, frame_mask=mask)
        return _steps_of(output).cut(0, int(output.feature_mask[0].sum()))

    def signer(self) -> dict[str, Any]:
        """The hand that was declared, and whether frames are mirrored."""
        return video_signer(self._hand)


def warn_of_receptive_field(config: Any, fps: float, right: float, option: str) -> None:
    """Says where a step is taken for settled before all frames that TemporalConv reads for it have been seen."""
    reach = config.recognizer_config.reach / fps
    if right < reach:
        warnings.warn(
            f"{option} is {right:g} s, but a step of this model reads {reach:.1f} s after it ({config.recognizer_config.reach} frames at "
            f"{fps:g} fps): its glosses may differ from those of the whole recording; wanted at least {math.ceil(10 * reach) / 10:g}",
            SignXWarning, stacklevel=3,
        )  # fmt: skip
