"""What all figures share: colors, and files that are written atomically."""

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common.atomic_io import AGAIN, atomic_write
from ..common.extras import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colors, distinct for color-blind readers
COLORS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#0072B2", "#D55E00", "#F0E442")
# for glosses in characters that matplotlib's own font lacks; the first that is installed
CJK_FONTS = ("Noto Sans CJK SC", "Source Han Sans SC", "WenQuanYi Zen Hei", "Microsoft YaHei", "PingFang SC")
HEAT = "viridis"  # uniform in brightness, so readable in gray and for color-blind readers


def new_figure(width: float, height: float) -> "Figure":
    """Create a figure of a size in inches without pyplot: no global state, no display.

    Raises:
        ImportError: If matplotlib is missing. The message names the extra.
    """
    require("matplotlib")
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: "Figure", path: str | Path, dpi: int = 120, again: str = AGAIN) -> Path:
    """Write a PNG or SVG atomically; the suffix of `path` chooses the format.

    Args:
        figure: The figure.
        path: Path of the file.
        dpi: Pixels per inch of a PNG.
        again: What the user can do after an error such as a full disk.
    """
    import matplotlib.text

    path = Path(path)
    families = ["DejaVu Sans", *(name for name in CJK_FONTS if name in _installed_fonts())]
    for text in figure.findobj(matplotlib.text.Text):
        text.set_fontfamily(families)
        if "\\mathdefault" not in text.get_text():  # for matplotlib's own numbers
            text.set_parse_math(False)  # file names and glosses may contain dollar signs
    with atomic_write(path, again) as beside:
        figure.savefig(beside, dpi=dpi)
    return path


@functools.cache
def _installed_fonts() -> frozenset[str]:
    from matplotlib import font_manager

    return frozenset(font_manager.get_font_names())


def colors_of(names: Iterable[str]) -> dict[str, str]:
    """Return a color for each name; from the eighth name on, colors repeat."""
    return {name: COLORS[index % len(COLORS)] for index, name in enumerate(dict.fromkeys(names))}


def draw_spans(
    axes: "Axes", segments: Sequence[dict[str, Any]], row: float, color: dict[str, str], height: float = 0.5,
    places: Sequence[float] = (-0.36, 0.36),
) -> None:  # fmt: skip
    """Draw segments as bars at `row`, with gloss and confidence at the first of `places` that is free."""
    low, high = axes.get_xlim()
    inches = axes.get_figure().get_figwidth() * 0.75  # about what is left of the figure for these axes
    character = 0.075 * (high - low) / inches  # a little more than the mean width at this size
    free_from = dict.fromkeys(places, float("-inf"))
    for part in segments:
        width = part["end"] - part["start"]
        axes.barh(row, width, left=part["start"], height=height, color=color[part["gloss"]], edgecolor="black")
        sure = part.get("confidence")
        label = part["gloss"] + ("" if sure is None else f" {sure:.2f}")
        middle, half = part["start"] + width / 2, len(label) * character / 2
        place = next(
            (place for place in places if free_from[place] <= middle - half), min(free_from, key=free_from.get)
        )
        free_from[place] = middle + half
        axes.text(middle, row + place, label, ha="center", va="center", fontsize=8, clip_on=False)
