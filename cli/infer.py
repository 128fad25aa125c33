"""`tbgen infer`: a served model's answers to texts, as a table or as JSON lines."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import click

if TYPE_CHECKING:
    from rich.table import Table

CELLS = 5  # values of a list that a table shows


@click.command(short_help="Ask a served model for its answers to texts.")
@click.argument("name")
@click.argument("texts", metavar="[TEXT]...", nargs=-1)
@click.option("--url", help="host:port of the Triton server. Default: localhost:8001, with --http localhost:8000.")
@click.option("--http", is_flag=True, help="Use HTTP instead of gRPC.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a text.")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), default=60.0, help="Seconds to wait a request.")
def infer(name: str, texts: tuple[str, ...], url: str | None, http: bool, as_json: bool, timeout: float) -> None:
    """Ask the model NAME for its answers to TEXTs, or to the lines of standard input.

    NAME is a model of the server, or the name given to scaffold when one front model of it is ready. The table shows
    the outputs that are one value a text, or the lists where there are only lists; --json shows them all.
    """
    from tbgen.server.client.client import answers, front_model, text_model
    from tbgen.server.client.connection import Connection

    if not texts and sys.stdin.isatty():
        raise click.UsageError("no TEXT given, and nothing on standard input")
    asked, kept = itertools.tee(texts or lines(sys.stdin.buffer))
    with Connection(url, "http" if http else "grpc", seconds=timeout) as connection:
        model = text_model(connection, front_model(connection, name))
        rows = ({"text": text, **answer} for text, answer in zip(kept, answers(connection, model, asked), strict=True))
        if as_json:
            print_json(rows)
        else:
            print_table(list(rows))


def lines(stream: BinaryIO) -> Iterator[str]:
    """The lines of a file, the empty ones too: one answer a line. Raises UserError for other bytes and for nothing."""
    from tbgen.export.errors import UserError

    number = 0
    for number, line in enumerate(stream, 1):
        try:
            yield line.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise UserError(
                f"line {number} of standard input is not UTF-8 (byte {error.start + 1} is 0x{line[error.start]:02x}); "
                "turn it into UTF-8 first, of Korean Windows text with: iconv -f CP949 -t UTF-8"
            ) from error
    if number == 0:
        raise UserError("standard input is empty; give it one text a line, or name TEXTs")


def print_json(rows: Iterable[dict[str, Any]]) -> None:
    """One object a line, as soon as its answer is there."""
    for row in rows:
        click.echo(json.dumps(row, ensure_ascii=False))


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """All answers in one table."""
    from rich.console import Console

    if rows:
        Console().print(table_from_rows(rows))


def table_from_rows(rows: Sequence[dict[str, Any]]) -> Table:
    """Text and single values, a column each; the lists too when the text would be alone."""
    from rich.table import Table
    from rich.text import Text

    single = [name for name, value in rows[0].items() if not isinstance(value, list)]
    names = single if len(single) > 1 else list(rows[0])
    table = Table(*names)
    for row in rows:
        table.add_row(*(Text(cell(row[name])) for name in names))
    return table


def cell(value: Any) -> str:
    """A value as a table shows it: numbers with four digits, the first values of a long list."""
    if isinstance(value, list):
        return ", ".join([*map(cell, value[:CELLS]), *(["…"] if len(value) > CELLS else [])])
    return f"{value:.4f}" if isinstance(value, float) else str(value)
