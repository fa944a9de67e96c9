"""The five pose tracks of a clip: the ground truth, and as detectors would give them."""

from dataclasses import dataclass, field

import numpy as np

from ..grids import depth_to_row, labels_to_row
from ..tracks import TrackLayout
from . import keypoints
from .appearance import Camera
from .mesh import PARTS
from .skeleton import INDEX, JOINTS, LEFT_HAND, RIGHT_HAND

VERSION = "1"
SOURCE = "SignSynth"
DWPOSE_HANDS = (slice(18, 39), slice(39, 60))  # left, right, among the 128 points
MEDIAPIPE_HANDS = (slice(33, 54), slice(54, 75))  # among the 33 + 21 + 21 points
GRID = 24

LAYOUTS = {
    "smplerx": TrackLayout(
        "smplerx",
        165,
        "SMPL-X axis-angle 165, flat hand",
        "radians",
        "pelvis, 21 body joints, jaw, left eye, right eye, 15 left and 15 right hand joints (index, middle, pinky, ring, thumb)",
        SOURCE,
        VERSION,
    ),
    "dwpose": TrackLayout(
        "dwpose",
        384,
        "DWPose 128 x (x, y, confidence)",
        "pixels from the top left edge; confidence 0 to 1, 0 missing",
        "OpenPose-18 body, 21 left hand, 21 right hand, 68 face points",
        SOURCE,
        VERSION,
    ),
    "mediapipe": TrackLayout(
        "mediapipe",
        258,
        "MediaPipe Holistic 33 x (x, y, z, visibility), 2 x 21 x (x, y, z)",
        "x, y pixels from the top left edge; z pixels, smaller is nearer, from the hips (pose) or the wrist (hands); a hand of "
        "zeros is missing",
        "33 pose landmarks, 21 left hand, 21 right hand",
        SOURCE,
        VERSION,
    ),
    "primedepth": TrackLayout(
        "primedepth",
        576,
        "24 x 24 relative nearness",
        "1 nearest to 0 farthest in the frame",
        "row major",
        SOURCE,
        VERSION,
    ),
    "sapiens": TrackLayout(
        "sapiens", 576, "24 x 24 part labels", "0 to 27: " + ", ".join(PARTS), "row major", SOURCE, VERSION
    ),
}


def notes() -> dict[str, str]:
    """Return the notes that are stored with the rows of every clip."""
    return {key: value for layout in LAYOUTS.values() for key, value in layout.notes().items()}


@dataclass(frozen=True)
class Faults:
    """Noise of the simulated detectors. Lengths are shares of the image side, rates are per frame.

    Attributes:
        jitter: Standard deviation of a visible point at rest.
        motion: More of it per pixel per frame of speed (of 128).
        hidden: Factor for hidden points.
        memory: Share of the error that lasts to the next frame.
        lost_hand: Rate at which a visible hand is lost.
        found_hand: Rate at which a lost hand is found again.
        swap: Rate at which hands close together change places.
        missed: Rate at which nobody is detected.
        angles: Radians of noise on body and on finger joints.
        cells: Share of cells with a neighbor's label.
        depth: Noise of depth.
    """

    jitter: float = 0.004
    motion: float = 0.12
    hidden: float = 2.5
    memory: float = 0.6
    lost_hand: float = 0.012
    found_hand: float = 0.35
    swap: float = 0.02
    missed: float = 0.004
    angles: tuple[float, float] = (0.03, 0.08)
    cells: float = 0.03
    depth: float = 0.02


@dataclass(frozen=True)
class Tracks:
    """Rows of the five tracks: `values` name -> [T, width] float32; `masks` name -> [T] bool, true where observed."""

    values: dict[str, np.ndarray]
    masks: dict[str, np.ndarray] = field(default_factory=dict)


