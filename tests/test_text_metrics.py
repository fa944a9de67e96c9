"""Scores of text: SignX-1's own ones, sentence scores, intervals and tests, against formulas written out and other libraries."""

import math
import warnings
from collections import Counter

import numpy as np
import pytest

from signx_hf.metrics import (
    best_clip_bleu_1,
    best_sample_bleu_1,
    bleu,
    chrf,
    mean_sentence_bleu,
    paired_text_test,
    rouge_l,
    sentence_scores,
    text_interval,
)
from signx_hf.processing.errors_signx import SignXError

sacrebleu = pytest.importorskip("sacrebleu")
pytest.importorskip("rouge_score")
WORDS = ["am", "Sonntag", "scheint", "überall", "die", "Sonne", "und", "es", "wird", "warm"]


def sentences(clips: int = 30, seed: int = 0, keep: float = 0.8) -> tuple[list[str], list[str]]:
    """Random references, and hypotheses that keep most of their words; some are empty, short or right."""
    random = np.random.default_rng(seed)
    references = [" ".join(random.choice(WORDS, random.integers(1, 12))) for _ in range(clips)]
    said = [
        " ".join(word if random.random() < keep else random.choice(WORDS) for word in line.split())
        for line in references
    ]
    said[3], said[5] = "", said[5] + " warm warm"
    return said, references


def by_formula(hypothesis: str, reference: str, orders: int) -> float:
    """Sentence BLEU as Papineni et al. write it, without smoothing."""
    said, true, precisions = hypothesis.split(), reference.split(), []
    for n in range(1, orders + 1):
        left, right = (Counter(tuple(line[i : i + n]) for i in range(len(line) - n + 1)) for line in (said, true))
        precisions.append(sum((left & right).values()) / max(1, sum(left.values())))
    if min(precisions) == 0:
        return 0.0
    brevity = 1.0 if len(said) > len(true) else math.exp(1 - len(true) / len(said))
    return 100 * brevity * math.exp(sum(map(math.log, precisions)) / orders)


def test_mean_sentence_bleu_is_nltk_s_and_the_formula():
    said, references = sentences()
    found = mean_sentence_bleu(said, references)
    for order in range(1, 5):
        expected = np.mean([by_formula(a, b, order) for a, b in zip(said, references)])
        assert found.parts[f"mean_sentence_bleu_{order}"] == pytest.approx(expected)
    assert found.score == found.parts["mean_sentence_bleu_4"] != bleu(said, references).score
    assert "mean:sentences" in found.signature and "as:nltk" in found.signature and "order:4" in found.signature
    nltk_bleu = pytest.importorskip("nltk.translate.bleu_score").sentence_bleu  # which rouge-score brings along
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = [nltk_bleu([b.split()], a.split()) for a, b in zip(said, references)]
    assert found.score == pytest.approx(100 * np.mean(theirs))
    assert mean_sentence_bleu(["A B C"], ["A B C"]).score == 0, "as NLTK: no n-gram of four words"


def test_best_clip_is_one_of_the_clips_and_not_a_choice_of_samples():
    said, references = sentences(keep=0.5)
    found = best_clip_bleu_1(said, references)
    assert found.score == pytest.approx(max(by_formula(a, b, 1) for a, b in zip(said, references)))
    assert "chosen:best-clip" in found.signature and "order:1" in found.signature
    assert best_clip_bleu_1(["A B", "X"], ["A B", "Y"]).score == pytest.approx(100)
    assert best_sample_bleu_1([["A B"], ["X"]], ["A B", "Y"]).score < 100


def test_sentence_scores_are_those_of_the_libraries():
    said, references = sentences(8)
    found = sentence_scores(said, references, "13a")
    assert found["bleu"] == [sacrebleu.sentence_bleu(a, [b]).score for a, b in zip(said, references)]
    assert found["chrf"] == [sacrebleu.sentence_chrf(a, [b]).score for a, b in zip(said, references)]
    assert np.mean(found["rouge_l"]) == pytest.approx(rouge_l(said, references).score)
    assert sentence_scores(["今天 好"], ["今天好"], "char")["rouge_l"] == [100]


SCORES = {
    "bleu_2": lambda *sides: bleu(*sides, tokenize="13a").parts["bleu_2"],
    "bleu_4": lambda *sides: bleu(*sides, tokenize="13a").score,
    "chrf": lambda *sides: chrf(*sides).score,
    "rouge_l": lambda *sides: rouge_l(*sides).score,
    "mean_sentence_bleu": lambda *sides: mean_sentence_bleu(*sides, tokenize="13a").score,
}


@pytest.mark.parametrize("metric", SCORES)
def test_interval_is_that_of_corpora_drawn_clip_by_clip(metric):
    said, references = sentences(12)
    low, high = text_interval(said, references, metric, "13a", rounds=40, seed=3)
    drawn = np.random.default_rng(3).integers(12, size=(40, 12))
    scores = sorted(SCORES[metric]([said[i] for i in row], [references[i] for i in row]) for row in drawn)
    assert (low, high) == pytest.approx((scores[1], scores[38]))
    assert low < SCORES[metric](said, references) < high


@pytest.mark.parametrize("method", ["randomization", "bootstrap"])
@pytest.mark.parametrize("metric", ["bleu_4", "chrf", "rouge_l"])
def test_two_systems(metric, method):
    (good, references), (bad, _) = sentences(60, keep=0.95), sentences(60, keep=0.4)
    difference, p = paired_text_test(bad, good, references, metric, "13a", method, rounds=200)
    expected = SCORES[metric](good, references) - SCORES[metric](bad, references)
    assert difference == pytest.approx(expected) and difference > 0 and p < 0.02
    back, p_back = paired_text_test(good, bad, references, metric, "13a", method, rounds=200)
    assert back == -difference and p_back < 0.02
    assert paired_text_test(good, good, references, metric, "13a", method, rounds=20) == (0.0, 1.0)
    same = [*good[:-1], "am Sonntag"]  # one clip apart is no evidence
    assert paired_text_test(good, same, references, metric, "13a", method, rounds=200)[1] > 0.05


def test_p_value_of_randomization_is_that_of_all_swaps():
    """Four clips can be swapped in 16 ways."""
    first, second, references = ["A B", "C", "A A", "D E"], ["A C", "C D", "A B", "D E"], ["A C", "C D", "A B", "D F"]
    score = lambda said: chrf(said, references).score  # noqa: E731
    observed = abs(score(second) - score(first))
    hits = 0
    for swap in range(16):
        sides = [(b, a) if swap >> i & 1 else (a, b) for i, (a, b) in enumerate(zip(first, second))]
        one, other = map(list, zip(*sides))
        hits += abs(score(other) - score(one)) >= observed - 1e-9
    _, p = paired_text_test(first, second, references, "chrf", rounds=4000)
    assert p == pytest.approx(hits / 16, abs=0.03)


def test_what_is_refused():
    with pytest.raises(SignXError, match="`metric` must be one of bleu_1, .*, got 'bleu'"):
        text_interval(["A"], ["A"], "bleu")
    with pytest.raises(SignXError, match="`method` must be one of"):
        paired_text_test(["A"], ["B"], ["A"], method="t")
    with pytest.raises(SignXError, match="`rounds` must be a positive integer"):
        text_interval(["A"], ["A"], rounds=0)
    with pytest.raises(SignXError, match="`level` must be between 0 and 1"):
        text_interval(["A"], ["A"], level=95)
    with pytest.raises(SignXError, match="`tokenize` must be one of"):
        mean_sentence_bleu(["A"], ["A"], "words")
