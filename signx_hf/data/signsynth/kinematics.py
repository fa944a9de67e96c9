"""Kinematics of hands and arms: SMPL-X rotations that put a hand in a position, in closed form for all frames at once.

Everything is computed for a right arm in the space of `skeleton.py`; `MIRROR` converts to the left one and back. The
rotations themselves are scipy's.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from ...common.extras import require
from . import skeleton

if TYPE_CHECKING:
    from scipy.spatial.transform import Rotation

MIRROR = np.array([-1.0, 1.0, 1.0])
FINGERS_AT_REST = np.array([-1.0, 0.0, 0.0])  # of a right hand in the T-pose; its palm faces the ground
PALM_AT_REST = np.array([0.0, -1.0, 0.0])
# From the outermost joint of a finger to its tip, as a share of the bone before it, measured on the skin
TIP = {"Index": 1.05, "Middle": 1.05, "Pinky": 1.2, "Ring": 1.05, "Thumb": 1.15}
ELBOW_TWIST = 0.7  # of the turn of the hand about the forearm, the elbow's share; the wrist has the rest
ELBOW_TWIST_END = np.radians(110.0)
WRIST_FREE, WRIST_END = np.radians(75.0), np.radians(100.0)
REACH = 0.995  # of the arm's length: a little short of straight, where the elbow's side would be undefined


def _rotation() -> "type[Rotation]":
    """Return scipy's `Rotation`, imported late: planning a corpus does without the extra."""
    require("scipy")
    from scipy.spatial.transform import Rotation

    return Rotation


def _flat(values: np.ndarray, axes: int) -> np.ndarray:
    """Merge all but the last axes, as scipy takes them; a copy, since it refuses read-only arrays."""
    values = np.array(values, dtype=np.float64)
    return values.reshape(-1, *values.shape[-axes:])


def to_matrix(vectors: np.ndarray) -> np.ndarray:
    """Convert axis-angle vectors [..., 3] in radians to rotation matrices [..., 3, 3]."""
    return _rotation().from_rotvec(_flat(vectors, 1)).as_matrix().reshape(*np.shape(vectors), 3)


def to_quaternion(matrices: np.ndarray) -> np.ndarray:
    """Convert rotation matrices [..., 3, 3] to unit quaternions [..., 4], real part first and not negative."""
    quaternions = _rotation().from_matrix(_flat(matrices, 2)).as_quat(canonical=True)[:, [3, 0, 1, 2]]
    return quaternions.reshape(*np.shape(matrices)[:-2], 4)


def to_vector(matrices: np.ndarray) -> np.ndarray:
    """Convert rotation matrices [..., 3, 3] to axis-angle vectors [..., 3], at most pi long."""
    return _rotation().from_matrix(_flat(matrices, 2)).as_rotvec().reshape(np.shape(matrices)[:-1])


