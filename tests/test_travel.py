"""What `modeling/` and `processing/` must obey so that `trust_remote_code` works; each rule has a measured failure behind it."""

import ast
import re
import sys

import pytest
from conftest import ROOT

FOLDERS = ("modeling", "processing")
FILES = [path for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.py")) if path.name != "__init__.py"]
ALLOWED = {"modeling": {"torch", "numpy", "transformers"}}
ALLOWED["processing"] = {"torch", "numpy", "transformers", "tokenizers", "safetensors", "av"}


def imports(tree: ast.AST) -> list[tuple[ast.AST, bool]]:
    """Import statements of a file and whether each stands in a `try`."""
    guarded = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.Try)
        for part in block.body
        for node in ast.walk(part)
    }
    return [(n, id(n) in guarded) for n in ast.walk(tree) if isinstance(n, (ast.Import, ast.ImportFrom))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_travelling_file_keeps_the_rules(path):
    text = path.read_text()
    tree = ast.parse(text)
    siblings = {sibling.stem for sibling in path.parent.glob("*.py")}
    for node, guarded in imports(tree):
        where = f"line {node.lineno}"
        if isinstance(node, ast.ImportFrom) and node.level:
            assert node.level == 1, f"{where}: imports across the folders"
            assert node.module and "." not in node.module, f"{where}: write `from .file import Name`"
            assert node.module in siblings, f"{where}: {node.module} is not in this folder"
            continue
        names = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
        for name in names:
            top = name.split(".")[0]
            assert top != "signx_hf", f"{where}: the package stays at home"
            known = top in sys.stdlib_module_names or top in ALLOWED[path.parent.name]
            assert known or guarded, f"{where}: {top} is optional and must be imported in try/except ImportError"
    prose = [
        ast.get_docstring(n) or ""
        for n in ast.walk(tree)
        if isinstance(n, (ast.Module, ast.ClassDef, ast.FunctionDef))
    ]
    assert not re.search(r"^\s*(from|import)\s+\.", "\n".join(prose), re.M), (
        "a docstring line reads like a relative import"
    )
    assert "isinstance(config, SignX" not in text, (
        "each entry file of remote code gets its own copy of the config class"
    )


def test_folders_are_flat_and_names_unique():
    names = [path.name for path in FILES]
    assert len(names) == len(set(names)), "the second file of a name would overwrite the first on the Hub"
    for folder in FOLDERS:
        others = [p.name for p in (ROOT / folder).iterdir() if p.suffix != ".py" and p.name != "__pycache__"]
        assert not others, f"{folder}/ holds {others}: only Python files are copied"


def test_no_unsafe_calls_anywhere():
    pattern = re.compile(
        r"(?<!\.)\beval\(|\bpickle\.|shell=True|os\.system|allow_pickle=True|torch\.load\((?![^)]*weights_only=True)"
    )
    for folder in (*FOLDERS, "signx_hf", "examples", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                assert not pattern.search(line) or "noqa" in line, f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
