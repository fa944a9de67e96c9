"""The report of an evaluation: one HTML file that needs no network."""

import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

from ..common.extras import is_available
from .options import ISOLATED
from .text import lines, percent

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; }
table { border-collapse: collapse; margin: 0.5rem 0 1.5rem; } th, td { padding: 0.2rem 0.8rem; border-bottom: 1px solid #ccc; }
th { text-align: left; } td.n { text-align: right; font-variant-numeric: tabular-nums; } svg { max-width: 100%; height: auto; }
.wide { overflow-x: auto; } code { overflow-wrap: anywhere; } .wrong td { background: #fdf3e1; }
"""
BLUE, ORANGE = "#0072B2", "#D55E00"  # of Okabe and Ito: apart for every kind of colour vision
SIGNERS = 30  # bars that can still be read


def _cell(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return f"<td>{html.escape(str(value))}</td>"
    if isinstance(value, (int, float)):
        return f'<td class="n">{value if isinstance(value, int) else f"{value:.4g}"}</td>'
    return f"<td>{html.escape(str(value))}</td>"


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]], marked: Sequence[bool] = ()) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    body = []
    for place, row in enumerate(rows):
        kind = ' class="wrong"' if place < len(marked) and marked[place] else ""
        body.append(f"<tr{kind}>{''.join(map(_cell, row))}</tr>")
    return f'<div class="wide"><table><tr>{head}</tr>{"".join(body)}</table></div>'


def _svg(draw: Any, width: float, height: float, title: str) -> str:
    """A figure of matplotlib as inline SVG, the same bytes for the same numbers."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": title, "svg.fonttype": "none", "font.size": 10}):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.subplots())
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Title": title})
    found = text.getvalue()
    return f'<figure role="img" aria-label="{html.escape(title)}">{found[found.index("<svg") :]}</figure>'


def _bars(
    rows: Sequence[Mapping[str, Any]], key: str, title: str, value: str = "rate", label: str = "errors, % of the reference"
) -> str:  # fmt: skip
    shown = [row for row in rows if not isinstance(row[value], str)]

    def draw(axes: Any) -> None:
        places = range(len(shown))
        axes.barh(places, [100 * row[value] for row in shown], color=BLUE)
        axes.set_yticks(places, [f"{row[key]} ({row['clips']})" for row in shown])
        axes.invert_yaxis()
        axes.set_xlabel(label)
        axes.set_ylabel(f"{key} (clips)")

    return _svg(draw, 7, 1.2 + 0.3 * len(shown), title) if shown else ""


def _reliability(bins: Sequence[Mapping[str, Any]], kind: str = "glosses") -> str:
    def draw(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color="#888", linestyle="--", label="means what it says")
        axes.plot([b["confidence"] for b in bins], [b["right"] for b in bins], "o-", color=ORANGE, label="this model")
        for b in bins:
            axes.annotate(str(b[kind]), (b["confidence"], b["right"]), textcoords="offset points", xytext=(5, -12))
        axes.set(xlim=(0, 1.12), ylim=(-0.08, 1.05), xlabel="mean confidence", ylabel=f"share of right {kind}")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)  # off the points

    return _svg(draw, 5, 4, f"Confidence and share of right {kind}")


def render(results: Mapping[str, Any], columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The page. Without matplotlib (extra `plots`) it has the tables alone."""
    draws = is_available("matplotlib")
    summary, *scores = lines(dict(results))
    parts = [f"<h1>Evaluation</h1><p>{html.escape(summary)}</p><ul>"]
    parts += [f"<li>{html.escape(line)}</li>" for line in scores]
    parts.append("</ul>")
    if not draws:
        parts.append("<p>Without figures: matplotlib (extra plots) was not installed.</p>")
    isolated = results["task"] == ISOLATED
    parts += _sign_groups(results, draws) if isolated else _sentence_groups(results, draws)
    calibration = results.get("calibration")
    if calibration:
        kind = "clips" if isolated else "glosses"
        parts.append("<h2>Confidence</h2>" + (_reliability(calibration["bins"], kind) if draws else ""))
        table = [[f"{b['from']:g} to {b['to']:g}", b[kind], b["confidence"], b["right"]] for b in calibration["bins"]]
        parts.append(_table(["confidence", kind, "mean confidence", "share right"], table))
    if results["confusion"]:
        note = "" if isolated else "<p>* is nothing signed, or nothing recognised.</p>"
        parts.append(f"<h2>Confused most often</h2>{note}")
        pairs = [[pair["signed"], pair["recognised"], pair["count"]] for pair in results["confusion"]]
        parts.append(_table(["signed", "recognised", "count"], pairs))
    wrong = [row[3] != "1" if isolated else any(cell != "0" for cell in row[3:6]) for row in rows]
    parts.append("<h2>Clips</h2>" + _table(columns, rows, wrong))
    parts.append("<h2>How it was measured</h2>" + _provenance(results))
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Evaluation</title>'
        '<link rel="icon" href="data:,"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _sentence_groups(results: Mapping[str, Any], draws: bool) -> list[str]:
    """Errors by signer and by length of the sentence."""
    parts = []
    for key, title in (("by_signer", "Errors by signer"), ("by_length", "Errors by length of the sentence")):
        groups, name = results[key], key.removeprefix("by_")
        if groups:
            parts.append(f"<h2>{title}</h2>")
            parts.append(_bars(groups, name, title) if draws and len(groups) <= SIGNERS else "")
            counts = ("clips", "references", "substitutions", "insertions", "deletions")
            table = [[g[name], *(g[count] for count in counts), percent(g["rate"])] for g in groups]
            parts.append(_table([name, "clips", "glosses", "S", "I", "D", "errors %"], table))
    return parts


def _sign_groups(results: Mapping[str, Any], draws: bool) -> list[str]:
    """Accuracy by signer and by sign."""
    parts = []
    for key, title in (("by_signer", "Accuracy by signer"), ("by_sign", "Accuracy by sign, the worst first")):
        groups, name = results[key], key.removeprefix("by_")
        parts.append(f"<h2>{title}</h2>")
        parts.append(
            _bars(groups, name, title, "top_1", "top-1 accuracy, %") if draws and len(groups) <= SIGNERS else ""
        )
        columns = [name, "clips", "right", "top-1 %", "top-5 %", *(["taken for"] if key == "by_sign" else [])]
        table = []
        for g in groups:
            taken = (
                [", ".join(f"{sign} ({count})" for sign, count in g["taken_for"].items())] if "taken_for" in g else []
            )
            table.append([g[name], g["clips"], g["right"], percent(g["top_1"]), percent(g["top_5"]), *taken])
        parts.append(_table(columns, table))
    return parts


def _provenance(results: Mapping[str, Any]) -> str:
    run = results["run"]
    versions = ", ".join(f"{name} {value}" for name, value in results["versions"].items() if value)
    signatures = "; ".join(score["signature"] for score in results["scores"].values())
    rows = [
        ["command", run["command"]], ["model", results["model"]["fingerprint"]], ["data", results["data"]["fingerprint"]],
        ["signatures", signatures], ["seed", results["config"]["seed"]], ["versions", versions], ["commit", results["commit"]],
        ["hardware", ", ".join(f"{name} {value}" for name, value in run["hardware"].items() if value)],
        ["real-time factor", run["real_time_factor"]],
    ]  # fmt: skip
    return _table(["what", "value"], [row for row in rows if row[1] is not None])
