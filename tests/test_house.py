"""The house of CONTRIBUTING.md: imports point one way, and no circle of files stands anywhere."""

from __future__ import annotations

import ast
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "backends": {"backends"},  # neighbours alone: tests/backends/test_model.py
    "export": {"export", "backends"},
    "generator": {"generator", "export", "backends"},
    "server": {"server", "generator", "export", "backends"},
    "cli": {"cli", "server", "generator", "export", "backends"},
    "api": {"server", "generator", "export", "backends"},
}
FILES = sorted(file for folder in MAY_IMPORT for file in (ROOT / folder).rglob("*.py"))


@cache
def imported(file: Path) -> frozenset[str]:
    """The modules of tbgen that a file imports anywhere in it, as dotted names."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            module = f"{module_of(file.parent)}.{node.module}" if node.level else node.module
            names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return frozenset(name for name in names if name.startswith("tbgen."))


def module_of(file: Path) -> str:
    return "tbgen." + ".".join(file.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_point_downwards(file: Path) -> None:
    folder = file.relative_to(ROOT).parts[0]
    assert {name.split(".")[1] for name in imported(file)} <= MAY_IMPORT[folder]


def test_no_file_imports_in_a_circle() -> None:
    modules = {module_of(file): file for file in FILES}
    order = TopologicalSorter({name: imported(file) & modules.keys() for name, file in modules.items()})
    assert len(list(order.static_order())) == len(modules)


def test_the_command_line_alone_prints() -> None:
    printing = [
        file.relative_to(ROOT)
        for file in FILES
        if "print(" in file.read_text(encoding="utf-8") and file.relative_to(ROOT).parts[0] not in ("cli", "backends")
    ]
    assert printing == []
