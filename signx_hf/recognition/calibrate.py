"""`signx-hf calibrate`: fit confidences, times and the rejection threshold of a model to held-out clips."""

import argparse
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..assets import ASSETS, model_place, shipped_models
from ..common.messages import one_line, say, show, warnings_to_stderr
from ..common.options import Subparsers, pipeline_options
from ..processing.errors_signx import SignXError, SignXFileNotFoundError, SignXWarning
from .flags import add_flags
from .tasks import SIGNS, SPOTTING, task_of

if TYPE_CHECKING:
    from datasets import Dataset

    from .calibration import Calibration
    from .rejection import Rejection, Rule, SignCalibration

HELP = "fit confidences, times and the threshold of a model to clips it was not trained on, and save them with it"


def add_parser(commands: Subparsers) -> None:
    """Add `calibrate` to the parser of signx-hf, without heavy imports."""
    parser = commands.add_parser("calibrate", help=HELP, description=HELP)
    add_flags(
        parser, "model",
        model={"required": True, "help": "folder of a model with its processor; its config.json is changed"},
    )  # fmt: skip
    parser.add_argument("--dataset", required=True, metavar="NAME|PATH", help="corpus by name, saved dataset or table")
    parser.add_argument("--split", default="dev", help="of the dataset; default: dev")
    add_flags(parser, "data_dir", "loader")
    parser.add_argument("--source", choices=("video", "poses"), default="video", help="default: video")
    add_flags(parser, "device")
    signs = parser.add_argument_group("when the model is not sure")
    vocabulary = "isolated signs: text file with one gloss per line; clips of other glosses count as unknown signs"
    add_flags(signs, "vocabulary", vocabulary={"help": vocabulary})
    signs.add_argument(
        "--unknown", metavar="NAME|PATH", help="clips of signs, or sentences, that the model does not know"
    )
    signs.add_argument("--unknown-data-dir", metavar="DIR", help="folder of your own copy of that corpus")
    signs.add_argument("--unknown-split", metavar="NAME", help="of that corpus; default: all of it")
    rule = signs.add_mutually_exclusive_group()
    rule.add_argument(
        "--accept-right", type=float, metavar="SHARE", help="threshold: accept this share of the correct answers; default: 0.95"
    )  # fmt: skip
    rule.add_argument(
        "--max-wrong",
        type=float,
        metavar="SHARE",
        help="threshold: at most this share of the accepted answers is wrong",
    )


def run(options: argparse.Namespace) -> int:
    """Run `calibrate` and return the exit code: 0, or 2 after one line that says why nothing could be done."""
    with warnings_to_stderr():
        warnings.simplefilter("always", SignXWarning)
        try:
            options.model = _own_model(options.model)
            task = task_of(options.model)
            if task == SPOTTING:
                raise SignXError(
                    f"--model must recognize sentences or single signs, and {options.model} finds signs in "
                    "recordings. Set its option `confidence` instead."
                )
            if task == SIGNS:
                return _calibrate_signs(options)
            return _calibrate_sentences(options)
        except (ValueError, OSError, ImportError) as error:
            say(one_line(error))
            return 2


def _own_model(model: str) -> str:
    """Return the folder of a model whose config.json may be changed.

    Raises:
        SignXFileNotFoundError: If it is a model of the package or of the Hub, or there is none.
    """
    place = Path(model_place(model))
    if place.is_dir() and not (model in shipped_models() and place.is_relative_to(ASSETS)):  # a path is taken as it is
        return str(place)
    kind = "a model of the package" if place.is_dir() else "no such folder"
    raise SignXFileNotFoundError(
        f"{model}: {kind}. Pass a saved model of your own, because its config.json is changed."
    )


