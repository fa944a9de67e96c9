"""`signx-hf align`: times of known glosses."""

import argparse
from pathlib import Path

from ..assets import model_place
from ..common.messages import one_line, say, warnings_to_stderr
from ..common.options import Subparsers
from ..processing.errors_signx import SignXError
from .flags import add_flags


def add_parser(commands: Subparsers) -> None:
    """Add `align` to the parser of signx-hf, without heavy imports."""
    text = "times of glosses that are known to be signed in a clip"
    parser = commands.add_parser("align", help=text, description=text)
    parser.add_argument("file", metavar="FILE", help="video, .pose, .npz or .npy file, or folder of frames")
    parser.add_argument("glosses", metavar="GLOSSES", help="in the order of signing, such as 'IX-1p FINISH WORK'")
    parser.add_argument(
        "--format", default="tsv", metavar="NAME", help="json, tsv, csv, txt, srt, vtt, ctm or eaf; default: tsv"
    )
    parser.add_argument("--out", metavar="FILE", help="file to write; default: standard output")
    add_flags(parser, "tier", "merge", "hand", "model", "device", model={"required": True})


def _align(options: argparse.Namespace) -> int:
    from ..common.atomic_io import atomic_write, check_output_file
    from ..common.messages import readable
    from ..writers import WRITERS, check_formats, check_installed
    from ..writers.eaf_file import EafLayout
    from .loading import load_pipeline
    from .options import check_layout
    from .tasks import SENTENCES, task_of

    names = check_formats(options.format)
    if len(names) != 1:
        raise SignXError(f"--format must be one of {', '.join(WRITERS)}, got {options.format!r}.")
    layout = EafLayout(options.tier, options.merge)
    check_layout(layout, names)
    check_installed(names)
    out = Path(options.out) if options.out else None
    if out is not None:
        check_output_file(out, [options.file])  # before the model is loaded
    model = model_place(options.model)
    if task_of(model) != SENTENCES:
        raise SignXError(
            f"align needs a model of sentences, and {options.model} recognizes single signs. Use `signx-hf "
            "recognize`, or another model."
        )
    recognizer = load_pipeline(model, options.device)
    result = recognizer.align(options.file, options.glosses, hand=options.hand)
    more = {"layout": layout} if names[0] == "eaf" else {}
    text = WRITERS[names[0]].render(result, readable(options.file), out, **more)
    if out is None:
        print(text, end="" if text.endswith("\n") else "\n")
        return 0
    with atomic_write(out) as tmp_path:
        tmp_path.write_bytes(text.encode("utf-8", "backslashreplace"))
    return 0


def run(options: argparse.Namespace) -> int:
    """Run `align` and return the exit code: 0, or 2 after one line that says why nothing could be done."""
    try:
        with warnings_to_stderr("align"):
            return _align(options)
    except (ValueError, OSError, ImportError) as error:
        say(one_line(error), "align")
        return 2
