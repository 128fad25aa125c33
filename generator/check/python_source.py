"""A Python model's files as text: their syntax trees, the steps that steps.json lists, what they import."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from tbgen.export.reading import bytes_from_file
from tbgen.export.values import A_TEXT, Rule, list_of, object_of, whole
from tbgen.generator.steps.load import STEPS_FILE


@dataclass
class PythonSource:
    """The Python files of one version: parsed, or why not. `steps` is None when there is no list of steps."""

    folder: Path
    entry: Path
    trees: dict[Path, ast.Module] = field(default_factory=dict)
    errors: dict[Path, Exception] = field(default_factory=dict)
    steps: list[dict[str, Any]] | None = None
    steps_error: str = ""


_DIMS = list_of(whole(-1))
_TENSOR = Rule(
    "type and dims",
    lambda value: isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and _DIMS.fits(value[1]),
)
# Settings that rules look at; a value of another type is of a person's own step, or fails in the constructor.
_SETTINGS = {
    **dict.fromkeys(("model", "callee"), A_TEXT),
    **dict.fromkeys(("max_length", "max_batch_size"), whole(0)),
    "buckets": list_of(whole(0)),
    "labels": list_of(A_TEXT),
    **dict.fromkeys(("inputs", "outputs"), object_of(_TENSOR)),
}


def settings_to_check(step: dict[str, Any]) -> dict[str, Any]:
    """The settings of a step that rules may look at."""
    return {key: value for key, value in step["settings"].items() if key not in _SETTINGS or _SETTINGS[key].fits(value)}


@dataclass(frozen=True)
class Imported:
    """One import: from which file and line, the module's dotted name, how many dots before it, whether it may fail.

    name_only: `from . import name`, where the name may be a module.
    """

    file: Path
    line: int
    module: str
    level: int
    may_fail: bool
    name_only: bool = False


def sources_in(folders: Iterable[Path], filename: str) -> tuple[PythonSource, ...]:
    """The files of each version folder that has its entry file."""
    return tuple(
        _read_source(PythonSource(folder, folder / filename)) for folder in folders if (folder / filename).is_file()
    )


def _read_source(source: PythonSource) -> PythonSource:
    """Parse the entry file, the steps' files, and the files beside them that those import."""
    file = source.folder / STEPS_FILE
    if file.is_file():
        _read_steps(source, file)
    waiting = [source.entry, *(source.folder / str(step["file"]) for step in source.steps or ())]
    while waiting:
        file = waiting.pop()
        if file in source.trees or file in source.errors or not file.is_file():
            continue
        try:
            source.trees[file] = _tree_of(bytes_from_file(file))
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            source.errors[file] = error
        else:
            waiting += [
                beside for found in imports_of(file, source.trees[file]) if (beside := beside_of(source, found))
            ]
    return source


@lru_cache(maxsize=64)
def _tree_of(content: bytes) -> ast.Module:
    """The syntax tree of a file, which lies in several models. Raises what `ast.parse` does."""
    return ast.parse(content)


def _read_steps(source: PythonSource, file: Path) -> None:
    """The list of steps.json, if it is of the form that model.py reads."""
    try:
        listed = json.loads(bytes_from_file(file).decode("utf-8"))["steps"]
        for step in listed:
            (source.folder / step["file"]).stem, step["class"].strip(), step["settings"].items()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        source.steps_error = f"{type(error).__name__}: {error}"
    else:
        source.steps = listed


@lru_cache(maxsize=64)
def imports_of(file: Path, tree: ast.Module) -> tuple[Imported, ...]:
    """All imports of a file; those in a try, or for type checkers only, may fail."""
    return tuple(_imports_of(file, tree))


def _imports_of(file: Path, tree: ast.Module) -> Iterator[Imported]:
    guarded = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.Try) or (isinstance(node, ast.If) and _asks_for_type_checking(node.test))
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        may_fail = id(node) in guarded
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Imported(file, node.lineno, alias.name, 0, may_fail)
        elif isinstance(node, ast.ImportFrom):
            if node.module:
                yield Imported(file, node.lineno, node.module, node.level, may_fail)
            else:
                for alias in node.names:
                    yield Imported(file, node.lineno, alias.name, node.level, may_fail, name_only=True)


def _asks_for_type_checking(test: ast.expr) -> bool:
    """Whether a condition names TYPE_CHECKING, however it is nested: `ast.unparse` would call itself too often."""
    names = (getattr(node, "id", getattr(node, "attr", "")) for node in ast.walk(test))
    return "TYPE_CHECKING" in names


def beside_of(source: PythonSource, imported: Imported) -> Path | None:
    """The file of the model that an import means: in the version folder, or in the model's; None: not of the model."""
    parts = imported.module.split(".")
    for folder in (source.folder, source.folder.parent):
        for file in (folder.joinpath(*parts).with_suffix(".py"), folder.joinpath(*parts, "__init__.py")):
            if file.is_file():
                return file
    return None


def class_named(tree: ast.Module, name: str) -> ast.ClassDef | None:
    """A class at a module's top level."""
    return next((node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name), None)


def method_named(cls: ast.ClassDef, name: str) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """A method that a class defines itself."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return next((node for node in cls.body if isinstance(node, kinds) and node.name == name), None)


def defines(tree: ast.Module, name: str) -> bool:
    """Whether a module may have a name at its top level: a star import gives any."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return True
        if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store):
            return True
        if isinstance(node, ast.alias) and (node.asname or node.name) in (name, "*"):
            return True
    return False
