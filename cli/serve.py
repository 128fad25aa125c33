"""`tbgen serve`: the embedded Triton on a model repository, until Ctrl-C."""

from __future__ import annotations

import shlex
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tbgen.cli.options import FILE_PATH, PORT, goes_with, host_option, json_option, quiet_option, repository_argument
from tbgen.cli.show import has_flag, notes, output, report, say, say_answered, status_line
from tbgen.generator.addresses import GATEWAY, GRPC, HTTP, METRICS
from tbgen.server.embedded.process import CONTROL_MODES

if TYPE_CHECKING:
    from rich.table import Table

    from tbgen.server.embedded.models import ServedModel
    from tbgen.server.embedded.server import EmbeddedServer


@click.command()
@repository_argument
@click.option("--http-port", type=PORT, default=HTTP, show_default=True, help="Port of the HTTP protocol.")
@click.option("--grpc-port", type=PORT, default=GRPC, show_default=True, help="Port of the gRPC protocol.")
@click.option("--metrics-port", type=PORT, default=METRICS, show_default=True, help="Port of the Prometheus metrics.")
@host_option
@click.option(
    "--model-control-mode",
    "mode",
    type=click.Choice(list(CONTROL_MODES)),
    default="none",
    show_default=True,
    help="poll: look for changes in REPOSITORY every second; explicit: load and unload on request.",
)
@click.option(
    "--cache-size",
    type=click.IntRange(min=0),
    metavar="BYTES",
    help="Size of the response cache, 0 for none. Default: 64 MiB if a model asks for it.",
)
@click.option("--ui", is_flag=True, help="Start `tbgen gateway` too: a page to try the models on, and its endpoints.")
@click.option("--ui-port", type=PORT, default=GATEWAY, show_default=True, help="With --ui: port of that page.")
@click.option(
    "--trace", metavar="ADDRESS", help="OpenTelemetry collector for a trace of each request: http://HOST:4318."
)
@click.option("--log", type=FILE_PATH, help="File for the server's log.")
@click.option("--no-check", is_flag=True, help="Start the server also where `tbgen check` finds errors.")
@click.option("-v", "--verbose", is_flag=True, help="Show the server's log while it runs.")
@json_option
@quiet_option
@goes_with("--ui", "--ui-port")
def serve(
    repository: Path,
    mode: str,
    cache_size: int | None,
    ui: bool,
    ui_port: int,
    trace: str | None,
    no_check: bool,
    verbose: bool,
    **listening: Any,
) -> None:
    """REPOSITORY is served until Ctrl-C; its default is model_repository.

    For development, tests and small machines: the real tritonserver, with ONNX models on this Python's onnxruntime.
    """
    from tbgen.server.embedded.cache import cache_arguments
    from tbgen.server.embedded.server import EmbeddedServer
    from tbgen.server.embedded.traces import trace_arguments

    extra = (*CONTROL_MODES[mode], *cache_arguments(repository, cache_size), *trace_arguments(trace))
    server = EmbeddedServer(repository, extra_arguments=extra, **listening)
    if not no_check:
        _refuse_errors(repository)
    with _stop_on_signal(), _stopping(server), _page(server, ui_port if ui else None) as start_page:
        start(server)
        page = start_page()
        report(_record_of(server) | ({"page": page} if page else {}), lambda: _print_server(server, page))
        _wait(server, verbose)


@contextmanager
def _page(server: EmbeddedServer, port: int | None) -> Iterator[Callable[[], str]]:
    """What starts the gateway before the server and tells its address; without a port none, and empty."""
    if port is None:
        yield str
        return
    from tbgen.server.client.address import Address
    from tbgen.server.gateway.serving import gateway_beside
    from tbgen.server.gateway.settings import GatewaySettings

    settings = GatewaySettings(Address(server.grpc_url, "grpc"), repository=server.repository)
    with gateway_beside(settings, server.host, port) as start_page:
        yield start_page


def _refuse_errors(repository: Path) -> None:
    """Raise UserError with what `tbgen check` finds; on some of it, as no model.py, Triton waits without end."""
    from tbgen.export.errors import UserError
    from tbgen.generator.check.check import check_repository
    from tbgen.generator.repository import has_models
    from tbgen.server.embedded.wheel import installed_wheel

    installed_wheel()  # without it nothing is served, whatever the repository
    if not has_models(repository):
        return  # the server says it, where it may not be
    wrong = [finding for finding in check_repository(repository) if finding.severity == "error"]
    if wrong:
        found = "\n".join(f"  {finding.place}: {finding.says}; {finding.mend}" for finding in wrong)
        raise UserError(f"Triton would not serve {str(repository)!r}; mend it, or start with --no-check:\n{found}")


def start(server: EmbeddedServer) -> None:
    """Start the server with a line that counts the seconds."""
    line = f"Starting Triton on {server.repository}"
    with status_line(notes()) as tell:
        tell(line)
        server.start(on_wait=lambda seconds: tell(f"{line}: {seconds:.0f} s"))


