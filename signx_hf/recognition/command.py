"""`signx-hf recognize`, and what it shares with `translate`."""

import argparse
from functools import partial
from typing import Any

from ..common.messages import one_line, say
from ..common.options import Subparsers
from .flags import add_flags

HELP = "glosses with times and confidence for videos or pose files"


def exit_codes(done: str) -> str:
    """Return what the help says last; `done` is what happens to a clip."""
    return (
        "With --out, each clip gets one complete file per format; a file that has changed since, or that this command "
        f"did not write, is never replaced. Exit code: 0 every clip was {done}; 1 some failed, each is named; 2 "
        "nothing could be done."
    )


def add_parser(commands: Subparsers) -> None:
    """Add `recognize` to the parser of signx-hf, without heavy imports."""
    parser = commands.add_parser("recognize", help=HELP, description=HELP, epilog=exit_codes("recognized"))
    add_inputs(parser)
    parser.add_argument("--lm", metavar="FILE", help="language model over glosses, an ARPA file (`signx-hf lm train`)")
    add_flags(parser, "translate", "hand", "person", "vocabulary", "top_k", "threshold", "n_best", "num_beams", "fps")
    add_outputs(parser)


def add_inputs(parser: argparse.ArgumentParser, of_text: bool = False, **changes: dict[str, Any]) -> None:
    """Add the clips, the model and the formats to a command.

    Args:
        parser: of the command.
        of_text: whether only formats that hold a translation apply.
        changes: as for `add_flags`.
    """
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="video, .pose, .npz or .npy file, folder of frames, or folder of such files",
    )
    add_flags(parser, "model")
    names = "json, txt, srt, vtt, eaf" if of_text else "json, tsv, csv, txt, srt, vtt, ctm, eaf"
    parser.add_argument(
        "--format",
        type=partial(_formats, of_text=of_text),
        default=("txt",),
        metavar="NAMES",
        help=f"{names}, several separated by commas, or all; default: txt",
    )
    add_flags(parser, "tier", "merge", "device", "trust_remote_code", "option", **changes)
    parser.add_argument(
        "--chunk-length",
        type=float,
        metavar="SECONDS",
        help="read recordings of any length in chunks of at most this length, cut where the hands rest (option chunk_length_s)",
    )


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """Add to a command how many clips are read at a time, and where their results go."""
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


def _formats(text: str, of_text: bool) -> tuple[str, ...]:
    from ..writers import check_formats

    try:
        return check_formats(text, of_text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(options: argparse.Namespace) -> int:
    """Run `recognize` or `translate` and return the exit code: 0, 1 if some clip failed, 2 if nothing could be done."""
    from .options import RecognizeOptions
    from .run import run as recognize

    try:
        recognize_options = RecognizeOptions.from_arguments(options)
    except (ValueError, OSError, ImportError) as error:
        say(one_line(error))
        return 2
    return recognize(recognize_options)
