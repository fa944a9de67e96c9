"""CopyCat: continuous American Sign Language, hand keypoints of an educational game."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ...processing.hands_signx import rows_to_hands
from ..corpus import BadRow, Corpus, Record, segments_of
from ..errors import SignXDataError
from ._hands import check_index, clip_starts, hand_notes, hand_rows, names_option, read_arrays, whole_option
from ._joined import JoinOptions, Sign, join_signs, linked_sign

FILE = "copycat.npz"
FPS = 30.0  # about
ASPECT = 16 / 9
ARRAYS = {
    "length": ("iu", ("clips",)),
    "hands": ("f", ("frames", 2, 21, 2)),
    "gloss": ("iu", ("clips", "words")),
    "word_frames": ("iu", ("clips", "words", 2)),
    "signer": ("iu", ("clips",)),
    "session": ("iu", ("clips",)),
    "phrase": ("iu", ("clips",)),
    "vocab": ("U", ("glosses",)),
    "phrases": ("U", ("phrases",)),
}
# Words within a sentence have no rests to cut off and need only short transitions.
FRAGMENTS = JoinOptions(transition=(2, 6), hold=0.1, pause=0.0, missing=0.0)
SHORTEST_WORD = 6  # frames; some alignments have two frames, too few for a sign
SOURCE = "MediaPipe hand points without depth, held where a hand is lost"


class CopyCat(Corpus):
    """Sentences of the CopyCat game (2,037 sentences, 6 adult learners, 58 phrases of 18 glosses, ~30 frames/s). No video.

    Layout; data_dir is the folder that holds this file::

        copycat.npz     length, signer, session, phrase (into phrases), gloss [clips, 5] (into vocab, -1 padding),
                        word_frames [clips, 5, 2] (first frame and end), vocab [18], phrases [58] ("lion_above_bed"),
                        hands [frames, 2, 21, 2] float16, fractions of a 16:9 image

    Poses: one track `hands` with z = 0. A lost hand keeps its last position or, in three of ten frames, both slots
    hold the same hand; nothing is ever missing. Segments are medians of automatic forced alignments.

    Every signer signs every phrase, so a split by signer alone lets a model learn complete phrases. Use test_phrases
    or phrase_fold to hold out phrases. With test_signers, what the other signers sign of held-out phrases is in no
    split; without, it is the split test. The id names signer, phrase, session and repetition.

    Args:
        test_signers: Signers whose sentences are test.
        test_phrases: Held-out phrases, by name (`lion_above_bed`) or number.
        phrase_fold: Held-out phrases, as one of five folds (from 0; of 12, 12, 12, 11 and 11 phrases) drawn with
            `seed`.
        seed: Seed of the folds and fragments.
        test_on: "all" test sentences, those of "seen" phrases, or those of "unseen" phrases.
        fragments: Number of semi-synthetic training sentences to add (report results on them as such): words cut out
            of the training sentences of one signer, joined in another order by hands that travel, never to a held-out
            sentence. They teach signs without phrases.
    """

    name = "copycat"
    title = "CopyCat, continuous American Sign Language, hand keypoints"
    licence = "none stated; local training and tests only"
    citation = "CopyCat, Georgia Institute of Technology; key points from DhruvaBansal00/Deep-Learning-for-ASLR"
    homepage = "https://github.com/DhruvaBansal00/Deep-Learning-for-ASLR"
    sign_language = "ase"
    spoken_language = "en"
    splits = ("train", "test")
    roots = ("", "copycat_asl")
    phrase_folds = 5

    def __init__(
        self,
        data_dir,
        *,
        test_signers: Sequence[str] = (),
        test_phrases: Sequence[str | int] = (),
        phrase_fold: int | None = None,
        seed: int = 0,
        test_on: str = "all",
        fragments: int = 0,
        **options: Any,
    ):
        super().__init__(data_dir, **options)
        self.fragments = whole_option(self.name, "fragments", fragments, 0)
        self._kept: dict[int, Sign] = {}
        self.test_signers = names_option(self.name, "test_signers", test_signers)
        self.test_phrases = names_option(self.name, "test_phrases", test_phrases)
        self.seed = whole_option(self.name, "seed", seed)
        self.phrase_fold = phrase_fold
        if phrase_fold is not None:
            whole_option(self.name, "phrase_fold", phrase_fold, 0, self.phrase_folds - 1)
            if self.test_phrases:
                raise SignXDataError(f"{self.name}: `test_phrases` must be left out where `phrase_fold` is given.")
        if test_on not in ("all", "seen", "unseen"):
            raise SignXDataError(f"{self.name}: `test_on` must be 'all', 'seen' or 'unseen', got {test_on!r}.")
        self.test_on = test_on
        tested = self.test_signers or self.test_phrases or phrase_fold is not None
        self.splits = ("train", "test") if tested else ("train",)

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """Read the arrays of the file, with the `starts` of the clips and the `repetition` of phrases in a session."""
        self.path = self.need("keypoints", FILE)
        arrays = read_arrays(self.path, ARRAYS)
        arrays["starts"] = clip_starts(self.path, arrays["length"], len(arrays["hands"]))
        check_index(self.path, "gloss", arrays["gloss"], len(arrays["vocab"]), -1)
        check_index(self.path, "phrase", arrays["phrase"], len(arrays["phrases"]))
        seen: Counter = Counter()
        repetitions = []
        for key in zip(*(arrays[name].tolist() for name in ("signer", "session", "phrase"))):
            repetitions.append(seen[key])
            seen[key] += 1
        arrays["repetition"] = np.array(repetitions)
        return arrays

    def unseen_phrases(self) -> set[int]:
        """Return the numbers of the held-out phrases."""
        phrases = self.arrays["phrases"].tolist()
        if self.phrase_fold is not None:
            order = np.random.default_rng(self.seed).permutation(len(phrases))
            return set(order[self.phrase_fold :: self.phrase_folds].tolist())
        numbers = [str(number) for number in range(len(phrases))]
        names_option(self.name, "test_phrases", self.test_phrases, phrases + numbers)
        return {phrases.index(name) if name in phrases else int(name) for name in self.test_phrases}

    def records(self, split: str) -> Iterator[Record]:
        """Yield the records of a split as they are in the files."""
        arrays, unseen = self.arrays, self.unseen_phrases()
        signers = [str(signer) for signer in arrays["signer"].tolist()]
        names_option(self.name, "test_signers", self.test_signers, sorted(set(signers)))
        for clip, (signer, phrase) in enumerate(zip(signers, arrays["phrase"].tolist())):
            if split == "train":
                chosen = signer not in self.test_signers and phrase not in unseen
            else:
                chosen = signer in self.test_signers if self.test_signers else phrase in unseen
                chosen &= self.test_on == "all" or (phrase in unseen) == (self.test_on == "unseen")
            if chosen:
                yield Record(self.path, clip + 1, {"clip": clip})
        if split == "train":
            yield from self._fragment_records(signers, unseen)

    def _fragment_records(self, signers: list[str], unseen: set[int]) -> Iterator[Record]:
        """Draw the words of every semi-synthetic sentence: two to five of one signer, in no held-out order."""
        arrays = self.arrays
        held_out = {tuple(arrays["phrases"][phrase].split("_")) for phrase in unseen}
        words: dict[str, list[tuple[int, int]]] = {}
        for clip, (signer, phrase) in enumerate(zip(signers, arrays["phrase"].tolist())):
            if signer not in self.test_signers and phrase not in unseen:
                lengths = np.diff(arrays["word_frames"][clip], axis=1)[:, 0] * (arrays["gloss"][clip] >= 0)
                words.setdefault(signer, []).extend(
                    (clip, place) for place in np.flatnonzero(lengths >= SHORTEST_WORD)
                )
        names = sorted(words)
        for number in range(self.fragments):
            dice = np.random.default_rng([self.seed, 7, number])
            signer = names[int(dice.integers(len(names)))]
            drawn = [
                words[signer][i] for i in dice.choice(len(words[signer]), int(dice.integers(2, 6)), replace=False)
            ]
            glosses = tuple(str(arrays["vocab"][arrays["gloss"][clip, place]]) for clip, place in drawn)
            if glosses not in held_out:
                values = {"words": drawn, "signer": signer, "number": number, "dice": dice}
                yield Record(self.path, drawn[0][0] + 1, values)

    def _linked(self, clip: int) -> Sign:
        """Return a sentence with linked hands, cached because its words are in many semi-synthetic sentences."""
        if clip not in self._kept:
            start, end = self.arrays["starts"][clip : clip + 2]
            rows = hand_rows(self.arrays["hands"][start:end]).astype(np.float32)
            self._kept[clip] = linked_sign(*rows_to_hands(rows, np.ones(end - start, dtype=bool)), 0.5)
        return self._kept[clip]

    def _fragment_row(self, values: dict[str, Any]) -> dict[str, Any]:
        from ..schema import encode_poses

        arrays, signs, glosses = self.arrays, [], []
        for clip, place in values["words"]:
            whole = self._linked(clip)
            first, last = arrays["word_frames"][clip, place].tolist()
            signs.append(Sign(whole.hands[first:last], whole.seen[first:last]))
            glosses.append(str(arrays["vocab"][arrays["gloss"][clip, place]]))
        joined = join_signs(signs, FRAGMENTS, values["dice"])
        rows = hand_rows(np.where(joined.seen[..., None, None], joined.hands, np.nan))
        spans = [(gloss, first / FPS, last / FPS) for gloss, (first, last) in zip(glosses, joined.spans)]
        return {
            "id": f"semi-synthetic_signer{values['signer']}_{values['number']:05d}",
            "fps": FPS,
            "num_frames": len(rows),
            "signer": values["signer"],
            "glosses": glosses,
            "segments": segments_of(spans),
            "poses": encode_poses({"hands": rows}, fps=FPS, notes=hand_notes(SOURCE, ASPECT)),
        }

    def row(self, record: Record, split: str) -> dict[str, Any]:
        """Convert a record to fields of the schema."""
        from ..schema import encode_poses

        if "words" in record.values:
            return self._fragment_row(record.values)
        arrays, clip = self.arrays, record.values["clip"]
        start, end = arrays["starts"][clip : clip + 2]
        rows = hand_rows(arrays["hands"][start:end])
        words = arrays["gloss"][clip] >= 0
        glosses = arrays["vocab"][arrays["gloss"][clip][words]].tolist()
        frames = arrays["word_frames"][clip][words].tolist()
        if not glosses:
            raise BadRow("gloss", arrays["gloss"][clip].tolist(), "at least one gloss")
        if any(not 0 <= first < last <= len(rows) for first, last in frames):
            raise BadRow("word_frames", frames, f"first frame and end of each word, from 0 to {len(rows)}")
        signer, session, phrase, repetition = (
            int(arrays[name][clip]) for name in ("signer", "session", "phrase", "repetition")
        )
        spans = [(gloss, first / FPS, last / FPS) for gloss, (first, last) in zip(glosses, frames)]
        return {
            "id": f"signer{signer}_phrase{phrase:02d}_session{session}_{repetition:02d}",
            "fps": FPS,
            "num_frames": len(rows),
            "signer": str(signer),
            "glosses": glosses,
            "segments": segments_of(spans),
            "poses": encode_poses({"hands": rows}, fps=FPS, notes=hand_notes(SOURCE, ASPECT)),
        }
