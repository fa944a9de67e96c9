"""`signx-hf train STAGE`, and `main`, which the scripts in `examples/` call: the same code."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TRAIN_HELP = "train a stage: pose2gloss, video2pose, latent_ctc, refine, isolated"


def add_parser(commands: Any, with_options: bool = True) -> None:
    """Adds `train` to the parser of signx-hf, with its options or by name alone; imports nothing heavy."""
    text = (
        "Trains one stage. In brackets: what holds where nothing is given; a stage has its own for some, which the help of its script "
        "shows (python examples/train_stage1.py --help) and run.json records."
    )
    train = commands.add_parser("train", help=TRAIN_HELP, description=text)
    train.add_argument("stage", metavar="STAGE", help="pose2gloss, video2pose, latent_ctc, refine or isolated")
    if with_options:
        from .arguments import add_options

        add_options(train)
    train.usage = "%(prog)s STAGE --config FILE [--OPTION VALUE ...]"


def run(options: argparse.Namespace) -> int:
    """Runs `signx-hf train`; the exit code is 0, or 2 if training stopped."""
    given = {name: value for name, value in vars(options).items() if name not in ("command", "stage")}
    return train(options.stage, given)


def train(stage: str, given: dict[str, Any]) -> int:
    """Trains a stage with the options given; prints where the model lies. 0, or 2 after one line that says what stopped it."""
    import os
    import warnings

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # workers are forked after a tokenizer was used
    from ..processing.errors_signx import SignXError, SignXWarning
    from .arguments import collect
    from .stages import stage_class

    show = warnings.showwarning

    def show_in_a_line(message: Any, category: type, *place: Any, **more: Any) -> None:
        if issubclass(category, SignXWarning):
            print(f"signx-hf train: warning: {' '.join(str(message).split())}", file=sys.stderr)
        else:
            show(message, category, *place, **more)

    try:
        with warnings.catch_warnings():
            warnings.showwarning = show_in_a_line
            chosen = stage_class(stage)
            arguments = collect(given, chosen.defaults_for(given))
            from .loop import TrainingRun

            run = TrainingRun(chosen(arguments), arguments)
            folder = run.train()
    except (SignXError, ImportError) as error:
        print(f"signx-hf train: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    if int(os.environ.get("RANK", 0)) == 0:
        print(f"{folder}: trained; numbers in {Path(folder).parent / 'log.csv'}")
        if report := run.stage.report(run.best_metrics):
            print(report)
    return 0


def main(stage: str, description: str, argv: Sequence[str] | None = None) -> int:
    """The body of a training script: the options of its command line, then `train`."""
    from .arguments import add_options
    from .stages import stage_class

    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    add_options(parser, stage_class(stage).defaults)
    return train(stage, vars(parser.parse_args(argv)))
