"""`signx-hf evaluate`."""

import argparse
import shlex

from ..common.messages import one_line, say, show
from ..common.options import Subparsers
from ..recognition.flags import add_flags
from .options import SCORERS, TASKS

HELP = "evaluate a model on a split of a dataset: error rates or BLEU with intervals, times, confusion, a report"
EPILOG = (
    "A second run with the same inputs reuses the finished clips in --out. Exit code: 0 results were written; 1 "
    "clips failed, each is named, and there are no results; 2 nothing could be done."
)


def add_parser(commands: Subparsers) -> None:
    """Add `evaluate` to the parser of signx-hf, without heavy imports."""
    parser = commands.add_parser("evaluate", help=HELP, description=HELP, epilog=EPILOG)
    parser.add_argument("model", metavar="MODEL", help="folder or Hub name of a model with its processor, or demo")
    parser.add_argument(
        "dataset", metavar="DATASET", help="corpus by name, saved dataset, table, ELAN or video folder"
    )
    parser.add_argument("--split", default="test", help="of the dataset; default: test")
    add_flags(parser, "data_dir")
    parser.add_argument(
        "--out", default="evaluation", metavar="DIR", help="folder for the results; default: evaluation"
    )
    parser.add_argument(
        "--source", default="auto", help="video or poses; default: auto, video if model and data have it"
    )
    parser.add_argument(
        "--task", choices=tuple(TASKS),
        help="what is compared: glosses, or the translation into text; default: gloss, or text if the model learned nothing else",
    )  # fmt: skip
    parser.add_argument(
        "--hide-track", action="append", default=[], metavar="NAME",
        help="a pose track to mask, as if no clip had it, without training again; repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--scorer", action="append", default=[], metavar="NAME",
        help=f"{', '.join(SCORERS)} (top_n: isolated signs); repeatable or with commas; default: plain,sclite, top_1,top_5 or bleu,chrf,rouge_l",
    )  # fmt: skip
    add_flags(parser, "option", "loader", "vocabulary", "threshold")
    parser.add_argument(
        "--unknown", action="store_true",
        help="isolated signs: also recognize clips of signs outside the vocabulary, to see how many are rejected",
    )  # fmt: skip
    add_flags(parser, "device", "trust_remote_code")
    parser.add_argument("--seed", type=int, default=0, help="of intervals and of sampling; default: 0")
    parser.add_argument("--rounds", type=int, default=2000, help="bootstrap samples of an interval; default: 2000")
    parser.add_argument(
        "--batch-size", type=int, default=8, metavar="N",
        help="clips that a process receives at a time; the model sees each alone, so no number depends on it; default: 8",
    )  # fmt: skip
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes, each with one thread; default: 1")


def run(options: argparse.Namespace) -> int:
    """Run `evaluate` and return the exit code: 0, 1 if clips failed, 2 if nothing could be done."""
    from . import EvaluationOptions, evaluate
    from .run import ClipsFailed
    from .text import lines

    try:
        results = evaluate(EvaluationOptions.from_arguments(options, command=_command(options)))
    except ClipsFailed as error:
        for line in error.failed:
            say(one_line(line), "evaluate")
        say(one_line(error), "evaluate")
        return 1
    except (ValueError, OSError, ImportError) as error:
        say(one_line(error), "evaluate")
        return 2
    for note in results["run"]["warnings"]:
        say(one_line(f"warning: {note}"), "evaluate")
    for line in lines(results):
        show(line)
    show(f"results in {options.out}")
    return 0


def _command(options: argparse.Namespace) -> str:
    """Return the command that reproduces the numbers, for the record."""
    words = ["signx-hf", "evaluate", options.model, options.dataset]
    for name in ("split", "task", "source", "data_dir", "vocabulary", "threshold"):
        value = getattr(options, name)
        words += [] if value in (None, "") else [f"--{name.replace('_', '-')}", str(value)]
    words += ["--unknown"] * options.unknown
    for name in ("scorer", "hide_track", "option", "loader"):
        words += [word for value in getattr(options, name) for word in (f"--{name.replace('_', '-')}", value)]
    return shlex.join([*words, "--seed", str(options.seed), "--rounds", str(options.rounds)])
