"""Bad input around text: one line that names what is wrong and what to do, before the first step, and nothing is lost."""

import json
import shutil
import warnings

import pytest
from datasets import load_from_disk
from helpers import said
from make_model import save_folder
from training_runs import SIGNS, make_corpus, options, run, started
from transformers import pipeline

import signx_hf  # noqa: F401  registers the tasks
from signx_hf.cli import main
from signx_hf.data.check import CheckOptions, check_dataset
from signx_hf.processing.errors_signx import SignXError, SignXTokenError, SignXWarning
from signx_hf.processing.processing_signx import SignXProcessor
from signx_hf.processing.tokenization_signx import SignXTokenizer

LONG = "Wort " * 10_000


class Place:
    """Corpora of the same clips, models, and where runs go."""

    def __init__(self, base):
        self.base = base
        rows = load_from_disk(str(make_corpus(base / "glosses", clips=6)))
        text = rows.map(lambda row: {"text": " ".join(row["glosses"]).lower()})
        self.save(text, "both")
        self.save(text.map(lambda row: {"glosses": [], "segments": []}), "text")
        for name, said_ in (("empty", ""), ("blank", " \n "), ("none", None), ("long", LONG)):
            self.save(
                text.map(lambda row, said_=said_: {"text": said_ if row["id"] == "clip3" else row["text"]}), name
            )
        extra = {"clip1": ["MUST", "HELP"], "clip4": ["HELP", "NEVER"]}
        self.save(
            text.map(lambda row: {"glosses": row["glosses"] + extra.get(row["id"], []), "segments": []}), "unknown"
        )
        self._models = {}

    def save(self, rows, name):
        rows.save_to_disk(str(self.base / name))

    def model(self, name):
        """A model, made once: `stage3`, `glosses` and `text` of training, `prompt` without that of text in its tokenizer."""
        if name not in self._models:
            folder = self.base / "models" / name
            if name == "stage3":
                save_folder(folder, "SignXForLatentCTC")
            elif name == "prompt":
                save_folder(folder, trained_tasks=["text"])
                path = folder / "tokenizer.json"
                path.write_text(path.read_text().replace('"<text>"', '"<other>"'))
            else:
                run(
                    "refine",
                    options(
                        self.base / "both",
                        folder,
                        target=name,
                        max_steps=2,
                        dev_split="train",
                        cache_dir=str(folder / "c"),
                    ),
                )
                folder = folder / "model"
            self._models[name] = folder
        return str(self._models[name])

    def train(self, corpus, **changes):
        """Set up a stage up to the first step."""
        given = options(self.base / corpus, self.base / "run", dev_split="train", **changes)
        started("refine", given)

    def on(self, model, corpus, **changes):
        """As `train`, from a model."""
        given = {"upstream": self.model(model), "start": "latents", "model_config": {}}
        self.train(corpus, cache_dir=str(self.base / "cache"), **given, **changes)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return Place(tmp_path_factory.mktemp("bad"))


