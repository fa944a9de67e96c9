"""Detect signing: rest and activity frame by frame, as frames arrive.

A recognizer trained on single sentences misses signs next to a rest in the middle of its input, so long recordings are
cut where the hands rest. A hold is still, too, and a sign can last a second without motion. What tells the two apart
is the position of the hands: down, according to keypoints, or as in the still frame before the signing began. Other
tracks do not say where the hands are; for them only stillness longer than a hold is a rest.
"""

from collections import deque
from collections.abc import Mapping

import numpy as np

from .keypoints_signx import (
    DWPOSE_SHOULDERS,
    DWPOSE_WIDTH,
    MEDIAPIPE_SHOULDERS,
    MEDIAPIPE_WIDTH,
    dwpose_points,
    mediapipe_points,
)

MEMORY_SECONDS = 20.0  # window over which lengths and speeds are compared
# Shoulder widths below the shoulders. In SignSynth hands sign above 1.3 and rest at 1.5; hips are at 1.7.
LOW_WRIST = 1.3
# Hands folded in front of the belly rest, too, but only if they are still: shoulder widths below, and per second.
MIDDLE_WRIST, STILL_SPEED = 0.9, 0.4
SMOOTHING_SECONDS = 0.25
# Tracks and pictures without keypoints: a frame rests below this share of the usual change in signing.
RESTING_SHARE = 0.3
LONGEST_HOLD = 1.5  # seconds; shorter stillness of tracks without keypoints may be part of a sign
PICTURE_NOISE = 3.0  # gray levels by which a cell may change although nothing moves
# Shares. If so many cells change, the scene has changed (0.63 and more at the cuts of joined SignSynth clips, at most
# 0.17 within them). A smaller difference from the resting picture, relative to its own range, is rest whatever the
# usual change in signing.
CUT_CELLS, RESTING_RANGE = 0.4, 0.06
# After still frames a smaller change is a cut: the start of signing changes at most 0.12 of the cells (SignSynth's dev
# split).
STILL_CELLS, START_CELLS, STILL_FRAMES = 0.01, 0.15, 3
RESTLESS_SECONDS = 15.0  # without a rest; then another picture is taken as the resting one
CELLS, CHANGED_CELLS = 32, 51  # cells along a side; 5 % of all, about the share of two hands
POSE_STILL = 1e-4  # of the range of a track
# Hands alone, in fractions of the picture. In 3,000 clips of WLASL wrists are at 0.85 (median) where hands appear and
# disappear, and at 0.58 in the middle of a sign, beyond 0.78 in 5 %. Below the first they rest; below the second if
# they are slow (palms per second).
LOW_HAND, MIDDLE_HAND, STILL_PALMS = 0.92, 0.76, 1.6
HANDS, PALM = "hands", (0, 9)  # two hands of 21 points (x, y, z); wrist and knuckle of the middle finger
KEY_POINTS = {
    "mediapipe": MEDIAPIPE_WIDTH,
    "dwpose": DWPOSE_WIDTH,
    HANDS: 126,
}  # tracks that give the position of hands -> their width


