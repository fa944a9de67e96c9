"""What the formats share: escapes, times in whole milliseconds, and the lines of subtitles."""

import math
import os
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from ..common.messages import CONTROLS


def stem_of(path: str) -> str:
    """Return the name of a clip without folder and extension; a folder of frames has no extension."""
    name = os.path.basename(os.path.abspath(path))
    return name if os.path.isdir(path) else os.path.splitext(name)[0]


def cues(parts: Sequence[Mapping[str, Any]], key: str = "gloss") -> list[tuple[int, int, Mapping[str, Any]]]:
    """Return `(start, end, part)` in milliseconds, ordered by time and none of them empty.

    Where two parts overlap, the first ends at the start of the second; a part without length gets one millisecond.
    """
    ordered = sorted((part for part in parts if part[key].strip()), key=lambda part: part["start"])
    starts: list[int] = []
    for part in ordered:
        starts.append(max(_milliseconds(part["start"]), starts[-1] + 1 if starts else 0))
    cues = []
    for index, (start, part) in enumerate(zip(starts, ordered)):
        end = max(_milliseconds(part["end"]), start + 1)
        cues.append((start, min(end, starts[index + 1]) if index + 1 < len(starts) else end, part))
    return cues


def _milliseconds(seconds: float) -> int:
    if not math.isfinite(seconds):
        raise ValueError(f"the time of a segment must be finite, got {seconds} seconds.")
    return max(round(1000 * seconds), 0)


def with_times(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the segments of a result. Glosses without times, of a model without CTC, are one segment as long as the clip."""
    segments = list(result.get("segments", ()))
    if not _lacks_times(segments):
        return segments
    text = " ".join(segment["gloss"] for segment in segments)
    return [{"gloss": text, "start": 0.0, "end": result["duration"], "confidence": None}]


def equal_spans(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the segments of a result. Glosses without times get equal shares of the clip, for a format that needs one of each
    and whose readers go by their order alone.
    """
    segments = list(result["segments"])
    if not _lacks_times(segments):
        return segments
    share = result["duration"] / len(segments)
    return [{**part, "start": share * place, "end": share * (place + 1)} for place, part in enumerate(segments)]


def _lacks_times(segments: Sequence[Mapping[str, Any]]) -> bool:
    return bool(segments) and segments[0]["start"] is None  # a model gives times to all glosses or to none


def seconds(value: float | None) -> str:
    """Return the cell of a table for a time, empty where there is none."""
    return "" if value is None else f"{value:.3f}"


def sureness(result: Mapping[str, Any]) -> str:
    """Return the cell of a table that says whether the model is sure: `yes`, `no`, or nothing where it has no threshold."""
    return {True: "yes", False: "no", None: ""}[result.get("sure")]


def translations(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the sentences of a result as `{"text", "start", "end"}`: its `translation`, or its `sentences` if it is of
    `sign-translation`. One without times lasts as long as the clip.
    """
    sentences = result.get("translation", result.get("sentences"))
    if isinstance(sentences, str):
        last = max((segment["end"] or 0.0 for segment in result["segments"]), default=0.0)
        sentences = [{"text": sentences, "start": 0.0, "end": result.get("duration", last)}]
    return list(sentences or ())


def captions(result: Mapping[str, Any]) -> list[tuple[int, int, list[str]]]:
    """Return `(start, end, lines)` of subtitles: the gloss that is signed, if any, and below it the sentence, if any."""
    glosses = [(start, end, part["gloss"]) for start, end, part in cues(with_times(result))]
    sentences = [(start, end, part["text"]) for start, end, part in cues(translations(result), "text")]
    edges = sorted({edge for start, end, _ in (*glosses, *sentences) for edge in (start, end)})
    tracks = [(track, [cue[0] for cue in track]) for track in (glosses, sentences)]
    found = []
    for start, end in zip(edges, edges[1:]):
        lines = []
        for track, starts in tracks:  # no cue overlaps the next one of its track
            index = bisect_right(starts, start) - 1
            if index >= 0 and end <= track[index][1]:
                lines.append(track[index][2].translate(CONTROLS))
        if lines:
            found.append((start, end, lines))
    return found
