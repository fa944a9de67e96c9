"""Rotations, hands and arms: from where a hand shall be to SMPL-X rotations, in closed form and for all frames at once.

Everything is worked out for a right arm in the space of `skeleton.py`; `MIRROR` takes it to the left one and back.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from . import skeleton

MIRROR = np.array([-1.0, 1.0, 1.0])
FINGERS_AT_REST = np.array([-1.0, 0.0, 0.0])  # of a right hand in the T-pose; its palm faces the ground
PALM_AT_REST = np.array([0.0, -1.0, 0.0])
# From the outermost joint of a finger to its tip, as a share of the bone before it, measured on the skin
TIP = {"Index": 1.05, "Middle": 1.05, "Pinky": 1.2, "Ring": 1.05, "Thumb": 1.15}
ELBOW_TWIST = 0.7  # of the turn of the hand about the forearm, the elbow's share; the wrist has the rest
ELBOW_TWIST_END = np.radians(110.0)
WRIST_FREE, WRIST_END = np.radians(75.0), np.radians(100.0)
REACH = 0.995  # of the arm's length: a little short of straight, where the elbow's side would be undefined


def to_matrix(vectors: np.ndarray) -> np.ndarray:
    """Axis-angle [..., 3] in radians -> rotation matrices [..., 3, 3] (Rodrigues)."""
    vectors = np.asarray(vectors, dtype=np.float64)
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(vectors, -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*x.shape, 3, 3)
    sine = np.sinc(angle / np.pi)
    versine = 0.5 * np.sinc(angle / (2 * np.pi)) ** 2
    return np.eye(3) + sine * cross + versine * (cross @ cross)


def to_quaternion(matrices: np.ndarray) -> np.ndarray:
    """Rotation matrices [..., 3, 3] -> unit quaternions [..., 4], real part first and not negative."""
    m = np.asarray(matrices, dtype=np.float64)
    a, b, c = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    # The four squares can all be had; the largest is a safe divisor (Shepperd 1978).
    squares = np.stack([1 + a + b + c, 1 + a - b - c, 1 - a + b - c, 1 - a - b + c], -1)
    yz, zx, xy = m[..., 2, 1], m[..., 0, 2], m[..., 1, 0]
    zy, xz, yx = m[..., 1, 2], m[..., 2, 0], m[..., 0, 1]
    candidates = np.stack(
        [
            np.stack([squares[..., 0], yz - zy, zx - xz, xy - yx], -1),
            np.stack([yz - zy, squares[..., 1], xy + yx, zx + xz], -1),
            np.stack([zx - xz, xy + yx, squares[..., 2], yz + zy], -1),
            np.stack([xy - yx, zx + xz, yz + zy, squares[..., 3]], -1),
        ],
        -2,
    )
    best = np.argmax(squares, axis=-1)
    result = np.take_along_axis(candidates, best[..., None, None], axis=-2)[..., 0, :]
    result = result / np.linalg.norm(result, axis=-1, keepdims=True)
    return np.where(result[..., :1] < 0, -result, result)


def to_vector(matrices: np.ndarray) -> np.ndarray:
    """Rotation matrices [..., 3, 3] -> axis-angle [..., 3], at most pi long."""
    quaternions = to_quaternion(matrices)
    length = np.linalg.norm(quaternions[..., 1:], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(length, quaternions[..., :1])
    return quaternions[..., 1:] * np.where(length > 1e-9, angle / np.maximum(length, 1e-9), 2.0)


def slerp(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    """The shorter way from rotation to rotation: quaternions [..., 4] twice, share [...] in [0, 1] -> matrices."""
    dot = np.sum(first * second, axis=-1, keepdims=True)
    second, dot = np.where(dot < 0, -second, second), np.minimum(np.abs(dot), 1.0)
    angle, share = np.arccos(dot), np.asarray(share)[..., None]
    sine = np.sin(angle)
    near = sine < 1e-6
    safe = np.where(near, 1.0, sine)
    mixed = np.where(near, 1 - share, np.sin((1 - share) * angle) / safe) * first
    mixed = mixed + np.where(near, share, np.sin(share * angle) / safe) * second
    w, x, y, z = np.moveaxis(mixed / np.linalg.norm(mixed, axis=-1, keepdims=True), -1, 0)
    return np.stack(
        [
            1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w),
            2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w),
            2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y),
        ],
        -1,
    ).reshape(*w.shape, 3, 3)  # fmt: skip


def minimum_jerk(share: np.ndarray) -> np.ndarray:
    """Progress [...] of a reaching movement at a share of its time, 0 before and 1 after it (Flash & Hogan 1985)."""
    share = np.clip(share, 0.0, 1.0)
    return share**3 * (10 - 15 * share + 6 * share**2)


def ease(share: np.ndarray, ramp: float = 0.2) -> np.ndarray:
    """Progress of an even movement that takes `ramp` of its time to set in and to fade."""
    share = np.clip(share, 0.0, 1.0)
    speed = 1 / (1 - ramp)
    middle = speed * (share - 0.5) + 0.5
    rising, falling = 0.5 * speed * share**2 / ramp, 1 - 0.5 * speed * (1 - share) ** 2 / ramp
    return np.where(share < ramp, rising, np.where(share > 1 - ramp, falling, middle))


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors [..., 3] of length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def frame(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """[..., 3, 3] right-handed frame whose columns are first, second made square to it, and their cross product."""
    first = unit(first)
    second = unit(second - np.sum(first * second, axis=-1, keepdims=True) * first)
    return np.stack([first, second, np.cross(first, second)], -1)


def hand_rotation(fingers: np.ndarray, palm: np.ndarray) -> np.ndarray:
    """The global rotation of a right wrist that points the fingers and turns the palm there: [..., 3] twice -> matrix."""
    return frame(fingers, palm) @ frame(FINGERS_AT_REST, PALM_AT_REST).T


def mirror_rotation(matrices: np.ndarray) -> np.ndarray:
    """A rotation seen in the mirror x = 0."""
    return matrices * np.outer(MIRROR, MIRROR)


@dataclass(frozen=True)
class Arm:
    """One arm of a body as a right arm (a left one comes mirrored): rest positions in metres.

    collar, shoulder: offsets from their parents (spine 3, collar). upper, fore: shoulder to elbow, elbow to wrist.
    fingers: [15, 3] offsets of the finger joints from their parents, in SMPL-X order.
    """

    collar: np.ndarray
    shoulder: np.ndarray
    upper: np.ndarray
    fore: np.ndarray
    fingers: np.ndarray

    @property
    def length(self) -> float:
        return float(np.linalg.norm(self.upper) + np.linalg.norm(self.fore))


@lru_cache(maxsize=256)
def rest_joints(shape: tuple[float, ...]) -> np.ndarray:
    """[55, 3] joints of a body in the T-pose."""
    joints = skeleton.joint_transforms(np.zeros(skeleton.WIDTH, np.float32), shape)[:, :3, 3].astype(np.float64)
    joints.setflags(write=False)
    return joints


@lru_cache(maxsize=256)
def arm(shape: tuple[float, ...], side: str) -> Arm:
    """The arm of a body; side: "L" or "R"."""
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
    """Where joints and tips of a hand are, seen from its wrist.

    Args:
        pose: [..., 15, 3] axis-angle of a right hand.
        fingers: [15, 3] of `Arm`.

    Returns:
        [..., 21, 3] in metres: wrist, then three joints and the tip of index, middle, pinky, ring, thumb.
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
    """Angles up to `free` as they are, beyond it ever more slowly towards `end`."""
    beyond = np.maximum(angle - free, 0.0)
    return np.minimum(angle, free) + (end - free) * np.tanh(beyond / (end - free))


