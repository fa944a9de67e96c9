"""WebVTT, with the extra `subtitles`: one cue per gloss, or per sentence of a translation, as in SRT.

`&`, `<` and `>` are written as `&amp;`, `&lt;`, `&gt;`, control characters as `\\x1b`.
"""

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .text import captions


def render(result: Mapping[str, Any], name: str, place: Path | None = None) -> str:
    """Return the file of one clip.

    Raises:
        ImportError: If webvtt is missing. The message names the extra.
    """
    from ..common.extras import require

    webvtt = require("webvtt")
    shown = [
        webvtt.Caption(_time(start), _time(end), html.escape("\n".join(lines), quote=False))
        for start, end, lines in captions(result)
    ]
    return webvtt.WebVTT(captions=shown).content.rstrip("\n") + "\n"


def _time(milliseconds: int) -> str:
    seconds, milliseconds = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{milliseconds:03d}"
