"""A recipe, tbgen.toml: all that scaffold is asked for, in a file that gives the same repository on another machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tbgen.export import sources
from tbgen.export.errors import NoSuchName, UserError
from tbgen.export.reading import text_from_file
from tbgen.export.sources import HUB_NAME
from tbgen.generator.graphs import AUTO
from tbgen.generator.names import literal
from tbgen.generator.request import FIELDS, OPTIONS, RECIPE_FILE, REPOSITORY, Request, deciding, type_of
from tbgen.generator.steps.plugins import with_step_files

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NO_NAME = f"name the models, or run it where there is a {RECIPE_FILE} (`tbgen init` writes one)"
_HEADER = "# What `tbgen scaffold` reads in this folder; paths are relative to it.\n"
_KINDS = {str: "a string", int: "a whole number", bool: "true or false", list: "a list", dict: "a table"}
_SUFFIXES = {suffix for kind in sources.KINDS.values() for suffix in kind.suffixes}
_PLACES = {name for name, option in OPTIONS.items() if option.place}
# The types of a request's fields -> those that TOML has.
_TYPES = {"str": str, "Path": str, "int": int, "bool": bool, "tuple[str, ...]": list, "Mapping[str, str]": dict}
# The keys of a recipe: the fields of a request, `engines` for its engine, and behind the source where to write.
RECIPE_KEYS: dict[str, type] = {
    **dict.fromkeys(("name", *deciding("source"), "repository"), str),
    **{"engines" if name == "engine" else name: _TYPES[type_of(name)] for name in FIELDS},
    "engines": list,
}


@dataclass(frozen=True)
class Recipe:
    """What a recipe asks for: one request for each engine, and where to write."""

    requests: tuple[Request, ...]
    repository: Path

    @property
    def name(self) -> str:
        """The name that the models begin with."""
        return self.requests[0].name


def recipe_from_file(file: Path) -> Recipe:
    """Read and check a recipe. Raises UserError, with the key that is wrong."""
    try:
        values = tomllib.loads(text_from_file(file))
    except FileNotFoundError:
        raise UserError(f"no recipe at {str(file)!r}; `tbgen init` writes one") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{str(file)!r} is not TOML: {error}") from error
    _check_keys(file, values)
    folder = file.parent
    repository = folder / values.pop("repository", REPOSITORY)
    engines = values.pop("engines", [AUTO])
    for key in _PLACES & values.keys():
        values[key] = (Path if type_of(key) == "Path" else str)(_place_from_text(folder, values[key]))
    values |= with_step_files(values, lambda file: folder / file)
    asked: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    return Recipe(tuple(Request(engine=engine, **asked) for engine in engines), repository)


def _check_keys(file: Path, values: Mapping[str, Any]) -> None:
    """Raise UserError for a key that there is not, a value of another type, and what every recipe must say."""
    for key, value in values.items():
        if key not in RECIPE_KEYS:
            raise NoSuchName("key", key, list(RECIPE_KEYS))
        if type(value) is not RECIPE_KEYS[key]:
            raise UserError(f"{key} in {str(file)!r} must be {_KINDS[RECIPE_KEYS[key]]}, not {value!r}")
        texts = [value] if isinstance(value, str) else [*value.values()] if isinstance(value, dict) else value
        if isinstance(texts, list) and not all(isinstance(each, str) for each in texts):
            raise UserError(f"{key} in {str(file)!r} must be {_KINDS[type(value)]} of strings, not {value!r}")
        if isinstance(texts, list) and any("\0" in each for each in texts):
            raise UserError(f"{key} in {str(file)!r} holds a zero byte, which no name has: {value!r}")
    if "name" not in values:
        raise UserError(f'{str(file)!r} does not say the name of the models: name = "kcbert"')
    if values.get("engines") == []:
        raise UserError(f'engines in {str(file)!r} is empty; name one, for instance engines = ["onnx"]')


def text_from_recipe(recipe: Recipe, folder: Path) -> str:
    """The text of a recipe that will lie in `folder`; what stays at its default is left out."""
    first = recipe.requests[0]
    values = {name: getattr(first, name) for name, row in FIELDS.items() if getattr(first, name) != row.default}
    values |= {name: _text_from_place(Path(values[name]), folder) for name in _PLACES & values.keys()}
    values |= with_step_files(values, lambda file: Path(_relative(file, folder)))
    values["repository"] = _relative(recipe.repository, folder)
    values["engines"] = [request.engine for request in recipe.requests]
    del values["weights"]
    lines = [f"{key} = {literal(values[key])}" for key in RECIPE_KEYS if key in values]
    if first.weights:
        lines += ["", "[weights]  # SHA-256; without this table any weights will do"]
        lines += [f"{literal(name)} = {literal(digest)}" for name, digest in first.weights.items()]
    return _HEADER + "\n".join(lines) + "\n"


def _place_from_text(folder: Path, text: str) -> Path:
    """A recipe's place as seen from here: a path relative to its folder, or a name on the hub or of a base model."""
    there = folder / text
    return there if there.exists() or not HUB_NAME.fullmatch(text) or Path(text).suffix in _SUFFIXES else Path(text)


def _text_from_place(path: Path, folder: Path) -> str:
    """The inverse of `_place_from_text`."""
    return path.as_posix() if HUB_NAME.fullmatch(str(path)) and not path.exists() else _relative(path, folder)


def _relative(path: Path, folder: Path) -> str:
    """A path as seen from `folder`, with forward slashes."""
    return Path(os.path.relpath(path, folder)).as_posix()
