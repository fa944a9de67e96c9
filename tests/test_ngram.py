"""N-gram models against a written-out Katz backoff and textbook smoothing; ARPA files good, bad and mutated."""

import copy
import gzip
import itertools
import json
import math
import random
from collections import Counter

import numpy as np
import pytest

from signx_hf.cli import main
from signx_hf.modeling.ngram_signx import LOG_10, NGramModel

CORPUS = [
    line.split() for line in ("IX-1p LOVE MARY", "JOHN LOVE MARY", "JOHN LOVE IX-1p", "MARY", "JOHN", "WHO LOVE WHO")
]
ARPA = """\\data\\
ngram 1=5
ngram 2=4
ngram 3=1

\\1-grams:
-1.5\t<unk>
-99\t<s>\t-0.3
-0.6\t</s>
-0.4\tIX-1p\t-0.2
-0.7\tWORK\t-0.1

\\2-grams:
-0.2\t<s> IX-1p\t-0.05
-0.9\tIX-1p IX-1p
-0.3\tIX-1p WORK\t0.1
-0.1\tWORK </s>

\\3-grams:
-0.25\t<s> IX-1p WORK

\\end\\
"""


def corpus(seed: int, sentences: int = 40, words: int = 6) -> list[list[str]]:
    """Sentences of a random Markov chain, so that longer n-grams carry something."""
    dice = random.Random(seed)
    glosses = [f"G{n}" for n in range(words)]
    weights = {gloss: [dice.random() ** 4 for _ in glosses] for gloss in glosses}
    rows = []
    for _ in range(sentences):
        row = [dice.choice(glosses)]
        while dice.random() < 0.75:
            row.append(dice.choices(glosses, weights[row[-1]])[0])
        rows.append(row)
    return rows


def katz(table: dict[tuple, tuple[float, float]], history: tuple, word: str) -> float:
    """The backoff recursion as it stands in the book; `table` is n-gram to (log10 probability, log10 backoff)."""
    if (*history, word) in table:
        return table[(*history, word)][0]
    if not history:
        return table[("<unk>",)][0]
    return table.get(history, (0.0, 0.0))[1] + katz(table, history[1:], word)


def read_table(path) -> dict[tuple, tuple[float, float]]:
    """An ARPA file by the plainest means."""
    table, n = {}, 0
    for line in path.read_text().splitlines():
        if line.endswith("-grams:"):
            n = int(line[1])
        elif n and line and not line.startswith("\\"):
            fields = line.split()
            table[tuple(fields[1 : n + 1])] = (float(fields[0]), float(fields[n + 1]) if len(fields) > n + 1 else 0.0)
    return table


def log10s(model: NGramModel, words: list[str]) -> list[float]:
    return [score / LOG_10 for score in model.word_scores(words)]


def test_scores_of_a_file_by_hand(tmp_path):
    path = tmp_path / "lm.arpa"
    path.write_text(ARPA)
    model = NGramModel.read(path)
    assert (model.order, model.counts, model.words[3]) == (3, (5, 4, 1), "IX-1p")
    # listed; listed; backoff of "IX-1p WORK", then listed
    assert log10s(model, ["IX-1p", "WORK"]) == pytest.approx([-0.2, -0.25, 0.1 - 0.1])
    # listed; backoff of "<s> IX-1p", then listed; no backoff of "IX-1p IX-1p", backoff of "IX-1p", </s>
    assert log10s(model, ["IX-1p", "IX-1p"]) == pytest.approx([-0.2, -0.05 - 0.9, -0.2 - 0.6])
    # backoff of "<s>", <unk>; after it nothing is known, so the 1-gram
    assert log10s(model, ["XYZ", "WORK"]) == pytest.approx([-0.3 - 1.5, -0.7, -0.1])
    assert model.score(["IX-1p", "WORK"], end=False) / LOG_10 == pytest.approx(-0.45)


