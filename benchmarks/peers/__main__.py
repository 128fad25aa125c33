"""`make peers`: other servers for transformers beside tbgen's graphs. Same weights, same texts, same load, one run."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from statistics import median

import click

from benchmarks.peers.compare import CLIENTS, Comparison, Load, Measured, compare, over, targets
from benchmarks.peers.install import VENV_NAMES, VENVS, install, installed
from benchmarks.peers.peers import PRECISIONS
from benchmarks.table import show
from tbgen.server.bench.machine import cores, cpu_times, processor


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
def compare_command(shape: str, precisions: tuple[str, ...], seconds: float, rounds: int, sweep: bool) -> None:
    """Compare, about a quarter of an hour for each precision, and print the tables, the first in Markdown."""
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
    print(markdown(table_of(found)))
    for each in found.measured:
        if each.failure:
            print(f"\n{each.name}, {each.precision}, did not run: {each.failure}")
    show("tbgen over the others, the same round", targets(found))
    print(
        f"{processor()}, {cores()} cores, Python {platform.python_version()}; {rounds} rounds of {seconds:g} s; "
        f"load {load:.1f} when it began; steal {(cpu_times() - before).stolen:.1f} s"
    )


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table for docs/explanation/performance.md, its head the first row."""
    head, *body = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *body))


def table_of(found: Comparison) -> list[list[str]]:
    """A row for each server: sentences/s over the bare FP32 loop's, latencies in ms."""
    many = f"{found.clients} clients"
    head = ["server", "settings", f"{many}: over bare (rounds)", "sentences/s", "p50, p99 ms"]
    rows = [[f"{each.name}, {each.precision}", each.settings, *cells(each, found)] for each in found.measured]
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
