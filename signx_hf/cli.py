"""The command line `signx-hf`. It imports nothing heavy: each command imports what it needs when it runs."""

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence

from . import align, live, lm
from .data import command as data_command
from .evaluation import command as evaluate_command
from .poses import command as extract_command
from .publishing import command as publish_command
from .recognition import command as recognize_command
from .training import command as train_command
from .version import __version__


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = argparse.ArgumentParser(prog="signx-hf", description="Sign language recognition.")
    parser.add_argument("--version", action="version", version=f"signx-hf {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    recognize_command.add_parser(commands)
    live.add_parser(commands)
    align.add_parser(commands)
    evaluate_command.add_parser(commands)
    extract_command.add_parser(commands)
    data_command.add_parser(commands)
    train_command.add_parser(commands)
    publish_command.add_parser(commands)
    lm.add_parser(commands)

    doctor = commands.add_parser("doctor", help="versions, codecs, devices, extras, and one-line fixes")
    doctor.add_argument("--json", action="store_true", help="the report as JSON")
    return parser


def _leave_closed_pipe() -> None:
    """Lets the interpreter's last flush of standard output go nowhere, for it would complain."""
    with contextlib.suppress(OSError, ValueError):  # there may be no file behind it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(options: argparse.Namespace) -> int:
    if options.command == "doctor":
        from . import doctor

        return doctor.run(options.json)
    if options.command in ("align", "calibrate"):
        return align.run(options)
    if options.command == "live":
        return live.run(options)
    if options.command == "evaluate":
        return evaluate_command.run(options)
    if options.command == "data":
        return data_command.run(options)
    if options.command == "extract":
        return extract_command.run(options)
    if options.command == "train":
        return train_command.run(options)
    if options.command in ("push", "pull"):
        return publish_command.run(options)
    if options.command == "lm":
        return lm.run(options)
    return recognize_command.run(options)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the exit code is 0 for success, 1 if some input failed, 2 if nothing could be done."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # glosses are Unicode whatever the locale; file names may be no text at all
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    options = build_parser().parse_args(arguments)
    try:
        code = _run(options)
        sys.stdout.flush()  # here, where a closed pipe is caught, and not at exit
        return code
    except KeyboardInterrupt:
        print("signx-hf: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `signx-hf ... | head`: nobody reads on
        _leave_closed_pipe()
        return 1


if __name__ == "__main__":
    sys.exit(main())
