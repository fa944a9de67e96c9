"""signx_hf: sign language recognition for the Hugging Face ecosystem.

After `import signx_hf` transformers knows SignX: the Auto classes load it and `pipeline("sign-recognition")` runs it. The
import itself is light; torch and transformers are imported with the first name that needs them.
"""

from pathlib import Path

from .version import __version__

# `modeling/` and `processing/` are next to this folder in a checkout and inside it once installed.
_HERE = Path(__file__).resolve().parent
if not (_HERE / "modeling").is_dir() and (_HERE.parent / "modeling" / "__init__.py").is_file():
    __path__.append(str(_HERE.parent))

from . import _registration, modeling, processing  # noqa: E402  after the path is complete

_HOME = {
    "SignStreamOptions": "recognition.sign_stream",
    "SignXSignStreamer": "recognition.sign_stream",
    "SignXSpellingStreamer": "recognition.spelling_stream",
    "SignXStreamer": "recognition.streaming",
    "SignXTranslationStreamer": "recognition.translation_stream",
    "SpellingOptions": "recognition.spelling",
    "StreamOptions": "recognition.streaming",
    "demo_clips": "assets",
    "letter_clips": "assets",
    "model_place": "assets",
    "shipped_models": "assets",
    "spelled_clip": "assets",
    "teach": "recognition.teach",
}
__all__ = ["__version__", "load_dataset", *_HOME, *modeling.EXPORTS, *processing.EXPORTS]


def load_dataset(name: str, data_dir=None, split: str | None = None, **options):
    """Load a corpus by name from your own copy; see `signx_hf.data.load.load_dataset`.

    Args:
        name: of the corpus, as in `signx-hf data list`.
        data_dir: folder of your copy.
        split: one split; None: all.
        options: of the corpus's loader.
    """
    from .data.load import load_dataset as load

    return load(name, data_dir, split, **options)


def __getattr__(name: str):
    for part in (modeling, processing):
        if name in part.EXPORTS:
            value = globals()[name] = getattr(part, name)
            return value
    if name in _HOME:
        import importlib

        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module 'signx_hf' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


_registration.install()
