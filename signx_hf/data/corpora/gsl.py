"""GSL: continuous Greek Sign Language, dialogues with public services."""

import re
from collections.abc import Iterator
from typing import Any

from ..corpus import BadRow, Corpus, Record, read_table, relative_path, text_of
from ..errors import SignXDataError


class GSL(Corpus):
    """Greek Sign Language (8,821 / 588 / 881 sentences signer-independent, 7 signers, 30 frames/s, 848 x 480).

    Layout; data_dir is the folder that holds these::

        gsl_split_SI_{train,dev,test}.csv     path|glosses, without a header
        GSL_continuous/{path}/*.jpg

    Args:
        protocol: "SI" signer-independent (default) or "SD" signer-dependent.
    """

    name = "gsl"
    title = "GSL, continuous Greek Sign Language"
    licence = "research only, non-commercial"
    citation = "Adaloglou et al.: A comprehensive study on deep learning-based methods for SLR, IEEE TMM 2021"
    homepage = "https://vcl.iti.gr/dataset/gsl/"
    sign_language = "gss"
    spoken_language = "el"
    roots = ("", "GSL_split", "GSL_split/GSL_continuous", "GSL_continuous")

    def __init__(self, data_dir, *, protocol: str = "SI", **options: Any):
        super().__init__(data_dir, **options)
        if protocol not in ("SI", "SD"):
            raise SignXDataError(f"{self.name}: `protocol` must be 'SI' or 'SD', got {protocol!r}.")
        self.protocol = protocol

    def records(self, split: str) -> Iterator[Record]:
        """Yield the records of a split as they are in the files."""
        table = f"gsl_split_{self.protocol}_{split}.csv"
        path = self.need(f"annotation of split '{split}'", table, f"{self.protocol}/{table}")
        self.images = self.media("GSL_continuous")
        return read_table(path, "|", ("path", "glosses"), header=("path", "glosses"))

    def row(self, record: Record, split: str) -> dict[str, Any]:
        """Convert a record to fields of the schema."""
        path = relative_path(text_of(record, "path"), "path")
        signer = re.search(r"_signer(\d+)_", path)
        if signer is None:
            raise BadRow("path", path, "a path that names the signer, like health1/health1_signer1_rep1_sentences/...")
        return {
            "id": path,
            "frames": self.images and str(self.images / path),
            "fps": 30.0,
            "signer": f"signer{signer.group(1)}",
            "glosses": text_of(record, "glosses").split(),
        }
