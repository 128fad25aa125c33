"""The command that a library's sentence suggests, with what the command line said: it can be run as it is printed."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from tbgen.export.errors import UserError
from tbgen.generator.request import FIELDS, OPTIONS, RECIPE_FILE, Request

EXPORT = "tbgen export onnx"  # what keeps some layers in FP32: export/precision/drift.py


@contextmanager
def completed(words: Iterable[str], then: str = "", *, command: str = EXPORT) -> Iterator[None]:
    """Complete a command in what the block refuses by these words, and by what comes `then`."""
    try:
        yield
    except UserError as error:
        raise UserError(with_words(error.message, words, then, command=command)) from error


def with_words(sentence: str, words: Iterable[str], then: str = "", *, command: str = EXPORT) -> str:
    """The sentence with these words behind the name of a command that it suggests; as it is where it has none."""
    if command not in sentence:
        return sentence
    return f"{sentence.replace(command, shlex.join([*command.split(), *words]))}{then}"


def recipe_completed(requests: Sequence[Request], repository: Path, file: Path | None) -> AbstractContextManager[None]:
    """Complete the `tbgen init NAME` that writes the recipe of these requests."""
    words = words_of_fields(vars(requests[0]), [name for name in OPTIONS if name != "engine"])
    engines = [word for request in requests for word in ("--engine", request.engine)]
    where = ["-r", str(repository), "-o", str(file or RECIPE_FILE)]
    return completed([*words, *engines, *where], command=f"tbgen init {requests[0].name}")


def words_of_fields(values: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """The options that say these fields of a request, where they are not as they would be without."""
    words = list[str]()
    for name in names:
        if values.get(name) not in (None, FIELDS[name].default):
            words += _words(OPTIONS[name].flag or f"--{name.replace('_', '-')}", f"--no-{name}", values[name])
    return words


def words_given(*without: str) -> list[str]:
    """The options of the command line that runs, but those of these names."""
    context, words = click.get_current_context(), list[str]()
    for each in context.command.params:
        name = str(each.name)
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if given and name in context.params and name not in without and isinstance(each, click.Option):
            value = context.params[name]
            words += _words(each.opts[-1], "".join(each.secondary_opts), getattr(value, "path", value))
    column = context.meta.get("tbgen.column")
    return words + (["--column", column] if column else [])


def _words(flag: str, negative: str, value: Any) -> list[str]:
    """An option as it is written; of headers, which may be keys, the names alone."""
    if isinstance(value, dict):
        value = tuple(f"{name}=VALUE" for name in value)
    if isinstance(value, bool):
        return [flag if value else negative]
    return [word for one in (value if isinstance(value, tuple) else (value,)) for word in (flag, str(one))]
