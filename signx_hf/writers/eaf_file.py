"""ELAN (`.eaf`), with pympi, the extra `elan`.

Tiers: `gloss`, or another name; `confidence`, each value attached to its gloss (symbolic association), so that it moves
with it in ELAN; and `translation` if the result has one. A result of `sign-translation` has that tier alone. Glosses without
times are one annotation over the clip. A video is linked as media by its absolute and relative URL,
anything else as a secondary file. Characters that XML cannot hold are written as `\\x1b`. A property of the file holds
a fingerprint of each tier, by which the loader `elan` tells tiers that nobody has corrected since.

They can also be added to an existing file, all of whose content is kept: pympi would drop what it does not know, such
as references to controlled vocabularies, so that is done on its XML.
"""

import mimetypes
import os
import re
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

from ..common.messages import readable
from .text import cues, stem_of, translations, with_times

GLOSS, CONFIDENCE, TRANSLATION = "gloss", "confidence", "translation"
NO_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, less \r, which it reads as \n
MIMES = {".mkv": "video/x-matroska", ".m4v": "video/mp4", ".ts": "video/mp2t"}
XSI = "http://www.w3.org/2001/XMLSchema-instance"
# Elements of a file in their order, from the tiers on (EAF 3.0)
ORDER = ("TIME_ORDER", "TIER", "LINGUISTIC_TYPE", "LOCALE", "LANGUAGE", "CONSTRAINT", "CONTROLLED_VOCABULARY")
ASSOCIATION = ("Symbolic_Association", "1-1 association with a parent annotation")

Span = tuple[int, int, str]  # start and end in milliseconds, text
Cue = tuple[int, int, Mapping[str, Any]]  # the same of a part of a result


@dataclass(frozen=True)
class EafLayout:
    """Where glosses go in ELAN.

    Args:
        tier: Name of the tier of glosses; of a translation alone that of the sentences, where `gloss` stands for
            `translation`.
        merge: ELAN file whose content is kept and gets the tiers, or a folder of such files, each named as its clip;
            None for a new file.
    """

    tier: str = GLOSS
    merge: str | None = None

    def check(self) -> None:
        """Check the layout before anything is recognized.

        Raises:
            ValueError: If a name is impossible.
            FileNotFoundError: If there is nothing to merge with.
        """
        if not self.tier.strip() or NO_XML.search(self.tier) or self.tier != " ".join(self.tier.split()):
            raise ValueError(f"--tier must be the name of an ELAN tier in one line, got {self.tier!r}.")
        if self.merge is not None and not os.path.exists(self.merge):
            raise FileNotFoundError(
                f"--merge {self.merge}: no such ELAN file (.eaf) or folder of them. Check the path."
            )

    def base_of(self, name: str) -> Path | None:
        """Return the file that the tiers of a clip are added to, None for a new file."""
        if self.merge is None:
            return None
        place = Path(self.merge)
        if place.is_dir():
            place = place / f"{stem_of(name)}.eaf"
        return place if place.is_file() else None

    def state_of(self, name: str) -> list:
        """Return what identifies the layout and the file that the tiers of a clip are added to; [] by default."""
        if self == EafLayout():
            return []
        base = self.base_of(name)
        status = base.stat() if base is not None else None
        return [self.tier, str(base), status and [status.st_size, status.st_mtime_ns]]


