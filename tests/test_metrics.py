"""Metrics against independent answers: other libraries, brute force, answers worked out by hand."""

import functools
import math
import random

import numpy as np
import pytest
from conftest import data_folder

from signx_hf.data.cleanup import phoenix14
from signx_hf.metrics import (
    align_sclite,
    best_sample_bleu_1,
    bleu,
    bootstrap_interval,
    boundary_error,
    chrf,
    dtw_mpjpe,
    edits,
    mpjpe,
    paired_test,
    real_time_factor,
    rouge_l,
    segment_iou,
    top_n_accuracy,
    wer,
)
from signx_hf.metrics.alignment import count_edits
from signx_hf.processing.errors_signx import SignXError

jiwer = pytest.importorskip("jiwer")


def sentences(count: int, seed: int, letters: str = "ABCDE", longest: int = 8) -> list[list[str]]:
    dice = random.Random(seed)
    return [dice.choices(letters, k=dice.randint(0, longest)) for _ in range(count)]


def test_plain_is_jiwer_on_ten_thousand_pairs():
    hypotheses, references = sentences(10_000, 1), sentences(10_000, 2)
    pairs = [(h, r) for h, r in zip(hypotheses, references) if r]  # jiwer takes no empty reference
    out = jiwer.process_words([" ".join(r) for _, r in pairs], [" ".join(h) for h, _ in pairs])
    found = wer([h for h, _ in pairs], [r for _, r in pairs])
    assert (found.substitutions, found.insertions, found.deletions) == (
        out.substitutions,
        out.insertions,
        out.deletions,
    )
    assert found.rate == out.wer
    empty = [h for h, r in zip(hypotheses, references) if not r]
    assert len(empty) > 500 and wer(empty, [[]] * len(empty)).insertions == sum(map(len, empty))


def reference_counts(reference: tuple, hypothesis: tuple) -> tuple[int, int, int]:
    """Top down over prefixes, unlike the table of `align_sclite`; sclite's order of preference among equal costs."""

    @functools.cache
    def best(i: int, j: int) -> tuple[int, tuple[int, int, int]]:
        if not i:
            return 3 * j, (0, j, 0)
        if not j:
            return 3 * i, (0, 0, i)
        differ = reference[i - 1] != hypothesis[j - 1]
        choices = []
        for cost, rank, (before, (s, n, d)), (ds, dn, dd) in (
            (4 * differ, 0, best(i - 1, j - 1), (differ, 0, 0)),
            (3, 1, best(i, j - 1), (0, 1, 0)),
            (3, 2, best(i - 1, j), (0, 0, 1)),
        ):
            choices.append((before + cost, rank, (s + ds, n + dn, d + dd)))
        cost, _, counts = min(choices)
        return cost, counts

    return best(len(reference), len(hypothesis))[1]


def cheapest(reference, hypothesis) -> int:
    """The least cost of any alignment, by walking through all of them."""
    if not reference or not hypothesis:
        return 3 * (len(reference) + len(hypothesis))
    pair = 4 * (reference[0] != hypothesis[0])
    return min(
        pair + cheapest(reference[1:], hypothesis[1:]),
        3 + cheapest(reference[1:], hypothesis),
        3 + cheapest(reference, hypothesis[1:]),
    )


def test_sclite_is_the_reference_program():
    differ = 0
    for reference, hypothesis in zip(sentences(3000, 3, "ABC", 9), sentences(3000, 4, "ABC", 9)):
        pairs = align_sclite(reference, hypothesis)
        assert [a for a, _ in pairs if a is not None] == reference
        assert [b for _, b in pairs if b is not None] == hypothesis
        assert count_edits(pairs) == reference_counts(tuple(reference), tuple(hypothesis))
        unit = wer([hypothesis], [reference])
        differ += count_edits(pairs) != (unit.substitutions, unit.insertions, unit.deletions)
    assert differ > 30  # costs of 1 throughout are another program


def test_sclite_is_the_cheapest_of_all_alignments():
    for reference, hypothesis in zip(sentences(150, 5, "ABC", 5), sentences(150, 6, "ABC", 5)):
        substitutions, insertions, deletions = count_edits(align_sclite(reference, hypothesis))
        assert 4 * substitutions + 3 * (insertions + deletions) == cheapest(reference, hypothesis)


