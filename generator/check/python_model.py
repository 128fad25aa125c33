"""Rules on Python models: syntax, the entry class, packages that a stock container lacks."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from tbgen.export.reading import bytes_from_file
from tbgen.generator.check.finding import Finding
from tbgen.generator.check.model import Model, Repository
from tbgen.generator.check.python_source import (
    Imported,
    PythonSource,
    beside_of,
    class_named,
    defines,
    imports_of,
    method_named,
)
from tbgen.generator.check.settings import has_environment
from tbgen.generator.steps.environment import EXECUTION_ENV

NOT_IN_STOCK = "in a stock container: ModuleNotFoundError"
_ENTRY = "TritonPythonModel"
# What NVIDIA's container has for Python models beside the standard library, from build.py of the server.
_STOCK = {"numpy", "triton_python_backend_utils", "c_python_backend_utils", "pip", "setuptools", "wheel", "virtualenv"}


def _entry_name(model: Model) -> Iterator[Finding]:
    """The entry file is one that Python can import."""
    name, where = model.config.default_model_filename, "default_model_filename"
    if model.config.backend != "python":
        return
    if not name.endswith("py"):
        says = f"Model name must end with '.py'. Model name is \"{name}\"."
        yield model.refused(where, says, "write the name of a .py file")
    elif "." in Path(name).stem and model.versions:
        says = f"ModuleNotFoundError: No module named '{model.versions[-1]}.{name.partition('.')[0]}'"
        yield model.refused(where, says, "name the file without a dot before .py")


def _syntax(model: Model) -> Iterator[Finding]:
    """Every file that is imported must parse."""
    for source in model.sources:
        for file, error in source.errors.items():
            line = error.lineno if isinstance(error, SyntaxError) else None
            what = error.msg if isinstance(error, SyntaxError) else str(error)
            says = f"{type(error).__name__}: {what}{f' ({file.name}, line {line})' if line else ''}"
            yield model.refused(model.file(file, line), says, "mend the syntax")


def _entry_class(model: Model) -> Iterator[Finding]:
    """The entry file has the class that Triton constructs, and its methods take what Triton gives."""
    for source in model.sources:
        tree = source.trees.get(source.entry)
        if tree is None:
            continue
        cls = class_named(tree, _ENTRY)
        if cls:
            yield from _methods(model, source, cls)
        elif not defines(tree, _ENTRY):
            says = f"AttributeError: module '{source.folder.name}.{source.entry.stem}' has no attribute '{_ENTRY}'"
            yield model.refused(model.file(source.entry), says, f"write class {_ENTRY} with the method execute")


def _methods(model: Model, source: PythonSource, cls: ast.ClassDef) -> Iterator[Finding]:
    """`initialize` takes args, `execute` exists, `auto_complete_config` gives the config back."""
    initialize = method_named(cls, "initialize")
    if initialize and not _takes(initialize, 2):
        says = f"TypeError: {_ENTRY}.initialize() takes {_counted(len(initialize.args.args))} but 2 were given"
        yield model.refused(model.file(source.entry, initialize.lineno), says, "write def initialize(self, args)")
    if not method_named(cls, "execute") and not cls.bases:
        says = f"Python model '{model.name}' does not implement `execute` method."
        yield model.fails(model.file(source.entry, cls.lineno), says, "write def execute(self, requests)")
    complete = method_named(cls, "auto_complete_config")
    if complete and not _takes(complete, 2 if _is_classmethod(complete) else 1):
        says = f"TypeError: {_ENTRY}.auto_complete_config() is called with the config alone"
        mend = "write @staticmethod def auto_complete_config(auto_complete_model_config)"
        yield model.refused(model.file(source.entry, complete.lineno), says, mend)
    elif complete and not any(isinstance(node, ast.Return) and node.value for node in ast.walk(complete)):
        says = f"auto_complete_config function in model '{model.name}' must return a valid pb.ModelConfig object."
        yield model.refused(model.file(source.entry, complete.lineno), says, "return auto_complete_model_config")


def _counted(arguments: int) -> str:
    """So many positional arguments, as Python says it."""
    return f"{arguments} positional argument{'' if arguments == 1 else 's'}"


def _takes(function: ast.FunctionDef | ast.AsyncFunctionDef, count: int) -> bool:
    """Whether a function can be called with so many positional arguments."""
    most = len(function.args.posonlyargs) + len(function.args.args)
    least = most - len(function.args.defaults)
    return least <= count and (count <= most or function.args.vararg is not None)


def _is_classmethod(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a function gets its class first."""
    return any(isinstance(mark, ast.Name) and mark.id == "classmethod" for mark in function.decorator_list)


def _imports(model: Model) -> Iterator[Finding]:
    """Each import is of the standard library, of a stock container, or comes along with the model."""
    for source in model.sources:
        told: set[str] = set()
        for file, tree in source.trees.items():
            for found in imports_of(file, tree):
                package = found.module.partition(".")[0]
                if package not in told and (finding := _import_finding(model, source, found, package)):
                    told.add(package)
                    yield finding


def _import_finding(model: Model, source: PythonSource, found: Imported, package: str) -> Finding | None:
    """What is wrong with one import, if anything is."""
    place = model.file(found.file, found.line)
    if found.may_fail or beside_of(source, found):
        return None
    if found.level:
        says = (
            f"ImportError: cannot import name '{found.module}' from '{source.folder.name}'"
            if found.name_only
            else f"ModuleNotFoundError: No module named '{source.folder.name}.{found.module}'"
        )
        return model.refused(place, says, f"put {found.module.replace('.', '/')}.py beside {found.file.name}")
    if (
        package in sys.stdlib_module_names
        or package in _STOCK
        or _comes_along(source, package)
        or has_environment(model)
    ):
        return None
    says = f"{NOT_IN_STOCK}: No module named '{package}'"
    mend = f"bring it along beside {found.file.name} or by {EXECUTION_ENV}, or install {package} where Triton runs"
    return model.advice(place, says, mend)


def _comes_along(source: PythonSource, package: str) -> bool:
    """Whether a package lies in the version folder, the model's folder, or a folder of packages in one of them."""
    patterns = (package, f"{package}.py", f"{package}.*.so", f"*/{package}", f"*/{package}.py", f"*/{package}.*.so")
    return any(any(folder.glob(pattern)) for folder in (source.folder, source.folder.parent) for pattern in patterns)


def _syntax_of_the_release(model: Model, repository: Repository) -> Iterator[Finding]:
    """The files parse in the Python of the release's stub too, where that is older than this one."""
    release = repository.release
    if release is None or release.python >= sys.version_info[:2]:
        return
    for file in (file for source in model.sources for file in source.trees):
        try:
            ast.parse(bytes_from_file(file), str(file), feature_version=release.python)
        except SyntaxError as error:
            says = f"SyntaxError: {error.msg} ({file.name}, line {error.lineno})"
            mend = f"write it for Python {release.python[0]}.{release.python[1]}, which runs in Triton {release.name}"
            yield model.refused(model.file(file, error.lineno), says, mend)


RULES = (_entry_name, _syntax, _entry_class, _imports)
REPOSITORY_RULES = (_syntax_of_the_release,)
