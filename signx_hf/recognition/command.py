"""`signx-hf recognize`."""

import argparse

from ..common.messages import one_line, say
from ..common.options import Subparsers
from .flags import add_flags

HELP = "glosses with times and confidence for videos or pose files"
EPILOG = (
    "With --out, each clip gets one complete file per format; a file that has changed since, or that this command "
    "did not write, is never replaced. Exit code: 0 every clip was recognized; 1 some failed, each is named; 2 "
    "nothing could be done."
)


def add_parser(commands: Subparsers) -> None:
    """Add `recognize` to the parser of signx-hf, without heavy imports."""
    parser = commands.add_parser("recognize", help=HELP, description=HELP, epilog=EPILOG)
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="video, .pose, .npz or .npy file, folder of frames, or folder of such files",
    )
    add_flags(parser, "model")
    parser.add_argument(
        "--format",
        type=_formats,
        default=("txt",),
        metavar="NAMES",
        help="json, tsv, csv, txt, srt, vtt, ctm, eaf, several separated by commas, or all; default: txt",
    )
    add_flags(parser, "tier", "merge", "device", "trust_remote_code", "option")
    parser.add_argument("--lm", metavar="FILE", help="language model over glosses, an ARPA file (`signx-hf lm train`)")
    parser.add_argument(
        "--chunk-length",
        type=float,
        metavar="SECONDS",
        help="read recordings of any length in chunks of at most this length, cut where the hands rest (option chunk_length_s)",
    )
    add_flags(parser, "hand")
    parser.add_argument(
        "--person", type=_person, metavar="N|largest", help="which of several people in a pose file; default: largest"
    )
    add_flags(parser, "vocabulary", "top_k", "threshold")
    parser.add_argument(
        "--batch-size",
        type=int,
        default=1,
        metavar="N",
        help="clips of similar length that the model sees together; results are the same; default: 1",
    )
    parser.add_argument("--out", metavar="DIR", help="folder for a file per clip and format; default: standard output")
    parser.add_argument("--recursive", action="store_true", help="also search the subfolders of a folder")
    parser.add_argument(
        "--resume", action="store_true", help="skip clips that the same model and options have finished in --out"
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
    return int(text) if text.isdecimal() else text  # the pipeline rejects what it does not know


def run(options: argparse.Namespace) -> int:
    """Run `recognize` and return the exit code: 0, 1 if some clip failed, 2 if nothing could be done."""
    from .options import RecognizeOptions
    from .run import run as recognize

    try:
        recognize_options = RecognizeOptions.from_arguments(options)
    except (ValueError, OSError, ImportError) as error:
        say(one_line(error))
        return 2
    return recognize(recognize_options)
