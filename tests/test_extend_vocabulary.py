"""Option `extend_vocabulary`: new glosses and pieces are added, and nothing that upstream knows changes before the first step."""

import json
import shutil
from collections import Counter

import numpy as np
import pytest
import torch
from conftest import mini_inputs, mini_model
from datasets import load_from_disk
from training_runs import SIGNS, make_corpus, options, run, started, weights_of
from transformers import pipeline

from signx_hf.data.schema import decode_poses
from signx_hf.modeling.modeling_signx import SignXForGlossRecognition
from signx_hf.processing.errors_signx import SignXError
from signx_hf.processing.processing_signx import SignXProcessor
from signx_hf.processing.tokenization_signx import SPECIAL_TOKENS, SignXTokenizer
from signx_hf.training.vocabulary import extend_model, extend_processor

NEW = {"WORK": "HOUSEWORK", "#JOB": "<s>"}  # the second is spelled as a special token
WORDS = dict(zip(SIGNS, ("ich bin hier", "arbeite viel", "sehr müde", "die große Stelle")))
HEADS = ("recognizer.classifier", "recognizer.aux_classifier", "ctc_head")


def changed(corpus, out, change):
    rows = load_from_disk(str(corpus))
    rows.map(change, features=rows.features, load_from_cache_file=False).save_to_disk(str(out))
    return out


