"""What tests of corpora of hand landmarks share: loading without warnings, rows as hands, spoiling files."""

import warnings

import numpy as np
from data_minis import MINIS

import signx_hf
from signx_hf import SignXWarning
from signx_hf.data.schema import decode_poses
from signx_hf.processing.keypoints_signx import HANDS_LAYOUT, HANDS_WIDTH


def load(name, folder, split=None, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SignXWarning)
        return signx_hf.load_dataset(name, folder, split, **options)


def make(name, folder):
    MINIS[name][0](folder)
    return folder


def hands_of(row):
    """Hands [T, 2, 21, 3] float32 and which were seen [T, 2], from a row of a dataset."""
    stored = decode_poses(row["poses"])
    assert (
        stored.track_dims["hands"] == HANDS_WIDTH == 126
        and stored.notes["hands.layout"] == HANDS_LAYOUT == "hands-126"
    )
    assert list(stored.track_dims)[0] == "hands"
    hands = stored.values[:, :126].astype(np.float32).reshape(-1, 2, 21, 3)
    seen = (hands != 0).any(axis=(2, 3))
    assert np.array_equal(seen.any(axis=1), stored.mask[:, 0]), "frames without a hand are masked, all others are not"
    return hands, seen


def spoil(path, **changes):
    """Rewrites arrays of a .npz file; None removes one."""
    with np.load(path) as file:
        arrays = {**file, **changes}
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})


def of(path, name):
    with np.load(path) as file:
        return file[name]
