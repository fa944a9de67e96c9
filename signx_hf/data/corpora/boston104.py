"""RWTH-BOSTON-104: continuous American Sign Language, tracked hands and nose."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..corpus import BadRow, Corpus, Record, number_of, read_table, segments_of

FPS = 30.0
WORD_FILES = {"train": "train_words.csv", "test": "test_words.csv"}
COORDINATES = ("left-x", "left-y", "right-x", "right-y", "nose-x", "nose-y")
NOTES = {"hands": "left hand x y, right hand x y, nose x y; pixels of a 312 x 242 frame; tracked by Dreuw et al."}


class Boston104(Corpus):
    """RWTH-BOSTON-104 hand tracks (161 / 40 sentences, 3 signers, 104 signs, 30 frames/s). No video.

    Layout; data_dir is the folder that holds these files (as in udacity/AIND-Recognizer, `data/`)::

        hands_condensed.csv     video,frame,left-x,left-y,right-x,right-y,nose-x,nose-y
        train_words.csv         video,speaker,word,startframe,endframe      (endframe is inclusive)
        test_words.csv          the same

    Poses: one track `hands`, 6 numbers per frame in pixels.
    """

    name = "boston104"
    title = "RWTH-BOSTON-104, continuous American Sign Language, hand tracks"
    licence = "tracks and word segments MIT (udacity/AIND-Recognizer); corpus for research"
    citation = (
        "Dreuw, Rybach, Deselaers, Zahedi, Ney: Speech recognition techniques for a SLR system, Interspeech 2007"
    )
    homepage = "https://www-i6.informatik.rwth-aachen.de/~dreuw/database-rwth-boston-104.php"
    sign_language = "ase"
    spoken_language = "en"
    splits = ("train", "test")
    roots = ("", "data")

    def records(self, split: str) -> Iterator[Record]:
        """Yield the records of a split as they are in the files."""
        words_path = self.need(f"annotation of split '{split}'", WORD_FILES[split])
        hands = self._hands(self.need("hand tracks", "hands_condensed.csv"))
        videos: dict[str, list[Record]] = {}
        for word in read_table(words_path, ",", ("video", "speaker", "word", "startframe", "endframe")):
            if word.problem is not None:
                yield word
            else:
                videos.setdefault(word.values["video"].strip(), []).append(word)
        for video, words in videos.items():
            values = {"video": video, "words": words, "hands": hands.get(video)}
            yield Record(words_path, words[0].row, values)

    @staticmethod
    def _hands(path: Path) -> dict[str, list[Record]]:
        hands: dict[str, list[Record]] = {}
        for frame in read_table(path, ",", ("video", "frame", *COORDINATES)):
            hands.setdefault(str(frame.values.get("video", "")).strip(), []).append(frame)
        return hands

    def row(self, record: Record, split: str) -> dict[str, Any]:
        """Convert a record to fields of the schema."""
        from ..schema import encode_poses

        hands: list[Record] | None = record.values["hands"]
        if hands is None:
            raise BadRow("video", record.values["video"], "a video that hands_condensed.csv tracks")
        values = np.zeros((len(hands), len(COORDINATES)), dtype=np.float32)
        for at, frame in enumerate(hands):
            where = f"of hands_condensed.csv row {frame.row}"
            if frame.problem is not None:
                raise BadRow(f"all {where}", frame.problem.actual, frame.problem.expected)
            if number_of(frame.values["frame"], f"frame {where}", 0, whole=True) != at:
                raise BadRow(f"frame {where}", frame.values["frame"], f"{at}, as frames are numbered in order from 0")
            values[at] = [number_of(frame.values[name], f"{name} {where}") for name in COORDINATES]
        spans = []
        for word in record.values["words"]:
            start, end = (number_of(word.values[name], name, 0, True, word.row) for name in ("startframe", "endframe"))
            if end < start or end >= len(hands):
                raise BadRow("endframe", end, f"a frame from {start} to {len(hands) - 1}", word.row)
            if not word.values["word"].strip():
                raise BadRow("word", word.values["word"], "a gloss", word.row)
            spans.append((word.values["word"].strip(), start / FPS, (end + 1) / FPS))
        spans.sort(key=lambda span: span[1:])
        return {
            "id": record.values["video"],
            "fps": FPS,
            "num_frames": len(hands),
            "signer": record.values["words"][0].values["speaker"].strip() or None,
            "glosses": [gloss for gloss, _, _ in spans],
            "segments": segments_of(spans),
            "poses": encode_poses({"hands": values}, fps=FPS, notes=NOTES),
        }
