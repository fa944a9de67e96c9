"""The checkpoint and the clips that come with the package.

They are SignSynth: an invented sign language of 100 signs, performed by rendered figures. The clips show three signers and
sentences that are in no training clip. The model's card (`README.md` beside its weights) says how it was made.
"""

import json
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "assets" / "demo"
MODEL = FOLDER / "model"


def model_place(model: str) -> str:
    """The folder that `demo` stands for, unless there is one of that name here; any other name as it is."""
    return str(MODEL) if model == "demo" and not Path(model).exists() else model


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
