"""The tokenizer: identity on every gloss convention, gloss ends, both vocabularies, determinism, travel, messages."""

import copy
import json
import os
import pickle
import random
import subprocess
import sys
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import said
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from signx_hf.processing.errors_signx import SignXTokenError
from signx_hf.processing.tokenization_signx import (
    BYTE_SYMBOLS,
    GLOSS_END,
    SPECIAL_TOKENS,
    WHITE_SPACE,
    SignXTokenizer,
)

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("SIGNX_DATA", ROOT / "../shared/data")) / "gloss_text"

CORPUS = [
    "IX-1p BORE #IF NOT",
    "ns-fs-JOHN DURING/WHILE TEACH+AGENT HEADBAND_2",
    "part:indef ONE-MONTH NOT-YET QMwg IX-1p",
    "BORE BORE IX-1p POSS-1p ES-BEDEUTET WOLKE",
]
SENTENCES = [
    "#IF IX NOT BORE IX-1p",
    "IX-1p POSS-1p #IF ns-fs-JOHN fs-JOHN DURING/WHILE TEACH+AGENT EACH+ONE HEADBAND_2 ONE-MONTH NOT-YET QMwg part:indef",
    "BOX/ROOM IX NOT-YET ARRIVE IX SHOULD CONTACT ns-fs-FEDEX",
    "ES-BEDEUTET VIEL WOLKE ÜBERSCHWEMMUNG das heißt für übermorgen , nicht schön .",
    "ΓΕΙΑ ΕΓΩ(1) ΜΠΟΡΩ ΒΟΗΘΩ καλημέρα",
    "肺 發炎 學校 分 一 房 最 多 四 學生",
    "أنا مُعَلِّم 👩🏽‍🏫 👋 🤟🏿",
    "<s> </s> <pad> <unk> <gloss> <text> <blank> <s>X a</s>b @@ A@@ a</w> \u2423 A\u2423 Ġ Ġ\u2423 \ufffd \x00 \u200b \u00ad",
    unicodedata.normalize("NFD", "ÜBER heißt é ή 각"),
    unicodedata.normalize("NFC", "ÜBER heißt é ή 각"),
    "",
]


@pytest.fixture(scope="module")
def tokenizer():
    return SignXTokenizer.train_from_iterator(CORPUS, vocab_size=560, texts=["das heißt für uns , nicht schön ."])


def collapsed(text):
    return " ".join(text.split())


def assert_identity(tokenizer, sentences):
    """Every sentence comes back, and its pieces divide into its glosses exactly at the marked pieces."""
    rows = tokenizer(sentences, add_special_tokens=False)["input_ids"]
    ends = set(tokenizer.gloss_end_ids)
    assert tokenizer.decode(rows, skip_special_tokens=True) == [collapsed(sentence) for sentence in sentences]
    for sentence, row in zip(sentences, rows):
        assert sum(piece in ends for piece in row) == len(sentence.split())
        assert not row or row[-1] in ends
        assert min(row, default=6) >= len(SPECIAL_TOKENS)


# Identity


@pytest.mark.parametrize("sentence", SENTENCES)
def test_encode_then_decode_is_the_identity(tokenizer, sentence):
    assert tokenizer.decode(tokenizer(sentence)["input_ids"], skip_special_tokens=True) == collapsed(sentence)
    assert_identity(tokenizer, [sentence])


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.lists(st.text(min_size=1), max_size=6), st.sampled_from(WHITE_SPACE))
def test_any_unicode_survives(tokenizer, words, space):
    sentence = space.join(words)
    assert_identity(tokenizer, [sentence])


def test_each_gloss_is_spelled_by_its_own_pieces(tokenizer):
    row, glosses, current = tokenizer(SENTENCES[1], add_special_tokens=False)["input_ids"], [], []
    for piece in row:
        current.append(piece)
        if tokenizer.is_gloss_end(piece):
            glosses.append(tokenizer.decode(current))
            current = []
    assert glosses == SENTENCES[1].split() and not current


