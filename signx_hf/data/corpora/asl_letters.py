"""Letters of the American manual alphabet as single frames of hand keypoints."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ...processing.keypoints_signx import HAND_POINTS
from ..corpus import Corpus, Record
from ._hands import hand_notes, hand_rows, names_option, read_arrays, whole_option

FILE = "asl_letters.npz"
ARRAYS = {"xy": ("f", ("frames", HAND_POINTS, 2)), "letter": ("U", ("frames",)), "source": ("U", ("frames",))}
# Width of the pictures over their height, where x and y were fractions of it before they were divided: the ratio at which the shapes
# of the same letters are most alike (boris 1.6, the others 1.0 of 13lack's)
ASPECTS = {"boris": 16 / 9}
SIZE = 0.25  # of the picture: how large a hand of a person at a desk is in a webcam's picture
SOURCE = "MediaPipe hand points without depth, place and size made up"


class ASLLetters(Corpus):
    """Fingerspelled letters of American Sign Language (13,886 single frames, 26 letters, 4 learners). No video.

    Layout; data_dir is the folder that holds this file::

        asl_letters.npz     xy [frames, 21, 2] float16 (wrist at 0, divided by the largest coordinate), letter, source

    From borisgraudt/asl-ai (MIT, CC0), Insitee/ASL (Apache-2.0), 13lack13lood/Hands-On-Fluency-backend (Apache-2.0)
    and Fawziya20/AI-ENHANCED-SIGN-LANGUAGE-INTERPRETER (MIT); each source counts as one learner, the signer of its
    frames. J and Z, which involve movement, are still frames, too. `insitee` and `fawziya` have 11 and 7 of the
    letters.

    Poses: a track `hands` of one frame and one hand, z = 0. Only the shape is data: position and size of the hand are
    lost, so it is put in the middle of the image at a quarter of its size. Frames have no rate.

    Args:
        test_sources: Learners of the split test; without it, everything is train.
        sources: Load only these learners.
        exclude_letters: Letters to leave out, such as [J, Z].
        per_letter: Maximum number of frames per letter and learner in train, evenly spaced: `boris` has 400, most of
            them nearly alike.
    """

    name = "asl_letters"
    title = "Letters of the American manual alphabet, hand keypoints of single frames"
    licence = "MIT, CC0 and Apache-2.0, by source"
    citation = (
        "borisgraudt/asl-ai; Insitee/ASL; 13lack13lood/Hands-On-Fluency-backend; "
        "Fawziya20/AI-ENHANCED-SIGN-LANGUAGE-INTERPRETER"
    )
    homepage = "https://github.com/borisgraudt/asl-ai"
    sign_language = "ase"
    spoken_language = "en"
    splits = ("train", "test")
    roots = ("", "asl_letters")

    def __init__(
        self,
        data_dir,
        *,
        test_sources: Sequence[str] = (),
        sources: Sequence[str] | None = None,
        exclude_letters: Sequence[str] = (),
        per_letter: int | None = None,
        **options: Any,
    ):
        super().__init__(data_dir, **options)
        self.test_sources = names_option(self.name, "test_sources", test_sources)
        self.sources = None if sources is None else names_option(self.name, "sources", sources)
        self.exclude_letters = names_option(self.name, "exclude_letters", exclude_letters)
        self.per_letter = None if per_letter is None else whole_option(self.name, "per_letter", per_letter, 1)
        self.splits = ("train", "test") if self.test_sources else ("train",)

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """Read the arrays of the file."""
        self.path = self.need("keypoints", FILE)
        return read_arrays(self.path, ARRAYS)

    def records(self, split: str) -> Iterator[Record]:
        """Yield the records of a split as they are in the files."""
        letters, sources = (self.arrays[name].tolist() for name in ("letter", "source"))
        names_option(self.name, "test_sources", self.test_sources, sorted(set(sources)))
        names_option(self.name, "exclude_letters", self.exclude_letters, sorted(set(letters)))
        names_option(self.name, "sources", self.sources or (), sorted(set(sources)))
        groups: dict[tuple[str, str], list[int]] = {}
        for frame, (letter, source) in enumerate(zip(letters, sources)):
            is_asked = letter not in self.exclude_letters and (self.sources is None or source in self.sources)
            if is_asked and (source in self.test_sources) == (split == "test"):
                groups.setdefault((source, letter), []).append(frame)
        chosen = (self._thinned(frames) if split == "train" else frames for frames in groups.values())
        for frame in sorted(frame for frames in chosen for frame in frames):
            yield Record(self.path, frame + 1, {"frame": frame, "letter": letters[frame], "source": sources[frame]})

    def _thinned(self, frames: list[int]) -> list[int]:
        """Return at most `per_letter` of the frames, evenly spaced."""
        if self.per_letter is None or len(frames) <= self.per_letter:
            return frames
        return [frames[round(place)] for place in np.linspace(0, len(frames) - 1, self.per_letter)]

    def row(self, record: Record, split: str) -> dict[str, Any]:
        """Convert a record to fields of the schema."""
        from ..schema import encode_poses

        values = record.values
        shape = self.arrays["xy"][values["frame"]].astype(np.float32)
        hands = np.full((1, 2, HAND_POINTS, 2), np.nan, dtype=np.float32)
        hands[0, 0] = 0.5 + SIZE * (shape - (shape.min(axis=0) + shape.max(axis=0)) / 2)
        return {
            "id": f"{values['source']}_{values['letter']}_{values['frame']:05d}",
            "num_frames": 1,
            "signer": values["source"],
            "glosses": [values["letter"]],
            "poses": encode_poses(
                {"hands": hand_rows(hands)}, notes=hand_notes(SOURCE, ASPECTS.get(values["source"], 1.0))
            ),
        }
