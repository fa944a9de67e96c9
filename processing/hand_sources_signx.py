"""Make the track `hands` from any source of hands: rows of MediaPipe Hands, Holistic (`mediapipe`), DWPose and
OpenPose (`dwpose`).

A model that reads `hands` therefore accepts clips with another of these tracks. Values are fractions of the picture,
so the picture size is needed for values in pixels: from the file, otherwise it is estimated, with a warning.
"""

import math
import re
import warnings
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from .errors_signx import SignXPoseError, SignXWarning
from .keypoints_signx import (
    DWPOSE_LEFT_HAND,
    DWPOSE_RIGHT_HAND,
    DWPOSE_SHOULDERS,
    DWPOSE_WIDTH,
    HAND_POINTS,
    HANDS_LAYOUT,
    HANDS_SLOTS,
    HANDS_WIDTH,
    MEDIAPIPE_SHOULDERS,
    MEDIAPIPE_WIDTH,
    dwpose_points,
    mediapipe_points,
)
from .pose_files_signx import PoseClip

HANDS = "hands"
# Tracks that hands can be taken from, the best first: `dwpose` has no depth.
SOURCES = {"mediapipe": MEDIAPIPE_WIDTH, "dwpose": DWPOSE_WIDTH}
# Fractions: nearly all x and y lie in this range, since a hand may be cut by the border. Pixels: they extend beyond
# it.
FRACTIONS, SMALLEST_PICTURE, LARGEST_PICTURE = (-0.6, 1.6), 16.0, 16384.0
# Share of x or y of a clip that may be negative; if more are, another origin or direction was used. At most 0.25 in
# WLASL's 11,521 clips; 0.5 in MediaPipe's world landmarks, which are meters from the middle of the hand.
MOST_NEGATIVE = 1 / 3
QUANTILES = (0.5, 99.5)  # percent; outliers say nothing about units
# A hand of DWPose or OpenPose is seen from this mean confidence (what DWPose itself draws) with this many of its
# points.
SEEN_CONFIDENCE, SEEN_POINTS = 0.3, 16
SEEN_BODY = 0.5
USUAL_ASPECT = 16 / 9
# Percent of the points that lie inside the picture, by this margin: detectors guess the position of cut-off points.
INSIDE, MARGIN = 97.0, 1.08
# The joint before each, toward the wrist
PARENTS = (0, *(0 if i % 4 == 1 else i - 1 for i in range(1, HAND_POINTS)))
# Usual picture sizes of signing videos, width and height
PICTURES = (
    (210, 260), (256, 256), (320, 240), (360, 288), (400, 400), (480, 360), (512, 512), (640, 360), (640, 480), (720, 480), (720, 576),
    (854, 480), (768, 576), (720, 720), (960, 540), (720, 1280), (1280, 720), (1080, 1080), (1280, 960), (1440, 1080), (1080, 1920),
    (1920, 1080), (2560, 1440), (3840, 2160),
)  # fmt: skip
PICTURE_NOTES = ("size", f"{HANDS}.aspect")
NOTED_SIZE = re.compile(r"(\d{1,5}) ?x ?(\d{1,5})")


def reads_hands(read_dims: Mapping[str, int]) -> bool:
    """Return whether tracks of these widths include `hands` with 126 numbers; a custom track may have that name, too."""
    return read_dims.get(HANDS) == HANDS_WIDTH


def with_sources(read_dims: Mapping[str, int]) -> dict[str, int]:
    """Return the tracks that a clip may have for a model that reads `read_dims`, including those that hands can be
    taken from.
    """
    more = {name: width for name, width in SOURCES.items() if name not in read_dims} if reads_hands(read_dims) else {}
    return {**read_dims, **more}


def with_hands(clip: PoseClip, read_dims: Mapping[str, int], threshold: float = 0.0) -> PoseClip:
    """Return a PoseClip with the tracks of `read_dims`, with `hands` taken from another track if needed.

    Args:
        clip: The clip.
        read_dims: Name -> width of the tracks to keep.
        threshold: Confidence above which a point is seen.

    Raises:
        SignXPoseError: If hands are neither in fractions of the picture nor in pixels.
    """
    tracks = {name: rows for name, rows in clip.tracks.items() if name in read_dims}
    masks = {name: mask for name, mask in clip.masks.items() if name in read_dims}
    if reads_hands(read_dims) and (HANDS in clip.tracks or clip.tracks.keys() & SOURCES):
        tracks[HANDS], masks[HANDS] = read_hands(clip, threshold)
    return replace(clip, tracks=tracks, masks=masks)


