"""TXT: the glosses of a clip on one line, or its translation, or both with a tab between them; control characters as
`\\x1b`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..common.messages import CONTROLS, ESCAPES
from .text import translations

UNSURE = "?"


def rows(name: str, result: Mapping[str, Any], many: bool) -> str:
    """Return one line, after the name of the file if there are several."""
    text = UNSURE if result.get("sure") is False else result["text"].translate(CONTROLS)
    if "translation" in result:
        said = " ".join(sentence["text"] for sentence in translations(result))
        text = f"{text}\t{said.translate(CONTROLS)}"
    return f"{name.translate(ESCAPES)}\t{text}" if many else text


def with_candidates(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the result of an isolated sign with all candidates and their scores in place of the best one."""
    shown = ", ".join(f"{item['label']} {item['score']:.2f}" for item in result["candidates"])
    return {**result, "text": f"{UNSURE} {shown}" if result.get("sure") is False else shown, "sure": None}


def render(result: Mapping[str, Any], name: str, place: Path | None = None) -> str:
    """Return the file of one clip."""
    return rows(name, result, many=False) + "\n"
