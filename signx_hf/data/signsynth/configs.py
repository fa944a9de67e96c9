"""The named corpora of SignSynth."""

from dataclasses import asdict, dataclass
from typing import Any

from ..errors import SignXDataError, nearest
from .arguments import whole
from .tracks import Faults

SPLITS = ("train", "dev", "test")
TASKS = ("continuous", "isolated")


@dataclass(frozen=True)
class SynthConfig:
    """All numbers of a corpus. Triples are for train, dev and test.

    Attributes:
        name: Name of the configuration.
        glosses: Size of the lexicon: 20, 100 or 1000.
        signers: Number of signers; no signer is in two splits.
        sentences: Number of distinct sentences; none is in two splits, and every gloss of dev and test is in a
            sentence of train.
        takes: How many signers perform each sentence.
        isolated: Number of clips of each gloss in isolation.
        size: Width and height of the video in pixels.
        fps: Frame rate of video and poses.
        faults: Faults of the simulated detectors whose tracks are stored.
        beside: Name of another corpus; if built from the same seed, this corpus shares no signer and sentence with it,
            nor with the corpora that it stands beside.

    Raises:
        SignXError: If a number is out of range.
    """

    name: str
    glosses: int
    signers: tuple[int, int, int]
    sentences: tuple[int, int, int]
    takes: tuple[int, int, int]
    isolated: tuple[int, int, int]
    size: int
    fps: float = 25.0
    faults: Faults = Faults()
    beside: str | None = None

    def __post_init__(self) -> None:
        whole("glosses", self.glosses, 1)
        for name, least in (("signers", 1), ("sentences", 0), ("takes", 0), ("isolated", 0)):
            triple = getattr(self, name)
            if len(triple) != len(SPLITS):
                raise SignXDataError(f"`{name}` must hold a number for each of {', '.join(SPLITS)}, got {triple}.")
            for split, number in zip(SPLITS, triple):
                whole(f"{name} of {split}", number, least)
        if whole("size", self.size, 16, 2048) % 2:
            raise SignXDataError(f"`size` must be an even number of pixels, as H.264 requires, got {self.size}.")
        if not 1 <= self.fps <= 240:
            raise SignXDataError(f"`fps` must be from 1 to 240, got {self.fps}.")

    def describe(self) -> dict[str, Any]:
        """Return the configuration as JSON holds it."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
            if key != "faults" and value is not None
        } | {"faults": {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self.faults).items()}}


CONFIGS = {
    config.name: config
    for config in (
        SynthConfig("tiny", 20, (4, 1, 1), (28, 6, 6), (1, 1, 1), (1, 1, 1), 112),
        SynthConfig("small", 100, (10, 2, 3), (400, 50, 50), (2, 1, 1), (4, 1, 1), 128),
        # many people, to train on video; evaluated on `small`
        SynthConfig("crowd", 100, (80, 2, 3), (800, 40, 40), (1, 1, 1), (0, 0, 0), 128, beside="small"),
        SynthConfig("crowd2", 100, (160, 2, 3), (1600, 20, 20), (1, 1, 1), (0, 0, 0), 128, beside="crowd"),
        SynthConfig("base", 1000, (40, 6, 8), (5000, 500, 500), (2, 1, 1), (5, 1, 1), 224),
    )
}


def named(name: str) -> SynthConfig:
    """Return the configuration of that name; SignXDataError lists the names."""
    if name not in CONFIGS:
        raise SignXDataError(f"no SignSynth configuration is called {name!r}; {nearest(name, CONFIGS)}")
    return CONFIGS[name]