def _twist(matrices: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """The angle [...] in (-pi, pi] that rotations turn about an axis [3]."""
    quaternions = to_quaternion(matrices)
    angle = 2 * np.arctan2(quaternions[..., 1:] @ axis, quaternions[..., 0])
    return (angle + np.pi) % (2 * np.pi) - np.pi


def _elbow_twist(angle: np.ndarray) -> np.ndarray:
    """The elbow's share of a turn; it falls back to nothing at half a turn, where the sign of the turn flips."""
    angle = np.asarray(angle)
    rising = ELBOW_TWIST * np.abs(angle)
    falling = ELBOW_TWIST * ELBOW_TWIST_END * (np.pi - np.abs(angle)) / (np.pi - ELBOW_TWIST_END)
    return np.sign(angle) * np.minimum(rising, falling)


def _elbow(
    limb: Arm, shoulder: np.ndarray, wrist: np.ndarray, pole: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two bones of an arm: global rotations [..., 3, 3] of upper arm and (untwisted) forearm, and the wrist's true place."""
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
    """A hand's turn seen from the forearm -> (twist about the forearm [...] in radians, bend that follows it [..., 3, 3])."""
    axis = unit(limb.fore)
    twist = _twist(turns, axis)
    return twist, to_matrix(-twist[..., None] * axis) @ turns


def join_turn(limb: Arm, twist: np.ndarray, bend: np.ndarray) -> np.ndarray:
    """The inverse of `split_turn`."""
    return to_matrix(np.asarray(twist)[..., None] * unit(limb.fore)) @ bend


def forearm(limb: Arm, shoulder: np.ndarray, wrist: np.ndarray, pole: np.ndarray) -> np.ndarray:
    """[..., 3, 3] global rotation of the untwisted forearm of an arm that reaches from shoulder to wrist."""
    return _elbow(limb, shoulder, wrist, pole)[1]


def solve_arm(
    limb: Arm, parent: np.ndarray, shoulder: np.ndarray, wrist: np.ndarray, hand: np.ndarray, pole: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rotations of shoulder, elbow and wrist of a right arm that bring the hand to a place and turn.

    The place is exact where the arm can reach it, otherwise the nearest point it can reach; the turn is exact as long as
    the wrist bends less than `WRIST_FREE`, and softly limited at `WRIST_END`.

    Args:
        limb: the arm.
        parent: [..., 3, 3] global rotation of the collar. shoulder: [..., 3] where the shoulder is.
        wrist: [..., 3] where the wrist shall be. hand: [..., 3, 3] its global rotation.
        pole: [..., 3] the side to which the elbow points.

    Returns:
        [..., 3, 3, 3] local rotations of shoulder, elbow, wrist; [..., 3] the wrist's true place.
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
