"""Tracks of points, either a corpus' own or made of keypoints of `mediapipe` and `dwpose` rows, in the signer's frame
of reference, with distances and motion besides the coordinates.

A row is `[P * C coordinates | K (K - 1) / 2 distances | P * C motion]`, the last two if requested.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .errors_signx import SignXPoseError
from .keypoints_signx import (
    DWPOSE_BODY,
    DWPOSE_FACE,
    DWPOSE_LEFT_HAND,
    DWPOSE_RIGHT_HAND,
    DWPOSE_WIDTH,
    HAND_POINTS,
    MEDIAPIPE_BODY_POINTS,
    MEDIAPIPE_WIDTH,
    dwpose_points,
    mediapipe_points,
)

SOURCE_WIDTHS = {"mediapipe": MEDIAPIPE_WIDTH, "dwpose": DWPOSE_WIDTH}
_HANDS = MEDIAPIPE_BODY_POINTS + HAND_POINTS
# Parts that a track can be made of, as ranges among the points of a row.
PARTS = {
    "mediapipe.body": slice(0, MEDIAPIPE_BODY_POINTS),
    "mediapipe.left_hand": slice(MEDIAPIPE_BODY_POINTS, _HANDS),
    "mediapipe.right_hand": slice(_HANDS, _HANDS + HAND_POINTS),
    "dwpose.body": DWPOSE_BODY,
    "dwpose.left_hand": DWPOSE_LEFT_HAND,
    "dwpose.right_hand": DWPOSE_RIGHT_HAND,
    "dwpose.face": DWPOSE_FACE,
}
DEFAULTS = {
    "coordinates": 2, "origin": [], "scale": 1.0, "facing": None, "source": None, "points": None, "distances": [], "motion": False,
}  # fmt: skip
EXPECTED = (
    'It maps the name of a custom track to {"coordinates": 2, "origin": [points], "scale": number or [point, point]}, '
    'optionally with "facing": [point, point], "distances": [points], "motion": true, "source": "mediapipe.right_hand", "points": [points].'
)


def normalize_points(
    values: np.ndarray,
    observed: np.ndarray,
    coordinates: int = 2,
    origin: list[int] | None = None,
    scale: float | list[int] = 1.0,
    facing: list[int] | None = None,
    source: str = "clip",
) -> np.ndarray:
    """Normalize rows of points to the signer's own frame of reference.

    Args:
        values: [T, P * C].
        observed: [T] bool.
        coordinates: C, coordinates per point.
        origin: Points whose mean is subtracted from all others in every frame; they themselves keep their motion about
            their median over the clip, so that a moving head stays visible. None subtracts nothing.
        scale: Length that becomes 1, in the track's unit, or two points whose median distance it is.
        facing: Two points, such as the shoulders: the clip is turned about the vertical axis y so that on average the
            second lies in the direction of x from the first. A signer who stands at an angle to a depth camera then
            looks like one who faces it.
        source: Name of the clip, for messages.

    Returns:
        [T, P * C], 0 where unobserved.

    Raises:
        SignXPoseError: If the two points of the scale always coincide.
    """
    points = values.reshape(len(values), -1, coordinates).astype(np.float64)
    if isinstance(scale, list):
        distance = float(np.median(np.linalg.norm(points[observed, scale[0]] - points[observed, scale[1]], axis=-1)))
        if not distance > 0:
            raise SignXPoseError(
                f"{source}: the distance between points {scale[0]} and {scale[1]} of the track must be above 0 to set "
                "the unit. Choose others in point_tracks, or pass a number as scale."
            )
        scale = distance
    if facing:  # first: the median below is taken axis by axis, so it would depend on the angle
        points = _face_camera(points, points[:, facing[1]] - points[:, facing[0]], observed)
    if origin:
        center = points[:, origin].mean(axis=1)
        anchors = points[:, origin] - np.median(center[observed], axis=0)
        points = points - center[:, None]
        points[:, origin] = anchors
    return np.where(observed[:, None], (points / scale).reshape(values.shape), 0.0)


def _face_camera(points: np.ndarray, lines: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Turn points [T, P, 3] about y so that the mean direction of the lines [T, 3] in the plane x, z becomes that of
    x.
    """
    flat = lines[observed][:, [0, 2]]
    lengths = np.linalg.norm(flat, axis=1, keepdims=True)
    x, z = np.divide(flat, lengths, out=np.zeros_like(flat), where=lengths > 0).sum(axis=0)
    size = math.hypot(x, z)
    if not size > 0:
        return points
    cos, sin = x / size, z / size
    turned = points.copy()
    turned[..., 0] = cos * points[..., 0] + sin * points[..., 2]
    turned[..., 2] = cos * points[..., 2] - sin * points[..., 0]
    return turned


