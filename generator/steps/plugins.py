"""Steps from elsewhere: files named on the command line, and packages that announce them by entry points."""

from __future__ import annotations

import ast
import importlib.util
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from tbgen.export.errors import UserError
from tbgen.export.reading import imports_in, json_from_text, package_loading, tree_from_file
from tbgen.export.tasks.task import Step

_ENTRY_POINTS = "tbgen.steps"
_SEPARATE = "--separate"
_HERE = {"numpy", "tokenizers", "triton_python_backend_utils"}  # what a server has, or a model folder brings along


def step_from_option(text: str) -> Step:
    """The step that --pre or --post names: `FILE:Class` or an entry point's name, then `key=value` settings.

    The word --separate among them makes the step a Triton model of its own. Values are JSON where they can be read as
    JSON, else text. Raises UserError.
    """
    place, *words = _words_of(text)
    settings = settings_from_words(word for word in words if word != _SEPARATE)
    file, _, name = place.rpartition(":") if ":" in place else (place, "", "")
    own = (Path(file), _checked_class(Path(file), name)) if file.endswith(".py") else _place_of(_announced(place))
    return Step(*own, settings, separate=_SEPARATE in words)


def _words_of(option: str) -> list[str]:
    """The words of --pre or --post, one at least. Raises UserError."""
    try:
        words, why = shlex.split(option), "it is empty"
    except ValueError as error:
        words, why = [], str(error)
    if not words:
        raise UserError(f"cannot read {option!r}: {why}; write FILE:Class key=value ...")
    return words


def _with_file(option: str, place: Callable[[Path], Path]) -> str:
    """The same option with its step's file elsewhere: `place` gives the new path. An installed step stays as it is."""
    first, *settings = _words_of(option)
    file, colon, name = first.rpartition(":") if ":" in first else (first, "", "")
    return shlex.join([f"{place(Path(file))}{colon}{name}", *settings]) if file.endswith(".py") else option


def with_step_files(values: Mapping[str, Any], place: Callable[[Path], Path]) -> dict[str, tuple[str, ...]]:
    """The options --pre and --post of a request's values, their steps' files elsewhere."""
    return {side: tuple(_with_file(each, place) for each in values[side]) for side in ("pre", "post") if side in values}


def step_files(values: Mapping[str, Any]) -> list[Path]:
    """The files of the steps that --pre and --post of a request's values name; their code runs where they are used."""
    found: list[Path] = []

    def noted(file: Path) -> Path:
        found.append(file)
        return file

    with_step_files(values, noted)
    return found


def settings_from_words(words: Iterable[str]) -> dict[str, Any]:
    """Settings from `key=value` words. Raises UserError."""
    settings = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key.isidentifier():
            raise UserError(f"cannot read {word!r}; settings are written key=value")
        settings[key] = value_from_text(value)
    return settings


def value_from_text(text: str) -> Any:
    """JSON where the text is JSON, else the text itself."""
    try:
        return json_from_text(text, "")
    except UserError:
        return text


def _checked_class(file: Path, name: str) -> str:
    """The named class of a file, or its only step where none is named. Raises UserError."""
    if not file.is_file():
        raise UserError(f"no step file {str(file)!r}; write one with: tbgen step new {file.stem} --pre")
    if "." in file.stem:
        raise UserError(f"{str(file)!r} has a dot in its name, and is no module that a model can import; rename it")
    classes = classes_of(file)
    if name in classes:
        return name
    steps = [row for row, is_step in classes.items() if is_step]
    if not name and len(steps) == 1:
        return steps[0]
    what = f"class {name!r} in {str(file)!r}" if name else f"single step in {str(file)!r}"
    raise UserError(f"no {what}. Classes: {', '.join(classes) or 'none'}")


def classes_of(file: Path) -> dict[str, bool]:
    """The classes of a Python file -> whether each can be called, as a step can. Raises UserError."""
    return {
        node.name: any(isinstance(item, ast.FunctionDef) and item.name == "__call__" for item in node.body)
        for node in tree_from_file(file).body
        if isinstance(node, ast.ClassDef)
    }


def extra_imports(file: Path) -> list[str]:
    """The packages that a step file imports beyond what a server has; they must be there, or come along."""
    names = imports_in(file)
    if "." in names:
        raise UserError(f"{str(file)!r} imports a file beside it; a step is one file, put the code into it")
    return sorted({name.partition(".")[0] for name in names} - _HERE - sys.stdlib_module_names)


def _announced(name: str) -> EntryPoint:
    """The entry point of an installed step. Raises UserError."""
    found = {point.name: point for point in entry_points(group=_ENTRY_POINTS)}
    if name not in found:
        known = ", ".join(sorted(found)) or "none"
        raise UserError(f"no step {name!r}; write FILE.py:Class, or the name of an installed step ({known})")
    return found[name]


def _place_of(point: EntryPoint) -> tuple[Path, str]:
    """File and class of a step's entry point, its module not imported. Raises UserError."""
    with package_loading(f"step {point.name!r}"):  # around it
        try:
            spec = importlib.util.find_spec(point.module)
        except ModuleNotFoundError as error:
            raise UserError(f"step {point.name!r} is announced, but {error.name} is not installed") from error
    if spec is None or spec.origin is None or not spec.has_location:
        raise UserError(f"step {point.name!r} is announced, but {point.module} is not installed")
    return Path(spec.origin), _checked_class(Path(spec.origin), point.attr)


@dataclass(frozen=True)
class PackageStep:
    """A step that an installed package announces: its name, its package, file and class."""

    name: str
    package: str
    file: Path
    step: str


def package_steps(on_skip: Callable[[UserError], object]) -> list[PackageStep]:
    """The steps of installed packages, by name; `on_skip` is told of one that is announced and not there."""
    found = []
    for point in sorted(entry_points(group=_ENTRY_POINTS), key=lambda point: point.name):
        try:
            found.append(PackageStep(point.name, point.dist.name if point.dist else "", *_place_of(point)))
        except UserError as error:
            on_skip(error)
    return found
