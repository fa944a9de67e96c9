"""CTC against exact enumeration of every path, torch's CTC loss and a textbook beam search."""

import dataclasses
import importlib.util
import itertools
import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from signx_hf.modeling.ctc_align_signx import ctc_forced_align, ctc_forced_align_batch, ctc_log_prob
from signx_hf.modeling.ctc_input_signx import ctc_feasible, ctc_min_frames
from signx_hf.modeling.ctc_prefix_signx import CTCPrefixScorer
from signx_hf.modeling.ctc_search_signx import ctc_beam_search, ctc_greedy

BENCHMARK = Path(__file__).resolve().parent.parent / "benchmarks" / "ctc_decode.py"


def collapse(path, blank_id):
    return tuple(token for token, _ in itertools.groupby(path) if token != blank_id)


@cache
def all_paths(steps, vocab_size, blank_id):
    """Every path [V^T, T], the distinct sequences they spell, and which sequence each path spells [V^T]."""
    paths = np.array(list(itertools.product(range(vocab_size), repeat=steps)), dtype=np.int64)
    number = {}
    spells = [number.setdefault(collapse(path, blank_id), len(number)) for path in paths.tolist()]
    return paths, list(number), np.array(spells)


def path_scores(log_probs, paths):
    return log_probs[np.arange(len(log_probs)), paths].sum(axis=1)


def enumerate_sequences(log_probs, blank_id):
    """{ids: log-probability} of every possible label sequence, from the sum over all V^T paths."""
    paths, sequences, spells = all_paths(*log_probs.shape, blank_id)
    mass = np.bincount(spells, np.exp(path_scores(log_probs, paths)), minlength=len(sequences))
    return {ids: math.log(p) for ids, p in zip(sequences, mass.tolist()) if p > 0}


def random_log_probs(rng, steps, vocab_size, kind):
    logits = rng.normal(size=(steps, vocab_size)) * {"flat": 0.3, "mild": 2.0, "peaky": 6.0, "masked": 2.0}[kind]
    if kind == "masked":
        hidden = rng.random((steps, vocab_size)) < 0.35
        hidden[np.arange(steps), rng.integers(vocab_size, size=steps)] = False
        logits[hidden] = -np.inf
    return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)


KINDS = ["flat", "mild", "peaky", "masked"]
SHAPES = list(itertools.product(range(1, 7), range(1, 6)))  # every (T <= 6, V <= 5)


def cases(per_shape, shapes=SHAPES, seed=0):
    """(log_probs, blank_id) for every shape, the kinds of logits and the blanks in turn."""
    rng = np.random.default_rng(seed)
    for steps, vocab_size in shapes:
        for number in range(per_shape):
            kind = KINDS[number % len(KINDS)]
            yield random_log_probs(rng, steps, vocab_size, kind), number // len(KINDS) % vocab_size


# -------------------------------------------------------------------------------------------------------- beam search


def test_wide_beam_is_exact_for_every_small_shape():
    """2,400 random cases: all sequences, their order and their scores."""
    for log_probs, blank_id in cases(80):
        exact = enumerate_sequences(log_probs, blank_id)
        width = len(all_paths(*log_probs.shape, blank_id)[1])
        found = ctc_beam_search(log_probs[None], blank_id=blank_id, num_beams=width, n_best=width, with_times=False)[0]
        where = f"T, V = {log_probs.shape}, blank {blank_id}"
        assert {hypothesis.ids for hypothesis in found} == set(exact) and len(found) == len(exact), where
        scores = np.array([hypothesis.score for hypothesis in found])
        assert np.abs(scores - [exact[hypothesis.ids] for hypothesis in found]).max() < 1e-9, where
        assert (np.diff(scores) <= 0).all(), where
        assert exact[found[0].ids] >= max(exact.values()) - 1e-9, where


