"""generate(): the cache, beams, batches, joint CTC/attention scoring and the attention entropy."""

import itertools
import math

import numpy as np
import pytest
import torch
from conftest import mini_config

from signx_hf.modeling.ctc_align_signx import ctc_log_prob
from signx_hf.modeling.ctc_search_signx import ctc_beam_search
from signx_hf.modeling.generation_signx import CTCPrefixLogitsProcessor, build_piece_tree
from signx_hf.modeling.modeling_signx import SignXForGlossRecognition, SignXForPose2Gloss

# Three glosses over pieces 6.. : two share their first piece, one is a single piece. Id 0 is the blank.
PIECES = [[], [10, 20], [10, 21], [22]]
BOS, EOS, GLOSS = 1, 2, 4


@pytest.fixture(scope="module")
def model() -> SignXForGlossRecognition:
    torch.manual_seed(0)
    config = mini_config(text_config={"gloss_pieces": PIECES}, ctc_vocab_size=len(PIECES))
    model = SignXForGlossRecognition(config).eval()
    with torch.no_grad():  # larger embeddings: hypotheses then differ in more than rounding
        model.decoder.embed_tokens.weight.mul_(20)
    return model


def features(clips: int = 1, steps: int = 7, seed: int = 0) -> torch.Tensor:
    return torch.randn(clips, steps, 26, generator=torch.Generator().manual_seed(seed)) * 3


def spell(glosses) -> list[int]:
    return [piece for gloss in glosses for piece in PIECES[gloss]]


@pytest.mark.parametrize("options", [{}, {"num_beams": 4}, {"num_beams": 3, "ctc_weight": 0.5}])
def test_cached_equals_uncached(model, options):
    kwargs = {"features": features(3), "max_new_tokens": 9, "return_dict_in_generate": True, "output_scores": True}
    cached = model.generate(**kwargs, **options, use_cache=True)
    plain = model.generate(**kwargs, **options, use_cache=False)
    assert torch.equal(cached.sequences, plain.sequences)
    for left, right in zip(cached.scores, plain.scores):
        assert torch.allclose(left, right, atol=1e-5)


def test_beam_one_is_greedy_written_out(model):
    ids = torch.tensor([[BOS, GLOSS]])
    for _ in range(8):
        step = model(features=features(), decoder_input_ids=ids).logits[0, -1].argmax()
        ids = torch.cat([ids, step.view(1, 1)], dim=1)
        if step == EOS:
            break
    assert model.generate(features=features(), num_beams=1, max_new_tokens=8)[0].tolist() == ids[0].tolist()


def trimmed(ids: torch.Tensor) -> list[int]:
    """Without what the library pads after the end."""
    ids = ids.tolist()
    return ids[: ids.index(EOS) + 1] if EOS in ids else [i for i in ids if i != 0]


@pytest.mark.parametrize("options", [{"num_beams": 1}, {"num_beams": 4}, {"num_beams": 4, "ctc_weight": 0.4}])
def test_batch_equals_single(model, options):
    lengths = [7, 4, 6]
    batch = features(3)
    mask = torch.arange(7)[None] < torch.tensor(lengths)[:, None]
    batch[~mask] = 1e3  # what lies in the padding has no influence
    together = model.generate(features=batch, feature_mask=mask, max_new_tokens=8, **options)
    for row, length in enumerate(lengths):
        alone = model.generate(features=batch[row : row + 1, :length], max_new_tokens=8, **options)
        assert trimmed(together[row]) == trimmed(alone[0])


@pytest.mark.parametrize("seed", range(8))
def test_ctc_weight_one_is_prefix_beam_search(model, seed):
    encoded = model.encode(features=features(seed=seed))
    encoded.ctc_logits = torch.randn(1, 5, len(PIECES), generator=torch.Generator().manual_seed(seed)) * 2
    encoded.feature_mask = torch.ones(1, 5, dtype=torch.bool)
    encoded.last_hidden_state = encoded.last_hidden_state[:, :5]
    log_probs = encoded.ctc_logits.log_softmax(-1)
    best = ctc_beam_search(log_probs, num_beams=400, top_k=None, n_best=3)[0]
    found = model.generate(
        encoder_outputs=encoded, ctc_weight=1.0, num_beams=40, num_return_sequences=3, length_penalty=0.0,
        max_new_tokens=12, early_stopping="never", return_dict_in_generate=True, output_scores=True,
    )  # fmt: skip
    for row, hypothesis in enumerate(best):
        assert trimmed(found.sequences[row]) == [BOS, GLOSS, *spell(hypothesis.ids), EOS]
        assert found.sequences_scores[row].item() == pytest.approx(hypothesis.score, abs=1e-4)


