"""Which pipeline runs a checkpoint, found out without its weights and without torch."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from .._registration import task_of_architecture
from ..assets import nearest_shipped
from ..common.reading import load_json, read_regular
from ..processing.errors_signx import SignXError

SENTENCES, SIGNS, SPOTTING = "sign-recognition", "isolated-sign-recognition", "sign-spotting"
TRANSLATION = "sign-translation"
STAGE3 = "SignXForLatentCTC"  # decodes by CTC alone
# Flag of the command line -> option of the pipeline of isolated signs.
SIGN_FLAGS = {"vocabulary": "vocabulary", "top_k": "top_k"}
ANSWER_FLAGS = {**SIGN_FLAGS, "threshold": "threshold"}
# Flag -> option of the pipeline of sentences.
SENTENCE_FLAGS = {
    "lm": "lm", "chunk_length": "chunk_length_s", "translate": "translate", "n_best": "n_best", "num_beams": "num_beams",
}  # fmt: skip
# Task -> what such a model does, and flag that it rejects -> why.
REFUSED: dict[str, tuple[str, dict[str, str]]] = {
    SENTENCES: ("recognizes sentences", dict.fromkeys(SIGN_FLAGS, "")),
    TRANSLATION: ("translates", {}),
    SIGNS: ("recognizes single signs", {
        "lm": "a language model scores sequences of glosses",
        "chunk_length": "a clip holds one sign; for a recording of several use `signx-hf live --from-file`",
        "translate": "a sign is no sentence",
        "n_best": "candidates are --top-k",
        "num_beams": "one sign needs no search",
    }),
    SPOTTING: ("finds single signs in recordings", {
        "lm": "a language model scores sequences of a recognizer of sentences",
        "chunk_length": "it reads recordings of any length",
        "translate": "single signs are no sentence",
        "n_best": "every sign that is found has one gloss",
        "num_beams": "it has no search that beams would widen",
        "top_k": "every sign that is found has one gloss",
        "threshold": "how sure a sign must be is --option confidence=0.5",
    }),
}  # fmt: skip


def task_of(model: str) -> str:
    """Return the task of a model, from `architectures` and `spotting` in its config.json.

    A config that cannot be read, or is not of this package, counts as one of sentences: loading it then says what is
    wrong. A model that has learned both glosses and text counts as one of glosses.
    """
    try:
        config = _config(model)
        task = task_of_architecture(config.get("architectures")) or SENTENCES
        return SPOTTING if task == SIGNS and config.get("spotting") is not None else task
    except Exception:  # no such folder or name, no network, a damaged file
        return SENTENCES


def check_learned(name: str, model: str, goal: str) -> None:
    """Reject a model that has not learned what a command writes, before its weights are read.

    Args:
        name: its name in messages.
        model: its place.
        goal: `"gloss"` or `"text"`.

    Raises:
        SignXError: If it has learned something else. The message says what.
    """
    from ..processing.checks_signx import what_it_learned

    task = task_of(model)
    if task in (SIGNS, SPOTTING):
        if goal == "text":
            raise SignXError(
                f"{name} {REFUSED[task][0]} and has learned no text. `signx-hf recognize` writes its glosses; for text "
                "train a model of sentences with target: text or both."
            )
        return
    try:
        config = _config(model)
        learned = what_it_learned(goal, config.get("trained_tasks"), STAGE3 not in (config.get("architectures") or ()))
    except Exception:  # as in `task_of`
        return
    if learned is None:
        return
    if goal == "text":
        remedy = "`signx-hf recognize` writes its glosses; for text train a model with target: text or both."
    else:
        remedy = "Use `signx-hf translate` or `live --translate`, or a model that was trained with target: both."
    raise SignXError(f"{name} has learned {learned}. {remedy}")


def _config(model: str) -> dict[str, Any]:
    return load_json(read_regular(_config_path(model)))


def _config_path(model: str) -> Path:
    if Path(model).is_dir():
        return Path(model) / "config.json"
    if nearest_shipped(model) is not None:  # misspelled, so not a name on the Hub
        raise FileNotFoundError(model)
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(model, "config.json"))


def check_flags(model: str, task: str, flags: Collection[str]) -> None:
    """Reject flags of another task.

    Args:
        model: its name in messages.
        task: as `task_of` returns it.
        flags: names of pipeline options that were given by a flag of their own.

    Raises:
        SignXError: If a flag does not apply. The message names it.
    """
    does, reasons = REFUSED[task]
    options = {**ANSWER_FLAGS, **SENTENCE_FLAGS}
    for flag, reason in reasons.items():
        if options[flag] in flags:
            kind = "sentences" if flag in SENTENCE_FLAGS else "isolated signs"
            remedy = f": {reason}." if reason else ". Leave it out."
            raise SignXError(f"--{flag.replace('_', '-')} is for models of {kind}, and {model} {does}{remedy}")
