"""What `tbgen capacity` found, in the terminal: replicas, the runs that they are reckoned from, what is assumed."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from tbgen.cli.show import output
from tbgen.cli.show_bench import table_of_numbers
from tbgen.server.bench.report import milliseconds
from tbgen.server.capacity.report import CapacityReport, assumptions, cost_of_million
from tbgen.server.capacity.simulation import SPLITS
from tbgen.server.capacity.sizing import Fleet, Waiting


def print_capacity(report: CapacityReport, price: float | None) -> None:
    """The answer, then what it stands on."""
    out, goal = output(), report.goal
    out.print(
        f"{report.measured.model}: {goal.rate:g} requests/s, 99 of 100 within {goal.p99 * 1000:g} ms", style="bold"
    )
    out.print(f"One replica answers {report.capacity:,.1f} requests/s at most, on {_size(report)}")
    out.print(_fleets(report, price))
    out.print(_runs(report))
    if report.checks:
        out.print(_checks(report))
    for sentence in assumptions(report.measured, here=report.size.cores is not None):
        out.print(Text(f"- {sentence}"))


def _size(report: CapacityReport) -> str:
    """A replica's machine, for people."""
    size, gpu = report.size, report.measured.gpu
    parts = [
        f"{size.cores} cores" if size.cores else "",
        f"{size.memory / 1e6:,.0f} MB" if size.memory else "",
        f"{gpu.gpus} GPU with {gpu.memory / 1e6:,.0f} MB taken" if gpu else "",
    ]
    return ", ".join(filter(None, parts)) or "a machine that is not this one"


def _fleets(report: CapacityReport, price: float | None) -> Table:
    """A column for each fleet: what it is made of, how long requests wait, also with one replica lost."""
    columns = [SPLITS[fleet.split] if at % 2 == 0 else "and one more" for at, fleet in enumerate(report.fleets)]
    table = table_of_numbers("Replicas by how requests go to them; latencies in ms", *columns)
    table.columns[0].header = ""
    columns_of_rows = [_fleet_rows(fleet, report, price) for fleet in report.fleets]
    for name in columns_of_rows[0]:
        table.add_row(name, *(rows[name] for rows in columns_of_rows))
    return table


def _fleet_rows(fleet: Fleet, report: CapacityReport, price: float | None) -> dict[str, str]:
    """A fleet's cells by the names of their rows."""
    size, gpu, count = report.size, report.measured.gpu, fleet.replicas
    rows = {
        "replicas": str(count),
        "cores": str(size.cores * count) if size.cores else "-",
        "memory, GB": f"{size.memory * count / 1e9:.1f}" if size.memory else "-",
        **({"GPUs": str(gpu.gpus * count)} if gpu else {}),
        **dict(zip(("p50", "p99", "busy"), _cells(fleet.expected), strict=True)),
        "one lost: p99": _cells(fleet.one_lost)[1] if fleet.one_lost else "too few",
        "one lost: busy": _cells(fleet.one_lost)[2] if fleet.one_lost else "-",
        "keeps the p99 up to": f"{fleet.most:,.0f}/s",
    }
    return rows | (
        {} if price is None else {"price of a million": f"{cost_of_million(fleet, report.goal.rate, price):,.2f}"}
    )


def _cells(expected: Waiting) -> list[str]:
    """p50, p99, busy."""
    return [milliseconds(expected.p50 * 1000), milliseconds(expected.p99 * 1000), f"{expected.busy:.0%}"]


def _runs(report: CapacityReport) -> Table:
    """What was timed, and what the fitted cost makes of it."""
    cost = report.measured.replica.cost
    table = table_of_numbers("Runs, in ms", report.measured.unit, "measured", "fitted", "off")
    table.columns[0].header = "requests"
    for run in report.measured.runs:
        fitted = cost.seconds(run.requests, run.tokens)
        times = [milliseconds(seconds * 1000) for seconds in (run.seconds, fitted)]
        table.add_row(f"{run.requests:.1f}", f"{run.tokens:.0f}", *times, f"{cost.error(run):+.0%}")
    return table


def _checks(report: CapacityReport) -> Table:
    """Open loops, each above what is simulated of it."""
    table = table_of_numbers(
        "Open loops on this replica; latencies in ms", "answers", "unanswered", "p50", "p99", "busy"
    )
    for check in report.checks:
        table.add_row(f"{check.rate:.1f}/s", str(check.answers), str(check.unanswered), *_cells(check.measured))
        table.add_row("  simulated", "", "", *_cells(check.simulated))
        low, high = (milliseconds(seconds * 1000) for seconds in check.spread)
        table.add_row("  9 of 10 such loops", "", "", "", f"{low} to {high}", "")
    return table
