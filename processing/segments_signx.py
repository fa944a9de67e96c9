"""Refine, pad and fill in the start and end times of glosses in a clip."""

import numpy as np
import torch


def refine_boundaries(
    logits: torch.Tensor, ids: list[int], starts: list[int], ends: list[int]
) -> tuple[list[float], list[float]]:
    """Refine boundaries within steps: extend a gloss into each free step beside it by its probability in that step.

    Args:
        logits: `[T', V]` CTC logits.
        ids: CTC ids of the glosses.
        starts: First step of each gloss by forced alignment, ascending.
        ends: Step after the last of each gloss.

    Returns:
        Starts and ends in steps, as floats. Probabilities of a step add up to 1, so neighbors cannot overlap.
    """
    probabilities = logits.float().softmax(-1).cpu()
    soft_starts, soft_ends = [], []
    for index, (gloss, start, end) in enumerate(zip(ids, starts, ends)):
        first, last = index == 0, index + 1 == len(ids)
        low, high = 0 if first else ends[index - 1], len(logits) if last else starts[index + 1]
        # Steps between two tokens of the same gloss are shared half and half.
        before = 0.5 if not first and ids[index - 1] == gloss else 1.0
        after = 0.5 if not last and ids[index + 1] == gloss else 1.0
        soft_starts.append(start - before * float(probabilities[low:start, gloss].sum()))
        soft_ends.append(end + after * float(probabilities[end:high, gloss].sum()))
    return soft_starts, soft_ends


def pad_boundaries(segments: list[dict], before: float, after: float, duration: float) -> list[dict]:
    """Start each segment earlier and end it later, within the clip.

    Where two segments would overlap they share the gap between them in the same proportion. Segments without times are
    kept.

    Args:
        segments: Dictionaries with `start` and `end` in seconds or None.
        before: Seconds by which segments start earlier.
        after: Seconds by which they end later.
        duration: Length of the clip in seconds.

    Returns:
        New segments.
    """
    padded = [dict(segment) for segment in segments]
    timed = [segment for segment in padded if segment["start"] is not None]
    if not timed or not before + after:
        return padded
    timed[0]["start"] = max(0.0, timed[0]["start"] - before)
    timed[-1]["end"] = min(duration, timed[-1]["end"] + after)
    for left, right in zip(timed, timed[1:]):
        gap = right["start"] - left["end"]
        share = min(1.0, gap / (before + after))
        left["end"], right["start"] = left["end"] + share * after, right["start"] - share * before
    return padded


def fill_times(segments: list[dict], duration: float) -> list[dict]:
    """Give segments without times (None) equal shares of the gap between their neighbors.

    Args:
        segments: Dictionaries with `start` and `end`; changed in place and returned.
        duration: Length of the clip in seconds.
    """
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


def on_clock(segments: list[dict], metadata: dict) -> list[dict]:
    """Move times that count from the first frame of a clip to its clock, which may show more than 0 there.

    Args:
        segments: Dictionaries with `start` and `end` in seconds; changed in place and returned.
        metadata: Metadata of the clip: `start` in seconds, and where frames do not follow each other at `fps`,
            `times` of all in seconds since the first.
    """
    for segment in segments:
        for edge in ("start", "end"):
            segment[edge] = _seconds_on_clock(segment[edge], metadata)
    return segments


def ends_at(metadata: dict, fps: float) -> float:
    """Return the seconds at which a clip ends, on its clock.

    Args:
        metadata: As for `on_clock`, with `frames` and `fps`.
        fps: Frames per second if the metadata has none.
    """
    return _seconds_on_clock(metadata["frames"] / (metadata["fps"] or fps), metadata)


def _seconds_on_clock(seconds: float, metadata: dict) -> float:
    times = metadata.get("times")
    if times is not None:  # every frame was kept, at a variable rate
        period = 1 / metadata["fps"]
        seconds = float(np.interp(seconds / period, np.arange(len(times) + 1), [*times, times[-1] + period]))
    return seconds + metadata.get("start", 0.0)
