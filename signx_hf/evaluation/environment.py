"""The environment that numbers come from: versions, commit, machine."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

DISTRIBUTIONS = (
    "torch", "transformers", "tokenizers", "numpy", "av", "datasets", "jiwer", "sacrebleu", "rouge-score",
)  # fmt: skip
ROOT = Path(__file__).resolve().parents[2]


def versions() -> dict[str, str | None]:
    """Return the versions of Python, signx_hf and packages that decide a result; None if not installed."""
    from ..version import __version__

    result: dict[str, str | None] = {"python": platform.python_version(), "signx_hf": __version__}
    for name in DISTRIBUTIONS:
        try:
            result[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            result[name] = None
    return result


def commit() -> str | None:
    """Return the commit of the checkout, with `+changes` if tracked files differ; None for an installed package."""
    if not (ROOT / ".git").exists():
        return None

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30)
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def hardware(device: str | None) -> dict[str, Any]:
    """Return the processor, its cores, and the device that the model runs on (None: the default one)."""
    import torch

    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    used = device or ("cuda" if torch.cuda.is_available() else "cpu")
    gpu = torch.cuda.get_device_name(used) if str(used).startswith("cuda") and torch.cuda.is_available() else None
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "device": str(used),
        "gpu": gpu,
    }
