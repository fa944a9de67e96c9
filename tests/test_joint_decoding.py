"""Language model, length bonus and hot words in both decoders, against brute force over all sentences."""

import copy
import itertools
import json
import math
import shutil
import warnings
from dataclasses import fields

import numpy as np
import pytest
import torch
from conftest import mini_config
from make_model import GLOSSES, make_frames, make_poses, save_folder
from transformers import pipeline

from signx_hf.modeling.ctc_align_signx import ctc_log_prob
from signx_hf.modeling.ctc_search_signx import ctc_beam_search, ctc_fused_beam_search
from signx_hf.modeling.decoding_options_signx import DecodingOptions
from signx_hf.modeling.generation_signx import GlossFusionLogitsProcessor, build_piece_tree
from signx_hf.modeling.gloss_lm_signx import GlossScorer
from signx_hf.modeling.modeling_signx import SignXForGlossRecognition
from signx_hf.modeling.ngram_signx import NGramModel
from signx_hf.processing import pipeline_signx, sentence_pipeline_signx

NAMES = ("A", "B", "C")
# Spellings: A and B share their first piece, C is one piece. Id 0 is the blank.
PIECES = [[], [10, 20], [10, 21], [22]]
BOS, EOS, GLOSS = 1, 2, 4
SENTENCES = [s.split() for s in ("A B", "A B C", "B B", "C", "A B", "C A")]
OPTIONS = {"lm_weight": 0.8, "length_bonus": 0.6, "hot_words": {"B": 1.5}}


@pytest.fixture(scope="module")
def lm() -> NGramModel:
    return NGramModel.train(SENTENCES, order=3)


@pytest.fixture(scope="module")
def model() -> SignXForGlossRecognition:
    torch.manual_seed(0)
    config = mini_config(text_config={"gloss_pieces": PIECES}, ctc_vocab_size=len(PIECES))
    model = SignXForGlossRecognition(config).eval()
    with torch.no_grad():  # larger embeddings: hypotheses then differ in more than rounding
        model.decoder.embed_tokens.weight.mul_(20)
    return model


def random_log_probs(seed: int, steps: int = 5, size: int = 4, scale: float = 2.0) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(size=(steps, size)) * scale
    return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)


def added(lm: NGramModel, ids, lm_weight=0.0, length_bonus=0.0, hot_words=None) -> float:
    """What the options add to the glosses of these ids: the definition."""
    glosses = [NAMES[i - 1] for i in ids]
    boosts = sum((hot_words or {}).get(gloss, 0.0) for gloss in glosses)
    return lm_weight * lm.score(glosses) + length_bonus * len(glosses) + boosts


def every(longest: int):
    """All sequences of up to that many glosses."""
    return [ids for n in range(longest + 1) for ids in itertools.product((1, 2, 3), repeat=n)]


def encoded_with(model, log_probs: np.ndarray):
    """What `encode` gives, with these CTC scores; the decoder sees features of the same length."""
    steps = len(log_probs)
    features = torch.randn(1, steps, 26, generator=torch.Generator().manual_seed(steps)) * 3
    encoded = model.encode(features=features)
    encoded.ctc_logits = torch.from_numpy(log_probs)[None].float()
    return encoded


def spell(ids) -> list[int]:
    return [BOS, GLOSS, *(piece for gloss in ids for piece in PIECES[gloss]), EOS]


def trimmed(ids: torch.Tensor) -> list[int]:
    ids = ids.tolist()
    return ids[: ids.index(EOS) + 1] if EOS in ids else ids


WIDE = {"length_penalty": 0.0, "early_stopping": "never", "return_dict_in_generate": True, "output_scores": True}


# ------------------------------------------------------------------------------------------------------- prefix beam


