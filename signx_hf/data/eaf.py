"""Read ELAN files (`.eaf`) with pympi: annotations with times, linked media with their origins, who signs.

Times of annotations count on the clock of the file. A medium may start before it: `TIME_ORIGIN` is the time of the
medium, in milliseconds, at which that clock is 0 (EAF 3.0, https://www.mpi.nl/tools/elan/EAF_Annotation_Format_3.0_and_ELAN.pdf).
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote

from .errors import SignXDataError, nearest
from .xml_safety import declares_entities

if TYPE_CHECKING:
    from pympi.Elan import Eaf

AUTHOR = "signx_hf"
WRITTEN = "signx_hf written "  # property of the file, with the name of a tier: fingerprint of what we wrote there
SCHEMA = "{http://www.w3.org/2001/XMLSchema-instance}noNamespaceSchemaLocation"
# Part of the shorter of two annotations that both cover, from which equal glosses of two hands are one sign.
SAME_SIGN = 0.5


@dataclass(frozen=True)
class Annotation:
    """One annotation.

    Attributes:
        key: Its id in the file.
        value: Its text.
        start, end: Milliseconds on the clock of the file; None where the file does not tell.
    """

    key: str
    value: str
    start: float | None
    end: float | None


@dataclass(frozen=True)
class Medium:
    """One linked medium.

    Attributes:
        url: Absolute address.
        relative: Address relative to the file, or an empty text.
        mime: Its type, such as `video/mp4`.
        origin: Milliseconds of the medium at which the clock of the file is 0.
    """

    url: str
    relative: str
    mime: str
    origin: int

    @property
    def name(self) -> str:
        """Return the name of the media file."""
        return PurePosixPath(self.relative or self.url).name

    def is_called(self, name: str) -> bool:
        """Return whether the name of the media file contains a text, percent-encoded or not."""
        return name in self.name or name in unquote(self.name)


def open_eaf(path: Path) -> "Eaf":
    """Parse an ELAN file with pympi.

    Raises:
        ImportError: If pympi is missing. The message names the extra.
        SignXDataError: If the file cannot be read, or declares XML entities.
    """
    from ..common.extras import require

    elan = require("pympi").Elan
    if declares_entities(path.read_bytes()):
        raise SignXDataError(f"{path}: declares XML entities, which can exhaust the memory. Save it again in ELAN.")
    try:
        eaf = elan.Eaf()
        for content in (eaf.tiers, eaf.linguistic_types, eaf.constraints, eaf.properties, eaf.annotations):
            content.clear()  # those of an empty file of pympi's own
        eaf.adocument = {SCHEMA: ""}  # pympi deletes it, and a file may do without
        elan.parse_eaf(str(path), eaf, True)
        return eaf
    except Exception as error:  # a foreign parser: XML, key, value and attribute errors
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise SignXDataError(f"{path}: not a readable ELAN file ({reason}). Save it again in ELAN.") from error


def check_tiers(eaf: "Eaf", path: Path, tiers: Iterable[str], option: str) -> None:
    """Check that a file has these tiers.

    Args:
        eaf: The file.
        path: Its path, for the message.
        tiers: Names of tiers.
        option: What selects tiers, for the message.

    Raises:
        SignXDataError: If one is missing. The message names the nearest.
    """
    for tier in tiers:
        if tier not in eaf.tiers:
            raise SignXDataError(f"{path}: no tier {tier!r}; {nearest(tier, eaf.tiers)}; select it with {option}")


# ------------------------------------------------------------------------------------------------------------- times


def annotations(eaf: "Eaf", tier: str, path: Path) -> list[Annotation]:
    """Return the annotations of a tier in the order of time.

    Slots without a value are spread evenly between those that have one. Annotations that refer to another one
    (symbolic association and subdivision) divide its time evenly, in the order of PREVIOUS_ANNOTATION.

    Args:
        eaf: The file.
        tier: Name of one of its tiers.
        path: Path of the file, for the message.

    Raises:
        SignXDataError: If an annotation refers to a slot or an annotation that is not there, or its predecessors go
            round in a circle.
    """
    spans: dict[str, tuple[float | None, float | None]] = {}
    try:
        times = _slot_times(eaf, tier)
        for name in reversed(_lineage(eaf, tier)):
            aligned, references = eaf.tiers[name][:2]
            spans |= {key: (times[first], times[last]) for key, (first, last, _, _) in aligned.items()}
            spans |= _divided(references, spans)
    except KeyError as error:
        raise SignXDataError(
            f"{path}: the time or parent of an annotation is missing ({error}). Save the file again in ELAN."
        ) from error
    except ValueError as error:
        raise SignXDataError(f"{path}: tier {tier!r}: {error}. Save the file again in ELAN.") from error
    values = {key: value for key, (_, _, value, _) in eaf.tiers[tier][0].items()}
    values |= {key: value for key, (_, value, _, _) in eaf.tiers[tier][1].items()}
    found = [Annotation(key, value, *spans[key]) for key, value in values.items()]
    return sorted(found, key=lambda item: (item.start is None, item.start or 0, item.end is None, item.end or 0))


def _lineage(eaf: "Eaf", tier: str) -> list[str]:
    """Return the tier, its parent, the parent of that, and so on."""
    names: list[str] = []
    name: str | None = tier
    while name in eaf.tiers and name not in names:
        names.append(name)
        name = eaf.tiers[name][2].get("PARENT_REF")
    return names


def _slot_times(eaf: "Eaf", tier: str) -> dict[str, float | None]:
    """Return the milliseconds of all slots, with those of the tier and of the tiers above it filled in."""
    times: dict[str, float | None] = dict(eaf.timeslots)
    used: set[str] = set()
    for name in reversed(_lineage(eaf, tier)):  # a part of an annotation without times gets them from the whole
        follows = {first: last for first, last, _, _ in eaf.tiers[name][0].values()}
        used |= {*follows, *follows.values()}
        for first in follows:
            if times[first] is not None:
                _spread(_chain(first, follows, times), times)
        # What no chain of neighbors reaches lies between the slots before and after it in the file.
        order = [slot for slot in times if slot in used]
        known = [place for place, slot in enumerate(order) if times[slot] is not None]
        for begin, end in zip(known, known[1:]):
            _spread(order[begin : end + 1], times)
    return times


def _chain(first: str, follows: Mapping[str, str], times: Mapping[str, float | None]) -> list[str]:
    """Return slots from one with a time over those without to the next with one, if there is one."""
    chain, seen, slot = [first], {first}, follows.get(first)
    while slot is not None and slot not in seen:
        chain.append(slot)
        seen.add(slot)
        slot = follows.get(slot) if times[slot] is None else None
    return chain


def _spread(slots: Sequence[str], times: dict[str, float | None]) -> None:
    """Spread slots without a time evenly between the first and the last, if both have one."""
    start, end = times[slots[0]], times[slots[-1]]
    if start is not None and end is not None:
        step = (end - start) / max(len(slots) - 1, 1)
        times.update({slot: start + place * step for place, slot in enumerate(slots[1:-1], 1)})


def _divided(
    references: Mapping[str, tuple], spans: Mapping[str, tuple[float | None, float | None]]
) -> dict[str, tuple[float | None, float | None]]:
    """Return the spans of annotations that refer to others, each its part of the other's span."""
    children: dict[str, list[str]] = {}
    for key, (parent, _, _, _) in references.items():
        children.setdefault(parent, []).append(key)
    found: dict[str, tuple[float | None, float | None]] = {}
    for parent, keys in children.items():
        start, end = spans[parent]
        ordered = _in_order(keys, {key: references[key][2] for key in keys})
        if start is None or end is None:
            found |= dict.fromkeys(ordered, (None, None))
            continue
        borders = [start + place * (end - start) / len(ordered) for place in range(len(ordered))] + [end]
        found |= {key: (borders[place], borders[place + 1]) for place, key in enumerate(ordered)}
    return found


