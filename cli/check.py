"""`tbgen check`: what Triton would refuse in a model repository, without a server."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tbgen.cli.repository import ModelRepository

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from tbgen.generator.check.finding import Finding
    from tbgen.server.deploy.live_check import LiveCheck

# What an effect means to a person: (colour, words).
WORDS = {
    "refused": ("red", "will not load"),
    "fails": ("red", "will fail"),
    "advice": ("yellow", "advice"),
}


@click.command(short_help="Find what Triton would refuse in a model repository, without a server.")
@click.argument("repository", type=ModelRepository(), default="model_repository")
@click.option(
    "--triton", "release", metavar="RELEASE", help="Container tag of the Triton that is to load it, as 24.10."
)
@click.option("--live", is_flag=True, help="Then ask a running server for these models, in Korean with emoji.")
@click.option(
    "--url", help="With --live: host:port of the server. Default: localhost:8001, with --http localhost:8000."
)
@click.option("--http", is_flag=True, help="With --live: use HTTP instead of gRPC.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.pass_context
def check(
    context: click.Context,
    repository: Path,
    release: str | None,
    live: bool,
    url: str | None,
    http: bool,
    as_json: bool,
) -> None:
    """Check REPOSITORY (default: model_repository) by Triton's own rules, without a server and without loading weights.

    Any model repository will do, hand-written ones too. With --triton, also what that release knows: config fields,
    opset and IR version of its ONNX Runtime, its TensorRT. With --live, also whether a running server has the
    models ready, and what those of which an item is known answer. Exits with 1 when a model will not load or fails.
    """
    from rich.console import Console

    from tbgen.generator.check.check import check_repository

    if (url or http) and not live:
        raise click.UsageError("--url and --http name the server of --live; add --live")
    began = time.perf_counter()
    findings = check_repository(repository, release=release)
    seconds = time.perf_counter() - began
    served = ask(repository, url, "http" if http else "grpc") if live else None
    findings += served.findings if served else ()
    errors = sum(finding.severity == "error" for finding in findings)
    if as_json:
        click.echo(json.dumps(report(findings, served), ensure_ascii=False, indent=2))
    else:
        console = Console()
        if findings:
            show(console, findings)
        models = sum(entry.is_dir() for entry in repository.iterdir())
        console.print(f"{models} models, {errors} errors, {len(findings) - errors} warnings, {seconds:.2f} s")
        if served:
            console.print(f"Ready on the server: {', '.join(served.ready) or 'none'}", highlight=False)
            console.print(
                f"Asked in Korean with emoji, and answered: {', '.join(served.answered) or 'none'}", highlight=False
            )
    context.exit(1 if errors else 0)


def ask(repository: Path, url: str | None, protocol: str) -> LiveCheck:
    """What a running server makes of the models; imported here, so that the offline check stays quick."""
    from tbgen.server.client.connection import Connection
    from tbgen.server.deploy.live_check import check_live

    with Connection(url, protocol) as connection:
        return check_live(repository, connection)


def report(findings: Sequence[Finding], served: LiveCheck | None = None) -> dict[str, Any]:
    """The findings as plain values, and with a server what it serves."""
    rows = [
        {
            "severity": finding.severity,
            "effect": finding.effect,
            "model": finding.model,
            "file": finding.place.file,
            "line": finding.place.line,
            "triton": finding.says,
            "mend": finding.mend,
        }
        for finding in findings
    ]
    known = {"errors": sum(finding.severity == "error" for finding in findings), "findings": rows}
    return known | ({"live": {"ready": served.ready, "answered": served.answered}} if served else {})


def show(console: Console, findings: Sequence[Finding]) -> None:
    """A table of the findings; on a narrow terminal or a pipe, two lines each, so that nothing is cut."""
    if console.is_terminal and console.width >= 120:
        console.print(table_of(findings))
        return
    for finding in findings:
        colour, words = WORDS[finding.effect]
        place = f"{finding.place}: "
        console.print(place, f"[{colour}]{words}[/{colour}]: ", sep="", end="", highlight=False, soft_wrap=True)
        console.print(finding.says, markup=False, highlight=False, soft_wrap=True)
        console.print(f"    {finding.mend}", markup=False, highlight=False, soft_wrap=True)


def table_of(findings: Sequence[Finding]) -> Table:
    """Where, how bad, what Triton says, what to do."""
    from rich.table import Table
    from rich.text import Text

    table = Table("Where", "", "Triton says", "What to do", show_lines=True)
    for finding in findings:
        colour, words = WORDS[finding.effect]
        table.add_row(
            Text(str(finding.place)),
            Text(words, style=colour),
            Text(finding.says),
            Text(finding.mend),
        )
    return table
