"""`tbgen bench`: how fast a served model answers real texts, where the time goes, whether the answers stay right."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tbgen.cli.repository import ModelRepository

if TYPE_CHECKING:
    from rich.console import Console

    from tbgen.server.bench.point import Load
    from tbgen.server.bench.sweep import OnProgress, Report
    from tbgen.server.embedded.server import EmbeddedServer

PROTOCOLS = {"http": ("http",), "grpc": ("grpc",), "both": ("http", "grpc")}
FILE = click.Path(path_type=Path, dir_okay=False)
SECONDS = click.FloatRange(min=0, min_open=True)
POSITIVE = click.IntRange(min=1)
DEFAULT_CLIENTS = (1, 4, 16)


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


@click.command(short_help="Measure a served model on real texts: rates, latencies, stages, padding.")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option(
    "-r",
    "--repository",
    type=ModelRepository(),
    help="The server's model repository. Default: model_repository; with --url none.",
)
@click.option("--url", "urls", multiple=True, help="[http://|grpc://]host:port of a running Triton; repeatable.")
@click.option("--metrics-url", help="The running Triton's metrics page, for instance http://localhost:8002/metrics.")
@click.option("--protocol", type=click.Choice(list(PROTOCOLS)), default="http", show_default=True, help="How to ask.")
@click.option("--text", type=FILE, help="File of texts: lines, or a .csv. Default: the bundled Korean corpus.")
@click.option("--column", help="Column of the .csv that holds the texts.")
@click.option("--concurrency", type=Numbers(int), help="Clients of the closed loops. Default: 1,4,16 without --rate.")
@click.option("--rate", type=Numbers(float), help="Requests a second of the open loops.")
@click.option("--poisson", is_flag=True, help="Let the requests of open loops come at random, not evenly.")
@click.option("--duration", type=SECONDS, default=10.0, show_default=True, help="Seconds that a point is measured.")
@click.option("--warmup", type=SECONDS, default=2.0, show_default=True, help="Seconds of load before that.")
@click.option("--rounds", type=POSITIVE, default=1, show_default=True, help="Times that each point is measured.")
@click.option("--batch", type=POSITIVE, default=1, show_default=True, help="Texts in a request.")
@click.option("--requests", type=POSITIVE, default=256, show_default=True, help="Different requests to draw.")
@click.option(
    "--tolerance", type=float, default=1e-3, show_default=True, help="Most that a number in an answer may differ."
)
@click.option("--timeout", type=SECONDS, default=60.0, show_default=True, help="Seconds to wait for an answer.")
@click.option("--workers", type=POSITIVE, help="Load processes. Default: one for every 4 cores, over gRPC every 2.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--html", type=FILE, help="Write the report as one self-contained page.")
def bench(names: tuple[str, ...], as_json: bool, html: Path | None, **options: Any) -> None:
    """Measure the models NAMEs on real texts.

    Each text is asked alone first; every answer under load must equal that one. NAME is a front model, or the name
    given to scaffold. Without --url the embedded Triton is started on the repository. Exit status 1 when a request
    failed or an answer changed.
    """
    from rich.console import Console

    from tbgen.cli.show_bench import show
    from tbgen.server.bench.page import check_packages, page_from_report
    from tbgen.server.bench.report import json_from_report

    progress = Console(stderr=True)
    if html:
        check_packages()
    report = run(names, options, progress)
    if html:
        html.write_text(page_from_report(report), encoding="utf-8")
        progress.print(f"Page: {html}", highlight=False)
    if as_json:
        click.echo(json.dumps(json_from_report(report), ensure_ascii=False, indent=2))
    else:
        show(report, Console())
    sys.exit(bool(report.wrong))


def run(names: tuple[str, ...], options: dict[str, Any], console: Console) -> Report:
    """Measure with a progress bar, on the embedded server if no other is named. Raises UserError."""
    from tbgen.server.bench.point import Timing
    from tbgen.server.bench.sweep import Plan
    from tbgen.server.bench.sweep import bench as measure
    from tbgen.server.bench.texts import corpus_from_file, own_corpus

    corpus = corpus_from_file(options["text"], options["column"]) if options["text"] else own_corpus()
    plan = Plan(
        loads_from_options(options),
        Timing(options["duration"], options["warmup"], options["timeout"]),
        **{key: options[key] for key in ("rounds", "batch", "requests", "tolerance", "workers")},
    )
    repository = options["repository"]
    with ExitStack() as stack:
        if not options["urls"]:
            repository = repository or Path("model_repository")
            server = stack.enter_context(embedded_server(repository, console))
            urls, metrics = {"http": server.http_url, "grpc": server.grpc_url}, server.metrics_url
        else:
            metrics = options["metrics_url"]
            urls = urls_from_options(options["urls"], options["protocol"])
        urls = {protocol: urls[protocol] for protocol in PROTOCOLS[options["protocol"]]}
        on_progress = stack.enter_context(progress_bar(console))
        return measure(names, urls, corpus, plan, repository=repository, metrics=metrics, on_progress=on_progress)


def loads_from_options(options: dict[str, Any]) -> list[Load]:
    """Closed loops, then open ones, of each protocol."""
    from tbgen.server.bench.point import Load

    clients = options["concurrency"] or (() if options["rate"] else DEFAULT_CLIENTS)
    return [
        load
        for protocol in PROTOCOLS[options["protocol"]]
        for load in (
            *(Load(protocol, count) for count in clients),
            *(Load(protocol, 0, rate, options["poisson"]) for rate in options["rate"] or ()),
        )
    ]


def urls_from_options(urls: tuple[str, ...], protocol: str) -> dict[str, str]:
    """Protocol -> address. An address without a scheme is of the one protocol that is asked for."""
    found = {"grpc" if url.startswith("grpc") else "http": url for url in urls if "://" in url}
    plain = [url for url in urls if "://" not in url]
    if plain and protocol != "both":
        found.setdefault(protocol, plain[0])
    if missing := [name for name in PROTOCOLS[protocol] if name not in found]:
        raise click.UsageError(f"no address for {missing[0]}; give --url {missing[0]}://HOST:PORT")
    return found


@contextmanager
def embedded_server(repository: Path, console: Console) -> Iterator[EmbeddedServer]:
    """The embedded Triton on free ports."""
    from tbgen.cli.serve import start
    from tbgen.server.embedded.server import server_on_free_ports

    server = server_on_free_ports(repository)
    try:
        start(server, console)
        yield server
    finally:
        server.stop()


@contextmanager
def progress_bar(console: Console) -> Iterator[OnProgress]:
    """A bar with what runs now; on a pipe a line for each new thing."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    if not console.is_terminal:
        yield lines_of_progress(console)
        return
    percent, subject = TextColumn("{task.percentage:>3.0f}%"), TextColumn("{task.description}")
    with Progress(BarColumn(), percent, TimeRemainingColumn(), subject, console=console, transient=True) as progress:
        task = progress.add_task("Starting", total=1.0)
        yield lambda text, share: progress.update(task, description=text, completed=share)


def lines_of_progress(console: Console) -> OnProgress:
    """Print the part of each text before the colon when it is new."""
    seen: set[str] = set()

    def show(text: str, share: float) -> None:
        subject = text.partition(":")[0]
        if subject not in seen:
            seen.add(subject)
            console.print(f"{share:4.0%} {subject}", highlight=False)

    return show
