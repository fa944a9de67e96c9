"""Fit when a model is not sure on held-out clips: temperature, score and threshold of signs, threshold of sentences.

The temperature calibrates probabilities (Guo et al. 2017, arXiv 1706.04599, section 4.2). Among the scores of
`answers_signx.REJECTION`, the one with the highest AUROC separates clips of the vocabulary from clips of other signs;
the threshold follows a rule that the user states.
"""

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..data.media import clip_of, of_clip
from ..metrics import auroc, expected_calibration_error
from ..processing.answers_signx import NEVER, REJECTION, UNBOUNDED, rejection_scores
from ..processing.errors_signx import SignXError, SignXWarning
from ..processing.vocabulary_signx import vocabulary_ids

if TYPE_CHECKING:
    from ..processing.isolated_pipeline_signx import IsolatedSignRecognitionPipeline
    from ..processing.pipeline_signx import SignRecognitionPipeline

TEMPERATURES = tuple(math.exp(step / 20) for step in range(-40, 41))  # 0.14 to 7.4, each 5 % above the one before
FEW = 10  # with fewer wrong or unknown clips, a number fitted to them is unreliable
DIGITS = 6


@dataclass(frozen=True)
class Rule:
    """Rule that chooses the threshold. One of the two is None.

    Attributes:
        accept_right: fraction of the correct answers that are accepted.
        max_wrong: fraction of wrong ones among the accepted answers, of known and unknown clips together.
    """

    accept_right: float | None = 0.95
    max_wrong: float | None = None

    def __post_init__(self):
        if (self.accept_right is None) == (self.max_wrong is None):
            raise SignXError("exactly one of `accept_right` and `max_wrong` must be given.")
        for name in ("accept_right", "max_wrong"):
            value = getattr(self, name)
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if value is not None and not (is_number and 0 < value <= 1):
                raise SignXError(f"`{name}` must be a fraction above 0 and at most 1, got {value!r}.")


@dataclass(frozen=True)
class Rejection:
    """A fitted threshold and what it does to the clips that it was fitted on.

    Attributes:
        score: its name.
        threshold: below it the model is not sure.
        aurocs: of each score, unknown clips against known ones.
        right, wrong, refused: fractions of the known clips.
        unknown_refused: fraction of the unknown clips.
        known, unknown: how many clips.
    """

    score: str
    threshold: float
    aurocs: Mapping[str, float]
    right: float
    wrong: float
    refused: float
    unknown_refused: float
    known: int
    unknown: int


@dataclass(frozen=True)
class SignCalibration:
    """Result of the fit.

    Attributes:
        temperature: divides the logits.
        clips: how many show known signs.
        right: how many of them are recognized correctly.
        error_before, error_after: expected calibration error with the temperature 1 and with the fitted one.
        confidence_right, confidence_wrong: mean probability of the best sign of correct and wrong clips, with the
            fitted one; None without such clips.
        rejection: None without clips of unknown signs.
    """

    temperature: float
    clips: int
    right: int
    error_before: float
    error_after: float
    confidence_right: float | None
    confidence_wrong: float | None
    rejection: Rejection | None


def read_logits(
    recognizer: "IsolatedSignRecognitionPipeline", rows: Iterable[Mapping[str, Any]], source: str
) -> torch.Tensor:
    """Return the logits `[n, N]` of the clips of some rows.

    Args:
        recognizer: an `isolated-sign-recognition` pipeline.
        rows: of a dataset.
        source: `video` or `poses`.

    Raises:
        SignXError: If a clip cannot be read. The message names it.
    """
    logits = []
    for row in rows:
        try:
            clip, fps = clip_of(row, source, recognizer.processor, recognizer.model.config)
            logits.append(recognizer.logits(clip, **({} if fps is None else {"source_fps": fps})).cpu())
        except SignXError as error:
            raise of_clip(row, error) from error
    return torch.stack(logits) if logits else torch.empty(0, recognizer.model.config.num_labels)


