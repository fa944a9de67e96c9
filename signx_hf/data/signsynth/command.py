"""`signx-hf data synth`."""

import argparse
import time

from ...common.messages import one_line, say, show
from ...common.options import Subparsers

HELP = "build a synthetic sign language corpus with known ground truth (extra synth)"
NAMES = ("tiny", "small", "crowd", "crowd2", "base")


def add_parser(actions: Subparsers) -> None:
    """Add `synth` to the parser of `signx-hf data`, without heavy imports."""
    synth = actions.add_parser("synth", help=HELP, description=HELP)
    # no `choices`: the builder's own error names the nearest one
    synth.add_argument("config", nargs="?", metavar="CONFIG", help=f"{', '.join(NAMES)}: 20, 100, 100, 1000 glosses")
    synth.add_argument(
        "--out",
        metavar="DIR",
        help="folder of the corpus; an interrupted build resumes there, and damaged files are rebuilt",
    )
    synth.add_argument(
        "--seed",
        type=int,
        default=0,
        help="changes people, sentences and clips but not the signs; default: 0",
    )
    synth.add_argument(
        "--jobs",
        type=int,
        default=1,
        help="number of processes, at most one per core; does not change the output; default: 1",
    )
    synth.add_argument(
        "--limit", type=int, help="build at most this many clips, for a preview; a folder keeps its limit"
    )
    synth.add_argument(
        "--sheets", metavar="DIR", help="write pictures of handshapes and signs to this folder (extra plots)"
    )
    synth.add_argument("--digest", action="store_true", help="print the SHA-256 of all files of the corpus at the end")


def run(options: argparse.Namespace) -> int:
    """Run `data synth`; return the exit code: 0, or 2 if nothing could be built."""
    from ...processing.errors_signx import SignXError

    if not options.sheets and not (options.config and options.out):
        say("data synth: expected CONFIG and --out DIR, or --sheets DIR")
        return 2
    try:
        if options.sheets:
            from .sheets import write_sheets

            for path in write_sheets(options.sheets, options.config or "tiny"):
                show(str(path))
        if options.config and options.out:
            _build(options)
    except (SignXError, ImportError, OSError) as error:
        say(one_line(error))
        return 2
    return 0


def _build(options: argparse.Namespace) -> None:
    from .build import build, digest

    began = time.perf_counter()
    report = build(options.config, options.out, options.seed, options.jobs, options.limit, progress=True)
    rate = f", {report.frames / report.seconds:.0f} frames/s per core" if report.seconds else ""
    show(
        f"{report.out}: {report.clips} clips, {report.made} of them built now, {report.frames} frames "
        f"in {time.perf_counter() - began:.0f} s{rate}"
    )
    if options.digest:
        print(digest(report.out))
