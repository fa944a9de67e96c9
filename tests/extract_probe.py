"""Extractors of the tests of `extract`: real rows from real frames, and a diary of what was done in a file.

The options `diary`, `pause`, `fail`, `die` and `hold` do not change rows, so they are no part of the fingerprint.
"""

import os
import signal
import time

import numpy as np

from signx_hf.data.tracks import TrackLayout
from signx_hf.poses.base import Observation, TrackExtractor


class Probe(TrackExtractor):
    """diary: file to which `<name> load` and `<name> <clip id> start|end` are appended. pause: seconds a frame. fail: id of a clip to
    fail at. die: a file; whoever finds it removes it and dies, or, if it says `always`, leaves it. hold: id of a clip that never ends."""

    def __init__(
        self, diary: str = "", pause: float = 0.0, fail: str = "", die: str = "", version: str = "1", hold: str = ""
    ):
        self.diary, self.pause, self.fail, self.die, self.version, self.hold = diary, pause, fail, die, version, hold
        self._loaded = None

    @property
    def layout(self) -> TrackLayout:
        return TrackLayout(self.name, self.width, "probe", "grey levels", "row by row", "tests", self.version)

    @property
    def fingerprint(self) -> str:
        return f"{self.name} {self.version}"

    def write(self, text: str) -> None:
        if self.diary:
            with open(self.diary, "ab", buffering=0) as file:  # one write each, so that processes do not mix lines
                file.write(f"{self.name} {text}\n".encode())

    def load(self):
        if self._loaded is None:
            self.write("load")
            self._loaded = True
        return self

    def extract(self, frames, clip):
        assert self._loaded
        self.write(f"{clip.id} start")
        if self.fail and self.fail == clip.id:
            raise ValueError("this clip is\nnot to my liking")
        if self.die and os.path.exists(self.die):
            with open(self.die) as file:
                always, _, name = file.read().partition(" ")
            if name in ("", clip.id):
                if always != "always":
                    os.unlink(self.die)
                os.kill(os.getpid(), signal.SIGKILL)
        while self.hold and self.hold == clip.id:
            time.sleep(1)
        before = None
        for frame in frames:
            time.sleep(self.pause)
            yield self.see(frame, before)
            before = frame
        self.write(f"{clip.id} end")


class Changes(Probe):
    """4 x 4 mean differences of brightness from the frame before; a map of the whole frame, unseen in the first frame."""

    name, width = "changes", 16

    def see(self, frame, before):
        if before is None:
            return []
        difference = frame.astype(np.float32).mean(2) - before.astype(np.float32).mean(2)
        grid = np.stack(
            [np.stack([c.mean() for c in np.array_split(r, 4, 1)]) for r in np.array_split(difference, 4, 0)]
        )
        return [Observation((0, 0, frame.shape[1], frame.shape[0]), 1.0, {"grid": grid}, whole_frame=True)]

    def to_row(self, observation):
        return observation.data["grid"].ravel()


class Squares(Probe):
    """Red and blue squares are people; a row is the box."""

    name, width = "squares", 4
    channels = (0, 2)

    def see(self, frame, before):
        people = []
        for channel in self.channels:
            others = [c for c in range(3) if c != channel]
            where = np.argwhere((frame[..., channel] > 200) & (frame[..., others] < 100).all(-1))
            if len(where):
                top, left = where.min(0)
                bottom, right = where.max(0) + 1
                people.append(Observation((left, top, right, bottom), 0.9, {"big": frame}))
        return people[:: -1 if len(people) and people[0].box[0] % 2 else 1]

    def to_row(self, observation):
        return np.array(observation.box)


class Centres(Squares):
    """The same people as the middle of the square."""

    name, width = "centres", 2

    def to_row(self, observation):
        left, top, right, bottom = observation.box
        return np.array([(left + right) / 2, (top + bottom) / 2])


class OneCentre(Centres):
    """Sees one person only, the red one."""

    name, channels = "one", (0,)


class Sloppy(Squares):
    """Yields too few or too many lists, rows of a wrong width, or numbers that are none, by option."""

    name = "sloppy"

    def __init__(self, fault: str, **options):
        super().__init__(**options)
        self.fault = fault

    @property
    def fingerprint(self):
        return f"sloppy {self.fault}"

    def extract(self, frames, clip):
        for index, frame in enumerate(frames):
            if self.fault == "write":
                frame[:] = 0
            if self.fault == "early" and index == 2:
                return
            box, score = (np.nan if self.fault == "box" else 0, 0, 1, 1), np.nan if self.fault == "score" else 1.0
            data = {"wrists": np.zeros((index + 1, 3))} if self.fault == "points" else {}
            yield [Observation(box, score, data)]
        while self.fault == "endless":
            yield []

    def to_row(self, observation):
        return np.full(3 if self.fault == "wide" else 4, np.inf if self.fault == "infinite" else 1.0)


class NotAnExtractor:
    pass


class Meddler(Squares):
    """Writes into the video while it is read."""

    name = "meddler"

    def __init__(self, video: str, **options):
        super().__init__(**options)
        self.video = video

    def see(self, frame, before):
        if before is None:
            with open(self.video, "ab") as file:
                file.write(b"\0")
        return super().see(frame, before)
