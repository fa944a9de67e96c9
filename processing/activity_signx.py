"""Where somebody signs: rest and activity frame by frame, while the frames arrive.

A recogniser that was trained on single sentences loses the signs next to a rest in the middle of what it sees, so long
recordings are cut where the hands rest. A hold is still, too, and a sign can last a second without motion; what tells the
two apart is where the hands are: down, as key points show, or as in the still picture before the signing began. Of other tracks
nobody knows where the hands are; there only stillness that is longer than a hold is a rest.
"""

from collections import deque
from collections.abc import Mapping

import numpy as np

from .keypoints_signx import DWPOSE_SHOULDERS, MEDIAPIPE_SHOULDERS, dwpose_points, mediapipe_points

MEMORY_SECONDS = 20.0  # over which lengths and speeds are compared
# In shoulder widths below the shoulders; in SignSynth hands sign above 1.3 and rest at 1.5, hips are at 1.7.
LOW_WRIST = 1.3
# Hands folded before the belly rest, too, but only where they are still: shoulder widths below, and per second.
MIDDLE_WRIST, STILL_SPEED = 0.9, 0.4
SMOOTHING_SECONDS = 0.25
# Tracks and pictures without key points: a frame rests below this share of what is usual in signing.
RESTING_SHARE = 0.3
LONGEST_HOLD = 1.5  # seconds; shorter stillness of tracks without key points may lie within a sign
PICTURE_NOISE = 3.0  # grey levels by which a cell may change without anything moving
# Shares. A picture in which so many cells change is another scene (0.63 and more at the cuts of joined SignSynth clips, 0.17 at most
# within them); what differs from the resting picture by less of the picture's own range is rest, whatever is usual in signing.
CUT_CELLS, RESTING_RANGE = 0.4, 0.06
# After frames that are still a smaller change is a cut: signing that begins changes 0.12 of the cells at most (SignSynth's dev split).
STILL_CELLS, START_CELLS, STILL_FRAMES = 0.01, 0.15, 3
RESTLESS_SECONDS = 15.0  # without a rest, after which the picture that was taken for rest is given up
CELLS, CHANGED_CELLS = 32, 51  # cells along a side; 5 % of all, about the share of two hands
POSE_STILL = 1e-4  # of the spread of a track


