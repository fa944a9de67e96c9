"""Draw the picture of the README: the first clip of the demo, recognized glosses over its frames, and the truth.

    python scripts/readme_picture.py

Runs `examples/demo.py`, which is what `make demo` does, and stores its figure with 64 colors: a fifth of the size.
The clip is of SignSynth (rendered, CC0).
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "images" / "alignment.png"


def main() -> None:
    """Write docs/images/alignment.png."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, str(ROOT / "examples" / "demo.py"), "--out", folder], check=True)
        with Image.open(Path(folder) / "alignment.png") as figure:
            figure.convert("RGB").quantize(64).save(PICTURE, optimize=True)
    print(f"{PICTURE.relative_to(ROOT)}: {PICTURE.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
