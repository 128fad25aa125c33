"""The house of CONTRIBUTING.md: imports point one way, and no circle of files stands anywhere."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
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


PRODUCT = (*MAY_IMPORT, "benchmarks")
HELD = sorted(file for folder in (*PRODUCT, "tests") for file in (ROOT / folder).rglob("*.py"))
Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def functions(file: Path) -> list[Function]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def lines(function: Function) -> int:
    """From the signature to the end, docstring included."""
    return (function.end_lineno or 0) - function.lineno + 1


def parameters(function: Function) -> list[str]:
    """The names that a caller can give; `self` is none of his."""
    taken = function.args
    return [
        each.arg for each in (*taken.posonlyargs, *taken.args, *taken.kwonlyargs) if each.arg not in ("self", "cls")
    ]


def is_named_outside(file: Path, function: Function) -> bool:
    """Whether others than callers in Python say the names: a terminal, steps.json, Triton's own class."""
    command = any(
        ast.unparse(each).partition("(")[0].endswith((".command", ".group")) for each in function.decorator_list
    )
    step = file.parent.name == "backends" and function.name == "__init__" and "folder" in parameters(function)
    return command or step or "requested_output_names" in parameters(function)


def test_commands_write_files_whole_and_make_their_folders() -> None:
    plain = re.compile(r"\.write_(?:text|bytes)\(")
    assert [file.name for file in (ROOT / "cli").glob("*.py") if plain.search(file.read_text(encoding="utf-8"))] == []


def test_a_file_fits_one_story() -> None:
    long = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in HELD}
    assert {str(file.relative_to(ROOT)): count for file, count in long.items() if count > 350} == {}


def test_a_function_fits_in_one_look() -> None:
    long = {f"{file.relative_to(ROOT)}:{each.name}": lines(each) for file in HELD for each in functions(file)}
    assert {name: count for name, count in long.items() if count > 50} == {}


def test_a_function_takes_few_parameters() -> None:
    named = [(file, each) for file in HELD for each in functions(file) if not is_named_outside(file, each)]
    many = {f"{file.relative_to(ROOT)}:{each.name}": len(parameters(each)) for file, each in named}
    assert {name: count for name, count in many.items() if count > 9} == {}


# Not of what a server loads file by file, which stands for itself: a step, a stand-in for a backend of Triton's.
STANDS_FOR_ITSELF = ("backends", "api", "generator/standins")
# What a table collects from many files under one name, and what each backend's rulebook answers.
COLLECTED = {"TASK", "RULES", "REPOSITORY_RULES", "NOT_SERVED", "complete_config", "problems"}


def public_names(file: Path) -> set[str]:
    """The names that a module defines for others; a command's is what a person types."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    commands = {each.name for each in functions(file) if is_named_outside(file, each)}
    defined = {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in (target for target in targets if target is not None):
            defined |= {each.id for each in ast.walk(target) if isinstance(each, ast.Name)}
    return {name for name in defined - commands - COLLECTED if not name.startswith("_")}


def test_no_public_name_is_defined_twice() -> None:
    modules = defaultdict[str, list[str]](list)
    for file in FILES:
        place = str(file.relative_to(ROOT))
        for name in () if place.startswith(STANDS_FOR_ITSELF) else public_names(file):
            modules[name].append(place)
    assert {name: places for name, places in modules.items() if len(places) > 1} == {}


def test_the_command_line_alone_prints() -> None:
    printing = [
        file.relative_to(ROOT)
        for file in FILES
        if "print(" in file.read_text(encoding="utf-8") and file.relative_to(ROOT).parts[0] not in ("cli", "backends")
    ]
    assert printing == []
