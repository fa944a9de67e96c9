"""The keypoints of detectors on SignSynth's figure: where they are in space and whether they are visible."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .appearance import Camera
from .mesh import FACE_ON_JAW, Mesh
from .skeleton import INDEX, JOINTS

HAND_JOINTS = ("Thumb", "Index", "Middle", "Ring", "Pinky")
TIPS = JOINTS  # 10 finger tips, left hand first
FACE = TIPS + 10  # 68 face points
EARS = FACE + 68  # left, right
TOES = EARS + 2  # left heel, right heel, left toe, right toe
ANCHORS = TOES + 4
# meters from a point inside the body to the skin in front of it, by what it belongs to, with some room
THICKNESS = {"body": 0.16, "head": 0.14, "arm": 0.08, "hand": 0.045, "finger": 0.022, "skin": 0.02}


def _hand(side: str) -> list[int]:
    """Return the anchors of the 21 points of a hand: wrist, then thumb to pinky, each from the palm to the tip."""
    points = [INDEX[f"{side}_Wrist"]]
    for number, finger in enumerate(HAND_JOINTS):
        points += [INDEX[f"{side}_{finger}{i}"] for i in (1, 2, 3)]
        points.append(TIPS + number + (0 if side == "L" else 5))
    return points


def _pair(*names: str) -> list[tuple[int, int]]:
    return [(INDEX[name], INDEX[name]) for name in names]


_LEFT_EYE, _RIGHT_EYE = (FACE + 43, FACE + 47), (FACE + 37, FACE + 41)  # half-way between the lids
_NOSE = (FACE + 30, FACE + 30)
# each point is half-way between two anchors, for most of them twice the same
DWPOSE = np.array(
    [
        _NOSE,
        (INDEX["L_Shoulder"], INDEX["R_Shoulder"]),
        *_pair("R_Shoulder", "R_Elbow", "R_Wrist", "L_Shoulder", "L_Elbow", "L_Wrist"),
        *_pair("R_Hip", "R_Knee", "R_Ankle", "L_Hip", "L_Knee", "L_Ankle"),
        _RIGHT_EYE,
        _LEFT_EYE,
        (EARS + 1, EARS + 1),
        (EARS, EARS),
        *((point, point) for side in "LR" for point in _hand(side)),
        *((FACE + point, FACE + point) for point in range(68)),
    ]
)
_MEDIAPIPE_HEAD = [
    _NOSE,
    (FACE + 42, FACE + 42),
    _LEFT_EYE,
    (FACE + 45, FACE + 45),
    (FACE + 39, FACE + 39),
    _RIGHT_EYE,
    (FACE + 36, FACE + 36),
    (EARS, EARS),
    (EARS + 1, EARS + 1),
    (FACE + 54, FACE + 54),
    (FACE + 48, FACE + 48),
]
_MEDIAPIPE_FINGERS = [
    (INDEX[f"{side}_{finger}1"], INDEX[f"{side}_{finger}{2 if finger == 'Thumb' else 1}"])
    for finger in ("Pinky", "Index", "Thumb")
    for side in "LR"
]
MEDIAPIPE = np.array(
    [
        *_MEDIAPIPE_HEAD,
        *_pair("L_Shoulder", "R_Shoulder", "L_Elbow", "R_Elbow", "L_Wrist", "R_Wrist"),
        *_MEDIAPIPE_FINGERS,
        *_pair("L_Hip", "R_Hip", "L_Knee", "R_Knee", "L_Ankle", "R_Ankle"),
        *((TOES + i, TOES + i) for i in range(4)),
        *((point, point) for side in "LR" for point in _hand(side)),
    ]
)


def _anchor_owners() -> np.ndarray:
    owners = list(range(JOINTS))
    owners += [INDEX[f"{side}_{finger}3"] for side in "LR" for finger in HAND_JOINTS]
    owners += [INDEX["Jaw"] if point in FACE_ON_JAW else INDEX["Head"] for point in range(68)]
    owners += [INDEX["Head"]] * 2 + [INDEX["L_Ankle"], INDEX["R_Ankle"], INDEX["L_Foot"], INDEX["R_Foot"]]
    return np.array(owners)


OWNERS = _anchor_owners()


@lru_cache(maxsize=1)
def _thickness() -> np.ndarray:
    """Return the thickness of the body at every anchor [ANCHORS], in meters."""
    depth = np.full(ANCHORS, THICKNESS["body"])
    for index, owner in enumerate(OWNERS):
        name = next(key for key, value in INDEX.items() if value == owner)
        if index >= FACE and index < TOES:
            depth[index] = THICKNESS["skin"] if index < EARS else THICKNESS["head"]
        elif any(finger in name for finger in HAND_JOINTS):
            depth[index] = THICKNESS["finger"]
        elif "Wrist" in name:
            depth[index] = THICKNESS["hand"]
        elif "Elbow" in name:
            depth[index] = THICKNESS["arm"]
        elif name in ("Head", "Jaw", "L_Eye", "R_Eye", "Neck"):
            depth[index] = THICKNESS["head"]
    return depth


def anchors(mesh: Mesh, transforms: np.ndarray) -> np.ndarray:
    """Return the positions of all anchors [T, ANCHORS, 3] in meters.

    Anchors are the 55 joints of SMPL-X, ten finger tips, 68 face points, two ears, two heels, two toes.

    Args:
        mesh: The mesh of the signer.
        transforms: [T, 55, 3, 4] of `Mesh.transforms`.
    """
    ear = np.array((mesh.half_width, mesh.chin + 0.48 * (mesh.crown - mesh.chin), 0.0))
    middle = mesh.joints[INDEX["Jaw"]] * (1, 0, 1)
    ankles = mesh.joints[[INDEX["L_Ankle"], INDEX["R_Ankle"]]]
    feet = mesh.joints[[INDEX["L_Foot"], INDEX["R_Foot"]]]
    rest = np.concatenate(
        [
            mesh.joints,
            mesh.tips,
            mesh.face_points,
            [middle + ear, middle + ear * (-1, 1, 1)],
            ankles + (0, -0.06, -0.05),
            feet + (0, 0, 0.06),
        ]
    )
    owned = transforms[:, OWNERS]
    return np.einsum("tkab,kb->tka", owned[..., :3], rest) + owned[..., 3]


@dataclass(frozen=True)
class Seen:
    """Anchors of one clip in the image.

    Attributes:
        pixels: [T, ANCHORS, 3] x, y in pixels and meters along the view.
        hidden: [T, ANCHORS] bool, something else is in front.
        outside: [T, ANCHORS] bool, beyond the edge of the image.
    """

    pixels: np.ndarray
    hidden: np.ndarray
    outside: np.ndarray


def seen(points: np.ndarray, camera: Camera, size: int, depths: list[np.ndarray]) -> Seen:
    """Project anchors [T, ANCHORS, 3] and test them against the rendered depths, T maps in meters of any size."""
    pixels = camera.project(points, size)
    outside = ((pixels[..., :2] < 0) | (pixels[..., :2] >= size)).any(axis=-1)
    hidden = np.zeros(outside.shape, dtype=bool)
    for frame, depth in enumerate(depths):
        scale = len(depth) / size
        place = np.clip((pixels[frame, :, :2] * scale).astype(int), 0, len(depth) - 1)
        hidden[frame] = depth[place[:, 1], place[:, 0]] < pixels[frame, :, 2] - _thickness()
    return Seen(pixels, hidden & ~outside, outside)


def halves(table: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Reduce [T, ANCHORS, ...] to [T, K, ...] of a layout: each point's two anchors by mean, or by "or" for bools."""
    first, second = values[:, table[:, 0]], values[:, table[:, 1]]
    return first | second if values.dtype == bool else (first + second) / 2
