"""BLEU, chrF and ROUGE-L by sacrebleu and rouge-score, with the signature that makes a number comparable."""

import importlib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version

from ..common.extras import require
from ..processing.errors_signx import SignXError
from .arrays import listed, sentences_of
from .error_rate import Sentence, check_lengths, sentence_pairs

TOKENIZERS = ("none", "13a", "intl", "zh", "char")


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


def bleu(hypotheses: Iterable[Sentence], references: Iterable[Sentence], tokenize: str = "none") -> TextScore:
    """Compute corpus BLEU with one reference each; `bleu_1` to `bleu_4` are cumulative, each with brevity penalty.

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
    if tokenize not in TOKENIZERS:
        raise SignXError(f"`tokenize` must be one of {', '.join(TOKENIZERS)}, got {tokenize!r}.")
    metrics = require("sacrebleu").metrics
    parts, signature = {}, ""
    for order in range(1, 5):
        # force silences the warning about tokenized text, which sentences ending in " ." trigger
        metric = metrics.BLEU(tokenize=tokenize, max_ngram_order=order, force=True)
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
    require("rouge_score")
    scorer = importlib.import_module("rouge_score.rouge_scorer").RougeScorer(
        ["rougeL"], use_stemmer=False, tokenizer=_Splitter(level == "char")
    )
    values = [
        1.0 if not left.split() and not right.split() else scorer.score(right, left)["rougeL"].fmeasure
        for left, right in zip(predicted, expected)
    ]
    score = 100 * sum(values) / len(values)
    signature = f"rougeL|f1|mean|level:{level}|case:mixed|stem:no|rouge-score:{version('rouge-score')}"
    return TextScore(score, signature, {"rouge_l": score})


def best_sample_bleu_1(
    samples: Iterable[Iterable[Sentence]], references: Iterable[Sentence], tokenize: str = "none"
) -> TextScore:
    """Compute corpus BLEU-1 of the best sample of each clip: the first of those with the highest sentence BLEU-1.

    SignX-1 calls this score best. The reference chooses the sample, so it is an upper bound and no score of a system.

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
