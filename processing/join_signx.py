"""Join the results of the utterances of a recording."""

from dataclasses import replace

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
        n_best=_join_hypotheses(parts, segments, n_best),
        duration=round(duration, 4),
        signer=signer,
        known=_known(parts),
        utterances=tuple(utterances),
        sure=any(sure) if sure else None,
        reason=reason,
    )


def _join_hypotheses(
    parts: list[tuple[float, Recognition]], segments: list[GlossSegment], n_best: int
) -> tuple[Hypothesis, ...]:
    score = sum(part.n_best[0].score for _, part in parts)
    changes = [
        (item.score - part.n_best[0].score, index, item.glosses)
        for index, (_, part) in enumerate(parts)
        for item in part.n_best[1:]
    ]
    hypotheses = [Hypothesis(tuple(segment.gloss for segment in segments), score)]
    for loss, index, glosses in sorted(changes, key=lambda change: (-change[0], change[1]))[: n_best - 1]:
        words = [glosses if at == index else part.glosses for at, (_, part) in enumerate(parts)]
        hypotheses.append(Hypothesis(tuple(word for part in words for word in part), score + loss))
    return tuple(hypotheses)


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
    sentences: list[Sentence] = []
    words: list[Word] = []
    for start, part in parts:
        for sentence in part.sentences:
            begin = round(max(start, sentences[-1].end if sentences else 0.0), 4)
            end = round(max(begin, min(start + part.duration, duration)), 4)
            sentences.append(replace(sentence, start=begin, end=end))
            words += part.words
    hypotheses = []
    if parts:
        score = sum(part.n_best[0].score for _, part in parts)
        best = [part.n_best[0].text for _, part in parts]
        changes = [
            (item.score - part.n_best[0].score, index, item.text)
            for index, (_, part) in enumerate(parts)
            for item in part.n_best[1:]
        ]
        hypotheses = [TextHypothesis(" ".join(filter(None, best)), score)]
        for loss, index, text in sorted(changes, key=lambda change: (-change[0], change[1]))[: n_best - 1]:
            changed = [text if at == index else said for at, said in enumerate(best)]
            hypotheses.append(TextHypothesis(" ".join(filter(None, changed)), score + loss))
    if sentences:
        reason = None
    else:
        reason = reason or "the decoder wrote no word"
    return Translation(tuple(words), tuple(hypotheses), tuple(sentences), round(duration, 4), signer, reason)
