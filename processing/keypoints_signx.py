"""Layout of the keypoints in `dwpose` and `mediapipe` rows, the signer's own frame of reference, and UniGloR's 73
points.

Unit of every normalized coordinate: shoulder widths, origin halfway between the shoulders, y down as in the image.
"""

from dataclasses import dataclass

import numpy as np

from .errors_signx import SignXPoseError

# DWPose row: 128 points x (x, y, confidence). Body in OpenPose-18 order, then left hand, right hand, 68 face points.
DWPOSE_POINTS = 128
DWPOSE_WIDTH = DWPOSE_POINTS * 3
DWPOSE_BODY = slice(0, 18)
DWPOSE_LEFT_HAND = slice(18, 39)
DWPOSE_RIGHT_HAND = slice(39, 60)
DWPOSE_FACE = slice(60, 128)
DWPOSE_SHOULDERS = (5, 2)  # left, right
# Description of a DWPose row.
DWPOSE_LAYOUT = "dwpose-128"
DWPOSE_UNITS = "x, y pixels from the top left; confidence 0 to 1; a point that was not seen is 0"
DWPOSE_ORDER = (
    "18 OpenPose body (nose, neck, right shoulder, elbow, wrist, left shoulder, elbow, wrist, right hip, knee, "
    "ankle, left hip, knee, ankle, right eye, left eye, right ear, left ear), 21 left hand, 21 right hand, 68 face, "
    "x (x, y, confidence)"
)

# MediaPipe Holistic row: pose 33 x (x, y, z, visibility), left hand 21 x (x, y, z), right hand 21 x (x, y, z).
MEDIAPIPE_BODY_POINTS = 33
MEDIAPIPE_BODY_WIDTH = MEDIAPIPE_BODY_POINTS * 4
HAND_POINTS = 21
MEDIAPIPE_WIDTH = MEDIAPIPE_BODY_WIDTH + 2 * HAND_POINTS * 3
MEDIAPIPE_SHOULDERS = (11, 12)  # left, right
FACE_MESH_POINTS = 478

# Row of MediaPipe Hands: 2 detector slots x 21 points x (x, y, z). Which hand is in which slot changes from frame to
# frame.
HANDS_SLOTS = 2
HANDS_WIDTH = HANDS_SLOTS * HAND_POINTS * 3
HANDS_LAYOUT = "hands-126"
HANDS_UNITS = (
    "x, y fractions of the picture from the top left; z picture widths, smaller is nearer, from that hand's wrist; "
    "a hand that was not seen is 0"
)
HANDS_ORDER = "2 slots in the order of the detector x 21 HandLandmark x (x, y, z)"
# Description of a MediaPipe Holistic row.
MEDIAPIPE_LAYOUT = "holistic-258"
MEDIAPIPE_UNITS = (
    "x, y pixels from the top left; z pixels, smaller is nearer, from the hips (pose) or the wrist (hands); "
    "visibility 0 to 1; a hand that was not seen is 0"
)
MEDIAPIPE_ORDER = (
    "33 PoseLandmark x (x, y, z, visibility), 21 HandLandmark of the left hand x (x, y, z), 21 of the right"
)

# A shoulder distance below this share of the clip's extent is a tracking failure, not a narrow signer.
SMALLEST_SHOULDER_SHARE = 1e-6

