"""What the decoder learns to write: glosses, spoken-language text, or both with one prompt each.

A clip may have glosses, text or both. `labels` hold the sentence that is decoded; `ctc_labels` hold the glosses of every clip
that has any, whatever is decoded, and a row of -100 for one that has none, which the CTC losses leave out.
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..metrics import bleu, chrf, wer
from ..metrics.text import tokenization_of
from ..processing.errors_signx import SignXError, SignXWarning
from ..processing.processing_signx import SignXProcessor, pad_ids
from ..processing.tokenization_signx import SignXTokenizer
from .examples import Example

if TYPE_CHECKING:
    from datasets import Dataset

TASKS = {"glosses": ("gloss",), "text": ("text",), "both": ("gloss", "text")}  # by option `target`
COLUMNS = {"gloss": "glosses", "text": "text"}  # of the data, by task; also the option `target` of a task alone
# metrics on dev of which more is better
HIGHER_IS_BETTER = frozenset({"bleu", "chrf", "top1", "top5"})


def sentences(rows: "Dataset", column: str) -> Iterator[str]:
    """Yield the gloss sentences or the texts of rows, empty where a row has none."""
    for value in rows[column]:
        yield " ".join(value or "") if column == "glosses" else " ".join((value or "").split())


def new_pieces(
    tokenizer: SignXTokenizer, glosses: Iterable[str], texts: Iterable[str], vocab_size: int, **options: Any
) -> SignXTokenizer:
    """Return a tokenizer with pieces learned from glosses and texts, and the CTC vocabulary of `tokenizer`.

    Args:
        tokenizer: of a model that has learned glosses alone.
        glosses: gloss sentences of the training clips.
        texts: their texts.
        vocab_size: option `vocab_size`.
        options: how text is normalized.
    """
    spelled = [*glosses, *tokenizer.ctc_glosses]
    learned = SignXTokenizer.train_from_iterator(spelled, vocab_size=vocab_size, texts=texts, **options)
    return SignXTokenizer(
        tokenizer_object=learned.backend_tokenizer,
        ctc_glosses=tokenizer.ctc_glosses,
        text_pairs=learned.text_pairs,
        **options,
    )


def check_targets(rows: "Dataset", split: str, target: str) -> None:
    """Check that every clip has what is to be decoded, and with `both` that there are clips of either kind.

    Args:
        rows: of the split.
        split: its name, for messages.
        target: option `target`.

    Raises:
        SignXError: If a clip has no target. The message names it and what it has instead.
    """
    seen: set[str] = set()
    by_column = {name: sentences(rows, name) for name in COLUMNS.values()}
    for clip, values in zip(rows["id"], zip(*by_column.values())):
        present = [name for name, value in zip(by_column, values) if value]
        seen.update(present)
        needed = [COLUMNS[task] for task in TASKS[target]]
        if not set(needed) & set(present):
            remedy = f"Set target: {present[0]}, or remove it" if present else "Remove it"
            raise SignXError(
                f"clip {clip} ({split}) has no {' and no '.join(needed)}. {remedy}; `signx-hf data check` finds all of them."
            )
    if target == "both" and len(seen) == 1:
        (there,) = seen
        raise SignXError(f"`target` must be {there} for a {split} split that has nothing else, got both.")


def draw_task(example: Example, target: str, text_share: float, random: np.random.Generator) -> str:
    """Return what is decoded of a training clip: what it has, or for `both` of a clip with both a draw.

    Args:
        example: the clip.
        target: option `target`.
        text_share: share of draws that are text.
        random: generator of the clip in this epoch; it is used for clips with both alone.
    """
    if target != "both":
        return TASKS[target][0]
    if example.glosses and example.text:
        return "text" if random.random() < text_share else "gloss"
    return "text" if example.text else "gloss"


def with_tasks(
    examples: Sequence[Example], target: str, text_share: float, randoms: Sequence[np.random.Generator]
) -> list[Example]:
    """Return examples with the task drawn for each."""
    return [
        replace(example, task=draw_task(example, target, text_share, random))
        for example, random in zip(examples, randoms)
    ]


def decoder_targets(
    examples: Sequence[Example], processor: SignXProcessor, ctc: bool = True
) -> dict[str, torch.Tensor]:
    """Return `labels` `[B, L]` of each clip's task and, with `ctc`, `ctc_labels` `[B, U]` of those that have glosses."""
    tokenizer = processor.tokenizer
    labels = [tokenizer.build_targets(example.sentence(example.task), task=example.task) for example in examples]
    targets = {"labels": pad_ids(labels)}
    if ctc:
        targets["ctc_labels"] = pad_ids([tokenizer.encode_ctc(example.glosses) for example in examples])
    return targets


def check_lengths(examples: Sequence[Example], processor: SignXProcessor, target: str, limit: int) -> None:
    """Report targets that the decoder could never write, because generation ends before.

    Args:
        examples: of both splits.
        processor: of the model.
        target: option `target`.
        limit: `text_config.max_length`, in pieces.

    Raises:
        SignXError: If a text is too long. Too long glosses are a warning.
    """
    for task in TASKS[target]:
        lengths = {
            example.id: len(processor.tokenizer.build_targets(example.sentence(task), task=task))
            for example in examples
        }
        named = [f"{name} ({pieces})" for name, pieces in lengths.items() if pieces > limit]
        if not named:
            continue
        message = (
            f"the {COLUMNS[task]} of {len(named)} clips have more pieces than text_config.max_length={limit}, so that they can never be decoded in full: "
            f"{', '.join(named[:3])}{', ...' if len(named) > 3 else ''}. Set model_config: {{text_config: {{max_length: ...}}}}, or leave them out."
        )
        if task == "text":
            raise SignXError(message)
        warnings.warn(message, SignXWarning, stacklevel=2)


def names_of_metrics(target: str) -> list[str]:
    """Return the metrics that `dev_metrics` computes for option `target`."""
    names = {"gloss": ["wer"], "text": ["bleu", "chrf"]}
    return [name for task in TASKS[target] for name in names[task]]


def dev_metrics(
    hypotheses: dict[str, list[Any]], examples: Sequence[Example], processor: SignXProcessor
) -> dict[str, float]:
    """Return `wer` (a share) of decoded glosses, and `bleu` (BLEU-4) and `chrf` (0 to 100) of decoded text.

    Args:
        hypotheses: by task, one for each clip: a list of glosses, or a text.
        examples: of dev. Clips without the target of a task are not counted for it.
        processor: of the model; its tokenizer normalizes the references as it does the targets.
    """
    metrics: dict[str, float] = {}
    if "gloss" in hypotheses:
        pairs = [(said, example.glosses) for said, example in zip(hypotheses["gloss"], examples) if example.glosses]
        metrics["wer"] = wer([said for said, _ in pairs], [glosses for _, glosses in pairs]).rate
    if "text" in hypotheses:
        normalize = processor.tokenizer.normalize_text
        texts = [
            (said, normalize(example.text)) for said, example in zip(hypotheses["text"], examples) if example.text
        ]
        said, true = [list(side) for side in zip(*texts)]
        metrics["bleu"] = bleu(said, true, tokenize=tokenization_of(true)).score
        metrics["chrf"] = chrf(said, true).score
    return metrics
