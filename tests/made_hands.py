"""Made-up signs of two hands: rows of the track `hands` for tests that need signs which can be told apart."""

import numpy as np

from signx_hf.data import encode_poses

NOTES = {"hands.layout": "hands-126", "hands.aspect": "1.7778"}


def made_sign(sign: int, seed: int, frames: int = 30) -> np.ndarray:
    """Rows `[T, 126]` of one performance of a sign: its number decides shape and path, the seed the performer's noise."""
    own, noise = np.random.default_rng(1000 + sign), np.random.default_rng([sign, seed])
    shape = own.normal(0, 0.03, size=(2, 21, 3))
    shape[:, 0] = 0
    start, end = own.uniform(0.25, 0.75, size=(2, 2, 2))
    share = np.linspace(0, 1, frames)[:, None, None]
    places = start + (end - start) * share + noise.normal(0, 0.02, size=(1, 2, 2))
    hands = np.broadcast_to(shape * noise.uniform(0.85, 1.15), (frames, 2, 21, 3)).copy()
    hands[..., :2] += places[:, :, None] + noise.normal(0, 0.002, size=(frames, 2, 1, 2))
    if sign % 2:
        hands[:, 1] = 0
    rows = hands.reshape(frames, 126)
    rows[:2] = rows[-2:] = np.nan  # before and after, no hand is in the picture
    return rows


def stored_sign(sign: int, seed: int) -> bytes:
    """`made_sign` as a dataset stores it."""
    return encode_poses({"hands": made_sign(sign, seed)}, fps=25.0, notes=NOTES)
