"""Losses and latent operations of the SignX papers, as pure functions. Source: papers cited at each function.

Legend: B batch, L target length, V vocabulary, T frames, C channels; targets of -100 are padding.
"""

import torch
from torch import nn

IGNORE = -100


def masked_mean(values: torch.Tensor, mask: torch.Tensor, dim: int = 1) -> torch.Tensor:
    """Mean of `values` `[B, T, C]` over the true places of `mask` `[B, T]`: `[B, C]`; zero where there is none."""
    weights = mask.to(values.dtype).unsqueeze(-1)
    return (values * weights).sum(dim) / weights.sum(dim).clamp_min(1)


def text_loss(logits: torch.Tensor, targets: torch.Tensor, label_smoothing: float = 0.1) -> torch.Tensor:
    """Token cross-entropy with label smoothing (SignX-1, L_text): `logits` `[B, L, V]`, `targets` `[B, L]`; mean over tokens."""
    return nn.functional.cross_entropy(
        logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORE, label_smoothing=label_smoothing
    )


def word_match_loss(predicted: torch.Tensor, embeddings: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """`L_word = mean_b (1 - cos(e_pred,b, e_true,b))` on token embeddings (SignX-1).

    Args:
        predicted: `[B, L, C]` predicted embeddings.
        embeddings: `[V, C]` the codebook of token embeddings.
        targets: `[B, L]` token ids. The mean runs over a sequence first, then over the batch.
    """
    mask = targets != IGNORE
    true = embeddings[targets.clamp_min(0)]
    distance = 1 - nn.functional.cosine_similarity(predicted.float(), true.float(), dim=-1)
    return ((distance * mask).sum(1) / mask.sum(1).clamp_min(1)).mean()


def ngram_loss(logits: torch.Tensor, targets: torch.Tensor, order: int = 4) -> torch.Tensor:
    """F1-like n-gram consistency (SignX-1, L_ngram), made differentiable by expected counts (choice).

    For each order n the expected number of times that the model's distribution writes a reference n-gram anywhere in the
    sequence is clipped at the reference's own count, as BLEU clips. Predicted and reference sequences have the same
    length, so precision, recall and F1 coincide: `F1_n = sum_g min(E[count_g], count_g) / (L - n + 1)`.
    The loss is `1 - mean F1_n` over the orders the sequence is long enough for, mean over the batch.

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
            same = (grams[:, None] == grams[None]).all(-1)  # reference n-grams i and j are the same word string
            count = same.sum(1)
            expected = product.sum(0)  # over all places i, for the reference n-gram j
            first = ~same.tril(-1).any(1)  # each distinct n-gram once
            scores.append(torch.minimum(expected, count.to(expected.dtype))[first].sum() / size)
        losses.append(1 - torch.stack(scores).mean())
    return torch.stack(losses).mean() if losses else logits.sum() * 0.0


def contrastive_loss(pose: torch.Tensor, text: torch.Tensor, temperature: float = 0.07) -> torch.Tensor:
    """InfoNCE of pose and text embeddings in the batch, both directions averaged (SignX-1, L_contrast).

    Args:
        pose, text: `[B, C]`; row b of one belongs to row b of the other.
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
    """`KL(student || teacher)` over the gloss distributions (SignX-4, stage 3), mean over the true steps, times tau^2.

    Args:
        student, teacher: logits `[B, T', V]`; no gradient flows into the teacher.
        mask: `[B, T']`.
    """
    student_log = (student.float() / temperature).log_softmax(-1)
    teacher_log = (teacher.detach().float() / temperature).log_softmax(-1)
    divergence = (student_log.exp() * (student_log - teacher_log)).sum(-1)
    return (divergence * mask).sum() / mask.sum().clamp_min(1) * temperature**2


def check_ctc_targets(
    labels: torch.Tensor, lengths: torch.Tensor, num_classes: int, blank_id: int, zero_infinity: bool = False
) -> None:
    """Refuses gloss targets that no CTC path can write; they are where the field's NaN losses come from.

    Args:
        labels: `[B, U]` gloss ids, -100 where padded.
        lengths: `[B]` feature steps.
        zero_infinity: let clips with too few steps pass; ids outside the vocabulary are refused all the same.

    Raises:
        ValueError: labels of another shape; names the item of the batch, its steps and the steps it needs, or the id outside the vocabulary.
    """
    if labels.ndim != 2 or len(labels) != len(lengths) or labels.is_floating_point():
        raise ValueError(
            f"ctc_labels is {list(labels.shape)} of {labels.dtype}: wanted [{len(lengths)}, U] integers, one row per clip"
        )
    labels, lengths = labels.detach().cpu(), lengths.detach().cpu()
    valid = labels != IGNORE
    wrong = valid & ((labels < 0) | (labels >= num_classes) | (labels == blank_id))
    if wrong.any():
        row, column = wrong.nonzero()[0].tolist()
        raise ValueError(
            f"ctc_labels[{row}, {column}] is {int(labels[row, column])}: wanted a gloss id from 0 to {num_classes - 1} other "
            f"than the blank {blank_id}; do tokenizer and model belong together?"
        )
    for row in range(0 if zero_infinity else len(labels)):
        glosses = labels[row][valid[row]]
        repeats = int((glosses[1:] == glosses[:-1]).sum())
        needed = len(glosses) + repeats
        if lengths[row] < needed:
            raise ValueError(
                f"clip {row} of the batch has {int(lengths[row])} feature steps but its {len(glosses)} glosses with {repeats} "
                f"repeats need {needed}: drop the clip, give more frames, pool less (recognizer_config.pool_sizes) or set "
                "recognizer_config.zero_infinity=True to ignore such clips"
            )


def ctc_loss(
    logits: torch.Tensor,
    labels: torch.Tensor,
    mask: torch.Tensor,
    blank_id: int = 0,
    zero_infinity: bool = False,
) -> torch.Tensor:
    """CTC (Graves et al. 2006) in float32, normalised by gloss count and averaged over the batch.

    Args:
        logits: `[B, T', V]`.
        labels: `[B, U]` gloss ids, -100 where padded.
        mask: `[B, T']`, true for a prefix of each row.

    Raises:
        ValueError: for ids outside the vocabulary, and for clips with too few steps unless `zero_infinity`.
    """
    lengths = mask.sum(1)
    if not torch.compiler.is_compiling():
        check_ctc_targets(labels, lengths, logits.shape[-1], blank_id, zero_infinity)
    valid = labels != IGNORE
    log_probs = logits.float().log_softmax(-1).transpose(0, 1)  # [T', B, V], as the library wants it
    return nn.functional.ctc_loss(
        log_probs, labels[valid], lengths, valid.sum(1), blank=blank_id, zero_infinity=zero_infinity
    )


def alignment_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy against the gloss alignment `a_t` (SignX-4, compilation of latents): the gloss signed at each step.

    Args:
        logits: `[B, T', V]`.
        targets: `[B, T']` gloss ids, the blank between glosses, -100 where unknown. The mean runs over the known steps.

    Raises:
        ValueError: targets of another shape.
    """
    if targets.shape != logits.shape[:2]:
        raise ValueError(
            f"gloss_alignment is {list(targets.shape)}: wanted {list(logits.shape[:2])}, one gloss id for each feature step"
        )
    return text_loss(logits, targets, label_smoothing=0.0) if (targets != IGNORE).any() else logits.sum() * 0.0


def whiten_latents(latents: torch.Tensor, mask: torch.Tensor, gamma: float) -> torch.Tensor:
    """`z_t <- z_t - gamma c_t` with `c_t = CrossCov(z_t, z_{t-1})` (SignX-4, compilation of latents).

    The paper leaves the estimator open; here (choice) it is the single-sample cross-covariance of each dimension,
    `c_t = (z_t - mu) * (z_{t-1} - mu)`, with mu the mean over the clip. The first frame, and a frame after a dropped one,
    has no predecessor and stays.

    Args:
        latents: `[B, T, C]`.
        mask: `[B, T]`.
    """
    if gamma == 0 or latents.shape[1] < 2:
        return latents
    centred = latents - masked_mean(latents, mask)[:, None]
    both = (mask[:, 1:] & mask[:, :-1]).unsqueeze(-1)
    covariance = centred[:, 1:] * centred[:, :-1] * both
    return latents - gamma * nn.functional.pad(covariance, (0, 0, 1, 0))


def drop_frames(mask: torch.Tensor, rate: float, generator: torch.Generator | None = None) -> torch.Tensor:
    """Stochastic frame drop (SignX-4): the mask `[B, T]` with each true frame made false with probability `rate`.

    The first and the last true frame stay, so that a clip never loses all frames nor its length.
    """
    if rate == 0:
        return mask
    draw = torch.rand(mask.shape, generator=generator, device=mask.device)
    first = (mask.cumsum(1) == 1) & mask
    last = (mask.flip(1).cumsum(1) == 1).flip(1) & mask
    return mask & ((draw >= rate) | first | last)


def dimensions_to_keep(latents: torch.Tensor, mask: torch.Tensor, threshold: float) -> torch.Tensor:
    """Variance pruning (SignX-4): `[C]` bool, false where the variance over all true frames is under `threshold` (tau).

    Raises:
        ValueError: no dimension would be left.
    """
    values = latents[mask].float()
    keep = values.var(0, unbiased=False) >= threshold
    if not keep.any():
        raise ValueError(
            f"variance pruning at {threshold} would remove all {len(keep)} latent dimensions: lower variance_threshold"
        )
    return keep
