"""`signx-hf push` and `signx-hf pull`."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..common.messages import one_line, say, show, warnings_to_stderr
from ..common.options import Subparsers
from ..recognition.flags import add_flags

if TYPE_CHECKING:
    from datasets import Dataset

    from .about import About
    from .results import Results

PUSH_HELP = "publish a model with its results and a card, a dataset or a metric, in one commit"
PULL_HELP = "download a model or dataset from the Hub at one commit, and verify every file"
EPILOG = "Exit code: 0 done; 2 nothing was published or downloaded, and one line says why."


def add_parser(commands: Subparsers) -> None:
    """Add `push` and `pull` to the parser of signx-hf, without heavy imports."""
    push = commands.add_parser("push", help=PUSH_HELP, description=PUSH_HELP, epilog=EPILOG)
    push.add_argument(
        "source",
        metavar="FOLDER",
        help="folder of a model with its processor; with --dataset a corpus or saved dataset; with --metric the name of a metric",
    )
    push.add_argument("repo", metavar="REPO", help="OWNER/NAME on the Hub, or a name of your own")
    push.add_argument(
        "--results", action="append", default=[], metavar="FILE",
        help="results.json of `signx-hf evaluate` with this folder; repeatable, one per test set",
    )  # fmt: skip
    push.add_argument(
        "--about", metavar="FILE", help="facts for the card: license, training data, consent, ... (YAML)"
    )
    push.add_argument("--private", action="store_true", help="make a new repository private")
    push.add_argument("--force", action="store_true", help="publish what a check refuses; each refusal is printed")
    push.add_argument("--revision", metavar="BRANCH", help="branch to publish to; default: main")
    push.add_argument("--dataset", action="store_true", help="publish clips instead of a model")
    push.add_argument("--metric", action="store_true", help="publish a metric as a module of `evaluate`")
    add_flags(push, "data_dir", data_dir={"help": "with --dataset: folder of your own copy of the corpus"})
    push.add_argument(
        "--split", action="append", default=[], help="with --dataset: publish only this split; repeatable"
    )
    add_flags(push, "loader", loader={"help": "with --dataset: an option of the loader; repeatable"})
    push.add_argument("--message", help="commit message")
    push.add_argument("--card", metavar="FILE", help="only check, and write the card to FILE; nothing is sent")

    pull = commands.add_parser("pull", help=PULL_HELP, description=PULL_HELP, epilog=EPILOG)
    pull.add_argument("repo", metavar="REPO", help="OWNER/NAME on the Hub")
    pull.add_argument("--revision", help="branch, tag or commit; default: main")
    pull.add_argument("--out", required=True, metavar="DIR", help="a new or empty folder")
    pull.add_argument("--dataset", action="store_true", help="download a dataset instead of a model")


def run(options: argparse.Namespace) -> int:
    """Run `push` or `pull` and return the exit code: 0, or 2 after one line that says why nothing was done."""
    from .client import quiet

    quiet()
    try:
        _check_not_empty(options)
        with warnings_to_stderr(options.command):
            return _pull(options) if options.command == "pull" else _push(options)
    except (ValueError, OSError, ImportError) as error:
        say(one_line(error), options.command)
        return 2


def _check_not_empty(options: argparse.Namespace) -> None:
    """Reject empty options: if ignored, `--card ""` would publish, and `--out ""` would be the current directory."""
    for name, value in vars(options).items():
        if value == "" or (isinstance(value, list) and "" in value):
            shown = name.upper() if name in ("source", "repo") else f"--{name.replace('_', '-')}"
            raise ValueError(f"{shown} must not be empty. Pass a value, or leave it out.")


def _pull(options: argparse.Namespace) -> int:
    from .download import pull

    report = pull(options.repo, options.out, options.revision, options.dataset)
    done = "pulled" if report.fetched else "already up to date:"
    show(
        f"{done} {report.repo}@{report.commit} ({len(report.files)} files, {report.size / 1e6:.1f} MB) in "
        f"{report.folder}"
    )
    return 0


def _push(options: argparse.Namespace) -> int:
    from .about import About, read_about
    from .card import write_card
    from .results import read_results
    from .upload import PushOptions, push_dataset, push_metric, push_model

    about = About() if options.about is None else read_about(options.about)
    push_options = PushOptions(
        options.repo, options.private, options.force, options.revision, about, message=options.message
    )
    if options.metric:
        for name in ("results", "card", "about", "dataset", "data_dir", "split", "loader"):
            if getattr(options, name):
                raise ValueError(f"--{name.replace('_', '-')} does not apply to --metric. Leave one of them out.")
        report = push_metric(options.source, push_options)
    elif options.dataset:
        for name in ("results", "card"):
            if getattr(options, name):
                raise ValueError(
                    f"--{name} does not apply to --dataset: results belong to a model. Leave one of them out."
                )
        report = push_dataset(_rows(options), push_options, options.source)
    else:
        for name in ("data_dir", "split", "loader"):
            if getattr(options, name):
                raise ValueError(f"--{name.replace('_', '-')} needs --dataset.")
        results = [read_results(path) for path in options.results]
        if options.card is not None:
            return _card_only(options, results, about, write_card)
        report = push_model(options.source, results, push_options)
    for note in report.notes:
        say(one_line(note), "push")
    done = "published" if report.changed else "nothing has changed:"
    show(f"{done} {report.repo}@{report.commit} ({len(report.files)} files) {report.url}")
    return 0


def _card_only(
    options: argparse.Namespace, results: "list[Results]", about: "About", write_card: Callable[..., str]
) -> int:
    from pathlib import Path

    from .card import CARD, check_card_path, read_own
    from .checks import check_card
    from .upload import model_files

    if not results:
        raise ValueError("--card needs --results, a results.json of `signx-hf evaluate` with the numbers.")
    folder = Path(options.source)
    path = check_card_path(options.card, folder)
    _, notes = model_files(folder)
    own = read_own(folder)
    if own is not None and (folder / CARD).resolve() != path:
        check_card(own, results)
    text = write_card(folder, options.repo, results, options.card, about)
    for note in notes:
        say(one_line(note), "push")
    show(f"card of {len(text.splitlines())} lines in {options.card}; nothing was sent")
    return 0


def _rows(options: argparse.Namespace) -> "Dataset | dict[str, Dataset]":
    from ..common.options import pipeline_options
    from ..data.load import open_source
    from ..processing.errors_signx import SignXError

    rows = open_source(options.source, options.data_dir, **pipeline_options(options.loader))
    if not options.split:
        return rows
    if not hasattr(rows, "keys"):
        raise SignXError(f"{options.source} has only one split. Leave --split out.")
    missing = [split for split in options.split if split not in rows]
    if missing:
        raise SignXError(f"--split must be one of {', '.join(rows)}, got {missing[0]!r}.")
    return {split: rows[split] for split in options.split}
