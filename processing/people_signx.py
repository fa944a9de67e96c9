"""Follow people through frames by their boxes, and choose one of them; what is kept of each frame is a box a person."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from .errors_signx import SignXPoseError
from .memory_signx import check_people

# A person is matched to the box of the previous frame that overlaps most; below this overlap it is somebody else.
SAME_PERSON_OVERLAP = 0.2


def box_of(points: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes [..., 4] (left, top, right, bottom) and areas [...], 0 where nothing is seen.

    Args:
        points: [..., K, C].
        confidence: [..., K].
    """
    seen = (confidence > 0)[..., None]
    high = np.where(seen, points[..., :2], -np.inf).max(axis=-2)
    low = np.where(seen, points[..., :2], np.inf).min(axis=-2)
    shown = seen.any(axis=-2)
    box = np.where(np.concatenate([shown] * 4, axis=-1), np.concatenate([low, high], axis=-1), 0.0)
    return box, (box[..., 2:] - box[..., :2]).prod(axis=-1)


def check_index(person: int | str, people: int, source: str) -> int | None:
    """Return the index of the chosen person, None for "largest".

    Raises:
        SignXPoseError: If there is no such person.
    """
    if person == "largest":
        return None
    if isinstance(person, bool) or not isinstance(person, int):
        raise SignXPoseError(f"{source}: `person` must be an index or 'largest', got {person!r}.")
    if not 0 <= person < people:
        raise SignXPoseError(
            f"{source}: `person` must be an index below {people} or 'largest', got {person}. The file has "
            f"{people} people."
        )
    return person


@dataclass
class FollowedPeople:
    """People of a clip, numbered in the order of appearance. Memory grows with who is seen, not with people x frames.

    Attributes:
        frames: Number of frames.
        places: Column -> frame -> position of the person in that frame.
        areas: Column -> areas of the boxes of the frames that show something of the person.
    """

    source: str
    frames: int = 0
    places: list[dict[int, int]] = field(default_factory=list)
    areas: list[list[float]] = field(default_factory=list)
    _known: dict[int, int] = field(default_factory=dict)
    _last: np.ndarray = field(default_factory=lambda: np.zeros((16, 4)))

    def add(self, people: Sequence[np.ndarray], ids: Sequence[int]) -> None:
        """Add the next frame.

        Args:
            people: [K, 3] points (x, y, confidence) of each. Who has no id and no seen point is nobody.
            ids: The file's own id of each, -1 for none.

        Raises:
            SignXPoseError: If there are too many.
        """
        boxes = [box_of(points, points[:, 2]) for points in people]
        shown = [bool((points[:, 2] > 0).any()) for points in people]
        columns = self._columns([box for box, _ in boxes], ids, shown)
        for position, column in enumerate(columns):
            if column >= 0:
                self.places[column][self.frames] = position
                self._last[column] = boxes[position][0]
                if shown[position]:
                    self.areas[column].append(float(boxes[position][1]))
        self.frames += 1

    def _columns(self, boxes: list[np.ndarray], ids: Sequence[int], shown: list[bool]) -> list[int]:
        """Return the column of each person of a frame, -1 for nobody."""
        columns = [self._known.get(name, -1) if name >= 0 else -1 for name in ids]
        loose = [i for i, name in enumerate(ids) if name < 0 and shown[i]]
        check_people(len(loose), f"{self.source}: frame {self.frames}")
        taken = {column for column in columns if column >= 0}
        for _, column, i in sorted(self._pairs(boxes, loose, taken)):
            if column not in taken and columns[i] < 0:
                columns[i] = column
                taken.add(column)
        used: set[int] = set()
        for i, name in enumerate(ids):
            if name < 0 and not shown[i]:
                continue
            if columns[i] < 0 or columns[i] in used:
                columns[i] = self._new_column()
            used.add(columns[i])
            if name >= 0:
                self._known[name] = columns[i]
        return columns

    def _new_column(self) -> int:
        self.places.append({})
        self.areas.append([])
        if len(self.places) > len(self._last):
            self._last = np.concatenate([self._last, np.zeros_like(self._last)])
        return len(self.places) - 1

    def _pairs(self, boxes: list[np.ndarray], loose: list[int], taken: set[int]) -> list[tuple[float, int, int]]:
        """Return (minus the overlap, column, position) of those who may be the same, for each position the best ones.

        No more columns of a position can matter than there are others who may take them first.
        """
        pairs, last = [], self._last[: len(self.places)]
        for i in loose:
            overlap = _overlaps(last, boxes[i])
            close = [int(column) for column in np.flatnonzero(overlap > SAME_PERSON_OVERLAP) if column not in taken]
            best = sorted((-float(overlap[column]), column, i) for column in close)
            pairs += best[: len(loose)]
        return pairs

    def choose(self, person: int | str) -> int:
        """Return the index of the chosen person; ties go to the lower index.

        "largest" is the median area of the box over the frames that show the person, times the share of frames that
        do, so that something large that appears briefly is not the signer.

        Raises:
            SignXPoseError: If there is no such person.
        """
        index = check_index(person, len(self.places), self.source)
        if index is not None:
            return index
        sizes = [float(np.median(areas)) * (len(areas) / self.frames) if areas else -1.0 for areas in self.areas]
        return int(np.argmax(sizes))


def _overlaps(boxes: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Return the intersection over union [n] of boxes [n, 4] with one box [4], 0 where both are empty."""
    common = np.clip(np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2]), 0, None).prod(axis=1)
    union = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod() - common
    return np.divide(common, union, out=np.zeros_like(union), where=union > 0)
