"""Puts a few real letters into the package, as hands: what `make demo` spells.

    pip download --no-deps spoken-to-signed==0.4.0 && unzip spoken_to_signed-0.4.0-py3-none-any.whl -d FOLDER
    python scripts/ship_letters.py --lexicon FOLDER --letters HELO

The clips are those of American Sign Language in spoken-to-signed 0.4.0 (MIT License, whose text is kept in `NOTICE`), which no model was
trained on. Only the hands are kept, in float16.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks" / "accuracy"))
import runs

TARGET = runs.ROOT / "signx_hf" / "assets" / "asl-letters" / "clips"
NOTICE = """Hands of finger-spelled letters, taken from the poses of spoken-to-signed 0.4.0
(https://github.com/sign-language-processing/spoken-to-signed-translation,
spoken_to_signed/assets/fingerspelling_lexicon/ase), which comes under this licence:

{licence}"""


def write_letter(file: str, path: Path) -> None:
    """The hands of a `.pose` file as a clip of the track `hands`."""
    from signx_hf import SignXPoseFeatureExtractor
    from signx_hf.data.corpora._hands import hand_notes
    from signx_hf.processing.hand_sources_signx import picture_notes
    from signx_hf.processing.hands_signx import HAND_FEATURES

    clip = SignXPoseFeatureExtractor(track_dims={"hands": HAND_FEATURES}).read(file)
    width, height = clip.size
    notes = hand_notes("MediaPipe Holistic, hands alone", width / height) | picture_notes(clip)
    rows = np.where(clip.masks["hands"][:, None], clip.tracks["hands"], 0.0).astype(np.float16)
    np.savez_compressed(path, hands=rows, fps=clip.fps, notes=json.dumps(notes))


def main() -> None:
    """Write the clips and the notice."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lexicon", type=Path, required=True, help="folder of the unpacked wheel")
    parser.add_argument("--letters", required=True, help="which, such as HELO")
    options = parser.parse_args()
    from signx_hf import load_dataset

    rows = load_dataset("fingerspelling", options.lexicon, "train", sign_languages=["ase"])
    files = {row["glosses"][0]: row["tracks"][0]["path"] for row in rows}
    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.mkdir(parents=True)
    for letter in sorted(set(options.letters)):
        write_letter(files[letter], TARGET / f"{letter}.npz")
    licence = next(options.lexicon.glob("*.dist-info/licenses/LICENSE")).read_text(encoding="utf-8")
    (TARGET / "NOTICE").write_text(NOTICE.format(licence=licence), encoding="utf-8")
    print(f"{TARGET.relative_to(runs.ROOT)}: {sum(path.stat().st_size for path in TARGET.iterdir()) / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
