"""BLEU, chrF and ROUGE-L of sentences, by sacrebleu and rouge-score, with the signature that makes a number comparable."""

import importlib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

from ..common.extras import require
from ..processing.errors_signx import SignXError
from .error_rate import Sentence, check_lengths

TOKENIZERS = ("none", "13a", "intl", "zh", "char")


@dataclass(frozen=True)
class TextScore:
    """score: 0 to 100. signature: what the library calls itself and its settings. parts: such as `bleu_1` to `bleu_4`."""

    score: float
    signature: str
    parts: dict[str, float]


def _lines(hypotheses: Sequence[Sentence], references: Sequence[Sentence]) -> tuple[list[str], list[str]]:
    check_lengths(hypotheses, references)
    if not len(references):
        raise SignXError("`references` must hold at least one sentence, got none.")
    both = (
        [side if isinstance(side, str) else " ".join(side) for side in sides] for sides in (hypotheses, references)
    )
    predicted, expected = both
    if not any(line.strip() for line in expected):
        raise SignXError("`references` must hold at least one word, got only empty sentences.")
    return predicted, expected


def bleu(hypotheses: Sequence[Sentence], references: Sequence[Sentence], tokenize: str = "none") -> TextScore:
    """BLEU of a corpus with one reference for each sentence; `bleu_1` to `bleu_4` are cumulative, each with brevity penalty.

    Args:
        hypotheses, references: strings or lists. An empty hypothesis matches nothing and counts for the brevity penalty; an
            empty reference has no words, so what stands opposite only lowers the precision.
        tokenize: `none` splits at spaces, as glosses want; `13a` or `intl` for text with punctuation; `zh` or `char` for
            character level, which Chinese is scored at.

    Raises:
        SignXError: unequal lengths, no sentence, only empty references, an unknown tokenizer.
        ImportError: names the extra that brings sacrebleu.
    """
    predicted, expected = _lines(hypotheses, references)
    if tokenize not in TOKENIZERS:
        raise SignXError(f"`tokenize` must be one of {', '.join(TOKENIZERS)}, got {tokenize!r}.")
    metrics = require("sacrebleu").metrics
    parts, signature = {}, ""
    for order in range(1, 5):
        # force: sacrebleu warns of what ends in " .", which glosses do not
        metric = metrics.BLEU(tokenize=tokenize, max_ngram_order=order, force=True)
        parts[f"bleu_{order}"] = float(metric.corpus_score(predicted, [expected]).score)
        signature = str(metric.get_signature())
    return TextScore(parts["bleu_4"], signature, parts)


def chrf(hypotheses: Sequence[Sentence], references: Sequence[Sentence], word_order: int = 0) -> TextScore:
    """chrF of a corpus; word_order=2 is chrF++. Arguments and errors as `bleu`."""
    predicted, expected = _lines(hypotheses, references)
    metric = require("sacrebleu").metrics.CHRF(word_order=word_order)
    score = float(metric.corpus_score(predicted, [expected]).score)
    return TextScore(score, str(metric.get_signature()), {"chrf": score})


class _Splitter:
    """Words between spaces, or characters without spaces; rouge-score's own tokenizer drops all but ASCII letters."""

    def __init__(self, characters: bool):
        self.characters = characters

    def tokenize(self, text: str) -> list[str]:
        # one form for each letter, so that a decomposed umlaut is not two characters
        text = unicodedata.normalize("NFC", text)
        return [letter for letter in text if not letter.isspace()] if self.characters else text.split()


def rouge_l(hypotheses: Sequence[Sentence], references: Sequence[Sentence], level: str = "word") -> TextScore:
    """Mean ROUGE-L F1 over sentences: no stemming, letter case as it is.

    Args:
        level: `word`, or `char` for Chinese. A sentence with one side empty counts 0, with both empty 100.

    Raises:
        SignXError: as `bleu`, and an unknown level. ImportError: names the extra that brings rouge-score.
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
    samples: Sequence[Sequence[Sentence]], references: Sequence[Sentence], tokenize: str = "none"
) -> TextScore:
    """BLEU-1 of the corpus of the best sample of each clip: the one of the highest sentence BLEU-1, of equal ones the first.

    What SignX-1 calls best: of several samples for a clip, chosen by the reference, hence an upper bound and no system's score.

    Args:
        samples: one or more hypotheses for each reference.

    Raises:
        SignXError: as `bleu`, and a clip without a sample.
    """
    check_lengths(samples, references)
    for index, group in enumerate(samples):
        if isinstance(group, str) or not len(group):
            raise SignXError(f"samples of clip {index} must be a list of at least one sentence, got {group!r}.")
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
