"""SRT: one cue per gloss, or one for the clip if glosses have no times. The format has no escapes: glosses stand as they are, but for control characters, written as `\\x1b`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..common.messages import CONTROLS
from .text import cues, with_times


def render(result: Mapping[str, Any], name: str, place: Path | None = None) -> str:
    """Return the file of one clip, empty if there is no gloss."""
    blocks = [
        f"{number}\n{_time(start)} --> {_time(end)}\n{segment['gloss'].translate(CONTROLS)}\n"
        for number, (start, end, segment) in enumerate(cues(with_times(result)), 1)
    ]
    return "\n".join(blocks)


def _time(milliseconds: int) -> str:
    seconds, milliseconds = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d},{milliseconds:03d}"
