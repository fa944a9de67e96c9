"""Decide whether a result can be trusted; for isolated signs also rank the candidates.

A classifier assigns one of its signs to every clip, whatever is signed. A score that is high for signs of the
vocabulary and low for others (`REJECTION`), with a threshold fitted on both (`signx-hf calibrate`), tells the two
apart. Hendrycks and Gimpel 2017 (arXiv 1610.02136): probability of the best class; Liu et al. 2020 (arXiv 2010.03759):
energy; Hendrycks et al. 2022 (arXiv 1911.11132): maximum logit.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from .errors_signx import SignXError

NEVER = "none"  # threshold that rejects nothing


def _best(chosen: torch.Tensor, all_signs: torch.Tensor) -> torch.Tensor:
    return chosen.softmax(-1).amax(-1)


def _margin(chosen: torch.Tensor, all_signs: torch.Tensor) -> torch.Tensor:
    best = chosen.softmax(-1).topk(min(2, chosen.shape[-1])).values
    return best[..., 0] - best[..., 1] if best.shape[-1] > 1 else best[..., 0]


def _logit(chosen: torch.Tensor, all_signs: torch.Tensor) -> torch.Tensor:
    return chosen.amax(-1)


def _energy(chosen: torch.Tensor, all_signs: torch.Tensor) -> torch.Tensor:
    return chosen.logsumexp(-1)


def _share(chosen: torch.Tensor, all_signs: torch.Tensor) -> torch.Tensor:
    return (chosen.logsumexp(-1) - all_signs.logsumexp(-1)).exp().clamp(max=1.0)


def _likelihood(chosen: torch.Tensor, all_signs: torch.Tensor) -> torch.Tensor:
    return (chosen.amax(-1) - all_signs.logsumexp(-1)).exp()


# Name in `SignXConfig.rejection_score` -> function of the logits of the vocabulary `[..., V]` and of all signs `[...,
# N]`, both divided by the temperature; it returns `[...]`, high for signs of the vocabulary.
REJECTION: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "probability": _best, "margin": _margin, "logit": _logit, "energy": _energy, "share": _share, "likelihood": _likelihood,
}  # fmt: skip
UNBOUNDED = ("logit", "energy")


def rejection_scores(
    logits: torch.Tensor, score: str, ids: Sequence[int] | None = None, temperature: float = 1.0
) -> torch.Tensor:
    """Compute how much clips look like signs of the vocabulary.

    Args:
        logits: `[..., N]` of all signs.
        score: Name in `REJECTION`.
        ids: Indices of the vocabulary; None for all signs.
        temperature: Divides the logits.

    Returns:
        `[...]` in float32.
    """
    scaled = logits.float() / temperature
    return REJECTION[score](scaled if ids is None else scaled[..., list(ids)], scaled)


def known_score(segments: Sequence[Mapping[str, Any]]) -> float:
    """Return the mean confidence of the glosses of a sentence, 0 without any: how similar the clip is to the training
    data.

    Glosses without a confidence, which are outside the CTC vocabulary, are ignored.
    """
    values = [segment["confidence"] for segment in segments if segment["confidence"] is not None]
    return min(1.0, sum(values) / len(values)) if values else 0.0


def check_threshold(threshold: Any, score: str) -> float | str:
    """Return the option `threshold`.

    Args:
        threshold: A number or `"none"`.
        score: Name of the score that it is compared with.

    Raises:
        SignXError: If the value is out of range.
    """
    if threshold == NEVER and isinstance(threshold, str):
        return threshold
    is_number = isinstance(threshold, (int, float)) and not isinstance(threshold, bool) and math.isfinite(threshold)
    bounded = score not in UNBOUNDED
    if not is_number or (bounded and not 0 <= threshold <= 1):
        domain = "a number from 0 to 1" if bounded else "a finite number"
        raise SignXError(
            f"`threshold` must be {domain} (it is compared with {score!r}) or {NEVER!r}, got {threshold!r:.80}."
        )
    return float(threshold)


@dataclass(frozen=True)
class SignAnswer:
    """Ranking of one clip.

    Attributes:
        ids: Label indices of the candidates, best first.
        scores: Their probabilities within the vocabulary.
        value: Rejection score of the clip.
        is_sure: Whether the score reaches the threshold; None without a threshold.
    """

    ids: tuple[int, ...]
    scores: tuple[float, ...]
    value: float
    is_sure: bool | None


def answer_of(
    logits: torch.Tensor,
    ids: Sequence[int] | None,
    top_k: int,
    temperature: float,
    score: str,
    threshold: float | None,
) -> SignAnswer:
    """Rank the signs of a vocabulary by the logits of one clip.

    Args:
        logits: `[N]` of all signs.
        ids: Indices of the vocabulary; None for all signs.
        top_k: Number of candidates at most.
        temperature: Divides the logits.
        score: Name in `REJECTION`.
        threshold: Value of the score below which the model is not sure; None for none.

    Returns:
        Candidates with a softmax over the vocabulary alone; equal scores are in the order of the labels.
    """
    places = torch.arange(len(logits)) if ids is None else torch.tensor(list(ids))
    logits = logits.float().cpu()
    shares = (logits[places] / temperature).softmax(-1)
    order = torch.sort(shares, descending=True, stable=True).indices[:top_k]
    value = float(rejection_scores(logits, score, ids, temperature))
    return SignAnswer(
        tuple(places[order].tolist()),
        tuple(shares[order].tolist()),
        value,
        None if threshold is None else value >= threshold,
    )
