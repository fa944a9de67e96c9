"""Synthetic signers: body shapes, handedness and each one's style of movement."""

import numpy as np

from .arguments import whole
from .motion_types import Signer

# quantity: (least, most), drawn evenly for every signer
STYLE = {
    "speed": (0.85, 1.2),  # times the tempo of the sign
    "amplitude": (0.8, 1.2),  # times the size of the movement
    "hold": (0.7, 1.5),  # times the length of holds
    "lowering": (0.0, 0.035),  # meters by which high locations sink
    "reduction": (0.0, 0.12),  # share of the way from a location toward the middle of the signing space
    "shoulder": (0.10, 0.30),  # share of the arm's elevation that the collar takes
    "elbow": (0.25, 0.75),  # how far the elbow points out rather than down
    "laxness": (0.0, 0.14),  # share of the relaxed hand in every handshape
    "sway": (0.4, 1.4),  # times the idle movement of the body
    "asymmetry": (0.0, 0.2),  # share of its movement that the other hand loses in two-handed signs
    "jitter": (0.006, 0.014),  # meters, deviation of targets from token to token
    "bow": (0.02, 0.09),  # how far transitions swing forward, as a share of their length
}
LEFT_HANDED = 0.1


def signers(count: int, seed: int) -> list[Signer]:
    """Return that many signers, one in ten left-handed; the first ones are the same whatever the count.

    Raises:
        SignXError: If the count is below one, or the seed is negative.
    """
    count, seed = whole("count", count, 1), whole("seed", seed, 0)
    return [_signer(index, seed) for index in range(count)]


def _signer(index: int, seed: int) -> Signer:
    draw = np.random.default_rng([seed, index])
    # Beyond the first three, SMPL-X shapes change the skeleton little. Rounded, so that a name of the shape is short.
    shape = np.round(draw.normal(0.0, [1.0, 0.9, 0.6, *[0.3] * 7]).clip(-2.0, 2.0), 2)
    style = {name: float(draw.uniform(*limits)) for name, limits in STYLE.items()}
    # One in every block of ten, at a place drawn for the block: ten signers have exactly one left-hander.
    lefty = np.random.default_rng([seed, index // 10, 1]).integers(round(1 / LEFT_HANDED)) == index % 10
    return Signer(f"s{index:03d}", tuple(shape.tolist()), bool(lefty), int(draw.integers(2**31)), style)
