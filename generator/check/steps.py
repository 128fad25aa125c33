"""Rules on steps.json: the files, classes, settings and assets that model.py constructs its steps from."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator
from typing import Any

from tbgen.export.errors import UserError
from tbgen.export.layout import TOKENIZER_JSON
from tbgen.export.reading import bytes_from_file, is_there
from tbgen.export.tokenizers.tokenizer import tokenizer_from_file
from tbgen.export.tokenizers.words import reads_words_alone
from tbgen.generator.check.finding import Finding, Place
from tbgen.generator.check.model import Model
from tbgen.generator.check.python_source import (
    PythonSource,
    class_named,
    defines,
    method_named,
    settings_to_check,
)
from tbgen.generator.steps.load import STEPS_FILE, check_tokenizer_of


def _listed(model: Model) -> Iterator[Finding]:
    """A model.py that reads steps.json finds it, and a list of steps in it."""
    for source in model.sources:
        file, tree = source.folder / STEPS_FILE, source.trees.get(source.entry)
        if source.steps_error:
            mend = 'write {"steps": [{"file": "...", "class": "...", "settings": {}}]}, without comments'
            yield model.refused(model.file(file), source.steps_error, mend)
        elif tree and not file.is_file() and any(map(_names_the_list, source.trees.values())):
            says = f"FileNotFoundError: [Errno 2] No such file or directory: '{file}'"
            yield model.refused(model.file(source.entry), says, f"put {STEPS_FILE} beside {source.entry.name}")


def _names_the_list(tree: ast.Module) -> bool:
    """Whether a file's code speaks of steps.json."""
    return any(isinstance(node, ast.Constant) and node.value == STEPS_FILE for node in ast.walk(tree))


def steps_of(model: Model) -> Iterator[tuple[PythonSource, dict[str, Any], dict[str, Any]]]:
    """The steps of each version, and their settings."""
    for source in model.sources:
        for step in source.steps or ():
            yield source, step, settings_to_check(step)


def _steps(model: Model) -> Iterator[Finding]:
    """Each step's file is there, with its class, which takes its settings."""
    for source, step, _ in steps_of(model):
        yield from _step_findings(model, source, step)


def _step_findings(model: Model, source: PythonSource, step: dict[str, Any]) -> Iterator[Finding]:
    """What is wrong with one step."""
    file, here = source.folder / str(step["file"]), place_of(model, source, f'"{step["file"]}"')
    if not file.is_file():
        says = f"FileNotFoundError: [Errno 2] No such file or directory: '{file}'"
        yield model.refused(here, says, f"put {step['file']} beside {STEPS_FILE}")
        return
    tree = source.trees.get(file)
    if tree is None:
        return
    cls = class_named(tree, str(step["class"]))
    if cls is None:
        if not defines(tree, str(step["class"])):
            says = f"AttributeError: module 'tbgen_step_{file.stem}' has no attribute '{step['class']}'"
            classes = ", ".join(node.name for node in tree.body if isinstance(node, ast.ClassDef))
            yield model.refused(here, says, f"{file.name} has: {classes}")
        return
    constructors = _constructors(source, cls, set())
    yield from _settings_findings(model, source, step, constructors)
    for _, constructor in constructors:
        yield from _asset_findings(model, source, constructor)


def _constructors(source: PythonSource, cls: ast.ClassDef, met: set[ast.ClassDef]) -> list[tuple[str, ast.FunctionDef]]:
    """The constructor of a class, and those of its bases as far as each hands on what it does not know.

    `met`: the classes that were looked at, each once: one may be derived from itself in the end, or by many ways.
    """
    if cls in met:
        return []
    met.add(cls)
    constructor = method_named(cls, "__init__")
    if not isinstance(constructor, ast.FunctionDef):
        return _bases(source, cls, met)
    return [(cls.name, constructor), *(_bases(source, cls, met) if _hands_on(constructor) else [])]


def _hands_on(constructor: ast.FunctionDef) -> bool:
    """Whether a constructor does nothing with the keywords that it does not know but give them to another, alone."""
    rest = constructor.args.kwarg
    names = [node for node in ast.walk(constructor) if isinstance(node, ast.Name) and rest and node.id == rest.arg]
    calls = [node for node in ast.walk(constructor) if isinstance(node, ast.Call)]
    given = [
        {word.arg for word in call.keywords} for call in calls if any(word.value in names for word in call.keywords)
    ]
    return len(names) == 1 and given == [{None}]


def _bases(source: PythonSource, cls: ast.ClassDef, met: set[ast.ClassDef]) -> list[tuple[str, ast.FunctionDef]]:
    """The constructors of the bases that the model's files define."""
    names = [base.id for base in cls.bases if isinstance(base, ast.Name)]
    found = (base for name in names for base in (*_classes_as(source, name), *_classes_named(source, name)))
    return [row for base in found for row in _constructors(source, base, met)]


