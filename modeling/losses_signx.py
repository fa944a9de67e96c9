"""Losses and latent operations of the SignX papers, as pure functions; each names its paper.

Legend: B batch, L target length, U glosses, V vocabulary, T frames, T' feature steps, C channels; targets of -100 are
padding.
"""

import torch
from torch import nn

from .labels_signx import IGNORE, check_ctc_labels


def masked_mean(values: torch.Tensor, mask: torch.Tensor, dim: int = 1) -> torch.Tensor:
    """Average `values` `[B, T, C]` over the true steps of `mask` `[B, T]`: `[B, C]`, zero for rows without any."""
    weights = mask.to(values.dtype).unsqueeze(-1)
    return (values * weights).sum(dim) / weights.sum(dim).clamp_min(1)


def weigh(losses: dict[str, torch.Tensor], weights: dict[str, float]) -> torch.Tensor | None:
    """Return the weighted sum of the parts of a loss, or None without any part."""
    return sum(weights[name] * value for name, value in losses.items()) if losses else None


def text_loss(logits: torch.Tensor, targets: torch.Tensor, label_smoothing: float = 0.1) -> torch.Tensor:
    """Compute the token cross-entropy with label smoothing (SignX-1, L_text), mean over tokens.

    Args:
        logits: `[B, L, V]`.
        targets: `[B, L]` token ids.
        label_smoothing: share of the uniform distribution in the target.
    """
    return nn.functional.cross_entropy(
        logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORE, label_smoothing=label_smoothing
    )


