"""`signx-hf align`: times of known glosses."""

import argparse
import sys
import warnings
from pathlib import Path
from typing import Any

from ..assets import model_place
from ..processing.errors_signx import SignXError


def add_parser(commands: Any) -> None:
    """Adds `align` to the parser of signx-hf; imports nothing heavy."""
    align = commands.add_parser("align", help="times of glosses that are known to be signed in a clip")
    align.add_argument("file", metavar="FILE", help="video, .pose, .npz or .npy file, or folder of frames")
    align.add_argument("glosses", metavar="GLOSSES", help="in the order of signing, such as 'IX-1p FINISH WORK'")
    align.add_argument(
        "--format", default="tsv", metavar="NAME", help="json, tsv, csv, txt, srt, vtt, ctm or eaf; default: tsv"
    )
    align.add_argument("--out", metavar="FILE", help="file to write; default: standard output")
    align.add_argument(
        "--hand", choices=("as_trained", "right", "left", "detect"), help="the hand that the signer leads with"
    )
    align.add_argument(
        "--model", required=True, help="folder or Hub name of a model with its processor; demo: the one of the package"
    )
    align.add_argument("--device", help="cpu, cuda, cuda:1, mps, ...; default: the GPU if there is one")


def _align(options: argparse.Namespace) -> int:
    from ..common.atomic_io import atomic_write, check_output_file
    from ..common.messages import readable
    from ..writers import WRITERS, check_formats, check_installed
    from .loading import load_pipeline
    from .tasks import SENTENCES, task_of

    names = check_formats(options.format)
    if len(names) != 1:
        raise SignXError(f"format {options.format!r}: wanted one of {', '.join(WRITERS)}")
    check_installed(names)
    out = Path(options.out) if options.out else None
    if out is not None:
        check_output_file(out, [options.file])  # before the model is loaded
    model = model_place(options.model)
    if task_of(model) != SENTENCES:
        raise SignXError(
            f"{options.model} recognizes single signs, one a clip, so there is no sequence of glosses to align. Use `signx-hf recognize`, "
            "or a model of sentences."
        )
    recognizer = load_pipeline(model, options.device)
    text = WRITERS[names[0]].render(
        recognizer.align(options.file, options.glosses, hand=options.hand), readable(options.file), out
    )
    if out is None:
        print(text, end="" if text.endswith("\n") else "\n")
        return 0
    with atomic_write(out) as beside:
        beside.write_bytes(text.encode("utf-8", "backslashreplace"))
    return 0


def run(options: argparse.Namespace) -> int:
    """Runs `align`: 0, or 2 after one line that says why nothing could be done."""
    warnings.showwarning = lambda message, *_, **__: print(
        f"signx-hf align: warning: {' '.join(str(message).split())}", file=sys.stderr
    )
    try:
        return _align(options)
    except (ValueError, OSError, ImportError) as error:
        print(f"signx-hf align: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