def test_white_space_is_that_of_str_split():
    assert set(WHITE_SPACE) == {chr(code) for code in range(sys.maxunicode + 1) if chr(code).isspace()}


def test_white_space_collapses_and_ends_a_gloss(tokenizer):
    plain = tokenizer("A B C")["input_ids"]
    for space in WHITE_SPACE:
        assert tokenizer(f"{space}A{space}{space} B \u3000C{space}")["input_ids"] == plain, hex(ord(space))
    assert SignXTokenizer.split_glosses(" A\u3000B\xa0 C\x1c") == ["A", "B", "C"]


def test_byte_symbols_are_the_alphabet_of_the_backend():
    model = Tokenizer(models.BPE())
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    assert set(BYTE_SYMBOLS) == set(pre_tokenizers.ByteLevel.alphabet()) and not set(GLOSS_END) & set(BYTE_SYMBOLS)
    for character in map(chr, [*range(0x80), 0xE9, 0x20AC, 0x1F91F]):
        written = model.pre_tokenizer.pre_tokenize_str(character)[0][0]
        assert written == "".join(BYTE_SYMBOLS[byte] for byte in character.encode())


def read_tsv(name):
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"{path} is absent: set SIGNX_DATA to the folder of test data")
    lines = path.read_text(encoding="utf-8").splitlines()[1:]
    return [line.split("\t")[3] for line in lines], [line.split("\t")[4] for line in lines]


def test_phoenix_survives_with_pieces_of_its_training_part():
    glosses, texts = read_tsv("phoenix-2014t_cleaned.train.tsv")
    tokenizer = SignXTokenizer.train_from_iterator(glosses, texts=texts, vocab_size=2000)
    assert len(tokenizer) == 2000 and tokenizer.ctc_vocab_size == len({w for s in glosses for w in s.split()}) + 1
    rows = {"train": 7096, "dev": 519, "test": 642}
    for part, count in rows.items():
        glosses, texts = read_tsv(f"phoenix-2014t_cleaned.{part}.tsv")
        assert len(glosses) == count
        assert_identity(tokenizer, glosses)
        assert_identity(tokenizer, texts)
        ctc = [tokenizer.decode_ctc(tokenizer.encode_ctc(sentence, on_unknown="drop")) for sentence in glosses]
        known = set(tokenizer.ctc_glosses)
        assert ctc == [[word for word in sentence.split() if word in known] for sentence in glosses]


def test_greek_glosses_survive_pieces_learned_from_english(tokenizer):
    for part in ("train", "dev", "test"):
        path = DATA / f"gsl_split_SI_{part}.csv"
        if not path.is_file():
            pytest.skip(f"{path} is absent: set SIGNX_DATA to the folder of test data")
        assert_identity(tokenizer, [line.split("|")[1] for line in path.read_text(encoding="utf-8").splitlines()])


# Special tokens and targets


def test_special_tokens_have_fixed_ids(tokenizer):
    assert tokenizer.convert_tokens_to_ids(list(SPECIAL_TOKENS)) == [0, 1, 2, 3, 4, 5]
    ids = (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id)
    assert ids == (0, 1, 2, 3)
    assert tokenizer.vocab_size == len(tokenizer) == max(tokenizer.get_vocab().values()) + 1


def test_text_never_spells_a_special_token_even_when_trained_on_it():
    # Many continuations, so that `<s>` itself is the pair worth a merge; `</w>` is what other BPEs mark the end with.
    spelled = [f"{token}{letter}{letter}" for token in (*SPECIAL_TOKENS, "A</w>") for letter in "ABCDEFGH"] + [
        "<s>",
        "A",
    ]
    spelled = spelled * 5
    tokenizer = SignXTokenizer.train_from_iterator([spelled], vocab_size=2000)
    assert_identity(tokenizer, [" ".join(spelled)])
    assert_identity(
        tokenizer, [" ".join(f"{token}XYZ" for token in SPECIAL_TOKENS)]
    )  # no whole-word piece hides the rest
    assert tokenizer.convert_tokens_to_ids(list(SPECIAL_TOKENS)) == [0, 1, 2, 3, 4, 5]
    assert len(tokenizer("<s>", add_special_tokens=False)["input_ids"]) == 1  # a piece of its own, with the mark


