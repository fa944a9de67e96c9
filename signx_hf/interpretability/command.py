"""`signx-hf explain`."""

import argparse
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..assets import model_place
from ..common.extras import require
from ..common.messages import named_reason, one_line, printable, say, show
from ..common.options import Subparsers
from ..processing.errors_signx import SignXError, SignXFileNotFoundError, SignXWarning
from ..recognition.flags import add_flags
from ..recognition.tasks import ANSWER_FLAGS, SIGNS, SPOTTING, check_flags, task_of

if TYPE_CHECKING:
    from ..processing.base_pipeline_signx import SignXPipeline
    from ..processing.pose_files_signx import PoseClip
    from .explanation import Explanation
    from .single_sign import SignExplanation

SUFFIXES = ("png", "svg")


def add_parser(commands: Subparsers) -> None:
    """Add `explain` to the parser of signx-hf, without heavy imports."""
    text = "figures of what the model relies on: timelines, attention, frames of each gloss, importance, keypoints; candidates of signs"
    parser = commands.add_parser("explain", help=text, description=text)
    parser.add_argument("files", nargs="+", metavar="FILE", help="videos or pose files")
    add_flags(parser, "model", model={"required": True})
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the figures")
    parser.add_argument("--poses", metavar="FILE", help="pose file of the one video, to draw its keypoints")
    parser.add_argument("--format", default="png", metavar="NAMES", help="png, svg or both with a comma; default: png")
    add_flags(parser, "hand", "option", "vocabulary", "top_k", "threshold", "device")


def run(options: argparse.Namespace) -> int:
    """Run `explain` and return the exit code: 0, 1 if some clip failed, 2 if nothing could be done."""
    from ..recognition.loading import open_recognizer
    from ..recognition.options import all_options, given_flags

    try:
        suffixes = _check(options)
        flags = given_flags(options, {"hand": "hand", **ANSWER_FLAGS})
        model = model_place(options.model)
        task = task_of(model)
        check_flags(options.model, task, flags)
        if task == SPOTTING:
            raise SignXError(
                f"--model must recognize full clips, and {options.model} spots signs in recordings. Cut a "
                "sign out, and use asl."
            )
        call_options = all_options(options.option, flags)
        recognizer = open_recognizer(model, options.device, False, call_options)
        out = Path(options.out)
        if out.exists() and not out.is_dir():
            raise SignXError(f"--out must be a folder for the figures, got the file {out}. Choose another one.")
        out.mkdir(parents=True, exist_ok=True)
    except (ValueError, OSError, ImportError) as error:
        say(one_line(error), "explain")
        return 2
    explain, draw = _functions(task)
    failed, vectors, glosses = 0, [], []
    for file in options.files:
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", SignXWarning)
                explanation = explain(recognizer, file, **call_options)
                figures = _draw_file(draw, explanation, file, options.poses, recognizer, out, suffixes)
            for note in dict.fromkeys(one_line(w.message) for w in caught if issubclass(w.category, SignXWarning)):
                say(f"warning: {note}", "explain")
        except (KeyboardInterrupt, BrokenPipeError):
            raise
        except Exception as error:  # whatever a clip or its options make a library raise; the next file follows
            failed += 1
            say(named_reason(file, error), "explain")
            continue
        _print(file, explanation, figures)
        if explanation.vectors is not None:
            vectors.append(explanation.vectors)
            glosses += explanation.glosses if task == SIGNS else explanation.result["glosses"]
    _draw_map(vectors, glosses, out, suffixes)
    return (2 if failed == len(options.files) else 1) if failed else 0


def _print(file: str, explanation: "Explanation | SignExplanation", figures: Sequence[Path]) -> None:
    """Print what was recognized in a file, and its figures."""
    result = explanation.result
    text = result["text"] or result.get("reason", "no gloss")
    text += " (mirrored: left-handed)" if (result["signer"] or {}).get("mirrored") else ""
    show(f"{printable(f'{file}: {text}')}\n" + "\n".join(f"  {path}" for path in figures))
    if result["glosses"] and explanation.importance is None:
        print("  no importance: there are more glosses than CTC steps, or none that CTC knows")


def _check(options: argparse.Namespace) -> list[str]:
    """Return the formats, after rejecting what cannot be drawn, before anything is loaded."""
    require("matplotlib")
    suffixes = [name.strip() for name in options.format.split(",")]
    wrong = [name for name in suffixes if name not in SUFFIXES]
    if wrong:
        raise SignXError(f"--format must be png, svg or png,svg, got {wrong[0]!r}.")
    if options.poses and len(options.files) != 1:
        raise SignXError(f"--poses needs exactly one video, got {len(options.files)} files.")
    if options.poses and not Path(options.poses).exists():
        raise SignXFileNotFoundError(f"--poses {options.poses}: no such file. Pass the poses of {options.files[0]}.")
    names = [Path(file).stem for file in options.files]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise SignXError(
            f"files must have different names, and two are called {repeated!r}. Use a separate --out for each."
        )
    return suffixes


def _functions(task: str) -> "tuple[Callable[..., Explanation | SignExplanation], Callable[..., list[Path]]]":
    """Return the function that explains a clip, and the one that draws the explanation."""
    if task == SIGNS:
        from .single_sign import draw_sign, explain_sign

        return explain_sign, draw_sign
    from .drawing import draw
    from .explanation import explain

    return explain, draw


def _draw_file(
    draw: Callable[..., list[Path]],
    explanation: "Explanation | SignExplanation",
    file: str,
    poses: "str | PoseClip | None",
    recognizer: "SignXPipeline",
    out: Path,
    suffixes: Sequence[str],
) -> list[Path]:
    from ..processing.base_pipeline_signx import is_pose
    from ..processing.trained_signx import takes_landmarks

    only_poses = is_pose(file)
    video, poses = (None, poses or file) if only_poses else (file, poses)
    if poses is None and takes_landmarks(recognizer.model.config):
        poses = recognizer.landmarks(file)  # what the model reads
    return draw(explanation, video, poses, recognizer, out / Path(file).stem, suffixes)


def _draw_map(vectors: list, glosses: list[str], out: Path, suffixes: Sequence[str]) -> None:
    import numpy as np

    from ..plots.gloss_map import FEWEST, plot_gloss_map

    if len(glosses) < FEWEST:
        return
    try:
        for suffix in suffixes:
            show(
                "  "
                f"{plot_gloss_map(np.concatenate(vectors), glosses, out / f'gloss_map.{suffix}', 'glosses by t-SNE')}"
            )
    except ImportError as error:
        say(f"no map of the glosses: {one_line(error)}", "explain")
