"""ELAN annotations (`.eaf`), read with pympi."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote as unquote_url

from ..corpus import BadRow, Corpus, Record, segments_of
from ..eaf import (
    Medium,
    annotations,
    check_tiers,
    choose_media,
    gloss_annotations,
    is_uncorrected,
    linked_media,
    open_eaf,
    participant,
    tiers_of_hands,
)
from ..errors import SignXDataError


class Elan(Corpus):
    """Your own ELAN files, with the extra `elan` (pympi).

    Layout; the video is the one that the file links, looked for at that path, then next to the `.eaf`::

        **/*.eaf        or, with splits,     {train,dev,test}/**/*.eaf

    Times are those of the video, whatever its offset in ELAN (TIME_ORIGIN). The signer is the PARTICIPANT of the tier.

    Args:
        gloss_tier: Name of the tier of glosses; default: "gloss". None: there is none, and clips have the sentences of
            `text_tier` alone.
        right_tier: Name of the tier of the right hand's glosses, in place of `gloss_tier`.
        left_tier: Name of the tier of the left hand's glosses. The same gloss at the same time on both hands is one
            sign.
        text_tier: Name of a tier of sentences: each of its annotations becomes a row with the glosses whose midpoint
            lies in it; without it, a file is one row.
        medium: Part of the name of the linked video, where files link several; default: the first that exists.
        take_uncorrected: Take tiers that this package recognized and nobody has changed since. Otherwise they are bad
            rows, because a model would learn its own errors from them.
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
        gloss_tier: str | None = "gloss",
        right_tier: str | None = None,
        left_tier: str | None = None,
        text_tier: str | None = None,
        medium: str | None = None,
        take_uncorrected: bool = False,
        sign_language: str | None = None,
        spoken_language: str | None = None,
        licence: str | None = None,
        **options: Any,
    ):
        super().__init__(data_dir, **options)
        if not isinstance(take_uncorrected, bool):
            raise SignXDataError(f"elan: `take_uncorrected` must be true or false, got {take_uncorrected!r}.")
        if gloss_tier is None and text_tier is None:
            raise SignXDataError(
                "elan: `text_tier` must be a tier of sentences without gloss_tier, got None. Name either."
            )
        self.gloss_tiers = tiers_of_hands(gloss_tier, right_tier, left_tier)
        self.text_tier, self.medium, self.take_uncorrected = text_tier, medium, take_uncorrected
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
        tiers = [*self.gloss_tiers, *([self.text_tier] if self.text_tier is not None else [])]
        check_tiers(eaf, path, tiers, "gloss_tier, right_tier, left_tier and text_tier")
        video, origin = _video(path, choose_media(linked_media(eaf, path), self.medium, path))
        problem = None
        for tier in tiers if not self.take_uncorrected else ():
            if is_uncorrected(eaf, tier, path):
                expected = "a tier that was corrected in ELAN, or the option take_uncorrected=True"
                problem = BadRow(tier, "glosses that signx_hf recognized, unchanged", expected)
        glosses = [
            (item.value.strip(), _shifted(item.start, origin), _shifted(item.end, origin))
            for item in gloss_annotations(eaf, self.gloss_tiers, path)
        ]
        name = path.relative_to(self.data_dir).with_suffix("").as_posix()
        fields = {"video": video, "signer": participant(eaf, self.gloss_tiers or tiers, path)}
        if self.text_tier is None:
            yield Record(path, 1, {**fields, "id": name, "glosses": glosses, "span": None, "text": None}, problem)
            return
        for number, sentence in enumerate(annotations(eaf, self.text_tier, path), 1):
            start, end = _shifted(sentence.start, origin), _shifted(sentence.end, origin)
            inside = [
                item
                for item in glosses
                if None in item or start is None or end is None or start <= (item[1] + item[2]) / 2 < end
            ]
            values = {
                "id": f"{name}-{number}",
                "glosses": inside,
                "span": (start, end),
                "text": sentence.value.strip(),
            }
            yield Record(path, number, {**fields, **values}, problem)

    def row(self, record: Record, split: str) -> dict[str, Any]:
        """Convert a record to fields of the schema."""
        values = record.values
        start, end = values["span"] or (0, None)
        if values["span"] and (start is None or end is None or end <= start or start < 0):
            raise BadRow(
                self.text_tier or "", f"{values['text']!r} from {start} to {end}", "times in order, in milliseconds"
            )
        spans = []
        for gloss, first, last in values["glosses"]:
            if first is None or last is None or last <= first or first < 0:
                raise BadRow(
                    self.gloss_tiers[0], f"{gloss!r} from {first} to {last}", "times in order, in milliseconds"
                )
            if not gloss:
                raise BadRow(self.gloss_tiers[0], f"an empty annotation at {first} ms", "a gloss")
            spans.append(("-".join(gloss.split()), (first - start) / 1000, (last - start) / 1000))
        return {
            "id": values["id"],
            "video": values["video"] and str(values["video"]),
            "start": start / 1000 if values["span"] else None,
            "end": end / 1000 if values["span"] else None,
            "signer": values["signer"],
            "glosses": [gloss for gloss, _, _ in spans],
            "segments": segments_of(spans),
            "text": values["text"] or None,
        }


def _shifted(time: float | None, origin: int) -> float | None:
    """Return a time of the file as one of a medium, in milliseconds."""
    return None if time is None else time + origin


def _video(path: Path, media: Sequence[Medium]) -> tuple[Path | None, int]:
    """Return the first linked video that exists, else the path next to the file where it should be, and its origin."""
    missing: list[tuple[Path | None, int]] = []
    for medium in media:
        if medium.mime.startswith("video"):
            relative = unquote_url(medium.relative)
            absolute = unquote_url(medium.url).removeprefix("file://")
            beside = path.parent / PurePosixPath(relative or absolute).name
            places = [path.parent / relative] if relative else []
            places += [beside, Path(absolute)] if absolute else [beside]
            for place in places:
                if place.is_file():
                    return Path(os.path.normpath(place)), medium.origin
            missing.append((beside, medium.origin))
    return missing[0] if missing else (None, 0)
