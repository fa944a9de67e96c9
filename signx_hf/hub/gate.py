"""What may not be published: numbers that no results hold, and a checkpoint that is worse than the one that is there."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from ..processing.errors_signx import SignXError
from .results import Metric, Results, numbers

NUMBER = re.compile(r"(?<![\w.,/-])(\d{1,3}(?:\.\d+)?)(?![\w.,/]*\d)[ \u00a0]*(%)?")
MEASURES = re.compile(
    r"\b(WER|CER|BLEU(-\d)?|chrF|ROUGE(-L)?|top-?\d+|accuracy|error rate|IoU|F1|calibration error)\b", re.I
)
CODE = re.compile(r"^(```|~~~).*?^\1[ \t]*$", re.M | re.S)
TOLERANCE = 1e-9


def split_card(text: str) -> tuple[dict[str, Any], str]:
    """Metadata and body of a card.

    Raises:
        SignXError: the metadata are no YAML mapping.
    """
    import yaml

    match = re.match(r"\s*---[ \t]*\r?\n(.*?)^---[ \t]*\r?$\n?", text, re.M | re.S)
    if not match:
        return {}, text
    try:
        found = yaml.safe_load(match.group(1)) or {}
    except yaml.YAMLError as error:
        raise SignXError(
            f"README.md: its metadata are no YAML ({' '.join(str(error).split())[:120]}); correct them"
        ) from error
    if not isinstance(found, dict):
        raise SignXError("README.md: its metadata are no mapping; wanted `name: value` lines; correct them")
    return found, text[match.end() :]


def index_metrics(metadata: dict[str, Any]) -> list[dict[str, Any]]:
    """The entries of `model-index`: scorer, type, name, value, and split and revision of their dataset.

    Raises:
        SignXError: it is there but has not the form that the Hub asks for.
    """
    found = []
    try:
        for model in metadata.get("model-index") or ():
            for result in model["results"]:
                data = result["dataset"]
                for metric in result["metrics"]:
                    found.append(
                        {
                            "scorer": metric.get("config"), "type": metric["type"], "name": metric.get("name"),
                            "value": metric["value"], "split": data.get("split"), "revision": data.get("revision"),
                            "config": data.get("config"), "dataset": data["name"],
                        }
                    )  # fmt: skip
    except (KeyError, TypeError, AttributeError) as error:
        raise SignXError(
            f"README.md: its model-index is not of the Hub's form ({error}); wanted results of dataset and metrics; remove it, "
            "and it is written"
        ) from error
    return found


def check_card(text: str, results: Sequence[Results]) -> None:
    """Refuses a card that quotes a number of a measure that is in none of the results.

    In `model-index` each value must be that of its scorer. In the text, a number on a line that names a measure, or in a column
    whose head does, must be in the results, as it is or in per cent, rounded as it is quoted.

    Raises:
        SignXError: the first such number, and what the results hold.
    """
    metadata, body = split_card(text)
    names = " and ".join(one.name for one in results)
    for entry in index_metrics(metadata):
        wanted = [
            metric.value
            for one in results
            for metric in one.metrics()
            if (metric.scorer == entry["scorer"] if entry["scorer"] else metric.kind == entry["type"])
            and entry["revision"] in (None, one.data["fingerprint"])
        ]
        if not _is_one_of(entry["value"], wanted):
            held = ", ".join(f"{value:g}" for value in wanted) or "none"
            raise SignXError(
                f"README.md: its model-index says {entry['name'] or entry['type']} {entry['value']}; {names} hold {held}; remove "
                "README.md, and it is written from the results"
            )
    held = {value for one in results for value in numbers(one.content)}
    for line, quoted in quoted_numbers(body):
        digits = len(quoted.partition(".")[2])
        if not any(
            abs(round(scale * value, digits) - float(quoted)) < TOLERANCE for value in held for scale in (1, 100)
        ):
            raise SignXError(
                f"README.md: {quoted} in {line[:60]!r} is not in {names}; wanted measured numbers; remove README.md, and it is "
                "written from the results"
            )


def _is_one_of(value: Any, wanted: Sequence[float]) -> bool:
    try:
        text = str(value)
        digits = len(text.partition(".")[2]) if "e" not in text.lower() else 6
        return any(abs(round(one, digits) - float(value)) < TOLERANCE for one in wanted)
    except (TypeError, ValueError):
        return False


def quoted_numbers(body: str) -> Iterator[tuple[str, str]]:
    """Lines and the numbers that they quote of a measure: with a decimal point or a per cent sign; in a table, any number of a
    column whose head names a measure. Code and links do not count."""
    head: list[bool] | None = None
    for raw in CODE.sub("", body).splitlines():
        line = re.sub(r"`[^`]*`|\]\([^)]*\)|https?://\S+", " ", raw).strip()
        if not line.startswith("|"):
            head = None
            if MEASURES.search(line):
                yield from ((line, found) for found, sign in NUMBER.findall(line) if sign or "." in found)
            continue
        cells = line.strip("|").split("|")
        if head is None:
            head = [bool(MEASURES.search(cell)) for cell in cells]
            continue
        named = bool(MEASURES.search(line))
        for place, cell in enumerate(cells):
            column = place < len(head) and head[place]
            for found, sign in NUMBER.findall(cell):
                # after a measure's name in its own cell (`top-5`, `BLEU-4`) stands no result
                if column or (named and (sign or "." in found) and not MEASURES.search(cell)):
                    yield line, found


def check_not_worse(new: Sequence[Results], before: Sequence[Results]) -> list[str]:
    """Refuses a model that is worse than its predecessor where that was measured, or that was not measured there.

    Compared is the first scorer of the predecessor's results that both have.

    Returns:
        A line for each test set: the numbers of both.

    Raises:
        SignXError: worse, or not to be compared.
    """
    lines = []
    for old in before:
        where = f"{old.dataset} {old.data['split']} ({old.content['config']['source']}, {old.data['clips']} clips)"
        same = next((one for one in new if one.test_set == old.test_set), None)
        if same is None:
            raise SignXError(
                f"the model that is there was measured on {where} and this one was not; wanted the same clips; evaluate it there and "
                "give both with --results, or --force"
            )
        ours = {metric.scorer: metric for metric in same.metrics()}
        theirs = next((metric for metric in old.metrics() if metric.scorer in ours), None)
        if theirs is None:
            raise SignXError(
                f"the model that is there has {old.metrics()[0].name} on {where} and this one has not; wanted it; evaluate with "
                f"--scorer {old.metrics()[0].scorer}, or --force"
            )
        lines.append(_compare(ours[theirs.scorer], theirs, where))
    return lines


def check_index_not_worse(new: Sequence[Results], entries: Sequence[dict[str, Any]]) -> list[str]:
    """As `check_not_worse`, for a predecessor that has numbers in its card alone: the first metric that both have."""
    for entry in entries:
        for one in new:
            if entry["revision"] not in (None, one.data["fingerprint"]) or entry["split"] not in (
                None,
                one.data["split"],
            ):
                continue
            for metric in one.metrics():
                if metric.scorer == entry["scorer"] if entry["scorer"] else metric.kind == entry["type"]:
                    try:
                        value = float(entry["value"])
                    except (TypeError, ValueError):
                        continue
                    old = Metric(metric.scorer, metric.name, metric.kind, value, None, "", metric.lower)
                    return [_compare(metric, old, f"{entry['dataset']} {entry['split'] or one.data['split']}")]
    if entries:
        raise SignXError(
            f"the card of the model that is there quotes {entries[0]['name'] or entries[0]['type']} on {entries[0]['dataset']} and "
            "this one was not measured there; wanted the same clips; evaluate it there and give both with --results, or --force"
        )
    return []


def _compare(ours: Metric, theirs: Metric, where: str) -> str:
    worse = ours.value > theirs.value if ours.lower else ours.value < theirs.value
    if worse:
        raise SignXError(
            f"worse than the model that is there: {ours.name} {ours.value:.2f} after {theirs.value:.2f} on {where}; wanted one that "
            "is as good; train on, or --force"
        )
    return f"{ours.name} on {where}: {theirs.value:.2f} before, {ours.value:.2f} now"
