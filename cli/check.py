"""`tbgen check`: what Triton would refuse in a model repository, without a server."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tbgen.cli.options import goes_with, json_option, quiet_option, server_options
from tbgen.cli.repository import ModelRepository
from tbgen.cli.show import on_one_line, output, report, said_late, say_answered
from tbgen.export.errors import UserError
from tbgen.generator.addresses import URLS
from tbgen.generator.request import REPOSITORY

if TYPE_CHECKING:
    from tbgen.export.tensorrt.rtx import RtxReading
    from tbgen.generator.check.finding import Finding
    from tbgen.server.deploy.live_check import LiveCheck

# What an effect means to a person: (colour, words).
_WORDS = {
    "refused": ("red", "will not load"),
    "fails": ("red", "will fail"),
    "advice": ("yellow", "advice"),
}


@click.command()
@click.argument("repository", metavar="[REPOSITORY | MODEL.onnx]", type=ModelRepository(), default=REPOSITORY)
@click.option(
    "--triton", "release", metavar="RELEASE", help="Container tag of the Triton that is to load it, as 24.10."
)
@click.option("--live", is_flag=True, help="Then ask a running server for these models, in Korean with emoji.")
@server_options(f"With --live; default: {URLS['gRPC']}.")
@click.option("--weights", is_flag=True, help="Also read the ONNX files' weights, for NaN and infinity.")
@click.option("--tensorrt", is_flag=True, help="Then ask TensorRT-RTX's parser whether it reads the ONNX files.")
@click.option(
    "--shape",
    "shapes",
    multiple=True,
    metavar="ROWSxTOKENS",
    help="With --tensorrt, also build a plan for this shape, such as 1-32x8-128; repeatable.",
)
@json_option
@quiet_option
@goes_with("--live", "--url", "--header")
@goes_with("--tensorrt", "--shape")
def check(
    repository: Path,
    release: str | None,
    live: bool,
    url: str | None,
    headers: dict[str, str],
    weights: bool,
    tensorrt: bool,
    shapes: tuple[str, ...],
) -> None:
    """REPOSITORY, by default model_repository, may be any model repository, hand-written ones too; no weights are read
    without --weights. With --triton, also what that release knows: config fields, opset and IR version of its ONNX
    Runtime, its TensorRT. With --live, also whether a running server has the models ready, and what those of which
    an item is known answer. With --tensorrt, also whether TensorRT would read the ONNX files; of MODEL.onnx that
    alone. Exits with 1 when a model will not load or fails, or a file does not parse.
    """
    if tensorrt and not repository.exists():
        raise UserError(f"no file or folder {str(repository)!r}; --tensorrt reads an ONNX file, or a repository's")
    if repository.is_file():
        if not tensorrt or live or release or weights:
            raise click.UsageError(f"{str(repository)!r} is a file: it is read by --tensorrt alone")
        readings = _ask_tensorrt(repository, shapes)
        report(_reading_rows(readings), lambda: _print_readings(readings))
        raise click.exceptions.Exit(1 if _unread(readings) else 0)
    _check_models(repository, release, url, headers, weights=weights, live=live, shapes=shapes if tensorrt else None)


def _check_models(
    repository: Path,
    release: str | None,
    url: str | None,
    headers: dict[str, str],
    *,
    weights: bool,
    live: bool,
    shapes: Sequence[str] | None,
) -> None:
    """Check a repository offline, then by what else was asked for; `shapes` is None where TensorRT was not."""
    from tbgen.generator.check.check import check_repository

    began = time.perf_counter()
    with said_late(f"Checking {repository}"):
        findings = check_repository(repository, release=release, weights=weights)
    seconds = time.perf_counter() - began
    readings = [] if shapes is None else _ask_tensorrt(repository, shapes)
    with said_late(f"Asking the models of {repository} on the server"):
        served = _ask(repository, url, headers) if live else None
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
        _print_readings(readings)

    report(_record_of(findings, served) | (_reading_rows(readings) if readings else {}), draw)
    raise click.exceptions.Exit(1 if errors or _unread(readings) else 0)


def _ask_tensorrt(place: Path, shapes: Sequence[str]) -> list[RtxReading]:
    """What TensorRT-RTX makes of the ONNX files."""
    from tbgen.export.tensorrt.profiles import profile_from_text
    from tbgen.generator.check.tensorrt import readings_of

    with said_late(f"Asking TensorRT-RTX's parser to read {place}"):
        return readings_of(place, [profile_from_text(shape) for shape in shapes])


def _unread(readings: Sequence[RtxReading]) -> bool:
    """Whether a file was not read."""
    return any(reading.reads is False for reading in readings)


def _reading_rows(readings: Sequence[RtxReading]) -> dict[str, Any]:
    """The readings as plain values."""
    return {
        "tensorrt": [{"file": str(reading.file), "reads": reading.reads, "says": reading.says} for reading in readings]
    }


def _print_readings(readings: Sequence[RtxReading]) -> None:
    """A line each, and who was asked."""
    console = output(soft_wrap=True)
    for reading in readings:
        console.print(f"{reading.file}: {reading.says}")
    if any(reading.reads is not None for reading in readings):
        console.print("This is TensorRT-RTX, which needs no GPU; the TensorRT of Triton's container was not asked.")


def _ask(repository: Path, url: str | None, headers: dict[str, str]) -> LiveCheck:
    """What a running server makes of the models; imported here, so that the offline check stays quick."""
    from tbgen.server.client.connection import Connection
    from tbgen.server.deploy.live_check import check_live

    with Connection(url, headers=headers) as connection:
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
        console.print(f"{on_one_line(str(finding.place))}: ", end="")
        console.print(f"{words}: ", style=colour, end="")
        console.print(f"{finding.says}\n    {finding.mend}")
