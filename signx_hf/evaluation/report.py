"""The report of an evaluation: one HTML file that needs no network."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common.extras import is_available
from .options import ISOLATED, TRANSLATION
from .text import lines, percent
from .translations import is_wrong

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TEMPLATE = Path(__file__).with_name("report.html.jinja")
BLUE, ORANGE = "#0072B2", "#D55E00"  # of Okabe and Ito, distinguishable with every kind of color vision
MAX_BARS = 30  # groups whose bars can still be read


@dataclass(frozen=True)
class Section:
    """A heading with a figure, if there is one, and a table.

    Args:
        title: the heading.
        columns, rows: of the table; numbers are aligned to the right.
        highlighted: whether a row is highlighted, row by row.
        note: a sentence below the heading.
        figure: SVG.
        figure_title: text for those who do not see the figure.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    highlighted: Sequence[bool] = ()
    note: str = ""
    figure: str = ""
    figure_title: str = ""


def render(results: Mapping[str, Any], columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return the page; without matplotlib (extra `plots`) it has tables only.

    Args:
        results: content of results.json.
        columns, rows: table of the clips.
    """
    from jinja2 import Environment

    has_figures, isolated = is_available("matplotlib"), results["task"] == ISOLATED
    summary, *scores = lines(dict(results))
    translated = results["task"] == TRANSLATION
    groups = _accuracy_groups if isolated else _text_groups if translated else _error_groups
    sections = groups(results, has_figures)
    if results.get("calibration"):
        sections.append(_confidence(results["calibration"]["bins"], "clips" if isolated else "glosses", has_figures))
    if results.get("confusion"):
        pairs = [[pair["signed"], pair["recognised"], pair["count"]] for pair in results["confusion"]]
        note = "" if isolated else "* stands for nothing signed, or nothing recognized."
        sections.append(Section("Confused most often", ["signed", "recognized", "count"], pairs, note=note))
    if translated:
        wrong = [is_wrong(columns, row) for row in rows]
    else:
        wrong = [row[3] != "1" if isolated else any(cell != "0" for cell in row[3:6]) for row in rows]
    sections += [Section("Clips", columns, rows, wrong), _provenance(results)]
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(summary=summary, scores=scores, has_figures=has_figures, sections=sections).lstrip()


def _svg(draw: Callable[[Any], None], width: float, height: float, title: str) -> str:
    """Return a figure of matplotlib as SVG, with the same bytes for the same numbers.

    Args:
        draw: called with the axes.
        width, height: in inches.
        title: of the figure.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": title, "svg.fonttype": "none", "font.size": 10}):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.subplots())
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Title": title})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]


def _bars(
    groups: Sequence[Mapping[str, Any]], key: str, title: str, value: str, label: str, scale: float = 100
) -> str:
    """Draw `value` of each group times `scale` beside its name (`key`) and number of clips."""
    shown = [group for group in groups if not isinstance(group[value], str)]
    if not shown or len(groups) > MAX_BARS:
        return ""

    def draw(axes: "Axes") -> None:
        axes.barh(range(len(shown)), [scale * group[value] for group in shown], color=BLUE)
        axes.set_yticks(range(len(shown)), [f"{group[key]} ({group['clips']})" for group in shown])
        axes.invert_yaxis()
        axes.set_xlabel(label)
        axes.set_ylabel(f"{key} (clips)")

    return _svg(draw, 7, 1.2 + 0.3 * len(shown), title)


def _error_groups(results: Mapping[str, Any], has_figures: bool) -> list[Section]:
    """Return the errors by signer and by length of the sentence."""
    sections = []
    for key, title in (("by_signer", "Errors by signer"), ("by_length", "Errors by length of the sentence")):
        groups, name = results[key], key.removeprefix("by_")
        if groups:
            counts = ("clips", "references", "substitutions", "insertions", "deletions")
            rows = [[group[name], *(group[count] for count in counts), percent(group["rate"])] for group in groups]
            figure = _bars(groups, name, title, "rate", "errors, % of the reference") if has_figures else ""
            columns = [name, "clips", "glosses", "S", "I", "D", "errors %"]
            sections.append(Section(title, columns, rows, figure=figure, figure_title=title))
    return sections


def _text_groups(results: Mapping[str, Any], has_figures: bool) -> list[Section]:
    """Return BLEU and chrF by signer and by length of the reference."""
    sections, unit = [], results["data"]["unit"]
    for key, title in (("by_signer", "BLEU by signer"), ("by_length", "BLEU by length of the sentence")):
        groups, name = results[key], key.removeprefix("by_")
        rows = [
            [group[name], group["clips"], group["words"], *(f"{group[score]:.2f}" for score in ("bleu", "chrf"))]
            for group in groups
        ]
        figure = _bars(groups, name, title, "bleu", "BLEU-4", scale=1) if has_figures else ""
        columns = [name, "clips", unit, "BLEU-4", "chrF"]
        sections.append(Section(title, columns, rows, figure=figure, figure_title=title))
    return sections


def _accuracy_groups(results: Mapping[str, Any], has_figures: bool) -> list[Section]:
    """Return the accuracy by signer and by sign."""
    sections = []
    for key, title in (("by_signer", "Accuracy by signer"), ("by_sign", "Accuracy by sign, the worst first")):
        groups, name = results[key], key.removeprefix("by_")
        columns, rows = [name, "clips", "correct", "top-1 %", "top-5 %"], []
        for group in groups:
            row = [group[name], group["clips"], group["right"], percent(group["top_1"]), percent(group["top_5"])]
            if key == "by_sign":
                row.append(", ".join(f"{sign} ({count})" for sign, count in group["taken_for"].items()))
            rows.append(row)
        columns += ["recognized as"] * (key == "by_sign")
        figure = _bars(groups, name, title, "top_1", "top-1 accuracy, %") if has_figures else ""
        sections.append(Section(title, columns, rows, figure=figure, figure_title=title))
    return sections


def _confidence(bins: Sequence[Mapping[str, Any]], kind: str, has_figures: bool) -> Section:
    """Return the reliability diagram and its table; kind: what is counted, `clips` or `glosses`."""

    def draw(axes: "Axes") -> None:
        axes.plot([0, 1], [0, 1], color="#888", linestyle="--", label="perfectly calibrated")
        axes.plot([b["confidence"] for b in bins], [b["right"] for b in bins], "o-", color=ORANGE, label="this model")
        for b in bins:
            axes.annotate(str(b[kind]), (b["confidence"], b["right"]), textcoords="offset points", xytext=(5, -12))
        axes.set(xlim=(0, 1.12), ylim=(-0.08, 1.05), xlabel="mean confidence", ylabel=f"share of correct {kind}")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)  # clear of the points

    title = f"Confidence and share of correct {kind}"
    rows = [[f"{b['from']:g} to {b['to']:g}", b[kind], b["confidence"], b["right"]] for b in bins]
    columns = ["confidence", kind, "mean confidence", "share correct"]
    figure = _svg(draw, 5, 4, title) if has_figures else ""
    return Section("Confidence", columns, rows, figure=figure, figure_title=title)


def _provenance(results: Mapping[str, Any]) -> Section:
    run = results["run"]
    versions = ", ".join(f"{name} {value}" for name, value in results["versions"].items() if value)
    signatures = "; ".join(score["signature"] for score in results["scores"].values())
    rows = [
        ["command", run["command"]], ["model", results["model"]["fingerprint"]], ["data", results["data"]["fingerprint"]],
        ["signatures", signatures], ["seed", results["config"]["seed"]], ["versions", versions], ["commit", results["commit"]],
        ["hidden tracks", ", ".join(results["config"].get("hidden_tracks", [])) or None],
        ["hardware", ", ".join(f"{name} {value}" for name, value in run["hardware"].items() if value)],
        ["real-time factor", run["real_time_factor"]],
    ]  # fmt: skip
    return Section("Provenance", ["what", "value"], [row for row in rows if row[1] is not None])
