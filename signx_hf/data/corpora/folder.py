"""Isolated signs as a folder of videos for each gloss."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..corpus import VIDEOS, BadRow, Corpus, Record
from ..errors import SignXDataError


class VideoFolder(Corpus):
    """Isolated signs in folders that are named for their gloss, or in files that are.

    Layout::

        {gloss}/*.mp4              or, with splits,     {train,dev,test}/{gloss}/*.mp4
        {gloss}_{number}.mp4       with gloss_from="file"

    Options: gloss_from, "folder" (default) or "file"; sign_language (ISO 639-3), spoken_language (BCP-47), licence.
    """

    name = "folder"
    title = "A folder of videos for each gloss"
    licence = "your own"
    citation = "none"
    homepage = "your own videos"

    def __init__(
        self,
        data_dir,
        *,
        gloss_from: str = "folder",
        sign_language: str | None = None,
        spoken_language: str | None = None,
        licence: str | None = None,
        **options: Any,
    ):
        super().__init__(data_dir, **options)
        if gloss_from not in ("folder", "file"):
            raise SignXDataError(f"{self.name}: gloss_from {gloss_from!r}; wanted 'folder' or 'file'")
        self.gloss_from = gloss_from
        self.sign_language, self.spoken_language = sign_language, spoken_language
        self.licence = licence or ""
        self.folders = self.split_folders()
        self.splits = tuple(self.folders) or ("train",)

    def records(self, split: str) -> Iterator[Record]:
        base = self.folders.get(split, self.data_dir)
        paths = [
            Path(place) / name
            for place, _, names in os.walk(base)
            for name in names
            if os.path.splitext(name)[1].lower() in VIDEOS
        ]
        if not paths:
            pattern = "{gloss}/*.mp4" if self.gloss_from == "folder" else "{gloss}_{number}.mp4"
            self.need("video", f"{base.relative_to(self.data_dir) / pattern}")
        for number, path in enumerate(sorted(paths), 1):
            yield Record(path, number, {"parts": path.relative_to(base).parts})

    def row(self, record: Record, split: str) -> dict[str, Any]:
        parts = record.values["parts"]
        if self.gloss_from == "file":
            gloss = re.sub(r"[_\- ]*\d+$", "", record.path.stem)
        elif len(parts) != 2:
            raise BadRow("path", "/".join(parts), "a video directly in the folder of its gloss")
        else:
            gloss = parts[0]
        if not gloss.strip():
            raise BadRow("path", "/".join(parts), "a name that holds the gloss")
        name = record.path.relative_to(self.data_dir).with_suffix("")
        return {"id": name.as_posix(), "video": str(record.path), "glosses": ["-".join(gloss.split())]}