class PoseActivity:
    """Rest and activity from poses as measured (not normalised).

    Key points (`mediapipe`, else `dwpose`) are asked where the wrists are, in shoulder widths from the shoulders; other tracks
    how fast they change against what is usual in them. A frame without a body is rest. The tracks are those that come; where others come, another recording has begun.

    Args:
        fps: of the frames that are pushed.

    Attributes:
        shortest_rest: seconds for which hands have to rest to end an utterance, 0 where a rest is told from a hold.
        has_moved: whether anything moved so far.
    """

    def __init__(self, fps: float):
        self._fps = fps
        self._tracks: frozenset[str] = frozenset()
        self._begin()

    def _begin(self) -> None:
        """Forgets what was pushed."""
        fps = self._fps
        self._widths: deque[float] = deque(maxlen=max(1, round(MEMORY_SECONDS * fps)))
        self._speeds: deque[float] = deque(maxlen=max(1, round(MEMORY_SECONDS * fps)))
        self._recent: deque[float] = deque(maxlen=max(1, round(SMOOTHING_SECONDS * fps)))
        self._last: np.ndarray | None = None
        self.has_moved = False

    @property
    def _track(self) -> str | None:
        return next((name for name in ("mediapipe", "dwpose") if name in self._tracks), None)

    @property
    def shortest_rest(self) -> float:
        return LONGEST_HOLD if self._tracks and self._track is None else 0.0

    def push(self, tracks: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Rows `{name: [n, d]}` with masks `{name: [n]}` to (rests [n], is a cut [n]); poses know no cuts."""
        if self._tracks != masks.keys():  # another recording, of other tracks
            self._tracks = frozenset(masks)
            self._begin()
        name = self._track
        frames = len(next(iter(masks.values())))
        if name is not None and masks[name].any():
            rests = self._wrists_rest(name, tracks[name], masks[name].astype(bool))
        elif name is not None:
            rests = np.ones(frames, bool)
        else:
            rests = self._slow(np.concatenate([np.where(masks[n][:, None], tracks[n], 0.0) for n in tracks], axis=1))
        return rests, np.zeros(frames, bool)

    def _wrists_rest(self, name: str, values: np.ndarray, observed: np.ndarray) -> np.ndarray:
        if name == "dwpose":
            points, present = dwpose_points(np.asarray(values, np.float64))
            shoulders, wrists = DWPOSE_SHOULDERS, (4, 7)
        else:
            points, present, _, _ = mediapipe_points(np.asarray(values, np.float64))
            shoulders, wrists = MEDIAPIPE_SHOULDERS, (15, 16)
        present = present & observed[:, None]
        body = present[:, list(shoulders)].all(axis=1)
        rests = np.ones(len(values), bool)
        for row in np.flatnonzero(body):
            left, right = points[row, list(shoulders), :2]
            self._widths.append(float(np.hypot(*(left - right))))
            width = float(np.median(self._widths)) or 1.0
            places = (points[row, list(wrists), :2] - (left + right) / 2) / width
            seen = present[row, list(wrists)]
            rests[row] = self._is_resting(places, seen)
        return rests

    def _is_resting(self, places: np.ndarray, seen: np.ndarray) -> bool:
        """Wrists [2, 2] in shoulder widths and which are seen [2]; one that is not seen is out of the picture, or down."""
        places = np.where(seen[:, None], places, np.nan)
        if self._last is not None:
            ways = np.hypot(*(places - self._last).T)
            self._recent.append(float(np.nanmax(ways)) * self._fps if not np.isnan(ways).all() else 0.0)
            self.has_moved = self.has_moved or self._recent[-1] > STILL_SPEED
        self._last = places
        highest = float(np.nanmin(places[:, 1])) if seen.any() else np.inf
        speed = sum(self._recent) / len(self._recent) if self._recent else 0.0
        return highest > LOW_WRIST or (highest > MIDDLE_WRIST and speed < STILL_SPEED)

    def _slow(self, rows: np.ndarray) -> np.ndarray:
        """Rows [n, d] of which nothing is known: slow against the upper fifth of the speeds of the last seconds."""
        before = rows[:1] if self._last is None else self._last
        ways = np.sqrt(np.square(np.diff(np.concatenate([before, rows]), axis=0)).mean(axis=1))
        self._last = rows[-1:]
        rests = np.zeros(len(rows), bool)
        for row, way in enumerate(ways.tolist()):
            moves = way > POSE_STILL * float(np.abs(rows[row]).max(initial=0.0))
            self.has_moved = self.has_moved or moves
            self._speeds.append(way)
            self._recent.append(way)
            usual = float(np.percentile(self._speeds, 80))
            rests[row] = not moves or sum(self._recent) / len(self._recent) < RESTING_SHARE * usual
        return rests


class PictureActivity:
    """Rest and activity from pictures: rest is what looks like the first picture of a scene.

    Where nothing does for long, the scene began amid signing, and the stillest picture since takes its place.

    Args:
        fps: of the frames that are pushed.
    """

    shortest_rest = 0.0  # as in PoseActivity

    def __init__(self, fps: float):
        self._patience = round(RESTLESS_SECONDS * fps)
        self._recent: deque[float] = deque(maxlen=max(1, round(SMOOTHING_SECONDS * fps)))
        self._away: deque[float] = deque(maxlen=max(1, round(MEMORY_SECONDS * fps)))  # of frames that do not rest
        self._shares: deque[float] = deque(maxlen=STILL_FRAMES)  # of cells that changed
        self._last: np.ndarray | None = None
        self._rest: np.ndarray | None = None
        self._stillest: tuple[float, np.ndarray] | None = None
        self._restless = 0
        self._jumped = False
        self.has_moved = False

    def push(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """uint8 frames [n, H, W, 3] to (rests [n], is the first frame after a cut [n])."""
        both = [self._push_one(cells) for cells in _grey_cells(frames)]
        return np.array([rests for rests, _ in both], bool), np.array([cut for _, cut in both], bool)

    def _push_one(self, cells: np.ndarray) -> tuple[bool, bool]:
        before, self._last = self._last, cells
        changed = np.zeros_like(cells) if before is None else np.abs(cells - before)
        share = float((changed > 2 * PICTURE_NOISE).mean())
        was_still = len(self._shares) == STILL_FRAMES and max(self._shares) < STILL_CELLS
        is_jump = share > (START_CELLS if was_still else CUT_CELLS)
        self._shares.append(share)
        # One jump after the other is no cut but a flicker, or a picture full of motion.
        is_cut, self._jumped = is_jump and not self._jumped, is_jump
        if before is None or is_cut:
            self._start_scene(cells)
            return True, is_cut
        change = _mean_of_most(changed)
        self._recent.append(change)
        self.has_moved = self.has_moved or change > PICTURE_NOISE
        still = sum(self._recent) / len(self._recent)
        if self._stillest is None or still < self._stillest[0]:
            self._stillest = (still, cells)
        away = _mean_of_most(np.abs(cells - self._rest))
        usual = float(np.percentile(self._away, 80)) if self._away else 0.0
        low, high = np.percentile(cells, (5, 95))
        rests = away < max(PICTURE_NOISE, RESTING_RANGE * float(high - low), RESTING_SHARE * usual)
        if rests:
            self._restless, self._stillest = 0, None
        else:
            self._away.append(away)
            self._restless += 1
            if self._restless > self._patience:
                self._rest, self._restless, self._stillest = self._stillest[1], 0, None
        return rests, False

    def _start_scene(self, cells: np.ndarray) -> None:
        self._rest, self._stillest, self._restless = cells, None, 0
        self._recent.clear()
        self._away.clear()  # what is usual with one signer says nothing of the next


def _grey_cells(frames: np.ndarray) -> np.ndarray:
    """uint8 [n, H, W, 3] to the mean green level of about CELLS x CELLS cells, float32 [n, h, w]."""
    green = frames[..., 1].astype(np.float32)
    for axis in (1, 2):
        size = max(1, green.shape[axis] // CELLS)
        count = green.shape[axis] // size
        shape = (*green.shape[:axis], count, size, *green.shape[axis + 1 :])
        green = green.take(range(count * size), axis=axis).reshape(shape).mean(axis=axis + 1)
    return green


def _mean_of_most(change: np.ndarray) -> float:
    """Mean of the cells that differ most."""
    change = change.ravel()
    count = min(CHANGED_CELLS, change.size)
    return float(np.partition(change, -count)[-count:].mean())
