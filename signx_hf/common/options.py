"""Parse options of the command line that are given as `NAME=VALUE`."""

import argparse
import json
from collections.abc import Sequence
from typing import Any, TypeAlias

from ..processing.errors_signx import SignXError
from .reading import load_json

# What `ArgumentParser.add_subparsers` returns
Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def pipeline_options(given: Sequence[str], flag: str = "--option", example: str = "num_beams=8") -> dict[str, Any]:
    """Parse `["num_beams=8", "decoder=ctc"]` to `{"num_beams": 8, "decoder": "ctc"}`.

    Args:
        given: The options.
        flag: Name of the flag, for messages.
        example: For messages.

    Raises:
        ValueError: If an option is not `NAME=VALUE`, or as `option_value`.
    """
    options = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (equals and name.isidentifier()):
            raise ValueError(f"{flag} must be NAME=VALUE, such as {example}, got {text!r}.")
        options[name] = option_value(value)
    return options


def option_value(text: str) -> Any:
    """Parse the value of `NAME=VALUE`: JSON, a list of strings such as `[S01, S02]`, or the string itself.

    Raises:
        SignXError: If it is nested too deeply, or has an integer of hundreds of digits.
    """
    try:
        return load_json(text)
    except json.JSONDecodeError:
        if not (text.startswith("[") and text.endswith("]")):
            return text
    except ValueError as error:
        raise SignXError(
            f"an option must be a plain value, such as 8 or ctc, got {text[:20]!r}...: {error}."
        ) from error
    return [part.strip().strip("'\"") for part in text[1:-1].split(",")]  # not YAML, which reads the gloss NO as false
