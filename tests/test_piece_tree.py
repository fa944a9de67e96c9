"""Joint CTC/attention scores from flat arrays: bit for bit those of a loop over the pieces, and one tree for a model."""

import copy
import gc
import weakref

import numpy as np
import pytest
import torch
from conftest import mini_config
from transformers import LogitsProcessor

from signx_hf.modeling.generation_signx import CTCPrefixLogitsProcessor, _ModelTree
from signx_hf.modeling.modeling_signx import SignXForGlossRecognition

EOS, BLANK, VOCAB, PROMPT = 2, 0, 64, 2


class LoopOverPieces(CTCPrefixLogitsProcessor):
    """The scores as they are defined: for each next piece the sum over all glosses whose spelling it leads to."""

    def ctc_scores(self, item, pieces, vocab_size):
        scores = np.full(vocab_size, -np.inf)
        walked = self._walk(pieces)
        if walked is None:
            return scores
        glosses, node = walked
        state, following = self._state(item, glosses)
        now = state.prefix_score if node is self.tree else np.logaddexp.reduce(following[node.glosses])
        if now == -np.inf:
            return scores
        for piece, child in node.children.items():
            scores[piece] = np.logaddexp.reduce(following[child.glosses]) - now
        if node is self.tree:
            scores[self.eos_id] = self.scorers[item].final_score(state) - now
        return scores


def spellings(kind: str, count: int, seed: int) -> list[list[int]]:
    """Spellings of `count` glosses, none of which begins another: the blank has none."""
    random = np.random.default_rng(seed)
    if kind == "one piece":
        return [[], *([10 + n] for n in range(count))]
    if kind == "shared first piece":
        return [[], *([10 + n % 5, 20 + n // 5] for n in range(count))]
    made: list[list[int]] = []
    while len(made) < count:  # pieces 10 to 13 are inner ones, 20 and above end a gloss
        word = [*random.integers(10, 14, size=random.integers(0, 4)).tolist(), int(random.integers(20, 60))]
        made += [word] if word not in made else []
    return [[], *made]


def hypotheses(pieces: list[list[int]], seed: int) -> list[list[int]]:
    """Complete glosses, beginnings of them, and pieces that spell nothing."""
    random = np.random.default_rng(seed)
    found: list[list[int]] = [[], [63], [pieces[1][0], 63]]
    for _ in range(12):
        whole = [piece for gloss in random.integers(1, len(pieces), size=3) for piece in pieces[gloss]]
        found += [whole[:end] for end in range(1, len(whole) + 1)]
    return found


@pytest.mark.parametrize("kind", ["one piece", "shared first piece", "mixed"])
@pytest.mark.parametrize("impossible", [False, True])
def test_flat_arrays_give_the_bits_of_the_loop(kind, impossible):
    for seed in range(3):
        pieces = spellings(kind, 40, seed)
        logits = 4 * torch.randn(2, 9, len(pieces), generator=torch.Generator().manual_seed(seed))
        if impossible:  # glosses of a restricted vocabulary, and first pieces below which none is left
            logits[:, :, 1::2] = -torch.inf
        arguments = (logits, torch.tensor([9, 5]), pieces, 0.3, PROMPT, EOS, BLANK)
        flat, loop = CTCPrefixLogitsProcessor(*arguments), LoopOverPieces(*arguments)
        finite = 0
        for item in range(2):
            for hypothesis in hypotheses(pieces, seed):
                expected = loop.ctc_scores(item, hypothesis, VOCAB)
                assert flat.ctc_scores(item, hypothesis, VOCAB).tobytes() == expected.tobytes()
                finite += np.isfinite(expected).sum()
        assert finite > 100


@pytest.fixture
def model():
    torch.manual_seed(0)
    pieces = spellings("mixed", 15, 1)
    config = mini_config(text_config={"gloss_pieces": pieces, "vocab_size": VOCAB}, ctc_vocab_size=len(pieces))
    model = SignXForGlossRecognition(config).eval()
    with torch.no_grad():
        model.decoder.embed_tokens.weight.mul_(20)
    return model


class Joint(LogitsProcessor):
    """The joint score of the definition, for a search that is not told of CTC."""

    def __init__(self, loop, weight):
        self.loop, self.weight = loop, weight

    def __call__(self, input_ids, scores):
        beams = len(input_ids) // len(self.loop.scorers)
        rows = [self.loop.ctc_scores(row // beams, ids[PROMPT:], VOCAB) for row, ids in enumerate(input_ids.tolist())]
        ctc = torch.from_numpy(np.stack(rows)).to(scores.dtype)
        return (1 - self.weight) * scores.log_softmax(-1) + self.weight * ctc


def test_a_search_finds_what_the_loop_finds(model):
    features = torch.randn(
        2, 8, model.config.recognizer_config.feature_size, generator=torch.Generator().manual_seed(3)
    )
    encoded = model.encode(features=features)
    options = {"num_beams": 4, "num_return_sequences": 4, "max_new_tokens": 12}
    options |= {"return_dict_in_generate": True, "output_scores": True}
    pieces = model.config.text_config.gloss_pieces
    loop = LoopOverPieces(encoded.ctc_logits, encoded.feature_mask.sum(1), pieces, 0.4, PROMPT, EOS, BLANK)
    ours = model.generate(encoder_outputs=encoded, ctc_weight=0.4, **options)
    theirs = model.generate(encoder_outputs=encoded, ctc_weight=0.0, logits_processor=[Joint(loop, 0.4)], **options)
    assert torch.equal(ours.sequences, theirs.sequences)
    assert torch.equal(ours.sequences_scores, theirs.sequences_scores)


def test_a_model_keeps_its_tree_until_the_spellings_change(model):
    pieces = model.config.text_config.gloss_pieces
    tree = _ModelTree.of(model, pieces, BLANK)
    assert _ModelTree.of(model, pieces, BLANK) is tree
    assert _ModelTree.of(model, copy.deepcopy(pieces), BLANK) is tree
    pieces[-1][-1] = 61  # in place
    assert _ModelTree.of(model, pieces, BLANK) is not tree
    renewed = _ModelTree.of(model, pieces, BLANK)
    node = renewed
    for piece in pieces[-1]:
        node = node.children[piece]
    assert node.gloss == len(pieces) - 1
    other = copy.deepcopy(model)
    assert _ModelTree.of(other, pieces, BLANK) is not renewed, "each model has its own"


def test_the_tree_goes_with_the_model(model):
    pieces = model.config.text_config.gloss_pieces
    other = copy.deepcopy(model)
    leaf = weakref.ref(_ModelTree._kept.setdefault(other, _ModelTree(pieces, BLANK)))
    assert leaf() is not None and "_tree" not in "".join(vars(other))
    del other
    gc.collect()
    assert leaf() is None
