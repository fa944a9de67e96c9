"""Confidences and times that mean what they say: a temperature and two margins, fitted on clips that the model was not trained on.

Guo et al. 2017 (arXiv 1706.04599, section 4.2). The temperature changes no gloss and no time (`SignXPreTrainedModel.align_ctc`); the
margins change times alone.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from .extras import require
from .metrics import expected_calibration_error
from .processing.errors_signx import SignXError
from .processing.pipeline_signx import widen

CANDIDATES = tuple(math.exp(step / 20) for step in range(-40, 41))  # 0.14 to 7.4, each 5 % above the one before
MARGINS = tuple(step / 50 for step in range(16))  # seconds, 0 to 0.3


@dataclass(frozen=True)
class Calibration:
    """temperature: the one that fits best; glosses: how many were judged, `right` of them rightly recognised.

    error_before, error_after: expected calibration error with the temperature 1 and with the fitted one.
    confidence_right, confidence_wrong: mean confidence of glosses that were right and wrong, with the fitted one.
    margins: seconds by which glosses begin before and end after what CTC says; None where no clip has times.
    boundary_before, boundary_after: mean distance in seconds of starts and ends from the truth, without and with the margins.
    """

    temperature: float
    glosses: int
    right: int
    error_before: float
    error_after: float
    confidence_right: float
    confidence_wrong: float
    margins: tuple[float, float] | None = None
    boundary_before: float | None = None
    boundary_after: float | None = None


def judge(recognised: Sequence[str], signed: Sequence[str]) -> list[bool]:
    """For each recognised gloss, whether the cheapest alignment with the signed ones puts it opposite an equal one."""
    if not recognised:
        return []
    jiwer = require("jiwer")
    right = [False] * len(recognised)
    words = sorted({*recognised, *signed})
    spelt = {
        gloss: f"w{index}" for index, gloss in enumerate(words)
    }  # jiwer splits at spaces and changes nothing else
    sides = (" ".join(spelt[gloss] for gloss in side) for side in (signed, recognised))
    if not signed:
        return right
    for part in jiwer.process_words(*sides).alignments[0]:
        if part.type == "equal":
            for place in range(part.hyp_start_idx, part.hyp_end_idx):
                right[place] = True
    return right


def clip_of(row: dict[str, Any], source: str) -> Any:
    """What a pipeline takes of a row: its video, or its stored poses with their frame rate."""
    from .data.schema import decode_poses

    if source == "video":
        if not row["video"]:
            raise SignXError(f"clip {row['id']} has no video; wanted one; use --source poses")
        return row["video"]
    if not row["poses"]:
        raise SignXError(f"clip {row['id']} has no stored poses; wanted some; extract them, or use --source video")
    stored = decode_poses(row["poses"])
    return replace(stored, fps=stored.fps or row["fps"])


def fit(recognizer: Any, rows: Any, source: str = "video", **options: Any) -> Calibration:
    """Recognises every row and chooses the temperature under which right and wrong glosses are likeliest (Bernoulli), and the margins
    with which the boundaries of right glosses are least off in rows with times.

    Args:
        recognizer: a `sign-recognition` pipeline; its model keeps temperature and margins. rows: a split of a dataset, not trained on.
        options: of the pipeline's decoding.

    Raises:
        SignXError: rows without glosses, or nothing to tell right from wrong.
    """
    clips, judged = [], []
    for row in rows:
        if not row["glosses"]:
            raise SignXError(f"clip {row['id']} has no glosses; wanted what is signed in it; leave it out")
        clip = clip_of(row, source)
        recognised = recognizer(clip, **options)["glosses"]
        clips.append((recognised, *recognizer.timing(clip)))
        judged.append(judge(recognised, row["glosses"]))

    def confidences(temperature: float) -> tuple[list[float], list[bool]]:
        recognizer.model.config.confidence_temperature = temperature
        values, right = [], []
        for (glosses, logits, metadata), verdicts in zip(clips, judged):
            for segment, verdict in zip(recognizer._segments(logits, glosses, metadata), verdicts):
                if segment["confidence"] is not None:
                    values.append(segment["confidence"])
                    right.append(verdict)
        return values, right

    before, right = confidences(1.0)
    if not 0 < sum(right) < len(right):
        raise SignXError(
            f"{sum(right)} of {len(right)} glosses are right; wanted some right and some wrong to tell them apart; use more clips"
        )

    def surprise(temperature: float) -> float:
        values, _ = confidences(temperature)
        shares = [min(max(value if hit else 1 - value, 1e-6), 1.0) for value, hit in zip(values, right)]
        return -sum(map(math.log, shares))

    best = min(CANDIDATES, key=surprise)
    after, _ = confidences(best)
    hits, misses = ([value for value, hit in zip(after, right) if hit is wanted] for wanted in (True, False))
    return Calibration(
        round(best, 4), len(right), sum(right), expected_calibration_error(before, right),
        expected_calibration_error(after, right), sum(hits) / len(hits), sum(misses) / len(misses),
        **_fit_margins(recognizer, clips, rows),
    )  # fmt: skip


def _fit_margins(recognizer: Any, clips: Sequence[tuple], rows: Any) -> dict[str, Any]:
    """Margins, from the rows with times, and how far boundaries are off without and with them; the model keeps the margins."""
    config = recognizer.model.config
    config.segment_margins = [0.0, 0.0]
    plain = [
        (recognizer._segments(logits, glosses, metadata), metadata["frames"] / (metadata["fps"] or config.fps), row["segments"] or [])
        for (glosses, logits, metadata), row in zip(clips, rows)
    ]  # fmt: skip

    def distance(margins: tuple[float, float]) -> float:
        off = [
            pair for found, duration, true in plain for pair in boundary_errors(widen(found, *margins, duration), true)
        ]
        return sum(abs(start) + abs(end) for start, end in off) / (2 * len(off)) if off else math.nan

    before = distance((0.0, 0.0))
    if math.isnan(before):
        return {}
    best = min(product(MARGINS, MARGINS), key=lambda margins: (distance(margins), sum(margins)))
    config.segment_margins = list(best)
    return {"margins": best, "boundary_before": before, "boundary_after": distance(best)}


def boundary_errors(found: Sequence[dict], true: Sequence[dict]) -> list[tuple[float, float]]:
    """Seconds that start and end of each rightly recognised gloss are late; negative is early."""
    heard_glosses, true_glosses = ([segment["gloss"] for segment in side] for side in (found, true))
    heard = [s for s, right in zip(found, judge(heard_glosses, true_glosses)) if right]
    signed = [s for s, right in zip(true, judge(true_glosses, heard_glosses)) if right]
    # the two alignments may pair equal neighbours otherwise; the glosses are then not the same in order
    if [s["gloss"] for s in heard] != [s["gloss"] for s in signed]:
        return []
    return [(a["start"] - b["start"], a["end"] - b["end"]) for a, b in zip(heard, signed)]


def save(folder: Path, found: Calibration) -> None:
    """Writes temperature and, where there are some, margins into a model's config.json, whole or not at all."""
    from .training.checkpoints import replacing

    path = Path(folder) / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["confidence_temperature"] = found.temperature
    if found.margins is not None:
        config["segment_margins"] = list(found.margins)
    with replacing(path) as beside:
        Path(beside).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
