"""Sets of key points that UniGloR reads: where they are in a clip, and the frame of reference of the signer.

Steps for one clip (arXiv 2407.02854 v2, section 4): take the points, center every frame, drop noisy frames, scale. The
unit of the result is a shoulder width; y points down as in the image.

Legend: T frames, V points, C coordinates.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .errors_signx import SignXPoseError
from .hands_signx import HandClip
from .keypoints_signx import HAND_POINTS, KEYPOINT73_NAMES, keypoints73, points_extent, shoulder_reference
from .pose_files_signx import PoseClip

# Shoulders are about four palms wide (wrist to the knuckle of the middle finger); hands alone are measured in this unit.
PALMS_PER_SHOULDER_WIDTH = 4.0
MIDDLE_KNUCKLE = 9
PAPER_NOISE_PIXELS = 400.0


def _hand_names(side: str) -> tuple[str, ...]:
    return tuple(f"{side}_hand_{index}" for index in range(HAND_POINTS))


_SKELETON_BODY = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
)  # fmt: skip


@dataclass(frozen=True)
class PointSet:
    """A set of points and the tracks that it can be taken from.

    Attributes:
        nodes: names of the V points; of `hands`, left is the hand that leads.
        tracks: name -> width of the tracks, the first that a clip has is read.
        coordinates: most coordinates that it has.
    """

    nodes: tuple[str, ...]
    tracks: dict[str, int]
    coordinates: int

    @property
    def shoulders(self) -> tuple[int, int]:
        """Return the points of the left and right shoulder, which a set of hands alone does not have."""
        return self.nodes.index("left_shoulder"), self.nodes.index("right_shoulder")


SETS = {
    "keypoints73": PointSet(KEYPOINT73_NAMES, {"dwpose": 384, "mediapipe": 258}, 2),
    "hands": PointSet((*_hand_names("left"), *_hand_names("right")), {"hands": 126}, 3),
    "phoenix_skeletons": PointSet(
        (*_SKELETON_BODY, *_hand_names("left"), *_hand_names("right")), {"skeleton": 150}, 3
    ),
}


@dataclass(frozen=True)
class Points:
    """Points of one clip in the signer's frame of reference.

    Attributes:
        values: [T, V, C] float32, 0 where masked.
        mask: [T, V] bool.
        kept: [T] frames of the source that were kept.
        unit: length of a shoulder width in the unit of the source.
    """

    values: np.ndarray
    mask: np.ndarray
    kept: np.ndarray
    unit: float


def track_points(name: str, clip: PoseClip, threshold: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return the points of a set other than `hands` in a clip: [T, V, C] in its unit, and mask [T, V].

    Args:
        name: name in `SETS`.
        clip: the clip; the first of the set's tracks that it has is read.
        threshold: confidence above which a point is seen.

    Raises:
        SignXPoseError: If the clip has none of the tracks.
    """
    tracks = SETS[name].tracks
    track = next((track for track in tracks if track in clip.tracks), None)
    if track is None:
        raise SignXPoseError(
            f"{clip.source}: the clip must have one of the tracks {', '.join(tracks)} for the points of {name}, got "
            f"{', '.join(clip.tracks) or 'none'}. Extract one with `signx-hf extract`, or choose other keypoints."
        )
    values, observed = clip.tracks[track], clip.masks[track]
    if name == "keypoints73":
        rows = np.where(observed[:, None], values, np.nan)
        face = (clip.face, clip.face_mask) if track == "mediapipe" else (None, None)
        return keypoints73(rows, track, *face, confidence_threshold=threshold)
    points = values.reshape(len(values), -1, SETS[name].coordinates)
    mask = np.repeat(observed[:, None], points.shape[1], axis=1)
    return np.where(mask[..., None], points, 0.0), mask