@pytest.mark.parametrize("options", [{"lm_weight": 0.8}, {"length_bonus": -0.7}, {"hot_words": {"B": 2.0}}, OPTIONS])
@pytest.mark.parametrize("seed", range(4))
def test_a_wide_beam_is_the_brute_force(lm, seed, options):
    log_probs = random_log_probs(seed)
    exact = {ids: ctc_log_prob(log_probs, ids) + added(lm, ids, **options) for ids in every(5)}
    exact = {ids: score for ids, score in exact.items() if score > -math.inf}
    scorer = GlossScorer(NAMES, lm, **options)
    found = ctc_fused_beam_search(log_probs[None], scorer, num_beams=400, n_best=400)[0]
    assert {hypothesis.ids: pytest.approx(hypothesis.score, abs=1e-9) for hypothesis in found} == exact
    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)


@pytest.mark.parametrize("seed", range(6))
def test_nothing_added_is_the_plain_beam(lm, seed):
    log_probs = random_log_probs(seed, steps=12, size=9, scale=3.0)[None]
    scorer = GlossScorer([f"G{n}" for n in range(8)], lm, lm_weight=0.0)
    for beams in (1, 3, 7):
        assert ctc_fused_beam_search(log_probs, scorer, num_beams=beams, n_best=beams) == ctc_beam_search(
            log_probs, num_beams=beams, n_best=beams
        )


def test_a_narrow_beam_never_claims_more_than_there_is(lm):
    scorer, lost = GlossScorer(NAMES, lm, **OPTIONS), 0.0
    for seed in range(20):
        log_probs = random_log_probs(seed, steps=9)
        for top_k in (None, 2):
            best = ctc_fused_beam_search(log_probs[None], scorer, num_beams=3, top_k=top_k)[0][0]
            loss = ctc_log_prob(log_probs, best.ids) + added(lm, best.ids, **OPTIONS) - best.score
            assert loss >= -1e-9
            lost = max(lost, loss)
            assert len(best.starts) == len(best.ids)
    assert lost > 0, "nothing was pruned, so nothing was tested"


def test_a_padded_batch_is_single_items(lm):
    scorer = GlossScorer(NAMES, lm, **OPTIONS)
    batch = np.stack([random_log_probs(seed, steps=8) for seed in range(4)])
    lengths = [8, 3, 0, 6]
    together = ctc_fused_beam_search(batch, scorer, lengths, num_beams=5, n_best=2)
    for item, length, found in zip(batch, lengths, together):
        assert found == ctc_fused_beam_search(item[None, :length], scorer, num_beams=5, n_best=2)[0]


def test_a_token_that_ctc_ranks_low_can_win(lm):
    """Without a scorer only the num_beams + 1 best tokens of a step are looked at; with one that would lose the answer."""
    log_probs = np.log([[[0.02, 0.4, 0.3, 0.2, 0.08]]])
    scorer = GlossScorer(("A", "B", "C", "D"), hot_words={"D": 10.0})
    assert ctc_beam_search(log_probs, num_beams=1)[0][0].ids == (1,)
    assert ctc_fused_beam_search(log_probs, scorer, num_beams=1)[0][0].ids == (4,)
    assert ctc_fused_beam_search(log_probs, scorer, num_beams=1, top_k=2)[0][0].ids == (1,)


# ------------------------------------------------------------------------------------------------------------- pieces


def total_added(processor: GlossFusionLogitsProcessor, pieces: list[int]) -> list[float]:
    """What is added at every piece of a hypothesis."""
    return [float(processor.added(pieces[:place], 37)[piece]) for place, piece in enumerate(pieces)]


def test_a_gloss_is_scored_once_at_its_last_piece(lm):
    processor = GlossFusionLogitsProcessor(GlossScorer(NAMES, lm, **OPTIONS), PIECES, 2, EOS, 0)
    for ids in every(3):
        steps = total_added(processor, spell(ids)[2:])
        assert sum(steps) == pytest.approx(added(lm, ids, **OPTIONS), abs=1e-9)
        assert all(steps[place] == 0 for place, piece in enumerate(spell(ids)[2:]) if piece == 10)