def render(result: Mapping[str, Any], name: str, place: Path | None = None, layout: EafLayout = EafLayout()) -> str:
    """Return the file of one clip.

    Args:
        result: Result of the pipeline.
        name: Path of the clip.
        place: Path at which the file will be written, for the relative URL of the media.
        layout: Name of the tier, and the file that it is added to.

    Raises:
        ImportError: If pympi is missing. The message names the extra.
        SignXDataError: If the file that the tiers are added to cannot be read, or has tiers of these names.
    """
    from ..common.extras import require

    elan = require("pympi").Elan
    ElementTree.register_namespace("xsi", XSI)
    base = layout.base_of(name)
    if base is not None:
        root = _existing(base, place)
    else:
        if layout.merge is not None:
            _warn(
                f"{layout.merge}: no ELAN file {stem_of(name)}.eaf in it, so the tiers of {name} go into a new file."
            )
        root = _empty(elan, name)
    header = root.find("HEADER")
    origin = _link(header, name, place)
    glosses = _after(cues(with_times(result)), origin, name)
    sentences = _after(cues(translations(result), "text"), origin, name)
    translation = [(start, end, _xml(part["text"])) for start, end, part in sentences]
    if "segments" in result:
        tiers = {layout.tier: [(start, end, _xml(part["gloss"])) for start, end, part in glosses]}
        if sentences:
            tiers[_named(TRANSLATION, layout.tier)] = translation
        _check_free(root, (*tiers, _named(CONFIDENCE, layout.tier)), base)
        _add_tiers(root, tiers, layout.tier, [part["confidence"] for _, _, part in glosses])
    else:
        tiers = {TRANSLATION if layout.tier == GLOSS else layout.tier: translation}
        _check_free(root, tuple(tiers), base)
        _add_tiers(root, tiers, None, ())
    ElementTree.indent(root, "    ")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _warn(message: str) -> None:
    from ..processing.errors_signx import SignXWarning

    warnings.warn(message, SignXWarning, stacklevel=3)


def _named(part: str, tier: str) -> str:
    """Return the name of the tier of confidences or translations next to a tier of glosses."""
    return part if tier == GLOSS else f"{tier}-{part}"


def _after(cues: Sequence[Cue], origin: int, name: str) -> list[Cue]:
    """Return parts of a clip on the clock of the file, without those before its beginning, where ELAN holds none."""
    kept = [(max(start - origin, 0), end - origin, part) for start, end, part in cues if end > origin]
    if len(kept) < len(cues):
        _warn(
            f"{name}: {len(cues) - len(kept)} of {len(cues)} annotations lie before the beginning of the ELAN file "
            f"({origin / 1000:g} s into the video) and are left out. Set the media offset to 0 in ELAN to keep them."
        )
    return kept


def _xml(text: str) -> str:
    return NO_XML.sub(lambda match: match.group().encode("unicode_escape").decode("ascii"), text)


# -------------------------------------------------------------------------------------------------------- the document


