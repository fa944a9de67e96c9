"""ASLLRP: continuous American Sign Language, from its Data Access Interface (CSV) or SignStream XML."""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath
from typing import Any

from ...common.reading import read_regular
from ..corpus import BadRow, Corpus, Record, number_of, read_table, segments_of, text_of, videos_by_name
from ..errors import SignXDataError
from ..xml_safety import declares_entities

FPS = 30000 / 1001
START, END = "Start frame of the sign video", "End frame of the sign video"
UTTERANCE_START = "Start frame of the containing utterance"
UTTERANCE_END = "End frame of the containing utterance"
VIDEO, COLLECTION = "Utterance video filename", "Source collection"
LABELS = ("Main entry gloss label", "Entry/variant gloss label", "Occurrence label")
GLOSS_FIELDS = ("main gloss", "dom gloss", "gloss")
TEXT_FIELDS = ("english translation", "translation")


class ASLLRP(Corpus):
    """ASLLRP continuous signing (SignStream corpora and NCSLGR), 29.97 frames/s; no published splits, all is train.

    Layout; videos are found by name anywhere below data_dir::

        asllrp_sentence_signs_*.csv     one line per sign: gloss labels, frames, utterance video, collection
        **/{utterance video}.mp4
      or
        *.xml                           SignStream export: FIELD, UTTERANCE, SEGMENT, TRACK, A with times in milliseconds
        **/{media file}

    Lines whose column Hidden is T are left out, as the owners ask.

    Args:
        label: The gloss column of the CSV: "Main entry gloss label" (default), "Entry/variant gloss label" or
            "Occurrence label".
    """

    name = "asllrp"
    title = "ASLLRP, continuous American Sign Language (CSV or SignStream XML export)"
    licence = "research and education only, by the terms of the ASLLRP Data Access Interface"
    citation = "Neidle, Opoku, Metaxas: ASL video corpora and Sign Bank, arXiv 2201.07899, 2022"
    homepage = "https://dai.cs.rutgers.edu"
    sign_language = "ase"
    spoken_language = "en"
    splits = ("train",)

    def __init__(self, data_dir, *, label: str = LABELS[0], **options: Any):
        super().__init__(data_dir, **options)
        if label not in LABELS:
            raise SignXDataError(f"{self.name}: `label` must be one of {', '.join(LABELS)}, got {label!r}.")
        self.label = label

    def records(self, split: str) -> Iterator[Record]:
        """Yield the records of a split as they are in the files."""
        tables = sorted(self.data_dir.glob("*sentence_signs*.csv"))
        exports = sorted(self.data_dir.glob("*.xml"))
        if not tables and not exports:
            self.need("annotation", "asllrp_sentence_signs_*.csv", "*.xml")
        self.videos = videos_by_name(self.data_dir)
        for path in tables:
            yield from self._utterances(path)
        for path in exports if not tables else ():
            yield from read_signstream(path)

    def _utterances(self, path: Path) -> Iterator[Record]:
        """Group the lines of the CSV, one per sign, into one record per utterance video, in the order of the file."""
        utterances: dict[str, list[Record]] = {}
        for sign in read_table(path, ",", (self.label, START, END, UTTERANCE_START, UTTERANCE_END, VIDEO, COLLECTION)):
            if sign.problem is not None or not sign.values[VIDEO].strip():
                yield Record(path, sign.row, {}, sign.problem or BadRow(VIDEO, sign.values[VIDEO], "a file name"))
            elif sign.values.get("Hidden", "").strip().upper() not in ("T", "TRUE"):
                utterances.setdefault(sign.values[VIDEO].strip(), []).append(sign)
        for video, signs in utterances.items():
            yield Record(path, signs[0].row, {"video": video, "signs": signs})

    def row(self, record: Record, split: str) -> dict[str, Any]:
        """Convert a record to fields of the schema."""
        return self._row_of_signs(record) if "signs" in record.values else self._row_of_utterance(record)

    def _row_of_signs(self, record: Record) -> dict[str, Any]:
        signs: list[Record] = record.values["signs"]
        video, spans = record.values["video"], []
        first, last = (
            number_of(signs[0].values[name], name, 0, whole=True) for name in (UTTERANCE_START, UTTERANCE_END)
        )
        for sign in signs:
            start, end = (number_of(sign.values[name], name, 0, whole=True, row=sign.row) for name in (START, END))
            gloss = sign.values[self.label].strip()
            if not gloss or " " in gloss:
                raise BadRow(self.label, gloss, "one gloss", sign.row)
            if not first <= start <= end:
                raise BadRow(END, f"{start} to {end}", f"frames in order, from {first} on", sign.row)
            spans.append((gloss, (start - first) / FPS, (end + 1 - first) / FPS))  # the last frame belongs to the sign
        spans.sort(key=lambda span: span[1:])
        signer = re.match("([A-Z][a-z]+)_", signs[0].values[COLLECTION].strip())
        path = self.videos.get(Path(video).stem)
        return {
            "id": Path(video).stem,
            "video": path and str(path),
            "fps": FPS,
            "num_frames": last - first + 1 if last >= first else None,
            "signer": signer and signer.group(1),
            "glosses": [gloss for gloss, _, _ in spans],
            "segments": segments_of(spans),
        }

    def _row_of_utterance(self, record: Record) -> dict[str, Any]:
        values = record.values
        start, end = number_of(values["start"], "S", 0), number_of(values["end"], "E", 0)
        if end <= start:
            raise BadRow("E", values["end"], f"more than the start, {start:g} ms")
        spans = []
        for gloss, first, last in values["glosses"]:
            first, last = number_of(first, "A S"), number_of(last, "A E")
            if last < first or not gloss or " " in gloss:
                raise BadRow("A", f"{gloss!r} from {first:g} to {last:g}", "one gloss with times in order")
            spans.append((gloss, first / 1000, last / 1000))
        spans.sort(key=lambda span: span[1:])
        media = PureWindowsPath(values["media"] or "").name  # takes both kinds of slash
        path = self.videos.get(media.rsplit(".", 1)[0].rsplit(":", 1)[-1]) if media else None
        return {
            "id": text_of(record, "id"),
            "video": path and str(path),
            "fps": FPS,
            "start": start / 1000,
            "end": end / 1000,
            "signer": values["signer"],
            "glosses": [gloss for gloss, _, _ in spans],
            "segments": segments_of(spans),
            "text": values["text"],
        }


