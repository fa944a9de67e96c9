"""The command line `signx-hf`. Nothing heavy is imported here: each command imports what it needs when it runs."""

import argparse
import contextlib
import difflib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from . import doctor
from .common import threads
from .data import command as data
from .evaluation import command as evaluate
from .hub import command as hub
from .interpretability import command as explain
from .poses import command as extract
from .recognition import align, calibrate, live, lm, teach, translate
from .recognition import command as recognize
from .recognition.flags import add_flags
from .training import command as train
from .version import __version__

# command -> module with its `add_parser` and `run`
COMMANDS = {
    "recognize": recognize, "translate": translate, "live": live, "align": align, "calibrate": calibrate, "explain": explain, "evaluate": evaluate,
    "extract": extract, "data": data, "train": train, "teach": teach, "lm": lm, "push": hub, "pull": hub, "doctor": doctor,
}  # fmt: skip
# Where numbers must not depend on the machine: one thread, unless --threads says otherwise.
ONE_THREAD = ("data", "evaluate", "extract")
# Where a run is short, and only last digits depend on its threads: cores that are busy are left to others.
WITH_LOAD = ("align", "doctor", "explain", "live", "recognize", "translate")


class _Parser(argparse.ArgumentParser):
    """A parser, also of each command, without abbreviated options, which could be typos or become ambiguous."""

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **{"allow_abbrev": False, **options})


def build_parser(arguments: Sequence[str] = ("train",)) -> argparse.ArgumentParser:
    """Return the parser of all commands.

    Args:
        arguments: the command line; the options of train, which take long to build, are added only if it names that
            command.
    """
    parser = _Parser(prog="signx-hf", description="Sign language recognition.")
    parser.add_argument("--version", action="version", version=f"signx-hf {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in dict.fromkeys(COMMANDS.values()):
        if module is train:
            module.add_parser(commands, with_options="train" in arguments)
        else:
            module.add_parser(commands)
    for leaf in _leaves(parser):
        add_flags(leaf, "threads")
    return parser


def _leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield the parsers of all commands that have no commands below."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield parser
    for action in below:
        for part in dict.fromkeys(action.choices.values()):
            yield from _leaves(part)


def _discard_output() -> None:
    """Redirect standard output to nowhere, because the interpreter flushes it at exit and would complain."""
    with contextlib.suppress(OSError, ValueError):  # it may not be a file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _option_names(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> list[str]:
    """Return the options of a parser, and of the commands under it that the command line names."""
    names = list(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word in arguments:
                if word in action.choices:
                    return names + _option_names(action.choices[word], arguments)
    return names


def _unknown(command: str, words: Sequence[str], options: Sequence[str]) -> str:
    """Return the message about words that no option of the command takes; it names the nearest of its options."""
    word = words[0]
    if not word.startswith("-"):
        quote = ' Quote the glosses: signx-hf align clip.mp4 "IX-1p FINISH".' if command == "align" else ""
        return f"{command}: unexpected argument {word!r}.{quote} See signx-hf {command} --help."
    if command == "train":
        from .training.arguments import unknown_option

        return f"train: {unknown_option(word)}"
    near = difflib.get_close_matches(word.split("=")[0], options, n=1, cutoff=0.6)
    return (
        f"{command}: unknown option {word}. "
        + (f"Did you mean {near[0]}? " if near else "")
        + (f"See `signx-hf {command} --help`.")
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code: 0 for success, 1 if some input failed, 2 if nothing could be done."""
    for name in ("stdout", "stderr"):  # None if the shell has closed it
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - open until the process ends
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # glosses are Unicode in every locale; file names may not even be text
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = build_parser(arguments)
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        parser.error(_unknown(options.command, unknown, _option_names(parser, arguments)))
    command, given = options.command, vars(options).pop("threads", None)
    try:
        free = 1 if command in ONE_THREAD else threads.cores(with_load=command in WITH_LOAD).threads()
        with threads.computing(given, free):
            code = COMMANDS[command].run(options)
        sys.stdout.flush()  # here, where a closed pipe is caught, and not at exit
        return code
    except threads.SignXThreadsError as error:
        print(f"signx-hf: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("signx-hf: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `signx-hf ... | head`: nobody reads the rest
        _discard_output()
        return 1
    except OSError as error:  # commands name the files that they cannot read or write, so this is standard output
        _discard_output()
        print(
            f"signx-hf: cannot write to standard output ({error.strerror or error}). Free some disk space, or "
            "redirect it elsewhere.",
            file=sys.stderr,
        )
        return 1


if __name__ == "__main__":
    sys.exit(main())
