"""Tracks of points: a corpus' own, or made of key points of `mediapipe` and `dwpose` rows; brought to the signer's frame of
reference, with distances and motion beside the coordinates.

A row is `[P * C coordinates | K (K - 1) / 2 distances | P * C motion]`, the last two where they are asked for.
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
# What a track can be made of, as places among the points of a row.
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
WANTED = (
    'wanted {"coordinates": 2, "origin": [points], "scale": number or [point, point]} by the name of a custom track, and if '
    'need be "facing": [point, point], "distances": [points], "motion": true, "source": "mediapipe.right_hand", "points": [points]'
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
    """Rows of points [T, P * C] in the signer's own frame of reference; 0 where unobserved.

    origin: points whose mean is subtracted from all others in every frame; they themselves keep their way about their median
    over the clip, so that a moving head stays visible. None subtracts nothing. scale: the length that becomes 1, in the
    track's unit, or two points whose median distance it is. facing: two points, such as the shoulders, of which the second
    comes to lie in the direction of x from the first, on the mean of the clip, by a turn about the vertical axis y; so a
    signer who stands at an angle to a depth camera looks like one who faces it.

    Raises:
        SignXPoseError: the two points of the scale never part.
    """
    points = values.reshape(len(values), -1, coordinates).astype(np.float64)
    if isinstance(scale, list):
        distance = float(np.median(np.linalg.norm(points[observed, scale[0]] - points[observed, scale[1]], axis=-1)))
        if not distance > 0:
            raise SignXPoseError(
                f"{source}: points {scale[0]} and {scale[1]} of the track lie at one place; wanted two whose distance is the unit; "
                "choose others in point_tracks, or give a number as scale"
            )
        scale = distance
    if facing:  # first: the median below is taken axis by axis, so it would depend on the angle
        points = _face_camera(points, points[:, facing[1]] - points[:, facing[0]], observed)
    if origin:
        centre = points[:, origin].mean(axis=1)
        anchors = points[:, origin] - np.median(centre[observed], axis=0)
        points = points - centre[:, None]
        points[:, origin] = anchors
    return np.where(observed[:, None], (points / scale).reshape(values.shape), 0.0)


def _face_camera(points: np.ndarray, lines: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Points [T, P, 3] turned about y so that the mean direction of the lines [T, 3] in the plane x, z becomes that of x."""
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
    """How many columns of a point track's row are coordinates."""
    return (width - _pairs(options)) // (2 if options.get("motion") else 1)


def _pairs(options: Mapping[str, Any]) -> int:
    count = len(options.get("distances") or ())
    return count * (count - 1) // 2


def complete_points(values: np.ndarray, observed: np.ndarray, options: Mapping[str, Any]) -> np.ndarray:
    """Rows of a point track [T, d] whose coordinates are there -> the same with distances and motion computed from them.

    Distances are between every two of the points of `distances`. Motion is the way from the frame before to the frame after,
    0 where one of the two is unobserved; the ends of a clip are taken to rest. The unit is that of the coordinates.
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
    """Key points of a part of `mediapipe` or `dwpose` rows [T, d] -> coordinates [T, P * C], and rows [T] with every point of
    the part (a hand is seen whole or not at all) or, for a body or a face, any."""
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
    point_tracks: Any, track_dims: Mapping[str, int], known: Mapping[str, int]
) -> dict[str, dict[str, Any]]:
    """A checked copy; coordinates, origin and scale are always there, the others where they are used.

    known: names that mean a layout of their own and cannot be tracks of points.
    """
    out = {}
    if not isinstance(point_tracks, Mapping):
        raise SignXPoseError(f"option point_tracks is {point_tracks!r}; {WANTED}")
    for name, given in point_tracks.items():
        if name not in track_dims or name in known:
            raise SignXPoseError(f"option point_tracks has {name!r}, no custom track of this extractor; {WANTED}")
        if not isinstance(given, Mapping):
            raise SignXPoseError(f"option point_tracks['{name}'] is {given!r}; {WANTED}")
        options = {**DEFAULTS, **given}
        for key in ("origin", "distances", "facing", "points"):
            if options[key] is not None and not isinstance(options[key], (list, tuple)):
                raise SignXPoseError(
                    f"option point_tracks['{name}']: {key} is {options[key]!r}, no list of points; {WANTED}"
                )
        if options["source"] is not None and not isinstance(options["source"], str):
            raise SignXPoseError(f"option point_tracks['{name}']: source is {options['source']!r}, no name; {WANTED}")
        for key in ("origin", "distances"):
            options[key] = list(options[key] or [])
        points = _number_of_points(track_dims[name], options)
        if set(options) - set(DEFAULTS) or not points or not _fits(points, options):
            wide = _width_of(options)
            raise SignXPoseError(
                f"option point_tracks['{name}'] is {dict(given)!r} for a track of width {track_dims[name]}"
                f"{f' (its points make {wide})' if wide else ''}; {WANTED}"
            )
        options["scale"] = (
            list(options["scale"]) if isinstance(options["scale"], (list, tuple)) else float(options["scale"])
        )
        kept = ("coordinates", "origin", "scale")
        out[name] = {key: value for key, value in options.items() if key in kept or value != DEFAULTS[key]}
    return out


def _width_of(options: Mapping[str, Any]) -> int | None:
    """The width of the row of a track made of a known part; None where the corpus says it."""
    name, chosen, size = options["source"], options["points"], options["coordinates"]
    if name not in PARTS or not isinstance(size, int):
        return None
    count = len(chosen) if chosen else PARTS[name].stop - PARTS[name].start
    return count * size * (2 if options["motion"] else 1) + _pairs(options)


def _number_of_points(width: int, options: Mapping[str, Any]) -> int:
    """Points of a track; 0 where they do not make its width, or the options make no sense together."""
    size, source = options["coordinates"], options["source"]
    if type(size) is not int or size < 1 or not isinstance(options["motion"], bool):
        return 0
    if source is not None:
        if source not in PARTS or size > (3 if source.startswith("mediapipe") else 2) or _width_of(options) != width:
            return 0
    elif options["points"]:
        return 0
    columns = coordinate_width(width, options)
    whole = (
        columns > 0 and columns % size == 0 and columns * (2 if options["motion"] else 1) + _pairs(options) == width
    )
    return columns // size if whole else 0


def _fits(points: int, options: Mapping[str, Any]) -> bool:
    """Whether every point that is named exists, and scale and facing are what they can be."""
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
