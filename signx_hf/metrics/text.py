"""BLEU, chrF and ROUGE-L by sacrebleu and rouge-score, with the signature that makes a number comparable."""

import importlib
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from ..common.extras import require
from ..processing.errors_signx import SignXError
from .arrays import listed, sentences_of
from .error_rate import Sentence, check_lengths, sentence_pairs

TOKENIZERS = ("none", "13a", "intl", "zh", "char")
BY_CHARACTER = ("zh", "char")  # with these ROUGE-L is of characters, too
# Measures that `statistics` can split into clips.
MEASURES = ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "chrf", "rouge_l", "mean_sentence_bleu")


@dataclass(frozen=True)
class TextScore:
    """A score and how it was computed.

    Attributes:
        score: From 0 to 100.
        signature: Name, version and settings of the library.
        parts: Named scores, such as `bleu_1` to `bleu_4`.
    """

    score: float
    signature: str
    parts: dict[str, float]


def _lines(hypotheses: Iterable[Sentence], references: Iterable[Sentence]) -> tuple[list[str], list[str]]:
    sides = sentence_pairs(hypotheses, references)
    if not sides[1]:
        raise SignXError("`references` must hold at least one sentence, got none.")
    both = ([line if isinstance(line, str) else " ".join(line) for line in side] for side in sides)
    predicted, expected = both
    if not any(line.strip() for line in expected):
        raise SignXError("`references` must hold at least one word, got only empty sentences.")
    return predicted, expected


def tokenization_of(lines: Iterable[str]) -> str:
    """Return how BLEU splits text: `char` for Chinese, Japanese and Korean, which write no spaces, else `13a`.

    Args:
        lines: the references.
    """
    letters = [letter for line in lines for letter in line if letter.isalpha()]
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in letters)
    return "char" if 2 * wide > len(letters) else "13a"


def _bleu_metric(tokenize: str, order: int, **options: Any) -> Any:
    if tokenize not in TOKENIZERS:
        raise SignXError(f"`tokenize` must be one of {', '.join(TOKENIZERS)}, got {tokenize!r}.")
    # force silences the warning about tokenized text, which sentences ending in " ." trigger
    return require("sacrebleu").metrics.BLEU(tokenize=tokenize, max_ngram_order=order, force=True, **options)


def bleu(hypotheses: Iterable[Sentence], references: Iterable[Sentence], tokenize: str = "none") -> TextScore:
    """Compute corpus BLEU with one reference each; `bleu_1` to `bleu_4` are cumulative, each with brevity penalty.

    What SignX-1 calls BLEU is `mean_sentence_bleu`.

    Args:
        hypotheses: Predicted sentences, as strings or lists. An empty one matches nothing but counts for the brevity
            penalty.
        references: True sentences. An empty one has no words, so its hypothesis only lowers the precision.
        tokenize: `none` splits at spaces, for glosses; `13a` or `intl` for text with punctuation; `zh` or `char` for
            the character level at which Chinese is scored.

    Raises:
        SignXError: If lengths differ, there is no sentence, all references are empty, or the tokenizer is unknown.
        ImportError: If sacrebleu is missing. The message names the extra.
    """
    predicted, expected = _lines(hypotheses, references)
    parts, signature = {}, ""
    for order in range(1, 5):
        metric = _bleu_metric(tokenize, order)
        parts[f"bleu_{order}"] = float(metric.corpus_score(predicted, [expected]).score)
        signature = str(metric.get_signature())
    return TextScore(parts["bleu_4"], signature, parts)


def chrf(hypotheses: Iterable[Sentence], references: Iterable[Sentence], word_order: int = 0) -> TextScore:
    """Compute corpus chrF; `word_order=2` is chrF++. Arguments and errors as in `bleu`."""
    predicted, expected = _lines(hypotheses, references)
    metric = require("sacrebleu").metrics.CHRF(word_order=word_order)
    score = float(metric.corpus_score(predicted, [expected]).score)
    return TextScore(score, str(metric.get_signature()), {"chrf": score})


class _Splitter:
    """Split at spaces, or into characters without spaces; rouge-score's own tokenizer drops all but ASCII letters."""

    def __init__(self, characters: bool):
        self.characters = characters

    def tokenize(self, text: str) -> list[str]:
        # NFC, so that a decomposed umlaut is not two characters
        text = unicodedata.normalize("NFC", text)
        return [letter for letter in text if not letter.isspace()] if self.characters else text.split()


