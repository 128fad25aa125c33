"""A slice of the table on a real Triton: `make fidelity` asks all cases of BERT there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tbgen.export.layout import PACKED
from tests.fidelity.cells import Cell
from tests.fidelity.triton import measured_on_triton

pytestmark = pytest.mark.filterwarnings("ignore")  # the libraries' own

ASKED = {Cell("bert", "text-classification", PACKED): ["both"], Cell("bert", "rerank", PACKED): ["single"]}


def test_answers_over_both_protocols_are_the_librarys(tmp_path: Path) -> None:
    found = measured_on_triton(ASKED, tmp_path)
    assert [list(roads) for roads in found.values()] == [
        ["ensemble, http", "bls, http", "ensemble, grpc", "bls, grpc"],
        ["single, http", "single, grpc"],
    ]
    wrong = {
        (cell, road): each.worst for cell, roads in found.items() for road, each in roads.items() if not each.holds
    }
    assert wrong == {}
