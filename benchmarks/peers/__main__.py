"""`make peers`: other servers for transformers beside tbgen's graphs. Same weights, same texts, same load, one run."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import click

from benchmarks.peers.compare import CLIENTS, Comparison, Load, Measured, compare, over, story_of, targets
from benchmarks.peers.install import VENV_NAMES, VENVS, install, installed
from benchmarks.peers.peers import PRECISIONS
from benchmarks.record import Record, keep, page_of, record_of
from tbgen.server.bench.machine import cpu_times


@click.group(help=__doc__)
def main() -> None:
    """See the module's docstring."""


@main.command("install")
@click.argument("names", nargs=-1, type=click.Choice(VENV_NAMES))
def install_command(names: tuple[str, ...]) -> None:
    """Install the named peers, by default those that are not installed (7 GB). Exits with 1 if one cannot be."""
    failed = False
    for name in names or [each for each in VENV_NAMES if not installed(each)]:
        print(f"installing {name} in {VENVS / name}")
        try:
            install(name)
        except RuntimeError as error:
            failed = True
            print(f"{name} is not installed: {error}")
    sys.exit(int(failed))


@main.command("compare")
@click.option("--shape", type=click.Choice(list(CLIENTS)), default="base", show_default=True)
@click.option(
    "--precision",
    "precisions",
    type=click.Choice(PRECISIONS),
    multiple=True,
    default=("fp32",),
    show_default=True,
    help="May be given twice.",
)
@click.option("--seconds", default=5.0, show_default=True, help="Length of each point; half of it with one client.")
@click.option("--rounds", default=3, show_default=True, help="Times that each point is taken, interleaved.")
@click.option("--sweep/--no-sweep", default=True, help="Try the peers' settings first, or take the first ones.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="File that keeps the last comparisons.")
def compare_command(
    shape: str, precisions: tuple[str, ...], seconds: float, rounds: int, sweep: bool, file: Path | None
) -> None:
    """Compare, about a quarter of an hour for each precision, and print what the page of results shows."""
    if shape == "tiny" and "int8" in precisions:
        raise click.UsageError("INT8 moves the tiny shape's random answers too far to tell models apart; take base")
    before, load = cpu_times(), os.getloadavg()[0]
    found = compare(
        shape,
        precisions,
        seconds=seconds,
        rounds=rounds,
        sweep=sweep,
        on_progress=lambda line: click.echo(line, err=True),
    )
    kept = records_of(found, rounds, seconds, load=load, stolen=(cpu_times() - before).stolen)
    for story, record in kept.items():
        print(f"{story}\n\n{page_of(record)}\n")
        if file:
            keep(file, story, record)


def records_of(found: Comparison, rounds: int, seconds: float, *, load: float, stolen: float) -> dict[str, Record]:
    """Story -> what is kept of it; `load`: of the machine when the comparison began, `stolen`: seconds of its CPUs."""
    kept = {}
    for precision in dict.fromkeys(each.precision for each in found.measured):
        one = replace(found, measured=[each for each in found.measured if each.precision == precision])
        failures = [f"{each.name} did not run: {each.failure}." for each in one.measured if each.failure]
        note = " ".join([f"{found.clients} clients; load {load:.1f} when it began.", *failures])
        kept[story_of(found.shape, precision)] = record_of(
            targets(one), rounds, seconds, stolen=stolen, note=note, table=table_of(one)
        )
    return kept


def table_of(found: Comparison) -> list[list[str]]:
    """A row for each server: sentences/s over the bare FP32 loop's, latencies in ms."""
    many = f"{found.clients} clients"
    head = ["server", "settings", f"{many}: over bare (rounds)", "sentences/s", "p50, p99 ms"]
    rows = [[each.name, each.settings, *cells(each, found)] for each in found.measured]
    bare = ["bare loop, fp32", "", "1", f"{median(found.bare_many):.1f}", "", "1", ""]
    return [[*head, "one client: over bare", "p50 ms"], *rows, bare]


def cells(each: Measured, found: Comparison) -> list[str]:
    if each.failure:
        return ["did not run", *[""] * 4]
    share, share_of_one = over(each.many, found.bare_many), over(each.one, found.bare_one)
    return [
        f"{median(share):.2f} ({' '.join(f'{value:.2f}' for value in share)})",
        f"{median(load.rate for load in each.many):.1f}",
        f"{middle(each.many, 'p50')}, {middle(each.many, 'p99')}",
        f"{median(share_of_one):.2f}",
        middle(each.one, "p50"),
    ]


def middle(loads: Sequence[Load], figure: str) -> str:
    """A latency: tenths where they are telling."""
    value = median(getattr(load, figure) for load in loads)
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"


if __name__ == "__main__":
    main()
