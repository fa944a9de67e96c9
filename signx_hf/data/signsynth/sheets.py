"""Contact sheets to compare by eye: every handshape from two sides, every sign from its first moment to its last."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...common.extras import require
from ..errors import SignXDataError
from .appearance import Camera, Look, Shot
from .keypoints import anchors
from .mesh import Mesh, mesh
from .motion_types import Signer
from .phonology import Sign
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
ASIDE = (0.7, 0.35)  # radians to the side and up
VIEWS = (0.0, -1.2)  # radians about the upright: from the palm, from the side of the thumb
TILE = 112  # pixels
PER_PAGE = 20  # signs


def _studio(position: Sequence[float], target: Sequence[float], focal: float) -> Shot:
    """Return a shot with even light and no blur or noise."""
    lights = (((-0.45, 0.6, 0.66), 0.6), ((0.7, 0.1, 0.7), 0.12))
    return Shot(Camera(tuple(position), tuple(target), focal, 0.0), lights, 0.38, 1.0, 0, 0.0, 0.0, 0.0, 18)


class Studio:
    """Draws tiles on a white background."""

    def __init__(self, size: int):
        self.renderer, self.size = Renderer(size), size

    def __enter__(self) -> "Studio":
        return self

    def __exit__(self, *_: object) -> None:
        self.renderer.close()

    def tile(self, body: Mesh, vertices: np.ndarray, normals: np.ndarray, shot: Shot) -> np.ndarray:
        """Draw a tile [size, size, 3] uint8."""
        painter = ClipPainter(self.renderer, body, STUDIO, shot, np.random.default_rng(0))
        painter.set_room(np.full((self.size, self.size, 3), 255, dtype=np.float32))
        return painter.draw(vertices, normals).image


def handshape_tiles(hand_pose: np.ndarray, studio: Studio) -> list[np.ndarray]:
    """Draw a right hand [15, 3] from each of `VIEWS`."""
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


def sign_tiles(
    rows: np.ndarray, fps: float, start: float, end: float, signer: Signer, studio: Studio
) -> list[np.ndarray]:
    """Draw a performed sign, rows [T, 165] from start to end in seconds, as four tiles.

    They show its beginning from the front, its end from the side with the paths of the hands (right red, left green,
    from pale to full), and a close-up of the dominant hand at both times.
    """
    body = mesh(tuple(signer.shape))
    transforms = body.transforms(rows)
    first, last = (int(np.clip(round(time * fps), 0, len(rows) - 1)) for time in (start, end))
    points = anchors(body, transforms)
    frames = [first, last]
    middle = (body.crown + body.joints[INDEX["L_Hip"], 1]) / 2
    # One framing for all signs, so that tiles differ only in the sign. The second view is from above and one side, as a
    # movement straight toward the viewer is invisible from the front.
    strong, weak = ("L", "R") if signer.left_handed else ("R", "L")
    aside = (1.0 if strong == "R" else -1.0) * ASIDE[0]
    from_front = _studio((0.0, middle, 2.6), (0.0, middle, 0.0), 2.4)
    place = 2.6 * np.array((np.sin(aside) * np.cos(ASIDE[1]), np.sin(ASIDE[1]), np.cos(aside) * np.cos(ASIDE[1])))
    from_aside = _studio(place + (0.0, middle, 0.0), (0.0, middle, 0.0), 2.4)
    poses = list(zip(*body.pose(rows[frames], transforms[frames])))
    wide = [studio.tile(body, *pose, shot) for pose, shot in zip(poses, (from_front, from_aside))]
    for side, color in ((weak, (0, 150, 60)), (strong, (230, 30, 30))):
        way = from_aside.camera.project(points[first : last + 1, INDEX[f"{side}_Middle1"]], studio.size)[:, :2]
        if np.ptp(way, axis=0).max() > 2.5:  # a hand at rest only sways
            _draw_way(wide[1], way, color)
    near = []
    for frame, pose, wide_shot in zip(frames, poses, (from_front, from_aside)):
        hand = points[frame, INDEX[f"{strong}_Middle1"]]
        near.append(studio.tile(body, *pose, _studio(hand + 1.2 * wide_shot.camera.axes()[2], hand, 3.6)))
    return [wide[0], near[0], wide[1], near[1]]


def _draw_way(image: np.ndarray, way: np.ndarray, color: tuple[int, int, int]) -> None:
    """Draw a line through the points [T, 2] (x, y), in place; it begins pale and ends in a dot."""
    steps = np.linspace(0, len(way) - 1, 40 * len(way))
    line = np.stack([np.interp(steps, np.arange(len(way)), way[:, axis]) for axis in (0, 1)], axis=1)
    for share, (x, y) in zip(np.linspace(0, 1, len(line)), line):
        size = 3 if share == 1 else 1
        top, left = max(int(y) - size // 2, 0), max(int(x) - size // 2, 0)
        mixed = (1 - 0.6 * (1 - share)) * np.array(color) + 0.6 * (1 - share) * 255
        image[top : top + size + 1, left : left + size + 1] = mixed


def save_sheet(
    path: str | os.PathLike, tiles: Sequence[Sequence[np.ndarray]], names: Sequence[str], columns: int
) -> None:
    """Write a PNG with one cell for each name and its tiles side by side. Needs the extra `plots`."""
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
    axes.imshow(sheet // 16 * 17, interpolation="nearest", aspect="auto")  # four bits a color: a third of the bytes
    axes.set_axis_off()
    # without the version of matplotlib in it, the same pictures give the same bytes
    figure.savefig(path, format="png", metadata={"Software": None})


def caption(sign: Sign) -> str:
    """Return gloss and main parameters of a sign, for the reader of a sheet."""
    if sign.letters:
        return f"{sign.gloss}   spelled"
    shapes = sign.handshape if sign.final_handshape is None else f"{sign.handshape} to {sign.final_handshape}"
    local = "" if sign.local == "none" else f", {sign.local}"
    return f"{sign.gloss}   {shapes}, {sign.location}, {sign.path}{local}, {sign.hands}"


def write_sheets(folder: str | os.PathLike, config: str = "tiny") -> list[Path]:
    """Write `handshapes.png` and `signs_001.png`, ... of a configuration's lexicon.

    Raises:
        SignXDataError: If the configuration is unknown, or the folder cannot be created.
        ImportError: If a package is missing. The message names the extra `synth` or `plots`.
    """
    from .configs import named
    from .handshapes import HANDSHAPES, hand_pose
    from .motion import perform
    from .plan import lexicon_of
    from .signers import signers

    for module in ("matplotlib", "mannequin", "pyvista"):
        require(module)  # before anything is written
    folder = Path(folder).expanduser()
    signs = lexicon_of(named(config)).signs
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SignXDataError(f"{folder}: the folder cannot be created ({error.strerror}). Choose another.") from error
    paths = [folder / "handshapes.png"]
    with Studio(TILE) as studio:
        save_sheet(paths[0], [handshape_tiles(hand_pose(name), studio) for name in HANDSHAPES], HANDSHAPES, 5)
        signer = next(person for person in signers(20, MODEL_STYLE_SEED) if not person.left_handed)
        for page in range(0, len(signs), PER_PAGE):
            tiles = []
            for sign in signs[page : page + PER_PAGE]:
                motion = perform([sign], signer, np.random.default_rng(0))
                span = motion.spans[0]
                tiles.append(sign_tiles(motion.rows, motion.fps, span.start, span.end, signer, studio))
            paths.append(folder / f"signs_{page // PER_PAGE + 1:03d}.png")
            save_sheet(paths[-1], tiles, [caption(sign) for sign in signs[page : page + PER_PAGE]], 2)
    return paths
