"""`signx-hf explain`."""

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..assets import model_place
from ..common.extras import require
from ..processing.errors_signx import SignXError, SignXFileNotFoundError, SignXWarning
from ..recognition.tasks import ANSWER_FLAGS, SIGNS, SPOTTING, add_sign_flags, check_flags, task_of

SUFFIXES = ("png", "svg")


def add_parser(commands: Any) -> None:
    """Adds `explain` to the parser of signx-hf; imports nothing heavy."""
    text = "figures of what the model saw: time lines, attention, frames of each gloss, importance, key points; candidates of single signs"
    parser = commands.add_parser("explain", help=text, description=text)
    parser.add_argument("files", nargs="+", metavar="FILE", help="videos or pose files")
    parser.add_argument("--model", required=True, help="folder or Hub name of a model with its processor, or demo")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the figures")
    parser.add_argument("--poses", metavar="FILE", help="pose file of the one video, to draw its key points")
    parser.add_argument("--format", default="png", metavar="NAMES", help="png, svg or both with a comma; default: png")
    parser.add_argument("--hand", choices=("right", "left", "detect"), help="the hand that the signer leads with")
    parser.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="an option of the pipeline; repeatable"
    )
    add_sign_flags(parser)
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps, ...; default: the GPU if there is one")


def run(options: argparse.Namespace) -> int:
    """Runs `explain`: 0, 1 if some clip failed, 2 if nothing could be done."""
    from ..common.messages import named_reason, one_line
    from ..recognition.loading import open_recognizer
    from ..recognition.options import all_options

    try:
        suffixes = _check(options)
        flags = {
            name: getattr(options, name) for name in ("hand", *ANSWER_FLAGS) if getattr(options, name) is not None
        }
        task = task_of(model_place(options.model))
        check_flags(options.model, task, flags)
        if task == SPOTTING:
            raise SignXError(
                f"`--model` must read a clip as a whole, and {options.model} asks windows of it. Cut a sign out, and use asl."
            )
        given = all_options(options.option, flags)
        recognizer = open_recognizer(model_place(options.model), options.device, False, given)
        out = Path(options.out)
        if out.exists() and not out.is_dir():
            raise SignXError(f"{out}: a file; wanted a folder for the figures; choose another --out")
        out.mkdir(parents=True, exist_ok=True)
    except (ValueError, OSError, ImportError) as error:
        print(f"signx-hf explain: {one_line(error)}", file=sys.stderr)
        return 2
    from ..common.messages import readable

    explain, draw = _functions(task)
    failed, vectors, glosses = 0, [], []
    for file in options.files:
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", SignXWarning)
                explanation = explain(recognizer, file, **given)
                files = _draw_file(draw, explanation, file, options.poses, recognizer, out, suffixes)
            for note in dict.fromkeys(one_line(w.message) for w in caught if issubclass(w.category, SignXWarning)):
                print(f"signx-hf explain: warning: {note}", file=sys.stderr)
        except (KeyboardInterrupt, BrokenPipeError):
            raise
        except Exception as error:  # whatever a clip or its options do to a library; the next file comes
            failed += 1
            print(f"signx-hf explain: {named_reason(file, error)}", file=sys.stderr)
            continue
        result = explanation.result
        found = result["text"] or result.get("reason", "no gloss")
        found += " (mirrored: the left hand leads)" if (result["signer"] or {}).get("mirrored") else ""
        print(readable(f"{file}: {found}\n" + "\n".join(f"  {path}" for path in files)))
        if result["glosses"] and explanation.importance is None:
            print("  no importance: more glosses than the CTC has steps for, or none that it knows")
        if explanation.vectors is not None:
            vectors.append(explanation.vectors)
            glosses += explanation.glosses if task == SIGNS else result["glosses"]
    _draw_map(vectors, glosses, out, suffixes)
    return (2 if failed == len(options.files) else 1) if failed else 0


def _check(options: argparse.Namespace) -> list[str]:
    """The formats; refuses what cannot be drawn before anything is loaded."""
    require("matplotlib")
    suffixes = [name.strip() for name in options.format.split(",")]
    wrong = [name for name in suffixes if name not in SUFFIXES]
    if wrong:
        raise SignXError(f"--format {wrong[0]!r}: wanted png, svg or png,svg")
    if options.poses and len(options.files) != 1:
        raise SignXError(f"--poses with {len(options.files)} files: wanted it with one video")
    if options.poses and not Path(options.poses).exists():
        raise SignXFileNotFoundError(f"--poses {options.poses}: no such file; wanted the poses of {options.files[0]}")
    names = [Path(file).stem for file in options.files]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SignXError(f"two files are called {twice!r}: wanted other names, or a run for each with its own --out")
    return suffixes


def _functions(task: str) -> tuple[Any, Any]:
    """What explains a clip, and what draws that."""
    if task == SIGNS:
        from .single_sign import draw_sign, explain_sign

        return explain_sign, draw_sign
    from .drawing import draw
    from .explanation import explain

    return explain, draw


def _draw_file(
    draw: Any, explanation: Any, file: str, poses: str | None, recognizer: Any, out: Path, suffixes: Sequence[str]
) -> list[Path]:
    from ..processing.base_pipeline_signx import is_pose
    from ..processing.trained_signx import takes_landmarks

    only_poses = is_pose(file)
    video, poses = (None, poses or file) if only_poses else (file, poses)
    if poses is None and takes_landmarks(recognizer.model.config):
        poses = recognizer.landmarks(file)  # what the model was shown
    return draw(explanation, video, poses, recognizer, out / Path(file).stem, suffixes)


def _draw_map(vectors: list, glosses: list[str], out: Path, suffixes: Sequence[str]) -> None:
    import numpy as np

    from ..plots.gloss_map import FEWEST, plot_gloss_map

    if len(glosses) < FEWEST:
        return
    try:
        for suffix in suffixes:
            print(
                f"  {plot_gloss_map(np.concatenate(vectors), glosses, out / f'gloss_map.{suffix}', 'glosses by t-SNE')}"
            )
    except ImportError as error:
        print(f"signx-hf explain: no map of the glosses: {error}", file=sys.stderr)
