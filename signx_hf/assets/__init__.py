"""The checkpoints that come with the package, by name, and the clips of its demo.

`demo` is SignSynth: an invented sign language of 100 signs, performed by rendered figures. The clips show three signers and sentences
that are in no training clip. The others are real languages. Each model's card (`README.md` beside its weights) says how it was made,
what it reaches, and under which terms its weights are used. Beside the letters lie a few real ones, as hands.
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
    """Return the shipped model that a name which is none may have meant; None where it is like no other, or has an owner as on the Hub."""
    names = shipped_models()
    if "/" in model or model in names:
        return None
    folded = model.strip().casefold().replace("_", "-")
    return folded if folded in names else next(iter(difflib.get_close_matches(folded, names, n=1, cutoff=0.6)), None)


def model_place(model: str) -> str:
    """Return the folder that the name of a shipped model stands for, unless there is one of that name here; any other as it is."""
    return str(ASSETS / model / "model") if model in shipped_models() and not Path(model).exists() else model


@dataclass(frozen=True)
class DemoClip:
    """A video with the truth. segments: dicts of `gloss`, `start`, `end` in seconds."""

    video: Path
    glosses: list[str]
    segments: list[dict]
    signer: str
    text: str


def demo_clips() -> list[DemoClip]:
    """The ten clips, the first one for a first try."""
    rows = json.loads((FOLDER / "clips" / "clips.json").read_text(encoding="utf-8"))
    return [DemoClip(FOLDER / "clips" / row.pop("video"), **row) for row in rows]


def letter_clips() -> dict[str, Path]:
    """Real letters of the American manual alphabet that no model here was trained on: letter -> its clip, hands as `.npz`.

    From spoken-to-signed 0.4.0 (MIT, `NOTICE` beside them).
    """
    return {path.stem: path for path in sorted(LETTERS.glob("*.npz"))}


def spelled_clip(word: str) -> dict[str, Any]:
    """Return a clip of the track `hands` that `recognize` and pipelines take: the `letter_clips` of a word, one after the other.

    Raises:
        ValueError: a letter that is not among them.
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