@pytest.mark.parametrize("seed", range(6))
def test_every_score_is_that_of_the_backoff_recursion(tmp_path, seed):
    """Also of models whose n-grams were thinned out, so that some stand without their beginning."""
    order = 2 + seed % 3
    model = NGramModel.train(corpus(seed), order=order)
    path = tmp_path / "lm.arpa"
    model.write(path)
    dice = random.Random(seed)
    header, *sections = path.read_text().split("\n\n")
    kept = [sections[0], *(_thinned(section, dice) for section in sections[1:-1])]
    counts = "".join(f"ngram {n}={len(section.splitlines()) - 1}\n" for n, section in enumerate(kept, 1))
    path.write_text("\\data\\\n" + counts + "\n" + "\n\n".join(kept) + "\n\n\\end\\\n")
    model, table = NGramModel.read(path), read_table(path)
    words = [f"G{n}" for n in range(6)] + ["new", "</s>"]
    for _ in range(200):
        sentence = [dice.choice(words[:-1]) for _ in range(dice.randint(0, 6))]
        history, expected = ["<s>"], []
        for word in [*sentence, "</s>"]:
            named = word if word != "new" else "<unk>"
            expected.append(katz(table, tuple(history[max(0, len(history) - order + 1) :]), named))
            history.append(named)
        assert log10s(model, sentence) == pytest.approx(expected, abs=1e-9), sentence


def _thinned(section: str, dice: random.Random) -> str:
    title, *lines = section.splitlines()
    return "\n".join([title, *(line for line in lines if dice.random() < 0.6)])


@pytest.mark.parametrize("smoothing", ["kneser_ney", "witten_bell"])
@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_probabilities_after_any_history_add_up_to_one(tmp_path, smoothing, order):
    model = NGramModel.train(corpus(order), order=order, smoothing=smoothing)
    model.write(tmp_path / "lm.arpa")
    begin = model.words.index("<s>")
    for source in (model, NGramModel.read(tmp_path / "lm.arpa")):
        for history in itertools.product([*range(len(source.words))], repeat=2):
            state = source.start()
            for word in history:
                state = source.advance(state, word)
            total = np.exp(np.delete(source.log_probs(state)[:-1], begin)).sum()
            assert total == pytest.approx(1.0, abs=1e-8)


def kneser_ney(rows: list[list[str]], order: int):
    """p(word after history) from the equations of Chen and Goodman, counted anew at every call of the recursion; and whether
    discounts came from counts of counts, were fixed, or both."""
    used = set()
    vocabulary = {gloss for row in rows for gloss in row} | {"</s>", "<unk>"}
    padded = [("<s>", *row, "</s>") for row in rows]
    seen = {n: Counter(p[i : i + n] for p in padded for i in range(len(p) - n + 1)) for n in range(1, order + 1)}

    def count(ngram: tuple) -> int:
        if len(ngram) == order or ngram[0] == "<s>":
            return seen[len(ngram)][ngram]
        return sum(longer[1:] == ngram for longer in seen[len(ngram) + 1])

    def discount(ngram: tuple) -> float:
        values = Counter(count(g) for g in seen[len(ngram)] if g != ("<s>",))
        n1, n2, n3, n4 = (values[n] for n in (1, 2, 3, 4))
        fixed = (0.5, 1.0, 1.5)
        if n1 and n2 and n3:
            y = n1 / (n1 + 2 * n2)
            found = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
            fixed = found if all(0 < d < i + 1 for i, d in enumerate(found)) else fixed
        used.add("fixed" if fixed == (0.5, 1.0, 1.5) else "counted")
        return fixed[min(count(ngram), 3) - 1] if count(ngram) else 0.0

    def probability(history: tuple, word: str) -> float:
        followers = [g for g in seen[len(history) + 1] if g[:-1] == history and g != ("<s>",)]
        total = sum(map(count, followers))
        lower = probability(history[1:], word) if history else 1 / len(vocabulary)
        if not total:
            return lower
        ngram = (*history, word)
        share = (count(ngram) - discount(ngram)) / total if ngram in followers else 0.0
        return share + sum(map(discount, followers)) / total * lower

    return probability, used


@pytest.mark.parametrize(
    ("rows", "order", "discounts"),
    [
        (CORPUS, 2, {"counted", "fixed"}),
        (CORPUS[:3], 3, {"fixed"}),
        (corpus(3, 60), 2, {"counted", "fixed"}),
        (corpus(4, 60, 4), 3, {"counted", "fixed"}),
    ],
)
def test_training_is_modified_kneser_ney(rows, order, discounts):
    model, (expected, used) = NGramModel.train(rows, order=order), kneser_ney(rows, order)
    words = sorted({gloss for row in rows for gloss in row})
    for sentence in [*rows[:6], words[:3], [words[-1], "new", words[0]]]:
        history = ["<s>"]
        for word, score in zip([*sentence, "</s>"], model.word_scores(sentence)):
            word = "<unk>" if word == "new" else word
            reference = expected(tuple(history[max(0, len(history) - order + 1) :]), word)
            assert math.exp(score) == pytest.approx(reference, rel=1e-9)
            history.append(word)
    assert used == discounts


