"""The checkpoints that come with the package, by name, and the clips of its demo.

`demo` is SignSynth: an invented sign language of 100 signs, performed by rendered figures. The clips show three
signers and sentences that are in no training clip. `demo-text` translates the same language to English. The other models are of real languages. The card of each model
(`README.md` next to its weights) says how it was trained, how well it does, and the terms of its weights. The letters
come with a few real clips, as hand landmarks.
"""

import difflib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ASSETS = Path(__file__).resolve().parent
FOLDER = ASSETS / "demo"
MODEL = FOLDER / "model"
REMEDY = "Pass a folder that a SignX model and its processor were saved to"
LETTERS = ASSETS / "asl-letters" / "clips"


def shipped_models() -> list[str]:
    """List the names of the checkpoints that come with the package."""
    return sorted(path.parent.parent.name for path in ASSETS.glob("*/model/config.json"))


def nearest_shipped(model: str) -> str | None:
    """Return the shipped model whose name is closest to an unknown name.

    Returns:
        The name, or None if no shipped name is close or if the given name has an owner, as on the Hub.
    """
    names = shipped_models()
    if "/" in model or model in names:
        return None
    folded = model.strip().casefold().replace("_", "-")
    return folded if folded in names else next(iter(difflib.get_close_matches(folded, names, n=1, cutoff=0.6)), None)


def model_place(model: str) -> str:
    """Return where a model is, by the rule of every option that names one.

    1. a folder that holds a model, or the folder of a run whose folder `model` does; `~` is the home folder;
    2. the name of a shipped model, also next to a folder of that name without a model;
    3. anything else unchanged: a name on the Hub, or a mistake, which `check_place` names.
    """
    path = os.path.expanduser(model)
    for folder in (path, os.path.join(path, "model")) if model.strip() else ():
        if os.path.isfile(os.path.join(folder, "config.json")):
            return folder
    return str(ASSETS / model / "model") if model in shipped_models() else model


def is_hub_name(model: str) -> bool:
    """Return whether a name is not a local path and can be one of the Hub: `name` or `owner/name`."""
    return bool(re.fullmatch(r"[\w-][\w.-]*(/[\w.-]+)?", model)) and not os.path.exists(model)


def check_place(model: str, remedy: str = REMEDY) -> None:
    """Reject what holds no model, without asking the Hub.

    Args:
        model: as `model_place` returns it.
        remedy: what to pass instead, without the final period.

    Raises:
        FileNotFoundError: If there is no such folder and it cannot be a name on the Hub, or config.json is missing.
        ValueError: If it is a file.
    """
    if not model.strip():
        raise FileNotFoundError(f"the name of the model must not be empty. {remedy}, or a Hub name.")
    if os.path.isdir(model):
        if not os.path.isfile(os.path.join(model, "config.json")):
            raise FileNotFoundError(f"{model}: no config.json in this folder. {remedy}.")
    elif os.path.exists(model):
        raise ValueError(f"{model}: a file, and not the folder of a model. {remedy}.")
    elif near := nearest_shipped(model):
        raise FileNotFoundError(
            f"{model}: no such model. Did you mean {near}? The package has {', '.join(shipped_models())}."
        )
    elif not is_hub_name(model):
        raise FileNotFoundError(f"{model}: no such folder. {remedy}, or a Hub name.")


@dataclass(frozen=True)
class DemoClip:
    """A video with its ground truth.

    Attributes:
        video: Path of the video.
        glosses: The signed glosses, in order.
        segments: Dicts of `gloss`, `start` and `end` in seconds.
        signer: Id of the signer.
        text: The sentence in English.
    """

    video: Path
    glosses: list[str]
    segments: list[dict]
    signer: str
    text: str


def demo_clips() -> list[DemoClip]:
    """Return the ten demo clips; the first one suits a first try."""
    rows = json.loads((FOLDER / "clips" / "clips.json").read_text(encoding="utf-8"))
    return [DemoClip(FOLDER / "clips" / row.pop("video"), **row) for row in rows]


def letter_clips() -> dict[str, Path]:
    """Return real letters of the American manual alphabet that no shipped model was trained on.

    They come from spoken-to-signed 0.4.0 (MIT, see `NOTICE` next to them).

    Returns:
        Letter -> path of its clip, hand landmarks as `.npz`.
    """
    return {path.stem: path for path in sorted(LETTERS.glob("*.npz"))}


def spelled_clip(word: str) -> dict[str, Any]:
    """Concatenate the `letter_clips` of a word to a clip of the track `hands`, as `recognize` and pipelines take it.

    Raises:
        ValueError: If a letter has no clip, or the word is empty.
    """
    import numpy as np

    clips = letter_clips()
    missing = sorted(set(word) - clips.keys())
    if missing or not word:
        raise ValueError(f"`word` must be spelled with {', '.join(clips)}, got {word!r}.")
    parts = []
    for letter in word:
        with np.load(clips[letter], allow_pickle=False) as arrays:
            parts.append(arrays["hands"].astype(np.float32))
            fps, notes = float(arrays["fps"]), str(arrays["notes"])
    return {"hands": np.concatenate(parts), "fps": fps, "notes": notes}
