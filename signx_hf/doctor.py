"""`signx-hf doctor`: report what is installed, what works, and how to fix what does not."""

import argparse
import importlib.metadata
import os
import platform
import sys
from dataclasses import asdict, dataclass

from .common.extras import EXTRAS, is_available
from .common.options import Subparsers
from .version import __version__

CORE = (
    "torch", "transformers", "tokenizers", "safetensors", "huggingface-hub", "datasets", "accelerate", "evaluate", "numpy",
    "av", "jinja2",
)  # fmt: skip
VIDEO_DECODERS = ("h264", "hevc", "vp9", "av1", "mpeg4", "gif", "png", "mjpeg")


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        section: `core`, `codecs`, `devices` or `extras`.
        name: What was looked at.
        status: `ok`, `missing` (an extra or a codec) or `broken` (the core cannot work).
        found: The version or state.
        fix: The command that fixes it, empty if there is nothing to fix.
    """

    section: str
    name: str
    status: str
    found: str
    fix: str = ""


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def versions_of() -> dict[str, str]:
    """Return the versions of Python, this package and its core libraries, for files that record how they were made."""
    names = ("signx_hf", "torch", "transformers", "accelerate", "datasets", "tokenizers", "safetensors", "numpy", "av")
    versions = {name: _version(name) for name in names}
    return {"python": platform.python_version(), **{name: version for name, version in versions.items() if version}}


def check_core() -> list[Finding]:
    """Check that the core packages are installed, and that torchvision, if installed, can be imported."""
    findings = [
        Finding("core", "python", "ok", platform.python_version()),
        Finding("core", "signx_hf", "ok", __version__),
    ]
    for name in CORE:
        version = _version(name)
        if version is None:
            findings.append(Finding("core", name, "broken", "not installed", f"pip install {name}"))
        else:
            findings.append(Finding("core", name, "ok", version))
    if _version("torchvision") is not None:
        try:
            import torchvision  # noqa: F401
        except Exception as error:  # a build for another torch fails with RuntimeError, OSError, ...
            findings.append(
                Finding(
                    "core",
                    "torchvision",
                    "broken",
                    f"{_version('torchvision')} does not fit torch: {_first_line(error)}",
                    "pip uninstall torchvision (signx_hf does not need it, but transformers breaks on a broken one)",
                )  # fmt: skip
            )
    return findings


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def check_codecs() -> list[Finding]:
    """Check which video decoders PyAV's FFmpeg provides."""
    try:
        import av
    except Exception as error:
        return [Finding("codecs", "av", "broken", _first_line(error), "pip install --force-reinstall av")]
    decoders = []
    for name in VIDEO_DECODERS:
        try:
            av.codec.Codec(name, "r")
            decoders.append(Finding("codecs", name, "ok", "can be decoded"))
        except Exception:
            decoders.append(
                Finding("codecs", name, "missing", "no decoder", "pip install --upgrade av (its wheels bring FFmpeg)")
            )
    return decoders


def check_devices() -> list[Finding]:
    """Report the CPU and the accelerators that torch sees."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    findings = [Finding("devices", "cpu", "ok", f"{cores} cores, {platform.machine()}")]
    try:
        import torch
    except Exception as error:
        return [
            *findings,
            Finding("devices", "torch", "broken", _first_line(error), "pip install --force-reinstall torch"),
        ]
    findings[0] = Finding("devices", "cpu", "ok", f"{findings[0].found}, torch uses {torch.get_num_threads()} threads")
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        memory = f"{properties.total_memory / 2**30:.0f} GiB"
        findings.append(Finding("devices", f"cuda:{index}", "ok", f"{properties.name}, {memory}"))
    if getattr(torch.backends, "mps", None) is not None and torch.backends.mps.is_available():
        findings.append(Finding("devices", "mps", "ok", "Apple GPU"))
    if len(findings) == 1:
        findings.append(Finding("devices", "gpu", "missing", "none: models run on the CPU"))
    return findings


def check_extras() -> list[Finding]:
    """Check which extras are complete, without importing their packages."""
    findings = []
    for extra, modules in EXTRAS.items():
        absent = [name for module, name in modules.items() if not is_available(module)]
        if absent:
            fix = f'pip install "signx_hf[{extra}]"'
            findings.append(Finding("extras", extra, "missing", f"without {', '.join(absent)}", fix))
        else:
            installed = ", ".join(f"{name} {_version(name.split('[')[0]) or ''}".strip() for name in modules.values())
            findings.append(Finding("extras", extra, "ok", installed))
    return findings


def add_parser(commands: Subparsers) -> None:
    """Add `doctor` to the parser of signx-hf."""
    text = "versions, codecs, devices, extras, and one-line fixes"
    parser = commands.add_parser("doctor", help=text, description=text)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(options: argparse.Namespace) -> int:
    """Run `doctor` and return the exit code: 0 if the core works, else 1."""
    findings = [*check_core(), *check_codecs(), *check_devices(), *check_extras()]
    if options.json:
        import json

        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        section = None
        for finding in findings:
            if finding.section != section:
                section = finding.section
                print(section)
            fix = f"  -> {finding.fix}" if finding.fix and finding.status != "ok" else ""
            print(f"  {finding.status:8}{finding.name:18}{finding.found}{fix}")
    broken = [finding.name for finding in findings if finding.status == "broken"]
    if broken:
        print(f"signx-hf: broken: {', '.join(broken)}", file=sys.stderr)
    return 1 if broken else 0