@pytest.mark.parametrize(
    "reference, hypothesis, counts",
    [  # from the alignments that NIST's scoring toolkit is tested with (SCTK, test10.pra): #S, #I, #D
        ("哦 ok", "可 能 ok", (1, 1, 0)),
        ("对 因 为", "对", (0, 0, 2)),
        ("他 可 能-", "他 可 能", (1, 0, 0)),
        ("妯 娌 这 这 个 人 际 关 系", "妯 娌 这 因 为 这 个 人 际 关 系", (0, 2, 0)),
    ],
)
def test_sclite_on_published_alignments(reference, hypothesis, counts):
    found = wer([hypothesis], [reference], "sclite")
    assert (found.substitutions, found.insertions, found.deletions) == counts


def test_ties_of_sclite_prefer_pairs():
    assert align_sclite(["X", "A"], ["Y", "Z", "A"]) == [(None, "Y"), ("X", "Z"), ("A", "A")]
    # three substitutions cost what two deletions and two insertions cost
    assert count_edits(align_sclite(["A", "B", "C"], ["C", "X", "A"])) == (3, 0, 0)


@pytest.mark.parametrize("variant", ["plain", "sclite", "phoenix14", "phoenix14t", "csl_daily"])
def test_empty_sentences(variant):
    found = edits(["", "ICH DU", "", "ICH"], ["", "", "WIR IHR SIE", "ICH"], variant)
    assert [(e.substitutions, e.insertions, e.deletions, e.references) for e in found] == [
        (0, 0, 0, 0),
        (0, 2, 0, 0),
        (0, 0, 3, 3),
        (0, 0, 0, 1),
    ]
    assert wer([], [], variant).rate == 0 and wer(["A"], [""], variant).rate == math.inf


def test_bad_input_is_named():
    with pytest.raises(SignXError, match="same length, got 1 and 2"):
        wer(["A"], ["A", "B"])
    with pytest.raises(SignXError, match="`variant` must be one of plain, sclite, phoenix14.*got 'phoenix'"):
        wer(["A"], ["A"], "phoenix")
    with pytest.raises(SignXError, match="`alignment` must be one of unit, sclite, got 'nist'"):
        wer(["A"], ["A"], alignment="nist")
    with pytest.raises(SignXError, match="`hypotheses` must be a list of sentences"):
        wer("AB", ["A", "B"])


def test_phoenix14_reference_counts():
    """The references of PHOENIX-2014 dev: 540 sentences and 5,540 running glosses as published; the clean-up merges one repeat."""
    path = data_folder("gloss_text", "phoenix2014-groundtruth-dev.stm")
    references = [line.split()[5:] for line in path.read_text(encoding="utf-8").splitlines()]
    raw = sum(map(len, references))
    cleaned = sum(len(phoenix14(reference)) for reference in references)
    assert (len(references), raw, cleaned) == (540, 5540, 5539)
    noisy = ["__EMOTION__ " + " __PU__ ".join(f"loc-{gloss}" for gloss in reference) for reference in references]
    found = wer(noisy, references, "phoenix14")
    assert (found.errors, found.references) == (0, cleaned)
    assert wer(noisy, references).errors > raw


def test_interval_covers_the_truth_and_repeats():
    dice, inside = np.random.default_rng(0), 0
    for trial in range(200):
        words = dice.integers(3, 12, size=120)
        errors = dice.binomial(words, 0.2)
        low, high = bootstrap_interval(errors, words, rounds=300, seed=trial)
        inside += low <= 0.2 <= high
    assert 0.88 <= inside / 200 <= 0.99
    assert bootstrap_interval([1, 0, 2], [3, 3, 3], seed=5) == bootstrap_interval([1, 0, 2], [3, 3, 3], seed=5)
    assert bootstrap_interval([1, 1], [4, 4]) == (0.25, 0.25)
    assert bootstrap_interval([1.0], [0.0]) == (math.inf, math.inf)
    for bad, message in (([], "at least one number"), ([1, 2], "1, one per clip, got 2"), ([-1], "at least 0")):
        with pytest.raises(SignXError, match=message):
            bootstrap_interval([1], bad) if bad != [] else bootstrap_interval([], [])