def fit_signs(
    recognizer: "IsolatedSignRecognitionPipeline",
    known: Sequence[Mapping[str, Any]],
    unknown: Sequence[Mapping[str, Any]] = (),
    source: str = "video",
    vocabulary: str | Path | Sequence[str] | None = None,
    rule: Rule | None = None,
) -> SignCalibration:
    """Fit temperature, score and threshold of an `isolated-sign-recognition` pipeline, whose model keeps them.

    Args:
        recognizer: the pipeline.
        known: rows of single signs of the vocabulary, which the model was not trained on.
        unknown: rows of other signs; without any, the threshold is unchanged.
        source: `video` or `poses`.
        vocabulary: as the pipeline takes it; None: all signs.
        rule: how the threshold is chosen; None: 95 % of the correct answers are accepted.

    Raises:
        SignXError: If there is no known clip, none is recognized correctly, or a clip cannot be read.
    """
    config = recognizer.model.config
    ids = None if vocabulary is None else vocabulary_ids(vocabulary, config.id2label)
    if not len(known):
        raise SignXError("at least one clip must show a sign of the vocabulary. Pass other data, or another split.")
    ids_of = {name: index for index, name in config.id2label.items()}
    truth = torch.tensor([ids_of[row["glosses"][0]] for row in known])
    logits, others = read_logits(recognizer, known, source), read_logits(recognizer, unknown, source)
    fitted = fit_logits(logits, truth, others, ids, rule or Rule())
    config.confidence_temperature = fitted.temperature
    if fitted.rejection is not None:
        config.rejection_score, config.rejection_threshold = fitted.rejection.score, fitted.rejection.threshold
    return fitted


def fit_logits(
    logits: torch.Tensor, truth: torch.Tensor, others: torch.Tensor, ids: Sequence[int] | None, rule: Rule
) -> SignCalibration:
    """Fit temperature, score and threshold to logits.

    Args:
        logits: of known clips, `[n, N]`.
        truth: ids of their signs, `[n]`.
        others: logits of unknown clips, `[m, N]`.
        ids: of the vocabulary; None: all signs.
        rule: how the threshold is chosen.

    Raises:
        SignXError: If no clip is recognized correctly.
    """
    chosen = torch.arange(logits.shape[1]) if ids is None else torch.tensor(list(ids))
    inside = logits[:, chosen].double()
    targets = torch.searchsorted(chosen, truth)
    right = inside.argmax(1) == targets
    if not right.any():
        raise SignXError(f"none of {len(truth)} clips is recognized correctly. Pass clips that the model can read.")
    temperature = _fit_temperature(inside, targets, int((~right).sum()))

    def confidences(value: float) -> list[float]:
        return (inside / value).softmax(1).amax(1).tolist()

    after = confidences(temperature)
    hits, misses = ([c for c, hit in zip(after, right.tolist()) if hit is kind] for kind in (True, False))
    return SignCalibration(
        temperature, len(truth), int(right.sum()), expected_calibration_error(confidences(1.0), right.tolist()),
        expected_calibration_error(after, right.tolist()), *(sum(v) / len(v) if v else None for v in (hits, misses)),
        rejection=_fit_rejection(logits, right, others, ids, temperature, rule) if len(others) else None,
    )  # fmt: skip


def _fit_temperature(logits: torch.Tensor, targets: torch.Tensor, wrong: int) -> float:
    """Return the temperature of highest likelihood; 1 if all clips are correct, as then the lowest would win."""
    if not wrong:
        warnings.warn(
            f"all of {len(targets)} clips are correct, so the temperature stays 1. Use more clips, including some "
            "that are wrong.",
            SignXWarning, stacklevel=4,
        )  # fmt: skip
        return 1.0
    losses = [float(torch.nn.functional.cross_entropy(logits / value, targets)) for value in TEMPERATURES]
    best = int(np.argmin(losses))
    at_end = best in (0, len(TEMPERATURES) - 1)
    if at_end or wrong < FEW:
        warnings.warn(
            f"the temperature {TEMPERATURES[best]:.3g} rests on {len(targets)} clips, {wrong} of them wrong"
            + (", and is at the end of the range that is tried" if at_end else "")
            + f". Use more clips, with at least {FEW} wrong ones.",
            SignXWarning, stacklevel=4,
        )  # fmt: skip
    return round(TEMPERATURES[best], 4)


def _fit_rejection(
    logits: torch.Tensor,
    right: torch.Tensor,
    others: torch.Tensor,
    ids: Sequence[int] | None,
    temperature: float,
    rule: Rule,
) -> Rejection:
    """Return the score of the highest AUROC, the first of `REJECTION` among equals, and its threshold."""
    values = {
        name: [rejection_scores(part, name, ids, temperature).numpy() for part in (logits, others)]
        for name in REJECTION
    }
    aurocs = {name: auroc(known, unknown) for name, (known, unknown) in values.items()}
    score = max(aurocs, key=lambda name: round(aurocs[name], DIGITS))
    known, unknown = values[score]
    if len(others) < FEW:
        warnings.warn(
            f"the threshold rests on {len(others)} clips of unknown signs. Use at least {FEW}.",
            SignXWarning,
            stacklevel=4,
        )
    threshold = choose_threshold(known[right.numpy()], known[~right.numpy()], unknown, rule)
    if score not in UNBOUNDED:
        threshold = min(max(threshold, 0.0), 1.0)
    accepted = known >= threshold
    return Rejection(
        score, threshold, aurocs, float((accepted & right.numpy()).mean()), float((accepted & ~right.numpy()).mean()),
        float((~accepted).mean()), float((unknown < threshold).mean()), len(known), len(unknown),
    )  # fmt: skip


