"""signx_hf: sign language recognition for the Hugging Face ecosystem.

After `import signx_hf` transformers knows SignX: the Auto classes load it and `pipeline("sign-recognition")` runs it. The
import itself is light; torch and transformers come in with the first name that needs them.
"""

import importlib
from pathlib import Path

from .version import __version__

# `modeling/` and `processing/` sit beside this folder in a checkout and inside it once installed.
_HERE = Path(__file__).resolve().parent
if not (_HERE / "modeling").is_dir() and (_HERE.parent / "modeling" / "__init__.py").is_file():
    __path__.append(str(_HERE.parent))

from . import _registration  # noqa: E402  after the path is complete

# Public names and the module each of them lives in.
_NAMES = {
    "IsolatedSignRecognitionPipeline": "processing.pipeline_signx",
    "SignRecognitionPipeline": "processing.pipeline_signx",
    "SignXConfig": "modeling.configuration_signx",
    "SignXError": "processing.errors_signx",
    "SignXFileNotFoundError": "processing.errors_signx",
    "SignXForGlossRecognition": "modeling.modeling_signx",
    "SignXForLatentCTC": "modeling.modeling_signx",
    "SignXForPose2Gloss": "modeling.modeling_signx",
    "SignXForSignClassification": "modeling.modeling_signx",
    "SignXForVideo2Pose": "modeling.modeling_signx",
    "SignXModel": "modeling.encoders_signx",
    "SignXPoseError": "processing.errors_signx",
    "SignXPoseFeatureExtractor": "processing.feature_extraction_signx",
    "SignXProcessor": "processing.processing_signx",
    "SignXTokenError": "processing.errors_signx",
    "SignXTokenizer": "processing.tokenization_signx",
    "SignXVideoError": "processing.errors_signx",
    "SignXVideoProcessor": "processing.video_processing_signx",
    "SignXWarning": "processing.errors_signx",
}

__all__ = ["__version__", *_NAMES]


def __getattr__(name: str):
    if name not in _NAMES:
        raise AttributeError(f"module 'signx_hf' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_NAMES})


_registration.install()
