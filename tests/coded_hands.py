"""An extractor that reads the number of a picture from blocks in it, and gives the hands of a spelled word for it."""

import numpy as np

from signx_hf.assets import spelled_clip
from signx_hf.data.tracks import TrackLayout
from signx_hf.poses.base import Observation, TrackExtractor
from signx_hf.processing.keypoints_signx import HANDS_LAYOUT, HANDS_ORDER, HANDS_UNITS, HANDS_WIDTH

WORD = "OF"
NOBODY = 255  # number of a picture without hands
EDGE, BITS = 64, 8


def coded_picture(number: int) -> np.ndarray:
    """Eight blocks, white where a bit of the number is set."""
    bits = np.array([(number >> bit) & 1 for bit in range(BITS)], np.uint8).reshape(2, 4)
    picture = np.kron(bits, np.ones((EDGE // 2, EDGE // 4), np.uint8)) * 215 + 20
    return np.repeat(picture[..., None], 3, axis=2)


def coded_pictures() -> list[np.ndarray]:
    """Nobody, then the pictures of the rows of the word."""
    return [coded_picture(NOBODY), *map(coded_picture, range(len(spelled_clip(WORD)["hands"])))]


def number_of(picture: np.ndarray) -> int:
    blocks = picture.mean(axis=2).reshape(2, EDGE // 2, 4, EDGE // 4).mean(axis=(1, 3)).ravel()
    return sum(1 << bit for bit in range(BITS) if blocks[bit] > 128)


class CodedHands(TrackExtractor):
    """Hands by the number in the picture."""

    name, width, fingerprint = "hands", HANDS_WIDTH, "coded hands 1"

    @property
    def layout(self) -> TrackLayout:
        return TrackLayout("hands", HANDS_WIDTH, HANDS_LAYOUT, HANDS_UNITS, HANDS_ORDER, "tests", "1")

    def load(self):
        return self

    def extract(self, frames, clip):
        rows = spelled_clip(WORD)["hands"]
        for frame in frames:
            number = number_of(frame)
            found = [] if number == NOBODY else [rows[number]]
            yield [Observation((0.0, 0.0, EDGE, EDGE), 1.0, {"row": row}, whole_frame=True) for row in found]

    def to_row(self, observation):
        return observation.data["row"]
