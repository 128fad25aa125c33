"""`tbgen capacity`: how many replicas a rate needs, from a short bench of one and a simulation of their queues."""

from __future__ import annotations

import re
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tbgen.cli.options import (
    OR_STARTED,
    SECONDS,
    duration_option,
    json_option,
    quiet_option,
    repository_option,
    server_options,
    text_options,
)
from tbgen.cli.show import MEASURED_BEFORE, NOTHING_MEASURED, keep, notes, report, status_line, whole_or_part
from tbgen.cli.suggested import completed, words_given
from tbgen.generator.request import REPOSITORY

if TYPE_CHECKING:
    from tbgen.generator.texts import TextFile
    from tbgen.server.capacity.report import CapacityReport
    from tbgen.server.capacity.sizing import Goal


class Duration(click.ParamType):
    """A time with its unit, in seconds: "100ms", "0.5s"."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s)", str(value))
        if not match or not float(match[1]):
            self.fail(f"{value!r} is not a time such as 100ms or 0.5s", param, ctx)
        return float(match[1]) / (1000 if match[2] == "ms" else 1)


@click.command()
@click.argument("name")
@click.option("--rate", type=SECONDS, required=True, help="Requests of one text a second, at random times.")
@click.option("--p99", type=Duration(), required=True, help="Time within which 99 of 100 are answered, such as 100ms.")
@repository_option(OR_STARTED)
@server_options("Default: one is started here.", optional=True)
@text_options("the bundled Korean corpus")
@duration_option(3.0)
@click.option("--price", type=SECONDS, help="Price of a replica an hour, in any currency: says what texts cost.")
@click.option("--check", is_flag=True, help="Hold the simulation against open loops on the replica, at two rates.")
@json_option
@quiet_option
def capacity(rate: float, p99: float, price: float | None, **options: Any) -> None:
    """One replica of the front model NAME is measured: what a run takes by the texts and tokens in it. Then its queue
    is simulated, for as many replicas as keep the p99, with requests dealt out by two rules. A replica is the server as
    it is here: its cores, its memory, its GPUs.
    """
    from tbgen.cli.show_capacity import print_capacity
    from tbgen.server.capacity.report import json_from_capacity
    from tbgen.server.capacity.sizing import Goal

    keep(NOTHING_MEASURED)
    given = words_given("rate", "p99", "price", "check")
    with completed(given, command="tbgen bench"):
        found, end = whole_or_part(lambda: _report(Goal(rate, p99), **options), MEASURED_BEFORE)
    report(json_from_capacity(found, price), lambda: print_capacity(found, price))
    end()


def _report(
    goal: Goal,
    *,
    name: str,
    repository: Path | None,
    url: str | None,
    headers: dict[str, str],
    text: TextFile | None,
    duration: float,
    check: bool,
) -> CapacityReport:
    """Of a running server, or of the embedded one. Raises UserError."""
    from tbgen.cli.bench import embedded_server
    from tbgen.export.interrupt import partial_result
    from tbgen.server.bench.machine import cores
    from tbgen.server.bench.texts import corpus_from_file
    from tbgen.server.capacity.measurement import ReplicaBench
    from tbgen.server.capacity.report import LOADS, CapacityReport, Check, PartialCapacity, Size, checks_of
    from tbgen.server.capacity.sizing import Sizing
    from tbgen.server.client.address import Address, address_from_url
    from tbgen.server.client.connection import Connection
    from tbgen.server.embedded.memory import memory_of

    corpus, server = corpus_from_file(text), None
    with ExitStack() as stack:
        if url is None:
            repository = repository or Path(REPOSITORY)
            server = stack.enter_context(embedded_server(repository, [name]))
        address = Address(server.http_url, "http") if server else address_from_url(url, headers=headers)
        connection = stack.enter_context(Connection(address))
        tell = stack.enter_context(status_line(notes()))
        bench = ReplicaBench(connection, name, corpus, duration, repository, tell, LOADS * check)
        with partial_result(lambda: PartialCapacity(bench.model, bench.unit, bench.runs) if bench.runs else None):
            measured = bench.measured()
            taken = memory_of(server.process.pid) if server and server.process else None
            size = Size(cores(), taken.resident + taken.shared) if taken else Size(None, None)
            sizing = Sizing(measured.replica, measured.texts)
            found = CapacityReport(goal, measured, size, sizing.capacity, sizing.fleets(goal), [])
        checks = list[Check]()
        with partial_result(
            lambda: replace(found, checks=checks, missing="interrupted: not all loops of --check were run")
        ):
            for each in checks_of(bench, sizing) if check else ():
                checks.append(each)
        return replace(found, checks=checks)
