"""TSV: one line per gloss: file, gloss, start and end in seconds, confidence (empty where there is none).

Backslash, tab and line breaks are written as `\\\\`, `\\t`, `\\n`, `\\r`, other control characters as `\\x1b`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .text import ESCAPES

COLUMNS = ("file", "gloss", "start", "end", "confidence")
HEAD = "\t".join(COLUMNS)


def rows(name: str, result: Mapping[str, Any], many: bool = True) -> str:
    """The lines of one clip, without the header."""
    lines = []
    for segment in result["segments"]:
        confidence = "" if segment["confidence"] is None else f"{segment['confidence']:.4f}"
        times = f"{segment['start']:.3f}\t{segment['end']:.3f}"
        lines.append(f"{name.translate(ESCAPES)}\t{segment['gloss'].translate(ESCAPES)}\t{times}\t{confidence}")
    return "\n".join(lines)


def render(result: Mapping[str, Any], name: str, place: Path | None = None) -> str:
    """The file of one clip, with its header."""
    return "\n".join(line for line in (HEAD, rows(name, result)) if line) + "\n"