def _in_order(keys: Sequence[str], previous: Mapping[str, str | None]) -> list[str]:
    """Return annotations each after its predecessor; those without one in the order of the file."""
    follows: dict[str, list[str]] = {}
    for key in keys:
        follows.setdefault(previous[key] if previous[key] in previous else "", []).append(key)
    ordered: list[str] = []
    waiting = follows.get("", [])[::-1]
    while waiting:
        ordered.append(waiting.pop())
        waiting += follows.get(ordered[-1], [])[::-1]
    if len(ordered) < len(keys):
        raise ValueError(f"the predecessors of {next(key for key in keys if key not in ordered)!r} form a circle")
    return ordered


def gloss_annotations(eaf: "Eaf", tiers: Sequence[str], path: Path) -> list[Annotation]:
    """Return the glosses of one tier, or of the tiers of both hands as one sequence.

    The same gloss at the same time on both hands is one sign of two hands, with the times of the first tier.

    Raises:
        SignXDataError: As `annotations`.
    """
    found = annotations(eaf, tiers[0], path) if tiers else []
    for tier in tiers[1:]:
        signs: dict[str, list[Annotation]] = {}
        for item in found:
            signs.setdefault(item.value.strip(), []).append(item)
        other = annotations(eaf, tier, path)
        found = found + [
            item for item in other if not any(_is_same(item, sign) for sign in signs.get(item.value.strip(), ()))
        ]
    return sorted(found, key=lambda item: (item.start is None, item.start or 0, item.end is None, item.end or 0))


