"""signx_hf: sign language recognition for the Hugging Face ecosystem."""

from pathlib import Path

from .version import __version__

# `modeling/` and `processing/` sit beside this folder in a checkout and inside it once installed.
_HERE = Path(__file__).resolve().parent
if not (_HERE / "modeling").is_dir() and (_HERE.parent / "modeling" / "__init__.py").is_file():
    __path__.append(str(_HERE.parent))

__all__ = ["__version__"]
