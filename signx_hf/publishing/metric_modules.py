"""The metrics of this package as modules on the Hub: Spaces that `evaluate.load("OWNER/NAME")` reads."""

from pathlib import Path

from ..processing.errors_signx import SignXError

MODULES = Path(__file__).resolve().parents[1] / "metrics" / "modules"


def module_names() -> list[str]:
    """The modules that can be published."""
    return sorted(path.name for path in MODULES.iterdir() if (path / f"{path.name}.py").is_file())


def module_files(name: str, repo: str) -> dict[str, bytes]:
    """A module's script, under the name that `evaluate` looks for in that repository, and its card.

    Raises:
        SignXError: no such metric.
    """
    import evaluate

    if name not in module_names():
        raise SignXError(f"metric {name!r}: wanted one of {', '.join(module_names())}")
    script = MODULES / name / f"{name}.py"
    module = evaluate.load(str(script))
    return {
        f"{repo.split('/')[-1]}.py": script.read_bytes(),
        "README.md": _card(name, repo, module.description, module.inputs_description).encode(),
    }


def _card(name: str, repo: str, description: str, inputs: str) -> str:
    lines = [
        "---", f"title: {name}", "sdk: static", "tags:", "- evaluate", "- metric", "- sign-language", "- signx", "---", "",
        f"# {name}", "", description, "", "```text", inputs.strip(), "```", "", "## Use", "",
        "It needs the package signx_hf with its extra `metrics`, which does the arithmetic; nothing is counted in this script.", "",
        "```python", "import evaluate", "", f'metric = evaluate.load("{repo}")', "print(metric.inputs_description)", "```",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"
