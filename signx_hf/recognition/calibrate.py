"""`signx-hf calibrate`: what a model's confidences mean, and when it is not sure, fitted to clips it was not trained on."""

import argparse
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..common.messages import one_line, say
from ..common.options import pipeline_options
from ..processing.errors_signx import SignXError, SignXFileNotFoundError, SignXWarning
from .tasks import SIGNS, SPOTTING, task_of

HELP = "fits confidences, times and the threshold of a model to clips it was not trained on, and saves that with it"


def add_parser(commands: Any) -> None:
    """Add `calibrate` to the parser of signx-hf; nothing heavy is imported."""
    parser = commands.add_parser("calibrate", help=HELP, description=HELP)
    parser.add_argument(
        "--model", required=True, help="folder of a model with its processor; its config.json is changed"
    )
    parser.add_argument("--dataset", required=True, metavar="NAME|PATH", help="corpus by name, saved dataset or table")
    parser.add_argument("--data-dir", help="folder of your own copy of the corpus")
    parser.add_argument("--split", default="dev", help="of the dataset; default: dev")
    parser.add_argument(
        "--loader", action="append", default=[], metavar="NAME=VALUE", help="an option of the dataset's loader, as task=isolated"
    )  # fmt: skip
    parser.add_argument("--source", choices=("video", "poses"), default="video", help="default: video")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps, ...; default: the GPU if there is one")
    signs = parser.add_argument_group("when the model is not sure")
    signs.add_argument(
        "--vocabulary", metavar="FILE",
        help="isolated signs: text file with a gloss on each line; clips of other glosses count as unknown signs",
    )  # fmt: skip
    signs.add_argument(
        "--unknown", metavar="NAME|PATH", help="clips of signs, or sentences, that the model does not know"
    )
    signs.add_argument("--unknown-data-dir", metavar="DIR", help="folder of your own copy of that corpus")
    signs.add_argument("--unknown-split", metavar="NAME", help="of that corpus; default: all of it")
    rule = signs.add_mutually_exclusive_group()
    rule.add_argument(
        "--accept-right", type=float, metavar="SHARE", help="threshold: this share of the right answers stays; default: 0.95"
    )  # fmt: skip
    rule.add_argument(
        "--max-wrong", type=float, metavar="SHARE", help="threshold: at most this share of the answers given is wrong"
    )


def run(options: argparse.Namespace) -> int:
    """Run `calibrate`: 0, or 2 after one line that says why nothing could be done."""

    with warnings.catch_warnings():
        warnings.simplefilter("always", SignXWarning)
        warnings.showwarning = lambda message, *_, **__: say(f"warning: {one_line(message)}")
        try:
            if not Path(options.model).is_dir():
                raise SignXFileNotFoundError(
                    f"{options.model}: no such folder: wanted a saved model of your own, as its config is changed"
                )
            task = task_of(options.model)
            if task == SPOTTING:
                raise SignXError(
                    f"`--model` must recognize sentences or single clips, and {options.model} finds signs in recordings. How sure a sign must be "
                    "is its option `confidence`."
                )
            if task == SIGNS:
                return _calibrate_signs(options)
            return _calibrate_sentences(options)
        except (ValueError, OSError, ImportError) as error:
            say(one_line(error))
            return 2


def _open(options: argparse.Namespace) -> Any:
    """The rows of the dataset and split that were asked for."""
    from ..data.load import open_source
    from ..data.media import check_rows
    from ..training.examples import split_of

    loader = pipeline_options(options.loader, "--loader", "task=isolated")
    source = open_source(options.dataset, options.data_dir, **loader)
    rows = split_of(source, options.split, options.dataset, "give one of these with --split")
    check_rows(rows, options.dataset)
    if not len(rows):
        raise SignXError(
            f"{options.dataset}: no clip in split {options.split!r}; wanted some that the model was not trained on"
        )
    return rows


