"""Parse options of the command line that are given as `NAME=VALUE`."""

import argparse
import json
from collections.abc import Sequence
from typing import Any, TypeAlias

# What `ArgumentParser.add_subparsers` returns
Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def pipeline_options(given: Sequence[str], flag: str = "--option", example: str = "num_beams=8") -> dict[str, Any]:
    """Parse `["num_beams=8", "decoder=ctc"]` to `{"num_beams": 8, "decoder": "ctc"}`.

    Args:
        given: The options.
        flag: Name of the flag, for messages.
        example: For messages.

    Raises:
        ValueError: If an option is not `NAME=VALUE`.
    """
    options = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (equals and name.isidentifier()):
            raise ValueError(f"{flag} must be NAME=VALUE, such as {example}, got {text!r}.")
        options[name] = option_value(value)
    return options


def option_value(text: str) -> Any:
    """Parse the value of `NAME=VALUE`: JSON, a list of strings such as `[S01, S02]`, or the string itself."""
    try:
        return json.loads(text)
    except ValueError:
        if not (text.startswith("[") and text.endswith("]")):
            return text
    return [part.strip().strip("'\"") for part in text[1:-1].split(",")]  # not YAML, which reads the gloss NO as false