def test_targets_are_prompt_pieces_end(tokenizer):
    pieces = tokenizer("#IF BORE", add_special_tokens=False)["input_ids"]
    assert tokenizer.build_targets("#IF BORE") == [4, *pieces, 2] == tokenizer("#IF BORE")["input_ids"]
    assert tokenizer.build_targets(["#IF", "BORE"], task="gloss") == [4, *pieces, 2]
    assert tokenizer.build_targets("#IF BORE", task="text") == [5, *pieces, 2]
    assert (
        tokenizer("#IF BORE", task="text")["input_ids"] == [5, *pieces, 2] == tokenizer.encode("#IF BORE", task="text")
    )
    assert tokenizer("#IF", "BORE")["input_ids"] == tokenizer.build_targets("#IF") + [5, pieces[-1], 2]
    assert tokenizer("#IF BORE")["input_ids"][0] == 4, "the text prompt must not outlive its call"
    with pytest.raises(SignXTokenError):
        tokenizer("A\ud800", task="text")
    assert tokenizer("A")["input_ids"][0] == 4, "nor a call that failed"
    assert tokenizer.build_targets("") == [4, 2]
    tokenizer("#IF BORE", truncation=True, max_length=2, padding="max_length")
    assert tokenizer.build_targets("#IF BORE") == [4, *pieces, 2], "truncation must not outlive its call"


def test_prompt_stays_when_transformers_rewrites_its_template(tokenizer):
    other = copy.deepcopy(tokenizer)
    other.add_bos_token = True
    assert other("BORE")["input_ids"] == tokenizer("BORE")["input_ids"]


def test_batch_is_single(tokenizer):
    batch = tokenizer(SENTENCES, padding=True, return_tensors="np")
    for row, mask, sentence in zip(batch["input_ids"], batch["attention_mask"], SENTENCES):
        single = tokenizer(sentence)["input_ids"]
        assert row[mask == 1].tolist() == single and mask.sum() == len(single)
        assert (row[len(single) :] == 0).all()
    words = tokenizer([s.split() for s in SENTENCES[:3]], is_split_into_words=True)["input_ids"]
    assert words == tokenizer(SENTENCES[:3])["input_ids"]


def test_decode_skips_label_padding(tokenizer):
    targets = [tokenizer.build_targets(sentence) for sentence in ("#IF BORE", "")]
    labels = torch.full((2, 12), -100)
    for row, target in zip(labels, targets):
        row[: len(target)] = torch.tensor(target)
    assert tokenizer.decode(labels, skip_special_tokens=True) == ["#IF BORE", ""]
    assert tokenizer.batch_decode(labels.numpy(), skip_special_tokens=True) == ["#IF BORE", ""]
    assert tokenizer.decode(labels[0]) == "<gloss>#IF BORE </s>"
    assert (labels == -100).sum() == 24 - sum(map(len, targets)), "the caller's labels stay as they are"


def test_empty_prediction_decodes_to_nothing(tokenizer):
    for ids in ([], [4, 2], [-100], [0, 0]):
        assert tokenizer.decode(ids, skip_special_tokens=True) == ""


def test_cut_characters_decode_to_the_replacement_character(tokenizer):
    pieces = tokenizer("肺", add_special_tokens=False)["input_ids"]
    assert len(pieces) == 3 and tokenizer.decode(pieces[:2]) == "\ufffd"


# Pieces for people


