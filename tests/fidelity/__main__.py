"""`make fidelity`: every cell of the table, and the page with what was found; exits with 1 where answers differ."""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path

import transformers

from tbgen.export.layout import PACKED
from tests.fidelity.cells import CELLS, EVERY, Cell, Library, measured
from tests.fidelity.measure import Found
from tests.fidelity.page import page
from tests.fidelity.triton import measured_on_triton

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "fidelity.md"
ON_TRITON = ("bert", PACKED)


def results() -> dict[Cell, dict[str, Found]]:
    """All cells, those of one checkpoint behind one another."""
    found: dict[Cell, dict[str, Found]] = {}
    for family, case in dict.fromkeys((cell.family, cell.case) for cell in CELLS):
        with tempfile.TemporaryDirectory() as folder:
            library = Library(family, case, Path(folder))
            for cell in (cell for cell in CELLS if (cell.family, cell.case) == (family, case)):
                found[cell] = measured(cell, library, Path(folder) / cell.layout)
                say(f"{len(found)} of {len(CELLS)}: {cell}", found[cell])
    return found


def results_on_triton() -> dict[Cell, dict[str, Found]]:
    """All cases of one family on one server."""
    asked = {cell: EVERY for cell in CELLS if (cell.family, cell.layout) == ON_TRITON}
    with tempfile.TemporaryDirectory() as folder:
        found = measured_on_triton(asked, Path(folder))
    for cell, roads in found.items():
        say(f"on Triton: {cell}", roads)
    return found


def say(what: str, found: dict[str, Found]) -> None:
    """One line of progress."""
    each = [f"{road} {one.largest:.0e}{'' if one.holds else ' DIFFERS'}" for road, one in found.items()]
    print(f"{what}: {', '.join(each)}", flush=True)


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    warnings.simplefilter("ignore")  # the libraries' own
    alone, served = results(), results_on_triton()
    PAGE.write_text(page(alone, served), encoding="utf-8")
    sys.exit(not all(each.holds for roads in (*alone.values(), *served.values()) for each in roads.values()))
