"""Training on text: targets of each clip, losses only where a clip has glosses, metrics of which more is better."""

import json

import numpy as np
import pytest
import torch
from datasets import load_from_disk
from training_runs import SIGNS, make_corpus, options, run, started

from signx_hf.modeling.losses_signx import ctc_loss
from signx_hf.modeling.modeling_signx import SignXForGlossRecognition, SignXForPose2Gloss
from signx_hf.processing.errors_signx import SignXError, SignXTokenError
from signx_hf.processing.processing_signx import SignXProcessor
from signx_hf.processing.tokenization_signx import SignXTokenizer
from signx_hf.training.examples import Example
from signx_hf.training.targets import dev_metrics, draw_task

WORDS = dict(zip(SIGNS, ("Ich bin hier", "ärgere mich", "sehr müde", "die Größe")))
OVERFIT = {
    "dev_split": "train",
    "num_train_epochs": 150,
    "eval_epochs": 75,
    "save_epochs": 0,
    "learning_rate": 1e-2,
    "num_beams": 2,
    "vocab_size": 600,
}


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    """The same clips with glosses alone, with text alone, and with both, of which a third have only text and a third only glosses."""
    folder = tmp_path_factory.mktemp("text")
    rows = load_from_disk(str(make_corpus(folder / "glosses", clips=9)))
    said = rows.map(lambda row: {"text": " ".join(WORDS[gloss] for gloss in row["glosses"])})
    said.map(lambda row: {"glosses": [], "segments": []}).save_to_disk(str(folder / "text"))
    mixed = said.map(
        lambda row, index: {
            "glosses": [] if index % 3 == 0 else row["glosses"],
            "text": None if index % 3 == 1 else row["text"],
        },
        with_indices=True,
    )
    mixed.save_to_disk(str(folder / "both"))
    return folder


def labels_by_hand(tokenizer, sentence, prompt):
    return [tokenizer.convert_tokens_to_ids(prompt), *tokenizer(sentence, add_special_tokens=False)["input_ids"], 2]


@pytest.mark.parametrize(
    "name, model_class", [("pose2gloss", SignXForPose2Gloss), ("refine", SignXForGlossRecognition)]
)
def test_a_model_learns_to_write_text_without_any_gloss(name, model_class, corpora, tmp_path):
    given = options(corpora / "text", tmp_path, target="text", **OVERFIT)
    if name == "pose2gloss":
        given.pop("start")
    run(name, given)
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["measure"] == "bleu" and result["best"][0]["score"] > 60  # kept by the highest BLEU-4
    model = model_class.from_pretrained(tmp_path / "model")
    processor = SignXProcessor.from_pretrained(tmp_path / "model")
    assert model.config.trained_tasks == ["text"] and model.config.ctc_vocab_size == 1
    row = load_from_disk(str(corpora / "text"))[0]
    stage = started(name, {**given, "output_dir": str(tmp_path / "again")})
    batch = stage.collate(stage.train_examples[:1], None)
    options_ = {} if name == "pose2gloss" else {"ctc_weight": 0.0}
    text = processor.batch_decode(model.generate(**batch, task="text", **options_), skip_special_tokens=True)[0]
    assert set(text.split()) <= set(" ".join(WORDS.values()).split()) and any(
        ord(letter) > 127 for letter in row["text"] + text
    )


def test_one_model_learns_both_tasks_from_clips_with_either_or_both(corpora, tmp_path):
    given = options(corpora / "both", tmp_path, target="both", **OVERFIT)
    run("refine", given)
    header, *lines = (tmp_path / "log.csv").read_text().splitlines()
    for metric in ("dev/wer", "dev/bleu", "dev/chrf", "dev/wer_ctc"):
        assert metric in header + "".join(lines)
    assert SignXForGlossRecognition.from_pretrained(tmp_path / "model").config.trained_tasks == ["gloss", "text"]


