"""The looks of a synthetic signer and room, and the position of the camera, all drawn from seeds.

A `Look` belongs to the signer and is the same in all clips; a `Shot` belongs to one clip. Colors are RGB from 0 to 1.
"""

from dataclasses import dataclass

import numpy as np

from .motion_types import Signer

# ten skin tones from light to dark, after Monk's scale (Ellis Monk, 2022), warmer at the light end as under lamps
SKIN_TONES = (
    (0.93, 0.79, 0.71),
    (0.90, 0.74, 0.64),
    (0.87, 0.70, 0.57),
    (0.81, 0.63, 0.49),
    (0.73, 0.55, 0.41),
    (0.63, 0.46, 0.33),
    (0.52, 0.36, 0.26),
    (0.42, 0.28, 0.21),
    (0.33, 0.22, 0.17),
    (0.25, 0.175, 0.14),
)
HAIR = (
    (0.07, 0.06, 0.05),
    (0.16, 0.10, 0.07),
    (0.30, 0.19, 0.11),
    (0.62, 0.47, 0.26),
    (0.45, 0.20, 0.10),
    (0.6, 0.6, 0.6),
)
CLOTHES = (
    (0.08, 0.09, 0.12),
    (0.10, 0.17, 0.36),
    (0.08, 0.32, 0.30),
    (0.38, 0.09, 0.14),
    (0.30, 0.16, 0.40),
    (0.24, 0.40, 0.62),
    (0.16, 0.42, 0.20),
    (0.85, 0.86, 0.88),
    (0.66, 0.76, 0.86),
    (0.46, 0.48, 0.52),
)
LUMA = np.array((0.299, 0.587, 0.114))
CONTRAST = 0.28  # least distance in luma and chroma between skin and what hands are seen against


@dataclass(frozen=True)
class Look:
    """A signer's looks.

    Attributes:
        sleeve: 0 bare arms, 0.5 to the elbow, 1 to the wrist.
        hairline: Share of the head's height above which hair begins in front.
        hair_length: 0 short, 1 down the neck.
    """

    skin: tuple[float, float, float]
    hair: tuple[float, float, float]
    top: tuple[float, float, float]
    trousers: tuple[float, float, float]
    lips: tuple[float, float, float]
    sleeve: float
    hairline: float
    hair_length: float


@dataclass(frozen=True)
class Camera:
    """A pinhole camera, looking at `target`.

    Attributes:
        position: Meters.
        target: Meters.
        focal: Focal length in units of the image height.
        roll: Radians, clockwise.
    """

    position: tuple[float, float, float]
    target: tuple[float, float, float]
    focal: float
    roll: float

    def axes(self) -> np.ndarray:
        """Return the camera's right, up and backward axes in space as rows [3, 3]."""
        back = np.subtract(self.position, self.target)
        back = back / np.linalg.norm(back)
        right = np.cross((0.0, 1.0, 0.0), back)
        right = right / np.linalg.norm(right)
        up = np.cross(back, right)
        cos, sin = np.cos(self.roll), np.sin(self.roll)
        return np.stack([cos * right - sin * up, sin * right + cos * up, back])

    def project(self, points: np.ndarray, size: int) -> np.ndarray:
        """Project points [..., 3] in meters to x, y in pixels of a square image and depth along the view in meters [..., 3].

        x and y are 0 at the left and upper edge of the image, so the center of the first pixel is at (0.5, 0.5).
        """
        seen = (np.asarray(points, dtype=np.float64) - self.position) @ self.axes().T
        depth = -seen[..., 2]
        scale = self.focal * size / depth
        return np.stack([size / 2 + seen[..., 0] * scale, size / 2 - seen[..., 1] * scale, depth], axis=-1)


@dataclass(frozen=True)
class Shot:
    """The looks of one clip, apart from the signer.

    Attributes:
        camera: The camera.
        lights: (direction to the light, strength) of key and fill light.
        ambient: Strength of the light without direction.
        wall: Meters from the signer to the background.
        background: Seed of the background image.
        blur: Sigma of the lens blur in pixels.
        shutter: Share of a frame's time during which it is exposed.
        noise: Standard deviation of the sensor noise, of 255.
        crf: Constant rate factor of H.264; less is better.
    """

    camera: Camera
    lights: tuple[tuple[tuple[float, float, float], float], ...]
    ambient: float
    wall: float
    background: int
    blur: float
    shutter: float
    noise: float
    crf: int


def distance(first: np.ndarray, second: np.ndarray) -> float:
    """Estimate the visible difference of two colors: brightness counts fully, hue half."""
    difference = np.subtract(first, second)
    luma = float(difference @ LUMA)
    return float(np.hypot(luma, 0.5 * np.linalg.norm(difference - luma)))


def _apart(choices: tuple, generator: np.random.Generator, *others: tuple) -> tuple[float, float, float]:
    """Return a random choice among those well apart from the others, or the farthest if there is none."""
    away = np.array([min(distance(choice, other) for other in others) for choice in choices])
    good = np.flatnonzero(away >= CONTRAST)
    chosen = choices[int(generator.choice(good))] if len(good) else choices[int(away.argmax())]
    return tuple(float(value) for value in np.clip(np.add(chosen, generator.normal(0, 0.02, 3)), 0.02, 0.97))