# ----------------------------------------------------------------------------------------------------------- sentences


def _calibrate_sentences(options: argparse.Namespace) -> int:
    from .calibration import fit, save, update_config
    from .loading import load_pipeline
    from .rejection import fit_known

    if options.vocabulary is not None:
        raise SignXError(
            f"--vocabulary is for models of isolated signs, and {options.model} recognizes sentences. Leave it out."
        )
    rule = _rule(options)
    for name in ("accept_right", "max_wrong"):
        if options.unknown is None and getattr(options, name) is not None:
            raise SignXError(f"--{name.replace('_', '-')} needs --unknown, clips that the model does not know.")
    rows = _open(options)
    unknown = [] if options.unknown is None else _open_unknown(options, set())
    recognizer = load_pipeline(options.model, options.device)
    found = fit(recognizer, rows, options.source)
    rejection = fit_known(recognizer, rows, unknown, options.source, rule) if unknown else None
    save(Path(options.model), found)
    if rejection is not None:
        update_config(Path(options.model), {"rejection_threshold": rejection.threshold})
    print(
        f"{options.model}: temperature {found.temperature:g} from {found.glosses} glosses, {found.right} of them right; expected "
        f"calibration error on these clips {found.error_before:.3f} before, {found.error_after:.3f} after; mean confidence of right glosses "
        f"{found.confidence_right:.2f}, of wrong ones {found.confidence_wrong:.2f}"
    )
    if found.margins is not None:
        print(
            f"{options.model}: glosses begin {found.margins[0]:g} s earlier and end {found.margins[1]:g} s later than CTC says; boundaries "
            f"are {found.boundary_before:.3f} s off without these margins, {found.boundary_after:.3f} s with them"
        )
    if rejection is not None:
        print(
            f"{options.model}: known tells {rejection.known} clips from {rejection.unknown} unknown ones with an AUROC of "
            f"{rejection.aurocs['known']:.3f}; not sure below {rejection.threshold:g}, by which {_asked(rule)}: {100 * rejection.refused:.1f} % "
            f"of the known and {100 * rejection.unknown_refused:.1f} % of the unknown clips are not sure. Measured on the clips it was "
            "fitted to."
        )
    return 0


def _rule(options: argparse.Namespace) -> Any:
    """How the threshold is chosen, and what goes with it."""
    from .rejection import Rule

    for name in ("unknown_data_dir", "unknown_split"):
        if options.unknown is None and getattr(options, name) is not None:
            raise SignXError(f"--{name.replace('_', '-')} needs --unknown, the data that it is of.")
    if options.max_wrong is not None:
        return Rule(None, options.max_wrong)
    return Rule(0.95 if options.accept_right is None else options.accept_right)


def _asked(rule: Any) -> str:
    if rule.accept_right is not None:
        return f"{100 * rule.accept_right:g} % of the right answers stay"
    return f"at most {100 * rule.max_wrong:g} % of the answers given are wrong"


# --------------------------------------------------------------------------------------------------------------- signs


def _calibrate_signs(options: argparse.Namespace) -> int:
    from ..processing.vocabulary_signx import vocabulary_glosses, vocabulary_ids
    from .calibration import update_config
    from .loading import load_pipeline
    from .rejection import fit_signs

    rule = _rule(options)
    vocabulary = None if options.vocabulary is None else vocabulary_glosses(options.vocabulary)
    rows = _open(options)
    glosses = single_glosses(rows)
    recognizer = load_pipeline(options.model, options.device)
    labels = recognizer.model.config.id2label
    if vocabulary is not None:
        vocabulary_ids(vocabulary, labels)  # before clips are read
    known = set(labels.values()) if vocabulary is None else set(vocabulary)
    inside, outside = ([n for n, gloss in enumerate(glosses) if (gloss in known) is kind] for kind in (True, False))
    unknown: list[Mapping[str, Any]] = [rows[place] for place in outside]
    if options.unknown is not None:
        unknown += _open_unknown(options, known)
    found = fit_signs(recognizer, [rows[n] for n in inside], unknown, options.source, vocabulary, rule)
    settings: dict[str, Any] = {"confidence_temperature": found.temperature}
    if found.rejection is not None:
        settings |= {"rejection_score": found.rejection.score, "rejection_threshold": found.rejection.threshold}
    update_config(Path(options.model), settings)
    for line in sign_lines(found, rule, vocabulary):
        print(f"{options.model}: {line}")
    return 0


