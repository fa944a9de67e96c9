"""Metrics of this package as modules on the Hub: Spaces that `evaluate.load("OWNER/NAME")` reads."""

import html
import re
from pathlib import Path

from ..processing.errors_signx import SignXError

MODULES = Path(__file__).resolve().parents[1] / "metrics" / "modules"
PAGE = '<!doctype html><meta charset="utf-8"><title>{name}</title><h1>{name}</h1><p>{description}</p><p>See the files of this Space.</p>\n'
SENTENCES = 'predictions=["A B C", "D"], references=["A C", "D"]'
SEGMENTS = '[[{"gloss": "A", "start": 0.1, "end": 0.5}]]'
EXAMPLES = {
    "gloss_bleu": SENTENCES, "gloss_wer": SENTENCES,
    "segment_times": f"predictions={SEGMENTS}, references={SEGMENTS}",
    "sign_translation": 'predictions=["it will rain", "hello"], references=["it will snow", "hello"]',
    "sign_top_n": 'predictions=[["A", "B"], ["B", "A"]], references=["A", "A"], n=(1, 2)',
}  # fmt: skip


def module_names() -> list[str]:
    """Return the names of the modules that can be published."""
    return sorted(path.name for path in MODULES.iterdir() if (path / f"{path.name}.py").is_file())


def module_files(name: str, repo: str) -> dict[str, bytes]:
    """Return a module's script, under the name that `evaluate` looks for in that repository, its page and its card.

    Args:
        name: of the metric.
        repo: name of the repository.

    Raises:
        SignXError: If there is no such metric, or `evaluate` could not load it from that repository.
    """
    import evaluate

    if "." in repo.split("/")[-1]:  # `evaluate` imports the script under that name
        raise SignXError(
            f"the repository of a metric must have a name without a dot, or `evaluate` cannot load it, got {repo}."
        )
    if name not in module_names():
        raise SignXError(f"the metric must be one of {', '.join(module_names())}, got {name!r}.")
    script = MODULES / name / f"{name}.py"
    module = evaluate.load(str(script))
    return {
        f"{repo.split('/')[-1]}.py": script.read_bytes(),
        "index.html": PAGE.format(
            name=name, description=html.escape(module.description)
        ).encode(),  # what a Space shows
        "README.md": _card(name, repo, module.description, module.inputs_description).encode(),
    }


def check_same_metric(card: bytes, name: str, repo: str) -> list[str]:
    """Reject a repository of another metric, whose users would get other numbers; return no notes.

    Raises:
        SignXError: If the published card is not that of `name`.
    """
    match = re.search(rb"^title: (\S+)$", card, re.M)
    if match is None or match.group(1).decode() != name:
        published = match.group(1).decode() if match else "something else"
        raise SignXError(f"{repo} must hold {name}, got {published}. Choose another name, or use --force.")
    return []


def _card(name: str, repo: str, description: str, inputs: str) -> str:
    lines = [
        "---", f"title: {name}", "sdk: static", "license: apache-2.0", "tags:", "- evaluate", "- metric", "- sign-language", "- signx", "---", "",
        f"# {name}", "", description, "", "```text", inputs.strip(), "```", "", "## Use", "",
        "It needs the package signx_hf with its extra `metrics`, which does the computation.", "",
        "```python", "import evaluate", "", f'metric = evaluate.load("{repo}")',
        f"print(metric.compute({EXAMPLES[name]}))", "```", "", "## License", "", "Apache-2.0.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"
