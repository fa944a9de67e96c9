"""CSL-Daily: continuous Chinese Sign Language of daily life with Chinese text."""

from collections.abc import Iterator
from typing import Any

from ...processing.errors_signx import SignXFileNotFoundError
from ..corpus import SPLIT_ALIASES, BadRow, Corpus, Record, number_of, read_table, relative_path, text_of
from ..errors import SignXDataError

PICKLES = (
    "sentence_label/csl2020ct_v2.pkl",
    "sentence_label/csl2020ct_v1.pkl",
    "csl2020ct_v2.pkl",
    "csl2020ct_v1.pkl",
)


class CSLDaily(Corpus):
    """CSL-Daily (18,401 / 1,077 / 1,176 sentences, 10 signers, 30 frames/s, 512 x 512).

    Layout; data_dir is the folder that holds these::

        sentence_label/video_map.txt    index|name|length|gloss|char|word|postag
        sentence_label/split_1.txt      name|split
        sentence/frames_512x512/{name}/*.jpg

    The annotation also ships as a pickle (csl2020ct_v1.pkl). It is never read: a pickle can run arbitrary code, and
    video_map.txt from the same download has the same content.
    """

    name = "csl_daily"
    title = "CSL-Daily, continuous Chinese Sign Language with Chinese text"
    licence = "research only, by agreement with USTC"
    citation = "Zhou, Zhou, Qi, Pu, Li: Improving sign language translation with monolingual data, CVPR 2021"
    homepage = "https://ustc-slr.github.io/datasets/2021_csl_daily/"
    sign_language = "csl"
    spoken_language = "zh"

    def records(self, split: str) -> Iterator[Record]:
        """Yield the records of a split as they are in the files."""
        names = ("sentence_label/video_map.txt", "video_map.txt")
        pickle = self.find(*PICKLES)
        if self.find(*names) is None and pickle is not None:
            raise SignXFileNotFoundError(
                f"{pickle}: a pickle can run arbitrary code when it is read. Put video_map.txt with the same content "
                "beside it, from the download of CSL-Daily."
            )
        path = self.need("annotation", *names)
        splits_path = self.need("split", "sentence_label/split_1.txt", "split_1.txt")
        self.images = self.media("sentence/frames_512x512", "frames_512x512")
        split_of = {}
        for record in read_table(splits_path, "|", ("name", "split")):
            named = record.values.get("split", "").strip()
            if record.problem is not None or SPLIT_ALIASES.get(named, named) not in self.splits:
                raise SignXDataError(
                    f"{splits_path}, row {record.row}, column 'split': expected one of {', '.join(self.splits)}, got {named!r}."
                )
            split_of[record.values["name"].strip()] = SPLIT_ALIASES.get(named, named)
        for record in read_table(path, "|", ("name", "length", "gloss", "char")):
            name = record.values.get("name", "").strip()
            if record.problem is None and name not in split_of:
                problem = BadRow("name", name, f"a name that {splits_path.name} lists")
                yield Record(record.path, record.row, record.values, problem)
            elif split_of.get(name, split) == split:
                yield record

    def row(self, record: Record, split: str) -> dict[str, Any]:
        """Convert a record to fields of the schema."""
        name = relative_path(text_of(record, "name"), "name")
        parts = name.split("_")  # S000000_P0004_T00: sentence, performer, take
        if len(parts) != 3 or not parts[1].startswith("P"):
            raise BadRow("name", name, "a name like S000000_P0004_T00")
        return {
            "id": name,
            "frames": self.images and str(self.images / name),
            "fps": 30.0,
            "num_frames": number_of(record.values["length"], "length", 1, whole=True),
            "signer": parts[1],
            "glosses": text_of(record, "gloss").split(),
            "text": "".join(text_of(record, "char").split()),
        }
