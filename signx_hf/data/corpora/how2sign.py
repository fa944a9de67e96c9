"""How2Sign: continuous American Sign Language with English text."""

from collections.abc import Iterator
from typing import Any

from ..corpus import BadRow, Corpus, Record, number_of, read_table, relative_path, text_of

FILES = {"train": "train", "dev": "val", "test": "test"}


class How2Sign(Corpus):
    """How2Sign (31,047 / 1,739 / 2,343 sentences after realignment, 11 signers). No glosses.

    Layout; data_dir is the folder that holds these, with How2Sign's own tree below it::

        how2sign_realigned_{train,val,test}.csv   tab-separated: VIDEO_ID VIDEO_NAME SENTENCE_ID SENTENCE_NAME
                                                  START_REALIGNED END_REALIGNED SENTENCE
        how2sign_{split}.csv                      the first alignment, START and END; read if the other is absent
        sentence_level/{split}/rgb_front/raw_videos/{SENTENCE_NAME}.mp4     clips, or
        video_level/{split}/rgb_front/raw_videos/{VIDEO_NAME}.mp4           full videos: rows then have start and end
    """

    name = "how2sign"
    title = "How2Sign, continuous American Sign Language with English text"
    licence = "CC BY-NC 4.0"
    citation = "Duarte et al.: How2Sign: a large-scale multimodal dataset for continuous ASL, CVPR 2021"
    homepage = "https://how2sign.github.io"
    sign_language = "ase"
    spoken_language = "en"
    roots = ("", "How2Sign")

    def records(self, split: str) -> Iterator[Record]:
        """Yield the records of a split as they are in the files."""
        file = FILES[split]
        folder = f"sentence_level/{file}/text/en/raw_text"
        tables = [f"how2sign_realigned_{file}.csv", f"how2sign_{file}.csv"]
        candidates = [
            place for table in tables for place in (table, f"{folder}/{table}", f"{folder}/re_aligned/{table}")
        ]
        path = self.need(f"annotation of split '{split}'", *candidates)
        clips = (f"sentence_level/{file}/rgb_front/raw_videos", f"{file}_rgb_front_clips/raw_videos")
        videos = (f"video_level/{file}/rgb_front/raw_videos", f"{file}_raw_videos/raw_videos")
        self.whole = self.find(*clips) is None
        self.videos = self.media(*clips, *videos)
        self.suffix = "_REALIGNED" if "realigned" in path.name else ""
        columns = ("VIDEO_NAME", "SENTENCE_NAME", f"START{self.suffix}", f"END{self.suffix}", "SENTENCE")
        return read_table(path, "\t", columns)

    def row(self, record: Record, split: str) -> dict[str, Any]:
        """Convert a record to fields of the schema."""
        name = relative_path(text_of(record, "SENTENCE_NAME"), "SENTENCE_NAME")
        video = relative_path(text_of(record, "VIDEO_NAME"), "VIDEO_NAME")
        start = number_of(record.values[f"START{self.suffix}"], f"START{self.suffix}", 0)
        end = number_of(record.values[f"END{self.suffix}"], f"END{self.suffix}", 0)
        if end <= start:
            raise BadRow(f"END{self.suffix}", end, f"more than the start, {start:g} seconds")
        parts = video.rsplit("-", 2)  # <YouTube id>-<signer>-rgb_front
        row: dict[str, Any] = {
            "id": name,
            "signer": parts[1] if len(parts) == 3 else None,
            "text": text_of(record, "SENTENCE"),
        }
        if self.videos is not None:
            row["video"] = str(self.videos / f"{video if self.whole else name}.mp4")
        if self.whole:  # a clip is a file of its own: the times are those of the video it was cut from
            row["start"], row["end"] = start, end
        return row