def word_match_loss(predicted: torch.Tensor, embeddings: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Compute `L_word = mean_b (1 - cos(e_pred,b, e_true,b))` on token embeddings (SignX-1).

    Args:
        predicted: `[B, L, C]` predicted embeddings.
        embeddings: `[V, C]`, the codebook of token embeddings.
        targets: `[B, L]` token ids. The mean is over each sequence first, then over the batch.
    """
    mask = targets != IGNORE
    true = embeddings[targets.clamp_min(0)]
    distance = 1 - nn.functional.cosine_similarity(predicted.float(), true.float(), dim=-1)
    return ((distance * mask).sum(1) / mask.sum(1).clamp_min(1)).mean()


def ngram_loss(logits: torch.Tensor, targets: torch.Tensor, order: int = 4) -> torch.Tensor:
    """Compute the F1-like n-gram consistency (SignX-1, L_ngram), made differentiable by expected counts (choice).

    For each order n, the expected number of occurrences of a reference n-gram under the model's distribution is
    clipped at its count in the reference, as in BLEU. Predicted and reference sequences have the same length, so
    precision, recall and F1 coincide: `F1_n = sum_g min(E[count_g], count_g) / (L - n + 1)`. The loss is `1 - mean
    F1_n` over the orders up to the length of the sequence, averaged over the batch.

    Args:
        logits: `[B, L, V]`.
        targets: `[B, L]`, padded with -100 on the right.
        order: longest n-gram.
    """
    probabilities = logits.float().softmax(-1)
    losses = []
    for row, target in zip(probabilities, targets):
        target = target[target != IGNORE]
        length = len(target)
        if not length:
            continue
        # match[i, j] = P(the token at i is the reference token at j)
        match = row[:length][:, target]
        scores = []
        product = torch.ones_like(match)
        for n in range(1, min(order, length) + 1):
            size = length - n + 1
            product = product[:size, :size] * match[n - 1 :, n - 1 :]
            grams = target.unfold(0, n, 1)  # [L - n + 1, n]
            same = (grams[:, None] == grams[None]).all(-1)  # reference n-grams i and j are equal
            count = same.sum(1)
            expected = product.sum(0)  # over all positions i, for the reference n-gram j
            first = ~same.tril(-1).any(1)  # each distinct n-gram once
            scores.append(torch.minimum(expected, count.to(expected.dtype))[first].sum() / size)
        losses.append(1 - torch.stack(scores).mean())
    return torch.stack(losses).mean() if losses else logits.sum() * 0.0


def contrastive_loss(pose: torch.Tensor, text: torch.Tensor, temperature: float = 0.07) -> torch.Tensor:
    """Compute InfoNCE of pose and text embeddings over the batch (SignX-1, L_contrast).

    It is averaged over both directions (choice, as in CLIP); the paper has pose to text alone.

    Args:
        pose: `[B, C]` embeddings.
        text: `[B, C]` embeddings; row b belongs to row b of `pose`.
        temperature: tau.
    """
    pose = nn.functional.normalize(pose.float(), dim=-1)
    text = nn.functional.normalize(text.float(), dim=-1)
    similarity = pose @ text.T / temperature
    index = torch.arange(len(pose), device=pose.device)
    return (nn.functional.cross_entropy(similarity, index) + nn.functional.cross_entropy(similarity.T, index)) / 2


def distillation_loss(
    student: torch.Tensor, teacher: torch.Tensor, mask: torch.Tensor, temperature: float = 1.0
) -> torch.Tensor:
    """Compute `KL(student || teacher)` of the gloss distributions (SignX-4, stage 3), mean over steps, times tau^2.

    Args:
        student: logits `[B, T', V]`.
        teacher: logits `[B, T', V]`, through which no gradient flows.
        mask: `[B, T']`, true for real steps.
        temperature: tau.
    """
    student_log = (student.float() / temperature).log_softmax(-1)
    teacher_log = (teacher.detach().float() / temperature).log_softmax(-1)
    divergence = (student_log.exp() * (student_log - teacher_log)).sum(-1)
    return (divergence * mask).sum() / mask.sum().clamp_min(1) * temperature**2


def ctc_loss(
    logits: torch.Tensor,
    labels: torch.Tensor,
    mask: torch.Tensor,
    blank_id: int = 0,
    zero_infinity: bool = False,
) -> torch.Tensor:
    """Compute the CTC loss (Graves et al. 2006) in float32, normalized by gloss count.

    It is averaged over the clips that have glosses, and 0 if none has.

    Args:
        logits: unnormalized scores `[B, T', V]`.
        labels: `[B, U]` gloss ids, -100 where padded. A row of -100 alone is a clip whose glosses are unknown.
        mask: `[B, T']`, true for the steps before the padding.
        blank_id: id of the blank.
        zero_infinity: whether clips with too few steps count as zero loss.

    Raises:
        ValueError: If an id is outside the vocabulary, or a clip has too few steps and `zero_infinity` is False.
    """
    lengths = mask.sum(1)
    check_ctc_labels(labels, lengths, logits.shape[-1], blank_id, zero_infinity)
    valid = labels != IGNORE
    log_probs = logits.float().log_softmax(-1).transpose(0, 1)  # [T', B, V], as torch expects
    counts = valid.sum(1)
    losses = nn.functional.ctc_loss(
        log_probs, labels[valid], lengths, counts, blank=blank_id, reduction="none", zero_infinity=zero_infinity
    )
    # selected, not multiplied by 0: an unlabeled clip of no steps has an infinite loss
    losses = torch.where(counts > 0, losses / counts.clamp_min(1), 0)
    return losses.sum() / (counts > 0).sum().clamp_min(1)


def alignment_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Compute the cross-entropy against `a_t`, the gloss signed at each step (SignX-4, compilation of latents).

    Args:
        logits: `[B, T', V]`.
        targets: `[B, T']` gloss ids, the blank between glosses, -100 where unknown. The mean is over the known steps.

    Raises:
        ValueError: If the targets have another shape.
    """
    if targets.shape != logits.shape[:2]:
        raise ValueError(
            f"`gloss_alignment` must have shape {list(logits.shape[:2])}, one gloss id per feature step, got "
            f"{list(targets.shape)}."
        )
    return text_loss(logits, targets, label_smoothing=0.0) if (targets != IGNORE).any() else logits.sum() * 0.0


def whiten_latents(latents: torch.Tensor, mask: torch.Tensor, gamma: float) -> torch.Tensor:
    """Compute `z_t <- z_t - gamma c_t` with `c_t = CrossCov(z_t, z_{t-1})` (SignX-4, compilation of latents).

    The paper leaves the estimator open. Here (choice) it is the single-sample cross-covariance of each dimension, `c_t
    = (z_t - mu) * (z_{t-1} - mu)`, with mu the mean over the clip. The first frame, and a frame after a dropped one,
    has no predecessor and is unchanged.

    Args:
        latents: `[B, T, C]`.
        mask: `[B, T]`, true for real frames.
        gamma: strength; 0 turns whitening off.
    """
    if gamma == 0 or latents.shape[1] < 2:
        return latents
    centered = latents - masked_mean(latents, mask)[:, None]
    both = (mask[:, 1:] & mask[:, :-1]).unsqueeze(-1)
    covariance = centered[:, 1:] * centered[:, :-1] * both
    return latents - gamma * nn.functional.pad(covariance, (0, 0, 1, 0))


def drop_frames(mask: torch.Tensor, rate: float, generator: torch.Generator | None = None) -> torch.Tensor:
    """Make each true frame of a mask `[B, T]` false with probability `rate` (stochastic frame drop, SignX-4).

    The first and the last true frame remain, so that a clip keeps its length and never loses all frames.
    """
    if rate == 0:
        return mask
    # torch.compile cannot pass a generator to a draw of varying shape, not even None.
    options = {} if generator is None else {"generator": generator}
    draw = torch.rand(mask.shape, device=mask.device, **options)
    first = (mask.cumsum(1) == 1) & mask
    last = (mask.flip(1).cumsum(1) == 1).flip(1) & mask
    return mask & ((draw >= rate) | first | last)


def dimensions_to_keep(latents: torch.Tensor, mask: torch.Tensor, threshold: float) -> torch.Tensor:
    """Return a mask `[C]`, false where the variance over true frames is below `threshold` (pruning of SignX-4).

    Args:
        latents: `[B, T, C]`.
        mask: `[B, T]`, true for real frames.
        threshold: tau.

    Raises:
        ValueError: If no dimension would remain.
    """
    values = latents[mask].float()
    selected = values.var(0, unbiased=False) >= threshold
    if not selected.any():
        raise ValueError(
            f"Variance pruning at {threshold} would remove all {len(selected)} latent dimensions. Lower "
            "`variance_threshold`."
        )
    return selected