# (name, OpenPose-18 index, MediaPipe pose index). The neck of MediaPipe is halfway between its shoulders.
_BODY_TABLE = (
    ("nose", 0, 0),
    ("neck", 1, None),
    ("right_shoulder", 2, 12),
    ("left_shoulder", 5, 11),
    ("right_eye", 14, 5),
    ("left_eye", 15, 2),
    ("right_ear", 16, 8),
    ("left_ear", 17, 7),
)
# (side, OpenPose-18 elbow and wrist, MediaPipe elbow and wrist); 21 points of the hand model follow in both layouts.
_ARM_TABLE = (("left", (6, 7), (13, 15)), ("right", (3, 4), (14, 16)))
# (name, index among the 68 face points, index in MediaPipe's face mesh); left and right are the signer's own.
# UniGloR leaves out the outline of the face and the nose, and lists no points; these are brows, eyes and mouth (choice). Of the
# inner lips the lower one, which the jaw moves, is enough to tell an open mouth.
FACE_TABLE = (
    ("right_brow_outer", 17, 70),
    ("right_brow_middle", 19, 105),
    ("right_brow_inner", 21, 107),
    ("left_brow_inner", 22, 336),
    ("left_brow_middle", 24, 334),
    ("left_brow_outer", 26, 300),
    ("right_eye_outer", 36, 33),
    ("right_eye_inner", 39, 133),
    ("right_upper_lid", 37, 160),
    ("right_lower_lid", 41, 144),
    ("left_eye_inner", 42, 362),
    ("left_eye_outer", 45, 263),
    ("left_upper_lid", 44, 387),
    ("left_lower_lid", 46, 373),
    ("right_mouth_corner", 48, 61),
    ("left_mouth_corner", 54, 291),
    ("upper_lip_outer", 51, 0),
    ("lower_lip_outer", 57, 17),
    ("lower_lip_inner", 66, 14),
)


def _hand_names(side: str) -> tuple[str, ...]:
    return (f"{side}_elbow", f"{side}_wrist") + tuple(f"{side}_hand_{i}" for i in range(HAND_POINTS))


KEYPOINT73_NAMES = (
    tuple(name for name, _, _ in FACE_TABLE)
    + _hand_names("left")
    + _hand_names("right")
    + tuple(n for n, _, _ in _BODY_TABLE)
)
KEYPOINT73_PARTS = {
    "face": slice(0, 19),
    "left_hand": slice(19, 42),
    "right_hand": slice(42, 65),
    "body": slice(65, 73),
}
_SHOULDERS73 = (KEYPOINT73_NAMES.index("left_shoulder"), KEYPOINT73_NAMES.index("right_shoulder"))

# Pairs that trade places in a mirror image: OpenPose-18 body, 68 face points (iBUG), MediaPipe pose.
OPENPOSE_PAIRS = ((2, 5), (3, 6), (4, 7), (8, 11), (9, 12), (10, 13), (14, 15), (16, 17))
FACE68_PAIRS = (
    *((i, 16 - i) for i in range(8)),
    *((17 + i, 26 - i) for i in range(5)),
    (31, 35), (32, 34), (36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46),
    (48, 54), (49, 53), (50, 52), (55, 59), (56, 58), (60, 64), (61, 63), (65, 67),
)  # fmt: skip
MEDIAPIPE_PAIRS = ((1, 4), (2, 5), (3, 6), (7, 8), (9, 10), *((i, i + 1) for i in range(11, 33, 2)))


@dataclass(frozen=True)
class ShoulderReference:
    """Frame of reference of the signer in one clip.

    Attributes:
        center: [T, C] point halfway between the shoulders, in the unit of the input.
        width: Median distance of the shoulders in the image plane (x, y), in the unit of the input.
    """

    center: np.ndarray
    width: float


def shoulder_reference(
    left: np.ndarray, right: np.ndarray, present: np.ndarray, extent: float, what: str
) -> ShoulderReference:
    """Return the center of every frame and the shoulder width of the clip (UniGloR: shoulder joint at 0, shoulder
    length 1).

    The width is one number for the clip, so that turning sideways stays visible. A frame without both shoulders takes
    the median center of the clip.

    Args:
        left: [T, C] left shoulder, x and y first.
        right: [T, C] right shoulder.
        present: [T] bool, both shoulders observed.
        extent: Largest distance between keypoints of the clip along one axis, to tell a width of zero from small
            units.
        what: Start of the message.

    Raises:
        SignXPoseError: If no width can be measured.
    """
    if not present.any():
        raise SignXPoseError(
            f"{what}: at least one frame must show both shoulders to set the origin and the unit. Leave the track "
            "out of this clip or use normalize=False."
        )
    distance = np.linalg.norm(left[present, :2] - right[present, :2], axis=1)
    width = float(np.median(distance))
    if not width > SMALLEST_SHOULDER_SHARE * extent:
        raise SignXPoseError(
            f"{what}: the median distance between the shoulders must be above 0 to set the unit, got {width:g}. "
            "Leave the track out of this clip or use normalize=False."
        )
    center = (left + right) / 2
    center[~present] = np.median(center[present], axis=0)
    return ShoulderReference(center, width)