def _empty(elan: Any, name: str) -> ElementTree.Element:
    """Return a file without tiers, from pympi."""
    from ..data.eaf import AUTHOR

    eaf = elan.Eaf(author=AUTHOR)
    eaf.remove_tier("default")  # pympi's own
    eaf.remove_linguistic_type("default-lt")
    # The date of the recording, not of now, so that the same clip gives the same bytes.
    eaf.adocument["DATE"] = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(_recorded(name)))
    eaf.header |= {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"}
    eaf.properties[:] = [("lastUsedAnnotationId", 0)]
    return ElementTree.fromstring(elan.to_string(eaf))


def _recorded(name: str) -> float:
    try:
        return os.path.getmtime(name)
    except (OSError, ValueError):
        return 0.0


def _existing(base: Path, place: Path | None) -> ElementTree.Element:
    """Return the content of an ELAN file, with relative addresses that hold where the new file will be."""
    from ..data.eaf import open_eaf
    from ..data.errors import SignXDataError

    open_eaf(base)  # says what is wrong with it
    builder = ElementTree.TreeBuilder(insert_comments=True)
    root = ElementTree.parse(base, ElementTree.XMLParser(target=builder)).getroot()
    if root.find("HEADER") is None or root.find("TIME_ORDER") is None:
        raise SignXDataError(f"{base}: an ELAN file must have a HEADER and a TIME_ORDER. Save it again in ELAN.")
    for item in (*root.iter("MEDIA_DESCRIPTOR"), *root.iter("LINKED_FILE_DESCRIPTOR")):
        for key in ("RELATIVE_MEDIA_URL", "RELATIVE_LINK_URL"):
            target = base.parent / unquote(item.get(key) or "")
            if item.get(key) and place is not None and target.is_file():
                item.set(key, _relative(Path(os.path.abspath(target)), place) or item.get(key, ""))
    return root


def _relative(path: Path, place: Path) -> str | None:
    try:
        return _xml(readable(f"./{Path(os.path.relpath(path, os.path.abspath(place.parent))).as_posix()}"))
    except ValueError:  # another drive on Windows
        return None


def _link(header: ElementTree.Element, name: str, place: Path | None) -> int:
    """Link the media unless they are, and return their milliseconds at which the clock of the file is 0.

    As ELAN does: absolute with file://, relative with ./, neither percent-encoded.
    """
    path = Path(os.path.abspath(name))
    media = header.findall("MEDIA_DESCRIPTOR")
    videos = [item for item in media if (item.get("MIME_TYPE") or "video").startswith("video")]
    same = [item for item in media if path.name in _names(item)]
    same += [item for item in videos if path.stem in map(_stem, _names(item))]  # its poses, or another encoding
    if same:
        return int(same[0].get("TIME_ORIGIN") or 0)
    kind = MIMES.get(path.suffix.lower()) or mimetypes.guess_type(path.name)[0] or "unknown"
    absolute = _xml(readable(f"file://{'' if path.as_posix().startswith('/') else '/'}{path.as_posix()}"))
    relative = None if place is None else _relative(path, place)
    tag, url, near = (
        ("MEDIA_DESCRIPTOR", "MEDIA_URL", "RELATIVE_MEDIA_URL")
        if kind.startswith("video/")
        else ("LINKED_FILE_DESCRIPTOR", "LINK_URL", "RELATIVE_LINK_URL")
    )
    item = ElementTree.Element(tag, {url: absolute, **({near: relative} if relative else {}), "MIME_TYPE": kind})
    before = [number for number, other in enumerate(header) if other.tag in ("MEDIA_DESCRIPTOR", tag)]
    header.insert(before[-1] + 1 if before else 0, item)
    return 0


def _names(item: ElementTree.Element) -> set[str]:
    """Return the name of a linked file, as it stands and percent-decoded."""
    address = item.get("MEDIA_URL") or item.get("RELATIVE_MEDIA_URL") or ""
    return {PurePosixPath(address).name, PurePosixPath(unquote(address)).name}


def _stem(name: str) -> str:
    return PurePosixPath(name).stem


def _check_free(root: ElementTree.Element, names: Sequence[str], base: Path | None) -> None:
    from ..data.errors import SignXDataError

    taken = {tier.get("TIER_ID") for tier in root.iter("TIER")}
    for name in names:
        if name in taken:
            raise SignXDataError(
                f"{base}: already has a tier {name!r}, which is kept. Choose another name with --tier."
            )


def _add_tiers(
    root: ElementTree.Element,
    tiers: Mapping[str, Sequence[Span]],
    gloss_tier: str | None,
    confidences: Sequence[float | None],
) -> None:
    """Add tiers of annotations with times, and after that of the glosses that of their confidences."""
    from ..data.eaf import AUTHOR, WRITTEN, fingerprint

    borders = sorted(
        (time, kind, name, number)
        for name, spans in tiers.items()
        for number, span in enumerate(spans)
        for kind, time in enumerate(span[:2])
    )
    slots = dict(zip((border[1:] for border in borders), _add_slots(root, [border[0] for border in borders])))
    last = max((int("".join(re.findall(r"\d", key)) or 0) for key in _ids(root, "ANNOTATION_ID")), default=0)
    header = root.find("HEADER")
    for name, spans in tiers.items():
        role = GLOSS if name == gloss_tier else TRANSLATION
        tier = _add(root, "TIER", {"TIER_ID": name, "LINGUISTIC_TYPE_REF": _type(root, role), "ANNOTATOR": AUTHOR})
        values = confidences if name == gloss_tier else ()
        if name == gloss_tier:
            kind = _type(root, CONFIDENCE)
            about = {"TIER_ID": _named(CONFIDENCE, name), "LINGUISTIC_TYPE_REF": kind, "PARENT_REF": name}
            attached = _add(root, "TIER", {**about, "ANNOTATOR": AUTHOR})
        for number, (_, _, text) in enumerate(spans):
            last += 1
            times = {f"TIME_SLOT_REF{end + 1}": slots[end, name, number] for end in (0, 1)}
            _annotate(tier, "ALIGNABLE_ANNOTATION", {"ANNOTATION_ID": f"a{last}", **times}, text)
            if number < len(values) and values[number] is not None:
                about = {"ANNOTATION_ID": f"a{last + 1}", "ANNOTATION_REF": f"a{last}"}
                last += 1
                _annotate(attached, "REF_ANNOTATION", about, f"{values[number]:.4f}")
        ElementTree.SubElement(header, "PROPERTY", {"NAME": f"{WRITTEN}{name}"}).text = fingerprint(spans)
    for item in header.iter("PROPERTY"):
        if item.get("NAME") == "lastUsedAnnotationId":
            item.text = str(last)


def _ids(root: ElementTree.Element, key: str) -> list[str]:
    return [item.get(key, "") for item in root.iter() if key in item.attrib]


def _add_slots(root: ElementTree.Element, times: Sequence[int]) -> list[str]:
    """Add slots at ascending times and return their names; ELAN keeps slots in the order of time."""
    order = root.find("TIME_ORDER")
    first = max((int("".join(re.findall(r"\d", key)) or 0) for key in _ids(order, "TIME_SLOT_ID")), default=0) + 1
    names = [f"ts{first + number}" for number in range(len(times))]
    new = [
        ElementTree.Element("TIME_SLOT", {"TIME_SLOT_ID": name, "TIME_VALUE": str(time)})
        for name, time in zip(names, times)
    ]
    slots, done = [], 0
    for slot in order:  # right before a later one, so that slots without a time keep their neighbors
        value = slot.get("TIME_VALUE")
        while value is not None and done < len(new) and times[done] < int(value):
            slots.append(new[done])
            done += 1
        slots.append(slot)
    order[:] = [*slots, *new[done:]]
    return names


def _add(root: ElementTree.Element, tag: str, attributes: Mapping[str, str]) -> ElementTree.Element:
    """Add an element after the last one that may stand before it."""
    before = ("LICENSE", "HEADER", *ORDER[: ORDER.index(tag) + 1])
    place = max(number for number, item in enumerate(root) if item.tag in before)
    element = ElementTree.Element(tag, dict(attributes))
    root.insert(place + 1, element)
    return element


def _annotate(tier: ElementTree.Element, tag: str, attributes: Mapping[str, str], text: str) -> None:
    annotation = ElementTree.SubElement(ElementTree.SubElement(tier, "ANNOTATION"), tag, dict(attributes))
    ElementTree.SubElement(annotation, "ANNOTATION_VALUE").text = text


def _type(root: ElementTree.Element, role: str) -> str:
    """Return the name of the type of a tier of ours, which is added unless the file has it."""
    about = {"TIME_ALIGNABLE": "false" if role == CONFIDENCE else "true", "GRAPHIC_REFERENCES": "false"}
    if role == CONFIDENCE:
        about["CONSTRAINTS"] = ASSOCIATION[0]
        if ASSOCIATION[0] not in _ids(root, "STEREOTYPE"):
            _add(root, "CONSTRAINT", dict(zip(("STEREOTYPE", "DESCRIPTION"), ASSOCIATION)))
    types = {item.get("LINGUISTIC_TYPE_ID"): item for item in root.iter("LINGUISTIC_TYPE")}
    name = f"{role}-lt"
    while name in types and types[name].get("CONSTRAINTS") != about.get("CONSTRAINTS"):
        name = f"signx-{name}"
    if name not in types:
        _add(root, "LINGUISTIC_TYPE", {"LINGUISTIC_TYPE_ID": name, **about})
    return name


# -------------------------------------------------------------------------------------------------------------- reading


def read_eaf(
    path: str | os.PathLike,
    gloss_tier: str = GLOSS,
    *,
    right_tier: str | None = None,
    left_tier: str | None = None,
    medium: str | None = None,
) -> dict[str, Any]:
    """Read an ELAN file as a result: one of `render`, edited in ELAN or not, or one of your own.

    Args:
        path: Path of the `.eaf` file.
        gloss_tier: Name of the tier with the glosses. It may refer to another tier (symbolic association or
            subdivision).
        right_tier: Name of the tier of the right hand's glosses, in place of `gloss_tier`.
        left_tier: Name of the tier of the left hand's glosses. The same gloss at the same time on both hands is one
            sign.
        medium: Part of the name of the linked file whose times are returned; default: the first video.

    Returns:
        `glosses`, `text`, `segments` with seconds of the medium, `media` (its path or None), `signer` (PARTICIPANT of
        the tier or None), `corrected` (false where the glosses are as this package wrote them) and, if present,
        `translation`.

    Raises:
        ImportError: If pympi is missing. The message names the extra.
        SignXFileNotFoundError: If the file does not exist.
        SignXDataError: If the file is not an ELAN file, a tier or medium does not exist, or a time is missing or
            impossible.
    """
    from ..data import eaf as elan
    from ..processing.errors_signx import SignXFileNotFoundError

    path = Path(path)
    if not path.is_file():
        raise SignXFileNotFoundError(f"{path}: no such ELAN file (.eaf). Check the path.")
    eaf = elan.open_eaf(path)
    tiers = elan.tiers_of_hands(gloss_tier, right_tier, left_tier)
    elan.check_tiers(eaf, path, tiers, "gloss_tier, right_tier and left_tier")
    media = elan.choose_media(elan.linked_media(eaf, path), medium, path)
    media = [item for item in media if item.mime.startswith("video")] or media
    origin = media[0].origin if media else 0
    confidences = _confidences(eaf, tiers[0], path)
    segments = [
        {"gloss": item.value, **_seconds(item, origin, path), "confidence": confidences.get(item.key)}
        for item in elan.gloss_annotations(eaf, tiers, path)
    ]
    translation = _named(TRANSLATION, tiers[0])
    sentences = [
        {"text": item.value, **_seconds(item, origin, path)}
        for item in (elan.annotations(eaf, translation, path) if translation in eaf.tiers else ())
    ]
    glosses = [segment["gloss"] for segment in segments]
    result = {
        "glosses": glosses,
        "text": " ".join(glosses),
        "segments": segments,
        "media": _path_of(media[0].url) if media else None,
        "signer": elan.participant(eaf, tiers, path),
        "corrected": not any(elan.is_uncorrected(eaf, tier, path) for tier in tiers),
    }
    return result | ({"translation": sentences} if sentences else {})


def _confidences(eaf: Any, tier: str, path: Path) -> dict[str, float]:
    """Return the confidences of a tier by the annotations that they are attached to."""
    from ..data.errors import SignXDataError

    found = {}
    for parent, value, _, _ in eaf.tiers.get(_named(CONFIDENCE, tier), ({}, {}))[1].values():
        try:
            found[parent] = float(value)
        except ValueError as error:
            raise SignXDataError(
                f"{path}: a confidence must be a number, got {value!r:.80}. Correct it in ELAN."
            ) from error
        if not 0 <= found[parent] <= 1:
            gloss = eaf.tiers[tier][0].get(parent, (None, None, parent))[2]
            raise SignXDataError(
                f"{path}: the confidence of {gloss!r:.80} must be from 0 to 1, got {found[parent]}. Correct it in ELAN."
            )
    return found


def _seconds(item: Any, origin: int, path: Path) -> dict[str, float]:
    """Return the times of an annotation in seconds of the medium."""
    from ..data.errors import SignXDataError

    if item.start is None or item.end is None:
        raise SignXDataError(
            f"{path}: the time or parent of an annotation is missing ({item.key}). Save the file again in ELAN."
        )
    start, end = (item.start + origin) / 1000, (item.end + origin) / 1000
    if not 0 <= start <= end:
        raise SignXDataError(
            f"{path}: times of {item.value!r:.80} must be in order, got {start} to {end} s. Correct it in ELAN."
        )
    return {"start": start, "end": end}


def _path_of(address: str) -> str:
    """Return the path of a media URL; ELAN writes it unencoded, other programs percent-encoded."""
    path = re.sub(r"^file:(//(?=/))?", "", address)
    return path if os.path.exists(path) else unquote(path)