def test_a_gloss_outside_the_vocabulary_is_an_unknown_one_wherever_its_spelling_leaves(lm):
    processor = GlossFusionLogitsProcessor(GlossScorer(NAMES, lm, 0.8, 0.6), PIECES, 2, EOS, 0)
    unknown, ends = lm.words.index("<unk>"), []
    for spelling in ([30, 20], [10, 31, 22], [30, 31, 21], [10, 22]):  # 20, 21 and 22 end glosses
        steps = total_added(processor, [22, *spelling, 22, EOS])
        assert sum(step != 0 for step in steps) == 4, "C, the unknown one, C and the end"
        ends.append(sum(steps))
    expected = 0.8 * lm.score(["C", lm.words[unknown], "C"]) + 3 * 0.6
    assert ends == pytest.approx([expected] * 4, abs=1e-9)
    # ended in the middle of a gloss, with and without having left the vocabulary
    expected = 0.8 * lm.score(["C", "<unk>"]) + 2 * 0.6
    assert [sum(total_added(processor, [22, *rest, EOS])) for rest in ([10], [30], [10, 30])] == pytest.approx(
        [expected] * 3
    )


@pytest.mark.parametrize("seed", range(4))
def test_ctc_weight_one_is_the_fused_prefix_beam(model, lm, seed):
    encoded = encoded_with(model, random_log_probs(seed))
    log_probs = encoded.ctc_logits.log_softmax(-1)
    best = ctc_fused_beam_search(log_probs, GlossScorer(NAMES, lm, **OPTIONS), num_beams=400, n_best=3)[0]
    found = model.generate(
        encoder_outputs=encoded, ctc_weight=1.0, lm=lm, ctc_glosses=NAMES, **OPTIONS, num_beams=60,
        num_return_sequences=3, max_new_tokens=12, **WIDE,
    )  # fmt: skip
    for row, hypothesis in enumerate(best):
        assert trimmed(found.sequences[row]) == spell(hypothesis.ids)
        assert found.sequences_scores[row].item() == pytest.approx(hypothesis.score, abs=1e-4)


@pytest.mark.parametrize("weight", [0.0, 0.35])
def test_joint_score_is_the_sum_of_all_parts(model, lm, weight):
    """Brute force over all sentences of up to three glosses: attention, CTC, language model, bonus, hot words."""
    encoded = encoded_with(model, random_log_probs(7, steps=3))
    log_probs = encoded.ctc_logits[0].double().log_softmax(-1)

    def attention_score(ids) -> float:
        pieces = spell(ids)
        logits = (
            model(encoder_outputs=encoded, decoder_input_ids=torch.tensor([pieces[:-1]])).logits[0].log_softmax(-1)
        )
        return sum(float(logits[place, pieces[place + 1]].detach()) for place in range(1, len(pieces) - 1))

    options = {**OPTIONS, "length_bonus": 2.0}
    scores = {
        ids: (1 - weight) * attention_score(ids)
        + (weight * ctc_log_prob(log_probs, ids) if weight else 0)
        + added(lm, ids, **options)
        for ids in every(3)
    }
    tree = build_piece_tree(PIECES, 0)

    def allowed(_, ids) -> list[int]:  # spellings of the vocabulary: without CTC the decoder would not keep to them
        node = tree
        for piece in ids.tolist()[2:]:
            node = node.children.get(piece, tree)
            node = tree if node.gloss is not None else node
        return [*node.children, EOS] if node is tree else list(node.children)

    found = model.generate(
        encoder_outputs=encoded, ctc_weight=weight, lm=lm, ctc_glosses=NAMES, **options, num_beams=200,
        num_return_sequences=200, max_new_tokens=7, prefix_allowed_tokens_fn=None if weight else allowed, **WIDE,
    )  # fmt: skip
    by_sequence: dict[tuple, float] = {}
    for row, score in zip(found.sequences, found.sequences_scores.tolist()):  # unused beams repeat others, at -1e9
        by_sequence.setdefault(tuple(trimmed(row)), score)
    ranked = sorted(scores, key=scores.get, reverse=True)[:5]
    for ids in ranked:
        assert by_sequence[tuple(spell(ids))] == pytest.approx(scores[ids], abs=1e-4)
    own = [row for row in by_sequence if row in {tuple(spell(ids)) for ids in scores}]
    assert own[: len(ranked)] == [tuple(spell(ids)) for ids in ranked]


