"""One clip, from motion to pixels and tracks."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...processing.errors_signx import SignXError
from . import keypoints, tracks
from .appearance import Look, Shot, clip_shot, signer_look
from .arguments import of_chance, of_class
from .mesh import Mesh, mesh
from .motion_types import Motion, Signer
from .render import ClipPainter, Picture, Renderer
from .skeleton import INDEX, WIDTH

CHUNK = 16  # frames posed at a time
MOST = 1.15  # meters: a hand farther from the middle than this would shrink the signer to a dot


@dataclass(frozen=True)
class RenderedClip:
    """A rendered clip.

    Attributes:
        images: T images [H, W, 3] uint8.
        clean: The five tracks without noise.
        noisy: The five tracks as detectors would give them.
        seen: Every anchor in the image.
        shot: Camera, light and room.
    """

    images: list[np.ndarray]
    clean: tracks.Tracks
    noisy: tracks.Tracks
    seen: keypoints.Seen
    shot: Shot
    look: Look


def framing(body: Mesh, points: np.ndarray) -> np.ndarray:
    """Return what must be in the image [N, 3]: head to hips, and the hands wherever they go.

    Args:
        body: The mesh of the signer.
        points: [T, ANCHORS, 3].
    """
    hands = [
        i
        for side in "LR"
        for i in (INDEX[f"{side}_Wrist"], *range(INDEX[f"{side}_Index1"], INDEX[f"{side}_Thumb3"] + 1))
    ]
    moving = points[:, [*hands, *range(keypoints.TIPS, keypoints.TIPS + 10)]].reshape(-1, 3)
    hips, crown = body.joints[[INDEX["L_Hip"], INDEX["R_Hip"]], 1].min(), body.crown + 0.04
    shoulder = body.joints[INDEX["L_Shoulder"], 0] + 0.1
    still = [(x, y, 0.0) for x in (-shoulder, shoulder) for y in (hips, crown)]
    return np.clip(np.concatenate([moving, still]), -MOST, MOST)


def pictures(painter: ClipPainter, rows: np.ndarray, transforms: np.ndarray) -> Iterator[Picture]:
    """Yield the frames of a clip, in order, from rows [T, 165] and their transforms [T, 55, 3, 4]."""
    count, camera, size = len(rows), painter.shot.camera, painter.renderer.size
    for start in range(0, count, CHUNK):
        stop = min(start + CHUNK, count)
        first, last = max(start - 1, 0), min(stop + 1, count)  # a neighbor on each side, for the speed
        vertices, normals = painter.mesh.pose(rows[first:last], transforms[first:last])
        velocity = None
        if painter.shot.shutter and last - first > 1:
            velocity = np.gradient(camera.project(vertices, size)[..., :2], axis=0).astype(np.float32)
        for frame in range(start - first, stop - first):
            yield painter.draw(vertices[frame], normals[frame], None if velocity is None else velocity[frame])


def render_clip(
    motion: Motion,
    signer: Signer,
    renderer: Renderer,
    generator: np.random.Generator,
    faults: tracks.Faults | None = None,
    shot: Shot | None = None,
) -> RenderedClip:
    """Render a motion and compute its tracks.

    Args:
        motion: The motion.
        signer: Whose body and looks to use.
        renderer: Renderer of the desired size.
        generator: Random generator for camera, light, room, noise and faults.
        faults: Faults of the detectors; None: the usual ones.
        shot: Camera, light and room; None: drawn at random.

    Raises:
        SignXError: If an argument has the wrong type, or the rows are not finite numbers [T, 165].
    """
    of_class("motion", motion, Motion, "Make one with perform(signs, signer, generator).")
    of_class("signer", signer, Signer, "Make some with signers(count, seed).")
    of_class("renderer", renderer, Renderer, "Make one with Renderer(pixels).")
    of_chance(generator)
    shape = np.shape(motion.rows)
    if len(shape) != 2 or shape[0] < 1 or shape[1] != WIDTH or not np.isfinite(motion.rows).all():
        raise SignXError(f"rows of a motion must be finite numbers [frames, {WIDTH}], got shape {list(shape)}.")
    body, look = mesh(tuple(signer.shape)), signer_look(signer)
    rows = np.asarray(motion.rows, dtype=np.float32)
    transforms = body.transforms(rows)
    points = keypoints.anchors(body, transforms)
    drawn = clip_shot(generator, framing(body, points))
    shot = drawn if shot is None else shot
    painter = ClipPainter(renderer, body, look, shot, generator)
    images, grids, hidden, outside, pixels = [], [], [], [], []
    for frame, picture in enumerate(pictures(painter, rows, transforms)):
        images.append(picture.image)
        grids.append(tracks.grid_rows(picture.depth, picture.parts))
        one = keypoints.seen(points[frame : frame + 1], shot.camera, renderer.size, [picture.depth])
        pixels.append(one.pixels)
        hidden.append(one.hidden)
        outside.append(one.outside)
    seen = keypoints.Seen(np.concatenate(pixels), np.concatenate(hidden), np.concatenate(outside))
    depth, parts = (np.stack(rows) for rows in zip(*grids))
    clean = tracks.clean_tracks(rows, seen, shot.camera, renderer.size, (depth, parts))
    noisy = tracks.noisy_tracks(clean, seen, renderer.size, faults or tracks.Faults(), generator)
    return RenderedClip(images, clean, noisy, seen, shot, look)
