"""Ragged models that load, on the real tritonserver: what check finds wrong with them shows in their answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Barrier, Thread

import numpy as np
import pytest

from tbgen.export.errors import UserError
from tbgen.generator.check.check import check_repository
from tbgen.server.client.connection import Connection
from tbgen.server.embedded.server import EmbeddedServer
from tests.serving import serving
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
    with serving(repository, log=repository.parent / "triton.log") as server:
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


@pytest.mark.parametrize(("name", "change"), [("attention_mask", -3), ("token_type_ids", 4), ("input_ids", -1)])
def test_tensors_of_unequal_length_fail_their_request_alone(
    name: str, change: int, kcbert_server: EmbeddedServer
) -> None:
    """Whatever shares their run: Triton joins each input by itself, and the packed graph looks at the sums."""
    lengths = [5, 9, 14, 30] * 6
    right = {length: engine_answer(kcbert_server.grpc_url, length) for length in set(lengths)}
    answers, ready = dict[int, object](), Barrier(len(lengths))

    def ask(index: int, length: int) -> None:
        wrong = {name: length + change} if index % 6 == 0 else {}
        ready.wait()
        try:
            given = [engine_answer(kcbert_server.grpc_url, length, **wrong) for _ in range(3)]
            answers[index] = [np.allclose(each, right[length], atol=1e-5) for each in given]
        except UserError as error:
            answers[index] = str(error)

    threads = [Thread(target=ask, args=each) for each in enumerate(lengths)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    failed = {index for index, given in answers.items() if "cannot be reshaped" in str(given)}
    assert failed == {index for index in range(len(lengths)) if index % 6 == 0}
    assert [given for index, given in answers.items() if index not in failed] == [[True] * 3] * 20


def engine_answer(url: str, length: int, **lengths: int) -> np.ndarray:
    """The packed engine's logits of one row, some tensors of another length."""
    values = {"input_ids": np.arange(length + 9) % 80 + 5, "attention_mask": 1, "token_type_ids": 0}
    tensors = {
        name: np.broadcast_to(value, length + 9)[None, : lengths.get(name, length)].astype(np.int64)
        for name, value in values.items()
    }
    with Connection(url) as connection:
        return connection.infer("kcbert_onnx", tensors)["outputs"]