def test_randomization_is_the_exact_test():
    """With few clips all 2^n swaps can be walked through."""
    first, second, words = [3, 0, 2, 1, 4, 2, 3, 1], [1, 0, 1, 1, 2, 2, 1, 0], [5] * 8
    changes = [b - a for a, b in zip(first, second)]
    sums = [sum(c if bits >> i & 1 else -c for i, c in enumerate(changes)) for bits in range(256)]
    exact = sum(abs(value) >= abs(sum(changes)) for value in sums) / 256
    difference, p = paired_test(first, second, words, rounds=20_000)
    assert difference == sum(changes) / 40 and abs(p - exact) < 0.01
    assert paired_test(second, first, words, rounds=20_000)[0] == -difference
    assert paired_test(first, first, words) == (0.0, 1.0)
    _, bootstrap = paired_test(first, second, words, "bootstrap")
    assert bootstrap < 0.05
    with pytest.raises(SignXError, match="`method` must be one of randomization, bootstrap, got 't'"):
        paired_test(first, second, words, "t")
    with pytest.raises(SignXError, match="`second` must hold 8, one per clip, got 1"):
        paired_test(first, [1], words)


def test_bleu_by_hand_and_at_character_level():
    pytest.importorskip("sacrebleu")
    found = bleu(["A B C D"], ["A B X D"])
    assert found.parts["bleu_1"] == pytest.approx(75) and "tok:none" in found.signature
    assert found.parts["bleu_2"] == pytest.approx(100 * math.sqrt(3 / 4 * 1 / 3))
    short = bleu(["A B"], ["A B C D"])
    assert short.parts["bleu_1"] == pytest.approx(100 * math.exp(1 - 4 / 2))
    # cut into words otherwise, Chinese is the same at character level
    assert bleu(["今天 天气 很 好"], ["今天天气 很好"], "zh").score == pytest.approx(100)
    assert bleu(["今天 天气 很 好"], ["今天天气 很好"]).parts["bleu_1"] == 0
    assert bleu(["", "A B C D"], ["E", "A B C D"]).parts["bleu_1"] == pytest.approx(100 * math.exp(1 - 5 / 4))
    assert bleu([""], ["A"]).score == 0 and bleu(["A", "B"], ["", "B"]).parts["bleu_1"] == pytest.approx(50)
    with pytest.raises(SignXError, match="`tokenize` must be one of none, 13a.*got 'de'"):
        bleu(["A"], ["A"], "de")
    with pytest.raises(SignXError, match="only empty sentences"):
        bleu(["A"], [""])
    with pytest.raises(SignXError, match="at least one sentence"):
        chrf([], [])


def test_chrf_and_rouge():
    pytest.importorskip("sacrebleu")
    assert chrf(["WETTER MORGEN"], ["WETTER MORGEN"]).score == pytest.approx(100)
    assert chrf(["XYZ"], ["ABC"]).score == 0 and "nc:6" in chrf(["A"], ["A"]).signature
    pytest.importorskip("rouge_score")
    # longest common subsequence 3 of 4 and 5 words
    assert rouge_l(["A B C D"], ["A X B C Y"]).score == pytest.approx(100 * 2 * (3 / 4) * (3 / 5) / (3 / 4 + 3 / 5))
    assert rouge_l(["ns-fs-JOHN 我们"], ["ns-fs-JOHN 我们"]).score == 100  # its own tokenizer would see other words
    assert rouge_l(["天气 好"], ["天 气好"], "char").score == 100
    assert rouge_l(["", "", "A"], ["A", "", "A"]).score == pytest.approx(200 / 3)


def test_best_sample():
    pytest.importorskip("sacrebleu")
    samples = [["X Y", "A B", "A"], ["C"]]
    assert best_sample_bleu_1(samples, ["A B", "C"]).score == pytest.approx(100)
    assert best_sample_bleu_1([["X", "C C"]], ["C D"]).score == pytest.approx(50)
    with pytest.raises(SignXError, match="samples of clip 1 must be a list of at least one sentence, got \\[\\]"):
        best_sample_bleu_1([["A"], []], ["A", "B"])


