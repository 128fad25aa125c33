"""The part of the table that CI asks: each family, case, layout and graph; `make fidelity` asks all of it."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from tbgen.export.families import FAMILIES
from tbgen.export.layout import LAYOUTS, PACKED, PADDED
from tbgen.export.tasks.table import TASKS
from tbgen.generator.graphs import EACH_GRAPH, GRAPHS
from tests.fidelity.cases import CASES
from tests.fidelity.cells import CELLS, Cell, Library, measured
from tests.fidelity.measure import NEAR, Answer, compared
from tests.fidelity.page import page

pytestmark = pytest.mark.filterwarnings("ignore")  # the libraries' own

# Each family and each case once, in either layout and in these graphs by turns.
ASKED = [
    (Cell("bert", "text-classification", PACKED), "ensemble"),
    (Cell("deberta", "... by sigmoid", PADDED), "both"),
    (Cell("modernbert", "... of a regression", PADDED), "single"),
    (Cell("xlm-roberta", "... of pairs", PACKED), "bls"),
    (Cell("camembert", "token-classification", PACKED), "both"),
    (Cell("roberta", "question-answering", PADDED), "bls"),
    (Cell("mpnet", "embedding", PADDED), "ensemble"),
    (Cell("electra", "rerank", PACKED), "single"),
    (Cell("albert", "similarity", PADDED), "bls"),
    (Cell("distilbert", "fill-mask", PACKED), "ensemble"),
    (Cell("roberta", "zero-shot-classification", PACKED), "single"),
    (Cell("deberta-v2", "sparse-embedding", PADDED), "both"),
]


@pytest.mark.parametrize(("cell", "graph"), ASKED, ids=str)
def test_answers_are_the_librarys(cell: Cell, graph: str, tmp_path: Path) -> None:
    library = Library(cell.family, cell.case, tmp_path)
    found = measured(cell, library, tmp_path, graphs=(graph,), alone=False)
    assert tuple(found) == GRAPHS[graph]
    assert {graph: each.worst for graph, each in found.items() if not each.holds} == {}
    assert all(each.near <= each.decisions for each in found.values()), "most are plain enough to be counted"
    assert len({str(answer) for answer in library.answers.values()}) > len(library.answers) / 2, "texts differ"


def test_every_family_case_layout_and_graph_is_asked() -> None:
    cells = [cell for cell, _ in ASKED]
    assert set(cells) <= set(CELLS)
    assert {cell.family for cell in cells} == set(FAMILIES)
    assert {cell.case for cell in cells} == set(CASES)
    assert {row.task for row in CASES.values()} == set(TASKS)
    assert {(graph, cell.layout) for cell, word in ASKED for graph in GRAPHS[word]} == set(product(EACH_GRAPH, LAYOUTS))


def test_a_near_tie_is_not_counted_and_a_plain_decision_is() -> None:
    want = Answer({"a": 0.5, "b": 0.5 - NEAR / 2, "c": 0.1}, ["abc"])
    found = compared("x", want, Answer(want.numbers, ["bac"]))
    assert (found.decisions, found.near, found.others) == (1, 1, 0)
    found = compared("x", want, Answer(want.numbers, ["acb"]))
    assert (found.decisions, found.near, found.others) == (1, 1, 1)


@pytest.mark.parametrize("numbers", [{"a": 0.5002}, {"b": 0.5}, {"a": float("nan")}, {}])
def test_other_numbers_do_not_hold(numbers: dict[str, float]) -> None:
    assert compared("x", Answer({"a": 0.5}), Answer({"a": 0.5})).holds
    assert not compared("x", Answer({"a": 0.5}), Answer(numbers)).holds


def test_the_page_names_what_differs() -> None:
    right, wrong = (
        compared("x", Answer({0: 1.0}), Answer({0: 1.0})),
        compared("long", Answer({0: 1.0}), Answer({0: 0.5})),
    )
    cell = Cell("bert", "embedding", PADDED)
    assert "Where answers differ" not in page({cell: {"bls": right}}, {})
    assert "| bert, embedding, padded | bls | 0.5 | 0 | long |" in page({cell: {"bls": wrong, "ensemble": right}}, {})
