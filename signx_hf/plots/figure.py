"""What all figures share: colours, and files that appear whole."""

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..common.atomic_io import AGAIN, atomic_write
from ..common.extras import require

# Okabe and Ito's colours, told apart by colour-blind readers
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#0072B2", "#D55E00", "#F0E442")
# for glosses in characters that matplotlib's own font lacks; the first that is installed
CJK_FONTS = ("Noto Sans CJK SC", "Source Han Sans SC", "WenQuanYi Zen Hei", "Microsoft YaHei", "PingFang SC")
HEAT = "viridis"  # even in brightness, so it reads in grey and to colour-blind readers


def new_figure(width: float, height: float) -> Any:
    """A figure of so many inches without pyplot: no global state, no display.

    Raises:
        ImportError: names the extra that brings matplotlib.
    """
    require("matplotlib")
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Any, path: str | Path, dpi: int = 120, again: str = AGAIN) -> Path:
    """Writes a PNG or SVG, by the suffix of `path`, which appears whole. again: how the user goes on after a full disk."""
    import matplotlib.text

    path = Path(path)
    families = ["DejaVu Sans", *(name for name in CJK_FONTS if name in _installed_fonts())]
    for text in figure.findobj(matplotlib.text.Text):
        text.set_fontfamily(families)
        if "\\mathdefault" not in text.get_text():  # of matplotlib's own numbers
            text.set_parse_math(False)  # names of files and glosses may hold dollar signs
    with atomic_write(path, again) as beside:
        figure.savefig(beside, dpi=dpi)
    return path


@functools.cache
def _installed_fonts() -> frozenset[str]:
    from matplotlib import font_manager

    return frozenset(font_manager.get_font_names())


def colours_of(names: Iterable[str]) -> dict[str, str]:
    """A colour for each name; the eighth has that of the first again."""
    return {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(dict.fromkeys(names))}


def draw_spans(
    axes: Any, segments: Sequence[dict[str, Any]], row: float, colour: dict[str, str], height: float = 0.5,
    places: Sequence[float] = (-0.36, 0.36),
) -> None:  # fmt: skip
    """Segments as bars at `row`, gloss and confidence beside them, at the first of `places` that is free there."""
    low, high = axes.get_xlim()
    inches = axes.get_figure().get_figwidth() * 0.75  # about what is left of the figure for these axes
    character = 0.075 * (high - low) / inches  # a little more than the mean width at this size
    free_from = dict.fromkeys(places, float("-inf"))
    for part in segments:
        width = part["end"] - part["start"]
        axes.barh(row, width, left=part["start"], height=height, color=colour[part["gloss"]], edgecolor="black")
        sure = part.get("confidence")
        label = part["gloss"] + ("" if sure is None else f" {sure:.2f}")
        middle, half = part["start"] + width / 2, len(label) * character / 2
        place = next(
            (place for place in places if free_from[place] <= middle - half), min(free_from, key=free_from.get)
        )
        free_from[place] = middle + half
        axes.text(middle, row + place, label, ha="center", va="center", fontsize=8, clip_on=False)