def coordinate_width(width: int, options: Mapping[str, Any]) -> int:
    """Return how many columns of a point track's row are coordinates."""
    return (width - _pairs(options)) // (2 if options.get("motion") else 1)


def _pairs(options: Mapping[str, Any]) -> int:
    count = len(options.get("distances") or ())
    return count * (count - 1) // 2


def complete_points(values: np.ndarray, observed: np.ndarray, options: Mapping[str, Any]) -> np.ndarray:
    """Add distances and motion to rows of a point track whose coordinates are known.

    Distances are between every two of the points of `distances`. Motion is the difference between the next and the
    previous frame, 0 if one of them is unobserved; the ends of a clip are at rest. The unit is that of the
    coordinates.

    Args:
        values: [T, d].
        observed: [T] bool.
        options: Options of the track.
    """
    pairs, motion = _pairs(options), options.get("motion")
    if not pairs and not motion:
        return values
    width = coordinate_width(values.shape[1], options)
    rows, parts = values[:, :width], [values[:, :width]]
    if pairs:
        points = rows.reshape(len(rows), -1, options["coordinates"])[:, options["distances"]]
        first, second = np.triu_indices(points.shape[1], 1)
        parts.append(np.linalg.norm(points[:, first] - points[:, second], axis=-1))
    if motion:
        places = np.arange(len(rows))
        before, after = np.maximum(places - 1, 0), np.minimum(places + 1, len(rows) - 1)
        known = observed[before] & observed[after]
        parts.append(np.where(known[:, None], rows[after] - rows[before], 0.0))
    return np.where(observed[:, None], np.concatenate(parts, axis=1), 0.0)


