"""CSV, for spreadsheets: comma-separated, quoted as Python's module `csv` does (RFC 4180), lines end in a line feed.

Sentences have one row per gloss, with the columns of TSV. Isolated signs have one row per clip: `gloss` is the answer,
empty if the model is not sure (`sure`: `yes`, `no`, empty without a threshold), and `gloss_1`, `score_1` and so on are
the candidates, best first. Control characters are written as `\\x1b`.
"""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..common.messages import CONTROLS
from .text import seconds, sureness
from .tsv_file import COLUMNS


def head(result: Mapping[str, Any]) -> str:
    """Return the names of the columns."""
    if "candidates" not in result:
        return _row(COLUMNS)
    ranks = range(1, len(result["candidates"]) + 1)
    return _row((*COLUMNS, "sure", *(f"{name}_{rank}" for rank in ranks for name in ("gloss", "score"))))


def rows(name: str, result: Mapping[str, Any], many: bool = True) -> str:
    """Return the rows of one clip, without the header."""
    if "candidates" in result:
        best = result["segments"][0] if result["segments"] else {"gloss": "", "confidence": None}
        ranks = [
            cell for candidate in result["candidates"] for cell in (candidate["label"], f"{candidate['score']:.4f}")
        ]
        return _row(
            (*_cells(name, {**best, "start": result["start"], "end": result["end"]}), sureness(result), *ranks)
        )
    return "\n".join(_row(_cells(name, segment)) for segment in result["segments"])


def render(result: Mapping[str, Any], name: str, place: Path | None = None) -> str:
    """Return the file of one clip, with its header."""
    return "\n".join(line for line in (head(result), rows(name, result)) if line) + "\n"


def _cells(name: str, segment: Mapping[str, Any]) -> tuple[str, ...]:
    confidence = "" if segment["confidence"] is None else f"{segment['confidence']:.4f}"
    return name, segment["gloss"], seconds(segment["start"]), seconds(segment["end"]), confidence


def _row(cells: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([cell.translate(CONTROLS) for cell in cells])
    return line.getvalue()