def signer_look(signer: Signer) -> Look:
    """Draw the looks of a signer from the signer's seed; clothes contrast with the skin, so that hands stand out."""
    generator = np.random.default_rng((signer.seed, 0x100C))
    tone = generator.uniform(0, len(SKIN_TONES) - 1)
    lower, share = int(tone), tone - int(tone)
    skin = (1 - share) * np.array(SKIN_TONES[lower]) + share * np.array(SKIN_TONES[lower + 1])
    top = _apart(CLOTHES, generator, tuple(skin))
    lips = np.clip(skin * (0.80, 0.52, 0.52) + (0.06, 0.0, 0.0), 0, 1)
    return Look(
        skin=tuple(skin.tolist()),
        hair=HAIR[int(generator.integers(len(HAIR)))],
        top=top,
        trousers=_apart(CLOTHES, generator, top),
        lips=tuple(lips.tolist()),
        sleeve=float(generator.choice((0.0, 0.5, 1.0), p=(0.15, 0.4, 0.45))),
        hairline=float(generator.uniform(0.72, 0.84)),
        hair_length=float(generator.choice((0.0, 1.0))),
    )


def _direction(yaw: float, pitch: float) -> tuple[float, float, float]:
    return (float(np.sin(yaw) * np.cos(pitch)), float(np.sin(pitch)), float(np.cos(yaw) * np.cos(pitch)))


def clip_shot(generator: np.random.Generator, points: np.ndarray) -> Shot:
    """Draw the camera, light and room of one clip.

    Args:
        generator: The random generator.
        points: [N, 3] meters that must be in the image: head, hips, and wherever the hands go. They fill at least nine
            tenths of it, with the same margin above and below, or left and right.
    """
    yaw, pitch = (
        float(np.clip(generator.normal(0, 0.12), -0.35, 0.35)),
        float(np.clip(generator.normal(0.02, 0.05), -0.1, 0.15)),
    )
    span, margin = float(generator.uniform(1.9, 2.8)), float(generator.uniform(0.455, 0.485))
    roll = float(np.clip(generator.normal(0, 0.015), -0.04, 0.04))
    target = (points.min(axis=0) + points.max(axis=0)) / 2 * (1, 1, 0)
    for _ in range(3):  # moving the camera changes the perspective a little, so the middle is found in steps
        position = target + span * np.array(_direction(yaw, pitch))
        camera = Camera(tuple(position.tolist()), tuple(target.tolist()), 1.0, roll)
        across, down = camera.project(points, 1)[:, :2].T - 0.5
        target = (
            target
            + span
            * np.array((np.ptp(across) / 2 + across.min(), -(np.ptp(down) / 2 + down.min())))
            @ camera.axes()[:2]
        )
    position = target + span * np.array(_direction(yaw, pitch))
    camera = Camera(tuple(position.tolist()), tuple(target.tolist()), 1.0, roll)
    focal = margin / float(np.abs(camera.project(points, 1)[:, :2] - 0.5).max())
    camera = Camera(camera.position, camera.target, focal, roll)
    side = generator.choice((-1.0, 1.0))
    key = _direction(side * generator.uniform(0.2, 0.9), generator.uniform(0.3, 0.9))
    fill = _direction(-side * generator.uniform(0.4, 1.2), generator.uniform(-0.1, 0.5))
    return Shot(
        camera=camera,
        lights=((key, float(generator.uniform(0.42, 0.6))), (fill, float(generator.uniform(0.08, 0.2)))),
        ambient=float(generator.uniform(0.36, 0.46)),
        wall=float(generator.uniform(0.6, 2.0)),
        background=int(generator.integers(2**31)),
        blur=float(generator.choice((0.0, generator.uniform(0.3, 0.7)))),
        shutter=float(generator.choice((0.0, generator.uniform(0.2, 0.5)))),
        noise=float(generator.uniform(0.5, 4.0)),
        crf=int(generator.integers(18, 27)),
    )


def background(shot: Shot, look: Look, size: int) -> np.ndarray:
    """Draw the empty room [size, size, 3] float32, 0 to 255: plain, a gradient, blurred noise, or a few shapes."""
    generator = np.random.default_rng((shot.background, 0xBAC6))
    walls = (
        (0.93, 0.93, 0.91),
        (0.75, 0.80, 0.83),
        (0.55, 0.62, 0.66),
        (0.30, 0.42, 0.36),
        (0.22, 0.25, 0.30),
        (0.60, 0.56, 0.5),
    )
    color = np.array(_apart(walls, generator, look.skin, look.top))
    kind = generator.choice(("plain", "gradient", "noise", "shapes"))
    across, down = np.meshgrid((np.arange(size) + 0.5) / size, (np.arange(size) + 0.5) / size)
    picture = np.broadcast_to(color, (size, size, 3)).copy()
    if kind == "gradient":
        slope = np.cos(turn := generator.uniform(0, 2 * np.pi)) * (across - 0.5) + np.sin(turn) * (down - 0.5)
        picture = picture * (1 + generator.uniform(0.1, 0.35) * slope)[..., None]
    elif kind == "noise":
        for cells in (4, 8):
            coarse = generator.normal(0, 0.035, (cells, cells, 1))
            where = np.clip((np.arange(size) + 0.5) / size * cells - 0.5, 0, cells - 1.001)
            low, share = where.astype(int), (where - where.astype(int))[:, None, None]
            rows = coarse[low] * (1 - share) + coarse[low + 1] * share
            picture += rows[:, low] * (1 - share[:, 0]) + rows[:, low + 1] * share[:, 0]
    elif kind == "shapes":
        for _ in range(int(generator.integers(2, 5))):
            left, upper = generator.uniform(-0.2, 0.9, 2)
            width, height = generator.uniform(0.1, 0.5, 2)
            inside = (across > left) & (across < left + width) & (down > upper) & (down < upper + height)
            picture[inside] = np.clip(color + generator.normal(0, 0.07, 3), 0, 1)
    return (np.clip(picture, 0, 1) * 255).astype(np.float32)
