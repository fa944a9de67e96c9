"""Numbers of translation: texts against the references, over all clips and by group."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..data.media import check_truth_text
from ..metrics import (
    best_clip_bleu_1,
    best_sample_bleu_1,
    bleu,
    chrf,
    mean_sentence_bleu,
    rouge_l,
    sentence_scores,
    text_interval,
)
from ..metrics.text import BY_CHARACTER, tokenization_of
from .summary import length_group, length_groups

if TYPE_CHECKING:
    from ..processing.tokenization_signx import SignXTokenizer

SHOWN = 10  # clips without text that are named in the summary


@dataclass(frozen=True)
class TextClip:
    """One clip: the true text, and its translation.

    Args:
        id, signer: of the row.
        reference: true text, normalized as the model's targets.
        hypothesis: its translation.
        n_best: hypotheses, best first.
        confidence: of the translation.
    """

    id: str
    signer: str
    reference: str
    hypothesis: str = ""
    n_best: tuple[str, ...] = ()
    confidence: float = 0.0


def truth(row: Mapping[str, Any], normalize: Callable[[str], str]) -> tuple[str, str, str]:
    """Return id, signer and normalized text of a row; SignXError if there is nothing to compare with."""
    check_truth_text(row)
    return row["id"], row["signer"] or "unknown", normalize(row["text"])


def clip(true: tuple[str, str, str], result: Mapping[str, Any]) -> TextClip:
    """Return a clip from its truth and the result in its record."""
    return TextClip(*true, result["text"], tuple(result["n_best"]), result["confidence"])


def open_tokenizer(path: str, trust_remote_code: bool) -> "SignXTokenizer":
    """Return the tokenizer of a model, which normalizes references as it does targets."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(path, trust_remote_code=trust_remote_code)


def _score(name: str, said: list[str], true: list[str], tokenize: str, rounds: int, seed: int) -> dict[str, Any]:
    """Return one score with its intervals and signature."""
    if name.endswith(("_zh", "_char")):
        tokenize = "zh" if name.endswith("_zh") else "char"
    measures: tuple[str, ...] = (name,)
    if name in ("bleu", "bleu_zh"):
        found, measures = bleu(said, true, tokenize), ("bleu_4", "bleu_1", "bleu_2", "bleu_3")
    elif name == "chrf":
        found = chrf(said, true)
    elif name == "mean_sentence_bleu":
        found = mean_sentence_bleu(said, true, tokenize)
    elif name == "best_clip_bleu_1":
        found, measures = best_clip_bleu_1(said, true, tokenize), ()  # a maximum, of which a bootstrap says nothing
    else:
        found = rouge_l(said, true, "char" if tokenize in BY_CHARACTER else "word")
        measures = ("rouge_l",)
    intervals = {
        measure: list(text_interval(said, true, measure, tokenize, rounds=rounds, seed=seed)) for measure in measures
    }
    return {
        "score": found.score, **found.parts, **({"interval": intervals[measures[0]]} if measures else {}),
        **({"intervals": intervals} if len(measures) > 1 else {}), "signature": found.signature,
    }  # fmt: skip


def _words(text: str, tokenize: str) -> int:
    return len("".join(text.split()) if tokenize in BY_CHARACTER else text.split())


def _grouped(clips: Sequence[TextClip], key: str, tokenize: str) -> list[dict[str, Any]]:
    """Return BLEU-4 and chrF by `signer` or by `length` of the reference, sorted."""
    groups: dict[str, list[TextClip]] = defaultdict(list)
    for one in clips:
        groups[length_group(_words(one.reference, tokenize)) if key == "length" else one.signer].append(one)
    rows = []
    for name in length_groups() if key == "length" else sorted(groups):
        if name in groups:
            said, true = [one.hypothesis for one in groups[name]], [one.reference for one in groups[name]]
            words = sum(_words(line, tokenize) for line in true)
            rows.append(
                {key: name, "clips": len(true), "words": words, "bleu": bleu(said, true, tokenize).score, "chrf": chrf(said, true).score}
            )  # fmt: skip
    return rows


