"""Handshapes as rotations of the fifteen joints of a right hand.

A finger is (flexion of its three joints, abduction) in degrees: flexion toward the palm, abduction from the axis of
the hand toward the thumb. The thumb is (abduction in the plane of the palm, opposition toward the palm, roll about
itself, flexion of its second and third joint). Names are those of the American manual alphabet and of the numbers, if
they have one.
"""

from functools import cache

import numpy as np

from ...processing.errors_signx import SignXError
from ..errors import nearest
from .kinematics import to_matrix, to_vector

FINGERS = ("index", "middle", "ring", "pinky")
# Where the fingers of the flat hand of SMPL-X point, in degrees from the axis of the hand toward the thumb
REST_ABDUCTION = {"index": 5.4, "middle": -8.0, "ring": -13.0, "pinky": -37.0}
TOGETHER = {"index": -1.0, "middle": 0.0, "ring": 1.0, "pinky": 3.0}
SPREAD = {"index": 16.0, "middle": 3.0, "ring": -11.0, "pinky": -27.0}
THUMB_AXIS = np.array([-0.72, -0.08, 0.69])  # along the thumb at rest
THUMB_PAD = np.array([-0.35, -0.75, -0.56])  # where its pad looks

STRAIGHT = (0.0, 0.0, 0.0)
FIST = (84.0, 104.0, 70.0)
BENT = (75.0, 8.0, 5.0)
HOOK = (5.0, 80.0, 55.0)
CLAW = (20.0, 48.0, 38.0)
ROUND = (38.0, 42.0, 30.0)
TIP_TO_THUMB = (52.0, 55.0, 38.0)
FLAT_TO_THUMB = (80.0, 26.0, 16.0)
OVER_THUMB = (66.0, 82.0, 50.0)

THUMBS = {
    "flat": (-34.0, 0.0, 0.0, 0.0, 0.0),  # along the index finger
    "out": (12.0, 0.0, 0.0, -6.0, -4.0),
    "side": (-24.0, 12.0, -4.0, 20.0, -5.0),  # upright at the side of a fist
    "across": (-4.0, 75.0, 5.0, 31.0, 20.0),  # before the fingers of a fist
    "palm": (-33.0, 52.0, 0.0, 41.0, 33.0),  # folded over the palm
    "round": (12.0, 72.0, 10.0, 4.0, 6.0),  # facing round fingers
    "opposed": (5.0, 26.0, 1.0, 44.0, 50.0),  # on the tip of the bent index finger
    "flat opposed": (19.0, 66.0, 7.0, 35.0, 28.0),  # on the tips of flat fingers
    "middle": (3.0, 60.0, 8.0, 41.0, 28.0),  # on the tip of the bent middle finger
    "flat middle": (18.0, 72.0, 8.0, 33.0, 22.0),
    "below": (1.0, 32.0, -2.0, 54.0, 65.0),  # under the tips of curled fingers
    "tucked": (-40.0, 14.0, 11.0, 26.0, 10.0),  # between index and middle finger
    "under": (3.0, 70.0, 19.0, 50.0, 14.0),  # under the folded fingers
    "up": (-10.0, 10.0, 0.0, -4.0, -4.0),
}

