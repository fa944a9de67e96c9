"""CTM, as NIST's sclite scores it: `file channel start duration word confidence`, times in seconds, in the order of time.

The file is the clip's name without folder and ending, the channel always 1, the confidence left out where there is none. The format
has no escapes and separates with white space: that, control characters and what sclite would take for a comment or for
alternatives stand percent-encoded, an empty word as `@`, sclite's word for nothing.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .text import cues, stem_of

CHANNEL = "1"
# white space of any kind, control characters; `;;` opens a comment, `<ALT>` and `<ALT_BEGIN>` are sclite's own
RESERVED = re.compile(r"[\s\x00-\x1f\x7f-\x9f]|^;(?=;)|^<(?=ALT(_BEGIN|_END)?>$)")


def word(text: str) -> str:
    """A gloss or name as one field."""
    return RESERVED.sub(lambda match: quote(match.group(), safe="", errors="backslashreplace"), text) or "@"


def rows(name: str, result: Mapping[str, Any], many: bool = True) -> str:
    """The lines of one clip."""
    clip, lines = word(stem_of(name)), []
    for start, end, segment in cues(result["segments"]):
        fields = [clip, CHANNEL, f"{start / 1000:.3f}", f"{(end - start) / 1000:.3f}", word(segment["gloss"])]
        if segment["confidence"] is not None:
            fields.append(f"{segment['confidence']:.4f}")
        lines.append(" ".join(fields))
    return "\n".join(lines)


def render(result: Mapping[str, Any], name: str, place: Path | None = None) -> str:
    """The file of one clip; an empty one where there is no gloss."""
    text = rows(name, result)
    return text + "\n" if text else ""
