"""The fingerspelling lexicon of spoken-to-signed: letters of 19 sign languages as poses."""

import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..corpus import BadRow, Corpus, Record, read_table, relative_path, text_of
from ..errors import SignXDataError

FOLDER = "assets/fingerspelling_lexicon"


class Fingerspelling(Corpus):
    """Fingerspelled letters (600 clips, 19 sign languages, MediaPipe Holistic `.pose` files).

    There is no split: everything is train, except for test_languages.

    Layout; data_dir may be left out if the package is installed (`pip install spoken-to-signed`)::

        data.csv                    path,spoken_language,signed_language,start,end,words,glosses,priority
        {signed_language}/*.pose

    Args:
        sign_languages: ISO 639-3 codes of the languages to load; default: all.
        test_languages: Those of them that are the split test.
        shared_by: Load only letters that at least this many of the languages have: 23 letters are shared by 16
            languages.
    """

    name = "fingerspelling"
    title = "Finger-spelling lexicon of spoken-to-signed, 19 sign languages"
    licence = "MIT"
    citation = (
        "Moryossef, Mueller, Goehring, Jiang, Goldberg, Ebling: An open-source gloss-based baseline, AT4SSL 2023"
    )
    homepage = "https://github.com/sign-language-processing/spoken-to-signed-translation"
    splits = ("train", "test")
    roots = ("", FOLDER, f"spoken_to_signed/{FOLDER}")

    def __init__(
        self,
        data_dir=None,
        *,
        sign_languages: Sequence[str] | None = None,
        test_languages: Sequence[str] = (),
        shared_by: int = 0,
        **options: Any,
    ):
        if data_dir is None:
            package = importlib.util.find_spec("spoken_to_signed")  # finds without importing
            data_dir = Path(next(iter(package.submodule_search_locations))) if package else None
        super().__init__(data_dir, **options)
        for name, value in (("sign_languages", sign_languages), ("test_languages", test_languages)):
            if isinstance(value, str):
                raise SignXDataError(
                    f"{self.name}: `{name}` must be a list of codes, got {value!r}. Write [{value!r}]."
                )
        self.sign_languages = sign_languages
        self.test_languages = frozenset(test_languages)
        self.shared_by = shared_by
        self.splits = ("train", "test") if self.test_languages else ("train",)

    def records(self, split: str) -> Iterator[Record]:
        """Yield the records of a split as they are in the files."""
        path = self.need("annotation", "data.csv")
        self.folder = path.parent
        columns = ("path", "spoken_language", "signed_language", "glosses")
        records = list(read_table(path, ",", columns))
        if self.sign_languages is not None:
            records = [r for r in records if r.values.get("signed_language") in self.sign_languages]
        languages: dict[str, set[str]] = {}
        for record in records:
            languages.setdefault(record.values.get("glosses") or "", set()).add(
                record.values.get("signed_language") or ""
            )
        strangers = self.test_languages - set().union(*languages.values())
        if strangers:
            raise SignXDataError(
                f"{self.name}: `test_languages` must be among {', '.join(sorted(set().union(*languages.values())))}, "
                f"got {sorted(strangers)}."
            )
        for record in records:
            tested = record.values.get("signed_language") in self.test_languages
            if tested == (split == "test") and len(languages[record.values.get("glosses") or ""]) >= self.shared_by:
                yield record

    def row(self, record: Record, split: str) -> dict[str, Any]:
        """Convert a record to fields of the schema."""
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
