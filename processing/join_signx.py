"""Join the results of the utterances of a recording."""

from dataclasses import replace
from typing import TypeVar

from .results_signx import (
    GlossSegment,
    Hypothesis,
    Recognition,
    Sentence,
    Signer,
    TextHypothesis,
    Translation,
    Utterance,
    Word,
)  # fmt: skip

ItemT = TypeVar("ItemT", Hypothesis, TextHypothesis)


def join_results(
    parts: list[tuple[float, Recognition]],
    duration: float,
    n_best: int,
    reason: str | None,
    signer: Signer | None = None,
) -> Recognition:
    """Join the results of the utterances of a recording into one.

    The n-th hypothesis of the recording changes one utterance: the one where another of its hypotheses costs least.
    Utterances that the model is not sure of give no glosses.

    Args:
        parts: Start of each utterance in seconds, and its result.
        duration: Length of the recording in seconds.
        n_best: Number of hypotheses to return at most.
        reason: Why nobody signs; None if somebody does.
        signer: Whose signing was read, and how.
    """
    segments: list[GlossSegment] = []
    utterances: list[Utterance] = []
    last = 0.0
    for start, part in parts:
        begin = round(max(start, utterances[-1].end if utterances else 0.0), 4)
        utterances.append(Utterance(begin, round(max(begin, min(start + part.duration, duration)), 4)))
        for segment in part.segments:
            assert segment.start is not None and segment.end is not None  # only a model with CTC reads utterances
            # Of two equal times that are rounded, the second may be a tenth of a millisecond less: hence max.
            begin = round(max(last, min(segment.start + start, duration)), 4)
            last = round(max(begin, min(segment.end + start, duration)), 4)
            segments.append(replace(segment, start=begin, end=last))
    sure = [part.sure for _, part in parts if part.sure is not None]
    if segments:
        reason = None
    else:
        unsure = (part.reason for _, part in parts if part.sure is False)
        reason = reason or next(unsure, "no sign was recognized in what moves")
    return Recognition(
        glosses=tuple(segment.gloss for segment in segments),
        segments=tuple(segments),
        n_best=_join_hypotheses(parts, n_best),
        duration=round(duration, 4),
        signer=signer,
        known=_known(parts),
        utterances=tuple(utterances),
        sure=any(sure) if sure else None,
        reason=reason,
        translation=_join_sentences([(start, part.duration, part.translation) for start, part in parts], duration),
    )


def _join_hypotheses(parts: list[tuple[float, Recognition]], n_best: int) -> tuple[Hypothesis, ...]:
    hypotheses = []
    for chosen, score in _choices([part.n_best for _, part in parts], n_best):
        # `glosses` and not those of the hypothesis: they leave out utterances that the model is not sure of
        words = [part.glosses if item is part.n_best[0] else item.glosses for item, (_, part) in zip(chosen, parts)]
        hypotheses.append(Hypothesis(tuple(word for said in words for word in said), score))
    return tuple(hypotheses)


def _choices(n_bests: list[tuple[ItemT, ...]], n_best: int) -> list[tuple[list[ItemT], float]]:
    """Return the choices of one hypothesis of each utterance, best first, with the sum of their scores: the best of all, then
    those that change one utterance.
    """
    best = [items[0] for items in n_bests]
    score = sum(item.score for item in best)
    changes = [(item.score - items[0].score, index, item) for index, items in enumerate(n_bests) for item in items[1:]]
    changes.sort(key=lambda change: (-change[0], change[1]))
    choices = [(best, score)]
    for loss, index, item in changes[: n_best - 1]:
        choices.append(([*best[:index], item, *best[index + 1 :]], score + loss))
    return choices


def _known(parts: list[tuple[float, Recognition]]) -> float:
    """Return the mean of `known` over the utterances, weighted by their number of glosses."""
    counts = [len(part.n_best[0].glosses) for _, part in parts]
    return sum(n * part.known for n, (_, part) in zip(counts, parts)) / max(1, sum(counts))


def join_translations(
    parts: list[tuple[float, Translation]],
    duration: float,
    n_best: int,
    reason: str | None,
    signer: Signer | None = None,
) -> Translation:
    """Join the translations of the utterances of a recording, one sentence each; arguments as for `join_results`."""
    sentences = _join_sentences([(start, part.duration, part.sentences) for start, part in parts], duration) or ()
    words: list[Word] = [word for _, part in parts for word in part.words]
    hypotheses = tuple(
        TextHypothesis(" ".join(item.text for item in chosen if item.text), score)
        for chosen, score in _choices([part.n_best for _, part in parts], n_best)
        if parts
    )
    if sentences:
        reason = None
    else:
        reason = reason or "the decoder wrote no word"
    return Translation(tuple(words), hypotheses, sentences, round(duration, 4), signer, reason)


def _join_sentences(
    parts: list[tuple[float, float, tuple[Sentence, ...] | None]], duration: float
) -> tuple[Sentence, ...] | None:
    """Return the sentences of utterances on the clock of the recording; None if none was asked for.

    Args:
        parts: Start of each utterance in seconds, its length, and its sentences.
        duration: Length of the recording in seconds.
    """
    sentences: list[Sentence] = []
    for start, length, items in parts:
        for sentence in items or ():
            begin = round(max(start, sentences[-1].end if sentences else 0.0), 4)
            sentences.append(replace(sentence, start=begin, end=round(max(begin, min(start + length, duration)), 4)))
    return tuple(sentences) if any(items is not None for _, _, items in parts) else None
