"""The `mediapipe` track: key points of MediaPipe Holistic, with the models in its wheel.

Holistic tracks one person, the most prominent. If several are visible, `people.choose_in_tracks` leaves out the frames
in which it tracked somebody other than the signer. It smooths over time and takes each frame for 1/30 s, whatever the
rate of the clip, as is common.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ..common.fingerprints import fingerprint
from ..data.tracks import TrackLayout
from ..processing.errors_signx import SignXPoseError
from ..processing.keypoints_signx import (
    HAND_POINTS,
    MEDIAPIPE_LAYOUT,
    MEDIAPIPE_ORDER,
    MEDIAPIPE_SHOULDERS,
    MEDIAPIPE_UNITS,
    MEDIAPIPE_WIDTH,
)
from ..processing.mediapipe_signx import (
    HOLISTIC_OPTIONS,
    POSE_MODELS,
    LandmarkGraph,
    holistic_files,
    holistic_parts,
    holistic_row,
    load_solution,
    mediapipe_version,
)
from .base import Clip, Observation, TrackExtractor
from .frames import check_frame

WRISTS = (15, 16)  # left, right, of the pose
# MediaPipe returns all 33 points, guessed where they are hidden or outside the frame
SEEN_VISIBILITY = 0.5


class MediaPipeExtractor(TrackExtractor):
    """Runs MediaPipe Holistic on every frame: rows [258] in pixels, in the layout that the feature extractor reads.

    Args:
        model_complexity: 1, whose model is in the wheel; 0 and 2 need their files next to it.
        min_detection_confidence: 0 to 1, to find the person.
        min_tracking_confidence: 0 to 1, below which the person is detected again.
        smooth_landmarks: Smooth over time.
        refine_face: 478 points of the face with irises in place of 468.
        keep_face: Pass the face mesh on as `Observation.data["face"]` (6 kB per frame); the row has none.

    `Observation.data`: `pose` [33, 4], `left_hand` and `right_hand` [21, 3] where seen, `face` [468 or 478, 3], all as
    in the row, and the points of `people.py`.
    """

    name = "mediapipe"
    width = MEDIAPIPE_WIDTH

    def __init__(
        self,
        model_complexity: int = HOLISTIC_OPTIONS["model_complexity"],
        min_detection_confidence: float = HOLISTIC_OPTIONS["min_detection_confidence"],
        min_tracking_confidence: float = HOLISTIC_OPTIONS["min_tracking_confidence"],
        smooth_landmarks: bool = HOLISTIC_OPTIONS["smooth_landmarks"],
        refine_face: bool = False,
        keep_face: bool = True,
    ):
        if isinstance(model_complexity, bool) or model_complexity not in POSE_MODELS:
            raise SignXPoseError(
                f"mediapipe: model_complexity must be 1 (or 0 or 2 with its model), got {model_complexity!r}."
            )
        self.options: dict[str, Any] = {
            "model_complexity": int(model_complexity),
            "min_detection_confidence": check_share(min_detection_confidence, "mediapipe: min_detection_confidence"),
            "min_tracking_confidence": check_share(min_tracking_confidence, "mediapipe: min_tracking_confidence"),
            "smooth_landmarks": _flag(smooth_landmarks, "smooth_landmarks"),
            "refine_face": _flag(refine_face, "refine_face"),
            "keep_face": _flag(keep_face, "keep_face"),
        }

    @property
    def layout(self) -> TrackLayout:
        return TrackLayout(
            self.name, self.width, MEDIAPIPE_LAYOUT, MEDIAPIPE_UNITS, MEDIAPIPE_ORDER, "MediaPipe Holistic, one person",
            mediapipe_version(),
        )  # fmt: skip

    @property
    def fingerprint(self) -> str:
        files = holistic_files(self.options, self.options["refine_face"])
        return fingerprint(self.name, mediapipe_version(), self.options, files)

    def load(self) -> "MediaPipeExtractor":
        holistic_files(self.options, self.options["refine_face"])
        load_solution("holistic")
        return self

    def extract(self, frames: Iterable[np.ndarray], clip: Clip) -> Iterator[list[Observation]]:
        self.load()
        options = {key: value for key, value in self.options.items() if key not in ("refine_face", "keep_face")}
        options["refine_face_landmarks"] = self.options["refine_face"]
        with LandmarkGraph("holistic", options, clip.id) as graph:
            for index, frame in enumerate(frames):
                frame = check_frame(frame, index, clip)
                yield self._observations(graph.process(frame), (frame.shape[1], frame.shape[0]))

    def _observations(self, result: Any, size: tuple[int, int]) -> list[Observation]:
        data = holistic_parts(result, size, face=self.options["keep_face"])
        if not data:
            return []
        pose = data["pose"]
        seen = [pose[pose[:, 3] > SEEN_VISIBILITY, :2]]
        seen += [points[:, :2] for name, points in data.items() if name != "pose"]
        box = (
            bounding_box(np.concatenate(seen), size)
            or bounding_box(pose[:, :2], size)
            or (0.0, 0.0, *map(float, size))
        )
        data["wrists"] = pose[list(WRISTS)][:, [0, 1, 3]]
        data["hands"] = np.zeros((2 * HAND_POINTS, 3), dtype=np.float32)
        for i, name in enumerate(("left_hand", "right_hand")):
            if name in data:
                part = data["hands"][i * HAND_POINTS : (i + 1) * HAND_POINTS]
                part[:, :2], part[:, 2] = data[name][:, :2], 1.0
        data["anchor"] = pose[list(MEDIAPIPE_SHOULDERS)][:, [0, 1, 3]].mean(axis=0, keepdims=True)
        return [Observation(box, float(pose[:, 3].mean()), data)]

    def to_row(self, observation: Observation) -> np.ndarray:
        return holistic_row(observation.data)


def check_share(value: object, name: str) -> float:
    """Return a number from 0 to 1; raise SignXPoseError, which calls it `name`, for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise SignXPoseError(f"{name} must be a number from 0 to 1, got {value!r}.")
    return float(value)


def _flag(value: object, name: str) -> bool:
    if not isinstance(value, bool):
        raise SignXPoseError(f"mediapipe: {name} must be True or False, got {value!r}.")
    return value


def bounding_box(points: np.ndarray, size: tuple[int, int]) -> tuple[float, float, float, float] | None:
    """Return the box around points [n, 2], clipped to the frame; None where nothing is inside."""
    if not len(points):
        return None
    low, high = (np.clip(f(axis=0), 0, size) for f in (points.min, points.max))
    return tuple(float(v) for v in (*low, *high)) if (high > low).all() else None
