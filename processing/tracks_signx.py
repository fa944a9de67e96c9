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
    """DWPose rows [T, 384], observed [T] -> rows whose missing points are (0, 0, 0), and rows with a body [T].

    A point is missing where its confidence is not above `threshold`; a row is observed where a body point is.
    """
    points, present = dwpose_points(values, threshold)
    present = present & observed[:, None]
    observed = present[:, DWPOSE_BODY].any(axis=1)
    present &= observed[:, None]
    return np.where(present[..., None], points, 0.0).reshape(values.shape), observed


def clean_mediapipe(values: np.ndarray, observed: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """MediaPipe rows [T, 258], observed [T] -> rows whose missing points are 0, and rows with a body [T].

    A body point is missing where its visibility is not above `threshold`, a hand where its wrist is (0, 0, 0); a row
    is observed where any of the 33 body points is.
    """
    body, body_present, hands, hands_present = mediapipe_points(values, threshold)
    observed = observed & body_present.any(axis=1)
    body_present &= observed[:, None]
    hands_present &= observed[:, None, None]
    body = np.where(body_present[..., None], body, 0.0).reshape(len(values), -1)
    hands = np.where(hands_present[..., None], hands, 0.0).reshape(len(values), -1)
    return np.concatenate([body, hands], axis=1), observed


def normalize_dwpose(values: np.ndarray, source: str = "clip") -> np.ndarray:
    """Clean DWPose rows [T, 384] -> x, y in shoulder widths from the point between the shoulders; confidence kept.

    Missing points stay (0, 0, 0): the confidence of 0 beside them says that the position is none.
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
    out[..., :2] = np.where(present[..., None], (points[..., :2] - reference.centre[:, None]) / reference.width, 0.0)
    return out.reshape(values.shape)


def normalize_mediapipe(values: np.ndarray, source: str = "clip") -> np.ndarray:
    """Clean MediaPipe rows [T, 258] -> x, y, z in shoulder widths; visibility kept.

    The origin is half-way between the shoulders, except for the z of a hand: MediaPipe measures it from that hand's
    own wrist, so it is kept relative to the wrist. The unit is the distance in the image plane, z being the noisier
    axis. A missing hand stays 0 in all 63 values. It is not carried on the body's wrist, for that would be a made-up
    measurement; 21 points in one place at the origin are no possible hand, so 0 cannot pass for one, and it adds
    nothing to a linear layer, like every other absence here.
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
        body_present[..., None], (body[..., :3] - reference.centre[:, None]) / reference.width, 0.0
    )
    origin = np.broadcast_to(reference.centre[:, None, None], hands[..., :1, :].shape).copy()
    origin[..., 2] = hands[..., :1, 2]
    out_hands = np.where(hands_present[..., None], (hands - origin) / reference.width, 0.0)
    return np.concatenate([out_body.reshape(len(values), -1), out_hands.reshape(len(values), -1)], axis=1)


def normalize_depth(values: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Depth rows [T, d], observed [T] -> (depth - median) / (95th - 5th percentile) of the observed frames of the
    clip.

    Relative depth is known up to an affine map for each clip, and this is invariant to one with positive scale.
    Nothing is clipped; a constant map becomes 0. Unobserved frames stay 0. Unit: the clip's own depth range.
    """
    low, middle, high = np.percentile(values[observed], (5, 50, 95))
    spread = high - low
    scaled = (values - middle) / (spread if spread > 0 else 1.0)
    return np.where(observed[:, None] & (spread > 0), scaled, 0.0)


def normalize_segments(values: np.ndarray, classes: int, source: str = "clip") -> np.ndarray:
    """Body-part labels [T, d] in 0 .. classes - 1 (0 the background) -> [0, 1], by division by classes - 1.

    Labels between two classes are legal: they come from resampling. Raises SignXPoseError for labels out of range.
    """
    if values.min() < 0 or values.max() > classes - 1:
        raise SignXPoseError(
            f"{source}: track 'sapiens' has labels from {values.min():g} to {values.max():g}; wanted 0 to {classes - 1}; "
            "set sapiens_classes to the number of classes of the segmenter"
        )
    return values / (classes - 1)