# name: (thumb, index, middle, ring, pinky, abduction of the fingers)
SHAPES: dict[str, tuple] = {
    "A": ("side", FIST, FIST, FIST, FIST, {}),
    "B": ("palm", STRAIGHT, STRAIGHT, STRAIGHT, STRAIGHT, {}),
    "C": ("round", ROUND, ROUND, ROUND, ROUND, {}),
    "D": ("middle", STRAIGHT, TIP_TO_THUMB, TIP_TO_THUMB, TIP_TO_THUMB, {}),
    "E": ("below", (40.0, 95.0, 60.0), (40.0, 95.0, 60.0), (40.0, 95.0, 60.0), (40.0, 95.0, 60.0), {}),
    "F": ("opposed", TIP_TO_THUMB, STRAIGHT, STRAIGHT, STRAIGHT, SPREAD),
    "G": ("up", (70.0, 0.0, 0.0), FIST, FIST, FIST, {}),
    "H": ("across", STRAIGHT, STRAIGHT, FIST, FIST, {}),
    "I": ("across", FIST, FIST, FIST, STRAIGHT, {}),
    "K": ("up", STRAIGHT, (45.0, 0.0, 0.0), FIST, FIST, {"index": 8.0}),
    "L": ("out", STRAIGHT, FIST, FIST, FIST, {}),
    "M": ("under", OVER_THUMB, OVER_THUMB, OVER_THUMB, FIST, {}),
    "N": ("under", OVER_THUMB, OVER_THUMB, FIST, FIST, {}),
    "O": ("opposed", TIP_TO_THUMB, TIP_TO_THUMB, TIP_TO_THUMB, TIP_TO_THUMB, {}),
    "R": ("across", (4.0, 0.0, 0.0), (16.0, 4.0, 0.0), FIST, FIST, {"index": -10.0, "middle": 16.0}),
    "S": ("across", FIST, FIST, FIST, FIST, {}),
    "T": ("tucked", OVER_THUMB, FIST, FIST, FIST, {}),
    "U": ("across", STRAIGHT, STRAIGHT, FIST, FIST, {}),
    "V": ("across", STRAIGHT, STRAIGHT, FIST, FIST, {"index": 17.0, "middle": -14.0}),
    "W": ("palm", STRAIGHT, STRAIGHT, STRAIGHT, FIST, {"index": 16.0, "middle": 0.0, "ring": -16.0}),
    "X": ("across", HOOK, FIST, FIST, FIST, {}),
    "Y": ("out", FIST, FIST, FIST, STRAIGHT, {"pinky": -30.0}),
    "1": ("across", STRAIGHT, FIST, FIST, FIST, {}),
    "3": ("out", STRAIGHT, STRAIGHT, FIST, FIST, {"index": 17.0, "middle": -12.0}),
    "4": ("palm", STRAIGHT, STRAIGHT, STRAIGHT, STRAIGHT, SPREAD),
    "5": ("out", STRAIGHT, STRAIGHT, STRAIGHT, STRAIGHT, SPREAD),
    "8": ("flat middle", STRAIGHT, FLAT_TO_THUMB, STRAIGHT, STRAIGHT, SPREAD),
    "open-8": ("out", STRAIGHT, (55.0, 5.0, 5.0), STRAIGHT, STRAIGHT, SPREAD),
    "flat": ("flat", STRAIGHT, STRAIGHT, STRAIGHT, STRAIGHT, {}),
    "bent-B": ("flat", BENT, BENT, BENT, BENT, {}),
    "flat-O": ("flat opposed", FLAT_TO_THUMB, FLAT_TO_THUMB, FLAT_TO_THUMB, FLAT_TO_THUMB, {}),
    "claw-5": ("round", CLAW, CLAW, CLAW, CLAW, SPREAD),
    "bent-V": ("across", HOOK, HOOK, FIST, FIST, {"index": 15.0, "middle": -10.0}),
    "thumb": ("up", FIST, FIST, FIST, FIST, {}),
    "horns": ("across", STRAIGHT, FIST, FIST, STRAIGHT, {"pinky": -10.0}),
    "ILY": ("out", STRAIGHT, FIST, FIST, STRAIGHT, {"index": 8.0, "pinky": -22.0}),
    "baby-C": ("round", ROUND, FIST, FIST, FIST, {}),
    "relaxed": ("flat", (18.0, 22.0, 12.0), (22.0, 24.0, 14.0), (25.0, 26.0, 15.0), (25.0, 26.0, 15.0), {}),
}  # fmt: skip
HANDSHAPES = tuple(name for name in SHAPES if name != "relaxed")


def _about(axis: np.ndarray, degrees: float) -> np.ndarray:
    return to_matrix(np.radians(degrees) * axis / np.linalg.norm(axis))


def _finger(name: str, flexion: tuple[float, float, float], abduction: float) -> np.ndarray:
    rest = np.radians(REST_ABDUCTION[name])
    axis = np.array([np.sin(rest), 0.0, np.cos(rest)])  # of flexion: square to the finger, in the plane of the palm
    root = _about(np.array([0.0, 1.0, 0.0]), abduction - REST_ABDUCTION[name]) @ _about(axis, flexion[0])
    return np.stack([to_vector(root), np.radians(flexion[1]) * axis, np.radians(flexion[2]) * axis])


def _thumb(abduction: float, opposition: float, roll: float, second: float, third: float) -> np.ndarray:
    axis = np.cross(THUMB_AXIS, THUMB_PAD)
    axis = axis / np.linalg.norm(axis)
    root = _about(np.array([1.0, 0.0, 0.0]), opposition) @ _about(np.array([0.0, 1.0, 0.0]), abduction)
    root = root @ _about(THUMB_AXIS, roll)
    return np.stack([to_vector(root), np.radians(second) * axis, np.radians(third) * axis])


@cache
def hand_pose(name: str) -> np.ndarray:
    """Return the axis-angles [15, 3] in radians of a right hand in SMPL-X order, read-only.

    The order is index, middle, pinky, ring, thumb.

    Raises:
        SignXError: If the handshape is unknown.
        ImportError: If scipy is missing. The message names the extra `synth`.
    """
    if name not in SHAPES:
        raise SignXError(f"there is no handshape {name!r}; {nearest(name, SHAPES)}")
    thumb, *flexions, abduction = SHAPES[name]
    fingers = {
        finger: _finger(finger, flexion, abduction.get(finger, TOGETHER[finger]))
        for finger, flexion in zip(FINGERS, flexions)
    }
    order = [fingers["index"], fingers["middle"], fingers["pinky"], fingers["ring"], _thumb(*THUMBS[thumb])]
    pose = np.concatenate(order)
    pose.setflags(write=False)
    return pose


def mirror(pose: np.ndarray) -> np.ndarray:
    """Return the same handshape [..., 15, 3] of the other hand."""
    return np.asarray(pose) * np.array([1.0, -1.0, -1.0])
