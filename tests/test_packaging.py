"""Wheel, sdist and editable installs, each in an environment of its own: what imports from where, and what must not.

Nothing is downloaded: a fresh environment sees the dependencies of the running one through a path file, the package only
through its own installation. `modeling/` and `processing/` lie beside the package in a checkout and inside it once
installed, so every row below once failed for some kind of installation.
"""

import email
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT

pytest.importorskip("setuptools", reason="setuptools builds the package: pip install setuptools")
pytest.importorskip("pip", reason="pip installs the package: python -m ensurepip")

INSTALLS = ("wheel", "sdist", "editable", "editable-strict")
FOLDERS = ("modeling", "processing")
# Written into the checkout: a test as light as can be, run with the project's own pytest settings.
PROBE = "def test_probe():\n    import signx_hf.modeling, signx_hf.processing\n    print('from', signx_hf.modeling.__file__)\n"
WHERE = "import signx_hf.modeling, signx_hf.processing; print(signx_hf.modeling.__file__); print(signx_hf.__version__)"


def clean_environment() -> dict[str, str]:
    """The variables of this process without those that change what Python, pip or pytest find."""
    changing = ("PYTHON", "PYTEST", "PIP_", "VIRTUAL_ENV", "HF_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(changing)}
    return {**kept, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}


def execute(*command, cwd: Path) -> str:
    """Standard output of a command; fails with all it said."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=clean_environment(), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


def copy_checkout(target: Path) -> Path:
    """The files git knows of or would add, as they are now: building never writes into the work tree."""
    try:
        names = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, check=True, capture_output=True, text=True,
        ).stdout.split("\0")  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout: a clean copy to build from cannot be told from what else lies here")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes((ROOT / name).read_bytes())
    return target


@pytest.fixture(scope="module")
def archives(tmp_path_factory) -> dict[str, Path]:
    """Wheel and sdist, built as pip and build do: by the backend that pyproject.toml names."""
    copy = copy_checkout(tmp_path_factory.mktemp("build"))
    out = tmp_path_factory.mktemp("dist")
    for build in ("wheel", "sdist"):
        execute(
            sys.executable, "-c", f"import setuptools.build_meta as b; b.build_{build}({str(out / build)!r})", cwd=copy
        )
    return {build: next((out / build).iterdir()) for build in ("wheel", "sdist")}


class Installation:
    """A fresh environment with the package installed in one of the four ways, and the checkout beside it."""

    def __init__(self, kind: str, archives: dict[str, Path], base: Path):
        self.kind = kind
        self.checkout = copy_checkout(base / "checkout")
        self.elsewhere = base / "elsewhere"
        self.elsewhere.mkdir()
        (self.checkout / "probe").mkdir()
        (self.checkout / "probe" / "test_probe.py").write_text(PROBE)
        venv.create(base / "venv", symlinks=os.name != "nt")
        self.scripts = base / "venv" / ("Scripts" if os.name == "nt" else "bin")
        self.python = self.scripts / "python"
        purelib = "import sysconfig; print(sysconfig.get_path('purelib'))"
        self.site = Path(execute(self.python, "-c", purelib, cwd=base))
        shared = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
        (self.site / "shared.pth").write_text("\n".join(shared))
        what = {"editable": ["-e", "."], "editable-strict": ["-e", ".", "--config-settings", "editable_mode=strict"]}
        # The running environment may hold this package too, which pip would take for the same thing already there.
        options = ("--no-deps", "--no-build-isolation", "--no-index", "--ignore-installed", "--quiet")
        execute(
            self.python, "-m", "pip", "install", *options, *what.get(kind, [archives.get(kind)]), cwd=self.checkout
        )

    def run(self, *arguments, cwd: Path) -> str:
        return execute(self.python, *arguments, cwd=cwd)

    @property
    def installed(self) -> Path:
        """`signx_hf/modeling` as it is found outside the checkout."""
        if self.kind in ("wheel", "sdist"):
            return self.site / "signx_hf" / "modeling"
        if self.kind == "editable":
            return self.checkout / "modeling"
        return next((self.checkout / "build").glob("__editable__*")) / "signx_hf" / "modeling"


@pytest.fixture(scope="module", params=INSTALLS)
def installation(request, archives, tmp_path_factory) -> Installation:
    return Installation(request.param, archives, tmp_path_factory.mktemp(request.param))


def test_imports_outside_the_checkout(installation):
    found, version = installation.run("-c", WHERE, cwd=installation.elsewhere).splitlines()
    assert Path(found) == installation.installed / "__init__.py"
    assert (ROOT / "signx_hf" / "version.py").read_text().count(f'"{version}"') == 1


@pytest.mark.parametrize("folder", FOLDERS)
def test_folders_are_no_packages_of_their_own(installation, folder):
    """Outside they do not exist; inside the checkout, where Python finds them, they say what to import instead."""
    code = f"import importlib.util; print(importlib.util.find_spec({folder!r}))"
    assert installation.run("-c", code, cwd=installation.elsewhere) == "None"
    refused = f"try:\n    import {folder}\nexcept ImportError as error:\n    print(error)"
    message = installation.run("-c", refused, cwd=installation.checkout)
    assert message == f"import signx_hf.{folder}, not {folder}"


def test_python_in_the_root_runs_the_checkout(installation):
    found = installation.run("-c", WHERE, cwd=installation.checkout).splitlines()[0]
    assert Path(found) == installation.checkout / "modeling" / "__init__.py"
    version = installation.run("-m", "signx_hf", "--version", cwd=installation.checkout)
    assert version.startswith("signx-hf ")


def test_pytest_in_the_root(installation):
    """`python -m pytest` tests the checkout, plain `pytest` what is installed."""
    options = ("-q", "-s", "-p", "no:cacheprovider", "probe/test_probe.py")
    said = installation.run("-m", "pytest", *options, cwd=installation.checkout)
    assert f"from {installation.checkout / 'modeling' / '__init__.py'}" in said and "1 passed" in said
    # Plain `pytest` is a script elsewhere: its folder, and not the current one, comes first on the path.
    script = installation.scripts / "plain_pytest.py"
    script.write_text("import sys\nfrom pytest import console_main\nsys.exit(console_main())\n")
    said = installation.run(script, *options, cwd=installation.checkout)
    assert f"from {installation.installed / '__init__.py'}" in said and "1 passed" in said


def test_console_script(installation):
    for folder in (installation.elsewhere, installation.checkout):
        said = execute(installation.scripts / "signx-hf", "--version", cwd=folder)
        assert said == installation.run("-m", "signx_hf", "--version", cwd=folder)


def test_checkout_without_installation(tmp_path):
    """A clone runs from its root before anything is installed."""
    checkout = copy_checkout(tmp_path / "checkout")
    found = execute(sys.executable, "-c", WHERE, cwd=checkout).splitlines()[0]
    assert Path(found) == checkout / "modeling" / "__init__.py"


@pytest.fixture(scope="module")
def source_files(tmp_path_factory) -> set[str]:
    """Names of all files of the project, relative to its root."""
    copy = copy_checkout(tmp_path_factory.mktemp("source"))
    return {path.relative_to(copy).as_posix() for path in copy.rglob("*") if path.is_file()}


def test_wheel_holds_the_package_and_nothing_else(archives, source_files):
    with zipfile.ZipFile(archives["wheel"]) as wheel:
        names = set(wheel.namelist())
        information = next(name for name in names if name.endswith(".dist-info/METADATA")).split("/")[0]
        assert wheel.read(f"{information}/top_level.txt").decode().split() == ["signx_hf"]
    wanted = {name for name in source_files if name.startswith("signx_hf/")}
    wanted |= {f"signx_hf/{name}" for name in source_files if name.startswith(tuple(f"{f}/" for f in FOLDERS))}
    assert {"signx_hf/modeling/modeling_signx.py", "signx_hf/processing/processing_signx.py"} <= wanted
    assert {name for name in names if not name.startswith(f"{information}/")} == wanted


def test_metadata(archives):
    with zipfile.ZipFile(archives["wheel"]) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(wheel.read(name))
        licence = [name for name in wheel.namelist() if name.endswith("licenses/LICENSE")]
        scripts = wheel.read(name.replace("METADATA", "entry_points.txt")).decode()
    assert metadata["Name"].replace("-", "_") == "signx_hf"
    assert metadata["Requires-Python"] == ">=3.10"
    # setuptools 77 and newer write the second of these names
    assert "Apache-2.0" in (metadata["License"], metadata["License-Expression"])
    assert len(licence) == 1
    assert set(metadata.get_all("Provides-Extra")) == {
        "poses",
        "mediapipe",
        "dwpose",
        "synth",
        "plots",
        "ray",
        "elan",
        "subtitles",
        "train",
        "metrics",
        "all",
        "dev",
        "dev-poses",
    }
    assert "signx-hf = signx_hf.cli:main" in scripts
    core = {item.split(";")[0].strip() for item in metadata.get_all("Requires-Dist") if "extra ==" not in item}
    assert {re.match(r"[\w-]+", item).group() for item in core} == {
        "torch", "transformers", "tokenizers", "safetensors", "huggingface-hub", "datasets", "accelerate", "evaluate",
        "filelock", "numpy", "av", "jinja2",
    }  # fmt: skip
    assert any("transformers" in item and "<6" in item for item in core)
    assert not any("torchvision" in item or "torchcodec" in item for item in metadata.get_all("Requires-Dist"))


def test_sdist_holds_what_a_developer_needs(archives, source_files):
    with tarfile.open(archives["sdist"]) as sdist:
        names = {item.name.split("/", 1)[1] for item in sdist.getmembers() if item.isfile()}
    assert {"Makefile", ".ci/run", "examples/demo.py", "tests/conftest.py", "modeling/modeling_signx.py"} <= names
    assert source_files - names <= {".gitignore"}
    made = {name for name in names if name.startswith("signx_hf.egg-info/")} | {"PKG-INFO", "setup.cfg"}
    assert names - source_files == made


def requirements(text: str) -> dict[str, str]:
    """Name of each distribution -> version, in lines `name>=version` or `name==version`, comments left out."""
    return dict(re.findall(r"^([A-Za-z0-9_-]+)(?:\[\w+\])?[=>]=([\d.]+)", text, re.M))


def test_lower_bounds_are_the_versions_tested():
    """A bound that nobody installs is a guess; the constraints file installs each of them."""
    namespace = {}
    text = (ROOT / "setup.py").read_text()
    exec(text[text.index("CORE = [") : text.index('EXTRAS["all"]')], namespace)  # the literals of our own setup.py
    bounds = requirements("\n".join([*namespace["CORE"], *namespace["EXTRAS"]["poses"]]))
    tested = requirements((ROOT / "constraints-min.txt").read_text())
    del bounds["torch"], tested["torch"]  # the GPU machines' 2.11 has no CPU build to test with
    for name, bound in bounds.items():
        assert f"{tested[name]}.".startswith(f"{bound}."), f"{name}: setup.py says {bound}, tested is {tested[name]}"
