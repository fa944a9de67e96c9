"""Roy ISL: isolated Indian Sign Language, Kinect skeletons."""

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..corpus import BadRow, Corpus, Record, read_lines
from ..errors import SignXDataError

FPS = 15.0
FILE = "roy_kinect_isl30_ub15fps.npz"
ARRAYS = ("poses", "lengths", "sign", "signer", "rep")
CLIP = re.compile(r"(?P<sign>[^_]+)_(?P<signer>[^_]+)_(?P<rep>\d+)")
NOTES = {
    "kinect": "x y z in metres of Kinect joints; in the .npz: head, neck, shoulders, elbows, wrists, hands, mid spine"
}


class RoyISL30(Corpus):
    """Isolated Indian signs (30 signs x 10 signers x 9 repetitions = 2,700 clips, Kinect skeletons, 15 frames/s). No video.

    Layout; data_dir is the folder that holds either of these::

        roy_kinect_isl30_ub15fps.npz     poses [sum T, 11, 3], lengths, sign, signer, rep
        {sign}_{signer}_{rep}.txt        one frame per line, the same number of values in each, as in the owners' repository

    Poses: one track `kinect`.

    Args:
        test_signers: Signers of the split test; without it, everything is train, as the owners publish no split.
        sentences: Number of semi-synthetic sentences per signer that replace the clips (report results on them as
            such): different signs of one signer from one camera angle (repetitions 1-3, 4-6, 7-9).
        words: Least and most signs per sentence.
        transition: Frames between signs, in which the joints move linearly.
        seed: Seed of the sentences.
    """

    name = "roy_isl30"
    title = "Roy ISL, isolated Indian Sign Language, Kinect skeletons"
    licence = "MIT"
    citation = "Roy, Bhattacharya, Ghosh: Position and rotation invariant SLR from 3D Kinect data, arXiv 2010.12669"
    homepage = "https://github.com/prasunroy/sign-language"
    sign_language = "ins"
    spoken_language = "en"
    splits = ("train", "test")

    def __init__(
        self,
        data_dir,
        *,
        test_signers: Sequence[str] = (),
        sentences: int = 0,
        words: Sequence[int] = (3, 7),
        transition: int = 4,
        seed: int = 0,
        **options: Any,
    ):
        super().__init__(data_dir, **options)
        if isinstance(test_signers, str):
            names = [name.strip() for name in test_signers.split(",")]
            raise SignXDataError(
                f"{self.name}: `test_signers` must be a list of names, got {test_signers!r}. Write {names}."
            )
        if len(words) != 2 or not 1 <= words[0] <= words[1] or sentences < 0 or transition < 0:
            raise SignXDataError(
                f"{self.name}: `sentences` and `transition` must not be negative, and `words` must be [min, max] from 1, "
                f"got sentences {sentences}, words {list(words)}, transition {transition}."
            )
        self.sentences, self.words, self.transition, self.seed = sentences, tuple(words), transition, seed
        self.test_signers = frozenset(test_signers)
        self.splits = ("train", "test") if self.test_signers else ("train",)

    def records(self, split: str) -> Iterator[Record]:
        """Yield the records of a split as they are in the files."""
        archive = self.find(FILE)
        texts = sorted(path for path in self.data_dir.glob("*.txt") if CLIP.fullmatch(path.stem))
        if archive is None and not texts:
            self.need("skeletons", FILE, "{sign}_{signer}_{rep}.txt")
        records = list(self._from_archive(archive)) if archive else [self._from_text(path) for path in texts]
        strangers = self.test_signers - {record.values["signer"] for record in records}
        if strangers:
            known = sorted({record.values["signer"] for record in records})
            raise SignXDataError(
                f"{self.name}: `test_signers` must be among {', '.join(known)}, got {sorted(strangers)}."
            )
        testing = split == "test"
        chosen = [record for record in records if (record.values["signer"] in self.test_signers) == testing]
        return iter(self._concatenated(chosen) if self.sentences else chosen)

    def _concatenated(self, records: Sequence[Record]) -> Iterator[Record]:
        """Yield semi-synthetic sentences: clips of one signer and camera angle, one after the other."""
        groups: dict[str, dict[int, dict[str, list[Record]]]] = {}
        for record in records:
            angles = groups.setdefault(record.values["signer"], {})
            signs = angles.setdefault((int(record.values["rep"]) - 1) // 3, {})
            signs.setdefault(record.values["sign"], []).append(record)
        for signer, angles in groups.items():
            dice = random.Random(f"{self.seed} {signer}")
            for number in range(self.sentences):
                signs = angles[dice.choice(sorted(angles))]
                count = min(dice.randint(*self.words), len(signs))
                clips = [dice.choice(signs[sign]) for sign in dice.sample(sorted(signs), count)]
                yield Record(clips[0].path, number + 1, {"signer": signer, "number": number, "clips": clips})

    @staticmethod
    def _from_archive(path: Path) -> Iterator[Record]:
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in ARRAYS}
        except Exception as error:  # zip, header, pickle and memory errors of numpy's reader
            reason = " ".join(str(error).split())[:100] or type(error).__name__
            raise SignXDataError(
                f"{path}: cannot be read ({reason}). Expected arrays {', '.join(ARRAYS)}; copy it again."
            ) from error
        poses, lengths = arrays["poses"], arrays["lengths"]
        if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or len(poses) != lengths.sum():
            raise SignXDataError(
                f"{path}: `lengths` must add up to the {len(poses)} frames, got {lengths.sum()}. Copy it again."
            )
        if any(len(arrays[name]) != len(lengths) for name in ("sign", "signer", "rep")):
            raise SignXDataError(f"{path}: sign, signer, rep and lengths must have one entry per clip. Copy it again.")
        start = 0
        for number, length in enumerate(lengths.tolist(), 1):
            values = {name: str(arrays[name][number - 1]) for name in ("sign", "signer", "rep")}
            yield Record(path, number, {**values, "poses": poses[start : start + length].reshape(length, -1)})
            start += length

    @staticmethod
    def _from_text(path: Path) -> Record:
        return Record(path, 1, {**CLIP.fullmatch(path.stem).groupdict(), "poses": path})

    def row(self, record: Record, split: str) -> dict[str, Any]:
        """Convert a record to fields of the schema."""
        from ..schema import encode_poses

        values = record.values
        if "clips" in values:
            return self._sentence_row(values)
        poses = self._poses(values)
        return {
            "id": f"{values['sign']}_{values['signer']}_{values['rep']}",
            "fps": FPS,
            "num_frames": len(poses),
            "signer": values["signer"],
            "glosses": [values["sign"]],
            "poses": encode_poses({"kinect": poses}, fps=FPS, notes=NOTES),
        }

    def _poses(self, values: Mapping[str, Any]) -> np.ndarray:
        """Return the skeletons of a clip [T, d]."""
        poses = values["poses"]
        if isinstance(poses, Path):
            poses = self._numbers(poses)
        if len(poses) == 0:
            raise BadRow("lengths", 0, "at least one frame")
        bad = ~np.isfinite(poses).all(axis=1) & ~np.isnan(poses).all(axis=1)
        if bad.any():
            raise BadRow("poses", f"a non-finite number in frame {int(np.argmax(bad))}", "finite numbers")
        return poses

    def _sentence_row(self, values: Mapping[str, Any]) -> dict[str, Any]:
        from ..schema import encode_poses

        parts: list[np.ndarray] = []
        segments, frames = [], 0
        for clip in values["clips"]:
            poses = self._poses(clip.values)
            if parts and self.transition:
                share = (np.arange(self.transition) + 1)[:, None] / (self.transition + 1)
                parts.append(parts[-1][-1] * (1 - share) + poses[0] * share)
                frames += self.transition
            segments.append({"gloss": clip.values["sign"], "start": frames / FPS, "end": (frames + len(poses)) / FPS})
            parts.append(poses.astype(np.float32))
            frames += len(poses)
        return {
            "id": f"semi-synthetic_{values['signer']}_{values['number']:04d}",
            "fps": FPS,
            "num_frames": frames,
            "signer": values["signer"],
            "glosses": [segment["gloss"] for segment in segments],
            "segments": segments,
            "poses": encode_poses({"kinect": np.concatenate(parts)}, fps=FPS, notes=NOTES),
        }

    @staticmethod
    def _numbers(path: Path) -> np.ndarray:
        rows: list[list[float]] = []
        for number, line in enumerate(read_lines(path), 1):
            try:
                rows.append([float(value) for value in line.split()])
            except ValueError:
                raise BadRow("all", line[:40], "numbers", number) from None
            if not rows[-1] or len(rows[-1]) != len(rows[0]):
                raise BadRow(
                    "all", f"{len(rows[-1])} numbers", f"{len(rows[0]) or 'some'} numbers, as in row 1", number
                )
        return np.array(rows, dtype=np.float32)