def test_joint_score_is_the_weighted_sum_of_both_models(model):
    """Brute force: of all sentences of up to two glosses the best by (1 - w) attention + w CTC, and its score."""
    weight = 0.35
    encoded = model.encode(features=features(seed=3, steps=3))
    encoded.ctc_logits = torch.randn(1, 3, len(PIECES), generator=torch.Generator().manual_seed(9))
    log_probs = encoded.ctc_logits[0].log_softmax(-1).double()

    def attention_score(glosses) -> float:
        ids = [BOS, GLOSS, *spell(glosses), EOS]
        logits = model(encoder_outputs=encoded, decoder_input_ids=torch.tensor([ids[:-1]])).logits[0].log_softmax(-1)
        return sum(float(logits[place, ids[place + 1]].detach()) for place in range(1, len(ids) - 1))

    sentences = [s for n in range(4) for s in itertools.product((1, 2, 3), repeat=n)]
    scores = {
        s: (1 - weight) * attention_score(s) + weight * ctc_log_prob(log_probs, s, blank_id=0) for s in sentences
    }
    ranked = sorted(scores, key=scores.get, reverse=True)[:3]
    found = model.generate(
        encoder_outputs=encoded, ctc_weight=weight, num_beams=80, num_return_sequences=3, length_penalty=0.0,
        max_new_tokens=8, early_stopping="never", return_dict_in_generate=True, output_scores=True,
    )  # fmt: skip
    for row, glosses in enumerate(ranked):
        assert trimmed(found.sequences[row]) == [BOS, GLOSS, *spell(glosses), EOS]
        assert found.sequences_scores[row].item() == pytest.approx(scores[glosses], abs=1e-4)


def test_ctc_scores_of_pieces_add_up_to_the_glosses():
    logits = torch.randn(1, 6, len(PIECES), generator=torch.Generator().manual_seed(1))
    processor = CTCPrefixLogitsProcessor(logits, torch.tensor([6]), PIECES, 1.0, 2, EOS, 0)
    log_probs = logits[0].double().log_softmax(-1)
    for glosses in [(), (1,), (2, 2), (3, 1, 2)]:
        pieces, total = spell(glosses), 0.0
        for place, piece in enumerate([*pieces, EOS]):
            total += processor.ctc_scores(0, pieces[:place], 37)[piece]
        assert total == pytest.approx(ctc_log_prob(log_probs, glosses, blank_id=0), abs=1e-9)
    # whatever comes next, the probabilities of all continuations add up to one
    for prefix in [[], [10], [22], [10, 21]]:
        assert np.logaddexp.reduce(processor.ctc_scores(0, prefix, 37)) == pytest.approx(0.0, abs=1e-9)


def test_entropy_term_is_taken_from_every_beam_score(model):
    """The score of the best hypothesis falls by alpha times the entropies that its own eager attention weights have."""
    alpha = 0.01
    options = {"num_beams": 3, "max_new_tokens": 5, "length_penalty": 0.0, "return_dict_in_generate": True}
    plain = model.generate(features=features(), output_scores=True, **options)
    with_entropy = model.generate(features=features(), output_scores=True, attention_entropy_weight=alpha, **options)
    assert torch.equal(plain.sequences, with_entropy.sequences), "alpha this small must not reorder here"
    model.set_attn_implementation("eager")
    try:
        ids = plain.sequences[:, :-1]
        crosses = model(features=features(), decoder_input_ids=ids, output_attentions=True).cross_attentions
    finally:
        model.set_attn_implementation("sdpa")
    weights = torch.stack(crosses)[:, 0, :, 1:]  # [layers, heads, steps that chose a piece, S]
    entropy = -(weights * weights.log()).sum(-1).mean((0, 1)).sum().item()
    difference = (plain.sequences_scores - with_entropy.sequences_scores).item()
    assert entropy > 0.1
    assert difference == pytest.approx(alpha * entropy, rel=1e-3)


def test_entropy_of_uniform_attention_is_log_of_the_true_places(model):
    attention = model.decoder.layers[0].cross_attn
    attention.record_entropy = True
    try:
        query = torch.zeros(2, 1, 16)
        mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])[:, None, None]
        attention(query, mask, key_value_states=torch.randn(2, 5, 16))
        with torch.no_grad():
            bias = attention.q_proj.bias.abs().max().item()
        assert bias == 0, "a zero query needs a zero bias to be uniform"
        assert attention.last_entropy.tolist() == pytest.approx([math.log(5), math.log(3)], abs=1e-5)
    finally:
        attention.record_entropy, attention.last_entropy = False, None