def _rouge_values(predicted: list[str], expected: list[str], level: str) -> list[float]:
    """Return the ROUGE-L F1 of each pair, 0 to 1."""
    require("rouge_score")
    scorer = importlib.import_module("rouge_score.rouge_scorer").RougeScorer(
        ["rougeL"], use_stemmer=False, tokenizer=_Splitter(level == "char")
    )
    return [
        1.0 if not left.split() and not right.split() else scorer.score(right, left)["rougeL"].fmeasure
        for left, right in zip(predicted, expected)
    ]


def rouge_l(hypotheses: Iterable[Sentence], references: Iterable[Sentence], level: str = "word") -> TextScore:
    """Compute the mean ROUGE-L F1 over sentences, without stemming and case-sensitive.

    Args:
        hypotheses: Predicted sentences, as strings or lists.
        references: True sentences. A pair with one empty side counts 0, with two empty sides 100.
        level: `word`, or `char` for Chinese.

    Raises:
        SignXError: As in `bleu`, or an unknown level.
        ImportError: If rouge-score is missing. The message names the extra.
    """
    predicted, expected = _lines(hypotheses, references)
    if level not in ("word", "char"):
        raise SignXError(f"`level` must be 'word' or 'char', got {level!r}.")
    values = _rouge_values(predicted, expected, level)
    score = 100 * sum(values) / len(values)
    signature = f"rougeL|f1|mean|level:{level}|case:mixed|stem:no|rouge-score:{version('rouge-score')}"
    return TextScore(score, signature, {"rouge_l": score})


def best_sample_bleu_1(
    samples: Iterable[Iterable[Sentence]], references: Iterable[Sentence], tokenize: str = "none"
) -> TextScore:
    """Compute corpus BLEU-1 of the best sample of each clip: the first of those with the highest sentence BLEU-1.

    The reference chooses the sample, so it is an upper bound and no score of a system. What SignX-1 calls best is
    `best_clip_bleu_1`.

    Args:
        samples: One or more hypotheses for each reference.
        references: True sentences.
        tokenize: As in `bleu`.

    Raises:
        SignXError: As in `bleu`, or a clip without a sample.
    """
    samples, references = listed("samples", samples, "samples of each clip"), sentences_of("references", references)
    check_lengths(samples, references)
    for index, group in enumerate(samples):
        is_list = not isinstance(group, (str, Mapping)) and hasattr(type(group), "__iter__")
        if not is_list or not (group := list(group)):
            raise SignXError(f"samples of clip {index} must be a list of at least one sentence, got {group!r}.")
        samples[index] = sentences_of(f"samples[{index}]", group)
    metric = require("sacrebleu").metrics.BLEU(tokenize=tokenize, max_ngram_order=1, effective_order=True, force=True)
    chosen = []
    for group, reference in zip(samples, references):
        lines = [side if isinstance(side, str) else " ".join(side) for side in group]
        expected = reference if isinstance(reference, str) else " ".join(reference)
        scores = [metric.sentence_score(line, [expected]).score if expected.strip() else -len(line) for line in lines]
        chosen.append(lines[max(range(len(lines)), key=scores.__getitem__)])
    scored = bleu(chosen, references, tokenize)
    best = scored.parts["bleu_1"]
    return TextScore(best, f"{scored.signature}|order:1|chosen:best-of-samples", {"best_bleu_1": best})


def mean_sentence_bleu(
    hypotheses: Iterable[Sentence], references: Iterable[Sentence], tokenize: str = "none"
) -> TextScore:
    """Compute the mean over clips of the sentence BLEU of NLTK (`sentence_bleu` without smoothing), SignX-1's BLEU.

    A sentence without a common n-gram of every order counts 0, even a perfect one of fewer than four words, so the mean
    is usually far below corpus BLEU.

    Args:
        hypotheses: As in `bleu`.
        references: As in `bleu`.
        tokenize: As in `bleu`.

    Returns:
        The score with n-grams up to four, and for each order the part `mean_sentence_bleu_1` to `mean_sentence_bleu_4`.

    Raises:
        SignXError: As in `bleu`.
        ImportError: If sacrebleu is missing. The message names the extra.
    """
    predicted, expected = _lines(hypotheses, references)
    parts = {}
    for order in range(1, 5):
        values = _nltk_values(predicted, expected, tokenize, order)
        parts[f"mean_sentence_bleu_{order}"] = sum(values) / len(values)
    return TextScore(parts["mean_sentence_bleu_4"], _nltk_signature("bleu|mean:sentences", tokenize, 4), parts)


