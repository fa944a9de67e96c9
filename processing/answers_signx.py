"""Whether an answer is to be believed; of isolated signs also the answer, candidates with scores.

"Not sure" is an answer, too: a classifier gives each clip one of its signs, whatever is signed. A score that is high for signs of
the vocabulary and low for others (`REJECTION`), and a threshold that was fitted on both (`signx-hf calibrate`), tell the two apart.
Hendrycks and Gimpel 2017 (arXiv 1610.02136): probability of the best class; Liu et al. 2020 (arXiv 2010.03759): energy; Hendrycks
et al. 2022 (arXiv 1911.11132): maximum logit.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from .errors_signx import SignXError

NEVER = "none"  # threshold that refuses nothing


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


# name in `SignXConfig.rejection_score` -> logits of the signs that the answer may be `[..., V]`, of all signs `[..., N]`, both
# divided by the temperature -> `[...]`, high for signs that are known
REJECTION: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "probability": _best, "margin": _margin, "logit": _logit, "energy": _energy, "share": _share, "likelihood": _likelihood,
}  # fmt: skip
UNBOUNDED = ("logit", "energy")


def rejection_scores(
    logits: torch.Tensor, score: str, ids: Sequence[int] | None = None, temperature: float = 1.0
) -> torch.Tensor:
    """Compute how much clips look like signs of the vocabulary.

    Args:
        logits: `[..., N]` of all signs. score: a name of `REJECTION`. ids: places of the vocabulary, None for all signs.
        temperature: that divides the logits.

    Returns:
        `[...]` in float32.
    """
    scaled = logits.float() / temperature
    return REJECTION[score](scaled if ids is None else scaled[..., list(ids)], scaled)


def known_score(segments: Sequence[Mapping[str, Any]]) -> float:
    """Compute how much a clip of a sentence is like what the model knows: the mean confidence of its glosses, 0 without any.

    Glosses without a confidence, which are outside the CTC vocabulary, count for nothing.
    """
    values = [segment["confidence"] for segment in segments if segment["confidence"] is not None]
    return min(1.0, sum(values) / len(values)) if values else 0.0


def check_threshold(threshold: Any, score: str) -> float | str:
    """Return a legal value of the option `threshold`, or raise SignXError."""
    if threshold == NEVER and isinstance(threshold, str):
        return threshold
    is_number = isinstance(threshold, (int, float)) and not isinstance(threshold, bool) and math.isfinite(threshold)
    bounded = score not in UNBOUNDED
    if not is_number or (bounded and not 0 <= threshold <= 1):
        domain = "a number from 0 to 1" if bounded else "a finite number"
        raise SignXError(
            f"threshold must be {domain} (it is compared with {score!r}) or {NEVER!r}, got {threshold!r:.80}."
        )
    return float(threshold)


@dataclass(frozen=True)
class SignAnswer:
    """The answer to one clip.

    Attributes:
        ids: places of the candidates in the model's labels, best first. scores: their probabilities within the vocabulary.
        value: the rejection score of the clip. is_sure: whether it reaches the threshold; None without a threshold.
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
    """Rank the signs of a vocabulary by the logits `[N]` of one clip; softmax is over the vocabulary alone.

    Equal scores stand in the order of the labels.
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
