"""Requests that no client should send: the server stays, answers each, and lays what is the client's at its door."""

from __future__ import annotations

from pathlib import Path

import pytest

from tbgen.export.exported import exported_from_folder
from tbgen.export.tasks.table import TASKS
from tbgen.generator.engines.table import ENGINES
from tbgen.generator.models.graph import models_of
from tbgen.generator.models.write import write_models
from tests.faults.every_task import write_every_task
from tests.faults.wire import NEIGHBOURS, Figures, Fuzz, page
from tests.faults.wire_cases import Case, case_of, targets_of

COUNT = 50_000


@pytest.fixture(scope="module")
def repository(packed_export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample in each graph."""
    folder = tmp_path_factory.mktemp("wire") / "repository"
    row, graphs = TASKS["text-classification"], ["ensemble", "bls", "single"]
    exported = exported_from_folder(packed_export)
    write_models(models_of("kcbert", exported, task=row, engine=ENGINES["onnx"], graphs=graphs), folder, {})
    return folder


def test_a_server_answers_whatever_is_asked(repository: Path) -> None:
    figures = Fuzz(repository, seed=3).run(range(600))
    assert figures.good, page(figures, 600, 3)
    assert figures.beside["right"] > 590 * NEIGHBOURS
    assert figures.answers["http 200"] > 50 < figures.answers["grpc OK"]


def test_a_number_names_a_request(repository: Path) -> None:
    targets = targets_of(repository)
    assert [case_of(1, number, targets) for number in range(50)] == [case_of(1, n, targets) for n in range(50)]
    assert {case_of(1, number, targets).model for number in range(100)} == {target.name for target in targets}


def test_what_the_server_did_wrong_is_told() -> None:
    figures = Figures()
    case = Case("kcbert", "http", b"")
    for status, text in (("500", "kcbert: KeyError: 5"), ("hangs", ""), ("200", '{"score": NaN}'), ("400", "no")):
        figures.take(5, case, status, text)
    assert (figures.hangs, figures.broken, len(figures.failures)) == ([5], [5], 1)


@pytest.mark.soak
def test_fifty_thousand(tmp_path: Path) -> None:
    figures = Fuzz(write_every_task(tmp_path), seed=1).run(range(COUNT))
    print(page(figures, COUNT, 1))
    assert figures.good