def fit_known(
    recognizer: "SignRecognitionPipeline",
    known: Iterable[Mapping[str, Any]],
    unknown: Iterable[Mapping[str, Any]],
    source: str = "video",
    rule: Rule | None = None,
) -> Rejection:
    """Fit the threshold of the score `known` of a `sign-recognition` pipeline, whose model keeps it.

    Args:
        recognizer: the pipeline; its temperature is unchanged.
        known: rows of sentences that the model can read but was not trained on.
        unknown: rows of other signing, or of none.
        source: `video` or `poses`.
        rule: how the threshold is chosen, where every known clip counts as correct; None: 95 % of them are accepted.

    Returns:
        The threshold and its effect. `right` and `refused` are fractions of the known clips; `wrong` is 0, because the
        glosses are not judged.

    Raises:
        SignXError: If there is no clip of one kind, or a clip cannot be read.
    """
    rule = rule or Rule()
    values = [_known_values(recognizer, rows, source) for rows in (known, unknown)]
    for name, part in zip(("known", "unknown"), values):
        if not len(part):
            raise SignXError(f"at least one clip of {name} signing is needed, got none.")
    if len(values[1]) < FEW:
        warnings.warn(
            f"the threshold rests on {len(values[1])} unknown clips. Use at least {FEW}.",
            SignXWarning,
            stacklevel=2,
        )
    threshold = min(max(choose_threshold(values[0], values[0][:0], values[1], rule), 0.0), 1.0)
    recognizer.model.config.rejection_threshold = threshold
    right = float((values[0] >= threshold).mean())
    return Rejection(
        "known", threshold, {"known": auroc(*values)}, right, 0.0, 1 - right, float((values[1] < threshold).mean()),
        len(values[0]), len(values[1]),
    )  # fmt: skip


def _known_values(recognizer: "SignRecognitionPipeline", rows: Iterable[Mapping[str, Any]], source: str) -> np.ndarray:
    values = []
    for row in rows:
        try:
            clip, fps = clip_of(row, source, recognizer.processor)
            values.append(recognizer(clip, **({} if fps is None else {"source_fps": fps}), threshold=NEVER)["known"])
        except SignXError as error:
            raise of_clip(row, error) from error
    return np.array(values)


def choose_threshold(right: np.ndarray, wrong: np.ndarray, unknown: np.ndarray, rule: Rule) -> float:
    """Choose the threshold.

    Args:
        right, wrong, unknown: scores of correctly and wrongly recognized clips, and of unknown ones.
        rule: how the threshold is chosen.

    Returns:
        With `accept_right`, the highest threshold that accepts at least that fraction of `right`. With `max_wrong`,
        the lowest one for which at most that fraction of the accepted clips are wrong or unknown. Rounded down to 6
        significant digits.

    Raises:
        SignXError: If no threshold accepts so few wrong answers.
    """
    if rule.accept_right is not None:
        ranked = np.sort(right)
        # the rounding error of 0.95 * 20 must not cost a clip
        return _round_down(
            float(ranked[min(math.floor((1 - rule.accept_right) * len(ranked) + 1e-9), len(ranked) - 1)])
        )
    bad = np.concatenate([wrong, unknown])
    lowest = None
    for candidate in np.unique(right)[::-1]:
        threshold = _round_down(float(candidate))
        given_right, given_bad = int((right >= threshold).sum()), int((bad >= threshold).sum())
        if given_bad <= rule.max_wrong * (given_right + given_bad):
            lowest = threshold
    if lowest is None:
        raise SignXError(
            f"no threshold leaves at most {100 * rule.max_wrong:g} % of the accepted answers wrong. Allow more with "
            "--max-wrong, or train a better model."
        )
    return lowest


def _round_down(value: float) -> float:
    """Round to DIGITS significant digits, never up, because the clip with this score must reach it."""
    if value == 0:
        return 0.0
    scale = 10.0 ** (DIGITS - 1 - math.floor(math.log10(abs(value))))
    return math.floor(value * scale) / scale
