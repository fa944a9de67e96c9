"""Refine, pad and fill in the start and end times of glosses in a clip."""

import torch


def refine_boundaries(
    logits: torch.Tensor, ids: list[int], starts: list[int], ends: list[int]
) -> tuple[list[float], list[float]]:
    """Boundaries within steps: a gloss also gets the share of each free step before and after it that its probability is.

    Args:
        logits: `[T', V]`. ids: of the glosses. starts, ends: their steps by forced alignment, in order.

    Returns:
        Starts and ends in steps, as floats. Probabilities of a step add up to 1, so neighbours cannot overlap.
    """
    probabilities = logits.float().softmax(-1).cpu()
    soft_starts, soft_ends = [], []
    for index, (gloss, start, end) in enumerate(zip(ids, starts, ends)):
        first, last = index == 0, index + 1 == len(ids)
        low, high = 0 if first else ends[index - 1], len(logits) if last else starts[index + 1]
        # what lies between two tokens of one gloss is both theirs, half each
        before = 0.5 if not first and ids[index - 1] == gloss else 1.0
        after = 0.5 if not last and ids[index + 1] == gloss else 1.0
        soft_starts.append(start - before * float(probabilities[low:start, gloss].sum()))
        soft_ends.append(end + after * float(probabilities[end:high, gloss].sum()))
    return soft_starts, soft_ends


def pad_boundaries(segments: list[dict], before: float, after: float, duration: float) -> list[dict]:
    """Lets each segment begin and end so many seconds earlier and later, within the clip; where two would overlap they share the gap
    between them in the same proportion. Segments without a time stay so."""
    widened = [dict(segment) for segment in segments]
    timed = [segment for segment in widened if segment["start"] is not None]
    if not timed or not before + after:
        return widened
    timed[0]["start"] = max(0.0, timed[0]["start"] - before)
    timed[-1]["end"] = min(duration, timed[-1]["end"] + after)
    for left, right in zip(timed, timed[1:]):
        gap = right["start"] - left["end"]
        share = min(1.0, gap / (before + after))
        left["end"], right["start"] = left["end"] + share * after, right["start"] - share * before
    return widened


def fill_times(segments: list[dict], duration: float) -> list[dict]:
    """Gives segments without a time (None) equal shares of the gap between their neighbours."""
    index = 0
    while index < len(segments):
        if segments[index]["start"] is not None:
            index += 1
            continue
        after = index
        while after < len(segments) and segments[after]["start"] is None:
            after += 1
        low = segments[index - 1]["end"] if index else 0.0
        high = segments[after]["start"] if after < len(segments) else duration
        share = (high - low) / (after - index)
        for place in range(index, after):
            segments[place].update(start=low + (place - index) * share, end=low + (place - index + 1) * share)
        index = after
    return segments
