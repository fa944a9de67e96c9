"""RWTH-PHOENIX-Weather 2014: continuous German Sign Language, weather forecasts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..corpus import BadRow, Corpus, Record, read_lines, read_table, relative_path, text_of
from ..errors import SignXDataError

VARIANTS = {
    "multisigner": ("phoenix-2014-multisigner", "{split}.corpus.csv"),
    "si5": ("phoenix-2014-signerindependent-SI5", "{split}.SI5.corpus.csv"),
}
STM_FIELDS = 5  # clip, channel, signer, start, end; then the glosses


class Phoenix14(Corpus):
    """RWTH-PHOENIX-Weather 2014 (5,672 / 540 / 629 sentences, 9 signers, 25 frames/s, 210 x 260).

    Layout; data_dir is any of the first three folders::

        phoenix2014-release/
          phoenix-2014-multisigner/            (phoenix-2014-signerindependent-SI5 for variant="si5")
            annotations/manual/{train,dev,test}.corpus.csv       id|folder|signer|annotation
            features/fullFrame-210x260px/{split}/{folder}/*.png
            evaluation/phoenix2014-groundtruth-{dev,test}.stm    read if the .csv is absent

    Args:
        variant: "multisigner", or "si5" (train and test without signer 05, and signer 05 alone).
    """

    name = "phoenix14"
    title = "RWTH-PHOENIX-Weather 2014, continuous German Sign Language"
    licence = "research only, CC BY-NC-SA 3.0"
    citation = "Koller, Forster, Ney: Continuous sign language recognition, CVIU 141, 2015"
    homepage = "https://www-i6.informatik.rwth-aachen.de/~koller/RWTH-PHOENIX/"
    sign_language = "gsg"
    spoken_language = "de"

    def __init__(self, data_dir, *, variant: str = "multisigner", **options: Any):
        super().__init__(data_dir, **options)
        if variant not in VARIANTS:
            raise SignXDataError(f"{self.name}: `variant` must be one of {', '.join(VARIANTS)}, got {variant!r}.")
        folder, self.file_name = VARIANTS[variant]
        self.roots = ("", folder, f"phoenix2014-release/{folder}")

    def records(self, split: str) -> Iterator[Record]:
        """Yield the records of a split as they are in the files."""
        table = self.file_name.format(split=split)
        stm = f"phoenix2014-groundtruth-{split}.stm"
        candidates = [f"annotations/manual/{table}", table]
        if split != "train":
            candidates += [f"evaluation/{stm}", stm]
        path = self.need(f"annotation of split '{split}'", *candidates)
        self.images = self.media(f"features/fullFrame-210x260px/{split}")
        if path.suffix == ".stm":
            return read_stm(path)
        return read_table(path, "|", ("id", "folder", "signer", "annotation"))

    def row(self, record: Record, split: str) -> dict[str, Any]:
        """Convert a record to fields of the schema."""
        images = None
        if "folder" in record.values:
            folder = relative_path(text_of(record, "folder"), "folder").removesuffix("/*.png")
            images = self.images and str(self.images / folder)
        return {
            "id": text_of(record, "id"),
            "frames": images,
            "fps": 25.0,
            "signer": text_of(record, "signer"),
            "glosses": text_of(record, "annotation").split(),
        }


def read_stm(path: Path) -> Iterator[Record]:
    """Yield the rows of a reference in the STM format of NIST sclite; `;;` begins a comment."""
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip() or line.startswith(";;"):
            continue
        fields = line.split(maxsplit=STM_FIELDS)
        problem = None
        if len(fields) < STM_FIELDS:
            problem = BadRow("all", f"{len(fields)} fields", "clip, channel, signer, start, end and the glosses")
        values = dict(zip(("id", "channel", "signer", "start", "end", "annotation"), fields))
        yield Record(path, number, values, problem)
