"""Augmentation of training clips: poses by their geometry, frames by light and crop."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..processing.errors_signx import SignXError
from ..processing.keypoints_signx import mirror_columns, x_columns
from ..processing.point_tracks_signx import complete_points, coordinate_width
from .arguments import AugmentationArguments

MAX_HIDDEN_SPAN = 10


@dataclass(frozen=True)
class TrackGeometry:
    """The coordinates of a track.

    Attributes:
        x, y, z: columns of each point; z is None in the image plane.
        mirror: for each column of a row the column that a mirror image takes it from; None if unknown.
        shifts: whether the position of the points is meaningful; points relative to their own origin have none.
    """

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray | None = None
    mirror: np.ndarray | None = None
    shifts: bool = True


def geometry_of(track: str, width: int, options: Mapping[str, Any] | None = None) -> TrackGeometry | None:
    """Return the geometry of a track, or None for tracks without coordinates, which stay unchanged.

    Args:
        track: name.
        width: columns of a row.
        options: of a track of points, as the feature extractor has them.
    """
    if track in ("dwpose", "mediapipe"):
        x = x_columns(track)
        return TrackGeometry(x, x + 1, mirror=mirror_columns(track))
    mirror = None
    if track == "hands" and width % 2 == 0:  # x, y pairs, left and right hand first
        mirror = np.arange(width)
        mirror[[0, 1, 2, 3]] = [2, 3, 0, 1]
        options = options or {"coordinates": 2}
    if not options or options["coordinates"] not in (2, 3):
        return None
    size = options["coordinates"]
    x = np.arange(0, coordinate_width(width, options), size)
    shifts = not (options.get("source") and options["origin"])
    return TrackGeometry(x, x + 1, x + 2 if size == 3 else None, mirror if size == 2 else None, shifts)


def resample(values: np.ndarray, mask: np.ndarray, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Play a clip `rate` times as fast: `[T, D]`, `[T, N]` to `[T', .]`, T' = max(2, round(T / rate)).

    Values are interpolated between two observed neighbors, otherwise taken from the nearer; the mask is that of the nearer.
    """
    frames = len(values)
    if frames < 2:
        return values, mask
    positions = np.linspace(0, frames - 1, max(2, round(frames / rate)))
    low = np.minimum(np.floor(positions).astype(int), frames - 2)
    share = (positions - low)[:, None].astype(values.dtype)
    near = np.rint(positions).astype(int)
    blended = values[low] * (1 - share) + values[low + 1] * share
    both = (mask[low] & mask[low + 1]).all(axis=1, keepdims=True)
    return np.where(both, blended, values[near]), mask[near]


def rotation_matrix(roll: float, turn: float, tilt: float) -> np.ndarray:
    """Return `[3, 3]` for points as columns (x, y, z): tilt about x, then turn about y, then roll about z; in radians."""
    a, b, c = (
        np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) for angle in (roll, turn, tilt)
    )
    roll_matrix, turn_matrix, tilt_matrix = np.eye(3), np.eye(3), np.eye(3)
    roll_matrix[:2, :2] = a
    turn_matrix[np.ix_([0, 2], [0, 2])] = b
    tilt_matrix[1:, 1:] = c
    return roll_matrix @ turn_matrix @ tilt_matrix


