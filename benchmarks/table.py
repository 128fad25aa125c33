"""What every benchmark gives: rows of a figure, the target it is held against, and whether it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Row:
    """One figure; `holds` is None where there is no target; `padded`: the same over the padded layout's loop."""

    what: str
    figure: float
    target: str = ""
    holds: bool | None = None
    spread: str = ""
    padded: float | None = None


MARKS = {True: "holds", False: "[red]misses[/red]", None: ""}


def row_of(
    what: str,
    rounds: Sequence[float],
    *,
    least: float | None = None,
    most: float | None = None,
    spread: str = "",
    padded: float | None = None,
) -> Row:
    """The median of rounds, and whether it is at least or at most the target; `spread`: in place of the rounds."""
    figure = median(rounds)
    spread = spread or " ".join(f"{value:.3g}" for value in rounds if len(rounds) > 1)
    if least is not None:
        return Row(what, figure, f">= {least:g}", figure >= least, spread, padded)
    if most is not None:
        return Row(what, figure, f"<= {most:g}", figure <= most, spread, padded)
    return Row(what, figure, spread=spread, padded=padded)


def show(title: str, rows: list[Row]) -> None:
    beside = ["over the padded loop"] if any(row.padded is not None for row in rows) else []
    table = Table("what", "figure", "rounds", "target", "", *beside, title=title, title_justify="left")
    for row in rows:
        padded = [] if row.padded is None else [f"{row.padded:.3g}"]
        table.add_row(row.what, f"{row.figure:.3g}", row.spread, row.target, MARKS[row.holds], *padded)
    Console().print(table)
