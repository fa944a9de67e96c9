"""KSL-Guide: Korean Sign Language, words and sentences, as AI Hub distributes it."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..corpus import BadRow, Corpus, Record, number_of, read_json, segments_of, text_of, videos_by_name
from ..errors import SignXDataError

NAME = re.compile(r"NIA_SL_(WORD|SEN|FS)(\d+)_([A-Z]+\d+)_([FUDRL])")
LABEL_ENDING = "_morpheme.json"
FOLDER_SPLITS = {"train": "training", "dev": "validation", "test": "test"}


class KSLGuide(Corpus):
    """KSL-Guide (3,000 words, 2,000 sentences, 20 signers, five cameras, 30 frames/s, 1,920 x 1,080).

    Layout, at any depth below data_dir; the split is that of a folder whose name contains Training, Validation or
    Test, and train if there is none::

        **/NIA_SL_WORD0001_REAL01_F_morpheme.json    {"metaData": {"name", "duration"}, "data": [{"start", "end", "attributes"}]}
        **/NIA_SL_WORD0001_REAL01_F.mp4

    Args:
        kind: "WORD" (default, KSL-Guide-Word) or "SEN".
        camera: "F" front (default), "U" up, "D" down, "R", "L", or None for all.
    """

    name = "ksl_guide"
    title = "KSL-Guide, Korean Sign Language words and sentences"
    licence = "by agreement with AI Hub, residents of Korea"
    citation = "Ham et al.: KSL-Guide: a large-scale Korean Sign Language dataset, FG 2021"
    homepage = "https://github.com/ChelseaGH/KSL-Guide"
    sign_language = "kvk"
    spoken_language = "ko"

    def __init__(self, data_dir, *, kind: str = "WORD", camera: str | None = "F", **options: Any):
        super().__init__(data_dir, **options)
        if kind not in ("WORD", "SEN"):
            raise SignXDataError(f"{self.name}: `kind` must be 'WORD' or 'SEN', got {kind!r}.")
        if camera not in ("F", "U", "D", "R", "L", None):
            raise SignXDataError(f"{self.name}: `camera` must be F, U, D, R, L or None for all, got {camera!r}.")
        self.kind, self.camera = kind, camera

    def records(self, split: str) -> Iterator[Record]:
        """Yield the records of a split as they are in the files."""
        labels = sorted(
            Path(base) / name
            for base, _, names in os.walk(self.data_dir)
            for name in names
            if name.endswith(LABEL_ENDING)
        )
        if not labels:
            self.need("annotation", f"**/NIA_SL_{self.kind}*{LABEL_ENDING}")
        self.videos = videos_by_name(self.data_dir)
        for path in labels:
            if self._split_of(path) != split:
                continue
            parts = NAME.fullmatch(path.name.removesuffix(LABEL_ENDING))
            if parts is None:
                problem = BadRow("file name", path.name, f"a name like NIA_SL_WORD0001_REAL01_F{LABEL_ENDING}")
                yield Record(path, 1, {}, problem)
            elif parts[1] == self.kind and self.camera in (None, parts[4]):
                content = read_json(path)
                problem = (
                    None if isinstance(content, dict) else BadRow("all", content, "an object with metaData and data")
                )
                yield Record(path, 1, {"name": parts[0], "signer": parts[3], "content": content}, problem)

    def _split_of(self, path: Path) -> str:
        folders = [part.lower() for part in path.relative_to(self.data_dir).parts[:-1]]
        for split, word in FOLDER_SPLITS.items():
            if any(word in folder for folder in folders):
                return split
        return "train"

    def row(self, record: Record, split: str) -> dict[str, Any]:
        """Convert a record to fields of the schema."""
        spans = []
        items = record.values["content"].get("data")
        if not isinstance(items, list) or not items:
            raise BadRow("data", items, "a list with at least one sign")
        for item in items:
            try:
                gloss, start, end = str(item["attributes"][0]["name"]).strip(), item["start"], item["end"]
            except (KeyError, IndexError, TypeError):
                raise BadRow("data", item, "start, end and attributes with a name") from None
            start, end = number_of(start, "start", 0), number_of(end, "end", 0)
            if end <= start or not gloss:
                raise BadRow("data", item, "a gloss that ends after it starts")
            spans.append(("-".join(gloss.split()), start, end))
        spans.sort(key=lambda span: span[1:])
        metadata = record.values["content"].get("metaData")
        duration = metadata.get("duration") if isinstance(metadata, dict) else None
        video = self.videos.get(record.values["name"])
        return {
            "id": text_of(record, "name"),
            "video": video and str(video),
            "fps": 30.0,
            "num_frames": None if duration is None else round(number_of(duration, "duration", 0) * 30),
            "signer": record.values["signer"],
            "glosses": [gloss for gloss, _, _ in spans],
            "segments": segments_of(spans),
        }