def read_signstream(path: Path) -> Iterator[Record]:
    """Yield the utterances of a SignStream XML export; times of `A` elements are milliseconds from their start."""
    data = read_regular(path)
    if declares_entities(data):
        raise SignXDataError(
            f"{path}: declares XML entities, which can exhaust the memory. Export it again without them."
        )
    try:
        root = ElementTree.fromstring(data)
    except ElementTree.ParseError as error:
        raise SignXDataError(
            f"{path}, row {error.position[0]}: not valid XML ({error}). Export it again from SignStream."
        ) from error
    fields = {item.get("ID"): (item.get("NAME") or "").strip().lower() for item in root.iter("FIELD")}
    signers = {item.get("ID"): item.get("NAME") for item in root.iter("PARTICIPANT")}
    media = {item.get("ID"): item.get("PATH") or item.get("LEGACY-PATH") for item in root.iter("MEDIA-FILE")}
    gloss_field = next((name for name in GLOSS_FIELDS if name in fields.values()), None)
    if gloss_field is None:
        raise SignXDataError(
            f"{path}: no FIELD is named {' or '.join(GLOSS_FIELDS)}, got "
            f"{', '.join(sorted(set(fields.values()))[:20]) or 'none'}. Export the gloss field too."
        )
    for number, utterance in enumerate(root.iter("UTTERANCE"), 1):
        reference = utterance.find("MEDIA-REF")
        for segment in utterance.iter("SEGMENT"):
            glosses, text = [], []
            for track in segment.iter("TRACK"):
                kind = fields.get(track.get("FID"))
                for item in track.iter("A"):
                    label = (item.text or "").strip().strip("'\"")
                    if kind == gloss_field:
                        glosses.append((label, item.get("S"), item.get("E")))
                    elif kind in TEXT_FIELDS and label:
                        text.append(label)
            if not glosses:
                continue  # a segment of a participant who does not sign
            signer = segment.get("PARTICIPANT-ID")
            yield Record(
                path,
                number,
                {
                    "id": f"{path.stem}-{utterance.get('ID')}"
                    + (f"-{signer}" if len(utterance.findall("SEGMENT")) > 1 else ""),
                    "start": utterance.get("S"),
                    "end": utterance.get("E"),
                    "media": media.get(reference.get("ID")) if reference is not None else None,
                    "signer": signers.get(signer, signer),
                    "glosses": glosses,
                    "text": " ".join(text) or None,
                },
            )