def test_pieces_are_shown_as_in_the_paper():
    corpus = ["#IF IX-1p IX-1p #IF BORN BORD", "für fünf"]
    tokenizer = SignXTokenizer.train_from_iterator(corpus, vocab_size=900, min_frequency=2)
    shown = tokenizer.display_pieces("#IF BORE IX-1p")
    assert shown == ["#IF", "BOR@@", "E", "IX-1p"]
    assert tokenizer.display_pieces(tokenizer.build_targets("BORE")) == ["<gloss>", "BOR@@", "E", "</s>"]
    assert tokenizer.display_pieces("fünf肺") == ["fü@@", "n@@", "f@@", r"\xe8@@", r"\x82@@", r"\xba"]
    for sentence in SENTENCES[:5]:
        shown = " ".join(tokenizer.display_pieces(sentence))
        if "\\x" not in shown:
            assert shown.replace("@@ ", "") == sentence


# Training


def test_every_merge_joins_a_most_frequent_pair(tokenizer):
    """Independent answer: recount all pairs of the corpus in plain Python before each merge."""
    texts = ["das heißt für uns , nicht schön ."]
    counts = Counter(word for sentence in [*CORPUS, *texts] for word in sentence.split())
    spelled = {word: [BYTE_SYMBOLS[byte] for byte in word.encode()] for word in counts}
    for symbols in spelled.values():
        symbols[-1] += GLOSS_END
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    assert len(merges) >= 30
    for left, right in merges:
        pairs = Counter()
        for word, symbols in spelled.items():
            for pair in zip(symbols, symbols[1:]):
                pairs[pair] += counts[word]
        assert pairs[left, right] == max(pairs.values())
        for symbols in spelled.values():
            index = 0
            while index < len(symbols) - 1:
                if symbols[index : index + 2] == [left, right]:
                    symbols[index : index + 2] = [left + right]
                index += 1
    for word, symbols in spelled.items():
        assert tokenizer.tokenize(word) == symbols


TRAIN = """
import hashlib, random, sys
from signx_hf.processing.tokenization_signx import SignXTokenizer
chosen = random.Random(0)
words = ["".join(chosen.choices("ABCDEÜ-肺", k=chosen.randint(1, 6))) for _ in range(400)]
sentences = [" ".join(chosen.sample(words, 5)) for _ in range(200)]
tokenizer = SignXTokenizer.train_from_iterator(sentences, vocab_size=900, texts=words)
told = tokenizer.backend_tokenizer.to_str() + repr(tokenizer.ctc_glosses)
sys.stdout.write(hashlib.sha256(told.encode()).hexdigest())
"""


def test_training_ignores_hash_seed_and_threads():
    running = []
    for seed, threads in (("1", "1"), ("2", "3")):
        environment = {
            **os.environ,
            "PYTHONHASHSEED": seed,
            "RAYON_NUM_THREADS": threads,
            "PYTHONPATH": _python_path(ROOT),
        }
        command = [sys.executable, "-c", TRAIN]
        running.append(subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True))
    one, two = (process.communicate(timeout=120)[0] for process in running)
    assert len(one) == 64 and one == two


def test_training_ignores_the_order_of_sentences_and_their_form():
    chosen = random.Random(3)
    words = ["".join(chosen.choices("ABCDE", k=chosen.randint(1, 5))) for _ in range(200)]
    sentences = [words[start : start + 4] for start in range(0, 200, 4)]
    first = SignXTokenizer.train_from_iterator(sentences, vocab_size=640)
    chosen.shuffle(sentences)
    again = SignXTokenizer.train_from_iterator(iter([" ".join(s) for s in sentences]), vocab_size=640)
    assert again.backend_tokenizer.to_str() == first.backend_tokenizer.to_str()
    assert again.ctc_glosses == first.ctc_glosses


