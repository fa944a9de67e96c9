"""`signx-hf evaluate`."""

import argparse
from typing import Any

from ..common.messages import one_line, say
from ..recognition.tasks import add_sign_flags

HELP = "measures a model on a split of a dataset: error rates with intervals, times, confusion, a report"
EPILOG = (
    "A second run with the same inputs takes the clips that are finished from --out. Exit code: 0 results were written; 1 clips "
    "failed, each is named, and there are no results; 2 nothing could be done."
)


def add_parser(commands: Any) -> None:
    """Adds `evaluate` to the parser of signx-hf; imports nothing heavy."""
    parser = commands.add_parser("evaluate", help=HELP, description=HELP, epilog=EPILOG)
    parser.add_argument("model", metavar="MODEL", help="folder or Hub name of a model with its processor, or demo")
    parser.add_argument(
        "dataset", metavar="DATASET", help="corpus by name, saved dataset, table, ELAN or video folder"
    )
    parser.add_argument("--split", default="test", help="of the dataset; default: test")
    parser.add_argument("--data-dir", help="folder of your own copy of the corpus")
    parser.add_argument(
        "--out", default="evaluation", metavar="DIR", help="folder for the results; default: evaluation"
    )
    parser.add_argument(
        "--source", default="auto", help="video or poses; default: auto, video if model and data have it"
    )
    parser.add_argument(
        "--scorer",
        action="append",
        default=[],
        metavar="NAME",
        help="plain, sclite, phoenix14, phoenix14t, csl_daily, bleu, bleu_zh, chrf, rouge_l, rouge_l_char; of isolated signs top_1, "
        "top_5, top_10; repeatable or with commas; default: plain,sclite or top_1,top_5",
    )
    parser.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE",
        help="an option of the pipeline, as decoder=ctc or num_beams=8; repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--loader", action="append", default=[], metavar="NAME=VALUE", help="an option of the dataset's loader, as task=isolated"
    )  # fmt: skip
    add_sign_flags(parser, top_k=False)
    parser.add_argument(
        "--unknown", action="store_true",
        help="isolated signs: also recognize the clips of signs that the answer cannot be, to see how many get an answer",
    )  # fmt: skip
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps, ...; default: the GPU if there is one")
    parser.add_argument(
        "--trust-remote-code",
        action="store_true",
        help="run the model code of the repository instead of this package's",
    )
    parser.add_argument("--seed", type=int, default=0, help="of intervals and of sampling; default: 0")
    parser.add_argument("--rounds", type=int, default=2000, help="draws of an interval; default: 2000")
    parser.add_argument(
        "--batch-size", type=int, default=8, metavar="N",
        help="clips that a process is handed at a time; the model sees each alone, so no number depends on it; default: 8",
    )  # fmt: skip
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes, each with one thread; default: 1")


def run(options: argparse.Namespace) -> int:
    """Runs `evaluate`: 0, 1 if clips failed, 2 after one line that says why nothing could be done."""
    from ..common.options import pipeline_options
    from ..recognition.options import all_options
    from . import EvaluationOptions, evaluate
    from .run import ClipsFailed
    from .text import lines

    names = [name.strip() for text in options.scorer for name in text.split(",")]
    flags = {
        name: getattr(options, name) for name in ("vocabulary", "threshold") if getattr(options, name) is not None
    }
    try:
        asked = EvaluationOptions(
            model=options.model, dataset=options.dataset, split=options.split, data_dir=options.data_dir,
            loader=pipeline_options(options.loader, "--loader", "task=isolated"), out=options.out, source=options.source, scorers=names,
            options=all_options(options.option, flags), unknown=options.unknown, device=options.device,
            trust_remote_code=options.trust_remote_code, seed=options.seed, rounds=options.rounds,
            batch_size=options.batch_size, jobs=options.jobs, command=_command(options),
        )  # fmt: skip
        results = evaluate(asked)
    except ClipsFailed as error:
        for line in error.failed:
            say(one_line(line), "evaluate")
        say(one_line(str(error)), "evaluate")
        return 1
    except (ValueError, OSError, ImportError) as error:
        say(one_line(str(error)), "evaluate")
        return 2
    for note in results["run"]["warnings"]:
        say(one_line(f"warning: {note}"), "evaluate")
    for line in lines(results):
        print(line)
    print(f"results in {options.out}")
    return 0


def _command(options: argparse.Namespace) -> str:
    """The command that gives the same numbers, for the record."""
    words = [
        "signx-hf",
        "evaluate",
        options.model,
        options.dataset,
        "--split",
        options.split,
        "--source",
        options.source,
    ]
    words += ["--data-dir", options.data_dir] if options.data_dir else []
    words += [word for name in ("vocabulary", "threshold") if (value := getattr(options, name)) is not None
              for word in (f"--{name}", str(value))]  # fmt: skip
    words += ["--unknown"] * options.unknown
    for name, values in (("scorer", options.scorer), ("option", options.option), ("loader", options.loader)):
        words += [word for value in values for word in (f"--{name}", value)]
    import shlex

    return shlex.join([*words, "--seed", str(options.seed), "--rounds", str(options.rounds)])
