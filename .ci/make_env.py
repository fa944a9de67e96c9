"""Make the environment of this checkout: `python3 .ci/make_env.py [--min]`. A second run finds it done and takes no time.

`.venv` holds the newest versions that setup.py allows, with `--min` `.venv-min` the lowest that are tested (constraints-min.txt).

torch comes as its CPU build where no NVIDIA GPU is present, because the default build for Linux brings gigabytes of CUDA.
Only the standard library is used: this runs before anything is installed.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOWEST = "--min" in sys.argv[1:]
VENV = ROOT / (".venv-min" if LOWEST else ".venv")
STAMP = VENV / "signx-hf.stamp"
CONSTRAINTS = ROOT / "constraints-min.txt"
CPU_TORCH = "torch==2.13.0+cpu"
# Where the PyTorch project publishes its CPU builds; asked only if the configured index has none.
CPU_INDEX = "https://download.pytorch.org/whl/cpu"


def fingerprint() -> str:
    """Return a digest of everything that decides what is installed."""
    digest = hashlib.sha256()
    for name in ("setup.py", "pyproject.toml", ".ci/make_env.py", *([CONSTRAINTS.name] if LOWEST else [])):
        digest.update((ROOT / name).read_bytes())
    digest.update(f"{sys.version} {has_gpu()}".encode())
    return digest.hexdigest()


def has_gpu() -> bool:
    """Tell whether an NVIDIA driver is installed."""
    return shutil.which("nvidia-smi") is not None


def python() -> str:
    return str(VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))


def pip_install(*arguments: str, check: bool = True, quiet: bool = True) -> int:
    command = [python(), "-m", "pip", "install", *(["--quiet"] if quiet else []), *arguments]
    return subprocess.run(command, check=check).returncode


def install_torch() -> None:
    """The CPU build on Linux without a GPU; elsewhere the default build, which setup.py's requirements bring."""
    if platform.system() != "Linux" or has_gpu():
        return
    if pip_install(CPU_TORCH, check=False) != 0:
        print("the configured package index has no CPU build of torch; asking the PyTorch project's", flush=True)
        pip_install(CPU_TORCH, "--index-url", CPU_INDEX)


def main() -> None:
    if sys.version_info < (3, 10):  # noqa: UP036  this file runs before pip could refuse
        sys.exit(f"Python must be 3.10 or newer, got {platform.python_version()}. Run make with PYTHON=python3.11.")
    current = fingerprint()
    if STAMP.is_file() and STAMP.read_text() == current:
        return
    print(f"setting up {VENV.name} (a few minutes, once)", flush=True)
    if not Path(python()).is_file():
        venv.create(VENV, with_pip=True)
    pip_install("--upgrade", "pip", "setuptools", "wheel")
    install_torch()
    # the lowest numpy is below what the extras of extraction and SignSynth take: their tests skip there
    wanted_extras, constraint = ("dev", ["--constraint", str(CONSTRAINTS)]) if LOWEST else ("dev,dev-poses", [])
    pip_install("--editable", f"{ROOT}[{wanted_extras}]", *constraint)
    STAMP.write_text(current)  # last: an interrupted set-up has no stamp and is done again


if __name__ == "__main__":
    main()
