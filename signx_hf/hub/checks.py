"""Checks before publication: a card quotes only numbers of the results, and a model is not worse than the last."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from ..common.reading import load_yaml
from ..processing.errors_signx import SignXError
from .results import Metric, Results, numbers

NUMBER = re.compile(r"(?<![\w.,/-])(\d{1,3}(?:\.\d+)?)(?![\w.,/]*\d)[ \u00a0]*(%)?")
METRICS = re.compile(
    r"\b(WER|CER|BLEU(-\d)?|chrF|ROUGE(-L)?|top-?\d+|accuracy|error rate|IoU|F1|calibration error)\b", re.I
)
CODE = re.compile(r"^(```|~~~).*?^\1[ \t]*$", re.M | re.S)
TOLERANCE = 1e-9


def split_card(text: str) -> tuple[dict[str, Any], str]:
    """Return the metadata and the body of a card.

    Raises:
        SignXError: If the metadata is not a YAML mapping.
    """
    import yaml
    from huggingface_hub import RepoCard
    from huggingface_hub.repocard import REGEX_YAML_BLOCK

    try:
        block = REGEX_YAML_BLOCK.search(text)
        load_yaml(block.group(2) if block else "")
        card = RepoCard(text)
    except (yaml.YAMLError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise SignXError(f"README.md: the metadata must be a YAML mapping of names to values ({reason}).") from error
    return card.data.to_dict(), card.text


def model_index(metadata: dict[str, Any]) -> list[Any]:
    """Return the `EvalResult` objects of a card's `model-index`; none if there is no such entry.

    Raises:
        SignXError: If the entry does not have the form that the Hub defines.
    """
    from huggingface_hub.repocard_data import model_index_to_eval_results

    try:
        entry = metadata.get("model-index")
        return model_index_to_eval_results(entry)[1] if entry else []
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise SignXError(
            f"README.md: the model-index does not have the form that the Hub defines ({error}). Remove it to have it "
            "generated."
        ) from error


def check_card(text: str, results: Sequence[Results]) -> None:
    """Reject a card that quotes the value of a metric that is in none of the results.

    In `model-index` each value must be that of its scorer. In the text, a number on a line that names a metric, or in
    a column whose head does, must be in the results, as it is or as a percentage, rounded as it is quoted.

    Raises:
        SignXError: If there is such a number. The message names the first one and what the results hold.
    """
    metadata, body = split_card(text)
    names = " and ".join(one.name for one in results)
    for entry in model_index(metadata):
        expected = [
            metric.value
            for one in results
            for metric in one.metrics()
            if (metric.scorer == entry.metric_config if entry.metric_config else metric.kind == entry.metric_type)
            and entry.dataset_revision in (None, one.data["fingerprint"])
        ]
        if not _is_one_of(entry.metric_value, expected):
            held = ", ".join(f"{value:g}" for value in expected) or "none"
            raise SignXError(
                f"README.md: the model-index must quote {names} ({held}), got "
                f"{entry.metric_name or entry.metric_type} {entry.metric_value}. Remove README.md to have it "
                "generated."
            )
    held = {value for one in results for value in numbers(one.content)}
    for line, quoted in quoted_numbers(body):
        digits = len(quoted.partition(".")[2])
        if not any(
            abs(round(scale * value, digits) - float(quoted)) < TOLERANCE for value in held for scale in (1, 100)
        ):
            raise SignXError(
                f"README.md: {quoted} in {line[:60]!r} is not in {names}. Correct it, or remove README.md to have it "
                "generated."
            )


def _is_one_of(value: Any, expected: Sequence[float]) -> bool:
    try:
        text = str(value)
        digits = len(text.partition(".")[2]) if "e" not in text.lower() else 6
        return any(abs(round(one, digits) - float(value)) < TOLERANCE for one in expected)
    except (TypeError, ValueError):
        return False


def quoted_numbers(body: str) -> Iterator[tuple[str, str]]:
    """Yield (line, number) for each quoted value of a metric.

    That is a number with a decimal point or a percent sign on a line that names a metric and, in a table, any number
    of a column whose head does. Code and links do not count.
    """
    head: list[bool] | None = None
    for raw in CODE.sub("", body).splitlines():
        line = re.sub(r"`[^`]*`|\]\([^)]*\)|https?://\S+", " ", raw).strip()
        if not line.startswith("|"):
            head = None
            if METRICS.search(line):
                yield from ((line, number) for number, sign in NUMBER.findall(line) if sign or "." in number)
            continue
        cells = line.strip("|").split("|")
        if head is None:
            head = [bool(METRICS.search(cell)) for cell in cells]
            continue
        named = bool(METRICS.search(line))
        for index, cell in enumerate(cells):
            column = index < len(head) and head[index]
            for number, sign in NUMBER.findall(cell):
                # A number in the cell of the metric's name (`top-5`, `BLEU-4`) is part of the name.
                if column or (named and (sign or "." in number) and not METRICS.search(cell)):
                    yield line, number


def check_not_worse(new: Sequence[Results], before: Sequence[Results]) -> list[str]:
    """Reject a model that is worse than its predecessor on a test set of the predecessor, or was not evaluated there.

    The first scorer of the predecessor's results that both have is compared.

    Args:
        new: results of the model to be published.
        before: results of the published model.

    Returns:
        A line for each test set with the numbers of both.

    Raises:
        SignXError: If it is worse, or cannot be compared.
    """
    lines = []
    for old in before:
        where = f"{old.dataset} {old.data['split']} ({old.input}{', text' * old.is_text}, {old.data['clips']} clips)"
        same = next((one for one in new if one.test_set == old.test_set), None)
        if same is None:
            raise SignXError(
                f"the published model was evaluated on {where}, but this one was not. Evaluate it on the same clips and "
                "pass those results with --results, or use --force."
            )
        ours = {metric.scorer: metric for metric in same.metrics()}
        theirs = next((metric for metric in old.metrics() if metric.scorer in ours), None)
        if theirs is None:
            raise SignXError(
                f"the published model has {old.metrics()[0].name} on {where}, but this one does not. Evaluate it with "
                f"--scorer {old.metrics()[0].scorer}, or use --force."
            )
        lines.append(_compare(ours[theirs.scorer], theirs, where))
    return lines


def check_index_not_worse(new: Sequence[Results], entries: Sequence[Any]) -> list[str]:
    """Do what `check_not_worse` does for a predecessor that has a card only, with the first metric of both.

    Args:
        new: results of the model to be published.
        entries: `EvalResult` objects of the published card, as `model_index` returns them.

    Raises:
        SignXError: If it is worse, or cannot be compared.
    """
    for entry in entries:
        for one in new:
            same_clips = entry.dataset_revision in (None, one.data["fingerprint"])
            if not same_clips or entry.dataset_split not in (None, one.data["split"]):
                continue
            for metric in one.metrics():
                if metric.scorer == entry.metric_config if entry.metric_config else metric.kind == entry.metric_type:
                    try:
                        value = float(entry.metric_value)
                    except (TypeError, ValueError):
                        continue
                    old = Metric(metric.scorer, metric.name, metric.kind, value, None, "", metric.lower)
                    return [_compare(metric, old, f"{entry.dataset_name} {entry.dataset_split or one.data['split']}")]
    if entries:
        raise SignXError(
            f"the published card quotes {entries[0].metric_name or entries[0].metric_type} on "
            f"{entries[0].dataset_name}, but this model was not evaluated there. Evaluate it on the same clips and "
            "pass those results with --results, or use --force."
        )
    return []


def _compare(ours: Metric, theirs: Metric, where: str) -> str:
    worse = ours.value > theirs.value if ours.lower else ours.value < theirs.value
    if worse:
        raise SignXError(
            f"worse than the published model: {ours.name} {ours.value:.2f} after {theirs.value:.2f} on {where}. "
            "Train a better one, or use --force."
        )
    return f"{ours.name} on {where}: {theirs.value:.2f} before, {ours.value:.2f} now"
