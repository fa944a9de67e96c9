"""`signx-hf train STAGE`, and `main` for the scripts in `examples/`, which run the same code."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..common.messages import one_line, say, show, warnings_to_stderr
from ..common.options import Subparsers
from ..common.threads import computing, cores

TRAIN_HELP = "train a stage: pose2gloss, video2pose, latent_ctc, refine, isolated, signmae, uniglor_isolated"


def add_parser(commands: Subparsers, with_options: bool = True) -> None:
    """Add `train` to the parser of signx-hf, with or without its options; imports nothing heavy."""
    text = (
        "Train one stage. A stage has defaults of its own for some options, which the help of its script shows (python "
        "examples/train_stage1.py --help) and run.json records."
    )
    train = commands.add_parser("train", help=TRAIN_HELP, description=text)
    train.add_argument(
        "stage",
        metavar="STAGE",
        help="pose2gloss, video2pose, latent_ctc, refine, isolated, signmae or uniglor_isolated",
    )
    if with_options:
        from .arguments import add_options

        add_options(train)
    train.usage = "%(prog)s STAGE --config FILE [--OPTION VALUE ...]"


def run(options: argparse.Namespace) -> int:
    """Run `signx-hf train` and return the exit code: 0, or 2 if training stopped."""
    given = {name: value for name, value in vars(options).items() if name not in ("command", "stage")}
    return train(options.stage, given)


def train(stage: str, given: dict[str, Any]) -> int:
    """Train a stage with the given options and print the folder of the model.

    Returns:
        0, or 2 after one line on standard error that says what stopped it.
    """
    import os

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # workers are forked after a tokenizer has run
    from ..processing.errors_signx import SignXError, SignXWarning
    from .arguments import collect
    from .stages import check_stage, stage_class

    try:
        with warnings_to_stderr("train", SignXWarning):
            check_stage(stage)
            _check_data(given)
            chosen = stage_class(stage)
            arguments = collect(given, chosen.defaults_for(given))
            from .loop import TrainingRun

            run = TrainingRun(chosen(arguments), arguments)
            folder = run.train()
    except (SignXError, ImportError) as error:
        say(one_line(error), "train")
        return 2
    if int(os.environ.get("RANK", 0)) == 0:
        show(f"{folder}: trained; metrics in {Path(folder).parent / 'log.csv'}")
        if report := run.stage.report(run.best_metrics):
            show(report)
    return 0


def _check_data(given: dict[str, Any]) -> None:
    """Reject a misspelled option or dataset before torch is imported, which takes long."""
    from ..data.load import check_source
    from .arguments import collect

    data = collect(given).data
    check_source(data.dataset, data.data_dir)


def main(stage: str, description: str, argv: Sequence[str] | None = None) -> int:
    """Run a training script: parse the options of its command line, then `train`.

    Args:
        stage: name.
        description: for `--help`.
        argv: command line without the program; that of the process if not given.
    """
    from .arguments import add_options

    with computing(None, cores(with_load=False).threads()):
        from .stages import stage_class  # loads torch

        parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
        add_options(parser, stage_class(stage).defaults)
        return train(stage, vars(parser.parse_args(argv)))