class PoseActivity:
    """Detect rest and activity in poses as measured (not normalized).

    Keypoints (`mediapipe`, else `dwpose`) give the position of the wrists in shoulder widths from the shoulders.
    `hands`, two hands without a body, gives whether they are in the picture, how low and how fast. Other tracks are
    judged by their speed relative to its usual value. A frame without a body, or without hands, is rest. If the set of
    tracks changes, a new recording has begun.

    Args:
        fps: Frames per second of what is pushed.

    Attributes:
        shortest_rest: Seconds for which hands have to rest to end an utterance; 0 where a rest can be told from a
            hold.
        has_moved: Whether anything has moved so far.
    """

    def __init__(self, fps: float):
        self._fps = fps
        self._tracks: frozenset[str] = frozenset()
        self._begin()

    def _begin(self) -> None:
        """Reset the state."""
        fps = self._fps
        self._widths: deque[float] = deque(maxlen=max(1, round(MEMORY_SECONDS * fps)))
        self._speeds: deque[float] = deque(maxlen=max(1, round(MEMORY_SECONDS * fps)))
        self._recent: deque[float] = deque(maxlen=max(1, round(SMOOTHING_SECONDS * fps)))
        self._last: np.ndarray | None = None
        self._still = 0  # frames in a row in which hands without a body were slow
        self.has_moved = False

    @property
    def _track(self) -> str | None:
        return next((name for name in KEY_POINTS if name in self._tracks), None)

    @property
    def shortest_rest(self) -> float:
        """Return the seconds for which hands have to rest to end an utterance; 0 where a rest can be told from a hold."""
        return LONGEST_HOLD if self._tracks and self._track is None else 0.0

    def push(self, tracks: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return which frames rest and which follow a cut.

        Args:
            tracks: Name -> rows `[n, d]`.
            masks: Name -> whether each row was observed, `[n]`.

        Returns:
            Rests `[n]` and cuts `[n]`, bool. Poses have no cuts.
        """
        # A track with the name of a keypoint track but another width is a different track.
        names = frozenset(
            n if tracks[n].shape[1] == KEY_POINTS.get(n, tracks[n].shape[1]) else f"other {n}" for n in masks
        )
        if self._tracks != names:  # another recording, with other tracks
            self._tracks = names
            self._begin()
        name = self._track
        frames = len(next(iter(masks.values())))
        if name == HANDS:
            rests = self._hands_rest(np.asarray(tracks[name], np.float64), masks[name].astype(bool))
        elif name is not None and masks[name].any():
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
        """Return whether wrists rest.

        Args:
            places: [2, 2] positions in shoulder widths.
            seen: [2]; a wrist that is not seen is out of the picture, or down.
        """
        places = np.where(seen[:, None], places, np.nan)
        if self._last is not None:
            ways = np.hypot(*(places - self._last).T)
            self._recent.append(float(np.nanmax(ways)) * self._fps if not np.isnan(ways).all() else 0.0)
            self.has_moved = self.has_moved or self._recent[-1] > STILL_SPEED
        self._last = places
        highest = float(np.nanmin(places[:, 1])) if seen.any() else np.inf
        speed = sum(self._recent) / len(self._recent) if self._recent else 0.0
        return highest > LOW_WRIST or (highest > MIDDLE_WRIST and speed < STILL_SPEED)

    def _hands_rest(self, rows: np.ndarray, observed: np.ndarray) -> np.ndarray:
        """Return which rows [n, 126] of two hands rest; a hand that is missing is NaN or 0."""
        hands = rows.reshape(len(rows), 2, -1, 3)
        seen = observed[:, None] & np.isfinite(hands).all((2, 3)) & hands.any((2, 3))
        rests = np.ones(len(rows), bool)
        for row, (points, there) in enumerate(zip(hands[..., :2], seen)):
            if not there.any():
                self._last, self._still = None, 0
                continue
            palms = np.hypot(*(points[there, PALM[0]] - points[there, PALM[1]]).T)
            self._widths.append(float(palms.max()))
            palm = float(np.median(self._widths)) or 1.0
            wrists = np.where(there[:, None], points[:, PALM[0]], np.nan)
            if self._last is not None:
                # Slots may swap: each hand is matched to the nearest previous one.
                ways = np.hypot(*(wrists[:, None] - self._last[None]).transpose(2, 0, 1)) / palm
                known = ~np.isnan(ways).all(1)
                self._recent.append(float(np.nanmin(ways[known], axis=1).max()) * self._fps if known.any() else 0.0)
                self.has_moved = self.has_moved or self._recent[-1] > STILL_PALMS
            self._last = wrists
            is_slow = bool(self._recent) and sum(self._recent) / len(self._recent) < STILL_PALMS
            self._still = self._still + 1 if is_slow else 0
            highest = float(np.nanmin(wrists[:, 1]))
            in_picture = float(np.nanmax(wrists)) <= 2.0  # otherwise pixels of a picture of unknown height
            low = in_picture and (highest > LOW_HAND or (highest > MIDDLE_HAND and is_slow))
            rests[row] = low or self._still > LONGEST_HOLD * self._fps
        return rests

    def _slow(self, rows: np.ndarray) -> np.ndarray:
        """Return which rows [n, d] are slow relative to the 80th percentile of recent speeds."""
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


def signing_frames(values: np.ndarray, mask: np.ndarray, slices: Mapping[str, slice], fps: float) -> tuple[int, int]:
    """Find the frames of a clip in which somebody signs.

    Args:
        values: `[T, D]` pose features as the model reads them; keypoints in shoulder widths from the shoulders.
        mask: `[T, N]`, whether each track was observed.
        slices: Name of a track -> its columns, in the order of `mask`.
        fps: Frames per second.

    Returns:
        First frame and the one after the last. For hands without a body, the frames that have any; all frames if
        nothing moves.
    """
    masks = {name: mask[:, place].astype(bool) for place, name in enumerate(slices) if mask[:, place].any()}
    if HANDS in masks and not masks.keys() & {
        "mediapipe",
        "dwpose",
    }:  # derived features have no positions, so presence decides
        return _ends(masks[HANDS])
    rests, _ = PoseActivity(fps).push({name: values[:, slices[name]] for name in masks}, masks)
    return _ends(~rests)


def signing_pictures(frames: np.ndarray, fps: float) -> tuple[int, int]:
    """Find the frames of a clip in which somebody signs, from uint8 frames `[T, H, W, 3]`; see `signing_frames`."""
    rests, _ = PictureActivity(fps).push(frames)
    return _ends(~rests)


def _ends(active: np.ndarray) -> tuple[int, int]:
    places = np.flatnonzero(active)
    return (int(places[0]), int(places[-1]) + 1) if len(places) else (0, len(active))


class PictureActivity:
    """Detect rest and activity in video frames: rest is what looks like the first frame of a scene.

    If no frame does for long, the scene began amid signing, and the stillest frame since then is taken as rest.

    Args:
        fps: Frames per second of what is pushed.
    """

    shortest_rest = 0.0  # as for PoseActivity

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
        """Return which uint8 frames [n, H, W, 3] rest `[n]`, and which are the first after a cut `[n]`."""
        both = [self._push_one(cells) for cells in _gray_cells(frames)]
        return np.array([rests for rests, _ in both], bool), np.array([cut for _, cut in both], bool)

    def _push_one(self, cells: np.ndarray) -> tuple[bool, bool]:
        before, self._last = self._last, cells
        changed = np.zeros_like(cells) if before is None else np.abs(cells - before)
        share = float((changed > 2 * PICTURE_NOISE).mean())
        was_still = len(self._shares) == STILL_FRAMES and max(self._shares) < STILL_CELLS
        is_jump = share > (START_CELLS if was_still else CUT_CELLS)
        self._shares.append(share)
        # Consecutive jumps are not cuts but flicker, or a frame full of motion.
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
        self._away.clear()  # what is usual for one signer does not apply to the next


def _gray_cells(frames: np.ndarray) -> np.ndarray:
    """Return the mean green level of about CELLS x CELLS cells, float32 [n, h, w], of uint8 frames [n, H, W, 3]."""
    green = frames[..., 1].astype(np.float32)
    for axis in (1, 2):
        size = max(1, green.shape[axis] // CELLS)
        count = green.shape[axis] // size
        shape = (*green.shape[:axis], count, size, *green.shape[axis + 1 :])
        green = green.take(range(count * size), axis=axis).reshape(shape).mean(axis=axis + 1)
    return green


def _mean_of_most(change: np.ndarray) -> float:
    """Return the mean of the cells that differ most."""
    change = change.ravel()
    count = min(CHANGED_CELLS, change.size)
    return float(np.partition(change, -count)[-count:].mean())
