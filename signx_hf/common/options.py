"""Options given as `NAME=VALUE` on the command line."""

import json
from collections.abc import Sequence
from typing import Any


def pipeline_options(given: Sequence[str], flag: str = "--option", example: str = "num_beams=8") -> dict[str, Any]:
    """`["num_beams=8", "decoder=ctc"]` -> `{"num_beams": 8, "decoder": "ctc"}`. flag, example: for messages.

    Raises:
        ValueError: one that is no `name=value`.
    """
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (equals and name.isidentifier()):
            raise ValueError(f"{flag} {text!r}: wanted NAME=VALUE, for example {example}")
        found[name] = option_value(value)
    return found


def option_value(text: str) -> Any:
    """The value of `NAME=VALUE`: JSON, a list of texts as in `[S01, S02]`, or the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        if not (text.startswith("[") and text.endswith("]")):
            return text
    return [part.strip().strip("'\"") for part in text[1:-1].split(",")]  # not YAML, for which the gloss NO is false
