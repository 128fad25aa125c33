"""The cells of the table, family by case by layout, each served in all graphs of its task; and those that CI asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import transformers

from tbgen.export.families import FAMILIES
from tbgen.export.layout import LAYOUTS, PADDED
from tbgen.generator.local.models import LocalModels
from tbgen.generator.scaffold import Request, scaffold
from tests.fidelity.cases import CASES, Case, Named, Tensors
from tests.fidelity.libraries import Item
from tests.fidelity.made import written
from tests.fidelity.measure import Answer, Found, compared

EVERY = ("both", "single")  # the graphs of a task, in the words of --graph
TOGETHER = 7  # items of one request, so that short texts stand beside long ones
Infer = Callable[[str, dict[str, np.ndarray], dict[str, Any]], Tensors]


@dataclass(frozen=True)
class Cell:
    """One model repository, and what its graphs are asked."""

    family: str
    case: str
    layout: str

    @property
    def row(self) -> Case:
        return CASES[self.case]

    def __str__(self) -> str:
        return f"{self.family}, {self.case}, {self.layout}"


CELLS = [
    Cell(family, case, layout)
    for family, row in FAMILIES.items()
    for case in CASES
    for layout in LAYOUTS
    if row.encoder or layout == PADDED
]


class Library:
    """A checkpoint of a family for a case, and what its library answers to each item; asked once for all layouts."""

    def __init__(self, family: str, case: str, folder: Path) -> None:
        row = CASES[case]
        self.folder = written(folder, family, row.auto, row.labels, row.encoder, **row.settings)
        self.items: Named = row.items(transformers.AutoTokenizer.from_pretrained(self.folder))
        ask = row.asked(self.folder)
        self.answers: dict[str, Answer] = {name: ask(item) for name, item in self.items.items()}

    def check(self, row: Case, infer: Infer, model: str, *, alone: bool = True) -> Found:
        """Ask a front model several items in a request, and each by itself."""
        names, parameters = list(self.items), dict(row.parameters)
        groups = [names[number : number + TOGETHER] for number in range(0, len(names), TOGETHER)]
        groups += [[name] for name in names] if alone else []
        found = Found()
        for group in groups:
            answer = infer(model, tensors_of([self.items[name] for name in group]), parameters)
            for number, name in enumerate(group):
                found += compared(name, self.answers[name], row.served(answer, number))
        return found


def scaffolded(
    cell: Cell, checkpoint: Path, repository: Path, graphs: Sequence[str], name: str = "m"
) -> dict[str, str]:
    """The front models of a cell by graph, in a repository that tbgen scaffold writes from the checkpoint.

    graphs: each in the words of --graph.
    """
    task = cell.row.task if cell.row.named else None
    fronts: tuple[str, ...] = ()
    for graph in graphs:
        request = Request(name, checkpoint, task=task, layout=cell.layout, graph=graph, vendor=False)
        written = scaffold(request, repository, comparing=False)
        assert (request.task or written.exported.task) == cell.row.task, "the folder tells what it is for"
        fronts += written.fronts
    return {front.rpartition("_")[2]: front for front in fronts}


def measured(
    cell: Cell, library: Library, folder: Path, *, graphs: Sequence[str] = EVERY, alone: bool = True
) -> dict[str, Found]:
    """How far a cell's graphs are from its library, by graph, without Triton but in the files that it loads."""
    fronts = scaffolded(cell, library.folder, folder / "models", graphs)
    with LocalModels(folder / "models") as models:
        return {graph: library.check(cell.row, models.infer, front, alone=alone) for graph, front in fronts.items()}


def tensors_of(items: Sequence[Item]) -> dict[str, np.ndarray]:
    """Items of one request: (items, 1) or (items, texts) arrays of UTF-8."""
    rows = {name: [[item[name]] if isinstance(item[name], str) else item[name] for item in items] for name in items[0]}
    return {name: np.array([[text.encode() for text in row] for row in all_], object) for name, all_ in rows.items()}
