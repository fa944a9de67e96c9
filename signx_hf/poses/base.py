"""The interface of an extractor of a pose track.

`load` loads the model, `extract` detects the people in each frame, `to_row` converts one of them to a row of the
track. Between the last two, `people.py` chooses the signer, for all tracks alike.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..data.tracks import TrackLayout


@dataclass(frozen=True)
class Clip:
    """What an extractor knows about the clip besides its frames. fps: frames per second. size: (width, height),
    pixels."""

    id: str
    fps: float
    size: tuple[int, int]


@dataclass(frozen=True)
class Observation:
    """One person, or a map of the whole frame, as one extractor sees it in one frame.

    Args:
        box: Left, top, right, bottom in pixels.
        score: 0 to 1.
        data: Name -> array, specific to the extractor.
        whole_frame: True for maps, which show everybody and are never chosen between.
    """

    box: tuple[float, float, float, float]
    score: float
    data: dict[str, np.ndarray]
    whole_frame: bool = False


class TrackExtractor(ABC):
    """Base class of the extractors.

    `__init__` checks options and loads nothing, so that an extractor can be sent to a worker process, which calls
    `load` there.
    """

    name: ClassVar[str]
    width: ClassVar[int]

    @property
    @abstractmethod
    def layout(self) -> TrackLayout:
        """Return the meaning of the rows. Needs no `load`."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Return a hash of everything that determines the rows: version, options, the bytes of the model. Needs no
        `load`."""

    @abstractmethod
    def load(self) -> "TrackExtractor":
        """Load the model and return self; a second call does nothing.

        Raises:
            ImportError: If an optional package is missing. The message names the extra.
            SignXPoseError, SignXFileNotFoundError: If the model cannot be used. The message names the file and the
                problem.
        """

    @abstractmethod
    def extract(self, frames: Iterable[np.ndarray], clip: Clip) -> Iterator[list[Observation]]:
        """Yield everybody who is seen in each frame, in any order.

        One call is one clip and keeps no state of an earlier call, so a clip gives the same rows alone or after
        others. Frames are taken as needed, a few at a time; the arrays are neither kept nor written to.

        Args:
            frames: [H, W, 3] uint8 RGB, in order.
            clip: The clip that they are of.
        """

    @abstractmethod
    def to_row(self, observation: Observation) -> np.ndarray:
        """Convert an observation to a row [width] float32 of the track."""

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the options without anything loaded, which is in attributes whose names start with `_loaded`."""
        return {key: None if key.startswith("_loaded") else value for key, value in self.__dict__.items()}