def test_task_prompt_and_library_options(model):
    text = model.generate(features=features(), task="text", max_new_tokens=3)
    assert text[0, :2].tolist() == [BOS, 5]
    sampled = []
    for _ in range(2):
        torch.manual_seed(3)
        sampled.append(
            model.generate(features=features(2), do_sample=True, top_k=5, temperature=0.7, max_new_tokens=6)
        )
    assert torch.equal(*sampled)
    once = model.generate(features=features(), max_new_tokens=9, repetition_penalty=1e6)[0].tolist()
    assert len(set(once)) == len(once), "a huge repetition penalty allows no piece twice"
    # a length penalty divides each hypothesis' score by its length to that power, so the score itself must show it
    options = {"num_beams": 2, "max_new_tokens": 4, "min_new_tokens": 4, "return_dict_in_generate": True}
    raw = model.generate(features=features(), length_penalty=0.0, output_scores=True, **options)
    penalised = model.generate(features=features(), length_penalty=1.0, output_scores=True, **options)
    assert penalised.sequences_scores.item() == pytest.approx(raw.sequences_scores.item() / 4, rel=1e-5)


def test_max_length_is_heard(model):
    assert model.generate(features=features(), max_length=5, min_length=5).shape[1] == 5
    assert model.generate(features=features(), max_new_tokens=4, min_new_tokens=4).shape[1] == 6


def test_encoder_outputs_are_reused_and_not_changed(model):
    encoded = model.encode(features=features(2))
    shapes = {name: value.shape for name, value in encoded.items()}
    first = model.generate(encoder_outputs=encoded, num_beams=3, max_new_tokens=6)
    assert {name: value.shape for name, value in encoded.items()} == shapes
    assert torch.equal(first, model.generate(encoder_outputs=encoded, num_beams=3, max_new_tokens=6))
    assert torch.equal(first, model.generate(features=features(2), num_beams=3, max_new_tokens=6))


def test_options_live_in_the_generation_config(model, tmp_path):
    model.generation_config.ctc_weight = 1.0
    try:
        model.save_pretrained(tmp_path)
        loaded = SignXForGlossRecognition.from_pretrained(tmp_path)
        assert loaded.generation_config.ctc_weight == 1.0
        by_config = loaded.generate(features=features(), num_beams=4, max_new_tokens=8)
    finally:
        model.generation_config.ctc_weight = 0.0
    by_keyword = model.generate(features=features(), ctc_weight=1.0, num_beams=4, max_new_tokens=8)
    assert torch.equal(by_config, by_keyword)
    assert not torch.equal(by_config, model.generate(features=features(), num_beams=4, max_new_tokens=8))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ctc_weight": 1.5}, "`ctc_weight` must be a number from 0 to 1, got 1.5"),
        ({"ctc_weight": True}, "got True"),
        ({"attention_entropy_weight": -1}, "got -1"),
        ({"task": "speech"}, "'gloss' or 'text', got 'speech'"),
        ({"ctc_weight": 0.5, "task": "text"}, "`ctc_weight` must be 0 with task='text'"),
    ],
)
def test_refused_options(model, options, message):
    with pytest.raises(ValueError) as error:
        model.generate(features=features(), **options)
    assert message in str(error.value)


def test_unknown_option_is_refused(model):
    with pytest.raises(ValueError, match="ctc_wait"):
        model.generate(features=features(), ctc_wait=0.5)


def test_joint_scoring_without_spellings_or_ctc_says_what_to_do():
    torch.manual_seed(0)
    plain = SignXForGlossRecognition(mini_config()).eval()
    with pytest.raises(ValueError, match="tokenizer.gloss_piece_ids()"):
        plain.generate(features=features(), ctc_weight=0.3)
    stage1 = SignXForPose2Gloss(mini_config()).eval()
    with pytest.raises(ValueError, match="ctc_weight.*SignXForPose2Gloss has no CTC logits"):
        stage1.generate(pose_values=torch.randn(1, 4, 16), ctc_weight=0.3)
    assert stage1.generate(pose_values=torch.randn(1, 4, 16), max_new_tokens=3).shape[1] <= 5


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ([[], [6], []], "Gloss 2 of the CTC vocabulary has no pieces"),
        ([[], [6], [6, 7]], "pieces of gloss 2 begin with those of gloss 1"),
        ([[], [6, 7], [6]], "pieces of gloss 2 begin those of gloss 1"),
        ([[], [6], [6]], "pieces of gloss 2 begin with those of gloss 1"),
    ],
)
def test_spellings_that_cannot_be_told_apart(pieces, message):
    with pytest.raises(ValueError) as error:
        build_piece_tree(pieces, 0)
    assert message in str(error.value)