def read_hands(clip: PoseClip, threshold: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of the track `hands` of a PoseClip, its own or made of `mediapipe` or else of `dwpose`.

    Args:
        clip: The clip.
        threshold: Confidence above which a point is seen.

    Returns:
        Rows [T, 126], and whether a hand is seen [T].

    Raises:
        SignXPoseError: If the clip has none of these tracks, or hands in units that are neither fractions nor pixels.
    """
    name = next((track for track in (HANDS, *SOURCES) if track in clip.tracks), None)
    if name is None:
        raise SignXPoseError(
            f"{clip.source}: the clip must have one of the tracks {', '.join((HANDS, *SOURCES))} to have hands, "
            f"got {', '.join(clip.tracks) or 'none'}."
        )
    size = getattr(clip, "size", None) or noted_size(clip.notes)
    rows = np.where(clip.masks[name][:, None], np.nan_to_num(clip.tracks[name]), 0.0)
    is_own = name == HANDS and clip.notes.get("hands.layout") == HANDS_LAYOUT
    if not is_own or np.abs(rows).max(initial=0.0) >= SMALLEST_PICTURE:
        rows = hands_rows(name, rows, size, clip.source, threshold)
    # Otherwise the note states the unit, and hands may leave the picture.
    return rows, rows.any(axis=1)


def hands_rows(
    track: str,
    rows: np.ndarray,
    size: tuple[float, float] | None = None,
    source: str = "clip",
    threshold: float = 0.0,
) -> np.ndarray:
    """Return rows of `hands`: x, y as fractions of the picture, z in picture widths from the wrist, 0 for a hand that
    is not seen.

    Args:
        track: `hands`, `mediapipe` or `dwpose`.
        rows: Rows of it [T, 126, 258 or 384] in fractions or pixels, told apart by their range; a row of zeros shows
            nobody.
        size: (width, height) of the picture in pixels; None estimates it if needed, with a SignXWarning.
        source: Name of the clip, for messages.
        threshold: Confidence above which a point is seen.

    Returns:
        [T, 126].

    Raises:
        SignXPoseError: If the units are neither.
    """
    rows = np.nan_to_num(np.asarray(rows, dtype=np.float64))
    if track == HANDS:
        hands, body, shoulders = rows.reshape(len(rows), HANDS_SLOTS, HAND_POINTS, 3), np.zeros((0, 1, 3)), [0]
    elif track == "mediapipe":
        body, _, hands, seen = mediapipe_points(rows)
        hands, body, shoulders = np.where(seen[..., None], hands, 0.0), body[..., [0, 1, 3]], list(MEDIAPIPE_SHOULDERS)
    else:
        body, _ = dwpose_points(rows)
        parts = (body[:, part] * (body[:, part, 2:] > threshold) for part in (DWPOSE_LEFT_HAND, DWPOSE_RIGHT_HAND))
        hands, shoulders = np.stack([_flat_hand(part) for part in parts], axis=1), list(DWPOSE_SHOULDERS)
    present = hands.any(axis=(2, 3))
    if not present.any():
        return np.zeros((len(rows), HANDS_WIDTH))
    hands = hands.copy()
    if _are_pixels(hands[present][..., :2], track, source):
        size = size or _estimated_size(hands[present][..., :2].reshape(-1, 2), body, shoulders, track, source)
        hands[..., :2] /= size
        if track != HANDS or np.abs(hands[..., 2]).max() > FRACTIONS[1]:  # some programs scale x and y but not z
            hands[..., 2] /= size[0]
    if track != HANDS:
        hands[..., 2] -= hands[..., :1, 2]  # some programs move z
    return np.where(present[..., None, None], hands, 0.0).reshape(len(rows), HANDS_WIDTH)


def _flat_hand(points: np.ndarray) -> np.ndarray:
    """Return one hand [T, 21, (x, y, 0)] of points with confidence [T, 21, 3]; 0 if too little of it is seen."""
    there = points[..., 2] > 0
    seen = there[:, 0] & (there.sum(axis=1) >= SEEN_POINTS) & (points[..., 2].mean(axis=1) >= SEEN_CONFIDENCE)
    hand = np.concatenate([points[..., :2], np.zeros_like(points[..., :1])], axis=-1)
    for joint, parent in enumerate(PARENTS):  # an unseen joint takes the position of the joint before it
        hand[:, joint] = np.where(there[:, joint, None], hand[:, joint], hand[:, parent])
    return np.where(seen[:, None, None], hand, 0.0)


def _are_pixels(places: np.ndarray, track: str, source: str) -> bool:
    """Return whether x, y [n, 21, 2] are pixels rather than fractions of the picture."""
    low, high = np.percentile(places, QUANTILES)
    if (places < 0).mean(axis=(0, 1)).max() <= MOST_NEGATIVE:
        if FRACTIONS[0] <= low and high <= FRACTIONS[1]:
            return False
        if SMALLEST_PICTURE <= high <= LARGEST_PICTURE and low >= FRACTIONS[0] * high:
            return True
    raise SignXPoseError(
        f"{source}: x and y of the hands in track '{track}' must be fractions of the picture (0 to 1) or "
        f"pixels, from its top left, got {low:.3g} to {high:.3g}. Undo their normalization, or extract them "
        "with `signx-hf extract --tracks hands`."
    )


def noted_size(notes: Mapping[str, str] | None) -> tuple[float, float] | None:
    """Return (width, height) in pixels from the note `size` of a clip, such as "1280x720"; None if there is none."""
    match = NOTED_SIZE.fullmatch((notes or {}).get("size", "").strip())
    size = (float(match[1]), float(match[2])) if match else (0.0, 0.0)
    return size if min(size) > 0 else None


def picture_notes(clip: PoseClip) -> dict[str, str]:
    """Return what a PoseClip says about its picture, as notes for rows taken from it."""
    notes = {name: clip.notes[name] for name in PICTURE_NOTES if name in clip.notes}
    size = getattr(clip, "size", None)
    return notes if size is None else {**notes, "size": "{:.0f}x{:.0f}".format(*size)}


def picture_aspect(clip: PoseClip) -> float:
    """Return the width of the picture of a PoseClip over its height.

    It comes from the clip's size, or its note `hands.aspect`, or is that of most videos, 16:9.
    """
    size = getattr(clip, "size", None) or noted_size(clip.notes)
    if size is not None:
        return size[0] / size[1]
    try:
        aspect = float(clip.notes.get("hands.aspect", USUAL_ASPECT))
    except ValueError:
        return USUAL_ASPECT
    return aspect if 0.1 < aspect < 10 else USUAL_ASPECT


def _estimated_size(
    places: np.ndarray, body: np.ndarray, shoulders: list[int], track: str, source: str
) -> tuple[float, float]:
    """Return the smallest usual picture size that shows hands and shoulders, the latter in its middle.

    Args:
        places: [n, 2] points of the hands.
        body: [T, K, (x, y, visibility)].
        shoulders: Indices of two of the K points.
        track: Name of the track, for the warning.
        source: Name of the clip, for the warning.
    """
    both = body[(body[:, shoulders, 2] > SEEN_BODY).all(axis=1)][:, shoulders]
    extent = np.percentile(np.concatenate([places, both[..., :2].reshape(-1, 2)]), INSIDE, axis=0)
    fits = [size for size in PICTURES if (extent <= np.multiply(size, MARGIN)).all()]
    if len(both):  # signers stand in the middle of the picture
        middle = float(np.median(both[..., 0]))
        fits = sorted(fits, key=lambda size: abs(math.log(size[0] / 2 / max(middle, 1.0))))
        fits = [size for size in fits if size[0] == fits[0][0]]
    size = min(fits, key=math.prod) if fits else tuple(float(math.ceil(value)) for value in extent)
    warnings.warn(
        f"{source}: the hands of track '{track}' are in pixels of a picture of unknown size, estimated as {size[0]:g} x "
        f'{size[1]:g}. Add it as a note of the clip: notes={{"size": "1280x720"}}.',
        SignXWarning,
        stacklevel=2,
    )
    return float(size[0]), float(size[1])
