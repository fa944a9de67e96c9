"""`signx-hf align`: times of known glosses; `signx-hf calibrate`: a model's confidences and margins of times."""

import argparse
import sys
import warnings
from pathlib import Path
from typing import Any

from .demo import model_place
from .processing.errors_signx import SignXError, SignXFileNotFoundError


def add_parser(commands: Any) -> None:
    """Adds `align` and `calibrate` to the parser of signx-hf; imports nothing heavy."""
    align = commands.add_parser("align", help="times of glosses that are known to be signed in a clip")
    align.add_argument("file", metavar="FILE", help="video, .pose, .npz or .npy file, or folder of frames")
    align.add_argument("glosses", metavar="GLOSSES", help="in the order of signing, such as 'IX-1p FINISH WORK'")
    align.add_argument(
        "--format", default="tsv", metavar="NAME", help="json, tsv, txt, srt, vtt, ctm or eaf; default: tsv"
    )
    align.add_argument("--out", metavar="FILE", help="file to write; default: standard output")
    align.add_argument(
        "--hand", choices=("as_trained", "right", "left", "detect"), help="the hand that the signer leads with"
    )
    calibrate = commands.add_parser(
        "calibrate",
        help="fits confidences and times of a model to clips it was not trained on, and saves that with it",
    )
    calibrate.add_argument(
        "--dataset", required=True, metavar="NAME|PATH", help="corpus by name, saved dataset or table"
    )
    calibrate.add_argument("--data-dir", help="folder of your own copy of the corpus")
    calibrate.add_argument("--split", default="dev", help="of the dataset; default: dev")
    calibrate.add_argument("--source", choices=("video", "poses"), default="video", help="default: video")
    for parser in (align, calibrate):
        parser.add_argument(
            "--model", required=True, help="folder of a model with its processor; align: also demo or a Hub name"
        )
        parser.add_argument("--device", help="cpu, cuda, cuda:1, mps, ...; default: the GPU if there is one")


def _align(options: argparse.Namespace) -> int:
    from .files import output_file, replacing
    from .recognize import load_pipeline
    from .writers import WRITERS, check_formats, check_installed
    from .writers.text import readable

    names = check_formats(options.format)
    if len(names) != 1:
        raise SignXError(f"format {options.format!r}: wanted one of {', '.join(WRITERS)}")
    check_installed(names)
    out = Path(options.out) if options.out else None
    if out is not None:
        output_file(out, [options.file])  # before the model is loaded
    recognizer = load_pipeline(model_place(options.model), options.device)
    text = WRITERS[names[0]].render(
        recognizer.align(options.file, options.glosses, hand=options.hand), readable(options.file), out
    )
    if out is None:
        print(text, end="" if text.endswith("\n") else "\n")
        return 0
    with replacing(out) as beside:
        beside.write_bytes(text.encode("utf-8", "backslashreplace"))
    return 0


def _calibrate(options: argparse.Namespace) -> int:
    from .calibration import fit, save
    from .data.load import open_source
    from .data.media import check_rows
    from .recognize import load_pipeline
    from .training.examples import split_of

    if not Path(options.model).is_dir():
        raise SignXFileNotFoundError(
            f"{options.model}: no such folder: wanted a saved model of your own, as its config is changed"
        )
    source = open_source(options.dataset, options.data_dir)
    rows = split_of(source, options.split, options.dataset, "give one of these with --split")
    check_rows(rows, options.dataset)
    if not len(rows):
        raise SignXError(
            f"{options.dataset}: no clip in split {options.split!r}; wanted some that the model was not trained on"
        )
    found = fit(load_pipeline(options.model, options.device), rows, options.source)
    save(Path(options.model), found)
    print(
        f"{options.model}: temperature {found.temperature:g} from {found.glosses} glosses, {found.right} of them right; expected "
        f"calibration error on these clips {found.error_before:.3f} before, {found.error_after:.3f} after; mean confidence of right glosses "
        f"{found.confidence_right:.2f}, of wrong ones {found.confidence_wrong:.2f}"
    )
    if found.margins is not None:
        print(
            f"{options.model}: glosses begin {found.margins[0]:g} s earlier and end {found.margins[1]:g} s later than CTC says; boundaries "
            f"are {found.boundary_before:.3f} s off without these margins, {found.boundary_after:.3f} s with them"
        )
    return 0


def run(options: argparse.Namespace) -> int:
    """Runs `align` or `calibrate`: 0, or 2 after one line that says why nothing could be done."""
    warnings.showwarning = lambda message, *_, **__: print(
        f"signx-hf {options.command}: warning: {' '.join(str(message).split())}", file=sys.stderr
    )
    try:
        return _align(options) if options.command == "align" else _calibrate(options)
    except (ValueError, OSError, ImportError) as error:
        print(f"signx-hf {options.command}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