def test_targets_of_a_batch_are_what_each_clip_has(corpora, tmp_path):
    stage = started("refine", options(corpora / "both", tmp_path, target="both", dev_split="train"))
    examples, tokenizer = stage.train_examples, stage.processor.tokenizer
    randoms = [np.random.default_rng(index) for index in range(9)]
    batch = stage.collate(examples, randoms)
    prompts = {
        tokenizer.convert_tokens_to_ids("<gloss>"): "glosses",
        tokenizer.convert_tokens_to_ids("<text>"): "text",
    }
    drawn = [prompts[int(row[0])] for row in batch["labels"]]
    assert drawn[::3] == ["text"] * 3 and drawn[1::3] == ["glosses"] * 3
    for example, task, labels, ctc in zip(examples, drawn, batch["labels"].tolist(), batch["ctc_labels"].tolist()):
        sentence = example.text if task == "text" else " ".join(example.glosses)
        expected = labels_by_hand(tokenizer, sentence, "<text>" if task == "text" else "<gloss>")
        assert [label for label in labels if label != -100] == expected
        assert [label for label in ctc if label != -100] == tokenizer.encode_ctc(example.glosses)


def test_text_share_is_the_share_of_draws(corpora):
    both = Example("a", 1, ["WORK"], text="work")
    randoms = np.random.default_rng(0)
    for share in (0.0, 0.3, 1.0):
        drawn = [draw_task(both, "both", share, randoms) for _ in range(2000)]
        assert abs(drawn.count("text") / 2000 - share) < 0.04
    assert draw_task(both, "text", 0.0, randoms) == "text" and draw_task(both, "glosses", 1.0, randoms) == "gloss"


def test_ctc_loss_of_a_batch_leaves_out_clips_without_glosses():
    torch.manual_seed(0)
    logits = torch.randn(4, 9, 5, requires_grad=True)
    mask = torch.tensor([[True] * 9, [True] * 6 + [False] * 3, [True] * 9, [False] * 9])
    labels = torch.tensor([[1, 2, -100], [-100, -100, -100], [3, 3, 4], [-100, -100, -100]])
    loss = ctc_loss(logits, labels, mask)
    alone = [
        torch.nn.functional.ctc_loss(
            logits[row, :, None].log_softmax(-1), labels[row][labels[row] != -100][None],
            mask[row].sum()[None], (labels[row] != -100).sum()[None],
        )
        for row in (0, 2)
    ]  # fmt: skip
    torch.testing.assert_close(loss, torch.stack(alone).mean())
    loss.backward()
    assert not logits.grad[[1, 3]].any() and torch.isfinite(logits.grad).all() and logits.grad[0].any()
    assert ctc_loss(logits.detach(), torch.full((4, 2), -100), mask) == 0


def test_batches_of_unlike_size_weigh_each_glossed_clip_alike(corpora, tmp_path):
    """The loss of accumulated batches is that of one batch, also where glosses are missing."""
    from signx_hf.training.objective import counts, unit_of

    batch = {"labels": torch.ones(3, 4), "ctc_labels": torch.tensor([[1], [-100], [2]])}
    assert counts(batch, object())["glossed"] == 2 and {unit_of(part) for part in ("ctc", "encoder_ctc")} == {
        "glossed"
    }


def test_dev_metrics_count_the_clips_that_have_a_target():
    processor = SignXProcessor(
        tokenizer=SignXTokenizer.train_from_iterator(["A B"], texts=["Ein Haus"], text_lowercase=True)
    )
    examples = [
        Example("a", 1, ["A", "B"], text="Ein großes rotes Haus"),
        Example("b", 1, [], text="Das ist sehr schön"),
        Example("c", 1, ["A"]),
    ]
    hypotheses = {
        "gloss": [["A", "X"], ["X"], ["A"]],
        "text": ["ein großes rotes haus", "das ist sehr schön", "falsch"],
    }
    metrics = dev_metrics(hypotheses, examples, processor)
    assert (
        metrics["wer"] == pytest.approx(1 / 3)
        and metrics["bleu"] == pytest.approx(100)
        and metrics["chrf"] == pytest.approx(100)
    )


