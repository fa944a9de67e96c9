"""`signx-hf push` and `signx-hf pull`."""

import argparse
import warnings
from typing import Any

from ..common.messages import one_line, say

PUSH_HELP = "publishes a model with its measured results and a card, a dataset or a metric, in one commit"
PULL_HELP = "fetches a model or dataset of the Hub at one commit, every file checked"
EPILOG = "Exit code: 0 done; 2 nothing was published or fetched, and one line says why."


def add_parser(commands: Any) -> None:
    """Adds `push` and `pull` to the parser of signx-hf; imports nothing heavy."""
    push = commands.add_parser("push", help=PUSH_HELP, description=PUSH_HELP, epilog=EPILOG)
    push.add_argument(
        "source",
        metavar="FOLDER",
        help="of a model with its processor; with --dataset a corpus or saved dataset; with --metric the name of a metric",
    )
    push.add_argument("repo", metavar="REPO", help="OWNER/NAME on the Hub, or a name of yours")
    push.add_argument(
        "--results", action="append", default=[], metavar="FILE",
        help="results.json of signx-hf evaluate with this folder; repeatable, one for each test set",
    )  # fmt: skip
    push.add_argument(
        "--about", metavar="FILE", help="facts for the card: licence, training data, consent, ... (YAML)"
    )
    push.add_argument("--private", action="store_true", help="make a new repository private")
    push.add_argument("--force", action="store_true", help="publish what a gate refuses; each refusal is printed")
    push.add_argument("--revision", metavar="BRANCH", help="publish there; default: main")
    push.add_argument("--dataset", action="store_true", help="publish clips instead of a model")
    push.add_argument("--metric", action="store_true", help="publish a metric as a module of `evaluate`")
    push.add_argument("--data-dir", help="with --dataset: folder of your own copy of the corpus")
    push.add_argument("--split", action="append", default=[], help="with --dataset: only this one; repeatable")
    push.add_argument(
        "--loader", action="append", default=[], metavar="NAME=VALUE", help="with --dataset: option of the loader"
    )
    push.add_argument("--message", help="of the commit")
    push.add_argument("--card", metavar="FILE", help="only check, and write the card there; nothing is sent")

    pull = commands.add_parser("pull", help=PULL_HELP, description=PULL_HELP, epilog=EPILOG)
    pull.add_argument("repo", metavar="REPO", help="OWNER/NAME on the Hub")
    pull.add_argument("--revision", help="branch, tag or commit; default: main")
    pull.add_argument("--out", required=True, metavar="DIR", help="folder, new or empty")
    pull.add_argument("--dataset", action="store_true", help="a dataset instead of a model")


def run(options: argparse.Namespace) -> int:
    """Runs `push` or `pull`: 0, or 2 after one line that says why nothing was done."""
    from .client import quiet

    quiet()
    warnings.showwarning = lambda message, *_, **__: say(one_line(f"warning: {message}"), options.command)
    try:
        _check_words(options)
        return _pull(options) if options.command == "pull" else _push(options)
    except (ValueError, OSError, ImportError) as error:
        say(one_line(error), options.command)
        return 2


def _check_words(options: argparse.Namespace) -> None:
    """Refuses options that are empty: as if left out, `--card ""` would publish and `--out ""` would mean the folder at hand."""
    for name, value in vars(options).items():
        if value == "" or (isinstance(value, list) and "" in value):
            shown = name.upper() if name in ("source", "repo") else f"--{name.replace('_', '-')}"
            raise ValueError(f"{shown} is empty; wanted a text; give one, or leave it out")


def _pull(options: argparse.Namespace) -> int:
    from .download import pull

    found = pull(options.repo, options.out, options.revision, options.dataset)
    done = "pulled" if found.fetched else "there already:"
    print(
        f"{done} {found.repo}@{found.commit} ({len(found.files)} files, {found.size / 1e6:.1f} MB) in {found.folder}"
    )
    return 0


def _push(options: argparse.Namespace) -> int:
    from .about import About, read_about
    from .card import write_card
    from .results import read_results
    from .upload import PushOptions, push_dataset, push_metric, push_model

    about = About() if options.about is None else read_about(options.about)
    wanted = PushOptions(
        options.repo, options.private, options.force, options.revision, about, message=options.message
    )
    if options.metric:
        for name in ("results", "card", "about", "dataset", "data_dir", "split", "loader"):
            if getattr(options, name):
                raise ValueError(f"--{name.replace('_', '-')} with --metric: wanted one of them")
        found = push_metric(options.source, wanted)
    elif options.dataset:
        for name in ("results", "card"):
            if getattr(options, name):
                raise ValueError(f"--{name} with --dataset: wanted one of them; results are of a model")
        found = push_dataset(_rows(options), wanted, options.source)
    else:
        for name in ("data_dir", "split", "loader"):
            if getattr(options, name):
                raise ValueError(f"--{name.replace('_', '-')} without --dataset: wanted both")
        results = [read_results(path) for path in options.results]
        if options.card is not None:
            return _card_only(options, results, about, write_card)
        found = push_model(options.source, results, wanted)
    for note in found.notes:
        say(one_line(note), "push")
    done = "published" if found.changed else "nothing has changed:"
    print(f"{done} {found.repo}@{found.commit} ({len(found.files)} files) {found.url}")
    return 0


def _card_only(options: argparse.Namespace, results: list, about: Any, write_card: Any) -> int:
    from pathlib import Path

    from .card import CARD, check_card_place, read_own
    from .gate import check_card
    from .upload import model_files

    if not results:
        raise ValueError("--card without --results: wanted results.json of signx-hf evaluate, for its numbers")
    folder = Path(options.source)
    place = check_card_place(options.card, folder)
    _, notes = model_files(folder)
    own = read_own(folder)
    if own is not None and (folder / CARD).resolve() != place:
        check_card(own, results)
    text = write_card(folder, options.repo, results, options.card, about)
    for note in notes:
        say(one_line(note), "push")
    print(f"card of {len(text.splitlines())} lines in {options.card}; nothing was sent")
    return 0


def _rows(options: argparse.Namespace) -> Any:
    from ..common.options import pipeline_options
    from ..data.load import open_source
    from ..processing.errors_signx import SignXError

    rows = open_source(options.source, options.data_dir, **pipeline_options(options.loader))
    if not options.split:
        return rows
    if not hasattr(rows, "keys"):
        raise SignXError(f"{options.source} is one split; leave --split out")
    missing = [split for split in options.split if split not in rows]
    if missing:
        raise SignXError(f"{options.source} has no split {missing[0]!r}; found: {', '.join(rows)}")
    return {split: rows[split] for split in options.split}