def part_points(name: str, values: np.ndarray, options: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return the keypoints of a part of `mediapipe` or `dwpose` rows.

    Args:
        name: Name in `PARTS`.
        values: [T, d] rows of its track.
        options: Options of the point track.

    Returns:
        Coordinates [T, P * C], and which rows have every point of a hand or any point of a body or face [T].
    """
    track = name.partition(".")[0]
    if track == "mediapipe":
        body, body_present, hands, hands_present = mediapipe_points(values)
        points = np.concatenate([body[..., :3], hands.reshape(len(values), -1, 3)], axis=1)
        present = np.concatenate([body_present, hands_present.reshape(len(values), -1)], axis=1)
    else:
        points, present = dwpose_points(values)
    points, present = points[:, PARTS[name], : options["coordinates"]], present[:, PARTS[name]]
    if options.get("points"):
        points, present = points[:, options["points"]], present[:, options["points"]]
    seen = present.all(axis=1) if name.endswith("_hand") else present.any(axis=1)
    return np.where((present & seen[:, None])[..., None], points, 0.0).reshape(len(values), -1), seen


def checked_point_tracks(
    point_tracks: object, track_dims: Mapping[str, int], known: Mapping[str, int]
) -> dict[str, dict[str, Any]]:
    """Return a checked copy; coordinates, origin and scale are always there, other options if they are used.

    Args:
        point_tracks: Option `point_tracks` of the extractor.
        track_dims: Name -> width of the extractor's tracks.
        known: Names with a layout of their own, which cannot be tracks of points.

    Raises:
        SignXPoseError: If an option is unknown or does not fit the track.
    """
    out = {}
    if not isinstance(point_tracks, Mapping):
        raise SignXPoseError(f"`point_tracks` must be a dictionary, got {point_tracks!r}. {EXPECTED}")
    for name, given in point_tracks.items():
        if name not in track_dims or name in known:
            raise SignXPoseError(f"`point_tracks` must name custom tracks of this extractor, got {name!r}. {EXPECTED}")
        if not isinstance(given, Mapping):
            raise SignXPoseError(f"`point_tracks['{name}']` must be a dictionary, got {given!r}. {EXPECTED}")
        options = {**DEFAULTS, **given}
        for key in ("origin", "distances", "facing", "points"):
            if options[key] is not None and not isinstance(options[key], (list, tuple)):
                raise SignXPoseError(
                    f"`point_tracks['{name}']`: `{key}` must be a list of points, got {options[key]!r}. {EXPECTED}"
                )
        if options["source"] is not None and not isinstance(options["source"], str):
            raise SignXPoseError(
                f"`point_tracks['{name}']`: `source` must be a string, got {options['source']!r}. {EXPECTED}"
            )
        for key in ("origin", "distances"):
            options[key] = list(options[key] or [])
        points = _number_of_points(track_dims[name], options)
        if set(options) - set(DEFAULTS) or not points or not _fits(points, options):
            wide = _width_of(options)
            raise SignXPoseError(
                f"`point_tracks['{name}']` must fit a track of width {track_dims[name]}, got {dict(given)!r}"
                f"{f', whose points make {wide}' if wide else ''}. {EXPECTED}"
            )
        options["scale"] = (
            list(options["scale"]) if isinstance(options["scale"], (list, tuple)) else float(options["scale"])
        )
        always = ("coordinates", "origin", "scale")
        out[name] = {key: value for key, value in options.items() if key in always or value != DEFAULTS[key]}
    return out


def _width_of(options: Mapping[str, Any]) -> int | None:
    """Return the width of the row of a track made of a known part; None for a corpus' own track."""
    name, chosen, size = options["source"], options["points"], options["coordinates"]
    if name not in PARTS or not isinstance(size, int):
        return None
    count = len(chosen) if chosen else PARTS[name].stop - PARTS[name].start
    return count * size * (2 if options["motion"] else 1) + _pairs(options)


def _number_of_points(width: int, options: Mapping[str, Any]) -> int:
    """Return the number of points of a track; 0 if they do not give its width, or options contradict each other."""
    size, source = options["coordinates"], options["source"]
    if type(size) is not int or size < 1 or not isinstance(options["motion"], bool):
        return 0
    if source is not None:
        if source not in PARTS or size > (3 if source.startswith("mediapipe") else 2) or _width_of(options) != width:
            return 0
    elif options["points"]:
        return 0
    columns = coordinate_width(width, options)
    fits = columns > 0 and columns % size == 0 and columns * (2 if options["motion"] else 1) + _pairs(options) == width
    return columns // size if fits else 0


def _fits(points: int, options: Mapping[str, Any]) -> bool:
    """Return whether every named point exists, and scale and facing are valid."""
    scale, facing = options["scale"], options["facing"]
    pair = isinstance(scale, (list, tuple)) and len(scale) == 2
    number = isinstance(scale, (int, float)) and not isinstance(scale, bool) and 0 < scale < math.inf
    named = [*options["origin"], *options["distances"], *(scale if pair else ()), *(facing or ())]
    inside = all(type(point) is int and 0 <= point < points for point in named)
    if facing is not None and (len(facing) != 2 or options["coordinates"] != 3):
        return False
    size = PARTS[options["source"]].stop - PARTS[options["source"]].start if options["source"] else 0
    chosen = all(type(point) is int and 0 <= point < size for point in options["points"] or ())
    return inside and chosen and (pair or number)
