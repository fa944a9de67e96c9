"""Confidences that mean what they say: one temperature, fitted on clips that the model was not trained on.

Guo et al. 2017 (arXiv 1706.04599, section 4.2). The temperature changes no gloss and no time (`SignXPreTrainedModel.align_ctc`).
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .extras import require
from .metrics import expected_calibration_error
from .processing.errors_signx import SignXError

CANDIDATES = tuple(math.exp(step / 20) for step in range(-40, 41))  # 0.14 to 7.4, each 5 % above the one before


@dataclass(frozen=True)
class Calibration:
    """temperature: the one that fits best; glosses: how many were judged, `right` of them rightly recognised.

    error_before, error_after: expected calibration error with the temperature 1 and with the fitted one.
    confidence_right, confidence_wrong: mean confidence of glosses that were right and wrong, with the fitted one.
    """

    temperature: float
    glosses: int
    right: int
    error_before: float
    error_after: float
    confidence_right: float
    confidence_wrong: float


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
    """Recognises every row and chooses the temperature under which right and wrong glosses are likeliest (Bernoulli).

    Args:
        recognizer: a `sign-recognition` pipeline; its model keeps the temperature. rows: a split of a dataset, not trained on.
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
    )  # fmt: skip


def save(folder: Path, temperature: float) -> None:
    """Writes the temperature into a model's config.json, whole or not at all."""
    from .training.checkpoints import replacing

    path = Path(folder) / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["confidence_temperature"] = temperature
    with replacing(path) as beside:
        Path(beside).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