def _open(options: argparse.Namespace) -> "Dataset":
    """Return the rows of the dataset and split."""
    from ..data.load import open_source
    from ..data.media import check_rows
    from ..training.examples import split_of

    loader = pipeline_options(options.loader, "--loader", "task=isolated")
    source = open_source(options.dataset, options.data_dir, **loader)
    rows = split_of(source, options.split, options.dataset, "pass one of these with --split")
    check_rows(rows, options.dataset)
    if not len(rows):
        raise SignXError(
            f"{options.dataset}: split {options.split!r} is empty. Pass clips that the model was not trained on."
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
            raise SignXError(
                f"--{name.replace('_', '-')} needs --unknown, clips of signs that the model does not know."
            )
    rows = _open(options)
    unknown = [] if options.unknown is None else _open_unknown(options, set())
    recognizer = load_pipeline(options.model, options.device)
    fitted = fit(recognizer, rows, options.source)
    rejection = fit_known(recognizer, rows, unknown, options.source, rule) if unknown else None
    save(Path(options.model), fitted)
    if rejection is not None:
        update_config(Path(options.model), {"rejection_threshold": rejection.threshold})
    for line in _sentence_lines(fitted, rejection, rule):
        show(f"{options.model}: {line}")
    return 0


def _sentence_lines(fitted: "Calibration", rejection: "Rejection | None", rule: "Rule") -> list[str]:
    """Return what was fitted, in sentences."""
    lines = [
        f"temperature {fitted.temperature:g} from {fitted.glosses} glosses, {fitted.right} of them correct; expected "
        f"calibration error on these clips {fitted.error_before:.3f} before, {fitted.error_after:.3f} after; mean "
        f"confidence of correct glosses {fitted.confidence_right:.2f}, of wrong ones {fitted.confidence_wrong:.2f}"
    ]
    if fitted.margins is not None:
        lines.append(
            f"glosses begin {fitted.margins[0]:g} s earlier and end {fitted.margins[1]:g} s later than with CTC "
            f"alone; boundaries are off by {fitted.boundary_before:.3f} s without these margins, "
            f"{fitted.boundary_after:.3f} s with them"
        )
    if rejection is not None:
        lines.append(
            f"known separates {rejection.known} clips from {rejection.unknown} unknown ones with an AUROC of "
            f"{rejection.aurocs['known']:.3f}; not sure below {rejection.threshold:g}, so that {_describe(rule)}: "
            f"{100 * rejection.refused:.1f} % of the known and {100 * rejection.unknown_refused:.1f} % of the "
            "unknown clips are not sure. Computed on the clips it was fitted to."
        )
    return lines


def _rule(options: argparse.Namespace) -> "Rule":
    """Return how the threshold is chosen."""
    from .rejection import Rule

    for name in ("unknown_data_dir", "unknown_split"):
        if options.unknown is None and getattr(options, name) is not None:
            raise SignXError(f"--{name.replace('_', '-')} needs --unknown, the data that it applies to.")
    if options.max_wrong is not None:
        return Rule(None, options.max_wrong)
    return Rule(0.95 if options.accept_right is None else options.accept_right)


def _describe(rule: "Rule") -> str:
    if rule.accept_right is not None:
        return f"{100 * rule.accept_right:g} % of the correct answers are accepted"
    assert rule.max_wrong is not None  # a rule has exactly one of the two
    return f"at most {100 * rule.max_wrong:g} % of the accepted answers are wrong"


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
    unknown: list[Mapping[str, Any]] = [rows[n] for n in outside]
    if options.unknown is not None:
        unknown += _open_unknown(options, known)
    fitted = fit_signs(recognizer, [rows[n] for n in inside], unknown, options.source, vocabulary, rule)
    settings: dict[str, Any] = {"confidence_temperature": fitted.temperature}
    if fitted.rejection is not None:
        settings |= {"rejection_score": fitted.rejection.score, "rejection_threshold": fitted.rejection.threshold}
    update_config(Path(options.model), settings)
    for line in sign_lines(fitted, rule, vocabulary):
        show(f"{options.model}: {line}")
    return 0


def single_glosses(rows: "Dataset") -> list[str]:
    """Return the gloss of each row of single signs.

    Raises:
        SignXError: If a row does not have exactly one gloss. The message names it.
    """
    columns = rows.select_columns(["id", "glosses"])
    for row in columns:
        if len(row["glosses"] or ()) != 1:
            raise SignXError(
                f"clip {row['id']} must have one gloss for a model of isolated signs, got "
                f"{len(row['glosses'] or ())}. Leave it out, or use --loader task=isolated if the corpus has it."
            )
    return [glosses[0] for glosses in columns["glosses"]]


def _open_unknown(options: argparse.Namespace, known: set[str]) -> Sequence[Mapping[str, Any]]:
    """Return the rows of --unknown, except those with a gloss of the vocabulary."""
    from ..data.load import open_source
    from ..data.media import check_rows
    from ..training.examples import split_of

    source = open_source(options.unknown, options.unknown_data_dir)
    if options.unknown_split is not None:
        parts = [split_of(source, options.unknown_split, options.unknown, "pass one of these with --unknown-split")]
    else:
        parts = list(source.values()) if hasattr(source, "keys") else [source]
    unknown, shared = [], 0
    for part in parts:
        check_rows(part, options.unknown)
        for index, glosses in enumerate(part["glosses"]):
            if known & set(glosses or ()):
                shared += 1
            else:
                unknown.append(part[index])
    if shared:
        warnings.warn(
            f"--unknown {options.unknown}: {shared} clips were left out because the vocabulary has their glosses",
            SignXWarning, stacklevel=2,
        )  # fmt: skip
    if not unknown:
        raise SignXError(f"--unknown {options.unknown} must hold at least one clip of a sign outside the vocabulary.")
    return unknown


def sign_lines(fitted: "SignCalibration", rule: "Rule", vocabulary: Sequence[str] | None) -> list[str]:
    """Return what was fitted to isolated signs, in sentences.

    Args:
        fitted: `SignCalibration`.
        rule: how the threshold was chosen.
        vocabulary: glosses that were possible; None: all.
    """
    means = " and ".join(
        f"{value:.2f} of {kind} ones"
        for kind, value in (("correct", fitted.confidence_right), ("wrong", fitted.confidence_wrong))
        if value is not None
    )
    lines = [
        f"temperature {fitted.temperature:g} from {fitted.clips} clips, {fitted.right} of them correct; expected "
        f"calibration error on these clips {fitted.error_before:.3f} before, {fitted.error_after:.3f} after; mean "
        f"score of answers: {means}"
    ]
    part = fitted.rejection
    if part is None:
        return [
            *lines,
            "no clip of an unknown sign (use --vocabulary or --unknown), so the threshold is unchanged",
        ]
    others = ", ".join(f"{name} {value:.3f}" for name, value in part.aurocs.items() if name != part.score)
    where = f" within the vocabulary of {len(vocabulary)} signs" if vocabulary is not None else ""
    return [
        *lines,
        f"{part.score} separates {part.known} clips of known signs{where} from {part.unknown} of unknown ones with "
        f"an AUROC of {part.aurocs[part.score]:.3f} ({others})",
        f"not sure below {part.threshold:g}, so that {_describe(rule)}: of known signs {100 * part.right:.1f} % "
        f"correct, {100 * part.wrong:.1f} % wrong, {100 * part.refused:.1f} % not sure; of unknown signs "
        f"{100 * part.unknown_refused:.1f} % not sure, {100 * (1 - part.unknown_refused):.1f} % answered. Computed "
        "on the clips it was fitted to; for another vocabulary it is a rough guide.",
    ]