def test_vocab_size_is_a_limit_and_min_frequency_a_floor():
    assert len(SignXTokenizer.train_from_iterator(["AB CD"], vocab_size=518)) == 518
    assert len(SignXTokenizer.train_from_iterator(["AB CD"], vocab_size=519)) == 519
    assert len(SignXTokenizer.train_from_iterator(["AB CD"], vocab_size=5000)) == 520
    assert len(SignXTokenizer.train_from_iterator(["AB CD AB"], vocab_size=5000, min_frequency=2)) == 519


# CTC


def test_ctc_vocabulary_is_ordered_by_count_then_code_point():
    sentences = ["B A", "B C D", ["a", "D"]]
    tokenizer = SignXTokenizer.train_from_iterator(sentences, texts=["wort B wort"])
    assert tokenizer.ctc_glosses == ("B", "D", "A", "C", "a")
    assert tokenizer.ctc_vocab_size == 6 and tokenizer.ctc_blank_id == 0
    assert tokenizer.encode_ctc("D B a") == tokenizer.encode_ctc(["D", "B", "a"]) == [2, 1, 5]
    assert tokenizer.encode_ctc("D wort a", on_unknown="drop") == [2, 5]
    assert SignXTokenizer.train_from_iterator(sentences, ctc_min_count=2).ctc_glosses == ("B", "D")


def test_ctc_decoding_skips_blanks_and_padding_and_keeps_repeats(tokenizer):
    ids = tokenizer.encode_ctc("BORE IX-1p")
    assert tokenizer.decode_ctc([0, ids[0], ids[0], 0, ids[1], -100]) == ["BORE", "BORE", "IX-1p"]
    assert tokenizer.decode_ctc(torch.tensor(ids)) == tokenizer.decode_ctc(np.array(ids)) == ["BORE", "IX-1p"]
    assert tokenizer.decode_ctc([]) == []


def test_gloss_pieces_spell_the_ctc_vocabulary(tokenizer):
    pieces = tokenizer.gloss_piece_ids()
    assert len(pieces) == tokenizer.ctc_vocab_size and pieces[0] == []
    assert [tokenizer.decode(row) for row in pieces[1:]] == list(tokenizer.ctc_glosses)
    for sentence in CORPUS:
        joined = [piece for index in tokenizer.encode_ctc(sentence) for piece in pieces[index]]
        assert joined == tokenizer(sentence, add_special_tokens=False)["input_ids"]
    assert SignXTokenizer(tokenizer_object=tokenizer.backend_tokenizer).gloss_piece_ids() == [[]]


# Saving and travel


def _same(one, two):
    assert one.backend_tokenizer.to_str() == two.backend_tokenizer.to_str()
    assert one.ctc_glosses == two.ctc_glosses and one.encode_ctc(CORPUS[0]) == two.encode_ctc(CORPUS[0])
    assert one(SENTENCES)["input_ids"] == two(SENTENCES)["input_ids"]
    assert one(SENTENCES, task="text")["input_ids"] == two(SENTENCES, task="text")["input_ids"]


def test_saved_copied_and_pickled_tokenizers_are_the_same(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path / "one")
    loaded = SignXTokenizer.from_pretrained(tmp_path / "one")
    loaded.save_pretrained(tmp_path / "two")
    assert (tmp_path / "one/tokenizer.json").read_bytes() == (tmp_path / "two/tokenizer.json").read_bytes()
    one, two = (json.loads((tmp_path / name / "tokenizer_config.json").read_text("utf-8")) for name in ("one", "two"))
    assert one.items() <= two.items()  # transformers adds `is_local` and the like on loading
    for other in (loaded, copy.deepcopy(tokenizer), pickle.loads(pickle.dumps(tokenizer))):
        _same(other, tokenizer)


