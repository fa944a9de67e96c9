"""Which pipeline serves a checkpoint, told without its weights and without torch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .._registration import TASKS
from ..demo import nearest_shipped
from ..processing.errors_signx import SignXError

SENTENCES, SIGNS = "sign-recognition", "isolated-sign-recognition"
# flag of the command line -> option of the pipeline of isolated signs, and of both
SIGN_FLAGS = {"vocabulary": "vocabulary", "top_k": "top_k"}
ANSWER_FLAGS = {**SIGN_FLAGS, "threshold": "threshold"}
# flag -> option of the pipeline of sentences, which one sign has no use for
SENTENCE_FLAGS = {"lm": "lm", "chunk_length": "chunk_length_s"}
WHY_NOT = {
    "lm": "a language model scores sequences of glosses",
    "chunk_length": "a clip holds one sign; for a recording of several use `signx-hf live --from-file`",
}


def task_of(model: str) -> str:
    """Return the task of a model by the `architectures` in its config.json; of what cannot be read, or is none of this package's,
    that of sentences, so that loading it says what is wrong."""
    try:
        architectures = json.loads(_config_path(model).read_bytes()).get("architectures")
        return TASKS.get((architectures or [None])[0], SENTENCES)
    except Exception:  # no such folder or name, no network, a damaged file
        return SENTENCES


def _config_path(model: str) -> Path:
    if Path(model).is_dir():
        return Path(model) / "config.json"
    if nearest_shipped(model) is not None:  # misspelled; the Hub need not be asked
        raise FileNotFoundError(model)
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(model, "config.json"))


def check_flags(model: str, task: str, flags: Mapping[str, Any]) -> None:
    """Refuse flags that are of the other task.

    Args:
        model: its name in messages. task: of `task_of`. flags: options of the pipeline that were given by a flag of their own.

    Raises:
        SignXError: names the flag.
    """
    for flag, option in (SENTENCE_FLAGS if task == SIGNS else SIGN_FLAGS).items():
        if option not in flags:
            continue
        name = f"--{flag.replace('_', '-')}"
        if task == SIGNS:
            raise SignXError(
                f"{name} is for models of sentences, and {model} recognizes single signs: {WHY_NOT[flag]}."
            )
        raise SignXError(f"{name} is for models of isolated signs, and {model} recognizes sentences. Leave it out.")


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