def _is_same(a: Annotation, b: Annotation) -> bool:
    if a.start is None or a.end is None or b.start is None or b.end is None:
        return False
    shorter = min(a.end - a.start, b.end - b.start)
    return min(a.end, b.end) - max(a.start, b.start) > SAME_SIGN * shorter


def tiers_of_hands(gloss_tier: str | None, right_tier: str | None, left_tier: str | None) -> tuple[str, ...]:
    """Return the tiers of glosses: those of the hands if they are named, otherwise `gloss_tier`, which may be None for none."""
    hands = tuple(tier for tier in (right_tier, left_tier) if tier is not None)
    return hands or (() if gloss_tier is None else (gloss_tier,))


# ---------------------------------------------------------------------------------------------- media, signers, writers


def linked_media(eaf: "Eaf", path: Path) -> list[Medium]:
    """Return the linked media in the order of the file.

    Raises:
        SignXDataError: If a TIME_ORIGIN is not a whole number.
    """
    media = []
    for item in eaf.media_descriptors:
        origin = item.get("TIME_ORIGIN") or "0"
        if not re.fullmatch(r"[+-]?\d{1,12}", str(origin).strip()):
            raise SignXDataError(
                f"{path}: TIME_ORIGIN of a medium must be whole milliseconds, got {str(origin)!r:.40}. "
                "Set the media offset again in ELAN."
            )
        addresses = (item.get("MEDIA_URL") or "", item.get("RELATIVE_MEDIA_URL") or "")
        media.append(Medium(*addresses, item.get("MIME_TYPE") or "video", int(origin)))
    return media


def choose_media(media: Sequence[Medium], medium: str | None, path: Path) -> list[Medium]:
    """Return the media whose file name contains `medium`; all of them if it is None.

    Raises:
        SignXDataError: If there is none.
    """
    chosen = [item for item in media if medium is None or item.is_called(medium)]
    if medium is not None and not chosen:
        names = ", ".join(repr(item.name) for item in media) or "none"
        raise SignXDataError(
            f"{path}: `medium` must be part of the name of a linked medium, got {medium!r} of {names}."
        )
    return chosen


def participant(eaf: "Eaf", tiers: Iterable[str], path: Path) -> str | None:
    """Return the PARTICIPANT of tiers, None if they name none.

    Raises:
        SignXDataError: If they name several.
    """
    named = {tier: (eaf.tiers[tier][2].get("PARTICIPANT") or "").strip() for tier in tiers}
    people = list(dict.fromkeys(name for name in named.values() if name))
    if len(people) > 1:
        raise SignXDataError(
            f"{path}: tiers {', '.join(map(repr, named))} must belong to one participant, got {', '.join(map(repr, people))}. "
            "Load the tiers of each person on their own."
        )
    return people[0] if people else None


def fingerprint(spans: Iterable[tuple[float | None, float | None, str]]) -> str:
    """Return a hash of the annotations of a tier: start and end in milliseconds, and text, in any order."""
    return hashlib.sha256(json.dumps(sorted(map(list, spans), key=str), ensure_ascii=True).encode()).hexdigest()[:32]


def is_uncorrected(eaf: "Eaf", tier: str, path: Path) -> bool:
    """Return whether a tier holds what this package recognized, and nobody has changed it since."""
    properties = dict(eaf.properties)
    written = properties.get(f"{WRITTEN}{tier}")
    if written is not None:
        found = annotations(eaf, tier, path)
        return written == fingerprint((item.start, item.end, item.value) for item in found)
    # Files of earlier versions hold no fingerprint. ELAN gives every file that it saves a URN.
    ours = eaf.adocument.get("AUTHOR") == AUTHOR == eaf.tiers[tier][2].get("ANNOTATOR")
    return ours and "URN" not in properties
