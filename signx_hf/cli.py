"""The command line `signx-hf`. It imports nothing heavy: each command imports what it needs when it runs."""

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from typing import Any

from .data import command as data_command
from .evaluation import command as evaluate_command
from .hub import command as publish_command
from .interpretability import command as explain_command
from .poses import command as extract_command
from .recognition import align, live, lm
from .recognition import calibrate as calibrate_command
from .recognition import command as recognize_command
from .recognition import teach as teach_command
from .training import command as train_command
from .version import __version__

# command -> who adds its options and runs it
MODULES = {
    "recognize": recognize_command, "live": live, "align": align, "calibrate": calibrate_command, "explain": explain_command,
    "evaluate": evaluate_command, "extract": extract_command, "data": data_command, "train": train_command, "teach": teach_command,
    "lm": lm,
    "push": publish_command, "pull": publish_command,
}  # fmt: skip


class _Parser(argparse.ArgumentParser):
    """Takes options, its commands' too, by their whole name: what is shorter may be a slip, or mean another option some day."""

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **{"allow_abbrev": False, **options})


def build_parser(given: Sequence[str] = ("train",)) -> argparse.ArgumentParser:
    """All commands and their options; those of train, which take long to make, only where the word is among the given."""
    parser = _Parser(prog="signx-hf", description="Sign language recognition.")
    parser.add_argument("--version", action="version", version=f"signx-hf {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    for module in dict.fromkeys(MODULES.values()):
        if module is train_command:
            module.add_parser(commands, with_options="train" in given)
        else:
            module.add_parser(commands)
    doctor = commands.add_parser("doctor", help="versions, codecs, devices, extras, and one-line fixes")
    doctor.add_argument("--json", action="store_true", help="the report as JSON")
    return parser


def _leave_closed_pipe() -> None:
    """Lets the interpreter's last flush of standard output go nowhere, for it would complain."""
    with contextlib.suppress(OSError, ValueError):  # there may be no file behind it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _unknown(command: str, words: Sequence[str]) -> str:
    """What to say of words that no option of the command takes."""
    word = words[0]
    if not word.startswith("-"):
        quoted = (
            '; quote what belongs together, as in signx-hf align clip.mp4 "IX-1p FINISH"' if command == "align" else ""
        )
        return f"{command}: too many words, from {word!r} on; see signx-hf {command} --help{quoted}"
    if command == "train":
        from .training.arguments import unknown_option

        return f"train: {unknown_option(word)}"
    return f"{command}: no option is called {word}; see signx-hf {command} --help"


def _run(options: argparse.Namespace) -> int:
    if options.command == "doctor":
        from . import doctor

        return doctor.run(options.json)
    return MODULES[options.command].run(options)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the exit code is 0 for success, 1 if some input failed, 2 if nothing could be done."""
    for name in ("stdout", "stderr"):  # none where the shell has closed it: nobody wants to read it
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - as long as the process
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # glosses are Unicode whatever the locale; file names may be no text at all
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    given = sys.argv[1:] if arguments is None else arguments
    parser = build_parser(given)
    options, unknown = parser.parse_known_args(given)
    if unknown:
        parser.error(_unknown(options.command, unknown))
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
    except OSError as error:  # commands name the files that they cannot read or write; what is left is their output
        _leave_closed_pipe()
        print(
            f"signx-hf: standard output cannot be written ({error.strerror or error}); wanted room for it; send it elsewhere",
            file=sys.stderr,
        )
        return 1


if __name__ == "__main__":
    sys.exit(main())