def points_extent(points: np.ndarray, present: np.ndarray) -> float:
    """Return the largest range of x or y over the present points, 0 if there are none.

    Args:
        points: [T, K, C].
        present: [T, K] bool.
    """
    seen = points[present][:, :2]
    return float(np.ptp(seen, axis=0).max()) if len(seen) else 0.0


def dwpose_points(values: np.ndarray, confidence_threshold: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Split DWPose rows [T, 384] into points [T, 128, 3] (x, y, confidence) and presence [T, 128] (confidence above
    the threshold).
    """
    points = values.reshape(len(values), DWPOSE_POINTS, 3)
    return points, points[..., 2] > confidence_threshold


def mediapipe_points(
    values: np.ndarray, confidence_threshold: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Split MediaPipe rows into body and hands.

    Body points are present if their visibility is above the threshold. Hands have no visibility: a hand that was not
    detected is written as zeros, so a hand point at exactly (0, 0, 0) is missing, and so is a hand without wrist.

    Args:
        values: [T, 258].
        confidence_threshold: Visibility above which a body point is present.

    Returns:
        Body [T, 33, 4], its presence [T, 33], hands [T, 2, 21, 3], their presence [T, 2, 21].
    """
    body = values[:, :MEDIAPIPE_BODY_WIDTH].reshape(len(values), MEDIAPIPE_BODY_POINTS, 4)
    hands = values[:, MEDIAPIPE_BODY_WIDTH:].reshape(len(values), 2, HAND_POINTS, 3)
    hands_present = (hands != 0).any(axis=-1)
    hands_present &= hands_present[..., :1]
    return body, body[..., 3] > confidence_threshold, hands, hands_present


def x_columns(track: str) -> np.ndarray:
    """Return the columns of a `dwpose` or `mediapipe` row that hold x, one per point; y follows each."""
    if track == "dwpose":
        return np.arange(0, DWPOSE_WIDTH, 3)
    return np.concatenate([np.arange(0, MEDIAPIPE_BODY_WIDTH, 4), np.arange(MEDIAPIPE_BODY_WIDTH, MEDIAPIPE_WIDTH, 3)])


def mirror_columns(track: str) -> np.ndarray:
    """Return for each column of a `dwpose` or `mediapipe` row the column that a mirror image takes it from."""
    if track == "dwpose":
        left, face = DWPOSE_LEFT_HAND.start, DWPOSE_FACE.start
        hands = [(left + i, DWPOSE_RIGHT_HAND.start + i) for i in range(HAND_POINTS)]
        pairs = [*OPENPOSE_PAIRS, *hands, *((face + a, face + b) for a, b in FACE68_PAIRS)]
    else:
        left = MEDIAPIPE_BODY_POINTS
        pairs = [*MEDIAPIPE_PAIRS, *((left + i, left + HAND_POINTS + i) for i in range(HAND_POINTS))]
    width = DWPOSE_WIDTH if track == "dwpose" else MEDIAPIPE_WIDTH
    starts = [*x_columns(track), width]
    source = np.arange(width)
    for a, b in pairs:
        first, second = np.arange(starts[a], starts[a + 1]), np.arange(starts[b], starts[b + 1])
        source[first], source[second] = second, first
    return source


def mirror_rows(track: str, values: np.ndarray) -> np.ndarray:
    """Return the mirror image of normalized rows [T, d]: x negated, and the signer's left and right swapped."""
    mirrored = values[:, mirror_columns(track)]
    mirrored[:, x_columns(track)] *= -1
    return mirrored


def signs_with_left_hand(track: str, values: np.ndarray, observed: np.ndarray) -> bool:
    """Return whether the left hand leads in a clip of normalized `dwpose` or `mediapipe` rows.

    It does if it is seen in more frames than the right by a fifth of the clip; if neither is, if the path of its wrist
    is longer by a quarter.

    Args:
        track: `dwpose` or `mediapipe`.
        values: [T, d].
        observed: [T] bool.
    """
    if track == "dwpose":
        points, present = dwpose_points(values)
        seen = [present[observed][:, hand].any(axis=1).mean() for hand in (DWPOSE_LEFT_HAND, DWPOSE_RIGHT_HAND)]
        wrists = [arm[1] for _, arm, _ in _ARM_TABLE]
    else:
        points, present, _, hands = mediapipe_points(values)
        seen = [hands[observed][:, side].any(axis=1).mean() for side in (0, 1)]
        wrists = [arm[1] for _, _, arm in _ARM_TABLE]
    if abs(seen[0] - seen[1]) > 0.2:
        return bool(seen[0] > seen[1])
    ways = []
    for wrist in wrists:
        places = points[present[:, wrist], wrist, :2]
        ways.append(np.linalg.norm(np.diff(places, axis=0), axis=1).sum() if len(places) > 1 else 0.0)
    return bool(ways[0] > 1.25 * ways[1])


def _rows(values: np.ndarray, width: int, track: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a float64 copy [T, width] with all-NaN rows set to 0, and which rows were observed [T]."""
    values = np.array(values, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != width:
        raise SignXPoseError(f"keypoints73: '{track}' must have shape [frames, {width}], got {list(values.shape)}.")
    observed = ~np.isnan(values).all(axis=1)
    values[~observed] = 0.0
    if not np.isfinite(values).all():
        frame, column = (int(i) for i in np.argwhere(~np.isfinite(values))[0])
        raise SignXPoseError(
            f"keypoints73: rows must be finite or all NaN, got {values[frame, column]} in '{track}' frame {frame} "
            f"column {column}."
        )
    return values, observed


def keypoints73(
    values: np.ndarray,
    track: str,
    face: np.ndarray | None = None,
    face_mask: np.ndarray | None = None,
    confidence_threshold: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the 73 two-dimensional keypoints of UniGloR (arXiv 2407.02854 v2): 19 face, 23 + 23 hands, 8 upper body.

    The paper gives the counts, not the list. Here an arm is one chain: elbow and wrist of the body model and the 21
    points of the hand model make 23, and the body keeps the 8 other upper-body points (nose, neck, shoulders, eyes,
    ears), so no measurement occurs twice. `*_wrist` and `*_hand_0` are the same joint seen by two models: when the
    hand is lost the first still gives the position of the arm. Names: KEYPOINT73_NAMES; groups: KEYPOINT73_PARTS.

    Args:
        values: Unnormalized rows, [T, 384] of `dwpose` or [T, 258] of `mediapipe`.
        track: `dwpose` or `mediapipe`.
        face: [T, 468 or 478, >= 2] points of MediaPipe's face mesh, only for `mediapipe`, whose row has no face;
            without it the 19 face points are masked.
        face_mask: [T, 468 or 478] bool.
        confidence_threshold: Confidence above which a point is present.

    Returns:
        Points [T, 73, 2] in the input's unit, 0 where masked, and mask [T, 73] bool.

    Raises:
        SignXPoseError: If the track or a shape is invalid.
    """
    if track == "dwpose":
        if face is not None or face_mask is not None:
            raise SignXPoseError("keypoints73: face= must be None for 'dwpose', whose row has its own 68 face points.")
        return _keypoints73_dwpose(values, confidence_threshold)
    if track == "mediapipe":
        return _keypoints73_mediapipe(values, face, face_mask, confidence_threshold)
    raise SignXPoseError(
        f"keypoints73: `track` must be 'dwpose' or 'mediapipe', the tracks of keypoints, got '{track}'."
    )


def _keypoints73_dwpose(values: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    values, _ = _rows(values, DWPOSE_WIDTH, "dwpose")
    points, present = dwpose_points(values, threshold)
    index = [DWPOSE_FACE.start + i for _, i, _ in FACE_TABLE]
    for (_, arm, _), hand in zip(_ARM_TABLE, (DWPOSE_LEFT_HAND, DWPOSE_RIGHT_HAND)):
        index += [*arm, *range(hand.start, hand.stop)]
    index += [i for _, i, _ in _BODY_TABLE]
    mask = present[:, index]
    return np.where(mask[..., None], points[:, index, :2], 0.0), mask


def _keypoints73_mediapipe(
    values: np.ndarray, face: np.ndarray | None, face_mask: np.ndarray | None, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    values, _ = _rows(values, MEDIAPIPE_WIDTH, "mediapipe")
    body, body_present, hands, hands_present = mediapipe_points(values, threshold)
    face_xy, face_present = _face19(face, face_mask, len(values))
    points, mask = [face_xy], [face_present]
    for side, (_, _, arm) in enumerate(_ARM_TABLE):
        points += [body[:, arm, :2], hands[:, side, :, :2]]
        mask += [body_present[:, arm], hands_present[:, side]]
    left, right = MEDIAPIPE_SHOULDERS
    for _, _, i in _BODY_TABLE:
        if i is None:
            points.append((body[:, [left], :2] + body[:, [right], :2]) / 2)
            mask.append(body_present[:, [left]] & body_present[:, [right]])
        else:
            points.append(body[:, [i], :2])
            mask.append(body_present[:, [i]])
    mask73 = np.concatenate(mask, axis=1)
    return np.where(mask73[..., None], np.concatenate(points, axis=1), 0.0), mask73


def _face19(face: np.ndarray | None, face_mask: np.ndarray | None, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Return x, y [T, 19, 2] and presence [T, 19] from MediaPipe's face mesh; all masked without one."""
    if face is None:
        return np.zeros((frames, len(FACE_TABLE), 2)), np.zeros((frames, len(FACE_TABLE)), dtype=bool)
    face = np.asarray(face, dtype=np.float64)
    if face.ndim != 3 or face.shape[0] != frames or face.shape[1] not in (468, FACE_MESH_POINTS) or face.shape[2] < 2:
        raise SignXPoseError(
            f"keypoints73: `face` must have shape [{frames}, 468 or 478, 2 or more] (the full face mesh), got "
            f"{list(face.shape)}."
        )
    present = np.isfinite(face).all(axis=-1) if face_mask is None else np.asarray(face_mask, dtype=bool)
    if present.shape != face.shape[:2]:
        raise SignXPoseError(
            f"keypoints73: `face_mask` must have shape {list(face.shape[:2])}, got {list(present.shape)}."
        )
    index = [i for _, _, i in FACE_TABLE]
    return face[:, index, :2], present[:, index]


def _check_points(points: np.ndarray, mask: np.ndarray, what: str) -> tuple[np.ndarray, np.ndarray]:
    points, mask = np.array(points, dtype=np.float64), np.asarray(mask, dtype=bool)
    if points.ndim != 3 or points.shape[1:] != (73, 2) or mask.shape != points.shape[:2]:
        raise SignXPoseError(
            f"{what}: points and mask must have shapes [frames, 73, 2] and [frames, 73], got {list(points.shape)} "
            f"and {list(mask.shape)}."
        )
    return np.where(mask[..., None], points, 0.0), mask


def normalize_keypoints(points: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Normalize keypoints so that the midpoint of the shoulders is (0, 0) and the shoulder length 1 (UniGloR).

    Args:
        points: [T, 73, 2].
        mask: [T, 73] bool.

    Returns:
        [T, 73, 2] in shoulder widths (the median of the clip), 0 where masked.

    Raises:
        SignXPoseError: If no frame shows both shoulders, or they coincide.
    """
    points, mask = _check_points(points, mask, "normalize_keypoints")
    left, right = _SHOULDERS73
    reference = shoulder_reference(
        points[:, left],
        points[:, right],
        mask[:, left] & mask[:, right],
        points_extent(points, mask),
        "normalize_keypoints",
    )
    return np.where(mask[..., None], (points - reference.center[:, None]) / reference.width, 0.0)


def drop_noisy_frames(
    points: np.ndarray, mask: np.ndarray, threshold: float = 400.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Drop frames whose mean joint displacement from the previous frame exceeds `threshold` (UniGloR: 400 pixels).

    The mean is over joints observed in both frames; a frame that shares none with the previous one is kept. The
    previous frame is that of the source, kept or not, as in the paper: a single outlier removes its successor, too,
    but a camera cut costs one frame and not the rest of the clip.

    Args:
        points: [T, 73, 2], unnormalized.
        mask: [T, 73] bool.
        threshold: Distance in the unit of the points.

    Returns:
        Points, mask, and the indices of the frames that were kept.
    """
    points, mask = _check_points(points, mask, "drop_noisy_frames")
    if not threshold > 0:
        raise SignXPoseError(
            f"drop_noisy_frames: `threshold` must be a distance above 0, in the unit of the points, got {threshold}."
        )
    both = mask[1:] & mask[:-1]
    displacement = np.where(both, np.linalg.norm(np.diff(points, axis=0), axis=-1), 0.0).sum(axis=1)
    shared = both.sum(axis=1)
    noisy = np.zeros(len(points), dtype=bool)
    noisy[1:] = displacement > threshold * shared  # mean > threshold, without dividing by zero shared joints
    indices = np.flatnonzero(~noisy)
    return points[indices], mask[indices], indices


# What a row means in the words of SignSynth -> in those of the extractors. Both are in stored clips and models.
_SAME_NOTES = {
    "MediaPipe Holistic 33 x (x, y, z, visibility), 2 x 21 x (x, y, z)": MEDIAPIPE_LAYOUT,
    "x, y pixels from the top left edge; z pixels, smaller is nearer, from the hips (pose) or the wrist (hands); a hand "
    "of zeros is missing": MEDIAPIPE_UNITS,
    "33 pose landmarks, 21 left hand, 21 right hand": MEDIAPIPE_ORDER,
    "DWPose 128 x (x, y, confidence)": DWPOSE_LAYOUT,
    "pixels from the top left edge; confidence 0 to 1, 0 missing": DWPOSE_UNITS,
    "OpenPose-18 body, 21 left hand, 21 right hand, 68 face points": DWPOSE_ORDER,
    "SMPL-X axis-angle 165, flat hand": "SMPL-X 55 joints, hands from the flat hand",
    "radians": "axis-angle in radians",
    "pelvis, 21 body joints, jaw, left eye, right eye, 15 left and 15 right hand joints (index, middle, pinky, ring, "
    "thumb)": "global 1, body 21, jaw, left eye, right eye, left hand 15, right hand 15",
    "24 x 24 relative nearness": "24x24 relative nearness",
    "1 nearest to 0 farthest in the frame": (
        "0 the farthest to 1 the nearest cell of the frame; area mean of inverse depth"
    ),
    "24 x 24 part labels": "24x24 part labels, 28 classes",
    "row major": "row major from the top left, the whole frame stretched to the grid",
}
# SignSynth also names its 28 parts, which are those of Sapiens.
_PART_UNITS = "0 to 27: Background, Apparel, Face_Neck, "
_SAPIENS_UNITS = "label ids 0 to 27, 0 the background; majority of the pixels in a cell"


def note_meaning(note: str) -> str:
    """Return a note about the rows of a track in the words of the extractors, whoever wrote it."""
    return _SAPIENS_UNITS if note.startswith(_PART_UNITS) else _SAME_NOTES.get(note, note)


def same_note(one: str, other: str) -> bool:
    """Return whether two notes about the rows of a track say the same."""
    return note_meaning(one) == note_meaning(other)
