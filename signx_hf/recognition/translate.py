"""`signx-hf translate`."""

from ..common.options import Subparsers
from .command import add_inputs, add_outputs, exit_codes, run
from .flags import add_flags
from .tasks import TRANSLATION

__all__ = ["add_parser", "run"]

HELP = "spoken-language text with times for videos or pose files"


def add_parser(commands: Subparsers) -> None:
    """Add `translate` to the parser of signx-hf, without heavy imports."""
    parser = commands.add_parser("translate", help=HELP, description=HELP, epilog=exit_codes("translated"))
    tier = {"help": "ELAN: name of the tier of sentences; default: translation"}
    add_inputs(parser, of_text=True, tier=tier)
    add_flags(parser, "hand", "person", "n_best", "num_beams", "fps")
    add_outputs(parser)
    parser.set_defaults(task=TRANSLATION)
