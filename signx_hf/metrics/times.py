"""Metrics of time: boundary errors and overlap of segments, and the speed of a recognizer."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median
from typing import Any

import numpy as np

from ..processing.errors_signx import SignXError
from .alignment import align_sclite
from .arrays import listed, numbers_of

Segments = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class BoundaryError:
    """Errors of the starts and ends of matched segments, in seconds; all None if nothing matched.

    Attributes:
        matched: Number of segments that were compared.
        references: Number of true segments.
        mean: Mean absolute error.
        median: Median absolute error.
        bias_start: Mean signed error of the starts; positive is too late.
        bias_end: Mean signed error of the ends; positive is too late.
    """

    matched: int
    references: int
    mean: float | None
    median: float | None
    bias_start: float | None
    bias_end: float | None


def _checked(segments: object, side: str, clip: int) -> list[Mapping[str, Any]]:
    segments = listed(f"{side} {clip}", segments, "segments")
    for index, segment in enumerate(segments):
        where = f"{side} {clip}, segment {index}"
        if not isinstance(segment, Mapping) or not segment.keys() >= {"gloss", "start", "end"}:
            raise SignXError(f"{where} must have a gloss, a start and an end, got {segment!r:.80}.")
        start, end = segment["start"], segment["end"]
        if any(isinstance(time, bool) or not isinstance(time, (int, float, np.number)) for time in (start, end)):
            raise SignXError(f"{where} ({segment['gloss']}) must have times in seconds, got {start!r} to {end!r}.")
        if not (math.isfinite(start) and math.isfinite(end) and start <= end):
            raise SignXError(
                f"{where} ({segment['gloss']}) must not end before it starts, got {start} to {end} seconds."
            )
    return segments


def match_segments(predicted: Segments, reference: Segments) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Return the pairs of segments with equal glosses that `align_sclite` aligns."""
    predicted, reference = _checked(predicted, "clip", 0), _checked(reference, "truth of clip", 0)
    pairs, left, right = [], iter(predicted), iter(reference)
    for gloss, hypothesis in align_sclite([s["gloss"] for s in reference], [s["gloss"] for s in predicted]):
        predicted_segment = next(left) if hypothesis is not None else None
        reference_segment = next(right) if gloss is not None else None
        if predicted_segment is not None and reference_segment is not None and gloss == hypothesis:
            pairs.append((predicted_segment, reference_segment))
    return pairs


def _matched(
    predicted: Iterable[Segments], reference: Iterable[Segments]
) -> tuple[list[tuple[Mapping, Mapping]], int, int]:
    """Return the pairs of matched segments, and how many segments each side has."""
    predicted, reference = listed("predicted", predicted, "clips"), listed("reference", reference, "clips")
    if len(predicted) != len(reference):
        raise SignXError(
            f"`predicted` and `reference` must have the same number of clips, got {len(predicted)} and {len(reference)}."
        )
    pairs, found, total = [], 0, 0
    for clip, (left, right) in enumerate(zip(predicted, reference)):
        left, right = _checked(left, "clip", clip), _checked(right, "truth of clip", clip)
        pairs += match_segments(left, right)
        found, total = found + len(left), total + len(right)
    return pairs, found, total


def boundary_error(predicted: Iterable[Segments], reference: Iterable[Segments]) -> BoundaryError:
    """Compute how far the times of correctly recognized glosses are off, over the clips of a corpus.

    Args:
        predicted: Segments of each clip in order: mappings with `gloss`, `start` and `end` in seconds. Substituted,
            inserted and deleted glosses have no counterpart and are not compared; the error rate counts them.
        reference: The true segments of each clip.

    Raises:
        SignXError: If the numbers of clips differ, something is no segment, or one ends before it starts.
    """
    pairs, _, total = _matched(predicted, reference)
    if not pairs:
        return BoundaryError(0, total, None, None, None, None)
    starts = [a["start"] - b["start"] for a, b in pairs]
    ends = [a["end"] - b["end"] for a, b in pairs]
    off = [abs(value) for value in (*starts, *ends)]
    return BoundaryError(len(pairs), total, mean(off), median(off), mean(starts), mean(ends))


def segment_iou(predicted: Iterable[Segments], reference: Iterable[Segments]) -> float:
    """Compute the mean intersection over union of the true segments with their matched segments; unmatched ones count 0.

    Without any true segment the result is 1 if nothing was predicted, else 0. Two equal instants count 1.

    Raises:
        SignXError: As in `boundary_error`.
    """
    pairs, found, total = _matched(predicted, reference)
    if not total:
        return 0.0 if found else 1.0
    shares = 0.0
    for a, b in pairs:
        union = max(a["end"], b["end"]) - min(a["start"], b["start"])
        shared = max(0.0, min(a["end"], b["end"]) - max(a["start"], b["start"]))
        # the gap between disjoint segments is not part of the union
        union = union if shared else (a["end"] - a["start"]) + (b["end"] - b["start"])
        same = a["start"] == b["start"] and a["end"] == b["end"]
        shares += 1.0 if same else shared / union if union else 0.0
    return shares / total


def real_time_factor(seconds: Iterable[float], durations: Iterable[float]) -> float:
    """Compute the processing time per second of signing over all clips; below 1 is faster than real time.

    Args:
        seconds: Processing time of each clip.
        durations: Length of each clip in seconds.

    Raises:
        SignXError: If lengths differ, a number is negative, or durations add up to 0.
    """
    seconds, durations = numbers_of("seconds", seconds).tolist(), numbers_of("durations", durations).tolist()
    if len(seconds) != len(durations):
        raise SignXError(
            f"`seconds` and `durations` must have the same length, got {len(seconds)} and {len(durations)}."
        )
    if not all(value >= 0 for value in (*seconds, *durations)) or not sum(durations):
        raise SignXError("`seconds` and `durations` must not be negative, and `durations` must not add up to 0.")
    return sum(seconds) / sum(durations)
