"""Losses and latent operations against numbers worked out by hand and against slow independent implementations."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch

from signx_hf.modeling.losses_signx import (
    IGNORE,
    alignment_loss,
    contrastive_loss,
    ctc_loss,
    dimensions_to_keep,
    distillation_loss,
    drop_frames,
    masked_mean,
    ngram_loss,
    text_loss,
    whiten_latents,
    word_match_loss,
)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def softmax(row):
    row = np.asarray(row, dtype=np.float64)
    weights = np.exp(row - row.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def near_one_hot(ids, size):
    """Logits whose distribution is one-hot to the last bit."""
    return torch.nn.functional.one_hot(torch.tensor(ids), size).float() * 1e4


# ----- masked mean -----------------------------------------------------------------------------------------------------


def test_masked_mean_by_hand():
    values = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [100.0, 100.0]], [[7.0, 8.0], [9.0, 9.0], [9.0, 9.0]]])
    mask = torch.tensor([[True, True, False], [False, False, False]])
    assert masked_mean(values, mask).tolist() == [[2.0, 4.0], [0.0, 0.0]]


# ----- token cross-entropy ---------------------------------------------------------------------------------------------


def test_text_loss_by_hand():
    # p = (1/2, 1/4, 1/4), target 0, smoothing 0.3: 0.7 ln 2 + 0.1 (ln 2 + ln 4 + ln 4)
    logits = torch.log(torch.tensor([[[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]]]))
    expected = 0.7 * math.log(2) + 0.1 * (math.log(2) + 2 * math.log(4))
    assert text_loss(logits, torch.tensor([[0, IGNORE]]), 0.3).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_text_loss_equals_a_loop_and_weighs_tokens_not_rows(smoothing):
    logits = random(3, 4, 5)
    targets = torch.tensor([[1, 2, 3, 4], [0, IGNORE, IGNORE, IGNORE], [2, 2, IGNORE, IGNORE]])
    terms = []
    for row, targets_of_row in zip(logits.numpy(), targets.tolist()):
        for scores, target in zip(row, targets_of_row):
            if target != IGNORE:
                expected = np.full(5, smoothing / 5)
                expected[target] += 1 - smoothing
                terms.append(-(expected * np.log(softmax(scores))).sum())
    assert text_loss(logits, targets, smoothing).item() == pytest.approx(np.mean(terms), rel=1e-5)


# ----- word match ------------------------------------------------------------------------------------------------------


def test_word_match_loss_by_hand():
    codebook = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
    predicted = torch.tensor([[[5.0, 0.0], [0.0, -1.0]], [[1.0, 0.0], [9.0, 9.0]]])
    targets = torch.tensor([[0, 1], [2, IGNORE]])
    # row 0: cosines 1 and -1, mean distance 1; row 1: cosine of 45 degrees
    expected = (1 + (1 - math.cos(math.pi / 4))) / 2
    assert word_match_loss(predicted, codebook, targets).item() == pytest.approx(expected, abs=1e-6)


def test_word_match_loss_is_zero_on_the_codebook_and_ignores_length_and_padding():
    codebook = random(6, 4)
    targets = torch.tensor([[1, 5, 3], [2, IGNORE, IGNORE]])
    predicted = codebook[targets.clamp_min(0)] * torch.tensor([3.0, 0.1, 7.0])[None, :, None]
    predicted[1, 1:] = 1e4
    assert word_match_loss(predicted, codebook, targets).item() == pytest.approx(0.0, abs=1e-6)
    assert word_match_loss(-predicted, codebook, targets).item() == pytest.approx(2.0, abs=1e-6)


# ----- n-gram consistency ----------------------------------------------------------------------------------------------


def ngram_by_counting(probabilities, target, order):
    """1 - mean F1 with expected counts, by listing every place of the sequence and every distinct reference n-gram."""
    length, scores = len(target), []
    for n in range(1, min(order, length) + 1):
        counts = Counter(tuple(target[i : i + n]) for i in range(length - n + 1))
        matched = 0.0
        for gram, count in counts.items():
            expected = sum(
                math.prod(probabilities[place + k][piece] for k, piece in enumerate(gram))
                for place in range(length - n + 1)
            )
            matched += min(expected, count)
        scores.append(matched / (length - n + 1))
    return 1 - sum(scores) / len(scores)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("target", [[0, 1, 2, 3], [1, 1, 1], [0, 1, 0, 1, 0], [2], [3, 3, 0, 3, 3]])
def test_ngram_loss_equals_counting_over_places(target, order):
    for seed in range(3):
        logits = random(1, len(target), 4, seed=seed) * 2
        expected = ngram_by_counting(softmax(logits[0].numpy()), target, order)
        assert ngram_loss(logits, torch.tensor([target]), order).item() == pytest.approx(expected, abs=1e-5)


def test_ngram_loss_is_a_mean_over_clips_without_their_padding():
    logits = random(3, 5, 4)
    targets = torch.tensor([[0, 1, 2, 3, 0], [2, 2, IGNORE, IGNORE, IGNORE], [1] + [IGNORE] * 4])
    rows = [
        ngram_by_counting(softmax(logits[row].numpy()), [t for t in targets[row].tolist() if t != IGNORE], 4)
        for row in range(3)
    ]
    assert ngram_loss(logits, targets, 4).item() == pytest.approx(np.mean(rows), abs=1e-5)


def test_ngram_loss_is_zero_when_right_and_one_when_nothing_matches():
    target = [1, 2, 2, 3]
    assert ngram_loss(near_one_hot([target], 6), torch.tensor([target])).item() == pytest.approx(0, abs=1e-6)
    assert ngram_loss(near_one_hot([[0, 4, 5, 0]], 6), torch.tensor([target])).item() == pytest.approx(1, abs=1e-6)


def test_ngram_loss_clips_repeated_words_and_forgives_a_shift():
    # "1 1 1 1" for "1 2 3 4": one unigram of four counts, not four
    assert ngram_loss(near_one_hot([[1, 1, 1, 1]], 5), torch.tensor([[1, 2, 3, 4]]), 1).item() == pytest.approx(0.75)
    # "2 3 4 1" has all unigrams, two of three bigrams (23, 34), one of two trigrams, no 4-gram
    shifted = ngram_loss(near_one_hot([[2, 3, 4, 1]], 5), torch.tensor([[1, 2, 3, 4]]), 4).item()
    assert shifted == pytest.approx(1 - (1 + 2 / 3 + 1 / 2 + 0) / 4, abs=1e-6)


def test_ngram_loss_has_a_gradient_towards_the_reference():
    logits = torch.zeros(1, 3, 4, requires_grad=True)
    targets = torch.tensor([[1, 2, 3]])
    before = ngram_loss(logits, targets)
    before.backward()
    assert ngram_loss(logits.detach() - logits.grad, targets) < before


def test_ngram_loss_without_any_target_is_zero_and_differentiable():
    logits = torch.zeros(2, 3, 4, requires_grad=True)
    loss = ngram_loss(logits, torch.full((2, 3), IGNORE))
    loss.backward()
    assert loss.item() == 0 and not logits.grad.any()


# ----- InfoNCE ---------------------------------------------------------------------------------------------------------


def test_contrastive_loss_by_hand():
    # unit vectors at right angles, tau 0.5: similarities 2 on the diagonal and 0 off it
    expected = -math.log(math.exp(2) / (math.exp(2) + 1))
    assert contrastive_loss(torch.eye(2) * 7, torch.eye(2) * 0.1, 0.5).item() == pytest.approx(expected, rel=1e-5)
    assert contrastive_loss(random(1, 3), random(1, 3, seed=1)).item() == pytest.approx(0, abs=1e-6)


def test_contrastive_loss_equals_a_loop_in_both_directions():
    pose, text, tau = random(4, 3), random(4, 3, seed=1), 0.2
    terms = []
    for first, second in ((pose.numpy(), text.numpy()), (text.numpy(), pose.numpy())):
        for b in range(4):
            similar = [first[b] @ o / np.linalg.norm(first[b]) / np.linalg.norm(o) / tau for o in second]
            terms.append(-np.log(softmax(similar)[b]))
    assert contrastive_loss(pose, text, tau).item() == pytest.approx(np.mean(terms), rel=1e-5)
    assert contrastive_loss(text, pose, tau).item() == pytest.approx(np.mean(terms), rel=1e-5)


# ----- distillation ----------------------------------------------------------------------------------------------------


def test_distillation_is_the_divergence_of_the_student_from_the_teacher():
    student = torch.log(torch.tensor([[[0.75, 0.25]]]))
    teacher = torch.log(torch.tensor([[[0.5, 0.5]]]))
    mask = torch.ones(1, 1, dtype=torch.bool)
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)  # the other direction gives 0.1438, not 0.1308
    assert distillation_loss(student, teacher, mask).item() == pytest.approx(expected, rel=1e-5)
    assert abs(distillation_loss(teacher, student, mask).item() - expected) > 0.01
    assert distillation_loss(student, student, mask).item() == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_distillation_equals_a_loop_over_true_steps(temperature):
    student, teacher = random(2, 3, 4), random(2, 3, 4, seed=1)
    mask = torch.tensor([[True, True, True], [True, False, False]])
    terms = []
    for row, step in mask.nonzero().tolist():
        p, q = softmax(student[row, step].numpy() / temperature), softmax(teacher[row, step].numpy() / temperature)
        terms.append((p * np.log(p / q)).sum() * temperature**2)
    assert distillation_loss(student, teacher, mask, temperature).item() == pytest.approx(np.mean(terms), rel=1e-4)


def test_no_gradient_reaches_the_teacher():
    student, teacher = random(1, 2, 3).requires_grad_(), random(1, 2, 3, seed=1).requires_grad_()
    distillation_loss(student, teacher, torch.ones(1, 2, dtype=torch.bool)).backward()
    assert student.grad.abs().sum() > 0 and teacher.grad is None


# ----- CTC -------------------------------------------------------------------------------------------------------------


def ctc_by_enumeration(logits, glosses, blank):
    """-log of the summed probability of every path that collapses to the glosses."""
    probabilities = softmax(logits)
    total = 0.0
    for path in itertools.product(range(probabilities.shape[1]), repeat=len(probabilities)):
        if [c for c, _ in itertools.groupby(path) if c != blank] == list(glosses):
            total += math.prod(probabilities[t, c] for t, c in enumerate(path))
    return -math.log(total)


@pytest.mark.parametrize("blank", [0, 2])
def test_ctc_loss_equals_enumeration_of_paths(blank):
    logits = random(4, 5, 3, seed=blank)
    first, second = [c for c in range(3) if c != blank]
    targets = [[first, second], [first, first], [second], []]
    lengths = [5, 4, 2, 3]
    labels = torch.tensor([target + [IGNORE] * (2 - len(target)) for target in targets])
    mask = torch.arange(5)[None] < torch.tensor(lengths)[:, None]
    terms = [
        ctc_by_enumeration(row[:length].numpy(), target, blank) / max(len(target), 1)
        for row, length, target in zip(logits, lengths, targets)
        if target  # a clip without glosses has no target
    ]
    assert ctc_loss(logits, labels, mask, blank).item() == pytest.approx(np.mean(terms), rel=1e-5)


def test_an_infeasible_clip_is_named_with_what_it_needs():
    logits, mask = random(2, 4, 5), torch.tensor([[True] * 4, [True, True, False, False]])
    labels = torch.tensor([[1, 2, 3], [4, 4, IGNORE]])
    with pytest.raises(ValueError, match="Clip 1 .* 2 feature steps.* 2 glosses with 1 repeats need 3.*pool_sizes"):
        ctc_loss(logits, labels, mask)
    # three steps are enough: gloss, blank, gloss
    mask[1, 2] = True
    assert torch.isfinite(ctc_loss(logits, labels, mask))


def test_zero_infinity_lets_infeasible_clips_count_as_zero():
    logits, mask = random(2, 4, 5), torch.tensor([[True] * 4, [True, True, False, False]])
    labels = torch.tensor([[1, 2, 3], [4, 4, IGNORE]])
    alone = ctc_loss(logits[:1], labels[:1], mask[:1])
    assert ctc_loss(logits, labels, mask, zero_infinity=True).item() == pytest.approx(alone.item() / 2, rel=1e-6)


@pytest.mark.parametrize("zero_infinity", [False, True])
@pytest.mark.parametrize(("gloss", "blank"), [(5, 0), (-1, 0), (0, 0), (3, 3)])
def test_a_gloss_that_the_vocabulary_does_not_hold_is_refused(gloss, blank, zero_infinity):
    labels = torch.tensor([[1, 2], [1, gloss]])
    message = rf"ctc_labels\[1, 1\].* from 0 to 4 other than the blank {blank}, got {gloss}"
    with pytest.raises(ValueError, match=message):
        ctc_loss(random(2, 4, 5), labels, torch.ones(2, 4, dtype=torch.bool), blank, zero_infinity)


def test_the_check_of_targets_names_the_nearest_place_and_changes_nothing():
    labels = torch.tensor([[1, IGNORE, 2]])  # padding between glosses is skipped
    before = labels.clone()
    loose = ctc_loss(random(1, 4, 5), labels, torch.ones(1, 4, dtype=torch.bool))
    tight = ctc_loss(random(1, 4, 5), torch.tensor([[1, 2]]), torch.ones(1, 4, dtype=torch.bool))
    assert torch.equal(loose, tight) and torch.equal(labels, before)


# ----- whitening -------------------------------------------------------------------------------------------------------


def test_whitening_by_hand():
    latents = torch.tensor([[[1.0], [3.0], [8.0]]])  # mean 4: centred -3, -1, 4; products -, 3, -4
    mask = torch.ones(1, 3, dtype=torch.bool)
    assert whiten_latents(latents, mask, 0.5).flatten().tolist() == [1.0, 1.5, 10.0]


def test_whitening_equals_a_loop_and_skips_what_has_no_predecessor():
    latents, gamma = random(2, 6, 3), 0.3
    mask = torch.tensor([[True, True, False, True, True, False], [True] * 6])
    expected = latents.numpy().copy()
    for b in range(2):
        mean = latents[b][mask[b]].mean(0).numpy()
        for t in range(1, 6):
            if mask[b, t] and mask[b, t - 1]:
                expected[b, t] -= gamma * (latents[b, t].numpy() - mean) * (latents[b, t - 1].numpy() - mean)
    before = latents.clone()
    result = whiten_latents(latents, mask, gamma)
    np.testing.assert_allclose(result[mask].numpy(), expected[mask.numpy()], atol=1e-6)
    assert torch.equal(latents, before)


def test_whitening_ignores_padded_frames_and_can_be_off():
    latents = random(1, 5, 3)
    mask = torch.tensor([[True, True, True, False, False]])
    loud = latents.clone()
    loud[0, 3:] = 1e4
    assert torch.equal(whiten_latents(latents, mask, 0.3)[mask], whiten_latents(loud, mask, 0.3)[mask])
    assert torch.equal(whiten_latents(latents, mask, 0), latents)
    assert torch.equal(whiten_latents(latents[:, :1], mask[:, :1], 0.3), latents[:, :1])


# ----- frame drop ------------------------------------------------------------------------------------------------------


def test_frame_drop_has_its_rate_and_keeps_both_ends():
    mask = torch.zeros(40, 500, dtype=torch.bool)
    mask[:, 7:480] = True
    mask[:, 100:110] = False
    before = mask.clone()
    kept = drop_frames(mask, 0.3, torch.Generator().manual_seed(0))
    assert torch.equal(mask, before)
    assert not (kept & ~mask).any()
    assert kept[:, 7].all() and kept[:, 479].all()
    # 40 * 461 draws: five standard deviations are 0.017
    inner = mask.clone()
    inner[:, [7, 479]] = False
    assert 1 - kept[inner].float().mean().item() == pytest.approx(0.3, abs=0.017)


def test_frame_drop_is_repeatable_with_a_generator_and_can_be_off():
    mask = torch.ones(3, 50, dtype=torch.bool)
    first, second, third = (drop_frames(mask, 0.5, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, second) and not torch.equal(first, third)
    assert torch.equal(drop_frames(mask, 0), mask)


def test_frame_drop_leaves_a_clip_of_one_frame_and_a_clip_of_none():
    mask = torch.tensor([[False, True, False], [False, False, False]])
    for seed in range(20):
        assert torch.equal(drop_frames(mask, 0.99, torch.Generator().manual_seed(seed)), mask)


# ----- variance pruning ------------------------------------------------------------------------------------------------


def test_variance_pruning_by_hand():
    # dimension 0 is still, 1 varies, 2 varies only in the padding, 3 lies exactly on the threshold (variance 1)
    latents = torch.tensor([[[5.0, 0.0, 1.0, 1.0], [5.0, 6.0, 1.0, -1.0], [9.0, 9.0, 1e4, 9.0]]])
    mask = torch.tensor([[True, True, False]])
    assert dimensions_to_keep(latents, mask, 1.0).tolist() == [False, True, False, True]
    # of the population: the variance of a sample of two would be 2
    assert dimensions_to_keep(latents, mask, 1.5).tolist() == [False, True, False, False]
    assert dimensions_to_keep(latents, mask, 0.0).all()


def test_variance_pruning_refuses_to_remove_everything():
    with pytest.raises(ValueError, match="1e-06.* all 3 latent dimensions.*variance_threshold"):
        dimensions_to_keep(torch.ones(1, 4, 3), torch.ones(1, 4, dtype=torch.bool), 1e-6)


def test_alignment_is_cross_entropy_over_the_known_steps():
    logits = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([[0, 2, 2, 0, -100], [3, -100, -100, -100, -100]])
    known = [(row, step) for row in range(2) for step in range(5) if targets[row, step] != -100]
    expected = sum(-math.log(logits[r, s].double().softmax(0)[targets[r, s]].item()) for r, s in known) / len(known)
    assert alignment_loss(logits, targets).item() == pytest.approx(expected, abs=1e-5)
    nothing = alignment_loss(logits.requires_grad_(), torch.full((2, 5), -100))
    assert nothing.item() == 0 and nothing.requires_grad
    with pytest.raises(ValueError, match=r"gloss_alignment.*\[2, 5\].*got \[2, 4\]"):
        alignment_loss(logits, targets[:, :4])
