"""Thirty isolated signs of German Sign Language as hand keypoints."""

import hashlib
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from ..corpus import Corpus, Record
from ..errors import SignXDataError
from ._hands import check_index, clip_starts, hand_notes, hand_rows, read_arrays, whole_option

FILE = "dgs30.npz"
ARRAYS = {
    "length": ("iu", ("clips",)),
    "sign": ("iu", ("clips",)),
    "face": ("f", ("frames", 2)),
    "hands": ("f", ("frames", 2, 21, 3)),
    "signs": ("U", ("glosses",)),
    "clip_id": ("U", ("clips",)),
}
# The depth that keeps the bones of a palm most equally long is 0.9 times that of the file (2.3 times that of MediaPipe Hands 0.10
# in the landmarks of WLASL): an earlier model gave depths 2.5 times as large. Multiplied by this they are in the unit of the track.
DEPTH = 0.4
# Width over height of the picture is not known either; bones of a palm keep their length best at 1.3
ASPECT = 4 / 3
SOURCE = "MediaPipe, an earlier hand model, depths multiplied by 0.4"


class DGS30(Corpus):
    """Isolated signs of German Sign Language (1,755 clips, 30 signs, 43 to 114 clips each; signers unknown). No video.

    Layout; data_dir is the folder that holds this file::

        dgs30.npz   length, sign (into signs), clip_id, signs [30], face [frames, 2] (its center),
                    hands [frames, 2, 21, 3] float16: x, y fractions of the image, z relative depth; the second NaN if
                    absent

    Poses: one track `hands`. Its z is multiplied by 0.4, as the hand model that measured it gave larger depths than
    today's. The signers are unknown, so results say nothing about new signers.

    Args:
        folds: Number of folds; a hash of its keypoints assigns a clip to one (two clips occur twice).
        fold: The fold (from 0) that is test; None (default): everything is train.
        fps: Frame rate, which is unknown; default: 30.
        face: Add a second track `face` with the center of the face (x, y).
    """

    name = "dgs30"
    title = "DGS 30 words, isolated German Sign Language, hand keypoints"
    licence = "Apache-2.0 (key points)"
    citation = "Tachionstrahl/SignLanguageRecognition"
    homepage = "https://github.com/Tachionstrahl/SignLanguageRecognition"
    sign_language = "gsg"
    spoken_language = "de"
    splits = ("train", "test")
    roots = ("", "dgs30_words")

    def __init__(
        self,
        data_dir,
        *,
        folds: int = 5,
        fold: int | None = None,
        fps: float = 30.0,
        face: bool = False,
        **options: Any,
    ):
        super().__init__(data_dir, **options)
        self.folds = whole_option(self.name, "folds", folds, 2)
        self.fold = None if fold is None else whole_option(self.name, "fold", fold, 0, folds - 1)
        if isinstance(fps, bool) or not isinstance(fps, (int, float)) or not 0 < fps < 1000:
            raise SignXDataError(f"{self.name}: `fps` must be frames per second, got {fps!r}.")
        if not isinstance(face, bool):
            raise SignXDataError(f"{self.name}: `face` must be true or false, got {face!r}.")
        self.fps, self.face = float(fps), face
        self.splits = ("train",) if fold is None else ("train", "test")

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """Read the arrays of the file, with the `starts` of the clips in frames."""
        self.path = self.need("keypoints", FILE)
        arrays = read_arrays(self.path, ARRAYS)
        arrays["starts"] = clip_starts(self.path, arrays["length"], len(arrays["hands"]))
        check_index(self.path, "sign", arrays["sign"], len(arrays["signs"]))
        return arrays

    def fold_of(self, clip: int) -> int:
        """Return the fold of a clip, which depends on that clip alone."""
        start, end = self.arrays["starts"][clip : clip + 2]
        content = np.ascontiguousarray(self.arrays["hands"][start:end]).tobytes()
        return int(hashlib.sha256(content).hexdigest(), 16) % self.folds

    def records(self, split: str) -> Iterator[Record]:
        """Yield the records of a split as they are in the files."""
        for clip in range(len(self.arrays["clip_id"])):
            if self.fold is None or (self.fold_of(clip) == self.fold) == (split == "test"):
                yield Record(self.path, clip + 1, {"clip": clip})

    def row(self, record: Record, split: str) -> dict[str, Any]:
        """Convert a record to fields of the schema."""
        from ..schema import encode_poses

        arrays, clip = self.arrays, record.values["clip"]
        start, end = arrays["starts"][clip : clip + 2]
        hands = arrays["hands"][start:end].astype(np.float32)
        hands[..., 2] *= DEPTH
        tracks = {"hands": hand_rows(hands)}
        notes = hand_notes(SOURCE, ASPECT)
        if self.face:
            tracks["face"] = arrays["face"][start:end]
            notes |= {
                "face.layout": "centre of the face",
                "face.units": "x, y fractions of the picture from the top left",
            }
        return {
            "id": str(arrays["clip_id"][clip]),
            "fps": self.fps,
            "num_frames": int(end - start),
            "glosses": ["-".join(str(arrays["signs"][arrays["sign"][clip]]).split())],
            "poses": encode_poses(tracks, fps=self.fps, notes=notes),
        }
