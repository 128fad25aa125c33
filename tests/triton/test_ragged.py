"""Ragged models that load, on the real tritonserver: what check finds wrong with them shows in their answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Barrier, Thread

import numpy as np
import pytest

from tbgen.export.errors import UserError
from tbgen.generator.check.check import check_repository
from tbgen.server.connection import Connection
from tbgen.server.embedded import server_on_free_ports
from tests.triton import good_models
from tests.triton.broken.ragged import FAILING, WRONG
from tests.triton.broken.table import ROWS

REQUESTS = [np.arange(1, 6)[None], np.arange(1, 4)[None], np.arange(1, 9).reshape(2, 4)]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good ragged model, and those that load although they are broken."""
    folder = tmp_path_factory.mktemp("ragged") / "models"
    good_models.ragged(folder / "good")
    for name in (*FAILING, *WRONG):
        ROWS[name].change(ROWS[name].model(folder / name))
    return folder


@pytest.fixture(scope="module")
def url(repository: Path) -> Iterator[str]:
    """The address of a server on which all of them are ready."""
    with server_on_free_ports(repository, log=repository.parent / "triton.log") as server:
        yield server.grpc_url


@pytest.fixture(scope="module")
def found(repository: Path) -> dict[str, str]:
    """What check says of each model, its first finding."""
    return {finding.model: finding.says for finding in reversed(check_repository(repository))}


def expected(ids: np.ndarray) -> dict[str, object]:
    """The right answer to some ids, (rows, length)."""
    return {
        "scores": (ids.sum(1, keepdims=True) * [1, 2, 3]).tolist(),
        "marks": (ids[..., None] * [1, 10]).tolist(),
    }


def answer(url: str, model: str, ids: np.ndarray) -> dict[str, object]:
    with Connection(url) as connection:
        return {name: array.tolist() for name, array in connection.infer(model, {"ids": ids}).items()}


def test_each_request_gets_its_items_and_its_tokens(url: str) -> None:
    answers, ready = dict[int, object](), Barrier(len(REQUESTS))

    def ask(index: int, ids: np.ndarray) -> None:
        ready.wait()
        answers[index] = [answer(url, "good", ids) for _ in range(5)]

    threads = [Thread(target=ask, args=each) for each in enumerate(REQUESTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {index: [expected(ids)] * 5 for index, ids in enumerate(REQUESTS)}


@pytest.mark.parametrize("name", FAILING)
def test_each_request_fails_as_check_says(name: str, url: str, found: dict[str, str]) -> None:
    with pytest.raises(UserError) as refused:
        answer(url, name, REQUESTS[0])
    assert name == "added_to_the_ids" or found[name].partition("error ")[2] in str(refused.value)
    assert found[name].startswith("loads, and ")


@pytest.mark.parametrize("name", WRONG)
def test_what_check_finds_shows_in_the_answers(name: str, url: str, found: dict[str, str]) -> None:
    try:
        given = answer(url, name, REQUESTS[2])
    except UserError:
        given = {}
    assert given != expected(REQUESTS[2])
    assert found[name]
