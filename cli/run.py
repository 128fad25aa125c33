"""`tbgen run`: a model's answers without Triton, from the files of its repository, in this process."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tbgen.cli.infer import lines, print_json, print_table
from tbgen.cli.repository import ModelRepository

if TYPE_CHECKING:
    from tbgen.generator.local.models import LocalModels

REPOSITORY = Path("model_repository")


@click.command(short_help="Run a model of a repository without Triton.")
@click.argument("name")
@click.argument("texts", metavar="[TEXT]...", nargs=-1)
@click.option("-r", "--repository", type=ModelRepository(), default=REPOSITORY, show_default=True)
@click.option("--input", "inputs", metavar="NAME=VALUE", multiple=True, help="An input; again for a list. Repeatable.")
@click.option("--parameter", "parameters", metavar="NAME=VALUE", multiple=True, help="A request parameter. Repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object an item.")
def run(
    name: str,
    texts: tuple[str, ...],
    repository: Path,
    inputs: tuple[str, ...],
    parameters: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run the model NAME on TEXTs, or on the lines of standard input, without Triton.

    What runs are the very files of the repository: model.py, its steps, the wiring of ensembles, BLS calls; engines by
    onnxruntime. Breakpoints in them work. Where a model takes anything but one text, give --input question=... --input
    context=..., or a JSON object a line on standard input.
    """
    from tbgen.generator.local.models import LocalModels
    from tbgen.server.client.client import front_model

    if texts and inputs:
        raise click.UsageError("give TEXTs or --input, not both")
    if not texts and not inputs and sys.stdin.isatty():
        raise click.UsageError("no TEXT and no --input given, and nothing on standard input")
    chosen = {key: value_of(value) for key, value in map(split, parameters)}
    with LocalModels(repository) as models:
        model = front_model(models, name)
        rows = answered(models, model, items(models, model, texts, inputs), chosen)
        if as_json:
            print_json(rows)
        else:
            print_table(list(rows))


def items(models: LocalModels, model: str, texts: tuple[str, ...], inputs: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """What is asked: the texts, the named inputs, or the lines of standard input."""
    from tbgen.server.client.client import text_model

    config = models.config(model)
    if inputs:
        yield named_inputs(config, inputs)
    elif texts or takes_one_text(config):
        name = text_model(models, model).input
        yield from ({name: text} for text in texts or lines(sys.stdin.buffer))
    else:
        for number, line in enumerate(lines(sys.stdin.buffer), 1):
            yield item_from_line(line, number)


def takes_one_text(config: dict[str, Any]) -> bool:
    """Whether one text is all that the model takes."""
    tensors = config["input"]
    return len(tensors) == 1 and tensors[0]["data_type"] == "TYPE_STRING"


def named_inputs(config: dict[str, Any], inputs: Iterable[str]) -> dict[str, Any]:
    """NAME=VALUE pairs as an item: texts as they are, anything else as JSON; an input with an open axis is a list."""
    specs = {tensor["name"]: tensor for tensor in config["input"]}
    item: dict[str, Any] = {}
    for name, text in map(split, inputs):
        spec = specs.get(name, {"data_type": "TYPE_STRING", "dims": ["1"]})
        value = text if spec["data_type"] == "TYPE_STRING" else value_of(text)
        if [int(size) for size in spec["dims"]] == [1]:
            item[name] = value
        else:
            item.setdefault(name, []).extend(value if isinstance(value, list) else [value])
    return item


def item_from_line(line: str, number: int) -> dict[str, Any]:
    """A JSON object of standard input."""
    try:
        item = json.loads(line)
    except json.JSONDecodeError as error:
        raise click.UsageError(f"line {number} of standard input is no JSON: {error}") from error
    if not isinstance(item, dict):
        raise click.UsageError(f"line {number} of standard input is no JSON object: {line}")
    return item


def split(pair: str) -> tuple[str, str]:
    """NAME=VALUE."""
    name, equals, value = pair.partition("=")
    if not equals or not name:
        raise click.UsageError(f"{pair!r} is not NAME=VALUE")
    return name, value


def value_of(text: str) -> Any:
    """A JSON value; what is none is a text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def answered(
    models: LocalModels, model: str, asked: Iterable[dict[str, Any]], parameters: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Each item with its answer, `text` for the one text that a model takes."""
    from tbgen.server.client.items import item_from_tensors, tensors_from_item

    config = models.config(model)
    for item in asked:
        answer = item_from_tensors(config, models.infer(model, tensors_from_item(config, item), parameters))
        shown = {"text": next(iter(item.values()))} if takes_one_text(config) else item
        yield {**shown, **answer}
