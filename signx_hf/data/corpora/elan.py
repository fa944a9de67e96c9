"""ELAN annotations (`.eaf`), read with pympi."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote as unquote_url

from ..corpus import BadRow, Corpus, Record, segments_of
from ..errors import SignXDataError, nearest
from ..xml_safety import declares_entities

if TYPE_CHECKING:
    from pympi.Elan import Eaf


class Elan(Corpus):
    """Your own ELAN files, with the extra `elan` (pympi).

    Layout; the video is the one that the file links, looked for at that path, then next to the `.eaf`::

        **/*.eaf        or, with splits,     {train,dev,test}/**/*.eaf

    Args:
        gloss_tier: Name of the tier of glosses; default: "gloss".
        text_tier: Name of a tier of sentences: each of its annotations becomes a row with the glosses whose midpoint
            lies in it; without it, a file is one row.
        sign_language: ISO 639-3 code.
        spoken_language: BCP-47 tag.
        licence: License of the clips.
    """

    name = "elan"
    title = "ELAN files of your own (.eaf)"
    licence = "your own"
    citation = "ELAN: Max Planck Institute for Psycholinguistics, https://archive.mpi.nl/tla/elan"
    homepage = "your own annotations"

    def __init__(
        self,
        data_dir,
        *,
        gloss_tier: str = "gloss",
        text_tier: str | None = None,
        sign_language: str | None = None,
        spoken_language: str | None = None,
        licence: str | None = None,
        **options: Any,
    ):
        super().__init__(data_dir, **options)
        self.gloss_tier, self.text_tier = gloss_tier, text_tier
        self.sign_language, self.spoken_language = sign_language, spoken_language
        self.licence = licence or ""
        self.folders = self.split_folders()
        self.splits = tuple(self.folders) or ("train",)

    def records(self, split: str) -> Iterator[Record]:
        """Yield the records of a split as they are in the files."""
        base = self.folders.get(split, self.data_dir)
        paths = sorted(base.rglob("*.eaf"))
        if not paths:
            self.need("annotation", f"{base.relative_to(self.data_dir) / '**' / '*.eaf'}")
        for path in paths:
            yield from self._sentences(path)

    def _sentences(self, path: Path) -> Iterator[Record]:
        eaf = open_eaf(path)
        tiers = eaf.get_tier_names()
        for tier in (self.gloss_tier, self.text_tier):
            if tier is not None and tier not in tiers:
                raise SignXDataError(
                    f"{path}: no tier {tier!r}; {nearest(tier, tiers)}; select it with gloss_tier and text_tier"
                )
        video = _video(path, eaf.media_descriptors)
        glosses = _annotations(eaf, self.gloss_tier)
        name = path.relative_to(self.data_dir).with_suffix("").as_posix()
        if self.text_tier is None:
            yield Record(path, 1, {"id": name, "video": video, "glosses": glosses, "span": None, "text": None})
            return
        sentences = _annotations(eaf, self.text_tier)
        for number, (text, start, end) in enumerate(sentences, 1):
            inside = [
                item for item in glosses if None in item or start is None or start <= (item[1] + item[2]) / 2 < end
            ]
            values = {"id": f"{name}-{number}", "video": video, "glosses": inside, "span": (start, end), "text": text}
            yield Record(path, number, values)

    def row(self, record: Record, split: str) -> dict[str, Any]:
        """Convert a record to fields of the schema."""
        values = record.values
        start, end = values["span"] or (0, None)
        if values["span"] and (start is None or end is None or end <= start):
            raise BadRow(
                self.text_tier or "", f"{values['text']!r} from {start} to {end}", "times in order, in milliseconds"
            )
        spans = []
        for gloss, first, last in values["glosses"]:
            if first is None or last is None or last <= first:
                raise BadRow(self.gloss_tier, f"{gloss!r} from {first} to {last}", "times in order, in milliseconds")
            if not gloss:
                raise BadRow(self.gloss_tier, f"an empty annotation at {first} ms", "a gloss")
            spans.append(("-".join(gloss.split()), (first - start) / 1000, (last - start) / 1000))
        return {
            "id": values["id"],
            "video": values["video"] and str(values["video"]),
            "start": start / 1000 if values["span"] else None,
            "end": end / 1000 if values["span"] else None,
            "glosses": [gloss for gloss, _, _ in spans],
            "segments": segments_of(spans),
            "text": values["text"] or None,
        }


def open_eaf(path: Path) -> "Eaf":
    """Parse an ELAN file with pympi.

    Raises:
        ImportError: If pympi is missing. The message names the extra.
        SignXDataError: If the file cannot be read, or declares XML entities.
    """
    from ...common.extras import require

    elan = require("pympi").Elan
    if declares_entities(path.read_bytes()):
        raise SignXDataError(f"{path}: declares XML entities, which can exhaust the memory. Save it again in ELAN.")
    try:
        return elan.Eaf(str(path), suppress_version_warning=True)
    except Exception as error:  # a foreign parser: XML, key, value and attribute errors
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise SignXDataError(f"{path}: not a readable ELAN file ({reason}). Save it again in ELAN.") from error


def _annotations(eaf: "Eaf", tier: str) -> list[tuple[str, int | None, int | None]]:
    """Return (value, start, end) in milliseconds, ordered by time."""
    annotations = [((item[2] or "").strip(), item[0], item[1]) for item in eaf.get_annotation_data_for_tier(tier)]
    return sorted(annotations, key=lambda item: (item[1] is None, item[1], item[2]))


def _video(path: Path, descriptors: list[dict[str, str]]) -> Path | None:
    """Return the first linked video that exists, else the path next to the file where it should be."""
    names = []
    for descriptor in descriptors:
        if descriptor.get("MIME_TYPE", "video").startswith("video"):
            relative = unquote_url(descriptor.get("RELATIVE_MEDIA_URL") or "")
            absolute = unquote_url(descriptor.get("MEDIA_URL") or "").removeprefix("file://")
            beside = path.parent / PurePosixPath(relative or absolute).name
            places = [path.parent / relative] if relative else []
            places += [beside, Path(absolute)] if absolute else [beside]
            for place in places:
                if place.is_file():
                    return Path(os.path.normpath(place))
            names.append(beside)
    return names[0] if names else None