def test_top_n_per_instance_and_class():
    ranked = [["a", "b"], ["b", "a"], ["a"], ["c", "b"], []]
    found = top_n_accuracy(ranked, ["a", "a", "a", "b", "b"])
    assert found.per_instance == 2 / 5 and found.per_class == pytest.approx((2 / 3 + 0) / 2)
    second = top_n_accuracy(ranked, ["a", "a", "a", "b", "b"], 2)
    assert second.per_instance == 4 / 5 and second.per_class == pytest.approx((1 + 1 / 2) / 2)
    with pytest.raises(SignXError, match="same length, got 5 and 1"):
        top_n_accuracy(ranked, ["a"])
    with pytest.raises(SignXError, match="`n` must be a positive integer, got 0"):
        top_n_accuracy([["a"]], ["a"], 0)


def seg(gloss: str, start: float, end: float) -> dict:
    return {"gloss": gloss, "start": start, "end": end}


def test_times_of_matched_segments():
    truth = [[seg("A", 0, 1), seg("B", 1, 2), seg("C", 3, 4)], []]
    found = [[seg("A", 0.5, 1), seg("X", 1, 2), seg("C", 3, 5)], [seg("A", 0, 1)]]
    error = boundary_error(found, truth)
    assert (error.matched, error.references) == (2, 3)
    assert error.mean == pytest.approx((0.5 + 0 + 0 + 1) / 4) and error.median == pytest.approx(0.25)
    assert (error.bias_start, error.bias_end) == (pytest.approx(0.25), pytest.approx(0.5))
    assert segment_iou(found, truth) == pytest.approx((0.5 + 0 + 0.5) / 3)
    assert segment_iou([[seg("A", 5, 6)]], [[seg("A", 0, 1)]]) == 0
    assert segment_iou(truth, truth) == 1 and segment_iou([[]], [[]]) == 1 and segment_iou(found[1:], [[]]) == 0
    assert boundary_error([[]], truth[:1]).mean is None
    with pytest.raises(SignXError, match=r"clip 0, segment 0 \(A\) must not end before it starts, got 2 to 1"):
        boundary_error([[seg("A", 2, 1)]], [[]])
    with pytest.raises(SignXError, match="same number of clips, got 1 and 2"):
        segment_iou([[]], truth)


def test_real_time_factor():
    assert real_time_factor([1, 2], [10, 20]) == pytest.approx(0.1)
    with pytest.raises(SignXError, match="must not be negative"):
        real_time_factor([1], [0])


def warp_cost(costs: np.ndarray) -> set[float]:
    """Mean costs of the cheapest paths, by walking through all paths."""
    found: list[tuple[float, int]] = []

    def walk(row: int, column: int, total: float, steps: int) -> None:
        total, steps = total + costs[row, column], steps + 1
        if (row, column) == (costs.shape[0] - 1, costs.shape[1] - 1):
            found.append((total, steps))
        for down, right in ((1, 1), (1, 0), (0, 1)):
            if row + down < costs.shape[0] and column + right < costs.shape[1]:
                walk(row + down, column + right, total, steps)

    walk(0, 0, 0.0, 0)
    least = min(total for total, _ in found)
    return {round(total / steps, 9) for total, steps in found if total <= least + 1e-9}


def test_pose_distances():
    dice = np.random.default_rng(0)
    wanted = dice.normal(size=(5, 3, 2))
    found = wanted + [3.0, 4.0]
    assert mpjpe(found, wanted) == pytest.approx(5)
    mask = np.ones((5, 3), dtype=bool)
    mask[0, 0] = False
    broken = found.copy()
    broken[0, 0] = np.nan
    assert mpjpe(broken, wanted, mask) == pytest.approx(5)
    for _ in range(5):
        a, b = dice.normal(size=(4, 3, 2)), dice.normal(size=(5, 3, 2))
        costs = np.array([[np.linalg.norm(x - y, axis=1).mean() for y in b] for x in a])
        assert round(dtw_mpjpe(a, b), 9) in warp_cost(costs)
    assert dtw_mpjpe(np.repeat(wanted, 2, axis=0), wanted) == 0
    with pytest.raises(SignXError, match="same number of frames, got 4 and 5. Use dtw_mpjpe"):
        mpjpe(wanted[:4], wanted)
    with pytest.raises(SignXError, match="`predicted` must hold finite numbers"):
        mpjpe(broken, wanted)
    with pytest.raises(SignXError, match="must have a joint that is observed in both"):
        dtw_mpjpe(wanted, wanted, np.zeros((5, 3), dtype=bool))
