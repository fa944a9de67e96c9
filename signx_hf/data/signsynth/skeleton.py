"""Convert between SMPL-X rows of 165 numbers and joints in space.

A row is 55 joints x 3 axis-angle in radians, in the order of SMPL-X: pelvis (global rotation), 21 body joints, jaw,
left and right eye, 15 joints of the left hand, 15 of the right (index, middle, pinky, ring, thumb, three each, from
the palm outwards). Hands follow the flat-hand convention: all zeros is a flat hand. Space is in meters, y up, x to the
signer's left, z toward the viewer.
"""

from functools import lru_cache

import numpy as np

from ...common.extras import require
from ...processing.errors_signx import SignXError

JOINTS = 55
WIDTH = 3 * JOINTS
SHAPE = 10  # coefficients of the shape of a body
PELVIS, BODY, JAW, EYES = slice(0, 1), slice(1, 22), slice(22, 23), slice(23, 25)
LEFT_HAND, RIGHT_HAND = slice(25, 40), slice(40, 55)
BODY_NAMES = [
    "Pelvis",
    "L_Hip",
    "R_Hip",
    "Spine1",
    "L_Knee",
    "R_Knee",
    "Spine2",
    "L_Ankle",
    "R_Ankle",
    "Spine3",
    "L_Foot",
    "R_Foot",
    "Neck",
    "L_Collar",
    "R_Collar",
    "Head",
    "L_Shoulder",
    "R_Shoulder",
    "L_Elbow",
    "R_Elbow",
    "L_Wrist",
    "R_Wrist",
]
HAND_NAMES = [f"{finger}{i}" for finger in ("Index", "Middle", "Pinky", "Ring", "Thumb") for i in (1, 2, 3)]
JOINT_NAMES = (
    *BODY_NAMES,
    "Jaw",
    "L_Eye",
    "R_Eye",
    *(f"L_{name}" for name in HAND_NAMES),
    *(f"R_{name}" for name in HAND_NAMES),
)
INDEX = {name: index for index, name in enumerate(JOINT_NAMES)}


@lru_cache(maxsize=8)
def figure(shape: tuple[float, ...] = (0.0,) * 10, kind: str = "wooden", lod: int | None = None):
    """Return the mannequin of a body shape (ten SMPL-X coefficients); its `vertices(to_mannequin(rows))` is the skin.

    Raises:
        SignXError: If the shape is not ten finite numbers.
        ImportError: If mannequin-x is missing. The message names the extra `synth`.
    """
    if len(shape) != SHAPE or not np.isfinite(shape).all():
        raise SignXError(f"`shape` of a body must be {SHAPE} finite numbers, 0 for the mean, got {shape}.")
    options = {} if lod is None else {"lod": lod}
    return require("mannequin").Mannequin(
        kind, shape=np.asarray(shape, dtype=np.float32), flat_hand_mean=True, **options
    )


def to_mannequin(rows: np.ndarray) -> dict[str, np.ndarray]:
    """Convert SMPL-X rows [..., 165] to the pose dictionary of mannequin-x, which has neither jaw nor eyes."""
    joints = np.asarray(rows, dtype=np.float32).reshape(*np.shape(rows)[:-1], JOINTS, 3)
    return {
        "body_pose": joints[..., BODY, :],
        "head_pose": joints[..., 22:25, :],
        "hand_pose": joints[..., LEFT_HAND.start :, :],
        "pelvis_rotation": joints[..., 0, :],
    }


def joint_transforms(rows: np.ndarray, shape: tuple[float, ...] = (0.0,) * 10) -> np.ndarray:
    """Return the transforms [..., 55, 4, 4] to space of SMPL-X rows [..., 165]; jaw and eyes move with the head."""
    model = figure(tuple(shape))
    transforms = model.joint_transforms(to_mannequin(rows))
    where = {name: index for index, name in enumerate(model.joint_names)}
    head = where["Head"]
    return transforms[..., [where.get(name, head) for name in JOINT_NAMES], :, :]