def content(clips: Sequence[TextClip], scorers: Sequence[str], rounds: int, seed: int) -> dict[str, Any]:
    """Return the parts of results.json that the clips decide."""
    said, true = [one.hypothesis for one in clips], [one.reference for one in clips]
    tokenize = tokenization_of(true)
    found: dict[str, Any] = {
        "scores": {name: _score(name, said, true, tokenize, rounds, seed) for name in scorers},
        "sentences_right": sum(one.hypothesis == one.reference for one in clips) / len(clips),
        "by_signer": _grouped(clips, "signer", tokenize), "by_length": _grouped(clips, "length", tokenize),
    }  # fmt: skip
    hypotheses = max(len(one.n_best) for one in clips)
    if hypotheses > 1:
        best = best_sample_bleu_1([one.n_best for one in clips], true, tokenize)
        found["n_best"] = {"hypotheses": hypotheses, **best.parts, "signature": best.signature}
    return found


def facts(clips: Sequence[TextClip], tokenizer: "SignXTokenizer", without: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return what `data` and `config` of results.json say of a text: its size, and how references were prepared.

    Args:
        clips: that are scored.
        tokenizer: of the model.
        without: ids of the clips that have no text.
    """
    tokenize = tokenization_of(one.reference for one in clips)
    unit = "characters" if tokenize in BY_CHARACTER else "words"
    return {
        "data": {
            "words": sum(_words(one.reference, tokenize) for one in clips), "unit": unit,
            "clips_without_text": len(without), "without_text": list(without),
        },
        "config": {
            "text": {"tokenize": tokenize, "lowercase": tokenizer.text_lowercase, "form": tokenizer.text_form},
        },
    }  # fmt: skip


def clip_rows(clips: Sequence[TextClip]) -> tuple[list[str], list[list[str]]]:
    """Return columns and rows of the per-clip table; its last column are the hypotheses where there are several."""
    said, true = [one.hypothesis for one in clips], [one.reference for one in clips]
    tokenize = tokenization_of(true)
    found, several = sentence_scores(said, true, tokenize), any(len(one.n_best) > 1 for one in clips)
    columns = ["id", "signer", "words", *found, "confidence", "reference", "hypothesis", *["n_best"] * several]
    rows = [
        [
            one.id, one.signer, str(_words(one.reference, tokenize)), *(f"{found[name][index]:.2f}" for name in found),
            f"{one.confidence:.4f}", one.reference, one.hypothesis, *[" | ".join(one.n_best)] * several,
        ]
        for index, one in enumerate(clips)
    ]  # fmt: skip
    return columns, rows


def is_wrong(columns: Sequence[str], row: Sequence[str]) -> bool:
    """Return whether the translation in a row of the per-clip table differs from the reference."""
    return row[columns.index("reference")] != row[columns.index("hypothesis")]


def without_text(data: Mapping[str, Any]) -> list[str]:
    """Return the line that names the clips without text, if there are any."""
    names = data["without_text"]
    if not names:
        return []
    rest = f" and {len(names) - SHOWN} others" if len(names) > SHOWN else ""
    clips = "1 clip" if len(names) == 1 else f"{len(names)} clips"
    return [f"{clips} without text left out: {', '.join(names[:SHOWN])}{rest}"]


def lines(results: Mapping[str, Any]) -> list[str]:
    """Return the scores of a translation, and how references were prepared, in words."""
    summary = []
    for name, score in results["scores"].items():
        notes = (
            [f"95 % interval {score['interval'][0]:.2f} to {score['interval'][1]:.2f}"] if "interval" in score else []
        )
        if "bleu_1" in score:
            name = name.replace("bleu", "BLEU-4")
            notes.append("BLEU-1 to 3: " + ", ".join(f"{score[f'bleu_{order}']:.2f}" for order in (1, 2, 3)))
        summary.append(f"{name}: {score['score']:.2f} ({'; '.join([*notes, score['signature']])})")
    part = results.get("n_best")
    if part:
        summary.append(
            f"best of {part['hypotheses']} hypotheses, chosen by the reference: BLEU-1 {part['best_bleu_1']:.2f}"
        )
    summary.append(f"exactly right: {100 * results['sentences_right']:.2f} % of the clips")
    text = results["config"]["text"]
    changes = [*["lower-cased"] * text["lowercase"], *([text["form"]] if text["form"] else []), "single spaces"]
    split = "characters" if text["tokenize"] in BY_CHARACTER else f"words ({text['tokenize']})"
    summary.append(f"references as the model's targets: {', '.join(changes)}; BLEU is of {split}")
    return summary
