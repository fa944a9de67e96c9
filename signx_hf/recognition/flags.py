"""Command-line options that several commands share, so that each has one name, one meaning and one help text."""

import argparse
from typing import Any

from ..common.threads import read_threads


def _number_or_text(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text  # the pipeline rejects what it does not know


def _person(text: str) -> int | str:
    return int(text) if text.isdecimal() else text  # the pipeline rejects what it does not know


def _threads(text: str) -> int:
    try:
        return read_threads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


# destination -> arguments of `add_argument`
FLAGS: dict[str, dict[str, Any]] = {
    "model": {"help": "folder or Hub name of a model with its processor, or a model of the package: demo, asl, ..."},
    "device": {"help": "cpu, cuda, cuda:1, mps, ...; default: the GPU if there is one"},
    "trust_remote_code": {
        "action": "store_true", "help": "run the model code of the repository instead of this package's",
    },
    "option": {
        "action": "append", "default": [], "metavar": "NAME=VALUE",
        "help": "an option of the pipeline, such as decoder=ctc or num_beams=8; repeatable; a wrong name lists all",
    },
    "data_dir": {"help": "folder of your own copy of the corpus"},
    "loader": {
        "action": "append", "default": [], "metavar": "NAME=VALUE",
        "help": "an option of the dataset's loader, such as task=isolated; repeatable",
    },
    "hand": {
        "choices": ("as_trained", "right", "left", "detect"),
        "help": "the signers' dominant hand; left mirrors the clips; default: as_trained",
    },
    "person": {
        "type": _person, "metavar": "N|largest", "help": "which of several people in a pose file; default: largest",
    },
    "n_best": {"type": int, "metavar": "N", "help": "number of hypotheses, which json holds; default: 1"},
    "num_beams": {"type": int, "metavar": "N", "help": "width of the search; default: 5, or as saved with the model"},
    "fps": {
        "type": float, "metavar": "N",
        "help": "frames per second of folders of frames and of pose files without a rate; default: that of the model",
    },
    "translate": {
        "action": "store_const", "const": True,
        "help": "also write the spoken-language text, by a model that has learned both",
    },
    "vocabulary": {"metavar": "FILE", "help": "isolated signs: text file with the possible glosses, one per line"},
    "top_k": {"type": int, "metavar": "N", "help": "isolated signs: number of candidates; default: 5"},
    "threshold": {
        "type": _number_or_text, "metavar": "X|none",
        "help": "score below which the model is not sure; default: as saved with it",
    },
    "tier": {"default": "gloss", "metavar": "NAME", "help": "ELAN: name of the tier of glosses; default: gloss"},
    "merge": {
        "metavar": "PATH",
        "help": "ELAN: add the tiers to a copy of this file, or of the file named as the clip in this folder",
    },
    "threads": {
        "type": _threads, "metavar": "N",
        "help": "threads of each process that computes; default: as many as cores are free, one in extract, evaluate and --jobs",
    },
}  # fmt: skip


def add_flags(parser: argparse._ActionsContainer, *names: str, **changes: dict[str, Any]) -> None:
    """Add shared options to a command.

    Args:
        parser: of the command, or a group of its options.
        names: destinations in `FLAGS`, in the order of the help.
        changes: destination -> arguments of `add_argument` that differ for this command.
    """
    for name in names:
        parser.add_argument(f"--{name.replace('_', '-')}", **{**FLAGS[name], **changes.get(name, {})})
