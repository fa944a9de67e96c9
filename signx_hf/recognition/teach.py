"""Signs of one's own from a few clips each, without training: a sign is the mean of what the model makes of its clips."""

import argparse
import sys
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..assets import model_place
from ..common.messages import one_line
from ..processing.errors_signx import SignXError, SignXWarning

# Cosines of clips of one sign lie around 0.8, of different signs around 0.2: multiplied so that the best has most of the probability.
SCALE = 16.0
HELP = "a model of your own signs from a few clips each, without training"


def add_parser(commands: Any) -> None:
    """Add `teach` to the parser of signx-hf; imports nothing heavy."""
    parser = commands.add_parser("teach", help=HELP, description=HELP)
    parser.add_argument("folder", help="one folder per sign, named by its gloss, with videos or pose files of it")
    parser.add_argument(
        "--model", required=True, help="model of isolated signs whose body is used: asl, a folder or a Hub name"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the new model")
    parser.add_argument("--device", help="cpu, cuda, ...; default: the GPU if there is one")
    parser.add_argument("--trust-remote-code", action="store_true", help="run the model code of the repository")


def teach(
    model: str | Path,
    clips: Mapping[str, Sequence[Any]],
    output_dir: str | Path,
    device: str | None = None,
    trust_remote_code: bool = False,
) -> dict[str, int]:
    """Save a model that knows other signs, each from one clip or more.

    Args:
        model: name, folder or Hub name of a model of isolated signs; only its body is used.
        clips: gloss -> clips, each anything that `pipeline("isolated-sign-recognition")` takes.
        output_dir: folder of the new model, which every command takes.

    Returns:
        How many clips each sign was learned from.

    Raises:
        SignXError: fewer than two signs, a sign without a clip that can be read, a model of another kind, a folder that is not empty.
    """
    from .loading import cannot_load, check_model, open_recognizer
    from .tasks import SIGNS, task_of

    output = Path(output_dir)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise SignXError(f"`output_dir` must be a new or empty folder, got {output}. Name another.")
    if len(clips) < 2:
        raise SignXError(
            f"`clips` must hold at least two signs to tell apart, got {len(clips)}. Add clips of another sign."
        )
    place = model_place(str(model))
    try:
        check_model(place)
    except (OSError, ValueError) as error:
        raise SignXError(cannot_load(str(model), error)) from error
    if task_of(place) != SIGNS:
        raise SignXError(
            f"`model` must be a model of isolated signs, got {model}. Use asl, or one that `signx-hf train isolated` made."
        )
    recognizer = open_recognizer(place, device, trust_remote_code, {}, SIGNS)
    import torch

    vectors, counts = [], {}
    for gloss, examples in clips.items():
        found = [vector for clip in examples if (vector := _vector(recognizer, gloss, clip)) is not None]
        if not found:
            raise SignXError(
                f"sign {gloss!r}: none of its {len(examples)} clips could be read. Add one, or leave the sign out."
            )
        vectors.append(torch.stack(found).mean(0))
        counts[gloss] = len(found)
    recognizer.model.set_signs(list(clips), torch.stack(vectors), scale=SCALE)
    recognizer.save_pretrained(output)
    return counts


def _vector(recognizer: Any, gloss: str, clip: Any) -> Any:
    """What the model makes of a clip, of length 1; None, with a warning, where it cannot be read."""
    try:
        return recognizer.embedding(clip)
    except (SignXError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        warnings.warn(f"sign {gloss!r}: a clip was left out: {reason}", SignXWarning, stacklevel=3)
        return None


def _clips_of(rows: Any) -> dict[str, list[str]]:
    """Gloss -> paths of its videos or pose files."""
    clips: dict[str, list[str]] = {}
    for row in rows:
        path = (row["video"] or {}).get("path") or row["tracks"][0]["path"]
        clips.setdefault(row["glosses"][0], []).append(path)
    return clips


def run(options: argparse.Namespace) -> int:
    """Run `teach`."""
    from ..data import load_dataset

    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: print(
            f"signx-hf: warning: {one_line(message)}", file=sys.stderr
        )
        try:
            rows = load_dataset("folder", data_dir=options.folder, split="train", gloss_from="folder", skip_bad=True)
            clips = _clips_of(rows)
            counts = teach(options.model, clips, options.out, options.device, options.trust_remote_code)
        except (SignXError, OSError, ImportError) as error:
            print(f"signx-hf: {one_line(error)}", file=sys.stderr)
            return 2
    shares = Counter(counts.values())
    told = ", ".join(
        f"{signs} with {number} clip{'s' * (number > 1)} each" for number, signs in sorted(shares.items())
    )
    print(f"{len(counts)} signs taught ({told}); saved in {options.out}")
    return 0