def test_witten_bell_by_hand():
    """`a b`, `a c`: after <s> came a twice (1 kind), after a came b and c (2 kinds); the vocabulary is a b c </s> <unk>."""
    model = NGramModel.train([["a", "b"], ["a", "c"]], order=2, smoothing="witten_bell")

    def unigram(count: int) -> float:  # 6 tokens of 4 kinds: a twice, </s> twice, b, c
        return (count + 4 / 5) / (6 + 4)

    scores = [math.exp(score) for score in model.word_scores(["a", "b"])]
    assert scores == pytest.approx(
        [(2 + 1 * unigram(2)) / (2 + 1), (1 + 2 * unigram(1)) / (2 + 2), (1 + 1 * unigram(2)) / (1 + 1)]
    )
    assert math.exp(model.word_scores(["new"])[0]) == pytest.approx(1 / 3 * unigram(0))


def test_a_model_prefers_its_own_language():
    rows = corpus(1, 300)
    mixed = [random.Random(n).sample(row, len(row)) for n, row in enumerate(rows)]
    for smoothing in ("kneser_ney", "witten_bell"):
        sums = []
        for order in (1, 2):
            model = NGramModel.train(rows[:200], order=order, smoothing=smoothing)
            sums.append(sum(model.score(row) for row in rows[200:]))
        assert sums[1] > sums[0] > 0.5 * sum(len(row) + 1 for row in rows[200:]) * math.log(1 / 8) * 2
        assert sums[1] > sum(model.score(row) for row in mixed[200:])


def test_a_model_is_the_same_after_writing(tmp_path):
    model = NGramModel.train(CORPUS, order=3)
    for name in ("lm.arpa", "lm.arpa.gz"):
        model.write(tmp_path / name)
        again = NGramModel.read(tmp_path / name)
        assert (again.words, again.counts) == (model.words, model.counts)
        for (ngram, score, backoff), (ngram_2, score_2, backoff_2) in zip(model.ngrams(), again.ngrams()):
            assert ngram == ngram_2 and score == pytest.approx(score_2, abs=1e-8)
            assert (backoff or 0.0) == pytest.approx(backoff_2 or 0.0, abs=1e-8)
    first = (tmp_path / "lm.arpa.gz").read_bytes()
    model.write(tmp_path / "lm.arpa.gz")
    assert first == (tmp_path / "lm.arpa.gz").read_bytes()
    assert gzip.decompress(first) == (tmp_path / "lm.arpa").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lm.arpa", "lm.arpa.gz"], "nothing unfinished is left"


def test_what_a_model_gives_out_cannot_change_it():
    model = NGramModel.train(CORPUS)
    scores = model.log_probs(model.start())
    with pytest.raises(ValueError):
        scores[0] = 0.0
    assert copy.deepcopy(model) is model
    assert np.isfinite(scores).all()


def test_a_file_without_unknown_word_bans_it_almost(tmp_path):
    path = tmp_path / "lm.arpa"
    path.write_text(ARPA.replace("-1.5\t<unk>\n", "").replace("ngram 1=5", "ngram 1=4"))
    model = NGramModel.read(path)
    assert not model.has_unknown
    assert log10s(model, ["XYZ"])[0] == pytest.approx(-100)
    path.write_text(ARPA.replace("<unk>", "<UNK>"))
    assert NGramModel.read(path).has_unknown


