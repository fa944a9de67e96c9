"""The checkpoints that come with the package, by name, and the clips of its demo.

`demo` is SignSynth: an invented sign language of 100 signs, performed by rendered figures. The clips show three
signers and sentences that are in no training clip. The other models are of real languages. The card of each model
(`README.md` next to its weights) says how it was trained, how well it does, and the terms of its weights. The letters
come with a few real clips, as hand landmarks.
"""

import difflib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ASSETS = Path(__file__).resolve().parent
FOLDER = ASSETS / "demo"
MODEL = FOLDER / "model"
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
    """Return the folder of a shipped model; any other name, or one that is a local path too, unchanged."""
    return str(ASSETS / model / "model") if model in shipped_models() and not Path(model).exists() else model


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
