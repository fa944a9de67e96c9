"""RWTH-PHOENIX-Weather 2014T: continuous German Sign Language with German text."""

from collections.abc import Iterator
from typing import Any

from ..corpus import Corpus, Record, number_of, read_table, relative_path, text_of


class Phoenix14T(Corpus):
    """RWTH-PHOENIX-Weather 2014T (7,096 / 519 / 642 sentences, 9 signers, 25 frames/s, 210 x 260).

    Layout; data_dir is any of these folders::

        PHOENIX-2014-T-release-v3/PHOENIX-2014-T/
          annotations/manual/PHOENIX-2014-T.{train,dev,test}.corpus.csv   name|video|start|end|speaker|orth|translation
          features/fullFrame-210x260px/{split}/{name}/*.png

    The cleaned annotation that many projects share is read too: phoenix-2014t_cleaned.{split}.tsv with the columns
    name, signer, num_frames, gloss, text.
    """

    name = "phoenix14t"
    title = "RWTH-PHOENIX-Weather 2014T, continuous German Sign Language with German text"
    licence = "research only, CC BY-NC-SA 3.0"
    citation = "Camgoz, Hadfield, Koller, Ney, Bowden: Neural sign language translation, CVPR 2018"
    homepage = "https://www-i6.informatik.rwth-aachen.de/~koller/RWTH-PHOENIX-2014-T/"
    sign_language = "gsg"
    spoken_language = "de"
    roots = ("", "PHOENIX-2014-T", "PHOENIX-2014-T-release-v3/PHOENIX-2014-T")

    def records(self, split: str) -> Iterator[Record]:
        """Yield the records of a split as they are in the files."""
        table = f"PHOENIX-2014-T.{split}.corpus.csv"
        cleaned = f"phoenix-2014t_cleaned.{split}.tsv"
        path = self.need(f"annotation of split '{split}'", f"annotations/manual/{table}", table, cleaned)
        self.images = self.media(f"features/fullFrame-210x260px/{split}")
        if path.suffix == ".tsv":
            return read_table(path, "\t", ("name", "signer", "num_frames", "gloss", "text"))
        return read_table(path, "|", ("name", "video", "speaker", "orth", "translation"))

    def row(self, record: Record, split: str) -> dict[str, Any]:
        """Convert a record to fields of the schema."""
        # the cleaned annotation writes the split before the name; one clip has one id, whichever file it is read from
        name = relative_path(text_of(record, "name"), "name").removeprefix(f"{split}/")
        row: dict[str, Any] = {"id": name, "fps": 25.0}
        if "orth" in record.values:
            glosses, text, signer = "orth", "translation", "speaker"
        else:
            row["num_frames"] = number_of(record.values["num_frames"], "num_frames", 1, whole=True)
            glosses, text, signer = "gloss", "text", "signer"
        row["frames"] = self.images and str(self.images / name)
        row["signer"] = text_of(record, signer)
        row["glosses"] = text_of(record, glosses).split()
        row["text"] = text_of(record, text)
        return row
