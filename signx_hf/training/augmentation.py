"""Changes to training clips: poses by their geometry, frames by light and crop."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..processing.errors_signx import SignXError
from ..processing.keypoints_signx import (
    DWPOSE_LEFT_HAND,
    DWPOSE_RIGHT_HAND,
    HAND_POINTS,
    MEDIAPIPE_BODY_POINTS,
    MEDIAPIPE_BODY_WIDTH,
)
from .arguments import AugmentationArguments

# Pairs that trade places in a mirror image: OpenPose-18 body, 68 face points (iBUG), MediaPipe pose.
OPENPOSE_PAIRS = ((2, 5), (3, 6), (4, 7), (8, 11), (9, 12), (10, 13), (14, 15), (16, 17))
FACE68_PAIRS = (
    *((i, 16 - i) for i in range(8)),
    *((17 + i, 26 - i) for i in range(5)),
    (31, 35), (32, 34), (36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46),
    (48, 54), (49, 53), (50, 52), (55, 59), (56, 58), (60, 64), (61, 63), (65, 67),
)  # fmt: skip
MEDIAPIPE_PAIRS = ((1, 4), (2, 5), (3, 6), (7, 8), (9, 10), *((i, i + 1) for i in range(11, 33, 2)))
MAX_HIDDEN_SPAN = 10


@dataclass(frozen=True)
class TrackGeometry:
    """Where a track has image coordinates. x, y: columns, pairwise. mirror: for each column of the row the column that a
    mirror image takes it from, or None where nobody said."""

    x: np.ndarray
    y: np.ndarray
    mirror: np.ndarray | None = None


def _mirror(points: list[list[int]], pairs: list[tuple[int, int]]) -> np.ndarray:
    """points: columns of each key point; pairs: points that trade places."""
    width = max(max(columns) for columns in points) + 1
    source = np.arange(width)
    for left, right in pairs:
        source[points[left]], source[points[right]] = points[right], points[left]
    return source


def _dwpose() -> TrackGeometry:
    points = [[3 * i, 3 * i + 1, 3 * i + 2] for i in range(128)]
    hands = list(zip(range(DWPOSE_LEFT_HAND.start, DWPOSE_LEFT_HAND.stop), range(DWPOSE_RIGHT_HAND.start, 128)))
    pairs = [*OPENPOSE_PAIRS, *hands, *((60 + a, 60 + b) for a, b in FACE68_PAIRS)]
    return TrackGeometry(np.arange(0, 384, 3), np.arange(1, 384, 3), _mirror(points, pairs))


def _mediapipe() -> TrackGeometry:
    body = [[4 * i + k for k in range(4)] for i in range(MEDIAPIPE_BODY_POINTS)]
    hands = [[MEDIAPIPE_BODY_WIDTH + 3 * i + k for k in range(3)] for i in range(2 * HAND_POINTS)]
    start = MEDIAPIPE_BODY_POINTS
    pairs = [*MEDIAPIPE_PAIRS, *((start + i, start + HAND_POINTS + i) for i in range(HAND_POINTS))]
    x = np.array([columns[0] for columns in body + hands])
    return TrackGeometry(x, x + 1, _mirror(body + hands, pairs))


def geometry_of(track: str, width: int) -> TrackGeometry | None:
    """The geometry of a known layout; None for tracks without image coordinates, which are left as they are."""
    if track == "dwpose":
        return _dwpose()
    if track == "mediapipe":
        return _mediapipe()
    if track == "hands" and width % 2 == 0:  # x, y pairs, left and right hand first
        mirror = np.arange(width)
        mirror[[0, 1, 2, 3]] = [2, 3, 0, 1]
        return TrackGeometry(np.arange(0, width, 2), np.arange(1, width, 2), mirror)
    return None


def resample(values: np.ndarray, mask: np.ndarray, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """A clip played `rate` times as fast: `[T, D]`, `[T, N]` to `[T', .]`, T' = max(2, round(T / rate)).

    Values are interpolated between two observed neighbours and else taken from the nearer; the mask from the nearer.
    """
    frames = len(values)
    if frames < 2:
        return values, mask
    places = np.linspace(0, frames - 1, max(2, round(frames / rate)))
    low = np.minimum(np.floor(places).astype(int), frames - 2)
    share = (places - low)[:, None].astype(values.dtype)
    near = np.rint(places).astype(int)
    blended = values[low] * (1 - share) + values[low + 1] * share
    both = (mask[low] & mask[low + 1]).all(axis=1, keepdims=True)
    return np.where(both, blended, values[near]), mask[near]


class PoseAugmentation:
    """Draws one change for a whole clip and applies it to every track with image coordinates.

    Args:
        options: how much of each.
        track_dims: ordered name -> width, as the feature extractor has it.

    Raises:
        SignXError: a mirror image is asked for, of a track nobody can mirror.
    """

    def __init__(self, options: AugmentationArguments, track_dims: Mapping[str, int]):
        self.options = options
        self.parts: list[tuple[int, slice, TrackGeometry | None]] = []
        start = 0
        for index, (name, width) in enumerate(track_dims.items()):
            geometry = geometry_of(name, width)
            if options.mirror and (geometry is None or geometry.mirror is None):
                raise SignXError(
                    f"option mirror is {options.mirror:g}, but nobody has said what a mirror image of track '{name}' is; wanted "
                    "only tracks dwpose, mediapipe or hands; set mirror to 0"
                )
            self.parts.append((index, slice(start, start + width), geometry))
            start += width

    def __call__(
        self, values: np.ndarray, mask: np.ndarray, random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """`pose_values` `[T, D]` float32 and `pose_mask` `[T, N]` -> changed copies, of another length if speed changes."""
        options = self.options
        # always drawn, whatever is switched on: one option then does not change what another draws
        speed, scale, angle = 1 + options.speed * random.uniform(-1, 1), random.uniform(-1, 1), random.uniform(-1, 1)
        move, mirrored = random.uniform(-1, 1, size=2) * options.shift, random.random() < options.mirror
        values, mask = values.copy(), mask.copy()
        if options.speed:
            values, mask = resample(values, mask, speed)
        if options.frame_mask:
            self._hide_frames(mask, random)
        scale, angle = 1 + options.scale * scale, np.deg2rad(options.rotation * angle)
        cos, sin = scale * np.cos(angle), scale * np.sin(angle)
        for index, where, geometry in self.parts:
            if geometry is not None:
                rows = values[:, where]
                if mirrored:
                    rows = rows[:, geometry.mirror]
                    rows[:, geometry.x] *= -1
                values[:, where] = self._move(rows, geometry, cos, sin, move, random)
            values[~mask[:, index], where] = 0
        return values.astype(np.float32, copy=False), mask

    def _move(self, rows, geometry, cos, sin, move, random) -> np.ndarray:
        """Turned, scaled, moved and shaken; a key point at exactly 0, 0 was not seen and stays there."""
        rows = rows.copy()
        x, y = rows[:, geometry.x], rows[:, geometry.y]
        seen = (x != 0) | (y != 0)
        noise = random.normal(0, 1, size=(2, *x.shape)) * self.options.jitter
        rows[:, geometry.x] = np.where(seen, cos * x - sin * y + move[0] + noise[0], 0)
        rows[:, geometry.y] = np.where(seen, sin * x + cos * y + move[1] + noise[1], 0)
        return rows

    def _hide_frames(self, mask: np.ndarray, random: np.random.Generator) -> None:
        """Hides spans until the share is reached; at least half of the frames always stays."""
        frames = len(mask)
        wanted = int(min(0.5, self.options.frame_mask) * frames)
        while wanted > 0:
            span = int(min(wanted, random.integers(1, MAX_HIDDEN_SPAN + 1)))
            start = int(random.integers(0, frames - span + 1))
            mask[start : start + span] = False
            wanted -= span


def augment_frames(frames: np.ndarray, options: AugmentationArguments, random: np.random.Generator) -> np.ndarray:
    """`[T, 3, H, W]` frames of one clip, float -> changed copies, the same change in every frame.

    Brightness and contrast about the clip's mean, and a crop that is stretched back to the size (nearest pixel).
    """
    gain, offset = 1 + options.brightness * random.uniform(-1, 1), options.brightness * random.uniform(-1, 1)
    sides = options.crop * random.random(4)
    if options.brightness:
        mean = frames.mean(axis=(0, 2, 3), keepdims=True)
        frames = (frames - mean) * gain + mean + offset
    if options.crop:
        height, width = frames.shape[2:]
        rows = np.linspace(sides[0] * height, (1 - sides[1]) * height - 1, height).round().astype(int)
        columns = np.linspace(sides[2] * width, (1 - sides[3]) * width - 1, width).round().astype(int)
        frames = frames[:, :, rows.clip(0, height - 1)][..., columns.clip(0, width - 1)]
    return frames
