"""The types that the parts of SignSynth exchange: the signer, and what was signed."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Signer:
    """One synthetic person.

    Attributes:
        id: Name of the signer.
        shape: Ten SMPL-X body shape coefficients.
        left_handed: Whether the left hand is dominant.
        seed: Seed of everything else that is this person's own (style of movement, skin, clothes).
        style: Filled by `motion.py`.
    """

    id: str
    shape: tuple[float, ...]
    left_handed: bool
    seed: int
    style: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class GlossSpan:
    """A gloss and when it is signed, in seconds; between two glosses is transition or rest."""

    gloss: str
    start: float
    end: float


@dataclass(frozen=True)
class Motion:
    """Signing as movement.

    Attributes:
        rows: [T, 165] float32 SMPL-X rows (`skeleton.py`).
        fps: Frame rate of the rows.
        spans: Exact times of the glosses, in order.
    """

    rows: np.ndarray
    fps: float
    spans: tuple[GlossSpan, ...]

    @property
    def glosses(self) -> tuple[str, ...]:
        """Glosses of the spans."""
        return tuple(span.gloss for span in self.spans)
