"""What `pip install "signx_hf[...]"` brings: something for every extra, and one build of OpenCV."""

import importlib.metadata
import re

import pytest
from conftest import ROOT
from packaging.requirements import Requirement

from signx_hf.common.extras import EXTRAS


def declared():
    """Return the extras of setup.py by name, without those for developers."""
    text, namespace = (ROOT / "setup.py").read_text(encoding="utf-8"), {}
    exec(text[text.index("EXTRAS = {") : text.index('EXTRAS["dev"]')], namespace)  # the literals of our own setup.py
    return namespace["EXTRAS"]


def imported_modules():
    """Return the names of the modules that the package imports or requires, at the top of a file or in a function."""
    files = [path for room in ("signx_hf", "modeling", "processing") for path in (ROOT / room).rglob("*.py")]
    code = "\n".join(path.read_text(encoding="utf-8") for path in files if path.name != "extras.py")
    pattern = r"^\s*(?:import|from) (\w+)|require\(\"(\w+)|import_module\(\"(\w+)"
    names = {name for groups in re.findall(pattern, code, flags=re.MULTILINE) for name in groups if name}
    return names | {"cv2"}  # rtmlib and MediaPipe import it


def test_every_extra_has_something_behind_it():
    used = imported_modules()
    assert {name for modules in EXTRAS.values() for name in modules} <= used | {"tensorboard"}  # torch imports it
    assert set(declared()) - {"all"} == set(EXTRAS)


@pytest.mark.parametrize("extra", ["all", "dwpose", "mediapipe"])
def test_an_extra_brings_one_build_of_opencv(extra):
    """All builds of OpenCV install to the same folder `cv2`, so that two of them overwrite each other."""
    waiting, seen = [Requirement(text) for text in declared()[extra]], set()
    while waiting:
        requirement = waiting.pop()
        name = re.sub("[-_.]+", "-", requirement.name).lower()
        if name in seen or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        seen.add(name)
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if not requirement.specifier.contains(distribution.version, prereleases=True):
            pytest.skip(f"{requirement} is what setup.py allows, {distribution.version} is installed: run `make env`")
        waiting += [Requirement(text) for text in distribution.requires or ()]
    builds = {name for name in seen if name.startswith("opencv")}
    assert builds == {"opencv-contrib-python"}
