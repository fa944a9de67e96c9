"""Clean and normalize pose tracks, each by itself."""

import numpy as np

from .errors_signx import SignXPoseError
from .keypoints_signx import (
    DWPOSE_BODY,
    DWPOSE_SHOULDERS,
    MEDIAPIPE_SHOULDERS,
    dwpose_points,
    mediapipe_points,
    points_extent,
    shoulder_reference,
)


def clean_dwpose(values: np.ndarray, observed: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Set missing points of DWPose rows to (0, 0, 0).

    Args:
        values: [T, 384].
        observed: [T] bool.
        threshold: A point is missing if its confidence is not above it.

    Returns:
        Rows [T, 384], and which rows have a body point [T].
    """
    points, present = dwpose_points(values, threshold)
    present = present & observed[:, None]
    observed = present[:, DWPOSE_BODY].any(axis=1)
    present &= observed[:, None]
    return np.where(present[..., None], points, 0.0).reshape(values.shape), observed


def clean_mediapipe(values: np.ndarray, observed: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Set missing points of MediaPipe rows to 0.

    Args:
        values: [T, 258].
        observed: [T] bool.
        threshold: A body point is missing if its visibility is not above it; a hand is if its wrist is (0, 0, 0).

    Returns:
        Rows [T, 258], and which rows have any of the 33 body points [T].
    """
    body, body_present, hands, hands_present = mediapipe_points(values, threshold)
    observed = observed & body_present.any(axis=1)
    body_present &= observed[:, None]
    hands_present &= observed[:, None, None]
    body = np.where(body_present[..., None], body, 0.0).reshape(len(values), -1)
    hands = np.where(hands_present[..., None], hands, 0.0).reshape(len(values), -1)
    return np.concatenate([body, hands], axis=1), observed


def normalize_dwpose(values: np.ndarray, source: str = "clip") -> np.ndarray:
    """Normalize clean DWPose rows [T, 384] to shoulder widths from the point between the shoulders.

    Confidence is kept. Missing points stay (0, 0, 0); their confidence of 0 shows that it is not a position.

    Args:
        values: [T, 384].
        source: Name of the clip, for messages.
    """
    points, present = dwpose_points(values)
    left, right = DWPOSE_SHOULDERS
    reference = shoulder_reference(
        points[:, left, :2],
        points[:, right, :2],
        present[:, left] & present[:, right],
        points_extent(points, present),
        f"{source}: track 'dwpose'",
    )
    out = points.copy()
    out[..., :2] = np.where(present[..., None], (points[..., :2] - reference.center[:, None]) / reference.width, 0.0)
    return out.reshape(values.shape)


def normalize_mediapipe(values: np.ndarray, source: str = "clip") -> np.ndarray:
    """Normalize clean MediaPipe rows [T, 258] to shoulder widths from the point between the shoulders.

    Visibility is kept. The z of a hand stays relative to its own wrist, since that is how MediaPipe measures it. The
    unit is the distance of the shoulders in the image plane, z being the noisier axis. A missing hand stays 0 in all
    63 values. It is not placed at the body's wrist, which would be an invented measurement. 21 points in one place are
    not a possible hand, so 0 is unambiguous, and it adds nothing to a linear layer, like every other missing value.

    Args:
        values: [T, 258].
        source: Name of the clip, for messages.
    """
    body, body_present, hands, hands_present = mediapipe_points(values)
    left, right = MEDIAPIPE_SHOULDERS
    reference = shoulder_reference(
        body[:, left, :3],
        body[:, right, :3],
        body_present[:, left] & body_present[:, right],
        points_extent(body, body_present),
        f"{source}: track 'mediapipe'",
    )
    out_body = body.copy()
    out_body[..., :3] = np.where(
        body_present[..., None], (body[..., :3] - reference.center[:, None]) / reference.width, 0.0
    )
    origin = np.broadcast_to(reference.center[:, None, None], hands[..., :1, :].shape).copy()
    origin[..., 2] = hands[..., :1, 2]
    out_hands = np.where(hands_present[..., None], (hands - origin) / reference.width, 0.0)
    return np.concatenate([out_body.reshape(len(values), -1), out_hands.reshape(len(values), -1)], axis=1)


def normalize_depth(values: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Normalize depth rows to (depth - median) / (95th - 5th percentile) of the observed frames of the clip.

    Relative depth is known up to an affine map per clip; the result is invariant to one with positive scale. Nothing
    is clipped; a constant map becomes 0. Unobserved frames stay 0.

    Args:
        values: [T, d].
        observed: [T] bool.

    Returns:
        [T, d] in units of the clip's own depth range.
    """
    low, middle, high = np.percentile(values[observed], (5, 50, 95))
    depth_range = high - low
    scaled = (values - middle) / (depth_range if depth_range > 0 else 1.0)
    return np.where(observed[:, None] & (depth_range > 0), scaled, 0.0)


def normalize_segments(values: np.ndarray, classes: int, source: str = "clip") -> np.ndarray:
    """Normalize body-part labels [T, d] from 0 .. classes - 1 (0 is the background) to [0, 1].

    Labels between two classes are valid: they come from resampling.

    Args:
        values: [T, d].
        classes: Number of classes, background included.
        source: Name of the clip, for messages.

    Raises:
        SignXPoseError: If a label is out of range.
    """
    if values.min() < 0 or values.max() > classes - 1:
        raise SignXPoseError(
            f"{source}: labels of track 'sapiens' must be from 0 to {classes - 1}, got {values.min():g} to "
            f"{values.max():g}. Set sapiens_classes to the number of classes of the segmenter."
        )
    return values / (classes - 1)
