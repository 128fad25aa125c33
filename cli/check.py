"""`tbgen check`: what Triton would refuse in a model repository, without a server."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tbgen.cli.options import json_option, repository_argument, url_option
from tbgen.cli.show import output, report, say_answered

if TYPE_CHECKING:
    from tbgen.generator.check.finding import Finding
    from tbgen.server.deploy.live_check import LiveCheck

# What an effect means to a person: (colour, words).
_WORDS = {
    "refused": ("red", "will not load"),
    "fails": ("red", "will fail"),
    "advice": ("yellow", "advice"),
}


@click.command()
@repository_argument
@click.option(
    "--triton", "release", metavar="RELEASE", help="Container tag of the Triton that is to load it, as 24.10."
)
@click.option("--live", is_flag=True, help="Then ask a running server for these models, in Korean with emoji.")
@url_option("With --live; default: grpc://localhost:8001.")
@json_option
def check(repository: Path, release: str | None, live: bool, url: str | None) -> None:
    """REPOSITORY, by default model_repository, may be any model repository, hand-written ones too; no weights are
    loaded. With --triton, also what that release knows: config fields, opset and IR version of its ONNX Runtime, its
    TensorRT. With --live, also whether a running server has the models ready, and what those of which an item is known
    answer. Exits with 1 when a model will not load or fails.
    """
    from tbgen.generator.check.check import check_repository

    if url is not None and not live:
        raise click.UsageError("--url names the server of --live; add --live")
    began = time.perf_counter()
    findings = check_repository(repository, release=release)
    seconds = time.perf_counter() - began
    served = _ask(repository, url) if live else None
    findings += served.findings if served else ()
    errors = sum(finding.severity == "error" for finding in findings)

    def draw() -> None:
        console = output()
        _print_findings(findings)
        models = sum(entry.is_dir() for entry in repository.iterdir())
        console.print(f"{models} models, {errors} errors, {len(findings) - errors} warnings, {seconds:.2f} s")
        if served:
            console.print(f"Ready on the server: {', '.join(served.ready) or 'none'}")
            say_answered(served.answered)

    report(_record_of(findings, served), draw)
    raise click.exceptions.Exit(1 if errors else 0)


def _ask(repository: Path, url: str | None) -> LiveCheck:
    """What a running server makes of the models; imported here, so that the offline check stays quick."""
    from tbgen.server.client.connection import Connection
    from tbgen.server.deploy.live_check import check_live

    with Connection(url) as connection:
        return check_live(repository, connection)


def _record_of(findings: Sequence[Finding], served: LiveCheck | None = None) -> dict[str, Any]:
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


def _print_findings(findings: Sequence[Finding]) -> None:
    """Two lines each: where it is, how bad, what Triton says; what to do."""
    console = output(soft_wrap=True)
    for finding in findings:
        colour, words = _WORDS[finding.effect]
        console.print(f"{finding.place}: ", f"[{colour}]{words}[/{colour}]: ", sep="", end="")
        console.print(f"{finding.says}\n    {finding.mend}", markup=False)
