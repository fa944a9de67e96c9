"""WLASL: isolated American Sign Language."""

from collections.abc import Iterator
from typing import Any

from ..corpus import SPLIT_ALIASES, BadRow, Corpus, Record, number_of, read_json, read_lines, relative_path
from ..errors import SignXDataError


class WLASL(Corpus):
    """WLASL (2,000 glosses, 21,083 clips, 119 signers, 25 frames/s).

    Layout; data_dir is the folder that holds these (`start_kit` of the owners' repository)::

        WLASL_v0.3.json     [{"gloss", "instances": [{"video_id", "split", "signer_id", "fps", "frame_start", ...}]}]
        missing.txt         ids of videos that are no longer available; optional, these rows are left out
        videos/{video_id}.mp4

    Args:
        subset: 100, 300, 1000 or 2000: the first glosses of the file, as the owners define WLASL100 to WLASL2000.
    """

    name = "wlasl"
    title = "WLASL, isolated American Sign Language"
    licence = "computational use only, C-UDA 1.0"
    citation = "Li, Rodriguez, Yu, Li: Word-level deep sign language recognition from video, WACV 2020"
    homepage = "https://dxli94.github.io/WLASL/"
    sign_language = "ase"
    spoken_language = "en"
    roots = ("", "start_kit", "WLASL/start_kit")

    def __init__(self, data_dir, *, subset: int = 2000, **options: Any):
        super().__init__(data_dir, **options)
        if isinstance(subset, bool) or not isinstance(subset, int) or subset < 1:
            raise SignXDataError(
                f"{self.name}: `subset` must be a positive number of glosses, usually 100, 300, 1000 or 2000, got {subset!r}."
            )
        self.subset = subset

    def records(self, split: str) -> Iterator[Record]:
        """Yield the records of a split as they are in the files."""
        path = self.need("annotation", "WLASL_v0.3.json")
        entries = read_json(path)
        if not isinstance(entries, list) or not entries:
            raise SignXDataError(
                f"{path}: must be a list of glosses with their instances, got {type(entries).__name__}."
            )
        missing = self.find("missing.txt")
        gone = {line.strip() for line in read_lines(missing)} if missing else set()
        self.videos = self.media("videos")
        for number, entry in enumerate(entries[: self.subset], 1):
            gloss = entry.get("gloss") if isinstance(entry, dict) else None
            if not isinstance(gloss, str) or not gloss.strip() or not isinstance(entry.get("instances"), list):
                yield Record(path, number, {}, BadRow("gloss", entry, "an object with gloss and instances"))
                continue
            for instance in entry["instances"]:
                if not isinstance(instance, dict):
                    yield Record(path, number, {}, BadRow("instances", instance, "an object with video_id and split"))
                    continue
                named = instance.get("split")
                known = SPLIT_ALIASES.get(named, named) if isinstance(named, str) else None
                if known not in self.splits:
                    yield Record(path, number, {}, BadRow("split", named, "train, val or test"))
                elif known == split and str(instance.get("video_id")) not in gone:
                    yield Record(path, number, {"gloss": gloss, **instance})

    def row(self, record: Record, split: str) -> dict[str, Any]:
        """Convert a record to fields of the schema."""
        values = record.values
        video_id = relative_path(str(values.get("video_id") or ""), "video_id")
        first = number_of(values.get("frame_start", 1), "frame_start", 1, whole=True)
        last = number_of(values.get("frame_end", -1), "frame_end", -1, whole=True)  # -1: to the end of the file
        if last != -1 and last < first:
            raise BadRow("frame_end", last, f"-1, or at least frame_start, {first}")
        # a gloss of several words is one sign: GO TO BED would read as three
        gloss = "-".join(values["gloss"].split())
        return {
            "id": video_id,
            "video": self.videos and str(self.videos / f"{video_id}.mp4"),
            "fps": number_of(values.get("fps", 25), "fps", 1),
            "num_frames": None if last == -1 else last - first + 1,
            "signer": None if values.get("signer_id") in (None, -1) else str(values["signer_id"]),
            "glosses": [gloss],
        }