def grid_rows(depth: np.ndarray, parts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Convert depth in meters and labels, both [H, W], to the rows [576] of `primedepth` and `sapiens`."""
    return depth_to_row(depth), labels_to_row(parts, len(PARTS))


def clean_tracks(
    rows: np.ndarray, seen: keypoints.Seen, camera: Camera, size: int, grids: tuple[np.ndarray, np.ndarray]
) -> Tracks:
    """Return the ground truth, frame by frame.

    `dwpose`: confidence 1 if visible, 0.5 hidden, 0 (and no position) outside the image. `mediapipe`: visibility 1,
    0.5, 0; points outside keep their position, as MediaPipe's do; a hand with its wrist outside is missing.

    Args:
        rows: [T, 165].
        seen: Anchors of the same frames.
        camera: The camera.
        size: Width and height of the image in pixels.
        grids: Depth and part rows, [T, 576] each.
    """
    shown = np.where(seen.outside, 0.0, np.where(seen.hidden, 0.5, 1.0))
    points = keypoints.halves(keypoints.DWPOSE, seen.pixels)
    confidence = keypoints.halves(keypoints.DWPOSE, shown)
    dwpose = np.concatenate([points[..., :2], confidence[..., None]], axis=-1)
    dwpose[confidence == 0] = 0
    points = keypoints.halves(keypoints.MEDIAPIPE, seen.pixels)
    visibility = keypoints.halves(keypoints.MEDIAPIPE, shown)
    hips = (seen.pixels[:, INDEX["L_Hip"], 2] + seen.pixels[:, INDEX["R_Hip"], 2]) / 2
    origin = np.repeat(hips[:, None], points.shape[1], axis=1)
    for hand in MEDIAPIPE_HANDS:
        origin[:, hand] = points[:, hand.start, 2][:, None]
    scale = camera.focal * size / hips[:, None]  # pixels a metre at the hips, for z is to be as x and y are
    points[..., 2] = (points[..., 2] - origin) * scale
    mediapipe = _mediapipe_rows(points, visibility)
    values = {
        "smplerx": np.asarray(rows, dtype=np.float32),
        "dwpose": dwpose.reshape(len(rows), -1).astype(np.float32),
        "mediapipe": mediapipe,
        "primedepth": np.asarray(grids[0], dtype=np.float32),
        "sapiens": np.asarray(grids[1], dtype=np.float32),
    }
    return Tracks(values, {name: np.ones(len(rows), dtype=bool) for name in values})


def _mediapipe_rows(points: np.ndarray, visibility: np.ndarray) -> np.ndarray:
    """Convert points [T, 75, 3] and visibility [T, 75] to [T, 258] float32; a hand whose wrist is missing is 0."""
    body = np.concatenate([points[:, :33], visibility[:, :33, None]], axis=-1)
    parts = [body.reshape(len(points), -1)]
    for hand in MEDIAPIPE_HANDS:
        there = visibility[:, hand.start] > 0
        parts.append(np.where(there[:, None, None], points[:, hand], 0.0).reshape(len(points), -1))
    return np.concatenate(parts, axis=1).astype(np.float32)


def _lasting(generator: np.random.Generator, shape: tuple[int, ...], memory: float) -> np.ndarray:
    """Draw standard normal noise [T, ...] of which a share lasts from frame to frame (an autoregressive process)."""
    noise = generator.standard_normal(shape)
    for frame in range(1, shape[0]):
        noise[frame] = memory * noise[frame - 1] + np.sqrt(1 - memory**2) * noise[frame]
    return noise


def _runs(generator: np.random.Generator, start: np.ndarray, stop: float) -> np.ndarray:
    """Draw a state [T] bool that is entered with probability start [T] and left with probability stop."""
    draws, state = generator.random(len(start)), False
    states = np.zeros(len(start), dtype=bool)
    for frame, draw in enumerate(draws):
        state = draw >= stop if state else draw < start[frame]
        states[frame] = state
    return states


def _speed(pixels: np.ndarray) -> np.ndarray:
    """Return the speed of points, [T, K] pixels per frame."""
    if len(pixels) < 2:
        return np.zeros(pixels.shape[:2])
    return np.linalg.norm(np.gradient(pixels[..., :2], axis=0), axis=-1)


def _detect(
    points: np.ndarray, shown: np.ndarray, size: int, faults: Faults, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return noisy points and confidences of points [T, K, C] in pixels and their visibility [T, K] (1, 0.5, 0)."""
    worse = 1 + (faults.hidden - 1) * (shown < 0.75)
    scale = (faults.jitter * size + faults.motion * faults.jitter * 128 * _speed(points)) * worse
    error = _lasting(generator, points.shape, faults.memory) * scale[..., None]
    size_of_error = np.linalg.norm(error[..., :2], axis=-1) / (0.02 * size)
    confidence = 0.95 * np.exp(-(size_of_error**2)) * (0.55 + 0.45 * (shown >= 0.75))
    confidence = np.clip(confidence + generator.normal(0, 0.03, shown.shape), 0.02, 1)
    return points + error, confidence


def _exchange(points: np.ndarray, confidence: np.ndarray, hands: tuple[slice, slice], frames: np.ndarray) -> None:
    """Swap left and right hand in these frames, in place."""
    left, right = hands
    for values in (points, confidence):
        values[frames, left], values[frames, right] = values[frames, right].copy(), values[frames, left].copy()


def noisy_tracks(
    clean: Tracks, seen: keypoints.Seen, size: int, faults: Faults, generator: np.random.Generator
) -> Tracks:
    """Simulate what detectors would make of the clip.

    They add jitter that grows with speed and where something is hidden, confidences that reflect it, hands lost or
    swapped, and frames without a detection (masked false and NaN).
    """
    frames = len(seen.pixels)
    shown = np.where(seen.outside, 0.0, np.where(seen.hidden, 0.5, 1.0))
    wrists = [INDEX["L_Wrist"], INDEX["R_Wrist"]]
    fast = _speed(seen.pixels[:, wrists]) / (0.02 * size)
    gap = np.linalg.norm(np.diff(seen.pixels[:, wrists, :2], axis=1)[:, 0], axis=-1)
    values, masks = {}, {}
    for name, table, hands in (
        ("dwpose", keypoints.DWPOSE, DWPOSE_HANDS),
        ("mediapipe", keypoints.MEDIAPIPE, MEDIAPIPE_HANDS),
    ):
        visible = keypoints.halves(table, shown)
        if name == "dwpose":
            there = clean.values[name].reshape(frames, -1, 3)[..., :2]
        else:
            body = clean.values[name][:, :132].reshape(frames, 33, 4)[..., :3]
            there = np.concatenate([body, clean.values[name][:, 132:].reshape(frames, 42, 3)], axis=1)
        points, confidence = _detect(there.astype(np.float64), visible, size, faults, generator)
        swapped = generator.random(frames) < faults.swap * (gap < 0.12 * size)
        _exchange(points, confidence, hands, swapped)
        confidence[visible == 0] = 0.0 if name == "dwpose" else 0.01
        for number, hand in enumerate(hands):
            chance = faults.lost_hand * (1 + fast[:, number]) * np.where(visible[:, hand].mean(axis=1) < 0.75, 4, 1)
            lost = _runs(generator, chance, faults.found_hand) | (visible[:, hand.start] == 0)
            confidence[lost, hand] = 0
        detected = generator.random(frames) >= faults.missed
        if name == "dwpose":
            rows = np.concatenate([points, confidence[..., None]], axis=-1)
            rows[confidence == 0] = 0
            rows = rows.reshape(frames, -1).astype(np.float32)
        else:
            for hand in hands:
                points[:, hand, 2] -= points[:, hand.start, 2][:, None]
            rows = _mediapipe_rows(points, confidence)
        values[name], masks[name] = np.where(detected[:, None], rows, np.nan), detected
    values["smplerx"], masks["smplerx"] = _noisy_rows(clean.values["smplerx"], visible, faults, generator)
    values["primedepth"], masks["primedepth"] = _noisy_depth(clean.values["primedepth"], faults, generator)
    values["sapiens"], masks["sapiens"] = _noisy_parts(clean.values["sapiens"], faults, generator)
    order = list(LAYOUTS)
    return Tracks({name: values[name].astype(np.float32) for name in order}, {name: masks[name] for name in order})


def _noisy_rows(
    rows: np.ndarray, visible: np.ndarray, faults: Faults, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Add noise to every joint of SMPL-X rows; a hidden hand relaxes toward the flat hand, as with a prior."""
    frames = len(rows)
    angles = rows.reshape(frames, JOINTS, 3).astype(np.float64)
    sigma = np.full(JOINTS, faults.angles[0])
    for joints, hand in ((LEFT_HAND, MEDIAPIPE_HANDS[0]), (RIGHT_HAND, MEDIAPIPE_HANDS[1])):
        sigma[joints] = faults.angles[1]
        angles[:, joints] *= (0.5 + 0.5 * (visible[:, hand].mean(axis=1) >= 0.5))[:, None, None]
    angles += _lasting(generator, angles.shape, faults.memory) * sigma[:, None]
    detected = generator.random(frames) >= faults.missed
    return np.where(detected[:, None], angles.reshape(frames, -1), np.nan), detected


def _noisy_depth(rows: np.ndarray, faults: Faults, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Add smooth noise to nearness, and rescale it to 0 to 1 as the row is defined."""
    coarse = _lasting(generator, (len(rows), 6, 6), faults.memory)
    smooth = coarse.repeat(4, axis=1).repeat(4, axis=2).reshape(len(rows), -1)
    noisy = rows + faults.depth * (smooth + 0.5 * generator.standard_normal(rows.shape))
    low, high = noisy.min(axis=1, keepdims=True), noisy.max(axis=1, keepdims=True)
    noisy = (noisy - low) / np.maximum(high - low, 1e-9)
    return noisy, np.ones(len(rows), dtype=bool)


def _noisy_parts(rows: np.ndarray, faults: Faults, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Replace some labels by those of a neighboring cell, so that errors are at borders."""
    grid = rows.reshape(-1, GRID, GRID)
    padded = np.pad(grid, ((0, 0), (1, 1), (1, 1)), mode="edge")
    beside = np.stack(
        [padded[:, 1 + y : 1 + y + GRID, 1 + x : 1 + x + GRID] for y, x in ((0, 1), (0, -1), (1, 0), (-1, 0))]
    )
    way = generator.integers(0, 4, grid.shape)
    borrowed = np.take_along_axis(beside, way[None], axis=0)[0]
    noisy = np.where(generator.random(grid.shape) < faults.cells * 2, borrowed, grid)
    return noisy.reshape(len(rows), -1), np.ones(len(rows), dtype=bool)
