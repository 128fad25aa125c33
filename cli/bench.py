"""`tbgen bench`: how fast a served model answers real texts, where the time goes, whether the answers stay right."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tbgen.cli.options import (
    FILE_PATH,
    OR_STARTED,
    POSITIVE,
    TOLERANCE,
    duration_option,
    goes_with,
    json_option,
    quiet_option,
    repository_option,
    server_options,
    text_options,
    timeout_option,
    warmup_option,
)
from tbgen.cli.show import MEASURED_BEFORE, NOTHING_MEASURED, keep, notes, report, status_line, whole_or_part
from tbgen.generator.addresses import METRICS_PAGE
from tbgen.generator.request import REPOSITORY

if TYPE_CHECKING:
    from tbgen.server.bench.point import Load
    from tbgen.server.bench.sweep import Report
    from tbgen.server.client.address import Address
    from tbgen.server.embedded.server import EmbeddedServer

_DEFAULT_CLIENTS = (1, 4, 16)


class Numbers(click.ParamType):
    """Positive numbers with commas between them: "1,4,16"."""

    name = "numbers"

    def __init__(self, kind: Callable[[str], float]) -> None:
        self.kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        try:
            numbers = tuple(self.kind(part) for part in str(value).split(","))
        except ValueError:
            numbers = ()
        if not numbers or not all(0 < number < float("inf") for number in numbers):
            self.fail(f"{value!r} is not a list of positive numbers such as 1,4,16", param, ctx)
        return numbers


@click.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@repository_option(OR_STARTED)
@server_options(
    "Once for each protocol. Default: one is started here, and asked over HTTP.", multiple=True, optional=True
)
@click.option("--metrics-url", help=f"With --url: the running Triton's metrics page, for instance {METRICS_PAGE}.")
@text_options("the bundled Korean corpus")
@click.option("--concurrency", type=Numbers(int), help="Clients of the closed loops. Default: 1,4,16 without --rate.")
@click.option("--rate", type=Numbers(float), help="Requests a second of the open loops.")
@click.option("--poisson", is_flag=True, help="With --rate: let the requests of open loops come at random, not evenly.")
@duration_option(10.0)
@warmup_option(2.0)
@click.option("--rounds", type=POSITIVE, default=1, show_default=True, help="Times that each point is measured.")
@click.option("--batch", type=POSITIVE, default=1, show_default=True, help="Texts in a request.")
@click.option("--requests", type=POSITIVE, default=256, show_default=True, help="Different requests to draw.")
@click.option(
    "--tolerance", type=TOLERANCE, default=1e-3, show_default=True, help="Most that a number in an answer may differ."
)
@timeout_option()
@click.option("--workers", type=POSITIVE, help="Load processes. Default: one for every 4 cores, over gRPC every 2.")
@json_option
@quiet_option
@click.option("--html", type=FILE_PATH, help="Write the report as one self-contained page.")
@goes_with("--url", "--metrics-url")
@goes_with("--rate", "--poisson")
def bench(names: tuple[str, ...], html: Path | None, **options: Any) -> None:
    """Each text is asked alone first; every answer under load must equal that one. NAME is a front model, or the name
    given to scaffold. Without --url the embedded Triton is started on the repository; with one of gRPC and one of HTTP
    both are measured. Exit status 1 when a request failed or an answer changed.
    """
    from tbgen.cli.show_bench import print_report
    from tbgen.export.files import write_whole
    from tbgen.server.bench.page import check_packages, page_from_report
    from tbgen.server.bench.report import json_from_report

    if html:
        check_packages()
    keep(NOTHING_MEASURED)
    found, end = whole_or_part(lambda: _measured(names, options), MEASURED_BEFORE)
    if html:
        write_whole(html, page_from_report(found).encode("utf-8"))
        notes().print(f"Page: {html}")
    report(json_from_report(found), lambda: print_report(found))
    end()
    sys.exit(bool(found.wrong))


def _measured(names: tuple[str, ...], options: dict[str, Any]) -> Report:
    """The report on a running server, on the embedded one if no other is named. Raises UserError."""
    from tbgen.server.bench.point import Timing
    from tbgen.server.bench.sweep import Plan, bench
    from tbgen.server.bench.texts import corpus_from_file
    from tbgen.server.client.address import Address

    corpus = corpus_from_file(options["text"])
    addresses, metrics = _addresses_from_urls(options["urls"], options["headers"]), options["metrics_url"]
    plan = Plan(
        _loads_from_options(options, [address.protocol for address in addresses] or ["http"]),
        Timing(options["duration"], options["warmup"], options["timeout"]),
        **{key: options[key] for key in ("rounds", "batch", "requests", "tolerance", "workers")},
    )
    repository = options["repository"]
    with ExitStack() as stack:
        if not addresses:
            repository = repository or Path(REPOSITORY)
            server = stack.enter_context(embedded_server(repository, names))
            addresses, metrics = [Address(server.http_url, "http")], server.metrics_url
        tell = stack.enter_context(status_line(notes()))
        return bench(names, addresses, corpus, plan, repository=repository, metrics=metrics, on_progress=tell)


def _loads_from_options(options: dict[str, Any], protocols: list[str]) -> list[Load]:
    """Closed loops, then open ones, of each protocol."""
    from tbgen.server.bench.point import Load

    clients = options["concurrency"] or (() if options["rate"] else _DEFAULT_CLIENTS)
    return [
        load
        for protocol in protocols
        for load in (
            *(Load(protocol, count) for count in clients),
            *(Load(protocol, 0, rate, options["poisson"]) for rate in options["rate"] or ()),
        )
    ]


def _addresses_from_urls(urls: tuple[str, ...], headers: dict[str, str]) -> list[Address]:
    """The addresses of one server, one a protocol. Raises UserError."""
    from tbgen.server.client.address import address_from_url

    found = [address_from_url(url, headers=headers) for url in urls]
    if len({address.protocol for address in found}) < len(found):
        raise click.UsageError("--url names one server: at most one address of gRPC and one of HTTP")
    return found


@contextmanager
def embedded_server(repository: Path, names: Sequence[str]) -> Iterator[EmbeddedServer]:
    """The embedded Triton on free ports, to ask models of these names. Raises NoSuchName, UserError."""
    from tbgen.cli.serve import start
    from tbgen.server.client.client import refuse_unknown
    from tbgen.server.embedded.server import server_on_free_ports

    refuse_unknown(repository, names)
    server = server_on_free_ports(repository)
    try:
        start(server)
        yield server
    finally:
        server.stop()
