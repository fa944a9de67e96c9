"""The finger-spelling lexicon of spoken-to-signed: letters of 19 sign languages as poses."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..corpus import BadRow, Corpus, Record, read_table, relative_path, text_of

FOLDER = "assets/fingerspelling_lexicon"


class Fingerspelling(Corpus):
    """Finger-spelled letters (600 clips, 19 sign languages, MediaPipe Holistic `.pose` files). No split: all is train.

    Layout; data_dir may be left out where the package is installed (`pip install spoken-to-signed`)::

        data.csv                    path,spoken_language,signed_language,start,end,words,glosses,priority
        {signed_language}/*.pose

    Options: sign_languages, ISO 639-3 codes of those to load; without it all.
    """

    name = "fingerspelling"
    title = "Finger-spelling lexicon of spoken-to-signed, 19 sign languages"
    licence = "MIT"
    citation = (
        "Moryossef, Mueller, Goehring, Jiang, Goldberg, Ebling: An open-source gloss-based baseline, AT4SSL 2023"
    )
    homepage = "https://github.com/sign-language-processing/spoken-to-signed-translation"
    splits = ("train",)
    roots = ("", FOLDER, f"spoken_to_signed/{FOLDER}")

    def __init__(self, data_dir=None, *, sign_languages: list[str] | None = None, **options: Any):
        if data_dir is None:
            found = importlib.util.find_spec("spoken_to_signed")  # finds without importing
            data_dir = Path(next(iter(found.submodule_search_locations))) if found else None
        super().__init__(data_dir, **options)
        self.sign_languages = sign_languages

    def records(self, split: str) -> Iterator[Record]:
        path = self.need("annotation", "data.csv")
        self.folder = path.parent
        wanted = ("path", "spoken_language", "signed_language", "glosses")
        for record in read_table(path, ",", wanted):
            if self.sign_languages is None or record.values.get("signed_language") in self.sign_languages:
                yield record

    def row(self, record: Record, split: str) -> dict[str, Any]:
        path = relative_path(text_of(record, "path"), "path")
        # start and end are times of the video that the pose was taken from; the .pose file is trimmed to the letter already
        if not path.endswith(".pose"):
            raise BadRow("path", path, "a .pose file")
        return {
            "id": path.removesuffix(".pose"),
            "glosses": text_of(record, "glosses").split(),
            "sign_language": text_of(record, "signed_language"),
            "spoken_language": text_of(record, "spoken_language"),
            "tracks": [{"name": "mediapipe", "path": str(self.folder / path)}],
        }
