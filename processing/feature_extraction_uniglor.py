"""Turn clips of poses into `keypoints`, `keypoint_mask` and `frame_mask`, the input of UniGloR (arXiv 2407.02854 v2)."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from transformers.feature_extraction_utils import BatchFeature, FeatureExtractionMixin

from .errors_signx import SignXPoseError
from .feature_extraction_signx import LIBRARY_KEYS, LOADING_KEYS, SignXPoseFeatureExtractor
from .hands_signx import HAND_FEATURES, hands_at
from .inputs_signx import PoseInput
from .keypoint_sets_uniglor import SETS, Points, normalized, normalized_hands, track_points
from .pose_files_signx import PoseClip, nearest
from .pose_options_signx import checked_int, checked_model_fps, is_number

OPTIONS = ("keypoints", "coordinates", "fps", "noise_threshold", "confidence_threshold", "person")


class ClipReader(SignXPoseFeatureExtractor):
    """Read clips with the tracks of a set of points, as measured, and keep the face mesh of a clip that has one."""

    def read(self, clip: PoseInput, source: str = "clip", person: int | str | None = None) -> PoseClip:
        """Read one clip as `SignXPoseFeatureExtractor` does; a dictionary may also have `face` and `face_mask`."""
        face, face_mask = getattr(clip, "face", None), getattr(clip, "face_mask", None)
        if isinstance(clip, Mapping):
            parts = dict(clip)
            face, face_mask = parts.pop("face", None), parts.pop("face_mask", None)
            clip = parts
        read = super().read(clip, source, person)
        return read if face is None else replace(read, face=face, face_mask=face_mask)

    def pick(self, clip: PoseClip, source_fps: float | None) -> tuple[np.ndarray, float | None]:
        """Return the frames to sample from a clip, and their rate."""
        picked, fps, _ = self._pick(clip, source_fps)
        return picked, fps


@dataclass(frozen=True)
class KeypointClip:
    """Key points of one clip.

    Attributes:
        keypoints: [T, V, C] float32 in shoulder widths, 0 where masked.
        mask: [T, V] bool.
        kept: [T] frames of the source that they are of.
        fps: frames per second before noisy frames were dropped; None if unknown.
        start: seconds of the first frame of the source.
    """

    keypoints: np.ndarray
    mask: np.ndarray
    kept: np.ndarray
    fps: float | None
    start: float


class UniGloRFeatureExtractor(FeatureExtractionMixin):
    """Turn clips into key points in the signer's own frame of reference: shoulders 1 wide, their middle at 0.

    Args:
        keypoints: name of the set: `keypoints73` (from the tracks `dwpose` or `mediapipe`, with the face mesh where the
            clip has one), `hands` (2 x 21, from `hands` or any track with hands), `phoenix_skeletons` (50, from
            `skeleton`).
        coordinates: C, 2 or 3; `keypoints73` has 2.
        fps: frames per second of the output, by taking the nearest frame; None keeps every frame.
        noise_threshold: a frame whose points lie on average further than this from the frame before is dropped;
            shoulder widths, or "paper" for 400 pixels.
        confidence_threshold: confidence above which a point is seen.
        person: for files with several people: an index, or "largest".

    A point that was not seen is 0 and its mask false.
    """

    model_input_names = ["keypoints", "keypoint_mask", "frame_mask"]

    def __init__(
        self,
        keypoints: str = "keypoints73",
        coordinates: int = 2,
        fps: float | None = None,
        noise_threshold: float | str = 2.0,
        confidence_threshold: float = 0.0,
        person: int | str = "largest",
        **kwargs,
    ):
        for key in kwargs:
            if key not in LIBRARY_KEYS:
                raise SignXPoseError(f"UniGloRFeatureExtractor has no option '{key}'. {nearest(key, OPTIONS)}")
        super().__init__(**kwargs)
        if keypoints not in SETS:
            raise SignXPoseError(f"`keypoints` must be a set of points, got {keypoints!r}. {nearest(keypoints, SETS)}")
        self.keypoints = keypoints
        most = SETS[keypoints].coordinates
        if coordinates not in range(2, most + 1) or isinstance(coordinates, bool):
            raise SignXPoseError(
                f"`coordinates` must be {' or '.join(map(str, range(2, most + 1)))} for {keypoints}, got {coordinates!r}."
            )
        self.coordinates = coordinates
        self.fps = None if fps is None else checked_model_fps(fps)
        if noise_threshold != "paper" and not (is_number(noise_threshold) and noise_threshold > 0):
            raise SignXPoseError(
                "`noise_threshold` must be a number of shoulder widths above 0, or 'paper' for 400 pixels, got "
                f"{noise_threshold!r}."
            )
        self.noise_threshold = noise_threshold if isinstance(noise_threshold, str) else float(noise_threshold)
        if not is_number(confidence_threshold) or not confidence_threshold >= 0:
            raise SignXPoseError(
                f"`confidence_threshold` must be a number of at least 0, got {confidence_threshold!r}."
            )
        self.confidence_threshold = float(confidence_threshold)
        self.person = person if person == "largest" else checked_int(person, "person", 0, " or 'largest'")

    @property
    def nodes(self) -> list[str]:
        """Return the names of the V points."""
        return list(SETS[self.keypoints].nodes)

    @property
    def reader(self) -> ClipReader:
        """Return what reads a clip in any form; its `read_dims` are the tracks of the set."""
        tracks = {"hands": HAND_FEATURES} if self.keypoints == "hands" else SETS[self.keypoints].tracks
        return ClipReader(
            track_dims=tracks,
            fps=self.fps,
            normalize=self.keypoints == "hands",
            confidence_threshold=self.confidence_threshold,
            person=self.person,
        )

    @classmethod
    def from_dict(cls, feature_extractor_dict: dict[str, Any], **kwargs) -> "UniGloRFeatureExtractor":
        """Build an extractor from its saved options; options given at loading count, and a misspelled one is an error.

        Raises:
            SignXPoseError: If an option is unknown or out of range.
        """
        merged = copy.deepcopy(feature_extractor_dict)
        merged.update({key: kwargs.pop(key) for key in OPTIONS if key in kwargs})
        for key in kwargs.keys() - LOADING_KEYS:
            if "Did you mean" in nearest(key, OPTIONS):
                raise SignXPoseError(f"UniGloRFeatureExtractor has no option '{key}'. {nearest(key, OPTIONS)}")
        return cast("UniGloRFeatureExtractor", super().from_dict(merged, **kwargs))

    def __call__(
        self,
        poses: PoseInput | Sequence[PoseInput],
        source_fps: float | list[float | None] | None = None,
        return_tensors: str = "pt",
        return_metadata: bool = False,
    ) -> BatchFeature:
        """Turn a clip or a list of clips into model input.

        Args:
            poses: a clip or a list of clips, in any form that `SignXPoseFeatureExtractor` takes.
            source_fps: frames per second of the clips, one number or one per clip; overrides what a file states.
            return_tensors: "pt" or "np".
            return_metadata: add `keypoint_metadata`, a list of dictionaries: fps, start (seconds) and kept (the frames
                of the source).

        Returns:
            `keypoints` [B, T, V, C] float32, `keypoint_mask` [B, T, V] and `frame_mask` [B, T] bool, right-padded.

        Raises:
            SignXPoseError: If a clip cannot be read, or shows none of the points.
            SignXFileNotFoundError: If a path does not exist.
        """
        if getattr(return_tensors, "value", return_tensors) not in ("pt", "np"):
            raise SignXPoseError(f"`return_tensors` must be 'pt' or 'np', got {return_tensors!r}.")
        clips: list[Any] = list(poses) if isinstance(poses, (list, tuple)) else [poses]
        rates = list(source_fps) if isinstance(source_fps, (list, tuple)) else [source_fps] * len(clips)
        if not clips or len(rates) != len(clips):
            raise SignXPoseError(
                f"`poses` must be at least one clip and `source_fps` one number or one per clip, got {len(clips)} clips "
                f"and {len(rates)} rates."
            )
        reader = self.reader
        found = [
            self.extract(reader.read(clip, f"clip {index}"), rate, reader)
            for index, (clip, rate) in enumerate(zip(clips, rates))
        ]
        batch: dict[str, Any] = dict(pad_clips([clip.keypoints for clip in found], [clip.mask for clip in found]))
        if getattr(return_tensors, "value", return_tensors) == "pt":
            batch = {name: torch.from_numpy(value) for name, value in batch.items()}
        if return_metadata:
            batch["keypoint_metadata"] = [
                {"fps": clip.fps, "start": clip.start, "kept": clip.kept.tolist()} for clip in found
            ]
        return BatchFeature(batch)

    def extract(
        self, clip: PoseClip, source_fps: float | None = None, reader: ClipReader | None = None
    ) -> KeypointClip:
        """Return the key points of one clip that `reader` has read.

        Raises:
            SignXPoseError: If it shows none of the points, or no shoulders to measure them by.
        """
        reader = reader or self.reader
        picked, fps = reader.pick(clip, source_fps)
        if self.keypoints == "hands":
            hands = reader.hand_clip(clip, source_fps)
            if self.fps is not None:
                hands = hands_at(hands, np.minimum(np.arange(len(picked)) / self.fps, hands.times[-1]))
            points = normalized_hands(hands, self.noise_threshold, self.coordinates)
        else:
            points = self._extract(clip, picked)
        if not points.mask.any():
            raise SignXPoseError(
                f"{clip.source}: at least one point of {self.keypoints} must be seen, got none. Leave the clip out."
            )
        return KeypointClip(points.values, points.mask, picked[points.kept], fps, clip.begins)

    def _extract(self, clip: PoseClip, picked: np.ndarray) -> Points:
        chosen = SETS[self.keypoints]
        values, mask = track_points(self.keypoints, clip, self.confidence_threshold)
        values = values[picked, :, : self.coordinates]
        return normalized(values, mask[picked], chosen.shoulders, self.noise_threshold, clip.source)


def pad_clips(keypoints: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Stack clips `[T_i, V, C]` and their masks to `keypoints`, `keypoint_mask` and `frame_mask`, right-padded."""
    longest = max(len(values) for values in keypoints)
    out = {
        "keypoints": np.zeros((len(keypoints), longest, *keypoints[0].shape[1:]), np.float32),
        "keypoint_mask": np.zeros((len(masks), longest, masks[0].shape[1]), bool),
        "frame_mask": np.zeros((len(masks), longest), bool),
    }
    for row, (values, mask) in enumerate(zip(keypoints, masks)):
        out["keypoints"][row, : len(values)] = values
        out["keypoint_mask"][row, : len(mask)] = mask
        out["frame_mask"][row, : len(mask)] = True
    return out
