"""The steps of a model folder, constructed in this process beside those of other models."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from tbgen.export.errors import UserError
from tbgen.export.layout import TOKENIZER_JSON
from tbgen.export.reading import is_there, json_from_text, text_from_file
from tbgen.export.tokenizers.tokenizer import text_of_tokenizer
from tbgen.export.values import A_SWITCH, A_TEXT, AN_OBJECT, damage_of, list_of, object_with
from tbgen.generator.rules.core.complete import version_of
from tbgen.generator.steps.catalogue import STEP_FOLDER

STEPS_FILE = "steps.json"  # in a version folder
_STEP = object_with({"file": A_TEXT, "class": A_TEXT, "settings": AN_OBJECT})
_RULES = {"steps": list_of(_STEP)}
_MAY_LACK = {"parameters_elsewhere": list_of(A_TEXT), "cached": A_SWITCH}


def listing(folder: Path) -> dict[str, Any]:
    """What folder/steps.json says.

    `steps`; `parameters_elsewhere`, those that other models of its ensemble take; `cached`: Triton keeps the answers.
    Raises UserError.
    """
    file = folder / STEPS_FILE
    if not file.is_file():
        raise UserError(f"no {STEPS_FILE} in {str(folder)!r}; it lists the steps of a model")
    return listing_from_text(text_from_file(file), repr(str(file)))


def listing_from_text(text: str, shown: str) -> dict[str, Any]:
    """The same of a steps.json's text. Raises UserError."""
    listed: dict[str, Any] = json_from_text(text, shown)
    if damage := damage_of(listed, _RULES, _MAY_LACK):
        raise UserError(f"{shown} is no list of steps ({damage}); write the model anew with tbgen scaffold")
    return listed


def text_from_listing(listed: Mapping[str, Any]) -> str:
    """The text of a steps.json that says so."""
    return json.dumps(listed, ensure_ascii=False, indent=2) + "\n"


def newest_steps(folder: Path) -> Path | None:
    """The steps.json of a model's newest version; None where it has none."""
    files = folder.glob(f"*/{STEPS_FILE}")
    found = {number: file for file in files if (number := version_of(file.parent.name)) is not None}
    return found[max(found)] if found else None


def steps_from_folder(folder: Path) -> list[Any]:
    """Construct the steps that folder/steps.json lists, in order; their files lie beside it, or in the backend."""
    return [step_from_row(row, folder) for row in listing(folder)["steps"]]


def step_from_row(row: Mapping[str, Any], folder: Path) -> Any:
    """Construct one of them; its file is in the version folder, or in the backend's when it stands there for all."""
    file = next(
        (file for place in (folder, STEP_FOLDER) if (file := place / row["file"]).is_file()), folder / row["file"]
    )
    check_tokenizer_of(folder)
    return step_from_file(file, row["class"])(folder, **row["settings"])


def check_tokenizer_of(folder: Path) -> None:
    """Raise UserError where a steps.json has a tokenizer.json beside it that the library cannot read, or dies of."""
    if (folder / STEPS_FILE).is_file() and is_there(folder / TOKENIZER_JSON):
        text_of_tokenizer(folder / TOKENIZER_JSON)


def step_from_file(file: Path, name: str) -> Any:
    """The class `name` of a Python file."""
    return getattr(module_from_file(f"tbgen_step_{file.stem}", file), name)


def module_from_file(name: str, file: Path) -> ModuleType:
    """A Python file, loaded apart from sys.path so that no file name can clash. Raises ImportError.

    It is the package of the files beside it, else of those of the backend: `from .numerics import softmax` finds its
    neighbour, and no other model's.
    """
    places = [str(file.parent), str(STEP_FOLDER)]
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=places)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not a Python file")
    importlib.invalidate_caches()  # files may have come since Python last looked
    for stale in [each for each in sys.modules if each.startswith(f"{name}.")]:
        del sys.modules[stale]
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with _no_compiled_files():
        spec.loader.exec_module(module)
    return module


@contextmanager
def _no_compiled_files() -> Iterator[None]:
    """Let Python write no __pycache__: a folder is to hold what was written into it, on each machine the same."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before
