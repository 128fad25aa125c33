"""`tbgen run`: a model's answers without Triton, from the files of its repository, in this process."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tbgen.cli.options import json_option, repository_option, text_options
from tbgen.cli.show import notes, print_answers

if TYPE_CHECKING:
    from tbgen.generator.local.models import LocalModels
    from tbgen.generator.texts import Row, TextFile


@click.command()
@click.argument("name")
@click.argument("texts", metavar="[TEXT]...", nargs=-1)
@text_options("standard input, without TEXTs")
@repository_option()
@click.option("--input", "inputs", metavar="NAME=VALUE", multiple=True, help="An input; again for a list. Repeatable.")
@click.option("--parameter", "parameters", metavar="NAME=VALUE", multiple=True, help="A request parameter. Repeatable.")
@json_option
def run(
    name: str,
    texts: tuple[str, ...],
    text: TextFile | None,
    repository: Path,
    inputs: tuple[str, ...],
    parameters: tuple[str, ...],
) -> None:
    """What runs are the very files of the repository: model.py, its steps, the wiring of ensembles, BLS calls; engines
    by onnxruntime. Breakpoints in them work. Where a model takes anything but one text, give --input question=...
    --input context=..., a .csv with these columns, or a JSON object a line (.jsonl, standard input).
    """
    from tbgen.generator.local.models import LocalModels
    from tbgen.generator.local.twin import STANDS_FOR_FILE
    from tbgen.generator.texts import STANDARD_INPUT, TextFile
    from tbgen.server.client.client import front_model

    if sum(map(bool, (texts, text, inputs))) > 1:
        raise click.UsageError("give TEXTs, --text or --input: one of them")
    if not (texts or text or inputs) and sys.stdin.isatty():
        raise click.UsageError("no TEXT, no --text and no --input given, and nothing on standard input")
    file = text or TextFile(STANDARD_INPUT)
    chosen = {key: _value_of(value) for key, value in map(_split, parameters)}
    with LocalModels(repository) as models:
        model = front_model(models, name)
        rows = _answered(models, model, _items(models, model, file, texts, inputs), chosen)
        print_answers(rows)
        if models.stood_for:
            notes().print(f"{', '.join(models.stood_for)}: {STANDS_FOR_FILE}", style="yellow")


def _items(
    models: LocalModels, model: str, file: TextFile, texts: tuple[str, ...], inputs: tuple[str, ...]
) -> Iterator[dict[str, Any]]:
    """What is asked: the texts, the named inputs, or the rows of a file."""
    from tbgen.server.client.client import text_model

    config = models.config(model)
    if inputs:
        yield _named_inputs(config, map(_split, inputs))
    elif texts or _takes_one_text(config):
        name = text_model(models, model).input
        yield from ({name: text} for text in texts or file.texts())
    else:
        for number, row in enumerate(file.rows(), 1):
            yield _item_from_row(config, file, row, number)


def _takes_one_text(config: dict[str, Any]) -> bool:
    """Whether one text is all that the model takes."""
    tensors = config["input"]
    return len(tensors) == 1 and tensors[0]["data_type"] == "TYPE_STRING"


def _named_inputs(config: dict[str, Any], pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Names and values as an item: texts as they are, anything else as JSON; an input with an open axis is a list."""
    specs = {tensor["name"]: tensor for tensor in config["input"]}
    item: dict[str, Any] = {}
    for name, text in pairs:
        spec = specs.get(name, {"data_type": "TYPE_STRING", "dims": ["1"]})
        value = text if spec["data_type"] == "TYPE_STRING" else _value_of(text)
        if [int(size) for size in spec["dims"]] == [1]:
            item[name] = value
        else:
            item.setdefault(name, []).extend(value if isinstance(value, list) else [value])
    return item


def _item_from_row(config: dict[str, Any], file: TextFile, row: Row, number: int) -> dict[str, Any]:
    """The inputs in the columns of a .csv, or a JSON object. Raises UserError."""
    from tbgen.export.errors import UserError

    found = file.parsed(number, row) if isinstance(row, str) else row
    if isinstance(found, str):
        raise UserError(f"line {number} of {file.name} is no JSON object: {found}")
    if file.path.suffix.lower() == ".csv":
        names = [tensor["name"] for tensor in config["input"]]
        return _named_inputs(config, ((name, found[name]) for name in names if name in found))
    return found


def _split(pair: str) -> tuple[str, str]:
    """NAME=VALUE."""
    name, equals, value = pair.partition("=")
    if not equals or not name:
        raise click.UsageError(f"{pair!r} is not NAME=VALUE")
    return name, value


def _value_of(text: str) -> Any:
    """A JSON value; what is none is a text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _answered(
    models: LocalModels, model: str, asked: Iterable[dict[str, Any]], parameters: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Each item with its answer, `text` for the one text that a model takes."""
    from tbgen.server.client.items import item_from_tensors, tensors_from_item

    config = models.config(model)
    for item in asked:
        answer = item_from_tensors(config, models.infer(model, tensors_from_item(config, item), parameters))
        shown = {"text": next(iter(item.values()))} if _takes_one_text(config) else item
        yield {**shown, **answer}
