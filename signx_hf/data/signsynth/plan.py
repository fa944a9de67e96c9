"""What is in a corpus: who signs which sentence or sign in which split. Decided before anything is drawn."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...processing.errors_signx import SignXError
from .configs import SPLITS, SynthConfig
from .lexicon import Lexicon, lexicon
from .motion import HeadSpan, perform
from .motion_types import Motion, Signer
from .phonology import Sign
from .signers import signers

LANGUAGE_SEED = 0  # of the forms of signs: another seed is another corpus in the same language


@dataclass(frozen=True)
class ClipPlan:
    """One clip to be. signs, head: what `motion.perform` takes. text: English, None for a sign alone."""

    id: str
    task: str
    split: str
    signer: Signer
    signs: tuple[Sign, ...]
    text: str | None = None
    head: tuple[HeadSpan, ...] = ()


def lexicon_of(config: SynthConfig) -> Lexicon:
    """The lexicon of a configuration, the same for every seed."""
    return lexicon(config.glosses, LANGUAGE_SEED)


def perform_clip(plan: ClipPlan, generator: np.random.Generator, fps: float) -> Motion:
    """The motion of a planned clip."""
    return perform(plan.signs, plan.signer, generator, fps, plan.head)


def split_signers(config: SynthConfig, seed: int) -> dict[str, list[Signer]]:
    """The signers of each split; nobody is in two of them."""
    everybody = signers(sum(config.signers), seed)
    ends = np.cumsum(config.signers)
    return {split: everybody[end - count : end] for split, count, end in zip(SPLITS, config.signers, ends)}
