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
    for index, segment in enumerate(segments):
        start, end = segment["start"], segment["end"]
        if start is None or end is None or not (math.isfinite(start) and math.isfinite(end) and start <= end):
            raise SignXError(
                f"{side} {clip}, segment {index} ({segment['gloss']}) must not end before it starts, got {start} to {end} seconds."
            )


def match_segments(predicted: Segments, reference: Segments) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Pairs of segments of equal glosses that the alignment of the two sentences (`align_sclite`) puts opposite each other."""
    pairs, left, right = [], iter(predicted), iter(reference)
    for gloss, hypothesis in align_sclite([s["gloss"] for s in reference], [s["gloss"] for s in predicted]):
        predicted_segment = next(left) if hypothesis is not None else None
        reference_segment = next(right) if gloss is not None else None
        if predicted_segment is not None and reference_segment is not None and gloss == hypothesis:
            pairs.append((predicted_segment, reference_segment))
    return pairs


def _matched(predicted: Sequence[Segments], reference: Sequence[Segments]) -> list[tuple[Mapping, Mapping]]:
    if len(predicted) != len(reference):
        raise SignXError(
            f"`predicted` and `reference` must have the same number of clips, got {len(predicted)} and {len(reference)}."
        )
    pairs = []
    for clip, (left, right) in enumerate(zip(predicted, reference)):
        _checked(left, "clip", clip)
        _checked(right, "truth of clip", clip)
        pairs += match_segments(left, right)
    return pairs


def boundary_error(predicted: Sequence[Segments], reference: Sequence[Segments]) -> BoundaryError:
    """How far the times of rightly recognised glosses are off, over the clips of a corpus.

    Args:
        found, wanted: of each clip its segments in order: mappings with `gloss`, `start`, `end` in seconds. Glosses that were
            substituted, inserted or deleted have no counterpart and are not compared; the error rate counts them.

    Raises:
        SignXError: unequal numbers of clips, a segment that ends before it starts.
    """
    pairs, total = _matched(predicted, reference), sum(map(len, reference))
    if not pairs:
        return BoundaryError(0, total, None, None, None, None)
    starts = [a["start"] - b["start"] for a, b in pairs]
    ends = [a["end"] - b["end"] for a, b in pairs]
    off = [abs(value) for value in (*starts, *ends)]
    return BoundaryError(len(pairs), total, mean(off), median(off), mean(starts), mean(ends))


def segment_iou(predicted: Sequence[Segments], reference: Sequence[Segments]) -> float:
    """Mean over the segments of the truth of their intersection over union with the matched segment; one without a match
    counts 0. No segments at all give 1 if nothing was found, else 0. An instant opposite the same instant counts 1.

    Raises:
        SignXError: as `boundary_error`.
    """
    pairs, total = _matched(predicted, reference), sum(map(len, reference))
    if not total:
        return 0.0 if any(len(segments) for segments in predicted) else 1.0
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
            f"`seconds` and `durations` must have the same length, got {len(seconds)} and {len(durations)}."
        )
    if not all(value >= 0 for value in (*seconds, *durations)) or not sum(durations):
        raise SignXError("`seconds` and `durations` must not be negative, and `durations` must not add up to 0.")
    return sum(seconds) / sum(durations)
