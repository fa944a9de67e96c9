"""SRT: one cue per gloss (one for the clip if glosses have no times), or per sentence of a translation. With both, the sentence stands below the gloss.

The format has no escapes: glosses stand as they are, but for control characters, written as `\\x1b`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .text import captions


def render(result: Mapping[str, Any], name: str, place: Path | None = None) -> str:
    """Return the file of one clip, empty if there is nothing to show."""
    blocks = [
        "\n".join([str(number), f"{_time(start)} --> {_time(end)}", *lines, ""])
        for number, (start, end, lines) in enumerate(captions(result), 1)
    ]
    return "\n".join(blocks)


def _time(milliseconds: int) -> str:
    seconds, milliseconds = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d},{milliseconds:03d}"
