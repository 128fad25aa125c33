"""`make bench`: every figure with its target, on this machine, now. `python -m benchmarks startup base tiny` picks."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import click

from benchmarks import gateway, hops, memory, served, startup, tokenizing
from benchmarks.record import keep, record_of, sentence_of
from benchmarks.table import Row, show
from tbgen.server.bench.machine import cpu_times

ALONE = {"startup": startup.rows, "memory": memory.rows}  # which say themselves how often and how long
STORIES = ("startup", "tokenizer", "hops", "base", "int8", "tiny", "memory", "gateway")


@click.command()
@click.argument("stories", nargs=-1, type=click.Choice(STORIES))
@click.option("--seconds", default=20.0, show_default=True, help="Length of each point.")
@click.option("--rounds", default=3, show_default=True, help="Times that each point is taken, interleaved.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="File that keeps each story's last figures.")
def main(stories: tuple[str, ...], seconds: float, rounds: int, file: Path | None) -> None:
    """Measure the named stories, all of them by default."""
    for story in stories or STORIES:
        before = cpu_times()
        rows = rows_of(story, seconds, rounds)
        how: tuple[int | None, float | None] = (None, None) if story in ALONE else (rounds, seconds)
        record = record_of(rows, *how, stolen=(cpu_times() - before).stolen)
        show(story, rows)
        print(sentence_of(record))
        if file:
            keep(file, story, record)


def rows_of(story: str, seconds: float, rounds: int) -> list[Row]:
    timed = {"tokenizer": tokenizing.rows, "hops": hops.rows, "gateway": gateway.rows}
    if story in ALONE:
        return ALONE[story]()
    return timed.get(story, partial(served.rows, story))(seconds=seconds, rounds=rounds)


if __name__ == "__main__":
    sys.exit(main())
