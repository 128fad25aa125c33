"""What `tbgen capacity` found, in the terminal: replicas, the runs that they are reckoned from, what is assumed."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from tbgen.cli.show import output
from tbgen.cli.show_bench import table_of_numbers
from tbgen.server.bench.report import milliseconds
from tbgen.server.capacity.cost import RunCost, TimedRun
from tbgen.server.capacity.report import CapacityReport, PartialCapacity, assumptions, cost_of_million
from tbgen.server.capacity.simulation import SPLITS
from tbgen.server.capacity.sizing import Fleet, Waiting


def print_capacity(report: CapacityReport | PartialCapacity, price: float | None) -> None:
    """The answer, then what it stands on; of an interrupted bench what it timed."""
    out = output()
    if isinstance(report, PartialCapacity):
        out.print(f"{report.model}: {report.missing}", style="bold red")
        out.print(_table_of_runs(report.runs, report.unit))
        return
    goal = report.goal
    out.print(
        f"{report.measured.model}: {goal.rate:g} requests/s, 99 of 100 within {goal.p99 * 1000:g} ms", style="bold"
    )
    out.print(f"One replica answers {report.capacity:,.1f} requests/s at most, on {_size(report)}")
    out.print(_fleets(report, price))
    out.print(_table_of_runs(report.measured.runs, report.measured.unit, report.measured.replica.cost))
    if report.checks:
        out.print(_checks(report))
    if report.missing:
        out.print(report.missing, style="bold red")
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


def _table_of_runs(runs: Sequence[TimedRun], unit: str, cost: RunCost | None = None) -> Table:
    """What was timed, and what the fitted cost makes of it."""
    table = table_of_numbers("Runs, in ms", unit, "measured", *(["fitted", "off"] if cost else []))
    table.columns[0].header = "requests"
    for run in runs:
        fitted = (
            [milliseconds(cost.seconds(run.requests, run.tokens) * 1000), f"{cost.error(run):+.0%}"] if cost else []
        )
        table.add_row(f"{run.requests:.1f}", f"{run.tokens:.0f}", milliseconds(run.seconds * 1000), *fitted)
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
