"""ELAN (`.eaf`), written and read with pympi, the extra `elan`.

Tiers: `gloss`; `confidence`, each value attached to its gloss (symbolic association), so that it moves with it in
ELAN; and `translation` if the result has one. A video is linked as media by its absolute and relative URL, anything
else as a secondary file. Characters that XML cannot hold are written as `\\x1b`.
"""

import mimetypes
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from ..common.messages import readable
from .text import cues, translations

if TYPE_CHECKING:
    from pympi.Elan import Eaf

GLOSS, CONFIDENCE, TRANSLATION = "gloss", "confidence", "translation"
AUTHOR = "signx_hf"
NO_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, less \r, which it reads as \n
MIMES = {".mkv": "video/x-matroska", ".m4v": "video/mp4", ".ts": "video/mp2t"}


def render(result: Mapping[str, Any], name: str, place: Path | None = None) -> str:
    """Return the file of one clip.

    Args:
        result: Result of the pipeline.
        name: Path of the clip.
        place: Path at which the file will be written, for the relative URL of the media.

    Raises:
        ImportError: If pympi is missing. The message names the extra.
    """
    from ..common.extras import require

    elan = require("pympi").Elan
    eaf = elan.Eaf(author=AUTHOR)
    eaf.remove_tier("default")  # pympi's own
    eaf.remove_linguistic_type("default-lt")
    # The date of the recording, not of now, so that the same clip gives the same bytes.
    eaf.adocument["DATE"] = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(_recorded(name)))
    eaf.header |= {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"}
    _link(eaf, name, place)
    eaf.add_linguistic_type("gloss-lt")
    eaf.add_linguistic_type("confidence-lt", "Symbolic_Association", timealignable=False)
    eaf.add_tier(GLOSS, "gloss-lt", ann=AUTHOR)
    eaf.add_tier(CONFIDENCE, "confidence-lt", parent=GLOSS, ann=AUTHOR)
    for start, end, segment in cues(result["segments"]):
        eaf.add_annotation(GLOSS, start, end, _xml(segment["gloss"]))
        if segment["confidence"] is not None:
            parent, own = f"a{eaf.maxaid}", eaf.generate_annotation_id()
            # Not add_ref_annotation, which searches all parents by time and finds the previous one at a border.
            eaf.tiers[CONFIDENCE][1][own] = (parent, f"{segment['confidence']:.4f}", None, None)
    sentences = cues(translations(result), "text")
    if sentences:
        eaf.add_linguistic_type("translation-lt")
        eaf.add_tier(TRANSLATION, "translation-lt", ann=AUTHOR)
    for start, end, sentence in sentences:
        eaf.add_annotation(TRANSLATION, start, end, _xml(sentence["text"]))
    _order_slots(eaf)
    eaf.properties[:] = [("lastUsedAnnotationId", eaf.maxaid)]
    # Not Eaf.to_file, which first renames an existing file to .bak.
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + elan.to_string(eaf) + "\n"


def _order_slots(eaf: "Eaf") -> None:
    """Number the time slots in order of time, as ELAN does; pympi numbers them in order of insertion."""
    ranked = sorted(eaf.timeslots, key=lambda slot: (eaf.timeslots[slot], int(slot[2:])))
    names = {slot: f"ts{number}" for number, slot in enumerate(ranked, 1)}
    eaf.timeslots = {names[slot]: eaf.timeslots[slot] for slot in ranked}
    for aligned, _, _, _ in eaf.tiers.values():
        for key, (start, end, value, picture) in aligned.items():
            aligned[key] = (names[start], names[end], value, picture)


def _xml(text: str) -> str:
    return NO_XML.sub(lambda match: match.group().encode("unicode_escape").decode("ascii"), text)


def _recorded(name: str) -> float:
    try:
        return os.path.getmtime(name)
    except (OSError, ValueError):
        return 0.0


def _link(eaf: "Eaf", name: str, place: Path | None) -> None:
    """Link the media as ELAN does: absolute with file://, relative with ./, neither percent-encoded."""
    path = Path(os.path.abspath(name))
    kind = MIMES.get(path.suffix.lower()) or mimetypes.guess_type(path.name)[0] or "unknown"
    absolute = _xml(readable(f"file://{'' if path.as_posix().startswith('/') else '/'}{path.as_posix()}"))
    relative = None
    if place is not None:
        try:
            relative = _xml(readable(f"./{Path(os.path.relpath(path, os.path.abspath(place.parent))).as_posix()}"))
        except ValueError:  # another drive on Windows
            relative = None
    if kind.startswith("video/"):
        eaf.add_linked_file(absolute, relative, kind)
    else:
        eaf.add_secondary_linked_file(absolute, relative, kind)


def read_eaf(path: str | os.PathLike, gloss_tier: str = GLOSS) -> dict[str, Any]:
    """Read a file of `render`, edited in ELAN or not, as a result.

    Args:
        path: Path of the `.eaf` file.
        gloss_tier: Name of the tier with the glosses.

    Returns:
        `glosses`, `text`, `segments`, `media` (path or None) and, if present, `translation`.

    Raises:
        ImportError: If pympi is missing. The message names the extra.
        SignXFileNotFoundError: If the file does not exist.
        SignXDataError: If the file is not an ELAN file, the tier does not exist, or a time is missing or impossible.
    """
    from ..data.corpora.elan import open_eaf
    from ..data.errors import SignXDataError, nearest
    from ..processing.errors_signx import SignXFileNotFoundError

    path = Path(path)
    if not path.is_file():
        raise SignXFileNotFoundError(f"{path}: no such ELAN file (.eaf). Check the path.")
    eaf = open_eaf(path)
    tiers = list(eaf.tiers)
    if gloss_tier not in tiers:
        raise SignXDataError(
            f"{path}: no tier {gloss_tier!r}; {nearest(gloss_tier, tiers)}; select it with gloss_tier"
        )
    try:
        confidences = {parent: float(value) for parent, value, _, _ in eaf.tiers.get(CONFIDENCE, ({}, {}))[1].values()}
        segments = [
            {"gloss": value, "start": start, "end": end, "confidence": confidences.get(key)}
            for key, start, end, value in _aligned(eaf, gloss_tier)
        ]
        sentences = [
            {"text": value, "start": start, "end": end}
            for _, start, end, value in (_aligned(eaf, TRANSLATION) if TRANSLATION in tiers else ())
        ]
        media = [_path_of(item.get("MEDIA_URL") or "") for item in eaf.media_descriptors]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SignXDataError(
            f"{path}: the time or parent of an annotation is missing ({error}). Save the file again in ELAN."
        ) from error
    for item in (*segments, *sentences):
        if not 0 <= item["start"] <= item["end"]:
            raise SignXDataError(
                f"{path}: times of {item.get('gloss', item.get('text'))!r:.80} must be in order, got {item['start']} to {item['end']} s. "
                "Correct it in ELAN."
            )
        if item.get("confidence") is not None and not 0 <= item["confidence"] <= 1:
            raise SignXDataError(
                f"{path}: the confidence of {item['gloss']!r:.80} must be from 0 to 1, got {item['confidence']}. Correct it in ELAN."
            )
    glosses = [segment["gloss"] for segment in segments]
    result = {
        "glosses": glosses,
        "text": " ".join(glosses),
        "segments": segments,
        "media": media[0] if media else None,
    }
    return result | ({"translation": sentences} if sentences else {})


def _aligned(eaf: "Eaf", tier: str) -> list[tuple[str, float, float, str]]:
    """Return (id, start, end, value) of the annotations of a tier, in seconds, ordered by time."""
    annotations = [
        (key, eaf.timeslots[first] / 1000, eaf.timeslots[last] / 1000, value)
        for key, (first, last, value, _) in eaf.tiers[tier][0].items()
    ]
    return sorted(annotations, key=lambda item: item[1:3])


def _path_of(address: str) -> str:
    """Return the path of a media URL; ELAN writes it unencoded, other programs percent-encoded."""
    path = re.sub(r"^file:(//(?=/))?", "", address)
    return path if os.path.exists(path) else unquote(path)
