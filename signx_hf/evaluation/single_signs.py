"""Numbers of isolated signs: a clip is correct or wrong, so there are no insertions and no deletions."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from ..metrics import auroc, expected_calibration_error
from .summary import BINS, Clip, reliability_bins

TOP = 5
CLIP_COLUMNS = ["id", "signer", "signed", "rank", "score", "sure", "recognised"]
CONFUSED = 3  # most frequent confusions listed for a sign


def is_right(clip: Clip, n: int = 1) -> bool:
    """Whether the sign of a clip is among the first n candidates."""
    return clip.reference[0] in clip.labels[:n]


def _shares(clips: Sequence[Clip]) -> dict[str, Any]:
    right, among = (sum(is_right(clip, n) for clip in clips) for n in (1, TOP))
    return {
        "clips": len(clips), "right": right, f"right_in_{TOP}": among, "top_1": right / len(clips),
        f"top_{TOP}": among / len(clips),
    }  # fmt: skip


def by_signer(clips: Sequence[Clip]) -> list[dict[str, Any]]:
    """Return clips, correct ones, top-1 and top-5 of each signer, sorted by name."""
    groups: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        groups[clip.signer].append(clip)
    return [{"signer": name, **_shares(groups[name])} for name in sorted(groups)]


def by_sign(clips: Sequence[Clip]) -> list[dict[str, Any]]:
    """Return the same for each sign, the worst first, with its most frequent confusions."""
    groups: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        groups[clip.reference[0]].append(clip)
    rows = []
    for name in sorted(groups):
        taken = Counter(clip.labels[0] for clip in groups[name] if not is_right(clip))
        ranked = sorted(taken.items(), key=lambda item: (-item[1], item[0]))[:CONFUSED]
        rows.append({"sign": name, **_shares(groups[name]), "taken_for": dict(ranked)})
    return sorted(rows, key=lambda row: (row["top_1"], row[f"top_{TOP}"], row["sign"]))


def calibration(clips: Sequence[Clip]) -> dict[str, Any]:
    """Return the expected calibration error of the best sign's score, and the bins of the reliability diagram."""
    values, right = [clip.scores[0] for clip in clips], [is_right(clip) for clip in clips]
    return {
        "clips": len(clips), "right": sum(right), "bins": reliability_bins(values, right, "clips"),
        "expected_calibration_error": expected_calibration_error(values, right, BINS),
    }  # fmt: skip


def rejection(clips: Sequence[Clip], unknown: Sequence[Clip], settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what the rejection threshold does; None if there is neither a threshold nor a clip of an unknown sign.

    Args:
        clips: of signs in the vocabulary.
        unknown: of other signs.
        settings: `rejection` of a result.

    Returns:
        `score` and `threshold`; with a threshold `right`, `wrong`, `refused`: fractions of the clips, and with unknown
        clips
        `unknown_refused`: fraction of these. With unknown clips `auroc`, how well the score separates both kinds.
    """
    content: dict[str, Any] = {
        "score": settings["score"], "threshold": settings["threshold"], "clips": len(clips), "unknown": len(unknown),
    }  # fmt: skip
    if settings["threshold"] is not None:
        answered = [clip for clip in clips if clip.sure]
        right = sum(is_right(clip) for clip in answered)
        content |= {
            "right": right / len(clips), "wrong": (len(answered) - right) / len(clips), "refused": 1 - len(answered) / len(clips),
        }  # fmt: skip
    if unknown:
        content["auroc"] = auroc([clip.value for clip in clips], [clip.value for clip in unknown])
        if settings["threshold"] is not None:
            content["unknown_refused"] = sum(not clip.sure for clip in unknown) / len(unknown)
    return content if len(content) > 4 else None


def clip_rows(clips: Sequence[Clip]) -> tuple[list[str], list[list[str]]]:
    """Return columns and rows of the per-clip table; `rank` is empty if the true sign is not a candidate."""
    rows = []
    for clip in clips:
        rank = str(clip.labels.index(clip.reference[0]) + 1) if clip.reference[0] in clip.labels else ""
        sure = {True: "yes", False: "no", None: ""}[clip.sure]
        candidates = " | ".join(clip.labels[:TOP])
        rows.append([clip.id, clip.signer, clip.reference[0], rank, f"{clip.scores[0]:.4f}", sure, candidates])
    return CLIP_COLUMNS, rows


def lines(results: Mapping[str, Any]) -> list[str]:
    """Return what a summary says beyond the scores."""
    summary, part = [], results.get("rejection")
    data = results["data"]
    if data.get("clips_outside_vocabulary"):
        summary.append(
            f"{data['clips_outside_vocabulary']} clips of signs outside the vocabulary were left out of the scores"
        )
    if part and part["threshold"] is not None:
        summary.append(
            f"not sure where {part['score']} is below {part['threshold']:g}: {100 * part['right']:.2f} % correct, "
            f"{100 * part['wrong']:.2f} % wrong, {100 * part['refused']:.2f} % not sure"
        )
    if part and part["unknown"]:
        refused = f"{100 * part['unknown_refused']:.2f} % not sure, " if "unknown_refused" in part else ""
        summary.append(
            f"{part['unknown']} clips of unknown signs: {refused}AUROC of {part['score']} against known ones "
            f"{part['auroc']:.3f}"
        )
    return summary