def load_benchmark():
    spec = importlib.util.spec_from_file_location("ctc_decode_benchmark", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("kind", KINDS)
def test_narrow_beam_equals_textbook_search_over_the_whole_vocabulary(kind):
    """Only num_beams + 1 tokens of a step are looked at, and nothing is lost by it."""
    textbook = load_benchmark().textbook_beam_search
    rng = np.random.default_rng(1)
    for number in range(60):
        # A small vocabulary repeats itself and revives dropped prefixes; a large one makes the pruning bite.
        log_probs, num_beams = random_log_probs(rng, 12, [3, 9, 24][number % 3], kind), 1 + number % 6
        blank_id = number % 3
        expected = textbook(log_probs, blank_id, num_beams)
        found = ctc_beam_search(
            log_probs[None], blank_id=blank_id, num_beams=num_beams, n_best=num_beams, with_times=False
        )[0]
        assert [hypothesis.ids for hypothesis in found] == [ids for ids, _ in expected]
        assert np.allclose([hypothesis.score for hypothesis in found], [score for _, score in expected], atol=1e-9)


@pytest.mark.parametrize("options", [{"num_beams": 3}, {"num_beams": 50, "top_k": 1}, {"num_beams": 50, "top_k": 3}])
def test_pruning_only_removes_mass(options):
    lost = 0.0
    for log_probs, blank_id in cases(16, [(6, 5), (7, 8)], seed=2):
        for limit in (None, -1.5):
            found = ctc_beam_search(log_probs[None], blank_id=blank_id, min_log_prob=limit, **options)[0]
            loss = ctc_log_prob(log_probs, found[0].ids, blank_id=blank_id) - found[0].score
            assert loss >= -1e-12
            lost = max(lost, loss)
    assert lost > 0, "nothing was pruned, so nothing was tested"


def test_min_log_prob_closes_tokens_but_never_every_way_on():
    log_probs = np.log([[0.1, 0.6, 0.3], [0.5, 0.1, 0.4]])
    found = ctc_beam_search(log_probs[None], min_log_prob=math.log(0.35), n_best=10, with_times=False)[0]
    # Step 0 opens token 1 only, step 1 token 2 only. The blank, holding token 1, the way to the live (1,) stay open.
    expected = {(): 0.1 * 0.5, (1,): 0.6 * 0.5 + 0.6 * 0.1 + 0.1 * 0.1, (2,): 0.1 * 0.4, (1, 2): 0.6 * 0.4}
    assert {hypothesis.ids: pytest.approx(math.exp(hypothesis.score)) for hypothesis in found} == expected
    blind = np.log([[1e-300, 0.3, 0.7], [1e-300, 0.7, 0.3]])
    blind[:, 0] = -np.inf
    assert ctc_beam_search(blind[None], min_log_prob=-0.1)[0][0].ids == (2, 1)


def test_top_k_takes_the_lower_ids_of_equal_tokens():
    log_probs = np.log([[[0.2, 0.2, 0.2, 0.2, 0.2]]])
    found = ctc_beam_search(log_probs, top_k=2, n_best=10, blank_id=1)[0]
    assert [hypothesis.ids for hypothesis in found] == [(), (0,), (2,)]


def test_equal_scores_shorter_then_lower_ids():
    log_probs = np.log(np.full((1, 2, 3), 1 / 3))
    # (1) and (2) have 3 paths of 9 each; the empty sequence, (1, 2) and (2, 1) have one
    everything = [(1,), (2,), (), (1, 2), (2, 1)]
    for width in range(2, 6):
        found = ctc_beam_search(log_probs, num_beams=width, n_best=width)[0]
        assert found[0].ids == (1,)
        assert len(found) == width
    assert [hypothesis.ids for hypothesis in found] == everything
    # and so at the edge of the beam, where equal prefixes compete for the last places
    log_probs = np.log(np.full((1, 1, 4), 0.25))
    assert [hypothesis.ids for hypothesis in ctc_beam_search(log_probs, num_beams=2, n_best=2)[0]] == [(), (1,)]
    log_probs[0, 0, 0] = -np.inf
    assert [hypothesis.ids for hypothesis in ctc_beam_search(log_probs, num_beams=2, n_best=2)[0]] == [(1,), (2,)]


def test_repeats_need_a_blank_between():
    path = [1, 1, 1, 0, 2, 2]  # A A A _ B B
    log_probs = torch.full((1, 6, 3), 0.005)
    log_probs[0, torch.arange(6), torch.tensor(path)] = 0.99
    log_probs = log_probs.log()
    for hypothesis in (ctc_greedy(log_probs)[0], ctc_beam_search(log_probs)[0][0]):
        assert (hypothesis.ids, hypothesis.starts, hypothesis.ends) == ((1, 2), (0, 4), (3, 6))
        assert hypothesis.confidences == pytest.approx((0.99, 0.99))
    log_probs[0, 1] = torch.tensor([0.99, 0.005, 0.005]).log()  # A _ A _ B B
    assert ctc_greedy(log_probs)[0].ids == ctc_beam_search(log_probs)[0][0].ids == (1, 1, 2)


def test_beam_finds_what_greedy_misses():
    """The classic: the best path is blank blank (0.36), the best sequence is A (0.64)."""
    log_probs = np.log([[[0.6, 0.4], [0.6, 0.4]]])
    assert ctc_greedy(log_probs)[0].ids == ()
    assert math.exp(ctc_greedy(log_probs)[0].score) == pytest.approx(0.36)
    best = ctc_beam_search(log_probs)[0][0]
    assert (best.ids, math.exp(best.score)) == ((1,), pytest.approx(0.64))


def test_greedy_is_the_best_path():
    for log_probs, blank_id in cases(8, seed=3):
        paths, _, _ = all_paths(*log_probs.shape, blank_id)
        scores = path_scores(log_probs, paths)
        found = ctc_greedy(log_probs[None], blank_id=blank_id)[0]
        assert found.score == pytest.approx(scores.max(), abs=1e-9)
        assert found.ids == collapse(paths[scores.argmax()].tolist(), blank_id)
        assert len(found.starts) == len(found.ends) == len(found.confidences) == len(found.ids)


# --------------------------------------------------------------------------------- alignment and sequence probability


def test_log_prob_equals_enumeration():
    for log_probs, blank_id in cases(4, seed=4):
        exact = enumerate_sequences(log_probs, blank_id)
        for ids in all_paths(*log_probs.shape, blank_id)[1][:40]:
            score = ctc_log_prob(log_probs, ids, blank_id=blank_id)
            assert score == pytest.approx(exact.get(ids, -math.inf), abs=1e-9)
    assert ctc_log_prob(log_probs, (1,) * 7) == -math.inf


def test_log_prob_equals_torch_ctc_loss():
    generator = torch.Generator().manual_seed(5)
    for number in range(60):
        steps, vocab_size, blank_id = 20 + number % 7, 3 + number % 11, number % 3
        log_probs = torch.randn(steps, vocab_size, dtype=torch.double, generator=generator).log_softmax(-1)
        gloss_ids = [token for token in range(vocab_size) if token != blank_id]
        picks = torch.randint(len(gloss_ids), (number % 10,), generator=generator)
        ids = [gloss_ids[pick] for pick in picks.tolist()]
        lengths = torch.tensor([steps]), torch.tensor([len(ids)])
        targets = torch.tensor([ids], dtype=torch.long)
        loss = F.ctc_loss(log_probs[:, None], targets, *lengths, blank=blank_id, reduction="sum")
        assert ctc_log_prob(log_probs, ids, blank_id=blank_id) == pytest.approx(-loss.item(), abs=1e-9)


def spans(path, blank_id):
    """[(token, start, end)] read off a path, step by step."""
    found = []
    for step, token in enumerate(path):
        if token != blank_id and (step == 0 or path[step - 1] != token):
            found.append((token, step, step + 1))
        elif token != blank_id:
            found[-1] = (token, found[-1][1], step + 1)
    return found


def test_forced_alignment_is_the_best_of_all_alignments():
    checked = 0
    for log_probs, blank_id in cases(8, seed=6):
        paths, sequences, spells = all_paths(*log_probs.shape, blank_id)
        scores = path_scores(log_probs, paths)
        for number, ids in list(enumerate(sequences))[:: max(1, len(sequences) // 12)]:
            best = scores[spells == number].max()
            if best == -np.inf:
                with pytest.raises(ValueError, match="have probability 0"):
                    ctc_forced_align(log_probs, ids, blank_id=blank_id)
                continue
            found = ctc_forced_align(log_probs, ids, blank_id=blank_id)
            checked += 1
            assert collapse(found.path, blank_id) == ids
            assert found.score == pytest.approx(best, abs=1e-9)
            emitted = log_probs[np.arange(len(log_probs)), found.path]
            assert emitted.sum() == pytest.approx(best, abs=1e-9)
            expected = spans(found.path, blank_id)
            assert list(zip(ids, found.starts, found.ends)) == expected
            peaks = [max(map(math.exp, emitted[start:end])) for _, start, end in expected]
            assert found.confidences == pytest.approx(peaks, abs=1e-12)
    assert checked > 1000


def test_times_of_a_constructed_optimum():
    """A path built to be the best, with blanks of every length and equal neighbours, comes back step for step."""
    rng = np.random.default_rng(7)
    for blank_id in (0, 4):
        tokens = [token for token in range(9) if token != blank_id]
        path, expected = [blank_id] * 2, []
        for position in range(12):
            token = expected[-1][0] if position % 4 == 3 else int(rng.choice(tokens))
            pause = int(rng.integers(0, 4))
            path += [blank_id] * (max(pause, 1) if expected and expected[-1][0] == token else pause)
            held = int(rng.integers(1, 6))
            expected.append((token, len(path), len(path) + held))
            path += [token] * held
        confidence = rng.uniform(0.6, 0.95, size=len(path))
        probs = np.repeat((1 - confidence)[:, None] / 8, 9, axis=1)
        probs[np.arange(len(path)), path] = confidence
        log_probs = np.log(probs)
        ids = tuple(token for token, _, _ in expected)
        found = ctc_forced_align(log_probs, ids, blank_id=blank_id)
        assert found.path == tuple(path)
        hypothesis = ctc_beam_search(log_probs[None], blank_id=blank_id)[0][0]
        greedy = ctc_greedy(log_probs[None], blank_id=blank_id)[0]
        for result in (found, greedy, hypothesis):
            assert list(zip(ids, result.starts, result.ends)) == expected
            assert result.confidences == pytest.approx([max(confidence[start:end]) for _, start, end in expected])
        assert hypothesis.ids == greedy.ids == ids
        assert ctc_beam_search(log_probs[None], blank_id=blank_id, with_times=False)[0][0].starts == ()


def test_empty_ids_align_to_blanks():
    log_probs = np.log(np.full((3, 4), 0.25))
    found = ctc_forced_align(log_probs, [], blank_id=2)
    assert dataclasses.astuple(found) == ((2, 2, 2), (), (), pytest.approx(3 * math.log(0.25)), ())
    assert dataclasses.astuple(ctc_forced_align(log_probs[:0], [])) == ((), (), (), 0.0, ())
    assert ctc_log_prob(log_probs[:0], []) == 0.0


def test_min_frames_and_feasible():
    for length in range(6):
        for ids in itertools.product((1, 2), repeat=length):
            shortest = next(steps for steps in range(10) if ids in all_paths(steps, 3, 0)[1])
            assert ctc_min_frames(ids) == shortest
    labels = torch.tensor([[1, 1, 2, -100], [1, 2, 3, 4], [-100] * 4, [5, 5, 5, 5]])
    expected = [(0, 3, 4), (3, 6, 7)]
    lengths = torch.tensor([3, 4, 0, 6])
    assert ctc_feasible(labels, lengths) == expected
    assert ctc_feasible([[1, 1, 2], [1, 2, 3, 4], [], [5] * 4], torch.arange(6) < lengths[:, None]) == expected
    assert ctc_feasible(labels, [9, 9, 9, 9]) == []


# ------------------------------------------------------------------------------------------------------ prefix scores


def log_sum(values):
    return float(np.logaddexp.reduce(list(values), initial=-np.inf))


def walk(scorer, state, depth, vocab_size):
    """Every state up to `depth` tokens further on, with the scores of its extensions."""
    scores = scorer.extend(state)
    yield state, scores
    if depth:
        for token in range(vocab_size):
            if token != scorer.blank_id:
                yield from walk(scorer, scorer.select(state, token), depth - 1, vocab_size)


def test_prefix_scores_equal_enumeration():
    """Also with frames that sum to less than one: a masked token takes its mass with it."""
    shapes = [(steps, vocab_size) for steps in range(1, 6) for vocab_size in range(1, 5)]
    for number, (log_probs, blank_id) in enumerate(cases(8, shapes, seed=8)):
        if number % 2:
            log_probs = log_probs - np.abs(np.sin(np.arange(log_probs.size))).reshape(log_probs.shape)
        exact = enumerate_sequences(log_probs, blank_id)
        begins = {}
        for ids, score in exact.items():
            for length in range(len(ids) + 1):
                begins.setdefault(ids[:length], []).append(score)
        scorer = CTCPrefixScorer(log_probs, blank_id=blank_id)
        for state, scores in walk(scorer, scorer.initial_state(), 3, log_probs.shape[1]):
            assert state.prefix_score == pytest.approx(log_sum(begins.get(state.prefix, [])), abs=1e-9)
            assert scorer.final_score(state) == pytest.approx(exact.get(state.prefix, -np.inf), abs=1e-9)
            expected = [log_sum(begins.get((*state.prefix, token), [])) for token in range(len(scores))]
            assert scores == pytest.approx(expected, abs=1e-9)
            assert log_sum([*scores, scorer.final_score(state)]) == pytest.approx(state.prefix_score, abs=1e-9)


def test_prefix_scores_are_selected_scores_on_a_long_item():
    generator = torch.Generator().manual_seed(9)
    log_probs = torch.randn(40, 30, generator=generator).mul(3).log_softmax(-1)
    scorer = CTCPrefixScorer(log_probs, blank_id=29)
    state = scorer.initial_state()
    for token in [3, 3, 0, 17, 17, 17, 28, 3]:
        scores = scorer.extend(state)
        assert log_sum([*scores, scorer.final_score(state)]) == pytest.approx(state.prefix_score, abs=1e-9)
        state = scorer.select(state, token)
        assert state.prefix_score == pytest.approx(scores[token], abs=1e-9)
        assert scorer.final_score(state) == pytest.approx(ctc_log_prob(log_probs, state.prefix, blank_id=29), abs=1e-9)


def test_prefix_scores_survive_underflow():
    """Products under 1e-308 exist as logarithms only."""
    logits = np.zeros((3, 3))
    logits[0, 0], logits[1, 1], logits[2, 0] = 900.0, 1800.0, 700.0
    log_probs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    scores = CTCPrefixScorer(log_probs).extend(CTCPrefixScorer(log_probs).initial_state())
    paths = [path for path in itertools.product(range(3), repeat=3) if collapse(path, 0)[:1] == (2,)]
    assert scores[2] == pytest.approx(log_sum(path_scores(log_probs, np.array(paths))), abs=1e-9)
    assert scores[2] < -700


def test_prefix_states_can_be_shared():
    scorer = CTCPrefixScorer(np.log(np.full((4, 3), 1 / 3)))
    state = scorer.select(scorer.initial_state(), 1)
    before = state.token.copy(), state.blank.copy()
    scorer.select(state, 1), scorer.select(state, 2), scorer.extend(state)
    assert np.array_equal(state.token, before[0]) and np.array_equal(state.blank, before[1])
    with pytest.raises(ValueError, match="read-only"):
        state.blank[0] = 1.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        state.prefix = ()
    with pytest.raises(ValueError, match=r"ids\[0\].* blank"):
        scorer.select(state, 0)


def test_prefix_scores_of_no_frames():
    scorer = CTCPrefixScorer(np.zeros((0, 3)))
    state = scorer.initial_state()
    assert scorer.final_score(state) == state.prefix_score == 0.0
    assert (scorer.extend(state) == -np.inf).all()
    assert scorer.final_score(scorer.select(state, 1)) == -np.inf


# -------------------------------------------------------------------------------------------------------------- input


@pytest.mark.parametrize("garbage", [float("nan"), float("inf"), 3.0])
def test_padded_batch_is_single_item(garbage):
    """Bit for bit, whatever lies behind the lengths; the caller's array stays as it was."""
    generator = torch.Generator().manual_seed(10)
    lengths = [11, 0, 4, 7]
    batch = torch.randn(4, 11, 50, generator=generator).log_softmax(-1)
    for row, length in zip(batch, lengths):
        row[length:] = garbage
    mask = torch.arange(11) < torch.tensor(lengths)[:, None]
    labels = [[3, 3, 4], [], [5], [1, 2]]
    padded = torch.tensor([row + [-100] * (3 - len(row)) for row in labels])
    for form in (lengths, torch.tensor(lengths), mask, mask.numpy()):
        before = batch.clone()
        results = (
            ctc_greedy(batch, form),
            ctc_beam_search(batch, form, n_best=5),
            ctc_forced_align_batch(batch, padded, lengths=form),
        )
        assert torch.equal(batch.nan_to_num(7.0, 8.0), before.nan_to_num(7.0, 8.0))
        for index, length in enumerate(lengths):
            single = batch[index : index + 1, :length]
            assert results[0][index] == ctc_greedy(single)[0]
            assert results[1][index] == ctc_beam_search(single.numpy(), n_best=5)[0]
            assert results[2][index] == ctc_forced_align(single[0], labels[index])
    empty = results[1][1]
    assert [dataclasses.astuple(hypothesis) for hypothesis in empty] == [((), 0.0, (), (), ())]
    assert dataclasses.astuple(results[0][1]) == ((), 0.0, (), (), ())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_half_precision_log_probs_are_no_logits(dtype):
    log_probs = torch.randn(2, 9, 2000, generator=torch.Generator().manual_seed(11)).log_softmax(-1).to(dtype)
    log_probs.requires_grad_(True)
    wide = log_probs.detach().double()
    assert ctc_beam_search(log_probs) == ctc_beam_search(wide)
    assert ctc_greedy(log_probs) == ctc_greedy(wide)
    assert ctc_greedy(log_probs[:0]) == ctc_beam_search(log_probs[:0]) == []


UNIFORM = torch.full((2, 5, 4), 0.25).log()


def spoil(value, everything=False):
    log_probs = UNIFORM.clone()
    log_probs[1, 3, slice(None) if everything else 2] = value
    return log_probs


BAD_CALLS = [
    (lambda: ctc_greedy(UNIFORM[0]), ["log_probs", "[B, T, V] with V >= 1", "[5, 4]"]),
    (lambda: ctc_log_prob(UNIFORM, [1]), ["log_probs", "[T, V] with V >= 1", "[2, 5, 4]"]),
    (lambda: ctc_greedy(UNIFORM[..., :0]), ["log_probs", "[B, T, V] with V >= 1", "[2, 5, 0]"]),
    (lambda: ctc_greedy(UNIFORM.to(torch.complex64)), ["log_probs", "complex64"]),
    (lambda: ctc_greedy(spoil(math.nan)), ["item 1", "log_probs[3, 2]", "nan"]),
    (lambda: ctc_beam_search(spoil(math.inf)), ["item 1", "log_probs[3, 2]", "inf"]),
    (lambda: ctc_log_prob(spoil(math.nan)[1], [1]), ["log_probs[3, 2]", "nan"]),
    (lambda: ctc_greedy(spoil(-math.inf, True)), ["item 1", "log_probs[3]", "-inf for every token"]),
    (lambda: ctc_greedy(spoil(2.0)), ["item 1", "step 3", "8.139", "log_softmax"]),
    (lambda: CTCPrefixScorer(spoil(2.0)[1]), ["step 3", "8.139", "log_softmax"]),
    (lambda: ctc_greedy(UNIFORM, blank_id=4), ["blank_id", "0 to 3", "got 4"]),
    (lambda: CTCPrefixScorer(UNIFORM[0], blank_id=-1), ["blank_id", "0 to 3", "got -1"]),
    (lambda: ctc_beam_search(UNIFORM, num_beams=0), ["num_beams", "at least 1", "got 0"]),
    (lambda: ctc_beam_search(UNIFORM, num_beams=3, n_best=4), ["n_best", "num_beams=3", "got 4"]),
    (lambda: ctc_beam_search(UNIFORM, top_k=0), ["top_k", "at least 1", "got 0"]),
    (lambda: ctc_beam_search(UNIFORM, min_log_prob=math.nan), ["min_log_prob", "nan"]),
    (lambda: ctc_greedy(UNIFORM, [5, 6]), ["lengths[1]", "0 to 5", "got 6"]),
    (lambda: ctc_greedy(UNIFORM, [-1, 5]), ["lengths[0]", "0 to 5", "got -1"]),
    (lambda: ctc_greedy(UNIFORM, [5]), ["lengths", "shape [2]", "shape [1]", "int64"]),
    (lambda: ctc_greedy(UNIFORM, [5.0, 5.0]), ["lengths", "shape [2]", "float64"]),
    (lambda: ctc_greedy(UNIFORM, torch.ones(2, 4, dtype=torch.bool)), ["mask", "[2, 5]", "got [2, 4]"]),
    (lambda: ctc_greedy(UNIFORM, [[True] * 5, [True, False, True, True, True]]), ["mask of item 1", "gap"]),
    (lambda: ctc_forced_align(UNIFORM[0], [1, 0]), ["ids[1]", "got 0", "blank"]),
    (lambda: ctc_forced_align(UNIFORM[0], [1, 4]), ["ids[1]", "0 to 3", "got 4"]),
    (lambda: ctc_log_prob(UNIFORM[0], [-100]), ["ids[0]", "0 to 3", "got -100"]),
    (lambda: ctc_log_prob(UNIFORM[0], [1.0]), ["ids", "shape [1]", "float64"]),
    (lambda: ctc_forced_align(UNIFORM[0], [1, 1, 1, 2]), ["5 frames", "4 glosses", "at least 6", "2 repeats"]),
    (
        lambda: ctc_forced_align_batch(UNIFORM, [[1], [1, 2]], lengths=[5, 1]),
        ["item 1", "1 frames", "2 glosses", "at least 2", "0 repeats"],
    ),
    (lambda: ctc_forced_align_batch(UNIFORM, [[1], [0]]), ["item 1", "ids[0]", "got 0", "blank"]),
    (lambda: ctc_forced_align_batch(UNIFORM, [[1]]), ["labels", "got 1 rows for 2"]),
    (lambda: ctc_forced_align(spoil(-math.inf)[1, 3:4], [2]), ["ids", "[2]", "probability 0", "-inf"]),
    (lambda: ctc_feasible(torch.ones(2), [1, 1]), ["labels[0]", "shape []", "float32"]),
    (lambda: ctc_feasible([[1]], [1, 1]), ["lengths", "shape [1]", "shape [2]", "int64"]),
]


@pytest.mark.parametrize("call, facts", BAD_CALLS, ids=["-".join(facts)[:40] for _, facts in BAD_CALLS])
def test_bad_input_is_refused_in_one_line(call, facts):
    with pytest.raises(ValueError) as error:
        call()
    message = str(error.value)
    assert "\n" not in message
    for fact in facts:
        assert fact in message


def test_benchmark_writes_a_whole_file(tmp_path):
    benchmark = load_benchmark()
    benchmark.write_json(tmp_path / "deep" / "ctc.json", {"rows": benchmark.measure("peaky", 6, 20, 2, 1)})
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["ctc.json"]