def single_glosses(rows: Any) -> list[str]:
    """Return the gloss of each row of single signs.

    Raises:
        SignXError: a row of several glosses or none; it is named.
    """
    columns = rows.select_columns(["id", "glosses"])
    for row in columns:
        if len(row["glosses"] or ()) != 1:
            raise SignXError(
                f"clip {row['id']} has {len(row['glosses'] or ())} glosses, and one is expected, for the model recognizes isolated signs. "
                "Leave it out, or give --loader task=isolated where the corpus has it."
            )
    return [glosses[0] for glosses in columns["glosses"]]


def _open_unknown(options: argparse.Namespace, known: set[str]) -> Sequence[Mapping[str, Any]]:
    """The rows of --unknown, but for those of a gloss of the vocabulary."""
    from ..data.load import open_source
    from ..data.media import check_rows
    from ..training.examples import split_of

    source = open_source(options.unknown, options.unknown_data_dir)
    if options.unknown_split is not None:
        parts = [split_of(source, options.unknown_split, options.unknown, "give one of these with --unknown-split")]
    else:
        parts = list(source.values()) if hasattr(source, "keys") else [source]
    found, shared = [], 0
    for part in parts:
        check_rows(part, options.unknown)
        for place, glosses in enumerate(part["glosses"]):
            if known & set(glosses or ()):
                shared += 1
            else:
                found.append(part[place])
    if shared:
        warnings.warn(
            f"--unknown {options.unknown}: {shared} clips of glosses that the vocabulary has, too, were left out",
            SignXWarning, stacklevel=2,
        )  # fmt: skip
    if not found:
        raise SignXError(
            f"--unknown {options.unknown}: no clip of a sign outside the vocabulary, and at least one is needed."
        )
    return found


def sign_lines(found: Any, rule: Any, vocabulary: Sequence[str] | None) -> list[str]:
    """Say what was fitted."""
    means = " and ".join(
        f"{value:.2f} of {kind} ones"
        for kind, value in (("right", found.confidence_right), ("wrong", found.confidence_wrong))
        if value is not None
    )
    lines = [
        f"temperature {found.temperature:g} from {found.clips} clips, {found.right} of them right; expected calibration error on these "
        f"clips {found.error_before:.3f} before, {found.error_after:.3f} after; mean score of answers: {means}"
    ]
    part = found.rejection
    if part is None:
        return [
            *lines,
            "no clip of an unknown sign (--vocabulary or --unknown gives some), so its threshold stays as it was",
        ]
    others = ", ".join(f"{name} {value:.3f}" for name, value in part.aurocs.items() if name != part.score)
    where = f" within the vocabulary of {len(vocabulary)} signs" if vocabulary is not None else ""
    return [
        *lines,
        f"{part.score} tells {part.known} clips of known signs{where} from {part.unknown} of unknown ones with an AUROC of "
        f"{part.aurocs[part.score]:.3f} ({others})",
        f"not sure below {part.threshold:g}, by which {_asked(rule)}: of known signs {100 * part.right:.1f} % right, {100 * part.wrong:.1f} % "
        f"wrong, {100 * part.refused:.1f} % not sure; of unknown signs {100 * part.unknown_refused:.1f} % not sure, "
        f"{100 * (1 - part.unknown_refused):.1f} % answered. Measured on the clips it was fitted to; for another vocabulary it is a guide.",
    ]
