"""Sentences of the Public DGS Corpus: continuous German Sign Language by native signers, OpenPose keypoints."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...processing.errors_signx import SignXError
from ...processing.keypoints_signx import (
    DWPOSE_BODY,
    DWPOSE_LEFT_HAND,
    DWPOSE_POINTS,
    DWPOSE_RIGHT_HAND,
    DWPOSE_WIDTH,
    HAND_POINTS,
    MEDIAPIPE_BODY_WIDTH,
    MEDIAPIPE_WIDTH,
)
from ..corpus import BadRow, Corpus, Record, number_of, read_json, relative_path, segments_of
from ..errors import SignXDataError
from ._hands import hand_notes, hand_rows, names_option, read_arrays

FILES = {"sentences": "sentences.json", "pose_sample": "pose_sample/sentences.json"}
ARRAYS_FILE = "sentences.npz"
FPS = 50.0
SIZE = (640, 360)
POINTS = 67
# BODY_25 without the middle of the hips and the feet is OpenPose's older body of 18 points
BODY18 = [index for index in range(19) if index != 8]
LEFT, RIGHT = slice(25, 46), slice(46, 67)
SAMPLE_SIZE = 512  # image size of the pixel coordinates of the sample
# The depth that keeps the bones of a palm most equally long is 1.0 times that of the files, 2.2 times that of MediaPipe Hands 0.10
SAMPLE_DEPTH = 0.45
SOURCE = "OpenPose hands without depth"
SAMPLE_SOURCE = "MediaPipe Holistic, an earlier hand model, depths multiplied by 0.45"
# Texts of the track `dwpose`, as the extractor writes them
DWPOSE_NOTES = {
    "dwpose.layout": "dwpose-128",
    "dwpose.units": "x, y pixels from the top left; confidence 0 to 1; a point that was not seen is 0",
    "dwpose.order": (
        "18 OpenPose body (nose, neck, right shoulder, elbow, wrist, left shoulder, elbow, wrist, right hip, knee, ankle, left hip, "
        "knee, ankle, right eye, left eye, right ear, left ear), 21 left hand, 21 right hand, 68 face, x (x, y, confidence)"
    ),
    "dwpose.source": "OpenPose BODY_25 and hands, no face; confidence 1 where a point is in the picture",
}


def lexical_gloss(gloss: str, variants: bool = False) -> str | None:
    """Return the lexical sign of a gloss of the Public DGS Corpus, or None if it is none.

    `*` (differs from the citation form) and `^` (a type, not one of its conventional uses) are dropped, as are the
    digit of lexical variants (signs of the same meaning and another form) and the letter of phonological ones. Glosses
    that begin with `$` (`$INDEX`, `$GEST`, `$PROD`, `$ALPHA`, `$NUM`, ...) are pointing, gesture, productive signing,
    fingerspelling or numbers and no lexical signs.

    Args:
        gloss: The gloss.
        variants: Keep the digit of lexical variants.

    >>> lexical_gloss("HAUS1A*"), lexical_gloss("HAUS1A^*", variants=True), lexical_gloss("$GEST-OFF^")
    ('HAUS', 'HAUS1', None)
    """
    if gloss.startswith("$"):
        return None
    name = re.sub(r"-\$KANDIDAT.*", "", gloss.rstrip("*^"))  # a sign that is a candidate for the lexicon
    return re.sub(r"(\d+)[A-Z]*$", r"\1" if variants else "", name)


class DGSCorpus(Corpus):
    """Sentences of the Public DGS Corpus (325 sentences, 3 signers, 1,928 signs, 50 frames/s, German and English). No video.

    Layout; data_dir is the folder that holds these::

        sentences.json      [{id, document, signer, frames, german, english, glosses: [[start_ms, end_ms, gloss, hand]]}]
        sentences.npz       {id} [T, 67, 2] float16: 25 of OpenPose's BODY_25, 21 left, 21 right hand; fractions of a
                            640 x 360 image
        pose_sample/        sentences.json and 29 other sentences as {file}.pose, 25 frames/s; only with part="pose_sample"

    Poses: a track `hands` with z = 0. Segments come from the annotation; those of the sample do not match its files
    and are left out.

    Args:
        test_signers: Signers of the split test, of `ber-12`, `ber-36`, `ber-54`; without it, everything is train.
        lexical: Keep only lexical signs, with `HAUS1A*` as `HAUS`; sentences without any are left out.
        variants: With lexical: keep the digit of variants, `HAUS1` (see `lexical_gloss`).
        language: Language of the text, "de" or "en".
        tracks: Tracks to load, of "hands" (default) and "dwpose", body and hands without face in pixels.
        part: "sentences" or "pose_sample".
    """

    name = "dgs_corpus"
    title = "Public DGS Corpus, sentences of German Sign Language, keypoints"
    licence = "research licence of the Public DGS Corpus; local tests only"
    citation = (
        "Public DGS Corpus; key points from Shogun6855/signlanguage-german-text2sign, sample from "
        "sign-language-processing/fluent-pose-synthesis"
    )
    homepage = "https://github.com/Shogun6855/signlanguage-german-text2sign"
    sign_language = "gsg"
    spoken_language = "de"
    splits = ("train", "test")
    roots = ("", "dgs_corpus")

    def __init__(
        self,
        data_dir,
        *,
        test_signers: Sequence[str] = (),
        lexical: bool = False,
        variants: bool = False,
        language: str = "de",
        tracks: Sequence[str] = ("hands",),
        part: str = "sentences",
        **options: Any,
    ):
        super().__init__(data_dir, **options)
        for option, value in (("lexical", lexical), ("variants", variants)):
            if not isinstance(value, bool):
                raise SignXDataError(f"{self.name}: `{option}` must be true or false, got {value!r}.")
        if variants and not lexical:
            raise SignXDataError(f"{self.name}: `variants` must be left out where `lexical` is not set.")
        if language not in ("de", "en"):
            raise SignXDataError(f"{self.name}: `language` must be 'de' or 'en', got {language!r}.")
        if part not in FILES:
            raise SignXDataError(f"{self.name}: `part` must be one of {', '.join(FILES)}, got {part!r}.")
        self.tracks = names_option(self.name, "tracks", tracks, ("hands", "dwpose"))
        if not self.tracks or (part == "pose_sample" and self.tracks != ("hands",)):
            raise SignXDataError(
                f"{self.name}: `tracks` must be one or both of 'hands' and 'dwpose', of the sample ['hands'], got {list(self.tracks)}."
            )
        self.test_signers = names_option(self.name, "test_signers", test_signers)
        self.lexical, self.variants, self.part, self.spoken_language = lexical, variants, part, language
        self.text_field = {"de": "german", "en": "english"}[language]
        self.splits = ("train", "test") if self.test_signers else ("train",)

    def records(self, split: str) -> Iterator[Record]:
        """Yield the records of a split as they are in the files."""
        path = self.need("annotation", FILES[self.part])
        entries = read_json(path)
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise SignXDataError(f"{path}: must be a list of sentences, got {type(entries).__name__}. Copy it again.")
        signers = {str(entry.get("signer")) for entry in entries}
        names_option(self.name, "test_signers", self.test_signers, sorted(signers))
        points: Mapping[str, np.ndarray] = {}
        if self.part == "sentences":
            names = [str(entry.get("id")) for entry in entries]
            layout = {name: ("f", (f"frames of {name}", POINTS, 2)) for name in names}
            points = read_arrays(self.need("keypoints", ARRAYS_FILE), layout)
        for number, entry in enumerate(entries, 1):
            if (str(entry.get("signer")) in self.test_signers) != (split == "test"):
                continue
            try:
                values = self._annotation(entry) if self.part == "sentences" else self._sample(entry, path.parent)
            except BadRow as bad:
                yield Record(path, number, entry, bad)
                continue
            if values["spans"]:
                yield Record(path, number, {**values, "points": points.get(values["id"])})

    def _gloss(self, gloss: object) -> str | None:
        """Return the gloss in the form asked for, or None to leave it out."""
        if not isinstance(gloss, str) or gloss.split() != [gloss]:
            raise BadRow("glosses", gloss, "glosses without spaces")
        return lexical_gloss(gloss, self.variants) if self.lexical else gloss

    def _annotation(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        spans = []
        for sign in entry.get("glosses") or ():
            if not isinstance(sign, list) or len(sign) != 4:
                raise BadRow("glosses", sign, "[start_ms, end_ms, gloss, hand]")
            start, end = (number_of(value, "glosses", 0) / 1000 for value in sign[:2])
            if end <= start:
                raise BadRow("glosses", sign, "an end after the start")
            if (gloss := self._gloss(sign[2])) is not None:
                spans.append((gloss, start, end))
        text = entry.get(self.text_field)
        return {"id": str(entry["id"]), "signer": str(entry.get("signer")), "text": text, "spans": spans}

    def _sample(self, entry: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        sentence = entry.get("sentence")
        if not isinstance(sentence, dict) or not isinstance(sentence.get("glosses"), dict):
            raise BadRow("sentence", sentence, "an object with german, english and glosses")
        glosses = [self._gloss(gloss) for gloss in sentence["glosses"].get("gloss") or ()]
        path = folder / relative_path(str(entry.get("file") or ""), "file")
        spans = [(gloss, None, None) for gloss in glosses if gloss is not None]
        return {"id": path.stem, "signer": None, "text": sentence.get(self.text_field), "spans": spans, "file": path}

    def row(self, record: Record, split: str) -> dict[str, Any]:
        """Convert a record to fields of the schema."""
        from ..schema import encode_poses

        values = record.values
        tracks, notes, fps = (
            self._openpose(values["points"]) if "file" not in values else self._holistic(values["file"])
        )
        return {
            "id": values["id"],
            "fps": fps,
            "num_frames": len(next(iter(tracks.values()))),
            "signer": values["signer"],
            "glosses": [gloss for gloss, _, _ in values["spans"]],
            "segments": segments_of(values["spans"]) if self.part == "sentences" else [],
            "text": values["text"],
            "poses": encode_poses(tracks, fps=fps, notes=notes),
        }

    def _openpose(self, points: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, str], float]:
        """Return tracks, notes and frame rate of keypoints [T, 67, 2]."""
        hands = np.stack([points[:, LEFT], points[:, RIGHT]], axis=1)
        tracks = {"hands": hand_rows(hands), "dwpose": dwpose_rows(points)}
        notes = {"size": "{}x{}".format(*SIZE)}  # of the picture, which makes pixels of fractions and back
        if "hands" in self.tracks:
            notes |= hand_notes(SOURCE, SIZE[0] / SIZE[1])
        if "dwpose" in self.tracks:
            notes |= DWPOSE_NOTES
        return {name: tracks[name] for name in self.tracks}, notes, FPS

    @staticmethod
    def _holistic(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str], float]:
        """Return tracks, notes and frame rate of a `.pose` file of the sample."""
        from ...processing.pose_files_signx import clip_from_file

        try:
            clip = clip_from_file(path, {"mediapipe": MEDIAPIPE_WIDTH}, "largest")
        except SignXError as error:
            raise BadRow("file", str(path), f"a readable .pose file ({error})") from None
        rows = clip.tracks["mediapipe"][:, MEDIAPIPE_BODY_WIDTH:]
        hands = rows.reshape(len(rows), 2, HAND_POINTS, 3) / SAMPLE_SIZE
        seen = (hands != 0).any(axis=(2, 3))
        # the reader takes depths as fractions of the width, but these are pixels from a distant origin: use them from the wrist
        depth = SAMPLE_DEPTH * (hands[..., 2] - hands[..., :1, 2])
        hands = np.concatenate([hands[..., :2], depth[..., None]], axis=-1)
        return (
            {"hands": hand_rows(np.where(seen[..., None, None], hands, np.nan))},
            hand_notes(SAMPLE_SOURCE, 1.0),
            clip.fps,
        )


def dwpose_rows(points: np.ndarray) -> np.ndarray:
    """Convert OpenPose keypoints [T, 67, 2], fractions of the image, to rows [T, 384] of `dwpose` without a face.

    Points at the lower edge are left out: they lie below it and were moved there.
    """
    rows = np.zeros((len(points), DWPOSE_POINTS, 3), dtype=np.float32)
    for part, points_of_part in (
        (DWPOSE_BODY, points[:, BODY18]),
        (DWPOSE_LEFT_HAND, points[:, LEFT]),
        (DWPOSE_RIGHT_HAND, points[:, RIGHT]),
    ):
        seen = np.isfinite(points_of_part).all(axis=-1) & (points_of_part[..., 1] < 1)
        rows[:, part, :2] = np.where(seen[..., None], points_of_part, 0) * SIZE
        rows[:, part, 2] = seen
    return rows.reshape(len(rows), DWPOSE_WIDTH)
