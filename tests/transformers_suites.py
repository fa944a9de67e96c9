"""The common tests of transformers, of the installed version: `suite("test_modeling_common").ModelTesterMixin`.

The wheel of transformers has no tests; its source distribution on PyPI has the mixins that every model of the library
passes. They are downloaded once into the user's cache, and nothing of them is copied into this repository. What the
distribution leaves out is replaced by empty classes that only give the names.

The folder of `SIGNX_TRANSFORMERS_TESTS`, if set, is used instead: `tests/` of a checkout of transformers, which has the
generation tests, too.
"""

import functools
import importlib
import os
import subprocess
import sys
import tarfile
import tempfile
import types
from pathlib import Path

import pytest
import transformers

PACKAGE = "transformers_common_tests"
# The arguments that every config takes, for `ConfigTester`; the module that lists them is not distributed.
CONFIG_KWARGS = {
    "return_dict": False, "output_hidden_states": True, "output_attentions": True, "dtype": "float16",
    "chunk_size_feed_forward": 5, "architectures": ["BertModel"], "id2label": {0: "label"}, "label2id": {"label": "0"},
    "problem_type": "regression",
}  # fmt: skip
# module -> the names that others import from it
ABSENT = {
    f"{PACKAGE}.exporters": {},
    f"{PACKAGE}.exporters.test_export": {"ExportTesterMixin": type("ExportTesterMixin", (), {})},
    f"{PACKAGE}.generation": {},
    f"{PACKAGE}.generation.test_utils": {"GenerationTesterMixin": type("GenerationTesterMixin", (), {})},
    f"{PACKAGE}.utils": {},
    f"{PACKAGE}.utils.test_configuration_utils": {"config_common_kwargs": CONFIG_KWARGS},
    f"{PACKAGE}.distributed_testing_utils": {"run_distributed": None},
    # A helper of the library's own CI: without its cache of files a URL stays a URL.
    "fetch_hub_objects_for_ci": {"url_to_local_path": lambda url, *_: url},
}


def _cache() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "signx_hf_tests" / f"transformers-{transformers.__version__}"


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise OSError(
            done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"pip ended with {done.returncode}"
        )


def _extract_tests(archive: Path, target: Path) -> None:
    """Extract the Python files directly in `tests/` of a source distribution; everything else stays out."""
    with tarfile.open(archive) as tar:
        for member in tar:
            parts = Path(member.name).parts
            if member.isfile() and len(parts) == 3 and parts[1] == "tests" and parts[2].endswith(".py"):
                (target / parts[2]).write_bytes(tar.extractfile(member).read())


def _download(cache: Path) -> None:
    """Fill the cache: `tests/` from the source distribution, `site/` with what the tests import besides."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache.parent) as folder:
        made = Path(folder) / "made"
        for folder_of_init in (
            "tests",
            "src/transformers",
        ):  # the tests execute both; the installed library is there already
            (made / folder_of_init).mkdir(parents=True)
            (made / folder_of_init / "__init__.py").touch()
        (made / "tests/utils").mkdir()
        (made / "tests/utils/tiny_model_summary.json").write_text("{}")  # no models of the Hub: the suite is offline
        # Without building it: `pip download` would build the wheel to learn the name, in an environment of its own.
        wanted = f"transformers=={transformers.__version__}"
        _pip(
            "download",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "--no-binary",
            ":all:",
            "--dest",
            folder,
            wanted,
        )
        _extract_tests(next(Path(folder).glob("transformers-*.tar.gz")), made / "tests")
        _pip("install", "--quiet", "--no-deps", "--target", str(made / "site"), "parameterized")
        try:
            made.rename(cache)
        except OSError:  # another process of the suite was faster
            if not cache.is_dir():
                raise


@functools.cache
def _folder() -> Path | str:
    """Return the folder of the tests, ready for import, or why there is none."""
    given = os.environ.get("SIGNX_TRANSFORMERS_TESTS")
    cache = _cache()
    if not cache.is_dir():
        try:
            _download(cache)
        except (OSError, StopIteration, subprocess.SubprocessError, tarfile.TarError) as error:
            return f"the tests of transformers {transformers.__version__} could not be downloaded from PyPI: {error}"
    sys.path.append(str(cache / "site"))  # last: an installed `parameterized` wins
    return Path(given) if given else cache / "tests"


def suite(module: str) -> types.ModuleType:
    """Import a module of the common tests, such as "test_modeling_common"; skip the calling module where there is none."""
    folder = _folder()
    if isinstance(folder, str):
        pytest.skip(folder, allow_module_level=True)
    if PACKAGE not in sys.modules:
        package = types.ModuleType(PACKAGE)
        package.__path__ = [str(folder)]
        sys.modules[PACKAGE] = package
        for name, values in ABSENT.items():
            if not _is_there(folder, name):
                sys.modules[name] = stub = types.ModuleType(name)
                stub.__path__ = [str(folder / name.rpartition(".")[2])]
                stub.__dict__.update(values)
    return importlib.import_module(f"{PACKAGE}.{module}")


def _is_there(folder: Path, name: str) -> bool:
    path = folder.joinpath(*name.removeprefix(f"{PACKAGE}.").split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()
