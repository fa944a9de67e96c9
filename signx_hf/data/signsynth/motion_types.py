"""What passes between the parts of SignSynth: who signs, and what was signed."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Signer:
    """One made-up person.

    shape: ten SMPL-X body shape coefficients. seed: of everything else that is this person's own (style of movement, skin,
    clothes). style: filled by `motion.py`.
    """

    id: str
    shape: tuple[float, ...]
    left_handed: bool
    seed: int
    style: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class GlossSpan:
    """A gloss and when it is signed, in seconds; what lies between two glosses is transition or rest."""

    gloss: str
    start: float
    end: float


@dataclass(frozen=True)
class Motion:
    """Signing as movement. rows: [T, 165] float32 SMPL-X rows (`skeleton.py`). fps: of the rows. spans: exact, in order."""

    rows: np.ndarray
    fps: float
    spans: tuple[GlossSpan, ...]

    @property
    def glosses(self) -> tuple[str, ...]:
        return tuple(span.gloss for span in self.spans)