BAD = [
    ("", "line 1: no \\data\\"),
    ("once upon a time\n", "line 2: no \\data\\"),
    (ARPA.replace("ngram 2=4", "ngram 3=4"), "line 3: expected 'ngram 2=COUNT', got 'ngram 3=4'"),
    (ARPA.replace("ngram 3=1", "ngram 3=x"), "line 4: expected 'ngram 3=COUNT', got 'ngram 3=x'"),
    ("\\data\\\n\\1-grams:\n", "line 2: no 'ngram 1=COUNT' after \\data\\"),
    (ARPA.replace("ngram 2=4", "ngram 2=5"), "line 19: expected 5 2-grams"),
    (ARPA.replace("ngram 2=4", "ngram 2=3"), "line 17: expected \\3-grams:"),
    (ARPA.replace("-0.7\tWORK", "oops\tWORK"), "got 'oops'"),
    (ARPA.replace("-0.7\tWORK", "nan\tWORK"), "got 'nan'"),
    (ARPA.replace("-0.7\tWORK", "0.7\tWORK"), "line 11: the log10 probability must be at most 0, got 0.7"),
    (ARPA.replace("-0.7\tWORK", "-0.7\tNEW WORK"), "got 4 fields in '-0.7\\tNEW WORK\\t-0.1'"),
    (ARPA.replace("<s> IX-1p WORK", "<s> IX-1p WORK\t-1"), "line 20: expected a probability and 3 words, got 5 fields"),
    (ARPA.replace("-0.9\tIX-1p IX-1p", "-0.9\tIX-1p XYZ"), "line 15: the word 'XYZ' is not among the 1-grams"),
    (ARPA.replace("IX-1p IX-1p", "WORK </s>"), "line 17: the 2-gram 'WORK </s>' is listed twice"),
    (ARPA.replace("</s>\n-0.4", "END\n-0.4"), "line 11: the 1-grams lack </s>"),
    (ARPA.replace("\\end\\", ""), "expected \\end\\ after the 1 3-grams, got the end of the file"),
    (ARPA.replace("\\3-grams:", "\\4-grams:"), "line 19: expected \\3-grams:"),
    (ARPA.encode().replace(b"WORK\t", b"W\xffRK\t"), "line 11: not UTF-8"),
    (gzip.compress(ARPA.encode())[:-20], "cannot be read ("),
    (b"\\data\\\n" + b"x" * 70000, "line 2: longer than 65536 bytes"),
    (b"mmap lm http://kheafield.com/code format version 5\n\0", "KenLM's binary format"),
    ("\\data\\\n" + "".join(f"ngram {n}=1\n" for n in range(1, 12)), "line 11: the order of n-grams must be at most 9, got 10"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "message"), BAD)
def test_bad_files_are_refused_by_line(tmp_path, content, message):
    path = tmp_path / "lm.arpa"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError) as error:
        NGramModel.read(path)
    assert message in str(error.value) and str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_errors_of_reading_keep_their_cause(tmp_path):
    path = tmp_path / "lm.arpa"
    for content, cause in (
        (ARPA.encode().replace(b"WORK\t", b"W\xffRK\t"), UnicodeDecodeError),
        (gzip.compress(ARPA.encode())[:-20], EOFError),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError) as error:
            NGramModel.read(path)
        assert isinstance(error.value.__cause__, cause)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="lm.arpa: no such file"):
        NGramModel.read(tmp_path / "lm.arpa")
    with pytest.raises(ValueError, match="not a file"):
        NGramModel.read(tmp_path)


def test_mutated_files_end_in_a_typed_error_or_a_model(tmp_path):
    dice, path, read = random.Random(0), tmp_path / "lm.arpa", 0
    for compressed in (False, True):
        original = gzip.compress(ARPA.encode(), mtime=0) if compressed else ARPA.encode()
        for _ in range(150):
            data = bytearray(original)
            for _ in range(dice.randint(1, 4)):
                place = dice.randrange(len(data))
                change = dice.choice(("flip", "cut", "double", "digit"))
                if change == "flip":
                    data[place] = dice.randrange(256)
                elif change == "cut":
                    del data[place : place + dice.randint(1, 30)]
                elif change == "double":
                    data[place:place] = data[place : place + dice.randint(1, 30)]
                else:
                    data[place] = dice.choice(b"0123456789-.eE\t\n ")
                if not data:
                    break
            path.write_bytes(data)
            try:
                model = NGramModel.read(path)
            except ValueError as error:
                assert str(error).startswith(str(path)) and "\n" not in str(error)
            else:
                read += 1
                assert np.isfinite(model.word_scores(["IX-1p", "WORK", "XYZ"])).all()
    assert read >= 5, "mutations that leave the file good must be read"


