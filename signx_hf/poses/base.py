"""What every extractor of a pose track is: three methods over one vocabulary.

`load` brings the model into memory, `extract` says who is seen in each frame, `to_row` turns one of them into a row of the
track. Who of several is the signer is decided between the last two, by `people.py`, for all tracks alike.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..data.tracks import TrackLayout


@dataclass(frozen=True)
class Clip:
    """What an extractor may know about the clip besides its frames. fps: frames per second; size: (width, height), pixels."""

    id: str
    fps: float
    size: tuple[int, int]


@dataclass(frozen=True)
class Observation:
    """One person (or, for a map of the whole picture, that picture) as one extractor sees it in one frame.

    box: left, top, right, bottom in pixels. score: 0 to 1. data: name -> array, the extractor's own. whole_frame: true for
    maps, which hold everybody and are never chosen between.
    """

    box: tuple[float, float, float, float]
    score: float
    data: dict[str, np.ndarray]
    whole_frame: bool = False


class TrackExtractor(ABC):
    """Base of the extractors. `__init__` takes and checks options and loads nothing, so that an extractor can be sent to a
    worker, which loads it there."""

    name: ClassVar[str]
    width: ClassVar[int]

    @property
    @abstractmethod
    def layout(self) -> TrackLayout:
        """What the rows mean. Needs no `load`."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Changes when anything changes that changes rows: version, options, the bytes of the model. Needs no `load`."""

    @abstractmethod
    def load(self) -> "TrackExtractor":
        """Brings the model into memory; a second call does nothing. Returns self.

        Raises:
            ImportError: an optional package is missing; names the extra.
            SignXPoseError, SignXFileNotFoundError: the model cannot be used; names file, what was found and wanted.
        """

    @abstractmethod
    def extract(self, frames: Iterable[np.ndarray], clip: Clip) -> Iterator[list[Observation]]:
        """Frames [H, W, 3] uint8 RGB, in order -> for each, everybody who is seen, in no meaningful order.

        One call is one clip: nothing is remembered from the call before, so a clip gives the same rows alone or after
        others. Frames are taken as they are needed, a few at a time; the arrays are not kept and not written to.
        """

    @abstractmethod
    def to_row(self, observation: Observation) -> np.ndarray:
        """One observation -> [width] float32 row of the track."""

    def __getstate__(self) -> dict[str, Any]:
        """What travels to a worker: the options. Anything loaded lies in attributes whose names start with `_loaded`."""
        return {key: None if key.startswith("_loaded") else value for key, value in self.__dict__.items()}
