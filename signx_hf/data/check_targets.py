"""Check what a decoder would learn to write: which clips have glosses and text, and whether a target can be written in full."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import SignXDataError

if TYPE_CHECKING:
    from ..processing.tokenization_signx import SignXTokenizer

TARGETS = {"glosses": ("glosses",), "text": ("text",), "both": ("glosses", "text")}  # as option `target` of training
TASKS = {"glosses": "gloss", "text": "text"}  # prompt of the decoder
LONGEST = 64  # `text_config.max_length` of a model that was not told otherwise
NAMED = 5  # ids in a message about a split

Add = Callable[[str, str, str], None]  # fault, id of the clip or "", message


@dataclass(frozen=True)
class DecoderLimit:
    """How many pieces a decoder writes at most, the prompt and `</s>` included.

    Attributes:
        pieces: `text_config.max_length` of the model.
        tokenizer: that of the model; None without a model: a word then counts as one piece, which is the least.
    """

    pieces: int = LONGEST
    tokenizer: "SignXTokenizer | None" = None

    @classmethod
    def of_model(cls, model: str) -> "DecoderLimit":
        """Return the limit of a saved model.

        Args:
            model: shipped model, folder or Hub name.

        Raises:
            SignXDataError: If it cannot be read, or has no decoder.
        """
        from ..assets import check_place, model_place
        from ..modeling.configuration_signx import SignXConfig
        from ..processing.tokenization_signx import SignXTokenizer

        place = model_place(model)
        try:
            check_place(place)
            config, tokenizer = SignXConfig.from_pretrained(place), SignXTokenizer.from_pretrained(place)
        except (OSError, ValueError) as error:
            raise SignXDataError(f"--model {model}: cannot be read ({' '.join(str(error).split())[:300]}).") from error
        architecture = (config.architectures or ["none"])[0]
        if architecture not in ("SignXForPose2Gloss", "SignXForGlossRecognition"):
            raise SignXDataError(f"--model must be a checkpoint with a text decoder, got {model}, a {architecture}.")
        return cls(config.text_config.max_length, tokenizer)

    def count(self, sentence: str, column: str) -> int:
        """Return the pieces of a sentence of `glosses` or `text`, or without a tokenizer the least it can have."""
        if self.tokenizer is None:
            return len(sentence.split()) + 2
        return len(self.tokenizer.build_targets(sentence, task=TASKS[column]))


def sentence_of(row: Mapping[str, Any], column: str) -> str:
    """Return the glosses or the text of a row as one string, empty where it has none."""
    return " ".join(row["glosses"] if column == "glosses" else (row["text"] or "").split())


def check_presence(rows: Sequence[Mapping[str, Any]], target: str | None, add: Add) -> None:
    """Report clips that lack what is decoded.

    Args:
        rows: of a split.
        target: as option `target` of training; None: whatever the clips have, and of what only some have a warning.
        add: takes the findings.
    """
    if target is not None:
        _check_target(rows, TARGETS[target], target, add)
        return
    lacking: dict[str, list[str]] = {"glosses": [], "text": []}
    for row in rows:
        missing = [column for column in lacking if not sentence_of(row, column)]
        if len(missing) == 2:
            add("no-glosses", row["id"], "no gloss and no text")
            continue
        for column in missing:
            lacking[column].append(row["id"])
    column = min((name for name, ids in lacking.items() if ids), key=lambda name: len(lacking[name]), default=None)
    if column is None or len(lacking[column]) == sum(any(sentence_of(row, name) for name in lacking) for row in rows):
        return  # all clips have both, or all have the same one
    ids, other = lacking[column], "text" if column == "glosses" else "glosses"
    add(
        f"partial-{column}",
        "",
        f"{len(ids)} of {len(rows)} clips have {other} and no {column} ({_named(ids)}); train with target: {other} or both",
    )


def _check_target(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], target: str, add: Add) -> None:
    lacking = [row["id"] for row in rows if not any(sentence_of(row, column) for column in columns)]
    fault, what = f"no-{columns[0]}", " and no ".join(columns)
    if lacking and len(lacking) == len(rows):
        add(fault, "", f"no clip has {' or '.join(columns)}, which target: {target} decodes")
        return
    for name in lacking:
        add(fault, name, f"no {what}, which target: {target} decodes")


def check_lengths(rows: Sequence[Mapping[str, Any]], target: str | None, limit: DecoderLimit, add: Add) -> None:
    """Report targets that a decoder can never write in full, because it ends before.

    Args:
        rows: of a split.
        target: as for `check_presence`.
        limit: of the decoder.
        add: takes the findings.
    """
    for row in rows:
        for column, count in _too_long(row, TARGETS[target or "both"], limit):
            least = "at least " if limit.tokenizer is None else ""
            has = "has" if column == "text" else "have"
            whose = "a model of the default size" if limit.tokenizer is None else "the model"
            add(
                "long-target",
                row["id"],
                f"the {column} {has} {least}{count} pieces, and {whose} writes {limit.pieces} at most (text_config.max_length)",
            )


def _too_long(row: Mapping[str, Any], columns: Sequence[str], limit: DecoderLimit) -> Iterator[tuple[str, int]]:
    for column in columns:
        sentence = sentence_of(row, column)
        count = limit.count(sentence, column) if sentence else 0
        if count > limit.pieces:
            yield column, count


def _named(ids: Sequence[str]) -> str:
    return ", ".join(map(str, ids[:NAMED])) + (", ..." if len(ids) > NAMED else "")