def with_new_signs(row):
    """Give the odd clips other glosses, and a text."""
    names = NEW if int(row["id"].removeprefix("clip")) % 2 else {}
    glosses = [names.get(gloss, gloss) for gloss in row["glosses"]]
    segments = [{**part, "gloss": names.get(part["gloss"], part["gloss"])} for part in row["segments"]]
    return {"glosses": glosses, "segments": segments, "text": " ".join(WORDS[gloss] for gloss in row["glosses"])}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Data of old and of new signs, and models of stages 3 and 4 that know the old ones, as if they had been calibrated."""
    folder = tmp_path_factory.mktemp("extend")
    make_corpus(folder / "old", clips=10)
    changed(folder / "old", folder / "new", with_new_signs)
    common = {"num_train_epochs": 1, "cache_dir": str(folder / "cache")}
    run("latent_ctc", options(folder / "old", folder / "stage3", **common))
    run(
        "refine",
        options(folder / "old", folder / "stage4", upstream=str(folder / "stage3"), model_config={}, **common),
    )
    path = folder / "stage4" / "model" / "config.json"
    fitted = {"rejection_threshold": 0.5, "confidence_temperature": 0.7, "segment_margins": [0.04, 0.02]}
    path.write_text(json.dumps(json.loads(path.read_text()) | fitted))
    return folder


def given(place, out, upstream="stage4", data="new", **changes):
    common = {
        "model_config": {},
        "num_train_epochs": 2,
        "cache_dir": str(place / "cache"),
        "dev_share": 0.0,
        "dev_split": "train",
    }
    changes = {"extend_vocabulary": True, **changes}
    return options(place / data, out, upstream=str(place / upstream), **{**common, **changes})


def tokenizer_of(folder):
    return SignXProcessor.from_pretrained(folder / "model").tokenizer


# ------------------------------------------------------------------------------------------------------------- pieces


def random_words(random, count, letters="ABC", longest=7):
    return ["".join(random.choice(list(letters), size=random.integers(1, longest + 1))) for _ in range(count)]


@pytest.mark.parametrize("seed", range(4))
def test_old_sentences_are_split_as_before_and_new_words_into_fewer_pieces(seed, tmp_path):
    """Words of three letters only, so that nearly every pair of old pieces is one of new words, too."""
    random = np.random.default_rng(seed)
    glosses = [" ".join(random_words(random, 3)) for _ in range(30)]
    texts = [" ".join(random_words(random, 5, "ABCé")) for _ in range(30)]
    old = SignXTokenizer.train_from_iterator(glosses, vocab_size=545, texts=texts, text_form="NFC")
    added = [word for word in dict.fromkeys(random_words(random, 60)) if word not in old.ctc_glosses]
    said = [" ".join(random_words(random, 5, "ABCéü")) for _ in range(40)]
    processor = SignXProcessor.from_config(mini_model("SignXForLatentCTC").config, old)
    rows = {
        "id": [f"clip{n}" for n in range(40)], "glosses": [[word] for word in added[:40]], "segments": [[]] * 40, "text": said,
    }  # fmt: skip
    extension = extend_processor(processor, rows, 640, {}, knows_text=True)
    processor.tokenizer.save_pretrained(tmp_path)
    new = SignXTokenizer.from_pretrained(tmp_path)
    for sentence in (*glosses, *old.ctc_glosses):
        assert new(sentence)["input_ids"] == old(sentence)["input_ids"]
    for text in texts:
        assert new(text, task="text")["input_ids"] == old(text, task="text")["input_ids"]
    assert new.ctc_glosses[: len(old.ctc_glosses)] == old.ctc_glosses and set(new.ctc_glosses) >= set(added[:40])
    before, after = old.get_vocab(), new.get_vocab()
    assert before.items() <= after.items() and sorted(after.values()) == list(range(len(new))) and len(new) <= 640
    assert extension.pieces and len(new) == len(old) + len(extension.pieces)
    lengths = [[len(t(line)["input_ids"]) for line in (*added[:40], *said)] for t in (old, new)]
    assert sum(lengths[1]) < sum(lengths[0]) and all(n <= o for n, o in zip(lengths[1], lengths[0], strict=True))
    for line in (*added, *said, "Straße  z"):
        assert new.decode(new(line)["input_ids"], skip_special_tokens=True) == " ".join(line.split())
    for index, parts in extension.pieces.items():
        joined = "".join(old.convert_ids_to_tokens(parts))
        assert joined == new.convert_ids_to_tokens(index) and max(parts) < len(old)
    # what is old by now stays as it is in the next extension
    rows["glosses"] = [[word + "Z"] for word in added[:40]]
    extend_processor(processor, rows, 700, {}, knows_text=True)
    for line in (*glosses, *texts, *added[:40], *said):
        assert processor.tokenizer(line)["input_ids"] == new(line)["input_ids"]


def test_texts_of_a_tokenizer_that_does_not_know_its_pairs_are_safe():
    """A model of texts from before the pairs were saved gets no new pieces; its glosses can be extended all the same."""
    old = SignXTokenizer.train_from_iterator(["A B"], vocab_size=600, texts=["ab cd"])
    bare = SignXTokenizer(tokenizer_object=old.backend_tokenizer, ctc_glosses=old.ctc_glosses)
    processor = SignXProcessor.from_config(mini_model("SignXForLatentCTC").config, bare)
    rows = {"id": ["c"], "glosses": [["ABC"]], "segments": [[]], "text": ["abcd"]}
    extension = extend_processor(processor, rows, 700, {}, knows_text=True)
    assert not extension.pieces and processor.tokenizer.ctc_glosses == ("A", "B", "ABC")
    assert processor.tokenizer.get_vocab() == old.get_vocab() and processor.tokenizer.text_pairs is None


def test_a_hundred_thousand_glosses(tmp_path):
    names = [f"SIGN-{number}" for number in range(100_000)]
    old = SignXTokenizer.train_from_iterator(["SIGN-A SIGN-B"], vocab_size=600)
    model = mini_model("SignXForGlossRecognition", ctc_vocab_size=3, text_config={"vocab_size": len(old)})
    processor = SignXProcessor.from_config(model.config, old)
    count = 100
    rows = {
        "id": [f"c{n}" for n in range(count)],
        "segments": [[]] * count,
        "glosses": [names[n::count] for n in range(count)],
    }
    extension = extend_processor(processor, rows, 900, None, knows_text=False)
    extend_model(model, processor, extension)
    assert model.config.ctc_vocab_size == 100_003 and len(processor.tokenizer) == 900
    assert max(map(len, extension.lines())) < 1000 and len(extension.describe()["glosses"]["added"]) == 100_000
    probabilities = model(**mini_inputs(model.config, [8], "latents")).ctc_logits.softmax(-1)
    assert (probabilities[..., 3:].sum(-1) <= probabilities[..., 1:3].sum(-1) + 1e-6).all()


# --------------------------------------------------------------------------------------------------------------- rows


@pytest.mark.parametrize("stage, upstream", [("latent_ctc", "stage3"), ("latent_ctc", "stage4"), ("refine", "stage4")])
def test_known_rows_stay_bit_for_bit_and_new_ones_change_no_answer(stage, upstream, place, tmp_path):
    ready = started(stage, given(place, tmp_path, upstream, vocab_size=560))
    model, before = ready.model, weights_of(place / upstream)
    old, new = tokenizer_of(place / upstream), ready.processor.tokenizer
    assert new.ctc_glosses == (*old.ctc_glosses, *sorted(NEW.values(), key=lambda g: -count_of(ready, g)))
    assert model.config.ctc_vocab_size == new.ctc_vocab_size == len(old.ctc_glosses) + 3
    assert model.config.text_config.gloss_pieces == new.gloss_piece_ids() and model.config.ctc_blank_id == 0
    seen = 0
    for name, value in model.state_dict().items():
        if name not in before:
            assert name == "lm_head.weight"  # tied
        elif name.rsplit(".", 1)[0] in (*HEADS, "decoder.embed_tokens"):
            assert torch.equal(value[: len(before[name])], before[name]) and len(value) > len(before[name])
            seen += 1
        else:
            assert torch.equal(value, before[name]), name
    assert seen == (7 if stage == "refine" else 4)
    model.eval()
    batch = ready.collate(ready.train_examples, None)
    with torch.no_grad():
        logits = model.get_features(**batch).logits
        shares = logits.softmax(-1)
        known = len(old.ctc_glosses) + 1
        assert (logits[..., known:] <= logits[..., 1:known].amax(-1, keepdim=True)).all()
        assert (shares[..., known:].sum(-1) <= shares[..., 1:known].sum(-1)).all()
        if stage == "refine":
            weight, pieces = model.lm_head.weight, ready.extension.pieces
            assert weight is model.decoder.embed_tokens.weight and pieces
            for index, parts in pieces.items():
                torch.testing.assert_close(weight[index], weight[parts].mean(0))


def count_of(stage, gloss):
    return Counter(name for example in stage.train_examples for name in set(example.glosses))[gloss]


def test_what_was_cached_for_upstream_is_found_again(place, tmp_path):
    """Latents depend on no vocabulary, so that a start with an extension computes nothing that one without has computed."""
    cache = tmp_path / "cache"
    plain = started("latent_ctc", given(place, tmp_path, data="old", extend_vocabulary=False, cache_dir=str(cache)))
    files = sorted(cache.rglob("*.safetensors"))
    more = started("latent_ctc", given(place, tmp_path, cache_dir=str(cache)))
    assert len(files) == len(plain.train_examples) and sorted(cache.rglob("*.safetensors")) == files
    assert more.model.config.ctc_vocab_size > plain.model.config.ctc_vocab_size


def test_what_was_fitted_to_the_old_vocabulary_is_taken_back(place, tmp_path):
    config = started("refine", given(place, tmp_path)).model.config
    assert config.rejection_threshold is None and config.confidence_temperature == 1
    assert config.segment_margins == [0.04, 0.02]
    same = started("refine", given(place, tmp_path, data="old"))
    assert same.model.config.rejection_threshold == 0.5 and same.model.config.confidence_temperature == 0.7
    assert not same.extension.dropped and "none added" in same.extension.lines()[0]


# --------------------------------------------------------------------------------------------------------------- runs


@pytest.fixture(scope="module")
def finished(place, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "out"
    run("refine", given(place, out, save_epochs=1, vocab_size=560))
    return out


def test_the_model_of_a_run_works_in_the_pipeline_and_tells_what_was_added(place, finished):
    noted = json.loads((finished / "run.json").read_text())["vocabulary"]
    assert noted["glosses"] == {
        "kept": 4,
        "added": list(tokenizer_of(finished).ctc_glosses[4:]),
        "kept_without_clip": [],
    }
    assert noted["pieces"]["kept"] == len(tokenizer_of(place / "stage4")) and "HOUSEWORK" in noted["pieces"]["added"]
    assert noted["dropped"] == {"confidence_temperature": 0.7, "rejection_threshold": 0.5}
    model = SignXForGlossRecognition.from_pretrained(finished / "model")
    assert model.config.ctc_vocab_size == 7 and model.get_input_embeddings().num_embeddings == len(
        tokenizer_of(finished)
    )
    recognizer = pipeline("sign-recognition", model=str(finished / "model"))
    clip = decode_poses(load_from_disk(str(place / "new"))[1]["poses"])
    for decoder in ("ctc", "attention"):
        assert set(recognizer(clip.to_clip(), decoder=decoder)["text"].split()) <= set(
            tokenizer_of(finished).ctc_glosses
        )
    pieces = tokenizer_of(finished)("<s> HOUSEWORK")["input_ids"]
    assert pieces[1:-1] and not set(pieces[1:-1]) & set(range(len(SPECIAL_TOKENS)))


def test_a_run_with_new_glosses_resumes_exactly(place, finished, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    for name in ("model", max(p.name for p in out.glob("checkpoint-*"))):
        shutil.rmtree(out / name)
    run("refine", given(place, out, save_epochs=1, vocab_size=560, resume=True))
    resumed, whole = weights_of(out), weights_of(finished)
    assert resumed.keys() == whole.keys() and all(torch.equal(resumed[name], whole[name]) for name in whole)


def test_a_checkpoint_from_before_the_option_resumes(place, tmp_path):
    settings = given(place, tmp_path, "stage3", "old", extend_vocabulary=False, num_train_epochs=1, save_epochs=1)
    run("latent_ctc", settings)
    before = weights_of(tmp_path)
    for path in tmp_path.glob("checkpoint-*/state.json"):
        state = json.loads(path.read_text())
        del state["settings"]["options"]["extend_vocabulary"]
        path.write_text(json.dumps(state))
    run("latent_ctc", {**settings, "resume": True})
    assert all(torch.equal(before[name], value) for name, value in weights_of(tmp_path).items())


def test_new_glosses_are_learned_and_old_ones_without_clips_are_named(place, tmp_path, capsys):
    def renamed(row):
        return {"glosses": [NEW.get(gloss, gloss) for gloss in row["glosses"]], "segments": []}

    data = changed(place / "old", tmp_path / "data", renamed)
    changes = {"num_train_epochs": 40, "eval_epochs": 40, "save_epochs": 0, "learning_rate": 1e-2, "start": "inputs"}
    run("latent_ctc", {**given(place, tmp_path / "out", "stage3", **changes), "dataset": str(data)})
    assert json.loads((tmp_path / "out" / "result.json").read_text())["best"][0]["score"] < 0.2
    said = capsys.readouterr().err
    assert "4 glosses kept, 2 added" in said and "2 of 4 known glosses are in no training clip" in said


def test_text_in_a_model_of_glosses_keeps_its_pieces(place, tmp_path):
    """Without the option the pieces are learned anew; with it texts get pieces of their own beside the old ones."""
    settings = given(place, tmp_path, target="both", vocab_size=600, text_lowercase=True, num_beams=2)
    ready = started("refine", settings)
    old, new = tokenizer_of(place / "stage4"), ready.processor.tokenizer
    assert old.get_vocab().items() <= new.get_vocab().items() and new.text_lowercase and new.text_form == "NFC"
    before = weights_of(place / "stage4")["decoder.embed_tokens.weight"]
    assert torch.equal(ready.model.decoder.embed_tokens.weight[: len(before)], before)
    assert new.text_pairs is not None and len(new("müde", task="text")["input_ids"]) < len(old("müde")["input_ids"])
    run("refine", settings)
    model = SignXForGlossRecognition.from_pretrained(tmp_path / "model")
    assert model.config.trained_tasks == ["gloss", "text"] and tokenizer_of(tmp_path).text_pairs == new.text_pairs


def test_stage_4_goes_on_from_an_extended_stage_3(place, tmp_path):
    run("latent_ctc", given(place, tmp_path / "3", "stage3", num_train_epochs=1))
    stage = started("refine", given(place, tmp_path / "4", tmp_path / "3", extend_vocabulary=False, start="features"))
    assert stage.processor.tokenizer.ctc_glosses == tokenizer_of(tmp_path / "3").ctc_glosses
    assert stage.model.get_input_embeddings().num_embeddings == len(stage.processor.tokenizer)


# ----------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"upstream": None, "start": "inputs"}, "`extend_vocabulary` needs `upstream`"),
        ({"on_unknown": "drop"}, "`on_unknown` has no effect with `extend_vocabulary: true`, which adds every gloss"),
        ({"start": "features"}, "`start` must be latents or inputs to add 2 glosses"),
    ],
)
def test_options_that_do_not_go_together(changes, words, place, tmp_path):
    settings = {**given(place, tmp_path / "out"), **changes}
    with pytest.raises(SignXError, match=words):
        run("refine", settings)
    assert not (tmp_path / "out").exists()


def test_a_gloss_with_spaces_is_named_with_its_clip(place, tmp_path):
    def spaced(row):
        return {"glosses": ["HAPPY BIRTHDAY"], "segments": []} if row["id"] == "clip3" else {}

    changed(place / "old", tmp_path / "data", spaced)
    with pytest.raises(SignXError, match=r"got 'HAPPY BIRTHDAY' \(clip clip3\)"):
        run("latent_ctc", {**given(place, tmp_path / "out"), "dataset": str(tmp_path / "data")})


def test_stages_without_glosses_refuse_the_option(place, tmp_path):
    with pytest.raises(SignXError, match="`extend_vocabulary` is not used by Stage 1"):
        run(
            "pose2gloss",
            options(place / "new", tmp_path / "out", upstream=str(place / "stage4"), extend_vocabulary=True),
        )


# ------------------------------------------------------------------------------------------------------ isolated signs


def test_isolated_signs_beside_those_of_a_model_of_sentences_are_refused(place, tmp_path):
    make_corpus(tmp_path / "one", clips=6, longest=1)
    settings = options(tmp_path / "one", tmp_path / "out", upstream=str(place / "stage3"), extend_vocabulary=True)
    with pytest.raises(SignXError, match="needs an `upstream` of isolated signs, got a SignXForLatentCTC"):
        run("isolated", settings)


def test_isolated_signs_are_added_to_those_of_upstream(tmp_path):
    make_corpus(tmp_path / "all", clips=24, longest=1)
    rows = load_from_disk(str(tmp_path / "all"))
    old = rows.filter(lambda row: row["glosses"][0] in SIGNS[:2])
    old.save_to_disk(str(tmp_path / "old"))
    common = {"num_train_epochs": 2, "dev_share": 0.0, "dev_split": "train"}
    settings = options(tmp_path / "old", tmp_path / "run", **common)
    settings.pop("start")
    run("isolated", settings)
    fine = {**settings, "dataset": str(tmp_path / "all"), "upstream": str(tmp_path / "run"), "model_config": {}}
    fine |= {"extend_vocabulary": True, "output_dir": str(tmp_path / "more")}
    ready = started("isolated", fine)
    before = weights_of(tmp_path / "run")
    classifier, names = ready.model.classifier, ready.model.config.id2label
    assert [names[index] for index in range(4)] == [*sorted(SIGNS[:2]), *sorted(SIGNS[2:])]
    assert torch.equal(classifier.weight[:2], before["classifier.weight"])
    assert torch.equal(classifier.bias[:2], before["classifier.bias"])
    length = before["classifier.weight"].norm(dim=1).mean()
    torch.testing.assert_close(classifier.weight[2:].norm(dim=1), length.expand(2))
    run("isolated", fine)
    noted = json.loads((tmp_path / "more" / "run.json").read_text())["vocabulary"]
    assert noted["glosses"]["kept"] == 2 and noted["glosses"]["added"] == sorted(SIGNS[2:])
    recognizer = pipeline("isolated-sign-recognition", model=str(tmp_path / "more" / "model"))
    answers = recognizer(decode_poses(rows[0]["poses"]).to_clip(), top_k=4)
    assert {answer["label"] for answer in answers} == set(SIGNS)