def slerp(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Interpolate between rotations along the shorter way.

    Args:
        first: [..., 4] quaternions, real part first.
        second: [..., 4] quaternions.
        share: [...] of the way, 0 to 1.

    Returns:
        [..., 3, 3] rotation matrices.
    """
    start, end = (_rotation().from_quat(_flat(ends, 1)[:, [1, 2, 3, 0]]) for ends in (first, second))
    way = (start.inv() * end).as_rotvec()  # scipy's Slerp takes one pair of rotations, not one for each frame
    turn = start * _rotation().from_rotvec(way * np.reshape(share, (-1, 1)))
    return turn.as_matrix().reshape(*np.shape(first)[:-1], 3, 3)


def minimum_jerk(share: np.ndarray) -> np.ndarray:
    """Return the progress [...] of a reaching movement, 0 before and 1 after its time (Flash & Hogan 1985)."""
    share = np.clip(share, 0.0, 1.0)
    return share**3 * (10 - 15 * share + 6 * share**2)


def ease(share: np.ndarray, ramp: float = 0.2) -> np.ndarray:
    """Return the progress of an even movement that takes `ramp` of its time each to start and to stop."""
    share = np.clip(share, 0.0, 1.0)
    speed = 1 / (1 - ramp)
    middle = speed * (share - 0.5) + 0.5
    rising, falling = 0.5 * speed * share**2 / ramp, 1 - 0.5 * speed * (1 - share) ** 2 / ramp
    return np.where(share < ramp, rising, np.where(share > 1 - ramp, falling, middle))


def unit(vectors: np.ndarray) -> np.ndarray:
    """Scale vectors [..., 3] to length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def frame(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return right-handed frames [..., 3, 3] of first, second made perpendicular to it, and their cross product."""
    first = unit(first)
    second = unit(second - np.sum(first * second, axis=-1, keepdims=True) * first)
    return np.stack([first, second, np.cross(first, second)], -1)


def hand_rotation(fingers: np.ndarray, palm: np.ndarray) -> np.ndarray:
    """Return the global rotation of a right wrist with these directions [..., 3] of fingers and palm."""
    return frame(fingers, palm) @ frame(FINGERS_AT_REST, PALM_AT_REST).T


def mirror_rotation(matrices: np.ndarray) -> np.ndarray:
    """Mirror a rotation in the plane x = 0."""
    return matrices * np.outer(MIRROR, MIRROR)


@dataclass(frozen=True)
class Arm:
    """One arm of a body as a right arm (a left one comes mirrored): rest positions in meters.

    Attributes:
        collar: Offset of the collar from spine 3.
        shoulder: Offset of the shoulder from the collar.
        upper: Segment from shoulder to elbow.
        fore: Segment from elbow to wrist.
        fingers: [15, 3] offsets of the finger joints from their parents, in SMPL-X order.
    """

    collar: np.ndarray
    shoulder: np.ndarray
    upper: np.ndarray
    fore: np.ndarray
    fingers: np.ndarray

    @property
    def length(self) -> float:
        """Length from shoulder to wrist in meters."""
        return float(np.linalg.norm(self.upper) + np.linalg.norm(self.fore))


@lru_cache(maxsize=256)
def rest_joints(shape: tuple[float, ...]) -> np.ndarray:
    """Return the joints [55, 3] of a body in the T-pose."""
    joints = skeleton.joint_transforms(np.zeros(skeleton.WIDTH, np.float32), shape)[:, :3, 3].astype(np.float64)
    joints.setflags(write=False)
    return joints


@lru_cache(maxsize=256)
def arm(shape: tuple[float, ...], side: str) -> Arm:
    """Return an arm of a body; `side` is "L" or "R"."""
    joints, at = rest_joints(shape), skeleton.INDEX
    flip = MIRROR if side == "L" else np.ones(3)
    chain = [
        joints[at["Spine3"]],
        *(joints[at[f"{side}_{name}"]] for name in ("Collar", "Shoulder", "Elbow", "Wrist")),
    ]
    steps = np.diff(np.stack(chain), axis=0) * flip
    hand = joints[skeleton.LEFT_HAND if side == "L" else skeleton.RIGHT_HAND].reshape(5, 3, 3)
    roots = np.broadcast_to(joints[at[f"{side}_Wrist"]], (5, 1, 3))
    return Arm(*steps, (np.diff(hand, axis=1, prepend=roots) * flip).reshape(15, 3))


def hand_points(pose: np.ndarray, fingers: np.ndarray) -> np.ndarray:
    """Return the positions of the joints and tips of a hand relative to its wrist.

    Args:
        pose: [..., 15, 3] axis-angle of a right hand.
        fingers: [15, 3] of `Arm`.

    Returns:
        [..., 21, 3] in meters: wrist, then three joints and the tip of index, middle, pinky, ring, thumb.
    """
    matrices = to_matrix(pose).reshape(*np.shape(pose)[:-2], 5, 3, 3, 3)
    offsets = fingers.reshape(5, 3, 3)
    tips = offsets[:, 2] * np.array(list(TIP.values()))[:, None]
    position = np.broadcast_to(offsets[:, 0], (*matrices.shape[:-4], 5, 3))
    turn, points = matrices[..., 0, :, :], [position]
    for joint in (1, 2):
        position = position + np.einsum("...fij,fj->...fi", turn, offsets[:, joint])
        points.append(position)
        turn = turn @ matrices[..., joint, :, :]
    points.append(position + np.einsum("...fij,fj->...fi", turn, tips))
    fingers_out = np.stack(points, -2).reshape(*matrices.shape[:-4], 20, 3)
    return np.concatenate([np.zeros_like(fingers_out[..., :1, :]), fingers_out], -2)


def _soften(angle: np.ndarray, free: float, end: float) -> np.ndarray:
    """Return angles up to `free` unchanged, and compress larger ones to stay below `end`."""
    beyond = np.maximum(angle - free, 0.0)
    return np.minimum(angle, free) + (end - free) * np.tanh(beyond / (end - free))


def _twist(matrices: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Return the angle [...] in (-pi, pi] by which rotations turn about an axis [3]."""
    quaternions = to_quaternion(matrices)
    angle = 2 * np.arctan2(quaternions[..., 1:] @ axis, quaternions[..., 0])
    return (angle + np.pi) % (2 * np.pi) - np.pi


def _elbow_twist(angle: np.ndarray) -> np.ndarray:
    """Return the elbow's share of a turn; it falls back to zero at half a turn, where the sign of the turn flips."""
    angle = np.asarray(angle)
    rising = ELBOW_TWIST * np.abs(angle)
    falling = ELBOW_TWIST * ELBOW_TWIST_END * (np.pi - np.abs(angle)) / (np.pi - ELBOW_TWIST_END)
    return np.sign(angle) * np.minimum(rising, falling)


def _elbow(
    limb: Arm, shoulder: np.ndarray, wrist: np.ndarray, pole: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Solve the two bones of an arm.

    Returns:
        Global rotations [..., 3, 3] of upper arm and (untwisted) forearm, and the position that the wrist reaches.
    """
    a, b = np.linalg.norm(limb.upper), np.linalg.norm(limb.fore)
    line = wrist - shoulder
    way = unit(line)
    distance = np.clip(np.linalg.norm(line, axis=-1, keepdims=True), abs(a - b) + 0.25 * min(a, b), REACH * (a + b))
    along = (distance**2 + a * a - b * b) / (2 * distance)
    height = np.sqrt(np.maximum(a * a - along**2, 0.0))
    side = unit(pole - np.sum(pole * way, axis=-1, keepdims=True) * way)
    upper = along * way + height * side
    fore = distance * way - upper
    hinge = np.cross(side, way)  # the axis of elbow flexion, defined even where the arm is all but straight
    upright = np.array([0.0, 1.0, 0.0])  # that axis in the T-pose
    upper_turn = frame(upper, hinge) @ frame(limb.upper, upright).T
    return upper_turn, frame(fore, hinge) @ frame(limb.fore, upright).T, shoulder + distance * way


def split_turn(limb: Arm, turns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split a hand's turn relative to the forearm into a twist [...] in radians and a bend [..., 3, 3]."""
    axis = unit(limb.fore)
    twist = _twist(turns, axis)
    return twist, to_matrix(-twist[..., None] * axis) @ turns


def join_turn(limb: Arm, twist: np.ndarray, bend: np.ndarray) -> np.ndarray:
    """Invert `split_turn`."""
    return to_matrix(np.asarray(twist)[..., None] * unit(limb.fore)) @ bend


def forearm(limb: Arm, shoulder: np.ndarray, wrist: np.ndarray, pole: np.ndarray) -> np.ndarray:
    """Return the global rotation [..., 3, 3] of the untwisted forearm of an arm from shoulder to wrist."""
    return _elbow(limb, shoulder, wrist, pole)[1]


def solve_arm(
    limb: Arm, parent: np.ndarray, shoulder: np.ndarray, wrist: np.ndarray, hand: np.ndarray, pole: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Compute rotations of shoulder, elbow and wrist of a right arm that bring the hand to a position and orientation.

    The position is exact if the arm can reach it, otherwise the nearest reachable point; the orientation is exact as
    long as the wrist bends less than `WRIST_FREE`, and softly limited at `WRIST_END`.

    Args:
        limb: The arm.
        parent: [..., 3, 3] global rotation of the collar.
        shoulder: [..., 3] position of the shoulder.
        wrist: [..., 3] desired position of the wrist.
        hand: [..., 3, 3] desired global rotation of the hand.
        pole: [..., 3] the side to which the elbow points.

    Returns:
        [..., 3, 3, 3] local rotations of shoulder, elbow, wrist; [..., 3] the position that the wrist reaches.
    """
    upper_turn, fore_turn, place = _elbow(limb, shoulder, wrist, pole)
    axis = unit(limb.fore)
    inner = np.swapaxes(fore_turn, -1, -2)
    fore_turn = fore_turn @ to_matrix(_elbow_twist(_twist(inner @ hand, axis))[..., None] * axis)
    bend = to_vector(np.swapaxes(fore_turn, -1, -2) @ hand)
    angle = np.linalg.norm(bend, axis=-1, keepdims=True)
    bend = unit(bend) * _soften(angle, WRIST_FREE, WRIST_END)
    local = [np.swapaxes(parent, -1, -2) @ upper_turn, np.swapaxes(upper_turn, -1, -2) @ fore_turn, to_matrix(bend)]
    return np.stack(local, -3), place
