"""Messages for the command line: one line each, safe for a terminal whatever a file name holds."""

import contextlib
import json
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

from ..processing.errors_signx import SignXError, SignXWarning

# File names and glosses may hold characters that move a terminal's cursor or separate columns and rows.
CONTROLS = str.maketrans(
    {chr(code): f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
    | {"\u2028": "\\u2028", "\u2029": "\\u2029"}
)
ESCAPES = {**CONTROLS, **str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})}


def readable(text: str) -> str:
    """Return a name as valid UTF-8 in whatever locale it was read, with escapes for other bytes."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # surrogates that stand for no byte
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


def printable(text: str) -> str:
    """Return a name or the cell of a table on one line that a terminal only shows, with escapes for control characters."""
    return readable(text).translate(CONTROLS)


def show(text: str) -> None:
    """Print lines that may hold names and cells of the user on standard output, so that a terminal only shows them."""
    print("\n".join(map(printable, text.split("\n"))), flush=True)


def to_json(content: object, indent: int | None = None, allow_nan: bool = True) -> str:
    """Return JSON that keeps letters of all scripts as they are and that a terminal only shows.

    `json.dumps` escapes control characters below 32, but not those from 127 to 159, which terminals obey as well.
    """
    text = json.dumps(content, ensure_ascii=False, indent=indent, allow_nan=allow_nan)
    return text.translate({code: f"\\u{code:04x}" for code in range(127, 160)})


def one_line(error: BaseException | Warning | str, limit: int | None = None) -> str:
    """Return a message on one line.

    Args:
        error: Of a page of tracebacks, as transformers passes on, the last error in it is taken; an empty message
            becomes the name of the class.
        limit: Maximum length, or None.
    """
    text = str(error)
    if "Traceback (most recent call last)" in text:
        causes = re.findall(r"^[\w.]*(?:Error|Exception): (.+)$", text, flags=re.MULTILINE)
        text = causes[-1] if causes else text
    return " ".join(text.split())[:limit] or type(error).__name__


def reason_of(error: BaseException) -> str:
    """Return the message on one line, after the name of the class unless it is a `SignXError`: `KeyError: 'x'`."""
    message, kind = one_line(error), type(error).__name__
    return message if isinstance(error, SignXError) or message == kind else f"{kind}: {message}"


def named_reason(path: str, error: BaseException) -> str:
    """Return the message on one line, preceded by the name of the clip unless it begins with it."""
    message = one_line(error)
    is_named = message.startswith((" ".join(path.split()) + ":", " ".join(str(Path(path)).split()) + ":"))
    return message if path.strip() and is_named else f"{path.translate(ESCAPES)}: {message}"


def say(message: str, command: str = "") -> None:
    """Print a message of `signx-hf`, or of one of its commands, as one line on standard error."""
    prefix = f"signx-hf {command}".rstrip()
    print(f"{prefix}: {printable(message)}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def warnings_to_stderr(command: str = "", category: type[Warning] = Warning) -> Iterator[None]:
    """Print warnings as one line each, as `say` does, while a command runs.

    Args:
        command: Name of the command, for the prefix.
        category: Warnings of other classes are shown as before.
    """
    show = warnings.showwarning

    def show_in_one_line(message, kind, *args, **kwargs) -> None:
        if issubclass(kind, category):
            say(f"warning: {one_line(message)}", command)
        else:
            show(message, kind, *args, **kwargs)

    with warnings.catch_warnings():
        warnings.showwarning = show_in_one_line
        yield


@contextlib.contextmanager
def collect_warnings() -> Iterator[list[str]]:
    """Yield a list that holds, afterwards, each `SignXWarning` of the block once, on one line. Other warnings are
    shown as usual.
    """
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SignXWarning)
        yield notes
    for entry in caught:
        if not issubclass(entry.category, SignXWarning):
            warnings.showwarning(entry.message, entry.category, entry.filename, entry.lineno)
        elif (note := one_line(entry.message)) not in notes:
            notes.append(note)
