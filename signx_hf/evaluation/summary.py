"""Numbers of an evaluation, of clips sorted by id, so that they do not depend on the order of the dataset."""

import importlib.metadata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..metrics import (
    align_sclite,
    best_clip_bleu_1,
    bleu,
    bootstrap_interval,
    boundary_error,
    chrf,
    edits,
    expected_calibration_error,
    judge,
    mean_sentence_bleu,
    rouge_l,
    segment_iou,
    top_n_accuracy,
)
from ..metrics.error_rate import ErrorRate
from ..version import __version__
from .options import RANK_SCORERS, WER_SCORERS

LENGTHS = ((0, 0), (1, 3), (4, 6), (7, 9), (10, 14), (15, 24), (25, None))  # glosses of the reference
BINS = 10
LEVEL = 0.95
NOTHING = "*"  # a gap of the alignment


@dataclass(frozen=True)
class Clip:
    """One clip: the truth, and what was recognized.

    Args:
        id, signer: of the row.
        reference: true glosses.
        truth: true segments.
        glosses, segments: recognized ones; empty for isolated signs.
        labels, scores: of the candidates of an isolated sign.
        sure, value: of an isolated sign, as in the `rejection` of a result.
    """

    id: str
    signer: str
    reference: tuple[str, ...]
    truth: tuple[Mapping[str, Any], ...]
    glosses: tuple[str, ...] = ()
    segments: tuple[Mapping[str, Any], ...] = ()
    labels: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    sure: bool | None = None
    value: float | None = None


def _finite(value: float) -> float | str:
    """Return the value, or text for an infinite one, which JSON does not have."""
    return value if value not in (float("inf"), float("-inf")) else "infinity"


def _interval(errors: Sequence[float], words: Sequence[float], rounds: int, seed: int) -> list[float | str]:
    return [_finite(value) for value in bootstrap_interval(errors, words, LEVEL, rounds, seed)]


def wer_score(clips: Sequence[Clip], scorer: str, rounds: int, seed: int) -> dict[str, Any]:
    """Return one variant of the word error rate: rate, counts, interval, signature."""
    counted = edits([clip.glosses for clip in clips], [clip.reference for clip in clips], scorer)
    total = ErrorRate(*(sum(getattr(one, name) for one in counted) for name in asdict(counted[0])))
    costs = "sclite-3-3-4" if scorer == "sclite" else f"unit|jiwer:{importlib.metadata.version('jiwer')}"
    return {
        "rate": _finite(total.rate), "substitutions": total.substitutions, "insertions": total.insertions,
        "deletions": total.deletions, "words": total.references,
        "interval": _interval([one.errors for one in counted], [one.references for one in counted], rounds, seed),
        "signature": f"wer|variant:{scorer}|case:mixed|alignment:{costs}|signx_hf:{__version__}",
    }  # fmt: skip


def text_score(clips: Sequence[Clip], scorer: str) -> dict[str, Any]:
    """Return BLEU, chrF, ROUGE-L or a score of SignX-1 of the glosses, with the library's signature."""
    sides = ([list(clip.glosses) for clip in clips], [list(clip.reference) for clip in clips])
    if scorer in ("bleu", "bleu_zh"):
        result = bleu(*sides, tokenize="zh" if scorer == "bleu_zh" else "none")
    elif scorer == "chrf":
        result = chrf(*sides)
    elif scorer == "mean_sentence_bleu":
        result = mean_sentence_bleu(*sides)
    elif scorer == "best_clip_bleu_1":
        result = best_clip_bleu_1(*sides)
    else:
        result = rouge_l(*sides, level="char" if scorer == "rouge_l_char" else "word")
    return {"score": result.score, **result.parts, "signature": result.signature}


def rank_score(clips: Sequence[Clip], scorer: str, rounds: int, seed: int) -> dict[str, Any]:
    """Return the top-n accuracy of isolated signs, with the interval of the one per instance."""
    n = RANK_SCORERS[scorer]
    accuracy = top_n_accuracy([clip.labels for clip in clips], [clip.reference[0] for clip in clips], n)
    hits = [float(hit) for hit in accuracy.hits]
    return {
        "per_instance": accuracy.per_instance, "per_class": accuracy.per_class, "hits": sum(accuracy.hits), "clips": len(clips),
        "interval": _interval(hits, [1.0] * len(hits), rounds, seed),
        "signature": f"top_n|n:{n}|case:mixed|signx_hf:{__version__}",
    }  # fmt: skip


def scores(clips: Sequence[Clip], scorers: Sequence[str], rounds: int, seed: int) -> dict[str, dict[str, Any]]:
    """Return the scores of each scorer by name."""
    result = {}
    for name in scorers:
        if name in WER_SCORERS:
            result[name] = wer_score(clips, name, rounds, seed)
        elif name in RANK_SCORERS:
            result[name] = rank_score(clips, name, rounds, seed)
        else:
            result[name] = text_score(clips, name)
    return result