def _record_of(server: EmbeddedServer) -> dict[str, Any]:
    """Where the server listens and what it serves, as plain values."""
    return {
        "http": f"http://{server.http_url}",
        "grpc": f"grpc://{server.grpc_url}",
        "metrics": server.metrics_url,
        "models": [asdict(model) for model in server.models()],
    }


def _print_server(server: EmbeddedServer, page: str) -> None:
    """Where the server listens, what it serves and keeps, how to ask it."""
    from tbgen.generator.role import FRONT, written_models
    from tbgen.server.embedded.cache import models_that_ask

    out, models = output(), server.models()
    out.print(f"HTTP     http://{server.http_url}")
    out.print(f"gRPC     grpc://{server.grpc_url}")
    out.print(f"metrics  {server.metrics_url}")
    if page:
        out.print(f"page     {page}")
    out.print(_model_table(models))
    kept = ", ".join(models_that_ask(server.repository))
    if kept and any(each.startswith("--cache-config") for each in server.extra_arguments):
        out.print(f"Equal requests are answered from a cache: {kept}")
    takers = [model.name for model in models if model.inputs == ("input_text",)]
    if takers:
        fronts = [name for name, model in written_models(server.repository).items() if model.role.part == FRONT]
        front = min(takers, key=lambda name: name not in fronts)
        url = "" if server.ports["gRPC"] == GRPC else f" --url grpc://{server.grpc_url}"
        out.print(f"Ask it: tbgen infer {shlex.quote(front)}{url} TEXT")
    if server.open_to_others:
        out.print(
            f"{server.host} is open to other machines, without a password: one request of theirs can end this Triton"
            " (docs/explanation/reliability.md); let only those reach it that you trust",
            style="yellow",
        )
    out.print("Stop it: Ctrl-C")
    _ask(server, models)


def _ask(server: EmbeddedServer, models: Sequence[ServedModel]) -> None:
    """Ask each model of which an item is known in Korean with emoji: a locale or a step that cannot read it shows."""
    from tbgen.server.client.connection import Connection
    from tbgen.server.client.smoke import smoke

    out, answered = output(), list[str]()
    ready = dict.fromkeys(model.name for model in models if model.state == "READY")
    with Connection(f"grpc://{server.grpc_url}") as connection:
        for asked in smoke(connection, [server.repository / name for name in ready]):
            if asked.unknown:
                out.print(f"{asked.model} is not asked: {asked.unknown}")
            elif asked.wrong:
                out.print(f"{asked.model} cannot answer Korean with emoji: {asked.wrong}", style="yellow")
            else:
                answered.append(asked.model)
    if answered:
        say_answered(answered)


def _model_table(models: list[ServedModel]) -> Table:
    """One row a model: what runs it, what it takes and gives; versions and states where they are not as ever."""
    from rich import box
    from rich.table import Table

    columns: dict[str, list[str]] = {"model": [model.name for model in models]}
    if any(model.version != "1" for model in models):
        columns["version"] = [model.version for model in models]
    if any(model.state != "READY" for model in models):
        columns["state"] = [f"{model.state} {model.reason}".strip() for model in models]
    columns["backend"] = [model.backend for model in models]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for header in columns:
        table.add_column(header, no_wrap=header != "state", overflow="fold")
    table.add_column("takes -> gives")
    wires = [f"{', '.join(model.inputs)} -> {', '.join(model.outputs)}" for model in models]
    for row in zip(*columns.values(), wires, strict=True):
        table.add_row(*row)
    return table


def _wait(server: EmbeddedServer, verbose: bool) -> None:
    """Watch the server, and show what stands in its log of that, or all of it. Raises UserError."""
    from tbgen.server.embedded.log import NOTE, lines_to_show
    from tbgen.server.embedded.watch import ServerWatch

    watch, read = ServerWatch(server), 0
    while True:
        with server.log_file.open(encoding="utf-8", errors="backslashreplace") as log:
            log.seek(read)
            started_again = False
            while not started_again:
                started_again = watch.look()
                for line in lines_to_show(log):
                    if verbose or line.startswith(NOTE):
                        say(line.rstrip("\n"), note=True)
                time.sleep(0.2)
            read = log.tell() if server.log else 0  # a log of its own begins anew


@contextmanager
def _stopping(server: EmbeddedServer) -> Iterator[None]:
    """Stop the server when the block is left; a Ctrl-C there is the wanted end, a second one stops at once."""
    try:
        yield
    except KeyboardInterrupt:
        if not has_flag("quiet"):
            notes().print("Stopping Triton")
    finally:
        server.stop()


@contextmanager
def _stop_on_signal() -> Iterator[None]:
    """SIGTERM and a closed terminal count as a Ctrl-C."""

    def interrupt(number: int, frame: object) -> None:  # noqa: ARG001
        raise KeyboardInterrupt

    signals = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
        signals.append(signal.SIGHUP)
    before = {each: signal.signal(each, interrupt) for each in signals}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
