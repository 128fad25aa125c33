"""`tbgen probe`: whether a running server's models answer, as an exit status."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from tbgen.cli.options import json_option, quiet_option, repository_option, server_options, timeout_option
from tbgen.cli.show import report, said_late, say


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@server_options()
@repository_option("none; any text is sent")
@timeout_option(5.0)
@json_option
@quiet_option
def probe(
    names: tuple[str, ...], url: str | None, headers: dict[str, str], repository: Path | None, timeout: float
) -> None:
    """NAME is a model of the server, or the name given to scaffold; without one, each model that takes text and is part
    of no ensemble is asked, all at once. Exits with 1 when one does not answer in time, or with numbers that are none:
    a server calls a model ready whose process has died.

    Models that need more than any text, as one that fills masks, are asked by what --repository says of them.
    """
    from tbgen.server.client.address import address_from_url
    from tbgen.server.client.probe import probes

    address = address_from_url(url, headers=headers)
    with said_late(f"Asking the models at {address}"):
        found = [*probes(address, names, seconds=timeout, repository=repository)]
    wrong = any(each.wrong for each in found)

    def draw() -> None:
        for each in found:
            if each.wrong:
                say(f"{each.model}: {each.wrong}", note=True)
            else:
                say(f"{each.model} answered in {each.seconds:.3f} s")

    report([asdict(each) for each in found], draw)
    raise click.exceptions.Exit(1 if wrong else 0)
