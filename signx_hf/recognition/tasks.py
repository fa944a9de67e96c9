"""Which pipeline runs a checkpoint, found out without its weights and without torch."""

from collections.abc import Collection
from pathlib import Path

from .._registration import task_of_architecture
from ..assets import nearest_shipped
from ..common.reading import load_json, read_regular
from ..processing.errors_signx import SignXError

SENTENCES, SIGNS, SPOTTING = "sign-recognition", "isolated-sign-recognition", "sign-spotting"
# Flag of the command line -> option of the pipeline of isolated signs.
SIGN_FLAGS = {"vocabulary": "vocabulary", "top_k": "top_k"}
ANSWER_FLAGS = {**SIGN_FLAGS, "threshold": "threshold"}
# Flag -> option of the pipeline of sentences.
SENTENCE_FLAGS = {"lm": "lm", "chunk_length": "chunk_length_s"}
# Task -> what such a model does, and flag that it rejects -> why.
REFUSED: dict[str, tuple[str, dict[str, str]]] = {
    SENTENCES: ("recognizes sentences", dict.fromkeys(SIGN_FLAGS, "")),
    SIGNS: ("recognizes single signs", {
        "lm": "a language model scores sequences of glosses",
        "chunk_length": "a clip holds one sign; for a recording of several use `signx-hf live --from-file`",
    }),
    SPOTTING: ("finds single signs in recordings", {
        "lm": "a language model scores sequences of a recognizer of sentences",
        "chunk_length": "it reads recordings of any length",
        "top_k": "every sign that is found has one gloss",
        "threshold": "how sure a sign must be is --option confidence=0.5",
    }),
}  # fmt: skip


def task_of(model: str) -> str:
    """Return the task of a model, from `architectures` and `spotting` in its config.json.

    A config that cannot be read, or is not of this package, counts as one of sentences: loading it then says what is
    wrong.
    """
    try:
        config = load_json(read_regular(_config_path(model)))
        task = task_of_architecture(config.get("architectures")) or SENTENCES
        return SPOTTING if task == SIGNS and config.get("spotting") is not None else task
    except Exception:  # no such folder or name, no network, a damaged file
        return SENTENCES


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
