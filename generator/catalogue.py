"""The steps there are: built-in ones, those of installed packages, and those in a folder."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

import tbgen.backends
from tbgen.generator.plugins import announced_steps, parsed

BACKENDS = Path(next(iter(tbgen.backends.__path__)))


@dataclass(frozen=True)
class Listed:
    """A step: how to name it, where it comes from, and what its docstring's first line says."""

    place: str
    origin: str
    about: str


def steps_here(folder: Path) -> list[Listed]:
    """All steps, the folder's own last."""
    rows = [row for file in sorted(BACKENDS.glob("*.py")) for row in steps_of(file, "tbgen")]
    for step in announced_steps():
        rows += [
            Listed(step.name, step.package, row.about) for row in steps_of(step.file, "") if row.place == step.step
        ]
    for file in sorted(folder.glob("*.py")):
        rows += [Listed(f"{file.name}:{row.place}", "this folder", row.about) for row in steps_of(file, "")]
    return rows


def steps_of(file: Path, origin: str) -> list[Listed]:
    """The classes of a file that name inputs and can be called, as steps do; the file is read, not run."""
    return [
        Listed(node.name, origin, (ast.get_docstring(node) or "").split("\n")[0])
        for node in parsed(file).body
        if isinstance(node, ast.ClassDef) and is_step(node)
    ]


def is_step(node: ast.ClassDef) -> bool:
    """Whether a class has `inputs`, of its own or set in its constructor, and `__call__`."""
    methods = {item.name for item in node.body if isinstance(item, ast.FunctionDef)}
    names = {item.id for item in ast.walk(node) if isinstance(item, ast.Name)}
    attributes = {item.attr for item in ast.walk(node) if isinstance(item, ast.Attribute)}
    return "__call__" in methods and "inputs" in names | attributes
