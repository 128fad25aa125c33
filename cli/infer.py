"""`tbgen infer`: a served model's answers to texts, as a table or as JSON lines."""

from __future__ import annotations

import itertools
import sys
from typing import TYPE_CHECKING

import click

from tbgen.cli.options import SECONDS, header_option, json_option, text_options, url_option
from tbgen.cli.show import print_answers

if TYPE_CHECKING:
    from tbgen.generator.texts import TextFile


@click.command()
@click.argument("name")
@click.argument("texts", metavar="[TEXT]...", nargs=-1)
@text_options("standard input, without TEXTs")
@url_option()
@header_option
@json_option
@click.option("--timeout", type=SECONDS, default=60.0, show_default=True, help="Seconds to wait a request.")
def infer(
    name: str,
    texts: tuple[str, ...],
    text: TextFile | None,
    url: str | None,
    headers: dict[str, str],
    timeout: float,
) -> None:
    """NAME is a model of the server, or the name given to scaffold when one front model of it is ready. The table shows
    the outputs that are one value a text, or the lists where there are only lists; --json shows them all, one object a
    line, as they come.
    """
    from tbgen.generator.texts import STANDARD_INPUT, TextFile
    from tbgen.server.client.client import answers, front_model, text_model
    from tbgen.server.client.connection import Connection

    if texts and text:
        raise click.UsageError("give TEXTs or --text, not both")
    if not texts and not text and sys.stdin.isatty():
        raise click.UsageError("no TEXT and no --text given, and nothing on standard input")
    file = text or TextFile(STANDARD_INPUT)
    asked, kept = itertools.tee(texts or file.texts())
    with Connection(url, seconds=timeout, headers=headers) as connection:
        model = text_model(connection, front_model(connection, name))
        rows = ({"text": each, **answer} for each, answer in zip(kept, answers(connection, model, asked), strict=True))
        print_answers(rows)
