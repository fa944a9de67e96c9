"""File formats of `recognize` and `translate`.

Each is written from the dict that the pipeline `sign-recognition` returns, or `isolated-sign-recognition` with
`details`; those that hold text also from that of `sign-translation`.

    from signx_hf.writers import WRITERS, read_eaf

    text = WRITERS["eaf"].render(result, "clip.mp4", Path("out/clip.eaf"))

The writers read `segments` (`gloss`, `start`, `end` in seconds, `confidence` 0 to 1 or None), `text` and, if present,
`translation`: a sentence, or a list of `{"text", "start", "end"}` (of `sign-translation` its `sentences`). A result
without a gloss gives a valid file without one. Tables also read the `candidates` of an isolated sign and whether the
model is `sure`; if it is not, no format names a sign as the answer.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import csv_file, ctm_file, eaf_file, json_file, srt_file, tsv_file, txt_file, vtt_file
from .eaf_file import EafLayout, read_eaf

__all__ = ["ALL", "WRITERS", "EafLayout", "Writer", "check_formats", "read_eaf"]

ALL = "all"


@dataclass(frozen=True)
class Writer:
    """One format.

    Attributes:
        render: (result, name of the clip, path of the output or None) -> the complete file as text. That of `eaf` also
            takes an `EafLayout`.
        rows: (name of the clip, result, whether there are several) -> its part of a stream of many clips; None if
            files of this format cannot be concatenated.
        head: First result, or {} if there is none -> what comes before the first row.
        needs: Optional module that the format needs.
        holds_text: Whether the file holds a translation; others have a row for each gloss.
    """

    render: Callable[..., str]
    rows: Callable[[str, Mapping[str, Any], bool], str] | None = None
    head: Callable[[Mapping[str, Any]], str] | None = None
    needs: str | None = None
    holds_text: bool = True


WRITERS: dict[str, Writer] = {
    "json": Writer(json_file.render, json_file.rows),
    "tsv": Writer(tsv_file.render, tsv_file.rows, tsv_file.head, holds_text=False),
    "csv": Writer(csv_file.render, csv_file.rows, csv_file.head, holds_text=False),
    "txt": Writer(txt_file.render, txt_file.rows),
    "srt": Writer(srt_file.render),
    "vtt": Writer(vtt_file.render, needs="webvtt"),
    "ctm": Writer(ctm_file.render, ctm_file.rows, holds_text=False),
    "eaf": Writer(eaf_file.render, needs="pympi"),
}


def check_formats(text: str, of_text: bool = False) -> tuple[str, ...]:
    """Return the formats that `"srt,eaf"` or `"all"` names, each once, in the order of the table.

    Args:
        text: Names, separated by commas.
        of_text: Whether they must hold a translation alone.

    Raises:
        ValueError: If a name is unknown, there is none, or a format has rows of glosses and there are none.
    """
    names = [name.strip() for name in text.split(",")]
    known = [name for name, writer in WRITERS.items() if writer.holds_text or not of_text]
    for name in names if of_text else ():
        if name in WRITERS and name not in known:
            raise ValueError(
                f"format must be one or more of {', '.join(known)} for a translation, got {name!r}, which has a row for "
                "each gloss. `signx-hf recognize` writes glosses."
            )
    unknown = [name for name in names if name != ALL and name not in WRITERS]
    if unknown:
        raise ValueError(
            f"format must be one or more of {', '.join(known)}, separated by commas, or {ALL}, got {unknown[0]!r}."
        )
    return tuple(name for name in known if name in names or ALL in names)


def check_installed(formats: Sequence[str]) -> None:
    """Import what the formats need.

    Raises:
        ImportError: If a package is missing. The message names the extra.
    """
    from ..common.extras import require

    for name in formats:
        if WRITERS[name].needs:
            require(WRITERS[name].needs)
