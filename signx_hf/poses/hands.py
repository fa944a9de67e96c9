"""The `hands` track: key points of MediaPipe Hands, with the models in its wheel.

It is faster than Holistic and sees hands whose body is not visible. It does not tell people apart: its observations
are of the whole frame, so `--person` does not choose between them. Of several people the nearest hands are taken
(`hands_row`).
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ..common.fingerprints import fingerprint
from ..data.tracks import TrackLayout
from ..processing.errors_signx import SignXPoseError
from ..processing.keypoints_signx import HANDS_LAYOUT, HANDS_ORDER, HANDS_SLOTS, HANDS_UNITS, HANDS_WIDTH
from ..processing.mediapipe_signx import (
    HAND_MODELS,
    HANDS_OPTIONS,
    MOST_HANDS,
    LandmarkGraph,
    hands_files,
    hands_row,
    load_solution,
    mediapipe_version,
)
from .base import Clip, Observation, TrackExtractor
from .frames import check_frame
from .mediapipe import bounding_box, check_share


class HandsExtractor(TrackExtractor):
    """Runs MediaPipe Hands on every frame: rows [126], fractions of the frame, in the order of the detector.

    Args:
        max_num_hands: Number of hands to detect, 1 to 8. With more than 2, for videos of several people, the two
            largest of each frame are taken; every frame is then searched again, which takes longer.
        min_detection_confidence: 0 to 1, to find a hand.
        min_tracking_confidence: 0 to 1, below which a hand is detected again.
        model_complexity: 1, or 0 for the lighter model.

    With any `max_num_hands`, a hand much smaller than the other one belongs to somebody further away and is left out.
    `Observation.data`: `row` [126].
    """

    name = "hands"
    width = HANDS_WIDTH

    def __init__(
        self,
        max_num_hands: int = HANDS_OPTIONS["max_num_hands"],
        min_detection_confidence: float = HANDS_OPTIONS["min_detection_confidence"],
        min_tracking_confidence: float = HANDS_OPTIONS["min_tracking_confidence"],
        model_complexity: int = HANDS_OPTIONS["model_complexity"],
    ):
        if isinstance(max_num_hands, bool) or max_num_hands not in range(1, MOST_HANDS + 1):
            raise SignXPoseError(
                f"hands: max_num_hands must be an integer from 1 to {MOST_HANDS}, got {max_num_hands!r}."
            )
        if isinstance(model_complexity, bool) or model_complexity not in HAND_MODELS:
            raise SignXPoseError(f"hands: model_complexity must be 0 or 1, got {model_complexity!r}.")
        self.options: dict[str, Any] = {
            "max_num_hands": int(max_num_hands),
            "min_detection_confidence": check_share(min_detection_confidence, "hands: min_detection_confidence"),
            "min_tracking_confidence": check_share(min_tracking_confidence, "hands: min_tracking_confidence"),
            "model_complexity": int(model_complexity),
        }

    @property
    def layout(self) -> TrackLayout:
        version = mediapipe_version()
        return TrackLayout(self.name, self.width, HANDS_LAYOUT, HANDS_UNITS, HANDS_ORDER, "MediaPipe Hands", version)

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.name, mediapipe_version(), self.options, hands_files(self.options))

    def load(self) -> "HandsExtractor":
        hands_files(self.options)
        load_solution("hands")
        return self

    def extract(self, frames: Iterable[np.ndarray], clip: Clip) -> Iterator[list[Observation]]:
        self.load()
        with LandmarkGraph("hands", self.options, clip.id) as graph:
            for index, frame in enumerate(frames):
                frame = check_frame(frame, index, clip)
                size = (frame.shape[1], frame.shape[0])
                row = hands_row(graph.process(frame), size)
                yield [] if row is None else [_observation(row, size)]

    def to_row(self, observation: Observation) -> np.ndarray:
        return observation.data["row"]


def _observation(row: np.ndarray, size: tuple[int, int]) -> Observation:
    """Return the hands as an observation of the whole frame, because a box around two hands that come and go tracks
    nobody."""
    hands = row.reshape(HANDS_SLOTS, -1, 3)
    box = bounding_box(hands[hands.any(axis=(1, 2)), :, :2].reshape(-1, 2) * size, size) or (
        0.0,
        0.0,
        *map(float, size),
    )
    return Observation(box, 1.0, {"row": row}, whole_frame=True)
