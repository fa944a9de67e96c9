"""Times: how far segments are from the truth, how much of it they cover, and how fast a recogniser is."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median
from typing import Any

from ..processing.errors_signx import SignXError
from .alignment import align_sclite

Segments = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class BoundaryError:
    """Seconds that starts and ends of matched segments are off, absolute values; `bias_*` with sign, above 0: too late.

    matched: segments that were compared; references: segments of the truth. Nothing matched: all numbers are None.
    """

    matched: int
    references: int
    mean: float | None
    median: float | None
    bias_start: float | None
    bias_end: float | None


def _checked(segments: Segments, side: str, clip: int) -> None:
    for place, segment in enumerate(segments):
        start, end = segment["start"], segment["end"]
        if start is None or end is None or not (math.isfinite(start) and math.isfinite(end) and start <= end):
            raise SignXError(
                f"{side} {clip}, segment {place} ({segment['gloss']}) is from {start} to {end}; wanted seconds, the end not before the start"
            )


def match_segments(found: Segments, wanted: Segments) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Pairs of segments of equal glosses that the alignment of the two sentences (`align_sclite`) puts opposite each other."""
    pairs, left, right = [], iter(found), iter(wanted)
    for reference, hypothesis in align_sclite([s["gloss"] for s in wanted], [s["gloss"] for s in found]):
        heard = next(left) if hypothesis is not None else None
        signed = next(right) if reference is not None else None
        if heard is not None and signed is not None and reference == hypothesis:
            pairs.append((heard, signed))
    return pairs


def _matched(found: Sequence[Segments], wanted: Sequence[Segments]) -> list[tuple[Mapping, Mapping]]:
    if len(found) != len(wanted):
        raise SignXError(
            f"found the segments of {len(found)} clips and the truth of {len(wanted)}; wanted the same clips"
        )
    pairs = []
    for clip, (left, right) in enumerate(zip(found, wanted)):
        _checked(left, "clip", clip)
        _checked(right, "truth of clip", clip)
        pairs += match_segments(left, right)
    return pairs


def boundary_error(found: Sequence[Segments], wanted: Sequence[Segments]) -> BoundaryError:
    """How far the times of rightly recognised glosses are off, over the clips of a corpus.

    Args:
        found, wanted: of each clip its segments in order: mappings with `gloss`, `start`, `end` in seconds. Glosses that were
            substituted, inserted or deleted have no counterpart and are not compared; the error rate counts them.

    Raises:
        SignXError: unequal numbers of clips, a segment that ends before it starts.
    """
    pairs, total = _matched(found, wanted), sum(map(len, wanted))
    if not pairs:
        return BoundaryError(0, total, None, None, None, None)
    starts = [a["start"] - b["start"] for a, b in pairs]
    ends = [a["end"] - b["end"] for a, b in pairs]
    off = [abs(value) for value in (*starts, *ends)]
    return BoundaryError(len(pairs), total, mean(off), median(off), mean(starts), mean(ends))


def segment_iou(found: Sequence[Segments], wanted: Sequence[Segments]) -> float:
    """Mean over the segments of the truth of their intersection over union with the matched segment; one without a match
    counts 0. No segments at all give 1 if nothing was found, else 0. An instant opposite the same instant counts 1.

    Raises:
        SignXError: as `boundary_error`.
    """
    pairs, total = _matched(found, wanted), sum(map(len, wanted))
    if not total:
        return 0.0 if any(len(segments) for segments in found) else 1.0
    shares = 0.0
    for a, b in pairs:
        union = max(a["end"], b["end"]) - min(a["start"], b["start"])
        shared = max(0.0, min(a["end"], b["end"]) - max(a["start"], b["start"]))
        # two that do not touch: what lies between them is not of the union
        union = union if shared else (a["end"] - a["start"]) + (b["end"] - b["start"])
        same = a["start"] == b["start"] and a["end"] == b["end"]
        shares += 1.0 if same else shared / union if union else 0.0
    return shares / total


def real_time_factor(seconds: Sequence[float], durations: Sequence[float]) -> float:
    """Seconds of work for a second of signing, over all clips; below 1 is faster than real time.

    Raises:
        SignXError: unequal lengths, numbers below 0, clips of no duration.
    """
    if len(seconds) != len(durations):
        raise SignXError(
            f"found {len(seconds)} times and {len(durations)} durations; wanted one of each for every clip"
        )
    if not all(value >= 0 for value in (*seconds, *durations)) or not sum(durations):
        raise SignXError("found times below 0 or no duration; wanted seconds of at least 0, and some signing")
    return sum(seconds) / sum(durations)
