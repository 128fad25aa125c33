"""`make bench`: every figure with its target, on this machine, now. `python -m benchmarks startup base tiny` picks."""

from __future__ import annotations

import platform
import sys
from functools import partial

import click

from benchmarks import gateway, hops, memory, served, startup, tokenizing
from benchmarks.table import Row, show
from tbgen.server.bench.machine import cores, cpu_times, processor

STORIES = ("startup", "tokenizer", "hops", "base", "int8", "tiny", "memory", "gateway")


@click.command()
@click.argument("stories", nargs=-1, type=click.Choice(STORIES))
@click.option("--seconds", default=20.0, show_default=True, help="Length of each point.")
@click.option("--rounds", default=3, show_default=True, help="Times that each point is taken, interleaved.")
def main(stories: tuple[str, ...], seconds: float, rounds: int) -> None:
    """Measure the named stories, all of them by default."""
    before = cpu_times()
    for story in stories or STORIES:
        show(story, rows_of(story, seconds, rounds))
    stolen = (cpu_times() - before).stolen
    print(f"{processor()}, {cores()} cores, Python {platform.python_version()}; steal {stolen:.1f} s")


def rows_of(story: str, seconds: float, rounds: int) -> list[Row]:
    alone = {"startup": startup.rows, "memory": memory.rows}
    timed = {"tokenizer": tokenizing.rows, "hops": hops.rows, "gateway": gateway.rows}
    if story in alone:
        return alone[story]()
    return timed.get(story, partial(served.rows, story))(seconds=seconds, rounds=rounds)


if __name__ == "__main__":
    sys.exit(main())
