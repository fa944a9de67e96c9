"""Calibration of confidences and times: a temperature and two margins, fitted to held-out clips.

Guo et al. 2017 (arXiv 1706.04599, section 4.2). The temperature changes no gloss and no time
(`SignXPreTrainedModel.align_ctc`); the margins change only times.
"""

import json
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.media import check_truth, clip_of, of_clip
from ..metrics import boundary_error, expected_calibration_error, judge
from ..processing.checks_signx import check_ctc
from ..processing.errors_signx import SignXError, SignXWarning
from ..processing.segments_signx import ends_at, pad_boundaries

if TYPE_CHECKING:
    from ..processing.pipeline_signx import SignRecognitionPipeline

CANDIDATES = tuple(math.exp(step / 20) for step in range(-40, 41))  # 0.14 to 7.4, each 5 % above the one before
FEW = 10  # with fewer wrong glosses, the temperature is unreliable
MARGINS = tuple(step / 50 for step in range(16))  # seconds, 0 to 0.3


@dataclass(frozen=True)
class Calibration:
    """Result of a calibration.

    Attributes:
        temperature: the fitted temperature.
        glosses: number of glosses that it was fitted to.
        right: number of correct ones among them.
        error_before, error_after: expected calibration error at temperature 1 and at the fitted one.
        confidence_right, confidence_wrong: mean confidence of correct and wrong glosses, with the fitted temperature.
        margins: seconds by which glosses begin before and end after the CTC's times; None if no clip has times.
        boundary_before, boundary_after: mean error of starts and ends in seconds, without and with the margins.
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


def fit(
    recognizer: "SignRecognitionPipeline", rows: Iterable[Mapping[str, Any]], source: str = "video", **options: Any
) -> Calibration:
    """Recognize every row, and fit the temperature and the margins.

    The temperature maximizes the Bernoulli likelihood of correct and wrong glosses; the margins minimize the boundary
    error of correct glosses in rows with times.

    Args:
        recognizer: a `sign-recognition` pipeline; its model keeps temperature and margins.
        rows: a split of a dataset that the model was not trained on.
        source: `video` or `poses`.
        options: of the pipeline's decoding.

    Raises:
        SignXError: If a row has no glosses, all glosses are correct or all are wrong, or the model has no CTC.
    """
    if iter(rows) is rows:  # an iterator could be read only once
        rows = list(rows)
    for row in rows:
        check_truth(row)
    check_ctc(recognizer.model, "calibrate")
    config = recognizer.model.config
    before = config.confidence_temperature, config.segment_margins
    threshold, config.rejection_threshold = config.rejection_threshold, None  # every clip counts
    try:
        fitted = _fit(recognizer, rows, source, options)
    except BaseException:
        config.confidence_temperature, config.segment_margins = before
        raise
    finally:
        config.rejection_threshold = threshold
    config.confidence_temperature, config.segment_margins = fitted.temperature, before[1]
    if fitted.margins is not None:
        config.segment_margins = list(fitted.margins)
    return fitted


def _fit(
    recognizer: "SignRecognitionPipeline", rows: Iterable[Mapping[str, Any]], source: str, options: dict[str, Any]
) -> Calibration:
    clips, judged = [], []
    for row in rows:
        try:
            clip, fps = clip_of(row, source, recognizer.processor, recognizer.model.config)
            rate = {} if fps is None else {"source_fps": fps}
            recognized = recognizer(clip, **rate, **options)["glosses"]
            clips.append((recognized, *recognizer.timing(clip, fps)))
        except SignXError as error:
            raise of_clip(row, error) from error
        judged.append(judge(recognized, row["glosses"]))

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
            f"some glosses must be correct and some wrong, got {sum(right)} correct ones of {len(right)}. Use more "
            "clips."
        )

    def surprise(temperature: float) -> float:
        values, _ = confidences(temperature)
        shares = [min(max(value if hit else 1 - value, 1e-6), 1.0) for value, hit in zip(values, right)]
        return -sum(map(math.log, shares))

    best = min(CANDIDATES, key=surprise)
    wrong = len(right) - sum(right)
    if best in (CANDIDATES[0], CANDIDATES[-1]) or wrong < FEW:
        warnings.warn(
            f"the temperature {best:.3g} rests on {len(right)} glosses, {wrong} of them wrong"
            + (", and is at the end of the range that is tried" if best in (CANDIDATES[0], CANDIDATES[-1]) else "")
            + f". Use more clips, with at least {FEW} wrong glosses.",
            SignXWarning, stacklevel=3,
        )  # fmt: skip
    after, _ = confidences(best)
    hits, misses = ([value for value, hit in zip(after, right) if hit is kind] for kind in (True, False))
    return Calibration(
        round(best, 4), len(right), sum(right), expected_calibration_error(before, right),
        expected_calibration_error(after, right), sum(hits) / len(hits), sum(misses) / len(misses),
        **_fit_margins(recognizer, clips, rows),
    )  # fmt: skip


def _fit_margins(
    recognizer: "SignRecognitionPipeline", clips: Sequence[tuple], rows: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the margins fitted to rows with times, and the boundary error without and with them."""
    config = recognizer.model.config
    config.segment_margins = [0.0, 0.0]
    plain = [
        (recognizer._segments(logits, glosses, metadata), ends_at(metadata, config.fps))
        for glosses, logits, metadata in clips
    ]
    truth = [row["segments"] or [] for row in rows]

    def distance(margins: tuple[float, float]) -> float | None:
        return boundary_error([pad_boundaries(found, *margins, duration) for found, duration in plain], truth).mean

    before = distance((0.0, 0.0))
    if before is None:  # no row has times, or no gloss is correct
        return {}
    best = min(product(MARGINS, MARGINS), key=lambda margins: (distance(margins), sum(margins)))
    config.segment_margins = list(best)
    return {"margins": best, "boundary_before": before, "boundary_after": distance(best)}


def save(folder: Path, fitted: Calibration) -> None:
    """Atomically write the temperature, and the margins if there are any, to a model's config.json."""
    settings: dict[str, Any] = {"confidence_temperature": fitted.temperature}
    if fitted.margins is not None:
        settings["segment_margins"] = list(fitted.margins)
    update_config(folder, settings)


def update_config(folder: Path, settings: dict[str, Any]) -> None:
    """Atomically set options in a model's config.json."""
    from ..common.atomic_io import atomic_write

    path = Path(folder) / "config.json"
    config = {**json.loads(path.read_text(encoding="utf-8")), **settings}
    with atomic_write(path) as tmp_path:
        tmp_path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
