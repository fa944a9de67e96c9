"""What every result file carries: the machine, its load, versions, the commit; and files that are written whole."""

import importlib.metadata
import json
import os
import platform
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results"
SOURCES = ("modeling", "processing", "signx_hf", "benchmarks/*.py", "scripts/*.py", "tests/stress/*.py")


def cpu_model() -> str:
    """The name of the processor, as far as the system tells."""
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.is_file() else []
    return names[0].split(":", 1)[1].strip() if names else platform.processor()


def hardware(threads: int) -> dict:
    """Processor, cores of the machine, threads that were used."""
    return {"cpu": cpu_model(), "cores": os.cpu_count(), "threads_used": threads}


def load_average() -> float | None:
    """Processes that ran or waited, mean of the last minute, one's own included; None where nobody counts."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def versions(*distributions: str) -> dict[str, str]:
    """Versions of Python and of distributions, from their metadata: importing them would cost a parent memory."""
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in distributions}


def commit() -> str | None:
    """The commit that was measured, with `+changes` where tracked sources differ from it; None outside a checkout."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--", *SOURCES) else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def write_text(path: Path, text: str) -> None:
    """Write whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def write_json(path: Path, content: dict) -> None:
    """Write whole or not at all."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