# name -> what is tried, what the message says
REFUSED = {
    "no texts": (lambda p: p.train("glosses", target="text"), "clip0 (train) has no text. Set target: glosses"),
    "no texts and both": (lambda p: p.train("glosses", target="both"), "`target` must be glosses for a train split"),
    "an empty text": (lambda p: p.train("empty", target="text"), "clip clip3 (train) has no text. Set target: glosses"),
    "a blank text": (lambda p: p.train("blank", target="text"), "clip clip3 (train) has no text"),
    "a text that is None": (lambda p: p.train("none", target="text"), "clip clip3 (train) has no text"),
    "text alone for glosses": (lambda p: p.train("text"), "has no glosses. Set target: text"),
    "10,000 words": (
        lambda p: p.train("long", target="text"),
        "text of 1 clips have more pieces than text_config.max_length=64 ... clip3 ( ... leave them out.",
    ),
    "10,000 words for both": (lambda p: p.train("long", target="both"), "the text of 1 clips ... clip3 ("),
    "BLEU of glosses": (lambda p: p.train("both", metric_for_best_model="bleu"), "must be one of wer"),
    "WER of text": (lambda p: p.train("both", target="text", metric_for_best_model="wer"), "must be one of bleu, chrf"),
    "a form that is none": (lambda p: p.train("both", target="text", text_form="NFX"), "`text_form` must be"),
    "a task that is none": (lambda p: p.train("both", target="translation"), "`target` must be"),
    "a tokenizer without the prompt": (
        lambda p: SignXTokenizer.from_pretrained(p.model("prompt")),
        "the special tokens <pad> <s> </s> <unk> <gloss> <text> must have the ids 0 to 5, got",
    ),
    "its processor": (lambda p: SignXProcessor.from_pretrained(p.model("prompt")), "the special tokens"),
    "its pipeline": (lambda p: pipeline("sign-translation", model=p.model("prompt")), "the special tokens"),
    "training on with it": (lambda p: p.on("prompt", "both", target="text"), "the special tokens"),
    "a stage-3 checkpoint asked for text": (
        lambda p: pipeline("sign-translation", model=p.model("stage3")),
        'sign-translation needs a checkpoint of SignXForGlossRecognition or SignXForPose2Gloss, got SignXForLatentCTC. Use '
        'pipeline("sign-recognition").',
    ),
    "a model of glosses asked for text": (
        lambda p: pipeline("sign-translation", model=p.model("glosses")),
        "the model has learned glosses, not text. Use pipeline('sign-recognition')",
    ),
    "a model of text asked for glosses": (
        lambda p: pipeline("sign-recognition", model=p.model("text")),
        "the model has learned text, not glosses. Use pipeline('sign-translation')",
    ),
    "glosses outside the vocabulary": (
        lambda p: p.on("glosses", "unknown"),
        "2 of 6 clips (train) have glosses that upstream's vocabulary of 4 lacks: HELP in 2 (first: clip1), MUST in 1 "
        "(first: clip1), NEVER in 1 (first: clip4) ... on_unknown: drop",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_in_one_line(name, place):
    attempt, words = REFUSED[name]
    with pytest.raises((SignXError, SignXTokenError, ValueError), match=said(words)) as caught:
        attempt(place)
    assert "\n" not in str(caught.value).strip() and len(str(caught.value)) < 600
    assert not (place.base / "run" / "model").exists()


def test_a_set_up_that_fails_leaves_an_earlier_run_alone(place, tmp_path):
    shutil.copytree(place.model("text"), tmp_path / "model")
    before = {path: path.read_bytes() for path in (tmp_path / "model").iterdir()}
    given = options(place.base / "empty", tmp_path, target="text", dev_split="train")
    with pytest.raises(SignXError):
        run("refine", given)
    assert {path: path.read_bytes() for path in (tmp_path / "model").iterdir()} == before


def test_the_command_says_it_in_one_line(place, tmp_path, capsys):
    given = ["--dataset", str(place.base / "glosses"), "--target", "text", "--output_dir", str(tmp_path / "run")]
    assert main(["train", "refine", *given, "--start", "inputs"]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert "has no text. Set target: glosses" in line and not (tmp_path / "run" / "model").exists()


@pytest.mark.parametrize(
    "corpus, fault, where",
    [("empty", "partial-text", ""), ("blank", "partial-text", ""), ("long", "long-target", "clip3")],
)
def test_data_check_says_it_before(corpus, fault, where, place):
    report = check_dataset(load_from_disk(str(place.base / corpus)), CheckOptions(media="none", poses=False))
    (finding,) = [found for found in report.findings if found.fault == fault]
    assert finding.severity == "warning" and finding.id == where and "clip3" in finding.message + finding.id


def test_clips_without_a_text_train_the_other_task(place):
    place.train("empty", target="both")  # clip3 has glosses


def test_unknown_glosses_are_dropped_where_that_is_asked(place):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SignXWarning)
        place.on("glosses", "unknown", on_unknown="drop")
    told = [str(warning.message) for warning in caught if "left out of the labels" in str(warning.message)]
    assert len(told) == 1 and all(gloss in told[0] for gloss in ("HELP", "MUST", "NEVER"))
    assert set(SIGNS) == set(SignXProcessor.from_pretrained(place.model("glosses")).tokenizer.ctc_glosses)


def test_ten_thousand_words_are_encoded_and_come_back(place):
    tokenizer = SignXProcessor.from_pretrained(place.model("text")).tokenizer
    ids = tokenizer(LONG, task="text")["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == LONG.strip()
    assert json.loads(json.dumps(ids)) == ids