def noisy_frames(points: np.ndarray, mask: np.ndarray, threshold: float) -> np.ndarray:
    """Return which frames [T] jump: the mean distance of their points to the frame before exceeds the threshold.

    The mean is over points that both frames show; a frame that shares none with the one before is kept. The frame
    before is that of the source, kept or not, so that a cut costs one frame and not the rest of the clip.

    Args:
        points: [T, V, C].
        mask: [T, V] bool.
        threshold: distance in the unit of the points.
    """
    both = mask[1:] & mask[:-1]
    moved = np.where(both, np.linalg.norm(np.diff(points, axis=0), axis=-1), 0.0).sum(axis=1)
    noisy = np.zeros(len(points), dtype=bool)
    noisy[1:] = moved > threshold * both.sum(axis=1)  # mean > threshold, without dividing by zero shared points
    return noisy


def normalized(
    points: np.ndarray, mask: np.ndarray, shoulders: tuple[int, int], noise_threshold: float | str, source: str
) -> Points:
    """Center every frame between the shoulders, drop noisy frames, and scale so that the shoulders are 1 wide.

    Args:
        points: [T, V, C].
        mask: [T, V] bool.
        shoulders: points of the left and right shoulder.
        noise_threshold: in shoulder widths; "paper" for 400 in the unit of the points, pixels in the paper.
        source: name of the clip, for messages.

    Raises:
        SignXPoseError: If no frame shows both shoulders, or they coincide.
    """
    left, right = shoulders
    seen = mask[:, left] & mask[:, right]
    reference = shoulder_reference(points[:, left], points[:, right], seen, points_extent(points, mask), source)
    centered = np.where(mask[..., None], points - reference.center[:, None], 0.0)
    return _kept(centered, mask, reference.width, noise_threshold)


def normalized_hands(hands: HandClip, noise_threshold: float | str, coordinates: int) -> Points:
    """Put two linked hands of a clip into one frame of reference.

    Origin: the median of the wrists over the clip. Unit: four median palms, about a shoulder width. A hand counts as
    observed where it was detected.

    Args:
        hands: hands of the clip, gaps filled.
        noise_threshold: in shoulder widths; "paper" never drops a frame, as hands are not measured in pixels.
        coordinates: C, 2 or 3.
    """
    values, seen = hands.hands.astype(np.float64), hands.seen
    palms = np.linalg.norm(values[:, :, MIDDLE_KNUCKLE] - values[:, :, 0], axis=-1)[seen]
    unit = PALMS_PER_SHOULDER_WIDTH * max(float(np.median(palms)), 1e-3)
    origin = np.median(values[seen][:, 0], axis=0)
    mask = np.repeat(seen, HAND_POINTS, axis=1)
    points = (values - origin).reshape(len(values), -1, 3)[..., :coordinates]
    threshold = np.inf if noise_threshold == "paper" else noise_threshold
    return _kept(np.where(mask[..., None], points, 0.0), mask, unit, threshold)


def _kept(centered: np.ndarray, mask: np.ndarray, unit: float, noise_threshold: float | str) -> Points:
    limit = PAPER_NOISE_PIXELS if noise_threshold == "paper" else float(noise_threshold) * unit
    kept = np.flatnonzero(~noisy_frames(centered, mask, limit))
    values = np.where(mask[kept][..., None], centered[kept] / unit, 0.0).astype(np.float32)
    return Points(values, mask[kept], kept, unit)


def missing_parts(mask: np.ndarray, nodes: Sequence[str]) -> list[str]:
    """Return which of face, left hand and right hand a clip never shows, of those that the set has.

    Args:
        mask: [T, V] bool.
        nodes: names of the points.
    """
    seen = [bool(there) for there in np.asarray(mask.any(axis=0))]
    parts: dict[str, list[bool]] = {}
    for name, there in zip(nodes, seen):
        side = name.partition("_hand_")
        part = f"{side[0]} hand" if side[1] else "face" if _of_face(name) else "body"
        parts.setdefault(part, []).append(there)
    return [part for part, there in parts.items() if not any(there)]


def _of_face(name: str) -> bool:
    return name not in KEYPOINT73_NAMES[-8:] and any(
        w in name for w in ("brow", "lid", "eye", "mouth", "lip", "chin", "jaw")
    )