class PoseAugmentation:
    """Draw one change per clip and apply it to every track with coordinates.

    Args:
        options: strength of each change.
        track_dims: ordered name -> width, as the feature extractor has it.
        point_tracks: custom tracks of points; their distances and motion are recomputed after the change.

    Raises:
        SignXError: If `mirror` is set, but a track cannot be mirrored.
    """

    def __init__(
        self,
        options: AugmentationArguments,
        track_dims: Mapping[str, int],
        point_tracks: Mapping[str, Mapping[str, Any]] | None = None,
    ):
        self.options = options
        self.parts: list[tuple[int, slice, TrackGeometry | None, Mapping[str, Any]]] = []
        start = 0
        for index, (name, width) in enumerate(track_dims.items()):
            points = (point_tracks or {}).get(name) or {}
            geometry = geometry_of(name, width, points)
            if options.mirror and (geometry is None or geometry.mirror is None):
                raise SignXError(
                    f"`mirror` must be 0 with track '{name}', whose mirror image is unknown, got {options.mirror:g}. Only dwpose, mediapipe and "
                    "hands can be mirrored."
                )
            self.parts.append((index, slice(start, start + width), geometry, points))
            start += width

    def __call__(
        self, values: np.ndarray, mask: np.ndarray, random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return changed copies of `pose_values` `[T, D]` float32 and `pose_mask` `[T, N]`, of another length if speed changes."""
        options = self.options
        # Everything is always drawn, so that one option does not change what another draws.
        speed, scale, angle = 1 + options.speed * random.uniform(-1, 1), random.uniform(-1, 1), random.uniform(-1, 1)
        move, mirrored = random.uniform(-1, 1, size=2) * options.shift, random.random() < options.mirror
        further = random.spawn(1)[0]  # a separate generator: further draws do not change those above
        roll, turn, tilt = np.deg2rad(
            [options.rotation * angle, *(further.uniform(-1, 1, size=2) * (options.turn, options.tilt))]
        )
        sizes = (1 + options.scale * scale) * (1 + options.stretch * further.uniform(-1, 1, size=3))
        matrices = {2: rotation_matrix(roll, 0, 0)[:2, :2] * sizes[:2], 3: rotation_matrix(roll, turn, tilt) * sizes}
        values, mask = values.copy(), mask.copy()
        if options.speed:
            values, mask = resample(values, mask, speed)
        if options.frame_mask:
            self._hide_frames(mask, random)
        for index, where, geometry, points in self.parts:
            if geometry is not None:
                rows = values[:, where]
                if mirrored:
                    rows = rows[:, geometry.mirror]
                    rows[:, geometry.x] *= -1
                rows = self._move(rows, geometry, matrices, move, random)
                values[:, where] = complete_points(rows, mask[:, index], points)
            values[~mask[:, index], where] = 0
        return values.astype(np.float32, copy=False), mask

    def _move(self, rows, geometry, matrices, move, random) -> np.ndarray:
        """Rotate, scale, shift and jitter points; a key point at exactly 0 was not observed and stays there."""
        rows = rows.copy()
        columns = [geometry.x, geometry.y] + ([] if geometry.z is None else [geometry.z])
        points = np.stack([rows[:, column] for column in columns])  # [C, T, P]
        seen = (points != 0).any(axis=0)
        noise = random.normal(0, 1, size=points.shape) * self.options.jitter
        turned = np.einsum("ij,jtp->itp", matrices[len(columns)], points) + noise
        if geometry.shifts:
            turned[:2] += move[:, None, None]
        for column, values in zip(columns, turned):
            rows[:, column] = np.where(seen, values, 0)
        return rows

    def _hide_frames(self, mask: np.ndarray, random: np.random.Generator) -> None:
        """Hide spans until the share is reached; at least half of the frames always stays."""
        frames = len(mask)
        remaining = int(min(0.5, self.options.frame_mask) * frames)
        while remaining > 0:
            span = int(min(remaining, random.integers(1, MAX_HIDDEN_SPAN + 1)))
            start = int(random.integers(0, frames - span + 1))
            mask[start : start + span] = False
            remaining -= span


def augment_frames(frames: np.ndarray, options: AugmentationArguments, random: np.random.Generator) -> np.ndarray:
    """Return changed copies of the frames `[T, 3, H, W]` of one clip, with the same change in every frame.

    Brightness and contrast change about the clip's mean, colors as in `random_colors`, and a crop is stretched back to the size
    (nearest pixel).
    """
    gain, offset = 1 + options.brightness * random.uniform(-1, 1), options.brightness * random.uniform(-1, 1)
    sides = options.crop * random.random(4)
    if options.brightness:
        mean = frames.mean(axis=(0, 2, 3), keepdims=True)
        frames = (frames - mean) * gain + mean + offset
    if options.color:
        matrix, shift = random_colors(options.color, random)
        frames = np.einsum("cd,tdhw->tchw", matrix, frames, optimize=True) + shift[:, None, None]
    if options.crop:
        height, width = frames.shape[2:]
        rows = np.linspace(sides[0] * height, (1 - sides[1]) * height - 1, height).round().astype(int)
        columns = np.linspace(sides[2] * width, (1 - sides[3]) * width - 1, width).round().astype(int)
        frames = frames[:, :, rows.clip(0, height - 1)][..., columns.clip(0, width - 1)]
    return frames


def random_colors(amount: float, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return a matrix `[3, 3]` and an offset `[3]` for RGB: hue rotates by up to `amount` x 180 degrees about the gray axis, saturation
    changes by up to `amount`, each channel's gain by 0.3 and its offset by 0.5 of it.

    Clothes, skin and background change, shapes and movements stay, so the model does not learn what a few signers wear.
    """
    angle, saturation = np.pi * amount * random.uniform(-1, 1), 1 + amount * random.uniform(-1, 1)
    gray, cross = np.full((3, 3), 1 / 3), np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    hue = np.cos(angle) * (np.eye(3) - gray) + gray + np.sin(angle) * cross
    mix = saturation * np.eye(3) + (1 - saturation) * gray
    gains = 1 + 0.3 * amount * random.uniform(-1, 1, size=3)
    return (gains[:, None] * (hue @ mix)).astype(np.float32), (0.5 * amount * random.uniform(-1, 1, size=3)).astype(
        np.float32
    )