@pytest.mark.parametrize(
    "corpus, changes, words",
    [
        ("glosses", {"target": "text"}, "has no text. Set target: glosses"),
        ("text", {}, "has no glosses. Set target: text"),
        ("text", {"target": "both"}, "`target` must be text for a"),
        ("glosses", {"target": "both"}, "`target` must be glosses for a"),
        ("text", {"target": "text", "metric_for_best_model": "wer"}, "must be one of bleu, chrf"),
        ("glosses", {"text_lowercase": True}, "`text_lowercase` is not used"),
        ("glosses", {"metric_for_best_model": "bleu4"}, "must be one of wer"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_before_the_first_step(corpus, changes, words, corpora, tmp_path):
    with pytest.raises(SignXError, match=words):
        started("refine", options(corpora / corpus, tmp_path, **changes))


def test_a_text_that_can_never_be_decoded_is_named(corpora, tmp_path):
    rows = load_from_disk(str(corpora / "text"))
    long = rows.map(lambda row: {"text": "Wort " * 10_000 if row["id"] == "clip3" else row["text"]})
    long.save_to_disk(str(tmp_path / "long"))
    with pytest.raises(SignXError, match=r"text of 1 clips.*max_length=64.*clip3 \("):
        started("refine", options(tmp_path / "long", tmp_path / "run", target="text"))


def test_case_and_unicode_form_are_saved_with_the_tokenizer(tmp_path):
    options_ = {"text_lowercase": True, "text_form": "NFC"}
    tokenizer = SignXTokenizer.train_from_iterator(["HAUS Übel"], texts=["Grüße aus München"], **options_)
    decomposed = "GRU\u0308ßE  AUS\u00a0Mu\u0308nchen"
    tokenizer.save_pretrained(tmp_path)
    for loaded in (tokenizer, SignXTokenizer.from_pretrained(tmp_path)):
        ids = loaded(decomposed, task="text")["input_ids"]
        assert loaded.decode(ids, skip_special_tokens=True) == "grüße aus münchen" == loaded.normalize_text(decomposed)
        assert loaded.decode(loaded("HAUS Übel")["input_ids"], skip_special_tokens=True) == "HAUS Übel"  # glosses stay
        assert loaded([decomposed, "A"], task="text")["input_ids"][0] == ids
    with pytest.raises(SignXTokenError, match="text_form.*got 'NFX'"):
        SignXTokenizer.train_from_iterator(["A"], text_form="NFX")
    assert "text_form" not in SignXTokenizer.train_from_iterator(["A"]).init_kwargs


def test_a_checkpoint_from_before_an_option_existed_resumes(corpora, tmp_path):
    given = options(corpora / "glosses", tmp_path, max_steps=2, num_train_epochs=1, save_epochs=1)
    run("refine", given)
    for path in tmp_path.rglob("state.json"):
        state = json.loads(path.read_text())
        for name in ("target", "text_share", "metric_for_best_model"):
            del state["settings"]["options"][name]
        path.write_text(json.dumps(state))
    run("refine", {**given, "resume": True})


def test_a_model_of_glosses_learns_text_with_pieces_of_its_own_and_keeps_its_glosses(corpora, tmp_path):
    run("refine", options(corpora / "glosses", tmp_path / "glosses", max_steps=4, vocab_size=530))
    given = {
        "upstream": str(tmp_path / "glosses"),
        "start": "latents",
        "model_config": {},
        "cache_dir": str(tmp_path / "cache"),
    }
    stage = started(
        "refine",
        options(corpora / "both", tmp_path / "run", target="both", vocab_size=600, dev_split="train", **given),
    )
    before = SignXProcessor.from_pretrained(tmp_path / "glosses" / "model").tokenizer
    tokenizer, config = stage.processor.tokenizer, stage.model.config
    assert (
        tokenizer.ctc_glosses == before.ctc_glosses and config.text_config.gloss_pieces == tokenizer.gloss_piece_ids()
    )
    assert len(tokenizer(" ".join(WORDS.values()))["input_ids"]) < len(before(" ".join(WORDS.values()))["input_ids"])
    upstream = SignXForGlossRecognition.from_pretrained(tmp_path / "glosses" / "model")
    ours, theirs = stage.model.state_dict(), upstream.state_dict()
    same = [name for name in ours if ours[name].shape == theirs[name].shape]
    assert all(torch.equal(ours[name], theirs[name]) for name in same) and any("decoder" in name for name in same)


def test_case_of_an_upstream_that_reads_text_cannot_change(corpora, tmp_path):
    run("refine", options(corpora / "text", tmp_path / "text", target="text", max_steps=2, text_lowercase=True))
    given = {
        "upstream": str(tmp_path / "text"),
        "start": "latents",
        "model_config": {},
        "cache_dir": str(tmp_path / "cache"),
    }
    given |= {"target": "text", "dev_split": "train"}
    with pytest.raises(SignXError, match="`text_form` is not used"):
        started("refine", options(corpora / "text", tmp_path / "run", text_form=None, **given))
    stage = started("refine", options(corpora / "text", tmp_path / "run", **given))
    assert stage.processor.tokenizer.text_lowercase and stage.model.config.trained_tasks == ["text"]