def test_another_gloss_list_keeps_the_pieces(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    other = SignXTokenizer.from_pretrained(tmp_path, ctc_glosses=["REGEN", "肺"])
    assert other.encode_ctc("肺 REGEN") == [2, 1] and other.get_vocab() == tokenizer.get_vocab()
    other.save_pretrained(tmp_path / "other")
    assert SignXTokenizer.from_pretrained(tmp_path / "other").ctc_glosses == ("REGEN", "肺")


TRAVEL = """
import json, sys
from transformers import AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1], trust_remote_code=True)
sentences = json.loads(sys.argv[2])
print(json.dumps({
    "class": type(tokenizer).__name__,
    "ids": tokenizer(sentences)["input_ids"],
    "text": tokenizer.decode(tokenizer(sentences)["input_ids"], skip_special_tokens=True),
    "ctc": tokenizer.ctc_glosses,
    "pieces": tokenizer.gloss_piece_ids(),
    "package": [name for name in sys.modules if name.split(".")[0] == "signx_hf"],
}))
"""


def _python_path(*first):
    """PYTHONPATH of this process without the repository."""
    rest = [
        path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and Path(path).resolve() != ROOT
    ]
    return os.pathsep.join([*map(str, first), *rest])


def test_travels_to_a_process_without_the_package(tokenizer, tmp_path):
    before = SignXTokenizer._auto_class
    try:
        SignXTokenizer.register_for_auto_class("AutoTokenizer")
        tokenizer.save_pretrained(tmp_path / "saved")
    finally:
        SignXTokenizer._auto_class = before
    files = {path.name for path in (tmp_path / "saved").glob("*.py")}
    assert files == {"tokenization_signx.py", "errors_signx.py"}
    sentences = [sentence.replace("\x00", "") for sentence in SENTENCES]  # an argument cannot hold NUL
    environment = {
        **os.environ,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": _python_path(),
    }
    command = [sys.executable, "-c", TRAVEL, str(tmp_path / "saved"), json.dumps(sentences)]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["class"] == "SignXTokenizer" and told["package"] == []
    assert told["ids"] == tokenizer(sentences)["input_ids"] and told["text"] == list(map(collapsed, sentences))
    assert tuple(told["ctc"]) == tokenizer.ctc_glosses and told["pieces"] == tokenizer.gloss_piece_ids()


# Bad input: what was found, what was expected, the remedy


def train(*args, **kwargs):
    return lambda tokenizer: SignXTokenizer.train_from_iterator(*args, **kwargs)


def with_glosses(*glosses):
    return lambda tokenizer: SignXTokenizer(tokenizer_object=tokenizer.backend_tokenizer, ctc_glosses=list(glosses))


BAD_INPUT = [
    (train([]), "`sentences` ... got none"),
    (train(["", "  "]), "`sentences` ... got none"),
    (
        train(["A"], vocab_size=300),
        "`vocab_size` ... got 300",
    ),
    (train(["A A B"], ctc_min_count=3), "no gloss occurs 3 times; the most frequent occurs 2 times"),
    (
        train([["A", "B C"]]),
        "sentences[0] ... got 'B C'",
    ),
    (
        train(["A", "B\udcff"]),
        "'B\\udcff' is not Unicode text (lone surrogate at character 1)",
    ),
    (with_glosses("A", "B", "A"), "ctc_glosses ... got 'A' 2 times"),
    (with_glosses("A", ""), "ctc_glosses ... got ''"),
    (
        lambda t: SignXTokenizer(),
        "SignXTokenizer needs tokenizer_file or tokenizer_object, got neither",
    ),
    (
        lambda t: SignXTokenizer(tokenizer_object=Tokenizer(models.BPE(vocab={"a": 0}, merges=[]))),
        "the special tokens <pad> <s> </s> <unk> <gloss> <text> ... got [4, 1, 2, 3, 5, 6]",
    ),
    (lambda t: t.build_targets("A", task="speech"), "`task` ... got 'speech'"),
    (lambda t: t.build_targets(["A B"]), "text ... got 'A B'"),
    (lambda t: t(["A", "\ud800"]), "'\\ud800' is not Unicode text (lone surrogate at character 0)"),
    (lambda t: t.split_glosses("A \udcff"), "is not Unicode text (lone surrogate at character 2)"),
    (
        lambda t: t.decode([4, 99999]),
        "piece ids ... got 99999",
    ),
    (lambda t: t.decode([-1]), "piece ids ... got -1"),
    (lambda t: t.is_gloss_end(560), "piece ids ... got 560"),
    (
        lambda t: t.encode_ctc("BORE bor IX-1P XYZ"),
        "not in the CTC vocabulary of 15 glosses: 'bor' (nearest: 'BORE'), ",
    ),
    (
        lambda t: t.encode_ctc("bor IX-1P XYZ"),
        "'IX-1P' (nearest: 'IX-1p'), 'XYZ' (none near)",
    ),
    (lambda t: t.encode_ctc("headband_1"), "'headband_1' (nearest: 'HEADBAND_2')"),
    (lambda t: with_glosses("Haus", "HAUS")(t).encode_ctc("haus"), "of 2 glosses: 'haus' (nearest: 'Haus')"),
    (lambda t: t.encode_ctc("1 2 3 4 5 5 6 7"), "'5' (none near) and 2 more"),
    (
        lambda t: with_glosses()(t).encode_ctc("A"),
        "the tokenizer has no CTC vocabulary",
    ),
    (lambda t: t.encode_ctc("A", on_unknown="skip"), "`on_unknown` ... got 'skip'"),
    (
        lambda t: t.encode_ctc(["BORE IX-1p"]),
        "glosses ... got 'BORE IX-1p'",
    ),
    (
        lambda t: t.decode_ctc([1, 2000]),
        "CTC ids ... got 1 to 2000",
    ),
    (lambda t: t.decode_ctc([-1, 3]), "CTC ids ... got -1 to 3"),
    (
        lambda t: t.add_tokens(["IX"]),
        "cannot add 'IX' to the pieces, since it would be cut out of every gloss",
    ),
    (
        lambda t: t.train_new_from_iterator([["A"]], 600),
        "train_new_from_iterator cannot train a SignXTokenizer",
    ),
]
WRONG_TYPE = [
    (train("A B"), "sentences ... got str"),
    (train(None), "sentences ... got NoneType"),
    (train(["A"], texts="A B"), "texts ... got str"),
    (train(["A", 7]), "sentences[1] ... got int"),
    (train([["A", 7]]), "a gloss of sentences[0] ... got int 7"),
    (lambda t: t.split_glosses(["A"]), "a sentence ... got list ['A']"),
    (lambda t: t.build_targets(7), "text ... got int"),
    (lambda t: t.encode_ctc({"A"}), "glosses ... got set"),
    (lambda t: SignXTokenizer(tokenizer_object=t.backend_tokenizer, ctc_glosses="A B"), "ctc_glosses ... got str"),
    (lambda t: t.decode_ctc([[1, 2]]), "ids ... got a row that starts with [[1, 2]]"),
    (lambda t: t.decode_ctc([1.5]), "ids ... got a row that starts with [1.5]"),
]


@pytest.mark.parametrize(
    "call, message, kind",
    [(*case, SignXTokenError) for case in BAD_INPUT] + [(*case, TypeError) for case in WRONG_TYPE],
    ids=[case[1][:48].encode("ascii", "replace").decode() for case in BAD_INPUT + WRONG_TYPE],
)
def test_bad_input_is_explained_in_one_line(tokenizer, call, message, kind):
    with pytest.raises(kind, match=said(message)) as caught:
        call(tokenizer)
    assert "\n" not in str(caught.value)


def test_a_special_token_may_be_added(tokenizer):
    other = copy.deepcopy(tokenizer)
    other.add_special_tokens({"mask_token": "<mask>"})
    assert other.mask_token_id == len(tokenizer)
    assert other("<mask> A<mask>")["input_ids"] == tokenizer("<mask> A<mask>")["input_ids"]
    assert other.display_pieces([other.mask_token_id]) == ["<mask>"]
