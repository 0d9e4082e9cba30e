"""For tests of pages that name lines of contracts and tests: what there is."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]


def names_in(path: Path) -> set[str]:
    """`::function` and `::Class::function` for all tests of a file."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            found.add(f"::{node.name}")
        elif isinstance(node, ast.ClassDef):
            found |= {f"::{node.name}::{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
    return found


def contracts() -> list[Path]:
    found = sorted((ROOT / "contracts").rglob("*.sol"))
    assert len(found) > 20
    return found