def _classes_named(source: PythonSource, name: str) -> list[ast.ClassDef]:
    """The classes of that name in the model's files."""
    return [cls for tree in source.trees.values() if (cls := class_named(tree, name))]


def _classes_as(source: PythonSource, name: str) -> list[ast.ClassDef]:
    """The classes that the model's files import from a neighbour as that name."""
    files = {file.stem: tree for file, tree in source.trees.items()}
    imports = (node for tree in files.values() for node in tree.body if isinstance(node, ast.ImportFrom))
    rows = ((files.get(node.module or ""), alias) for node in imports for alias in node.names if alias.asname == name)
    return [cls for tree, alias in rows if tree and (cls := class_named(tree, alias.name))]


def _settings_findings(
    model: Model, source: PythonSource, step: dict[str, Any], constructors: list[tuple[str, ast.FunctionDef]]
) -> Iterator[Finding]:
    """The settings are the constructors' keywords: none unknown, none that one of them must have left out."""
    rows = [(owner, each.args) for owner, each in constructors]
    known = [word.arg for _, row in rows for word in (*row.args[2:], *row.kwonlyargs)]
    takes_any = not rows or rows[-1][1].kwarg is not None
    for name in [] if takes_any else sorted(step["settings"].keys() - known):
        near = difflib.get_close_matches(name, known, 1, 0.5) or [", ".join(known)]
        place = place_of(model, source, f'"{name}"')
        says = f"TypeError: {rows[-1][0]}.__init__() got an unexpected keyword argument '{name}'"
        yield model.refused(place, says, f"{step['class']} takes {near[0]}")
    required = [(owner, word.arg) for owner, row in rows for word in _without_default(row)]
    for owner, name in ((owner, name) for owner, name in required if name not in step["settings"]):
        place = place_of(model, source, f'"{step["class"]}"')
        says = f"TypeError: {owner}.__init__() missing 1 required keyword-only argument: '{name}'"
        yield model.refused(place, says, f"add {name} to the settings of {step['class']}")


def _without_default(arguments: ast.arguments) -> list[ast.arg]:
    """The keywords that must be given."""
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return [argument for argument, default in pairs if default is None]


def _asset_findings(model: Model, source: PythonSource, constructor: ast.FunctionDef) -> Iterator[Finding]:
    """The files that a constructor names by `folder / "name"`, outside of conditions, lie beside it."""
    for name, line in _assets_of(constructor):
        if not (source.folder / name).exists():
            file = next(file for file, tree in source.trees.items() if constructor in ast.walk(tree))
            says = f"FileNotFoundError: [Errno 2] No such file or directory: '{source.folder / name}'"
            yield model.refused(model.file(file, line), says, f"put {name} beside {file.name}")


def _assets_of(constructor: ast.FunctionDef) -> Iterator[tuple[str, int]]:
    """Names and lines of the files that a constructor always reads from its folder."""
    folder = constructor.args.args[1].arg if len(constructor.args.args) > 1 else ""
    unconditional = [part for part in constructor.body if isinstance(part, ast.Assign | ast.AnnAssign | ast.Expr)]
    for node in (node for part in unconditional for node in ast.walk(part)):
        if isinstance(node, ast.IfExp | ast.Lambda):
            return
        if (
            isinstance(node, ast.BinOp)
            and isinstance(node.op, ast.Div)
            and isinstance(node.left, ast.Name)
            and node.left.id == folder
            and isinstance(node.right, ast.Constant)
        ):
            yield str(node.right.value), node.lineno


def _tokenizers(model: Model) -> Iterator[Finding]:
    """The tokenizer.json that steps read is one that the library can read, and does not die of; and as they read it."""
    for source in model.sources:
        file, cut = source.folder / TOKENIZER_JSON, [step["settings"].get("words_alone") for step in source.steps or ()]
        try:
            if True not in cut or not is_there(file):
                check_tokenizer_of(source.folder)
            elif not reads_words_alone(tokenizer_from_file(file)):
                says = "long texts may be answered wrongly: this tokenizer.json does not read each word alone"
                yield model.fails(place_of(model, source, '"words_alone"'), says, "set words_alone to false")
        except UserError as error:
            yield model.refused(model.file(file), error.message, "write the model anew")


def place_of(model: Model, source: PythonSource, written: str) -> Place:
    """The first line of steps.json that holds a text."""
    file = source.folder / STEPS_FILE
    lines = bytes_from_file(file).decode("utf-8", errors="replace").splitlines()
    return model.file(file, next((number for number, line in enumerate(lines, 1) if written in line), None))


RULES = (_listed, _steps, _tokenizers)
