"""Sentences of American Sign Language recorded with a webcam or phone, as MediaPipe landmarks."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ...processing.keypoints_signx import (
    HAND_POINTS,
    MEDIAPIPE_BODY_POINTS,
    MEDIAPIPE_LAYOUT,
    MEDIAPIPE_ORDER,
    MEDIAPIPE_UNITS,
    MEDIAPIPE_WIDTH,
)
from ..corpus import BadRow, Corpus, Record, number_of, read_json
from ..errors import SignXDataError
from ._hands import hand_notes, hand_rows, names_option, read_arrays

ANNOTATION, ARRAYS_FILE = "sentences.json", "sentences.npz"
POINTS = MEDIAPIPE_BODY_POINTS + 2 * HAND_POINTS
SOURCE = "MediaPipe Holistic"
MEDIAPIPE_NOTES = {
    "mediapipe.layout": MEDIAPIPE_LAYOUT,
    "mediapipe.units": MEDIAPIPE_UNITS,
    "mediapipe.order": MEDIAPIPE_ORDER,
    "mediapipe.source": "MediaPipe Holistic; visibility 1 where the pose was found",
}


class ASLWebcam(Corpus):
    """Sentences of ASL learners (6 sentences of 3 to 4 glosses, 20 to 30 frames/s, English). For testing only; no video.

    Layout; data_dir is the folder that holds these files::

        sentences.json      [{id, fps, frames, width, height, sentence, folder_glosses}]
        sentences.npz       {id} [T, 75, 3] float16: MediaPipe Holistic, 33 pose, 21 left, 21 right hand; NaN absent;
                            x, y fractions of the image, z as MediaPipe gives it divided by the width once more

    Poses: a track `hands`, the left hand first. Everything is test.

    Args:
        tracks: Tracks to load, of "hands" (default) and "mediapipe", rows of Holistic in pixels.
    """

    name = "asl_webcam"
    title = "American Sign Language before a webcam, landmarks of 6 sentences"
    licence = "none stated; local tests only"
    citation = "SuperiorHaxs/SignBridge"
    homepage = "https://github.com/SuperiorHaxs/SignBridge"
    sign_language = "ase"
    spoken_language = "en"
    splits = ("test",)
    roots = ("", "asl_webcam")

    def __init__(self, data_dir, *, tracks: Sequence[str] = ("hands",), **options: Any):
        super().__init__(data_dir, **options)
        self.tracks = names_option(self.name, "tracks", tracks, ("hands", "mediapipe"))
        if not self.tracks:
            raise SignXDataError(f"{self.name}: `tracks` must be one or both of 'hands' and 'mediapipe', got [].")

    def records(self, split: str) -> Iterator[Record]:
        """Yield the records of a split as they are in the files."""
        path = self.need("annotation", ANNOTATION)
        entries = read_json(path)
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise SignXDataError(f"{path}: must be a list of sentences, got {type(entries).__name__}. Copy it again.")
        names = [str(entry.get("id")) for entry in entries]
        layout = {name: ("f", (f"frames of {name}", POINTS, 3)) for name in names}
        points = read_arrays(self.need("landmarks", ARRAYS_FILE), layout)
        for number, (name, entry) in enumerate(zip(names, entries), 1):
            yield Record(path, number, {**entry, "id": name, "points": points[name]})

    def row(self, record: Record, split: str) -> dict[str, Any]:
        """Convert a record to fields of the schema."""
        from ..schema import encode_poses

        values = record.values
        fps, width, height = (number_of(values.get(name), name, 1) for name in ("fps", "width", "height"))
        glosses = values.get("folder_glosses")
        if not isinstance(glosses, list) or not glosses or any(str(gloss).split() != [gloss] for gloss in glosses):
            raise BadRow("folder_glosses", glosses, "glosses without spaces, at least one")
        points = values["points"].astype(np.float32)
        points[..., 2] *= width
        hands = points[:, MEDIAPIPE_BODY_POINTS:].reshape(len(points), 2, HAND_POINTS, 3)
        tracks = {"hands": hand_rows(hands)}
        if "mediapipe" in self.tracks:
            tracks["mediapipe"] = self._holistic_rows(points * [width, height, width])
        notes = {"size": f"{width:.0f}x{height:.0f}"}  # of the picture, which makes pixels of fractions and back
        if "hands" in self.tracks:
            notes |= hand_notes(SOURCE, width / height)
        if "mediapipe" in self.tracks:
            notes |= MEDIAPIPE_NOTES
        return {
            "id": values["id"],
            "fps": fps,
            "num_frames": len(points),
            "glosses": glosses,
            "text": values.get("sentence"),
            "poses": encode_poses({name: tracks[name] for name in self.tracks}, fps=fps, notes=notes),
        }

    @staticmethod
    def _holistic_rows(points: np.ndarray) -> np.ndarray:
        """Convert landmarks [T, 75, 3] in pixels, NaN absent, to rows [T, 258] of `mediapipe`; NaN if absent."""
        seen = np.isfinite(points).all(axis=-1)
        points = np.where(seen[..., None], points, 0)
        body = np.concatenate([points[:, :MEDIAPIPE_BODY_POINTS], seen[:, :MEDIAPIPE_BODY_POINTS, None]], axis=-1)
        hands = points[:, MEDIAPIPE_BODY_POINTS:]
        rows = np.concatenate([body.reshape(len(points), -1), hands.reshape(len(points), -1)], axis=1)
        rows[~seen.any(axis=1)] = np.nan
        return rows.reshape(len(points), MEDIAPIPE_WIDTH)
