"""Messages for the command line: one line each, safe for a terminal whatever a file name holds."""

import re
import sys
from pathlib import Path

# File names and glosses may hold what moves a terminal's cursor or separates columns and rows.
CONTROLS = str.maketrans(
    {chr(code): f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
    | {"\u2028": "\\u2028", "\u2029": "\\u2029"}
)
ESCAPES = {**CONTROLS, **str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})}


def readable(text: str) -> str:
    """A name as UTF-8 in whatever locale it was read, with escapes for bytes that are no UTF-8."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # surrogates that stand for no byte
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


def one_line(error: BaseException | Warning | str) -> str:
    """The message on one line; of a page of tracebacks, as transformers passes on, the last error in it."""
    text = str(error)
    if "Traceback (most recent call last)" in text:
        causes = re.findall(r"^[\w.]*(?:Error|Exception): (.+)$", text, flags=re.MULTILINE)
        text = causes[-1] if causes else text
    return " ".join(text.split()) or type(error).__name__


def named_reason(path: str, error: BaseException) -> str:
    """Why a clip failed, with its name in front, once."""
    message = one_line(error)
    named = message.startswith((" ".join(path.split()) + ":", " ".join(str(Path(path)).split()) + ":"))
    return message if path.strip() and named else f"{path.translate(ESCAPES)}: {message}"


def say(message: str, command: str = "") -> None:
    """Print a message of `signx-hf`, or of one of its commands, as one line on standard error."""
    prefix = f"signx-hf {command}".rstrip()
    print(f"{prefix}: {readable(message).translate(CONTROLS)}", file=sys.stderr, flush=True)
