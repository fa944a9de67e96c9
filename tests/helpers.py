"""Running Python as another user of this machine would, and matching what messages say."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

from conftest import ROOT

# Makes the package impossible to import, however it is installed: what runs then, runs from the saved folder alone.
WITHOUT_PACKAGE = """
import importlib.abc, sys
class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("signx_hf", "modeling", "processing"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
"""


def run_python(code: str, cwd: Path, package: bool = True, **environment: str) -> str:
    """Standard output of `code` in a fresh process started in `cwd`; fails with its standard error."""
    preamble = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n" if package else WITHOUT_PACKAGE
    modules = {"HF_MODULES_CACHE": str(cwd / "hf_modules")}  # remote code of one test must not meet another's
    done = subprocess.run(
        [sys.executable, "-c", preamble + textwrap.dedent(code)],
        cwd=cwd,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore", **modules, **environment},
        capture_output=True,
        text=True,
        timeout=1500,  # only so that what hangs ends
    )
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def said(text: str) -> str:
    """Return a regular expression for messages that contain the parts of `text`, separated by " ... ", in that order."""
    return ".*".join(re.escape(part) for part in text.split(" ... "))