@pytest.mark.parametrize("options", [{"num_beams": 4}, {"num_beams": 1}, {"num_beams": 4, "ctc_weight": 0.4}])
def test_zero_weights_change_nothing(model, lm, options):
    features = torch.randn(2, 7, 26, generator=torch.Generator().manual_seed(1)) * 3
    keywords = {"features": features, "max_new_tokens": 8, "return_dict_in_generate": True, "output_scores": True}
    plain = model.generate(**keywords, **options)
    none = {"lm_weight": 0.0, "length_bonus": 0.0, "hot_words": {}}
    zero = model.generate(**keywords, **options, lm=lm, ctc_glosses=NAMES, **none)
    assert torch.equal(plain.sequences, zero.sequences)
    assert all(torch.equal(left, right) for left, right in zip(plain.scores, zero.scores))
    # hot words of nothing still go through the processor, which must add nothing
    through = model.generate(**keywords, **options, ctc_glosses=NAMES, hot_words={"A": 0.0})
    assert torch.equal(plain.sequences, through.sequences)


def test_a_batch_is_single_items_and_the_cache_changes_nothing(model, lm):
    lengths, features = [7, 4, 6], torch.randn(3, 7, 26, generator=torch.Generator().manual_seed(2)) * 3
    mask = torch.arange(7)[None] < torch.tensor(lengths)[:, None]
    options = {"ctc_weight": 0.4, "lm": lm, "ctc_glosses": NAMES, **OPTIONS, "num_beams": 4, "max_new_tokens": 8}
    together = model.generate(features=features, feature_mask=mask, **options)
    uncached = model.generate(features=features, feature_mask=mask, use_cache=False, **options)
    assert torch.equal(together, uncached)
    for row, length in enumerate(lengths):
        alone = model.generate(features=features[row : row + 1, :length], **options)
        assert trimmed(together[row]) == trimmed(alone[0])


# ------------------------------------------------------------------------------------------------------------ options


FEATURES = torch.randn(1, 6, 26, generator=torch.Generator().manual_seed(3)) * 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lm_weight": 0.5}, "`lm_weight` must be 0 without a language model, got 0.5"),
        ({"lm": "none.arpa"}, "'none.arpa': no such file"),
        ({"lm": 3}, "an NGramModel, got 3"),
        ({"lm": "x", "lm_weight": -1}, "`lm_weight` must be a number from 0 to 100, got -1"),
        ({"lm": "x", "lm_weight": math.nan}, "got nan"),
        ({"length_bonus": True}, "from -100 to 100, got True"),
        ({"hot_words": ["A"]}, "got ['A']"),
        ({"hot_words": {"A": "x"}}, "got 'A': 'x'"),
        ({"hot_words": {"CC": 1}}, "got 'CC'. Did you mean 'C'?"),
        ({"hot_words": {"A": 1}, "ctc_glosses": None}, "`hot_words` needs the gloss of each CTC id"),
        ({"hot_words": {"A": 1}, "ctc_glosses": ["A"]}, "`ctc_glosses` must have 3 glosses"),
        ({"length_bonus": 1.0, "task": "text"}, "`length_bonus` must be 0 with task='text'"),
        ({"lm_wieght": 0.5}, "'lm_wieght'. Did you mean 'lm_weight'?"),
        ({"hotwords": {"A": 1}}, "'hotwords'. Did you mean 'hot_words'?"),
    ],
)  # fmt: skip
def test_refused_options(model, options, message):
    with pytest.raises(ValueError if "no such file" not in message else FileNotFoundError) as error:
        model.generate(features=FEATURES, **{"ctc_glosses": NAMES, **options})
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_misspelt_attribute_of_the_config_is_refused(model):
    config = copy.deepcopy(model.generation_config)
    config.ctc_wieght = 0.5
    with pytest.raises(ValueError, match="'ctc_wieght'.*'ctc_weight'"):
        model.generate(features=FEATURES, generation_config=config)


