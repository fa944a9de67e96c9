"""`signx-hf extract`."""

import argparse
import json
import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..common.messages import one_line, say, show, to_json
from ..common.options import Subparsers
from ..common.reading import load_json

if TYPE_CHECKING:
    from .extraction import ExtractFailed, ExtractOptions

HELP = "extract pose tracks of all videos of a source to a dataset; run it again to resume"
EPILOG = (
    "Finished rows are kept in the cache and never extracted twice, however a run ended. Exit code: 0 for all clips, "
    "or all but those of --skip-bad; 1 if clips failed and no dataset was written; 2 if the run could not start. "
    "Load the dataset with datasets.load_from_disk; signx_hf.data.decode_poses reads its column `poses`, and "
    "to_clip() of that is the input of a processor."
)


def add_parser(commands: Subparsers) -> None:
    """Add `extract` to the parser of signx-hf; import nothing heavy."""
    parser = commands.add_parser("extract", help=HELP, description=HELP, epilog=EPILOG)
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="folder of videos, table, ELAN folder, saved dataset, or a corpus of `data list`",
    )
    parser.add_argument(
        "--tracks",
        required=True,
        metavar="NAMES",
        help="mediapipe, hands, dwpose, sapiens, primedepth, smplerx, separated by commas, or module:Class for an extractor of your own",
    )
    parser.add_argument(
        "--out",
        required=True,
        metavar="DATASET",
        help="folder to save the dataset to; one that was extracted there from the same source is replaced",
    )
    parser.add_argument("--data-dir", help="folder of your copy of the corpus that SOURCE names")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="TRACK.NAME=VALUE",
        help="an option of an extractor, JSON or text, such as primedepth.model=FOLDER; repeatable; a wrong name lists all",
    )
    parser.add_argument(
        "--person",
        default="largest",
        help="the signer: largest, central, active, or an index from 0, left to right; default: largest",
    )
    parser.add_argument("--fps", type=float, help="frames per second to sample; default: every frame")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="number of processes; default: 1")
    parser.add_argument("--engine", default="local", help="local, or ray for Ray Data; default: local")
    parser.add_argument(
        "--cache", metavar="DIR", help="folder of finished rows, may be shared; default: DATASET.cache"
    )
    parser.add_argument("--skip-bad", metavar="LIST", help="leave out clips that fail, and list them in this file")
    parser.add_argument("--json", action="store_true", help="print a report as JSON")


def run(options: argparse.Namespace) -> int:
    """Run `extract`; return 0, 1 if clips failed and no dataset was written, or 2 if the run could not start."""
    os.environ.setdefault(
        "OMP_NUM_THREADS", "1"
    )  # before torch is imported, so that rows do not depend on the number of jobs
    from ..processing.errors_signx import SignXError
    from .extraction import ExtractFailed, run_extract

    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # to import module:Class from
    try:
        report = run_extract(options.source, options.tracks.split(","), options.out, _extract_options(options))
    except ExtractFailed as error:
        return _failed(error, options.json)
    except (SignXError, ImportError) as error:
        say(one_line(str(error)))
        return 2
    for message in report.warnings:
        say(one_line(f"warning: {message}"))
    for bad in report.left_out:
        say(one_line(f"left out: row {bad.row} ('{bad.id}'): {bad.reason}"))
    if options.json:
        print(to_json(asdict(report), indent=1))
        return 0
    print(
        f"{report.clips} clips, {report.frames} frames, {report.cached} from the cache, {len(report.left_out)} left "
        "out"
    )
    show(f"dataset {report.out}\nhash    {report.dataset_hash}")
    return 0


def _failed(error: "ExtractFailed", as_json: bool) -> int:
    for bad in error.failures:
        say(one_line(f"row {bad.row} ('{bad.id}'): {bad.reason}"))
    say(one_line(error.summary))
    if as_json:
        print(to_json({"failed": [asdict(bad) for bad in error.failures]}, indent=1))
    return 1


def _extract_options(options: argparse.Namespace) -> "ExtractOptions":
    """Return the arguments as `ExtractOptions`."""
    from .extraction import ExtractOptions

    return ExtractOptions(
        options=_track_options(options.option),
        person=options.person,
        fps=options.fps,
        jobs=options.jobs,
        engine=options.engine,
        cache=options.cache,
        skip_bad=options.skip_bad,
        data_dir=options.data_dir,
        progress=not options.json,
    )


def _track_options(given: list[str]) -> dict[str, dict[str, Any]]:
    """Parse `["mediapipe.model_complexity=0"]` to `{"mediapipe": {"model_complexity": 0}}`."""
    from ..processing.errors_signx import SignXError

    parsed: dict[str, dict[str, Any]] = {}
    for text in given:
        name, equals, value = text.partition("=")
        track, dot, option = name.partition(".")
        if not (equals and dot and track and option):
            raise SignXError(f"--option must be TRACK.NAME=VALUE, such as mediapipe.model_complexity=0, got {text!r}.")
        try:
            parsed.setdefault(track, {})[option] = load_json(value)
        except json.JSONDecodeError:
            parsed.setdefault(track, {})[option] = value
        except ValueError as error:
            raise SignXError(f"--option {name} must be a plain value, but {error}.") from error
    return parsed
