"""Clients that cancel, that wait no longer, that are traced: what a BLS model passes on to its engine."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from tbgen.generator.scaffold import Request, scaffold
from tbgen.server.embedded.server import EmbeddedServer
from tests.serving import serving
from tests.triton.held import Asking, Held, with_engine
from tests.waiting import FOREVER, wait_until

LONG = "오늘도 상한가 갔다 " * 100  # more tokens than the model reads
ENOUGH = FOREVER * 1_000_000  # microseconds
TIMEOUTS = """
import numpy as np, triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        rows = len(request.inputs()[0].as_numpy())
        told = np.full((rows, 3), [request.timeout(), 0, 0], np.float32)
        return pb.InferenceResponse([pb.Tensor("outputs", told)])
"""


@pytest.fixture(scope="module")
def server(sample_export: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A BLS model whose engine can be held, on a server that logs whose client has gone."""
    folder = tmp_path_factory.mktemp("gone")
    scaffold(Request("kcbert", sample_export, graph="bls", options=("logits=true",)), folder / "models")
    with_engine(folder / "models")
    with serving(folder / "models", log=folder / "triton.log", extra_arguments=("--log-verbose=1",)) as server:
        yield server


@pytest.fixture
def held(server: EmbeddedServer) -> Iterator[Held]:
    held = Held(server)
    yield held
    held.goes_on()


def cancellations(server: EmbeddedServer) -> int:
    """How many cancelled requests the server knows of."""
    return sum("Cancellation notification received" in line for line in server.log_lines())


def rows_in_the_end(held: Held) -> int:
    """Rows that the engine was called with, all that was sent: the model takes one batch after the other."""
    held.goes_on()
    held.send(["상한가"])[1].get(timeout=FOREVER)
    return held.rows() - 1


def test_of_a_client_that_cancels_no_more_rows_reach_the_engine(held: Held) -> None:
    before = cancellations(held.server)
    call, answers = held.send([LONG] * 128)
    held.stands_after(0)
    call.cancel()
    assert "Locally cancelled" in str(answers.get(timeout=FOREVER))
    wait_until(lambda: cancellations(held.server) > before)
    assert rows_in_the_end(held) < 128


def test_its_neighbours_in_the_batch_are_answered(held: Held) -> None:
    texts, before = [f"{number} {LONG}" for number in range(60)], cancellations(held.server)
    held.lets(60)
    alone = held.send(texts)[1].get(timeout=FOREVER).as_numpy("softmax")
    _, first = held.send([LONG] * 128)
    held.stands_after(60)
    leaving, answers = held.send([LONG] * 60)  # waits with the next until the first is through
    _, staying = held.send(texts)
    wait_until(lambda: held.pending() == 2)
    held.lets(60 + 128)
    first.get(timeout=FOREVER)
    held.stands_after(60 + 128)
    leaving.cancel()
    assert "Locally cancelled" in str(answers.get(timeout=FOREVER))
    wait_until(lambda: cancellations(held.server) > before)
    held.goes_on()
    np.testing.assert_allclose(staying.get(timeout=FOREVER).as_numpy("softmax"), alone, atol=1e-6)
    assert rows_in_the_end(held) < 60 + 128 + 60 + 60


def test_after_its_timeout_a_request_is_given_up(held: Held) -> None:
    _, answers = held.send([LONG] * 128, timeout=50_000)
    wait_until(lambda: held.rows() > 0 or not answers.empty())  # or it was over before
    time.sleep(0.1)  # until it is over
    held.goes_on()
    error = answers.get(timeout=FOREVER)
    assert isinstance(error, InferenceServerException)
    assert "Request timeout expired" in str(error)
    assert rows_in_the_end(held) < 128


def test_within_its_timeout_a_request_is_answered(kcbert_server: EmbeddedServer) -> None:
    answer = Asking(kcbert_server).send(["상한가"], timeout=ENOUGH)[1].get(timeout=FOREVER)
    assert answer.as_numpy("label").tolist() == [["긍정".encode()]]


@pytest.fixture
def traced(sample_export: Path, tmp_path: Path) -> Iterator[tuple[EmbeddedServer, Path]]:
    """A BLS model whose engine answers with the timeout that it was called with, on a server that traces."""
    scaffold(Request("kcbert", sample_export, graph="bls", options=("logits=true",)), tmp_path / "models")
    with_engine(tmp_path / "models", TIMEOUTS)
    file = tmp_path / "trace.json"
    settings = (f"triton,file={file}", "rate=1", "level=TIMESTAMPS")
    with serving(tmp_path / "models", extra_arguments=[f"--trace-config={each}" for each in settings]) as server:
        yield server, file


def test_the_engine_is_told_the_time_that_is_left_and_the_trace(traced: tuple[EmbeddedServer, Path]) -> None:
    server, file = traced
    asking = Asking(server)
    limited = asking.send(["상한가", LONG], timeout=ENOUGH)[1].get(timeout=FOREVER).as_numpy("logits")
    free = asking.send(["상한가", LONG])[1].get(timeout=FOREVER).as_numpy("logits")
    assert ((limited[:, 0] > 0) & (limited[:, 0] <= ENOUGH)).all()
    assert free[:, 0].tolist() == [0, 0]
    server.stop()
    events = [event for event in json.loads(file.read_text(encoding="utf-8")) if "model_name" in event]
    owners = {event["id"] for event in events if event["model_name"] == "kcbert_onnx_bls"}
    calls = [event["parent_id"] for event in events if event["model_name"] == "kcbert_onnx"]
    assert len(owners) == 2
    assert len(calls) == 4
    assert set(calls) == owners