def test_without_spellings_the_decoder_says_what_to_do(lm):
    plain = SignXForGlossRecognition(mini_config(ctc_vocab_size=4)).eval()
    with pytest.raises(ValueError, match="lm_weight=0.5 needs the spelling of each gloss"):
        plain.generate(features=FEATURES, lm=lm, ctc_glosses=NAMES)
    logits = torch.randn(1, 5, 4, generator=torch.Generator().manual_seed(0))
    config = copy.deepcopy(plain.generation_config)
    config.hot_words, config.ctc_glosses = {"C": 50.0}, NAMES
    assert 3 in plain.decode_ctc(logits, generation_config=config)[0][0].ids, "the prefix beam needs no spellings"


def test_glosses_that_a_model_without_unknown_word_bans_are_warned_of(tmp_path, lm):
    path = tmp_path / "lm.arpa"
    lm.write(path)
    lines = [line for line in path.read_text().splitlines() if "<unk>" not in line]
    path.write_text("\n".join(lines).replace(f"ngram 1={lm.counts[0]}", f"ngram 1={lm.counts[0] - 1}"))
    with pytest.warns(UserWarning, match="1 of 4 glosses .*'D'.* no <unk>"):
        GlossScorer((*NAMES, "D"), NGramModel.read(path), 0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        GlossScorer((*NAMES, "D"), lm, 0.5)


def test_a_language_model_of_other_glosses_is_warned_of(lm):
    others = [f"OTHER-{number}" for number in range(len(NAMES) + 1)]
    with pytest.warns(UserWarning, match="4 of 7 glosses .*'OTHER-0'.* <unk>"):
        GlossScorer((*NAMES, *others), lm, 0.5)


@pytest.mark.parametrize("name", ["some.arpa", "some.arpa.gz"])
def test_the_option_set_is_saved_with_the_model(model, lm, tmp_path, name):
    lm.write(tmp_path / name)
    keywords = {"features": FEATURES, "num_beams": 4, "max_new_tokens": 8}
    options = {
        "ctc_weight": 0.3,
        "lm": str(tmp_path / name),
        "ctc_glosses": list(NAMES),
        **OPTIONS,
        "hot_words": {"A": -30.0},
    }
    by_keyword = model.generate(**keywords, **options)
    before = copy.deepcopy(model.generation_config)
    try:
        for option, value in options.items():
            setattr(model.generation_config, option, value)
        model.save_pretrained(tmp_path / "first")
        assert model.generation_config.lm == str(tmp_path / name), "saving changes nothing in the model"
    finally:
        model.generation_config = before
    (tmp_path / name).unlink()
    shutil.move(tmp_path / "first", tmp_path / "moved")
    loaded = SignXForGlossRecognition.from_pretrained(tmp_path / "moved")
    saved = json.loads((tmp_path / "moved" / "generation_config.json").read_text())
    assert saved["lm"] == "lm" + name.removeprefix("some") and saved["hot_words"] == {"A": -30.0}
    assert torch.equal(loaded.generate(**keywords), by_keyword)
    loaded.save_pretrained(tmp_path / "again")
    shutil.rmtree(tmp_path / "moved")
    again = SignXForGlossRecognition.from_pretrained(tmp_path / "again")
    assert torch.equal(again.generate(**keywords), by_keyword)
    again.save_pretrained(tmp_path / "again")  # onto itself
    assert torch.equal(again.generate(**keywords), by_keyword)
    assert not torch.equal(again.generate(**keywords, lm=None, hot_words=None, length_bonus=0), by_keyword)


def test_a_model_object_is_saved_too(model, lm, tmp_path):
    model.generation_config.lm = lm
    try:
        model.save_pretrained(tmp_path)
    finally:
        model.generation_config.lm = None
    assert NGramModel.read(tmp_path / "lm.arpa").counts == lm.counts


def test_a_file_that_changed_is_read_again(model, lm, tmp_path):
    path = tmp_path / "lm.arpa"
    keywords = {"features": FEATURES, "num_beams": 4, "max_new_tokens": 6, "ctc_glosses": NAMES, "lm_weight": 5.0}
    found = []
    for sentences in ([["A"]] * 9, [["C", "C", "C"]] * 9):
        NGramModel.train(sentences).write(path)
        found.append(trimmed(model.generate(**keywords, lm=path, ctc_weight=0.5)[0]))
    assert found[0] != found[1]


# ----------------------------------------------------------------------------------------------------------- pipeline


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory):
    return pipeline("sign-recognition", model=str(save_folder(tmp_path_factory.mktemp("model"))), device="cpu")


