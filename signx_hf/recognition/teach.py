"""`signx-hf teach`: signs of your own from a few clips each, as the mean embedding of the clips."""

import argparse
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..assets import model_place
from ..common.messages import one_line, say, show, warnings_to_stderr
from ..common.options import Subparsers
from ..processing.errors_signx import SignXError, SignXWarning
from .flags import add_flags

if TYPE_CHECKING:
    import torch
    from datasets import Dataset

    from ..processing.inputs_signx import ClipInput
    from ..processing.isolated_pipeline_signx import IsolatedSignRecognitionPipeline

# Cosines are around 0.8 for clips of one sign and 0.2 for others; the scale gives the best sign most of the probability.
SCALE = 16.0
HELP = "a model of your own signs from a few clips each, without training"


def add_parser(commands: Subparsers) -> None:
    """Add `teach` to the parser of signx-hf, without heavy imports."""
    parser = commands.add_parser("teach", help=HELP, description=HELP)
    parser.add_argument("folder", help="one folder per sign, named by its gloss, with videos or pose files of it")
    help_text = "model of isolated signs whose encoder is used: asl, a folder or a Hub name"
    add_flags(parser, "model", model={"required": True, "help": help_text})
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the new model")
    add_flags(parser, "device", "trust_remote_code")


def teach(
    model: str | Path,
    clips: Mapping[str, Sequence[Any]],
    output_dir: str | Path,
    device: str | None = None,
    trust_remote_code: bool = False,
) -> dict[str, int]:
    """Save a model of other signs, each learned from one clip or more.

    Args:
        model: name, folder or Hub name of a model of isolated signs; only its encoder is used.
        clips: gloss -> clips, each anything that `pipeline("isolated-sign-recognition")` takes.
        output_dir: folder of the new model, which every command accepts.
        device: as torch names it; None: the GPU if there is one.
        trust_remote_code: whether to run the model code of the repository.

    Returns:
        Gloss -> number of clips it was learned from.

    Raises:
        SignXError: If there are fewer than two signs, a sign has no readable clip, the model is of another kind, or
            the folder is not empty.
    """
    from .loading import cannot_load, check_model, open_recognizer
    from .tasks import SIGNS, task_of

    output = Path(output_dir)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise SignXError(f"`output_dir` must be a new or empty folder, got {output}. Choose another one.")
    if len(clips) < 2:
        raise SignXError(
            f"`clips` must hold at least two signs to tell apart, got {len(clips)}. Add clips of another sign."
        )
    path = model_place(str(model))
    try:
        check_model(path)
    except (OSError, ValueError) as error:
        raise SignXError(cannot_load(str(model), error)) from error
    if task_of(path) != SIGNS:
        raise SignXError(
            f"`model` must be a model of isolated signs, got {model}. Use asl, or one that `signx-hf train isolated` "
            "trained."
        )
    recognizer = open_recognizer(path, device, trust_remote_code, {}, SIGNS)
    import torch

    vectors, counts = [], {}
    for gloss, examples in clips.items():
        readable = [vector for clip in examples if (vector := _vector(recognizer, gloss, clip)) is not None]
        if not readable:
            raise SignXError(
                f"sign {gloss!r} must have at least one readable clip, got none of {len(examples)}. Add one, or "
                "leave the sign out."
            )
        vectors.append(torch.stack(readable).mean(0))
        counts[gloss] = len(readable)
    recognizer.model.set_signs(list(clips), torch.stack(vectors), scale=SCALE)
    recognizer.save_pretrained(output)
    return counts


def _vector(recognizer: "IsolatedSignRecognitionPipeline", gloss: str, clip: "ClipInput") -> "torch.Tensor | None":
    """Return the unit-length embedding of a clip; warn and return None if it cannot be read."""
    try:
        return recognizer.embedding(clip)
    except (SignXError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        warnings.warn(f"sign {gloss!r}: a clip was left out: {reason}", SignXWarning, stacklevel=3)
        return None


def _clips_of(rows: "Dataset") -> dict[str, list[str]]:
    """Return gloss -> paths of its videos or pose files."""
    clips: dict[str, list[str]] = {}
    for row in rows:
        path = (row["video"] or {}).get("path") or row["tracks"][0]["path"]
        clips.setdefault(row["glosses"][0], []).append(path)
    return clips


def _as_typed(message: str) -> str:
    """Return a message about the arguments of `teach` with the names that they have on the command line."""
    for name, flag in (("`output_dir`", "--out"), ("`model`", "--model"), ("`clips`", "the folder")):
        message = message.replace(name, flag)
    return message


def run(options: argparse.Namespace) -> int:
    """Run `teach` and return the exit code: 0, or 2 after one line that says why nothing was done."""
    from ..data import load_dataset

    with warnings_to_stderr():
        try:
            rows = load_dataset("folder", data_dir=options.folder, split="train", gloss_from="folder", skip_bad=True)
            clips = _clips_of(rows)
            counts = teach(options.model, clips, options.out, options.device, options.trust_remote_code)
        except (SignXError, OSError, ImportError) as error:
            say(_as_typed(one_line(error)))
            return 2
    groups = Counter(counts.values())
    summary = ", ".join(
        f"{signs} with {number} clip{'s' * (number > 1)} each" for number, signs in sorted(groups.items())
    )
    show(f"{len(counts)} signs taught ({summary}); saved in {options.out}")
    return 0
