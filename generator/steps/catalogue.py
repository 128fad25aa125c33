"""The steps there are: built-in ones, those of installed packages, and those in a folder."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import tbgen.backends
from tbgen.export.errors import UserError
from tbgen.export.reading import tree_from_file
from tbgen.generator.steps.plugins import package_steps

STEP_FOLDER = Path(next(iter(tbgen.backends.__path__)))


@dataclass(frozen=True)
class CatalogueStep:
    """A step: how to name it, where it comes from, and what its docstring's first line says."""

    place: str
    origin: str
    about: str


def steps_here(folder: Path, on_skip: Callable[[UserError], object] = lambda _: None) -> list[CatalogueStep]:
    """All steps, the folder's own last; `on_skip` is told of what cannot be read."""
    own = [row for file in sorted(STEP_FOLDER.glob("*.py")) for row in _steps_of(file, "tbgen")]
    rows = list({row.place: row for row in own}.values())  # a plain file has a class of its fuller one's name
    for step in package_steps(on_skip):
        rows += [
            CatalogueStep(step.name, step.package, row.about)
            for row in _steps_of(step.file, "")
            if row.place == step.step
        ]
    for file in sorted(file for file in folder.glob("*.py") if file.is_file()):
        try:
            found = _steps_of(file, "")
        except UserError as error:
            on_skip(error)
        except OSError as error:
            on_skip(UserError(f"{file.name!r} cannot be read: {error.strerror}"))
        else:
            rows += [CatalogueStep(f"{file.name}:{row.place}", "this folder", row.about) for row in found]
    return rows


def _steps_of(file: Path, origin: str) -> list[CatalogueStep]:
    """The classes of a file that are steps; it is read, not run."""
    there: dict[str, ast.ClassDef] = {}
    for each in reversed(with_neighbours(file)):
        imports = [node for node in tree_from_file(each).body if isinstance(node, ast.ImportFrom)]
        aliases = {alias.asname: alias.name for node in imports for alias in node.names if alias.asname}
        there |= {name: there[imported] for name, imported in aliases.items() if imported in there}
        there |= {node.name: node for node in _classes_in(each)}
    return [
        CatalogueStep(node.name, origin, (ast.get_docstring(node) or "").split("\n")[0])
        for node in _classes_in(file)
        if _is_step(_lineage(node, there))
    ]


def with_neighbours(file: Path) -> list[Path]:
    """A file of backends/, those beside it that it imports (`from .name import`), and those that these import.

    A user's step is one file.
    """
    files = [file]
    for each in files if file.parent == STEP_FOLDER else ():  # grows as it goes
        files += [path for path in _neighbours(each) if path not in files]
    return files


@cache  # each model that is written asks, and tbgen's own files stay as they are
def _neighbours(file: Path) -> tuple[Path, ...]:
    """Those files beside one of backends/ that it imports itself."""
    nodes = [node for node in tree_from_file(file).body if isinstance(node, ast.ImportFrom) and node.level]
    return tuple(dict.fromkeys(file.with_name(f"{node.module}.py") for node in nodes))


def _classes_in(file: Path) -> list[ast.ClassDef]:
    """The classes at a file's top level."""
    return [node for node in tree_from_file(file).body if isinstance(node, ast.ClassDef)]


def _lineage(node: ast.ClassDef, there: Mapping[str, ast.ClassDef]) -> list[ast.ClassDef]:
    """A class and those it is derived from, as far as the files define them, each once."""
    found = [node]
    for each in found:  # grows as it goes
        bases = (there[base.id] for base in each.bases if isinstance(base, ast.Name) and base.id in there)
        found += [base for base in bases if base not in found]
    return found


def _is_step(classes: Sequence[ast.ClassDef]) -> bool:
    """Whether a class has `inputs`, of its own or set in its constructor, and `__call__`, and leaves no method open."""
    methods = {item.name: item for each in reversed(classes) for item in each.body if isinstance(item, ast.FunctionDef)}
    nodes = [node for each in classes for node in ast.walk(each)]
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    raised = (method.body[-1].exc for method in methods.values() if isinstance(method.body[-1], ast.Raise))
    left_open = any(isinstance(each, ast.Name) and each.id == "NotImplementedError" for each in raised)
    return "__call__" in methods and "inputs" in names | attributes and not left_open