def best_clip_bleu_1(
    hypotheses: Iterable[Sentence], references: Iterable[Sentence], tokenize: str = "none"
) -> TextScore:
    """Compute the highest sentence BLEU-1 of any clip, which SignX-1 calls best; it says nothing about the other clips.

    Arguments and errors as in `mean_sentence_bleu`.
    """
    predicted, expected = _lines(hypotheses, references)
    score = max(_nltk_values(predicted, expected, tokenize, 1))
    return TextScore(score, _nltk_signature("bleu|chosen:best-clip", tokenize, 1), {"best_clip_bleu_1": score})


def _nltk_values(predicted: list[str], expected: list[str], tokenize: str, order: int) -> list[float]:
    """Return the sentence BLEU of NLTK of each pair, 0 to 100: sacrebleu computes it without smoothing.

    Where an n-gram is missing, NLTK has about 1e-77 for the 0 here.
    """
    metric = _bleu_metric(tokenize, order, smooth_method="none", effective_order=False)
    # as corpora of one sentence: `sentence_score` warns of orders that a short sentence lacks
    return [float(metric.corpus_score([left], [[right]]).score) for left, right in zip(predicted, expected)]


def _nltk_signature(name: str, tokenize: str, order: int) -> str:
    return (
        f"{name}|nrefs:1|case:mixed|order:{order}|tok:{tokenize}|smooth:none|as:nltk|sacrebleu:{version('sacrebleu')}"
    )


def sentence_scores(
    hypotheses: Iterable[Sentence], references: Iterable[Sentence], tokenize: str = "none"
) -> dict[str, list[float]]:
    """Compute BLEU-4, chrF and ROUGE-L of each sentence, 0 to 100.

    Sentence BLEU is sacrebleu's: smoothed (`exp`), up to the longest n-gram that the sentence has. It ranks clips; its
    mean is neither corpus BLEU nor `mean_sentence_bleu`.

    Args:
        hypotheses: As in `bleu`.
        references: As in `bleu`.
        tokenize: As in `bleu`; with `zh` and `char`, ROUGE-L is of characters.

    Returns:
        Lists `bleu`, `chrf` and `rouge_l`.

    Raises:
        SignXError: As in `bleu`.
        ImportError: If a package is missing. The message names the extra.
    """
    predicted, expected = _lines(hypotheses, references)
    metrics = {"bleu": _bleu_metric(tokenize, 4, effective_order=True), "chrf": require("sacrebleu").metrics.CHRF()}
    found = {
        name: [float(metric.sentence_score(left, [right]).score) for left, right in zip(predicted, expected)]
        for name, metric in metrics.items()
    }
    level = "char" if tokenize in BY_CHARACTER else "word"
    return {**found, "rouge_l": [100 * value for value in _rouge_values(predicted, expected, level)]}


def statistics(
    metric: str, hypotheses: Iterable[Sentence], references: Iterable[Sentence], tokenize: str = "none"
) -> tuple[np.ndarray, Callable[[np.ndarray], float]]:
    """Return what a measure counts in each clip, and the measure of any set of clips from the sum of their counts.

    Args:
        metric: One of `MEASURES`.
        hypotheses: As in `bleu`.
        references: As in `bleu`.
        tokenize: As in `bleu`.

    Returns:
        Counts `[clips, K]`, and the function from their sum `[K]` to the score, 0 to 100.

    Raises:
        SignXError: As in `bleu`, or an unknown measure.
        ImportError: If a package is missing. The message names the extra.
    """
    if metric not in MEASURES:
        raise SignXError(f"`metric` must be one of {', '.join(MEASURES)}, got {metric!r}.")
    predicted, expected = _lines(hypotheses, references)
    if metric in ("rouge_l", "mean_sentence_bleu"):
        if metric == "rouge_l":
            level = "char" if tokenize in BY_CHARACTER else "word"
            values = [100 * value for value in _rouge_values(predicted, expected, level)]
        else:
            values = _nltk_values(predicted, expected, tokenize, 4)
        return np.array([[value, 1.0] for value in values]), lambda sums: float(sums[0] / sums[1])
    scorer = require("sacrebleu").metrics.CHRF() if metric == "chrf" else _bleu_metric(tokenize, int(metric[-1]))
    # the hooks by which sacrebleu's own significance tests resample
    counts = np.array(scorer._extract_corpus_statistics(predicted, [expected]))
    return counts, lambda sums: float(scorer._compute_score_from_stats(sums.tolist()).score)