@pytest.mark.parametrize(
    ("sentences", "options", "message"),
    [
        ([], {}, "at least one sentence"),
        ([[]], {}, "at least one sentence"),
        (["A B"], {}, "Sentence 1 must be a list of glosses, got 'A B'"),
        ([["A"], ["B C"]], {}, "Sentence 2: a gloss must not be empty or have white space, got 'B C'"),
        ([[""]], {}, "white space, got ''"),
        ([["</s>"]], {}, "Sentence 1: '</s>' is a marker"),
        ([["A"]], {"order": 0}, "`order` must be an integer from 1 to 9, got 0"),
        ([["A"]], {"order": 2.0}, "got 2.0"),
        ([["A"]], {"smoothing": "kn"}, "got 'kn'"),
    ],
)
def test_training_refuses(sentences, options, message):
    with pytest.raises(ValueError) as error:
        NGramModel.train(sentences, **options)
    assert message in str(error.value)


def test_short_sentences_give_a_short_order():
    assert NGramModel.train([["A"], ["B"]], order=5).order == 3  # <s> A </s>


def lm_command(capsys, *arguments) -> tuple[int, str, str]:
    code = main(["lm", *map(str, arguments)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_commands_train_and_score(tmp_path, capsys):
    text, out = tmp_path / "text.txt", tmp_path / "lm.arpa.gz"
    text.write_text("\n".join(" ".join(row) for row in CORPUS) + "\n\n天气 NACH\u2028HAUSE\n", encoding="utf-8")
    code, said, errors = lm_command(capsys, "train", "--text", text, "--order", 2, "--out", out)
    assert (code, errors) == (0, "")
    model = NGramModel.read(out)
    assert said == f"{out}: 11 1-grams, {model.counts[1]} 2-grams from 7 sentences\n"
    assert model.knows("天气") and model.order == 2
    code, said, errors = lm_command(capsys, "score", out, "--text", text, "--json")
    *rows, total = [json.loads(line) for line in said.splitlines()]
    assert [row["log10"] for row in rows[:6]] == pytest.approx([model.score(row) / LOG_10 for row in CORPUS])
    assert (total["sentences"], total["unknown"]) == (7, 0)
    assert total["perplexity"] == pytest.approx(10 ** (-total["log10"] / (total["glosses"] + 7)))
    text.write_text("WHO XYZ\n")
    code, said, _ = lm_command(capsys, "score", out, "--text", text)
    assert said.splitlines()[0] == f"{model.score(['WHO', 'XYZ']) / LOG_10:.4f}\t1\tWHO XYZ"
    assert said.splitlines()[1].startswith("1 sentences, 2 glosses, 1 of them unknown: log10 -")


def test_commands_read_a_table(tmp_path, capsys):
    table, out = tmp_path / "clips.tsv", tmp_path / "lm.arpa"
    table.write_text("id\tvideo\tglosses\tsplit\n1\ta.mp4\tIX-1p WORK\ttrain\n2\tb.mp4\tIX-1p SLEEP\ttest\n")
    code, _, errors = lm_command(capsys, "train", "--dataset", table, "--out", out)
    assert code == 0, errors
    assert NGramModel.read(out).knows("WORK") and not NGramModel.read(out).knows("SLEEP")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--text", "{}/none.txt", "--out", "{}/lm.arpa"], "none.txt: no such file"),
        (["train", "--text", "{}/bad.txt", "--out", "{}/lm.arpa"], "UTF-8, and line 2 is not"),
        (["train", "--text", "{}/good.txt", "--order", "12", "--out", "{}/lm.arpa"], "from 1 to 9, got 12"),
        (["train", "--text", "{}/good.txt", "--out", "{}/no/lm.arpa"], "no/lm.arpa"),
        (["score", "{}/good.txt", "--text", "{}/good.txt"], "good.txt: line 2: no \\data\\"),
        (["score", "{}/none.arpa", "--text", "{}/good.txt"], "none.arpa: no such file"),
        (["train", "--dataset", "no-such-corpus", "--out", "{}/lm.arpa"], "no-such-corpus"),
    ],
)  # fmt: skip
def test_commands_say_what_is_wrong(tmp_path, capsys, arguments, message):
    (tmp_path / "good.txt").write_text("A B\n")
    (tmp_path / "bad.txt").write_bytes(b"A B\n\xff\n")
    code, out, errors = lm_command(capsys, *(argument.format(tmp_path) for argument in arguments))
    assert (code, out) == (2, "")
    assert errors.startswith("signx-hf lm: ") and message in errors and errors.count("\n") == 1
    assert not (tmp_path / "lm.arpa").exists()
