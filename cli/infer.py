"""`tbgen infer`: a served model's answers, as a table or as JSON lines."""

from __future__ import annotations

from typing import Any

import click

from tbgen.cli.asked import Asked, asked_options
from tbgen.cli.options import json_option, quiet_option, server_options, timeout_option
from tbgen.cli.show import print_answers, said_late


@click.command()
@click.argument("name")
@asked_options
@server_options()
@json_option
@quiet_option
@timeout_option()
def infer(name: str, url: str | None, headers: dict[str, str], timeout: float, **asked: Any) -> None:
    """NAME is a model of the server, or the name given to scaffold: its BLS model, else the single one, else the
    ensemble. Where it takes anything but one text, give --input question=... --input context=..., a .csv with these
    columns, or a JSON object a line (.jsonl, standard input). --json prints all of the answers, one object a line, as
    they come.
    """
    from tbgen.server.client.client import front_model
    from tbgen.server.client.connection import Connection

    question = Asked(**asked)
    with Connection(url, seconds=timeout, headers=headers) as connection:
        model = front_model(connection, name)
        with said_late(f"Asking {model} at {connection.address}"):
            print_answers(question.answers(connection, model, batches=True), every=bool(question.parameters))
