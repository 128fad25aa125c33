"""`tbgen doctor`: what of a machine is there, works, or is missing, and what it would be for."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from tbgen.cli.options import goes_with, json_option, quiet_option, server_options
from tbgen.cli.show import output, report, said_late
from tbgen.generator.addresses import METRICS

if TYPE_CHECKING:
    from tbgen.server.doctor.part import MachinePart

_COLOURS = {"works": "green", "missing": "yellow", "broken": "red"}


@click.command()
@server_options("Default: none; this machine alone is looked at.", optional=True)
@click.option("--metrics-url", help=f"With --url: the server's metrics page. Default: port {METRICS} of its host.")
@json_option
@quiet_option
@goes_with("--url", "--metrics-url")
def doctor(url: str | None, headers: dict[str, str], metrics_url: str | None) -> None:
    """Looked at are Python's packages, the embedded server and what it needs of this machine, NVIDIA's driver and
    libraries, ONNX Runtime and each of its execution providers, by a product of matrices. With --url a running server
    too: what it is, which of its models answer, and why the others do not, what of it is open to all.

    Exits with 1 when a part is broken: there, and of no use as it stands. What is missing is no fault: 0.
    """
    from tbgen.server.client.address import address_from_url
    from tbgen.server.doctor.doctor import parts_of_machine
    from tbgen.server.doctor.part import broken_parts
    from tbgen.server.doctor.remote import server_parts

    address = None if url is None else address_from_url(url, headers=headers)
    with said_late("Looking at this machine" + (f", and at {address}" if address else "")):
        parts = [*parts_of_machine(), *(server_parts(address, metrics_url) if address else ())]
    report({"broken": broken_parts(parts), "parts": [asdict(part) for part in parts]}, lambda: _print_parts(parts))
    raise click.exceptions.Exit(1 if broken_parts(parts) else 0)


def _print_parts(parts: list[MachinePart]) -> None:
    """A line each; for what does not work also what it is for and what to do."""
    from tbgen.server.doctor.part import MISSING, broken_parts

    console, width = output(soft_wrap=True), max(len(part.name) for part in parts)
    for part in parts:
        console.print(f"{part.state:<8}", style=_COLOURS[part.state], end="")
        console.print(f"{part.name:<{width}}  {part.says}")
        if part.mend:
            console.print(f"        {'':<{width}}  for {part.enables}: {part.mend}")
    missing = sum(part.state == MISSING for part in parts)
    console.print(f"{len(parts)} parts, {missing} missing, {len(broken_parts(parts))} broken")
