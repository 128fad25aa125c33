"""What `tbgen infer` and `tbgen run` ask: texts, inputs by name, or the rows of a file, with request parameters."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click
from click.decorators import FC

from tbgen.cli.options import text_options

if TYPE_CHECKING:
    from tbgen.generator.texts import Row, TextFile
    from tbgen.server.client.client import Models

_OPTIONS = (
    click.argument("texts", metavar="[TEXT]...", nargs=-1),
    text_options("standard input, without TEXTs"),
    click.option("--input", "inputs", metavar="NAME=VALUE", multiple=True, help="An input; again for a list."),
    click.option("--parameter", "parameters", metavar="NAME=VALUE", multiple=True, help="A request parameter."),
)


def asked_options(function: FC) -> FC:
    """TEXTs, --text, --column, --input and --parameter: what `Asked` takes."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


class Asked:
    """What a command line asks. Raises UsageError where that is nothing, or several things.

    Args:
        texts: TEXTs; inputs, parameters: NAME=VALUE each; text: a file.
    """

    def __init__(
        self, texts: tuple[str, ...], text: TextFile | None, inputs: tuple[str, ...], parameters: tuple[str, ...]
    ) -> None:
        from tbgen.generator.steps.plugins import value_from_text
        from tbgen.generator.texts import STANDARD_INPUT, TextFile

        if sum(map(bool, (texts, text, inputs))) > 1:
            raise click.UsageError("give TEXTs, --text or --input: one of them")
        if not (texts or text or inputs) and sys.stdin.isatty():
            raise click.UsageError("no TEXT, no --text and no --input given, and nothing on standard input")
        self.texts, self.file = texts, text or TextFile(STANDARD_INPUT)
        self.inputs = [_split(pair) for pair in inputs]
        self.parameters = {name: value_from_text(value) for name, value in map(_split, parameters)}

    def answers(self, models: Models, model: str, *, batches: bool) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """What is shown of each item, and its answer; `batches`: texts are asked many at once. Raises UserError."""
        from tbgen.server.client.client import answers, takes_one_text, text_model
        from tbgen.server.client.items import item_answers
        from tbgen.server.client.typed import typed_answer

        config = models.config(model)
        asked, kept = itertools.tee(self.items(config))
        if batches and not self.inputs and takes_one_text(config):
            taken = text_model(config)
            found = answers(models, taken, (item[taken.input] for item in asked), self.parameters)
        else:
            found = item_answers(models, model, asked, self.parameters)
        for item, answer in zip(kept, found, strict=True):
            yield {"text": next(iter(item.values()))} if takes_one_text(config) else item, typed_answer(item, answer)

    def items(self, config: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """An item after the other for a model of this configuration: input -> value. Raises UserError."""
        from tbgen.server.client.client import takes_one_text, text_model

        if self.inputs:
            yield _named_inputs(config, self.inputs)
        elif self.texts or takes_one_text(config):
            name = text_model(config).input
            yield from ({name: text} for text in self.texts or self.file.texts())
        else:
            for number, row in enumerate(self.file.rows(), 1):
                yield self.item_from_row(config, row, number)

    def item_from_row(self, config: Mapping[str, Any], row: Row, number: int) -> dict[str, Any]:
        """The inputs in the columns of a .csv, or a JSON object. Raises UserError."""
        from tbgen.export.errors import UserError

        found = self.file.parsed(number, row) if isinstance(row, str) else row
        if isinstance(found, str):
            raise UserError(f"line {number} of {self.file.name} is no JSON object: {found}")
        if self.file.path.suffix.lower() == ".csv":
            names = [tensor["name"] for tensor in config["input"]]
            return _named_inputs(config, ((name, found[name]) for name in names if name in found))
        return found


def _named_inputs(config: Mapping[str, Any], pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Names and values as an item: texts as they are, anything else as JSON; an input with an open axis is a list."""
    from tbgen.generator.steps.plugins import value_from_text

    specs = {tensor["name"]: tensor for tensor in config["input"]}
    item: dict[str, Any] = {}
    for name, text in pairs:
        spec = specs.get(name, {"data_type": "TYPE_STRING", "dims": ["1"]})
        value = text if spec["data_type"] == "TYPE_STRING" else value_from_text(text)
        if [int(size) for size in spec["dims"]] == [1]:
            item[name] = value
        else:
            item.setdefault(name, []).extend(value if isinstance(value, list) else [value])
    return item


def _split(pair: str) -> tuple[str, str]:
    """NAME=VALUE."""
    name, equals, value = pair.partition("=")
    if not equals or not name:
        raise click.UsageError(f"{pair!r} is not NAME=VALUE")
    return name, value
