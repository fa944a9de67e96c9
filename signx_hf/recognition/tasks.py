"""Which pipeline serves a checkpoint, told without its weights and without torch."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from .._registration import task_of_architecture
from ..assets import nearest_shipped
from ..processing.errors_signx import SignXError

SENTENCES, SIGNS, SPOTTING = "sign-recognition", "isolated-sign-recognition", "sign-spotting"
# flag of the command line -> option of the pipeline of isolated signs, and of both
SIGN_FLAGS = {"vocabulary": "vocabulary", "top_k": "top_k"}
ANSWER_FLAGS = {**SIGN_FLAGS, "threshold": "threshold"}
# flag -> option of the pipeline of sentences, which one sign has no use for
SENTENCE_FLAGS = {"lm": "lm", "chunk_length": "chunk_length_s"}
# task -> what such a model does, and why it has no use for a flag
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
    """Return the task of a model by the `architectures` in its config.json, and by whether it was fitted to find signs (`spotting`); of what
    cannot be read, or is none of this package's, that of sentences, so that loading it says what is wrong."""
    try:
        config = json.loads(_config_path(model).read_bytes())
        task = task_of_architecture(config.get("architectures")) or SENTENCES
        return SPOTTING if task == SIGNS and config.get("spotting") is not None else task
    except Exception:  # no such folder or name, no network, a damaged file
        return SENTENCES


def _config_path(model: str) -> Path:
    if Path(model).is_dir():
        return Path(model) / "config.json"
    if nearest_shipped(model) is not None:  # misspelled; the Hub need not be asked
        raise FileNotFoundError(model)
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(model, "config.json"))


def check_flags(model: str, task: str, flags: Collection[str]) -> None:
    """Refuse flags that are of the other task.

    Args:
        model: its name in messages. task: of `task_of`. flags: names of options of the pipeline that were given by a flag of their own.

    Raises:
        SignXError: names the flag.
    """
    does, reasons = REFUSED[task]
    options = {**ANSWER_FLAGS, **SENTENCE_FLAGS}
    for flag, reason in reasons.items():
        if options[flag] in flags:
            kind = "sentences" if flag in SENTENCE_FLAGS else "isolated signs"
            remedy = f": {reason}." if reason else ". Leave it out."
            raise SignXError(f"--{flag.replace('_', '-')} is for models of {kind}, and {model} {does}{remedy}")


def add_sign_flags(parser: Any, top_k: bool = True) -> None:
    """Add `--vocabulary`, `--threshold` and, where it is of use, `--top-k`."""
    parser.add_argument(
        "--vocabulary",
        metavar="FILE",
        help="isolated signs: text file with a gloss on each line, which the answer may be",
    )
    if top_k:
        parser.add_argument("--top-k", type=int, metavar="N", help="isolated signs: how many candidates; default: 5")
    parser.add_argument(
        "--threshold", type=_threshold, metavar="X|none", help="below it the model is not sure; default: as saved with it"
    )  # fmt: skip


def _threshold(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text  # the pipeline refuses what it does not know
