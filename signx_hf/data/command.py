"""`signx-hf data list`, `signx-hf data check` and, from `signsynth/command.py`, `signx-hf data synth`."""

import argparse
import json
from dataclasses import asdict
from typing import Any

from ..common.messages import one_line, say, warnings_to_stderr
from ..common.options import Subparsers
from .signsynth import command as synth_command

CHECK_HELP = "look for faults that break training; exit code 0: none found, 1: faults found, 2: could not be checked"


def add_parser(commands: Subparsers) -> None:
    """Add `data` with its subcommands to the parser of signx-hf, without heavy imports."""
    data = commands.add_parser("data", help="list the supported corpora, and check yours")
    actions = data.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="list corpora with their titles, licenses and splits")
    listing.add_argument("--json", action="store_true", help="one JSON list, with homepages and citations")

    check = actions.add_parser("check", help=CHECK_HELP, description=CHECK_HELP)
    check.add_argument(
        "corpus", metavar="NAME|PATH", help="a corpus of `data list`, or a saved dataset, table, ELAN or video folder"
    )
    check.add_argument("--data-dir", help="folder of your copy of the corpus")
    check.add_argument("--json", action="store_true", help="the report as JSON, with every finding")
    check.add_argument(
        "--same-signer", action="store_true", help="signers that are in two splits are errors; default: a warning"
    )
    check.add_argument(
        "--media", choices=("open", "stat", "none"), default="open", help="how to check files; default: open"
    )
    check.add_argument("--no-poses", action="store_true", help="do not read stored poses")
    check.add_argument("--stride", type=int, default=4, help="frames per output step of the recognizer; default: 4")
    check.add_argument(
        "--target",
        choices=("glosses", "text", "both"),
        help="what is to be decoded, as in training: a clip without it is an error; default: a clip may have either",
    )
    check.add_argument(
        "--model",
        help="model that is to be trained further: its pieces tell which glosses and texts are too long for it; default: "
        "words are counted, for a new model",
    )
    check.add_argument("--cleanup", default="none", help="clean-up of glosses: phoenix14, phoenix14t, csl_daily, none")
    check.add_argument(
        "--skip-bad", metavar="LIST", help="leave out rows that cannot be read, and list them in this file"
    )
    check.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the loader, JSON or text; repeatable",
    )
    check.add_argument("--strict", action="store_true", help="treat warnings as faults")
    synth_command.add_parser(actions)


def run(options: argparse.Namespace) -> int:
    """Run `data list`, `data check` or `data synth`.

    Returns:
        The exit code: 0, 1 if faults were found, 2 if nothing could be checked.
    """
    if options.action == "synth":
        return synth_command.run(options)
    return _list(options.json) if options.action == "list" else _check(options)


def _list(as_json: bool) -> int:
    from .load import list_corpora

    corpora = list_corpora()
    if as_json:
        print(json.dumps([asdict(corpus) for corpus in corpora], ensure_ascii=False, indent=1))
        return 0
    for corpus in corpora:
        print(f"{corpus.name:18} {corpus.title}\n{'':18} splits {', '.join(corpus.splits)}; license: {corpus.licence}")
    return 0


def _check(options: argparse.Namespace) -> int:
    from ..processing.errors_signx import SignXError
    from .check import CheckOptions, check_dataset
    from .check_targets import DecoderLimit

    try:
        limit = DecoderLimit() if options.model is None else DecoderLimit.of_model(options.model)
        poses = not options.no_poses
        check_options = CheckOptions(options.same_signer, options.media, poses, options.stride, options.target, limit)
        with warnings_to_stderr():
            report = check_dataset(_open(options), check_options)
    except (SignXError, ImportError) as error:
        say(one_line(error))
        return 2
    print(report.to_json() if options.json else report.to_text())
    return 1 if report.errors or (options.strict and report.warnings) else 0


def _open(options: argparse.Namespace):
    from ..common.options import option_value
    from .errors import SignXDataError
    from .load import open_source

    loader_options: dict[str, Any] = {"cleanup": options.cleanup}
    if options.skip_bad:
        loader_options["skip_bad"] = options.skip_bad
    for option in options.option:
        name, equals, value = option.partition("=")
        if not equals:
            raise SignXDataError(f"--option must be NAME=VALUE, got {option!r}.")
        loader_options[name] = option_value(value)
    return open_source(options.corpus, options.data_dir, **loader_options)