@pytest.fixture(scope="module")
def arpa(tmp_path_factory):
    """A language that knows one sentence."""
    path = tmp_path_factory.mktemp("lm") / "lm.arpa"
    NGramModel.train([list(GLOSSES[:3])] * 20).write(path)
    return str(path)


@pytest.mark.parametrize("options", [{"decoder": "ctc"}, {"decoder": "attention", "ctc_weight": 1.0}])
def test_the_pipeline_takes_language_model_and_hot_words(recognizer, arpa, options):
    clip, options = make_poses(20), {**options, "max_new_tokens": 30}
    plain = recognizer(clip, **options)
    assert recognizer(clip, **options, lm=arpa, lm_weight=0) == plain
    ruled = recognizer(clip, **options, lm=arpa, lm_weight=20, length_bonus=20.0, length_penalty=0.0, num_beams=60)
    assert ruled["glosses"] == list(GLOSSES[:3]) != plain["glosses"]
    assert [segment["gloss"] for segment in ruled["segments"]] == ruled["glosses"]
    absent = next(gloss for gloss in GLOSSES if gloss not in plain["glosses"])
    assert absent in recognizer(clip, **options, hot_words={absent: 15.0}, length_penalty=0.0)["glosses"]
    assert recognizer(clip, **options) == plain, "an option holds for its call"


def test_the_pipeline_has_the_options_of_the_models():
    """The two folders travel without each other, so that the pipeline cannot import the options."""
    scores = [option.name for option in fields(DecodingOptions) if option.metadata["scores_glosses"]]
    assert set(pipeline_signx.CTC_OPTIONS) == {"num_beams", "lm", *scores}
    # The pipeline sets these two itself.
    public = [option for option in fields(DecodingOptions) if option.name not in ("task", "ctc_glosses")]
    assert {option.name for option in public} <= set(sentence_pipeline_signx.GENERATION_OPTIONS)
    numbers = {option.name for option in public if option.metadata["bounds"]}
    assert numbers <= set(sentence_pipeline_signx.NUMBERS)


def test_the_pipeline_refuses_by_name(recognizer, arpa):
    clip = make_frames(8)
    for options, message in (
        ({"lm_wieght": 1.0}, "Did you mean 'lm_weight'?"),
        ({"lm_weight": math.inf}, "lm_weight"),
        ({"hot_words": {"WETER": 1.0}}, "got 'WETER'. Did you mean 'WETTER'?"),
        ({"lm": arpa + ".none"}, "lm.arpa.none': no such file"),
    ):  # fmt: skip
        with pytest.raises((ValueError, FileNotFoundError)) as error:
            recognizer(clip, decoder="ctc", source_fps=15.0, **options)
        assert message in str(error.value)


def test_a_saved_pipeline_brings_its_language_model(recognizer, arpa, tmp_path):
    clip, options = make_poses(16), {"lm": arpa, "lm_weight": 6.0, "length_bonus": 4.0, "ctc_weight": 0.9}
    expected = recognizer(clip, **options)
    config = recognizer.model.generation_config
    try:
        for name, value in options.items():
            setattr(config, name, value)
        recognizer.save_pretrained(tmp_path / "folder")
    finally:
        config.lm = config.lm_weight = None
        config.length_bonus = config.ctc_weight = 0.0
    loaded = pipeline("sign-recognition", model=str(tmp_path / "folder"), device="cpu")
    assert loaded(clip) == expected != recognizer(clip)
    assert loaded(clip, lm=None, length_bonus=0.0, ctc_weight=0.0) == recognizer(clip)
