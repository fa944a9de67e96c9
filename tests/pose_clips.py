"""Clips of five pose tracks for the tests of the pose path."""

import numpy as np

from signx_hf.processing.feature_extraction_signx import DEFAULT_TRACK_DIMS, SignXPoseFeatureExtractor

SLICES = SignXPoseFeatureExtractor().track_slices()
TRACKS = tuple(DEFAULT_TRACK_DIMS)
FRAMES = 6


def make_clip(frames=FRAMES, seed=0, shift=(0.0, 0.0, 0.0), scale=1.0):
    """Five tracks of a signer somewhere in the frame, every point seen."""
    rng = np.random.default_rng(seed)
    shift = np.asarray(shift)
    xy = rng.uniform(50, 300, (frames, 128, 2)) * scale + shift[:2]
    body = rng.uniform(50, 300, (frames, 33, 3)) * scale + shift
    hands = rng.uniform(50, 300, (frames, 42, 3)) * scale + shift
    dwpose = np.concatenate([xy, rng.uniform(0.2, 1, (frames, 128, 1))], -1)
    body = np.concatenate([body, rng.uniform(0.2, 1, (frames, 33, 1))], -1)
    return {
        "smplerx": rng.normal(size=(frames, 165)),
        "dwpose": dwpose.reshape(frames, -1),
        "mediapipe": np.concatenate([body.reshape(frames, -1), hands.reshape(frames, -1)], 1),
        "primedepth": rng.uniform(0.5, 3, (frames, 576)),
        "sapiens": rng.integers(0, 28, (frames, 576)),
    }


def concatenated(clip):
    return np.concatenate([clip[name] for name in TRACKS], axis=1)


def extract(clip, **options):
    call = {k: options.pop(k) for k in ("source_fps", "return_metadata") if k in options}
    return SignXPoseFeatureExtractor(**options)(clip, return_tensors="np", **call)


def changed(name, frame, column, value):
    clip = make_clip()
    clip[name] = clip[name].astype(np.float64)
    clip[name][frame, column] = value
    return clip


def smplerx(frames=3, **extra):
    return {"smplerx": np.ones((frames, 165)), **extra}