def sentences_right(clips: Sequence[Clip]) -> float:
    """Return the fraction of clips whose sentence is entirely correct."""
    return sum(clip.glosses == clip.reference for clip in clips) / len(clips)


def times(clips: Sequence[Clip]) -> dict[str, Any] | None:
    """Return boundary errors and segment IoU over the clips that have true segments; None if there is none, or a
    model without CTC gave no times."""
    if any(segment["start"] is None for clip in clips for segment in clip.segments):
        return None
    timed = [clip for clip in clips if clip.truth]
    if not timed:
        return None
    predicted, expected = [clip.segments for clip in timed], [clip.truth for clip in timed]
    error = boundary_error(predicted, expected)
    return {
        "clips": len(timed), "segments": error.references, "matched": error.matched, "mean_seconds": error.mean,
        "median_seconds": error.median, "bias_start_seconds": error.bias_start, "bias_end_seconds": error.bias_end,
        "iou": segment_iou(predicted, expected),
    }  # fmt: skip


def calibration(clips: Sequence[Clip]) -> dict[str, Any] | None:
    """Return the expected calibration error of glosses with a confidence, and bins of the reliability diagram."""
    values, right = [], []
    for clip in clips:
        for segment, verdict in zip(clip.segments, judge(list(clip.glosses), list(clip.reference))):
            if segment.get("confidence") is not None:
                values.append(float(segment["confidence"]))
                right.append(bool(verdict))
    if not values:
        return None
    return {
        "glosses": len(values), "right": sum(right), "bins": reliability_bins(values, right, "glosses"),
        "expected_calibration_error": expected_calibration_error(values, right, BINS),
    }  # fmt: skip


def reliability_bins(values: Sequence[float], right: Sequence[bool], kind: str) -> list[dict[str, Any]]:
    """Return mean confidence and fraction correct of each non-empty bin; kind: the key of their number."""
    bins = []
    for index in range(BINS):
        inside = [i for i, value in enumerate(values) if min(int(value * BINS), BINS - 1) == index]
        if inside:
            bins.append(
                {
                    "from": index / BINS, "to": (index + 1) / BINS, kind: len(inside),
                    "confidence": sum(values[i] for i in inside) / len(inside),
                    "right": sum(right[i] for i in inside) / len(inside),
                }
            )  # fmt: skip
    return bins


def clip_errors(clips: Sequence[Clip], scorers: Sequence[str]) -> list[ErrorRate]:
    """Return the edits of each clip by the first variant of the word error rate."""
    variant = next((name for name in scorers if name in WER_SCORERS), "plain")
    return edits([clip.glosses for clip in clips], [clip.reference for clip in clips], variant)


def grouped(clips: Sequence[Clip], errors: Sequence[ErrorRate], key: str) -> list[dict[str, Any]]:
    """Return the errors by `signer` or by `length` of the reference, sorted."""
    groups: dict[str, list[ErrorRate]] = defaultdict(list)
    names = [length_group(len(clip.reference)) if key == "length" else clip.signer for clip in clips]
    for name, one in zip(names, errors):
        groups[name].append(one)
    order = length_groups() if key == "length" else sorted(groups)
    rows = []
    for name in order:
        if name in groups:
            total = ErrorRate(*(sum(getattr(one, field) for one in groups[name]) for field in asdict(groups[name][0])))
            rows.append({key: name, "clips": len(groups[name]), **asdict(total), "rate": _finite(total.rate)})
    return rows


def length_groups() -> list[str]:
    """Return the names of the groups by length, in order."""
    return [length_group(first) for first, _ in LENGTHS]


def length_group(glosses: int) -> str:
    """Return the name of the group of a length."""
    first, last = next(pair for pair in LENGTHS if glosses >= pair[0] and (pair[1] is None or glosses <= pair[1]))
    return str(first) if first == last else f"{first}+" if last is None else f"{first}-{last}"


def confusion(clips: Sequence[Clip]) -> list[tuple[str, str, int]]:
    """Return (signed, recognized, count) of all confusions, most frequent first; `*` stands for nothing."""
    counts: Counter[tuple[str, str]] = Counter()
    for clip in clips:
        if clip.labels:
            pairs = [(clip.reference[0], clip.labels[0])]
        else:
            pairs = align_sclite(clip.reference, clip.glosses)
        counts.update((a or NOTHING, b or NOTHING) for a, b in pairs if a != b)
    return sorted(((a, b, count) for (a, b), count in counts.items()), key=lambda item: (-item[2], item[0], item[1]))


def clip_rows(clips: Sequence[Clip], errors: Sequence[ErrorRate]) -> tuple[list[str], list[list[str]]]:
    """Return columns and rows of the per-clip table."""
    columns = ["id", "signer", "words", "substitutions", "insertions", "deletions", "reference", "hypothesis"]
    rows = [
        [
            clip.id, clip.signer, str(one.references), str(one.substitutions), str(one.insertions), str(one.deletions),
            " ".join(clip.reference), " ".join(clip.glosses),
        ]
        for clip, one in zip(clips, errors)
    ]  # fmt: skip
    return columns, rows
