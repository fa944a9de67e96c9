"""WLASL as hand landmarks: isolated American Sign Language."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ...processing.hands_signx import USUAL_ASPECT
from ...processing.keypoints_signx import HAND_POINTS
from ..corpus import SPLIT_ALIASES, Corpus, Record, segments_of
from ..errors import SignXDataError
from ._hands import (
    check_index,
    clip_starts,
    hand_notes,
    hand_rows,
    names_option,
    read_arrays,
    rows_from_detections,
    whole_option,
)
from ._joined import (
    Frame,
    JoinOptions,
    Sign,
    dice_of,
    join_signs,
    linked_sign,
    move_to_frame,
    plan_sentences,
    signer_frames,
)

FILE = "wlasl2000.npz"
FPS = 30.0  # the videos have 25 to 30; the landmarks do not say which
ARRAYS = {
    "length": ("iu", ("clips",)),
    "present": ("b", ("frames", 2)),
    "hands": ("f", ("detections", 21, 3)),
    "video_id": ("U", ("clips",)),
    "sign": ("iu", ("clips",)),
    "signer": ("iu", ("clips",)),
    "split": ("U", ("clips",)),
    "source": ("U", ("clips",)),
    "gloss": ("U", ("glosses",)),
}
# Width of the images divided by their height. The file does not hold it: it is the ratio that keeps the bones of a hand
# equally long however it is turned, which gives the usual 16:9 and 4:3 (and one value between) for the sites' videos.
ASPECTS = {
    "aslbrick": 16 / 9, "asldeafined": 4 / 3, "aslsearch": 16 / 9, "aslsignbank": 16 / 9, "elementalasl": 16 / 9, "signingsavvy": 3 / 2,
    "signschool": 16 / 9, "spreadthesign": 4 / 3, "startasl": 16 / 9,
}  # fmt: skip
SOURCE = "MediaPipe Hands"


class WLASLHands(Corpus):
    """Hand landmarks of the public part of WLASL (11,521 clips, 2,000 glosses, 74 signers; no video, no body, no face).

    Layout; data_dir is the folder that holds this file::

        wlasl2000.npz   length [clips], video_id [clips], sign [clips] (into gloss), signer [clips],
                        split [clips] (train, val, test), source [clips] (the website), gloss [2000],
                        present [frames, 2] bool, hands [detections, 21, 3] float16: the hands that are present, in
                        order; x, y fractions of the image, z relative depth

    With the videos of WLASL, `signx-hf extract wlasl --data-dir ... --tracks hands` makes the same rows. The frame
    rate is 25 to 30, the file does not say which: 30 is assumed. Data under C-UDA 1.0, whose owners ask for academic,
    non-commercial use.

    Poses: one track `hands` as detected: which of the two slots is the left hand is unknown and changes. The website
    of a clip is among its notes (`wlasl.site`).

    Semi-synthetic sentences (report results on them as such) replace the clips of each split if `sentences` is set.
    Hands are linked, rests between signs are cut off, and the hands travel from sign to sign in position and shape.
    Sentence n does not depend on the number of sentences.

    Args:
        subset: 100, 300, 1000 or 2000: the first glosses, as the owners define WLASL100 to WLASL2000.
        glosses: Load only these glosses.
        exclude_glosses: Glosses to leave out.
        exclude_ids: Videos to leave out of every split.
        drop_copies: Leave out clips of the other splits that are copies of a test clip, mostly under another gloss.
        split_by: "official" (signers are shared between the splits, and the same video may occur under two glosses) or
            "signer" (one fold of signers is test, the others are train).
        folds: Number of folds of signers, made of all clips of the file: the signer with most clips first, each added
            to the fold with fewest clips. They are the same for every subset.
        fold: The fold (from 0) that is test.
        sentences: Number of semi-synthetic sentences in each split.
        length: Least and most clips of a sentence, all of one signer, who is drawn in proportion to clips.
        mix_signers: Take each clip from any signer, moved to where the hands of the first signer are.
        transition: Least and most frames in which the hands travel between signs.
        speed: Least and most speed of a sign relative to its clip.
        hold: Share of signs whose end is held for 3 to 10 frames.
        repeat: Share of signs that repeat the previous one.
        pause: Share of signs before which the hands go to rest.
        missing: How often per sign one hand is lost for 1 to 6 frames.
        seed: Seed of the sentences.
    """

    name = "wlasl_hands"
    title = "WLASL hand landmarks, isolated American Sign Language"
    licence = "C-UDA 1.0, computational use; the owners ask for academic, non-commercial use"
    citation = "Li, Rodriguez, Yu, Li: Word-level deep sign language recognition from video, WACV 2020"
    homepage = "https://dxli94.github.io/WLASL/"
    sign_language = "ase"
    spoken_language = "en"
    roots = ("", "wlasl_hands")

    def __init__(
        self,
        data_dir,
        *,
        subset: int = 2000,
        glosses: Sequence[str] | None = None,
        exclude_glosses: Sequence[str] = (),
        exclude_ids: Sequence[str] = (),
        drop_copies: bool = False,
        split_by: str = "official",
        folds: int = 5,
        fold: int = 0,
        **options: Any,
    ):
        self.join = JoinOptions.take(self.name, options)
        super().__init__(data_dir, **options)
        if split_by not in ("official", "signer"):
            raise SignXDataError(f"{self.name}: `split_by` must be 'official' or 'signer', got {split_by!r}.")
        if not isinstance(drop_copies, bool):
            raise SignXDataError(f"{self.name}: `drop_copies` must be true or false, got {drop_copies!r}.")
        self.drop_copies = drop_copies
        self.subset = whole_option(self.name, "subset", subset, 1)
        self.folds = whole_option(self.name, "folds", folds, 2)
        self.fold = whole_option(self.name, "fold", fold, 0, folds - 1)
        self.split_by = split_by
        self.splits = ("train", "test") if split_by == "signer" else Corpus.splits
        self.glosses = None if glosses is None else names_option(self.name, "glosses", glosses)
        self.exclude_glosses = names_option(self.name, "exclude_glosses", exclude_glosses)
        # ids are digits with leading zeros, which numbers have lost
        self.exclude_ids = tuple(name.zfill(5) for name in names_option(self.name, "exclude_ids", exclude_ids))

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """Read the arrays of the file, with the `starts` of clips in frames and detections; `gloss` has no spaces."""
        self.path = self.need("landmarks", FILE)
        arrays = read_arrays(self.path, ARRAYS)
        present, length = arrays["present"], arrays["length"]
        arrays["starts"] = clip_starts(self.path, length, len(present))
        ends = np.concatenate([[0], np.cumsum(present.sum(axis=1))])
        if ends[-1] != len(arrays["hands"]):
            raise SignXDataError(
                f"{self.path}: `hands` must hold the {ends[-1]} hands that `present` counts, got {len(arrays['hands'])}. "
                "Copy the file again."
            )
        arrays["detection_starts"] = ends[arrays["starts"]]
        check_index(self.path, "sign", arrays["sign"], len(arrays["gloss"]))
        # a gloss of several words is one sign: "thank you" would read as two
        arrays["gloss"] = np.array(["-".join(gloss.split()) for gloss in arrays["gloss"].tolist()])
        strangers = set(np.unique(arrays["split"]).tolist()) - {"train", "dev", *SPLIT_ALIASES, "test"}
        if strangers:
            raise SignXDataError(f"{self.path}: `split` must be train, val or test, got {sorted(strangers)[0]!r}.")
        return arrays

    def signer_folds(self) -> dict[int, int]:
        """Return the fold of every signer: the one with most clips first, each to the fold with fewest clips."""
        clips = Counter(self.arrays["signer"].tolist())
        sizes, folds = [0] * self.folds, {}
        for signer in sorted(clips, key=lambda signer: (-clips[signer], signer)):
            folds[signer] = sizes.index(min(sizes))
            sizes[folds[signer]] += clips[signer]
        return folds

    def _chosen(self, split: str) -> np.ndarray:
        """Return the clips of a split [n], in the order of the file."""
        arrays = self.arrays
        names = arrays["gloss"][: self.subset]
        left_out = names_option(self.name, "exclude_glosses", self.exclude_glosses, names.tolist())
        listed = np.isin(names, names_option(self.name, "glosses", self.glosses or (), names.tolist()))
        usable = (listed if self.glosses is not None else np.ones(len(names), dtype=bool)) & ~np.isin(names, left_out)
        names_option(self.name, "exclude_ids", self.exclude_ids, arrays["video_id"].tolist())
        chosen = np.zeros(len(arrays["gloss"]), dtype=bool)
        chosen[: len(usable)] = usable
        chosen = chosen[arrays["sign"]] & ~np.isin(arrays["video_id"], self.exclude_ids)
        part = np.flatnonzero(chosen & self._in_split(split))
        if not self.drop_copies or split == "test":
            return part
        tested = {self._content(clip) for clip in np.flatnonzero(self._in_split("test"))}
        return np.array([clip for clip in part if self._content(clip) not in tested], dtype=int)

    def _in_split(self, split: str) -> np.ndarray:
        """Return which clips of the file are in a split [n], whatever their gloss."""
        arrays = self.arrays
        if self.split_by == "official":
            names = [split, *(alias for alias, name in SPLIT_ALIASES.items() if name == split)]
            return np.isin(arrays["split"], names)
        folds = self.signer_folds()
        tested = [signer for signer, fold in folds.items() if fold == self.fold]
        return np.isin(arrays["signer"], tested) == (split == "test")

    def _content(self, clip: int) -> bytes:
        """Return what identifies copies: landmarks, and the frames they are in."""
        hands, present = self.detections(clip)
        return hands.tobytes() + present.tobytes()

    def records(self, split: str) -> Iterator[Record]:
        """Yield the records of a split as they are in the files."""
        chosen = self._chosen(split).tolist()
        if not self.join.sentences:
            yield from (Record(self.path, clip + 1, {"clip": clip}) for clip in chosen)
            return
        signers, glosses = self.arrays["signer"].tolist(), self.arrays["gloss"][self.arrays["sign"]].tolist()
        clips: dict[str, list[int]] = {}
        for clip in chosen:
            clips.setdefault(str(signers[clip]), []).append(clip)
        self._signs: dict[int, Sign] = {}
        for number, (signer, drawn) in enumerate(plan_sentences(clips, glosses, split, self.join) if clips else ()):
            yield Record(self.path, drawn[0] + 1, {"signer": signer, "clips": drawn, "number": number})

    def detections(self, clip: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the hands of a clip [detections, 21, 3], and which slots of its frames they fill [T, 2]."""
        arrays = self.arrays
        start, end = arrays["starts"][clip : clip + 2]
        first, last = arrays["detection_starts"][clip : clip + 2]
        return arrays["hands"][first:last], arrays["present"][start:end]

    def row(self, record: Record, split: str) -> dict[str, Any]:
        """Convert a record to fields of the schema."""
        from ..schema import encode_poses

        if "clips" in record.values:
            return self._sentence_row(record.values, split)
        arrays, clip = self.arrays, record.values["clip"]
        rows = rows_from_detections(*self.detections(clip))
        site = str(arrays["source"][clip])
        notes = hand_notes(SOURCE, ASPECTS.get(site, USUAL_ASPECT)) | {"wlasl.site": site}
        return {
            "id": str(arrays["video_id"][clip]),
            "fps": FPS,
            "num_frames": len(rows),
            "signer": str(arrays["signer"][clip]),
            "glosses": [str(arrays["gloss"][arrays["sign"][clip]])],
            "poses": encode_poses({"hands": rows}, fps=FPS, notes=notes),
        }

    @cached_property
    def _frames(self) -> dict[int, Frame]:
        """Return where the hands of each signer are, measured on all clips."""
        arrays = self.arrays
        frame_signer = np.repeat(arrays["signer"], arrays["length"])
        hand_signer = np.repeat(arrays["signer"], np.diff(arrays["detection_starts"]))
        return signer_frames(arrays["hands"], arrays["present"], hand_signer, frame_signer)

    def _sign(self, clip: int) -> Sign:
        """Return the clip with linked hands, cached because most clips are in many sentences."""
        if clip not in self._signs:
            detections, present = self.detections(clip)
            hands = np.zeros((*present.shape, HAND_POINTS, 3), dtype=np.float32)
            hands[present] = detections
            sign = linked_sign(hands, present, self._frames[int(self.arrays["signer"][clip])].x)
            self._signs[clip] = Sign(sign.hands.astype(np.float16), sign.seen)
        kept = self._signs[clip]
        return Sign(kept.hands.astype(np.float32), kept.seen)

    def _sentence_row(self, values: dict[str, Any], split: str) -> dict[str, Any]:
        from ..schema import encode_poses

        arrays, clips = self.arrays, values["clips"]
        frames = [self._frames[int(arrays["signer"][clip])] for clip in clips]
        signs = [move_to_frame(self._sign(clip), frame, frames[0]) for clip, frame in zip(clips, frames)]
        joined = join_signs(signs, self.join, dice_of(self.join.seed, split, values["number"], "join"))
        glosses = arrays["gloss"][arrays["sign"][clips]].tolist()
        spans = [(gloss, start / FPS, end / FPS) for gloss, (start, end) in zip(glosses, joined.spans)]
        rows = hand_rows(np.where(joined.seen[..., None, None], joined.hands, np.nan))
        aspect = ASPECTS.get(str(arrays["source"][clips[0]]), USUAL_ASPECT)
        notes = hand_notes(SOURCE, aspect) | {"wlasl.clips": " ".join(arrays["video_id"][clips].tolist())}
        return {
            "id": f"semi-synthetic_{split}_{values['signer']}_{values['number']:05d}",
            "fps": FPS,
            "num_frames": len(rows),
            "signer": None if self.join.mix_signers else values["signer"],
            "glosses": glosses,
            "segments": segments_of(spans),
            "poses": encode_poses({"hands": rows}, fps=FPS, notes=notes),
        }
