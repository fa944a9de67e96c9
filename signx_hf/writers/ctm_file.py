"""CTM, as NIST's sclite reads it: `file channel start duration word confidence`, times in seconds, ordered by time.

The file is the name of the clip without folder and extension (its path where two clips of a stream share that name), the
channel always 1, the confidence left out if there is none. The format has no escapes and is separated by whitespace: whitespace, control characters and what sclite would
take for a comment or for alternatives are percent-encoded, and an empty word is `@`, sclite's empty word. Glosses without
times get equal shares of the clip: sclite goes by their order.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .text import cues, equal_spans, stem_of

CHANNEL = "1"
# any whitespace, control characters; `;;` opens a comment, `<ALT>` and `<ALT_BEGIN>` are sclite's own
RESERVED = re.compile(r"[\s\x00-\x1f\x7f-\x9f]|^;(?=;)|^<(?=ALT(_BEGIN|_END)?>$)")


def word(text: str) -> str:
    """Encode a gloss or name as one field."""
    return RESERVED.sub(lambda match: quote(match.group(), safe="", errors="backslashreplace"), text) or "@"


def rows(name: str, result: Mapping[str, Any], many: bool = True, by_path: bool = False) -> str:
    """Return the lines of one clip, which is named by its path if `by_path` is set."""
    clip, lines = word(name if by_path else stem_of(name)), []
    for start, end, segment in cues(equal_spans(result)):
        fields = [clip, CHANNEL, f"{start / 1000:.3f}", f"{(end - start) / 1000:.3f}", word(segment["gloss"])]
        if segment["confidence"] is not None:
            fields.append(f"{segment['confidence']:.4f}")
        lines.append(" ".join(fields))
    return "\n".join(lines)


def render(result: Mapping[str, Any], name: str, place: Path | None = None) -> str:
    """Return the file of one clip, empty if there is no gloss."""
    text = rows(name, result)
    return text + "\n" if text else ""
