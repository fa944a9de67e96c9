"""TSV: one line per gloss: file, gloss, start and end in seconds, confidence (each empty if there is none).

An isolated sign has one line per candidate, best first, and two more columns: its rank, and whether the model is sure
of the best one (`yes`, `no`, empty without a threshold).

Backslash, tab and line breaks are written as `\\\\`, `\\t`, `\\n`, `\\r`, other control characters as `\\x1b`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..common.messages import ESCAPES
from .text import seconds, sureness

COLUMNS = ("file", "gloss", "start", "end", "confidence")
CANDIDATE_COLUMNS = (*COLUMNS, "rank", "sure")


def head(result: Mapping[str, Any]) -> str:
    """Return the names of the columns."""
    return "\t".join(CANDIDATE_COLUMNS if "candidates" in result else COLUMNS)


def rows(name: str, result: Mapping[str, Any], many: bool = True) -> str:
    """Return the lines of one clip, without the header."""
    if "candidates" in result:
        times, sure = f"{result['start']:.3f}\t{result['end']:.3f}", sureness(result)
        return "\n".join(
            f"{name.translate(ESCAPES)}\t{candidate['label'].translate(ESCAPES)}\t{times}\t{candidate['score']:.4f}\t{rank}\t{sure}"
            for rank, candidate in enumerate(result["candidates"], 1)
        )
    lines = []
    for segment in result["segments"]:
        confidence = "" if segment["confidence"] is None else f"{segment['confidence']:.4f}"
        times = f"{seconds(segment['start'])}\t{seconds(segment['end'])}"
        lines.append(f"{name.translate(ESCAPES)}\t{segment['gloss'].translate(ESCAPES)}\t{times}\t{confidence}")
    return "\n".join(lines)


def render(result: Mapping[str, Any], name: str, place: Path | None = None) -> str:
    """Return the file of one clip, with its header."""
    return "\n".join(line for line in (head(result), rows(name, result)) if line) + "\n"
