"""Contact sheets: every handshape from two sides, every sign at four moments, to tell them apart by eye."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...extras import require
from .appearance import Camera, Look, Shot
from .clip import framing
from .keypoints import anchors
from .mesh import Mesh, mesh
from .motion_types import Signer
from .render import ClipPainter, Renderer
from .skeleton import INDEX, JOINTS, RIGHT_HAND, WIDTH

STUDIO = Look(
    skin=(0.87, 0.68, 0.55),
    hair=(0.16, 0.10, 0.07),
    top=(0.13, 0.22, 0.36),
    trousers=(0.30, 0.30, 0.34),
    lips=(0.75, 0.36, 0.34),
    sleeve=1.0,
    hairline=0.78,
    hair_length=0.0,
)
SIGNER = Signer("sheet", (0.0,) * 10, False, 0)
MODEL_STYLE_SEED = 1  # of the signer who shows the signs
# fingers up and the palm to the viewer: the axes of the right hand at rest (fingers -x, palm -y) in rows
PALM_TO_VIEWER = np.array([(0.0, 0.0, 1.0), (-1.0, 0.0, 0.0), (0.0, -1.0, 0.0)])
VIEWS = (0.0, -1.2)  # radians about the upright: from the palm, from the side of the thumb
TILE = 104  # pixels
PER_PAGE = 25  # signs


def _studio(position: Sequence[float], target: Sequence[float], focal: float) -> Shot:
    """Even light and no blur or noise."""
    lights = (((-0.45, 0.6, 0.66), 0.6), ((0.7, 0.1, 0.7), 0.12))
    return Shot(Camera(tuple(position), tuple(target), focal, 0.0), lights, 0.38, 1.0, 0, 0.0, 0.0, 0.0, 18)


class _Studio:
    """Draws tiles on a white ground."""

    def __init__(self, size: int):
        self.renderer, self.size = Renderer(size), size

    def __enter__(self) -> "_Studio":
        return self

    def __exit__(self, *_: object) -> None:
        self.renderer.close()

    def tile(self, body: Mesh, vertices: np.ndarray, normals: np.ndarray, shot: Shot) -> np.ndarray:
        """[size, size, 3] uint8."""
        painter = ClipPainter(self.renderer, body, STUDIO, shot, np.random.default_rng(0))
        painter.set_room(np.full((self.size, self.size, 3), 255, dtype=np.float32))
        return painter.draw(vertices, normals).image


def handshape_tiles(hand_pose: np.ndarray, studio: _Studio) -> list[np.ndarray]:
    """A right hand [15, 3] from each of `VIEWS`."""
    body = mesh(SIGNER.shape)
    rows = np.zeros((1, JOINTS, 3), dtype=np.float32)
    rows[0, RIGHT_HAND] = hand_pose
    vertices, normals = (values[0] for values in body.pose(rows.reshape(1, WIDTH)))
    wrist = body.joints[INDEX["R_Wrist"]]
    tiles = []
    for yaw in VIEWS:
        about = np.array([(np.cos(yaw), 0, np.sin(yaw)), (0, 1, 0), (-np.sin(yaw), 0, np.cos(yaw))])
        turn = (about @ PALM_TO_VIEWER).astype(np.float32)
        shot = _studio((0.0, 0.09, 1.2), (0.0, 0.085, 0.0), 4.6)
        tiles.append(studio.tile(body, (vertices - wrist.astype(np.float32)) @ turn.T, normals @ turn.T, shot))
    return tiles


def sign_tiles(rows: np.ndarray, fps: float, times: Sequence[float], signer: Signer, studio: _Studio) -> list[np.ndarray]:
    """A performed sign at these seconds, upper body. rows: [T, 165]."""
    body = mesh(tuple(signer.shape))
    transforms = body.transforms(rows)
    frames = np.clip(np.rint(np.asarray(times) * fps).astype(int), 0, len(rows) - 1)
    low, high = framing(body, anchors(body, transforms[frames]))
    middle = (low + high) / 2
    middle[2] = 0.0
    # one framing for all signs: what differs between tiles is to be the sign
    shot = _studio((0.0, float(middle[1]), 2.6), (0.0, float(middle[1]), 0.0), 2.25)
    vertices, normals = body.pose(rows[frames], transforms[frames])
    return [studio.tile(body, *both, shot) for both in zip(vertices, normals)]


def save_sheet(path: str | os.PathLike, tiles: Sequence[Sequence[np.ndarray]], names: Sequence[str], columns: int) -> None:
    """Writes a PNG: one cell for each name with its tiles side by side. Needs the extra `plots`."""
    matplotlib = require("matplotlib")
    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    height, width = tiles[0][0].shape[0], sum(tile.shape[1] for tile in tiles[0])
    rows, bar = -(-len(names) // columns), 16
    sheet = np.full((rows * (height + bar), columns * width, 3), 255, dtype=np.uint8)
    figure = Figure(figsize=(sheet.shape[1] / 100, sheet.shape[0] / 100), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    for number, (name, group) in enumerate(zip(names, tiles)):
        top, left = number // columns * (height + bar), number % columns * width
        sheet[top + bar : top + bar + height, left : left + width] = np.concatenate(group, axis=1)
        axes.text(left + 4, top + bar - 4, name, fontsize=8, family="DejaVu Sans")
    axes.imshow(sheet // 8 * 8 + 7, interpolation="nearest", aspect="auto")  # five bits a colour: a third of the bytes
    axes.set_axis_off()
    # without the version of matplotlib in it, the same pictures give the same bytes
    figure.savefig(path, format="png", metadata={"Software": None})


def write_sheets(folder: str | os.PathLike, config: str = "tiny", seed: int = 0) -> list[Path]:
    """Writes `handshapes.png` and `signs_001.png`, ... of a configuration's lexicon.

    Raises:
        SignXDataError: unknown configuration. ImportError: names the extra `synth` or `plots`.
    """
    from .configs import named
    from .handshapes import HANDSHAPES, hand_pose
    from .motion import perform, sign_key_times
    from .plan import lexicon_of
    from .signers import signers

    require("matplotlib")
    folder = Path(folder)
    signs = lexicon_of(named(config), seed)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "handshapes.png"]
    with _Studio(TILE) as studio:
        save_sheet(paths[0], [handshape_tiles(hand_pose(name), studio) for name in HANDSHAPES], HANDSHAPES, 5)
        signer = next(person for person in signers(20, MODEL_STYLE_SEED) if not person.left_handed)
        for page in range(0, len(signs), PER_PAGE):
            tiles = []
            for sign in signs[page : page + PER_PAGE]:
                motion = perform([sign], signer, np.random.default_rng(0))
                tiles.append(sign_tiles(motion.rows, motion.fps, sign_key_times(motion.spans[0]), signer, studio))
            paths.append(folder / f"signs_{page // PER_PAGE + 1:03d}.png")
            save_sheet(paths[-1], tiles, [sign.gloss for sign in signs[page : page + PER_PAGE]], 2)
    return paths
