"""The options of `signx-hf recognize`."""

import argparse
from typing import Any

from ..common.messages import one_line, say
from .tasks import add_sign_flags

HELP = "glosses with times and confidence for videos or pose files"
EPILOG = (
    "With --out each clip gets a file per format there, whole or not at all; a file that was changed since, or is not of this "
    "command, is never replaced. Exit code: 0 every clip; 1 some failed, each is named; 2 nothing could be done."
)


def add_parser(commands: Any) -> None:
    """Adds `recognize` to the parser of signx-hf; imports nothing heavy."""
    parser = commands.add_parser("recognize", help=HELP, description=HELP, epilog=EPILOG)
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="video, .pose, .npz or .npy file, folder of frames, or folder of such files",
    )
    parser.add_argument(
        "--model", help="folder or Hub name of a model with its processor; demo: the one of the package"
    )
    parser.add_argument(
        "--format",
        type=_formats,
        default=("txt",),
        metavar="NAMES",
        help="json, tsv, csv, txt, srt, vtt, ctm, eaf, several separated by commas, or all; default: txt",
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps, ...; default: the GPU if there is one")
    parser.add_argument(
        "--trust-remote-code",
        action="store_true",
        help="run the model code of the repository instead of this package's",
    )
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the pipeline, as decoder=ctc or ctc_weight=0.4; repeatable; a wrong name lists all",
    )
    parser.add_argument("--lm", metavar="FILE", help="language model over glosses, an ARPA file (`signx-hf lm train`)")
    parser.add_argument(
        "--chunk-length",
        type=float,
        metavar="SECONDS",
        help="read recordings of any length in pieces, cut where the hands rest, of this length at most (option chunk_length_s)",
    )
    parser.add_argument(
        "--hand",
        choices=("as_trained", "right", "left", "detect"),
        help="with which the signers lead; left mirrors the clips; default: as_trained",
    )
    parser.add_argument(
        "--person", type=_person, metavar="N|largest", help="who of several people in a pose file; default: largest"
    )
    add_sign_flags(parser)
    parser.add_argument(
        "--batch-size",
        type=int,
        default=1,
        metavar="N",
        help="clips of nearly the same length that the model sees together; results are the same; default: 1",
    )
    parser.add_argument("--out", metavar="DIR", help="folder for a file per clip and format; default: standard output")
    parser.add_argument("--recursive", action="store_true", help="of a folder also what lies in folders below it")
    parser.add_argument(
        "--resume", action="store_true", help="leave what the same model and options have finished in --out"
    )
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="clips at a time, one process each; default: 1"
    )
    parser.add_argument("--engine", choices=("local", "ray"), default="local", help="ray for Ray Data; default: local")


def _formats(text: str) -> tuple[str, ...]:
    from ..writers import check_formats

    try:
        return check_formats(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _person(text: str) -> int | str:
    return int(text) if text.isdecimal() else text  # the pipeline refuses what it does not know


def run(options: argparse.Namespace) -> int:
    """Run `recognize`: 0, 1 if some clip failed, 2 if nothing could be done."""
    from .options import RecognizeOptions
    from .run import run as recognize

    try:
        asked = RecognizeOptions.from_arguments(options)
    except (ValueError, OSError, ImportError) as error:
        say(one_line(error))
        return 2
    return recognize(asked)
