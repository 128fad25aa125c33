"""What every benchmark gives: rows of a figure, the target it is held against, and whether it holds."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Row:
    """One figure; `holds` is None where there is no target."""

    what: str
    figure: float
    target: str = ""
    holds: bool | None = None
    spread: str = ""


MARKS = {True: "holds", False: "[red]misses[/red]", None: ""}


def show(title: str, rows: list[Row]) -> None:
    """Print rows as a table."""
    table = Table("what", "figure", "rounds", "target", "", title=title, title_justify="left")
    for row in rows:
        table.add_row(row.what, f"{row.figure:.3g}", row.spread, row.target, MARKS[row.holds])
    Console().print(table)
