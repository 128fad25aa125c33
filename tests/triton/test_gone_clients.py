"""Clients that cancel, that wait no longer, that are traced: what a BLS model passes on to its engine."""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as grpc
from tritonclient.utils import InferenceServerException

from tbgen.generator.scaffold import Request, scaffold
from tbgen.server.embedded.server import EmbeddedServer, server_on_free_ports
from tests.waiting import FOREVER, wait_until

LONG = "오늘도 상한가 갔다 " * 100  # more tokens than the model reads
ENGINE = """
import numpy as np, triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        rows = len(request.inputs()[0].as_numpy())
        told = np.full((rows, 3), [request.timeout(), 0, 0], np.float32)
        return pb.InferenceResponse([pb.Tensor("outputs", told)])
"""


HELD = """
import time
from pathlib import Path
import numpy as np, triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        folder = Path(__file__).parent
        (folder / "called").touch()
        while not (folder / "go").exists():
            time.sleep(0.01)
        rows = [len(request.inputs()[0].as_numpy()) for request in requests]
        return [pb.InferenceResponse([pb.Tensor("outputs", np.zeros((n, 3), np.float32))]) for n in rows]
"""


def with_engine(repository: Path, code: str) -> None:
    """Put a Python model in the place of the engine."""
    engine = repository / "kcbert_onnx"
    config = (engine / "config.pbtxt").read_text(encoding="utf-8")
    config = config.replace('platform: "onnxruntime_onnx"\n', "").replace("model.onnx", "model.py")
    (engine / "config.pbtxt").write_text(config.replace('"onnxruntime"', '"python"'), encoding="utf-8")
    (engine / "1" / "model.py").write_text(code, encoding="utf-8")


class Asking:
    """Requests to one model that can be cancelled, and how many rows its engine has seen."""

    def __init__(self, url: str, model: str, engine: str) -> None:
        self.client, self.model, self.engine = grpc.InferenceServerClient(url), model, engine
        self.before = self.seen()

    def send(self, texts: list[str], **more: Any) -> tuple[Any, queue.Queue[Any]]:
        """Send without waiting; the call, which can be cancelled, and where its answer will be."""
        return self.send_tensors([given(texts)], **more)

    def send_tensors(self, tensors: list[grpc.InferInput], **more: Any) -> tuple[Any, queue.Queue[Any]]:
        """Send these tensors likewise."""
        answers: queue.Queue[Any] = queue.Queue()
        call = self.client.async_infer(
            self.model, tensors, callback=lambda result, error: answers.put(error or result), **more
        )
        return call, answers

    def seen(self) -> int:
        """Rows that the engine has answered."""
        return int(self.client.get_inference_statistics(self.engine).model_stats[0].inference_count)

    def since(self) -> int:
        """Rows that the engine has answered since this was made."""
        return self.seen() - self.before


def given(texts: list[str]) -> grpc.InferInput:
    tensor = grpc.InferInput("input_text", [len(texts), 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[text.encode("utf-8")] for text in texts], dtype=object))
    return tensor


def at_rest(asking: Asking) -> int:
    """Rows that the engine has seen when it has seen no more for half a second."""
    seen = -1
    while seen != asking.since():
        seen = asking.since()
        time.sleep(0.5)
    return seen


@pytest.fixture
def asking(kcbert_server: EmbeddedServer) -> Asking:
    return Asking(kcbert_server.grpc_url, "kcbert_onnx_bls", "kcbert_onnx")


@pytest.fixture(scope="module")
def held_server(sample_export: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A BLS model whose engine answers only while there is a file, on a server that logs whose client has gone."""
    folder = tmp_path_factory.mktemp("gone")
    scaffold(Request("kcbert", sample_export, graph="bls", options=("logits=true",)), folder / "models")
    with_engine(folder / "models", HELD)
    with server_on_free_ports(
        folder / "models", log=folder / "triton.log", extra_arguments=("--log-verbose=1",)
    ) as server:
        yield server


class Held(Asking):
    """Asking a model whose engine stops in each call until it may go on."""

    def __init__(self, server: EmbeddedServer) -> None:
        super().__init__(server.grpc_url, "kcbert_onnx_bls", "kcbert_onnx")
        self.server, self.folder = server, server.repository / "kcbert_onnx" / "1"
        self.cancelled = self.noticed()
        for file in ("called", "go"):
            (self.folder / file).unlink(missing_ok=True)

    def noticed(self) -> int:
        """How many cancelled requests the server knows of."""
        return sum("Cancellation notification received" in line for line in self.server.log_lines())

    def called(self) -> None:
        """Wait until the engine is called, and stands."""
        wait_until((self.folder / "called").exists)

    def goes_on(self) -> None:
        """Let the engine answer, this call and all that come."""
        (self.folder / "go").touch()


@pytest.fixture
def held(held_server: EmbeddedServer) -> Iterator[Held]:
    held = Held(held_server)
    yield held
    held.goes_on()


def test_of_a_client_that_cancels_no_more_rows_reach_the_engine(held: Held) -> None:
    call, answers = held.send([LONG] * 128)
    held.called()
    call.cancel()
    assert "Locally cancelled" in str(answers.get(timeout=FOREVER))
    wait_until(lambda: held.noticed() > held.cancelled)
    held.goes_on()
    assert at_rest(held) < 128


def test_its_neighbours_in_the_batch_are_answered(asking: Asking) -> None:
    texts = [f"{number} {LONG}" for number in range(60)]
    alone = asking.send(texts)[1].get(timeout=FOREVER).as_numpy("softmax")
    _, first = asking.send([LONG] * 128)
    wait_until(lambda: asking.since() > len(texts))
    leaving, answers = asking.send([LONG] * 60)  # waits with the next until the first is through
    _, staying = asking.send(texts)
    first.get(timeout=FOREVER)
    seen = asking.since()
    wait_until(lambda: asking.since() > seen)
    leaving.cancel()
    assert "Locally cancelled" in str(answers.get(timeout=FOREVER))
    np.testing.assert_allclose(staying.get(timeout=FOREVER).as_numpy("softmax"), alone, atol=1e-6)
    assert at_rest(asking) < 60 + 128 + 60 + 60


def test_after_its_timeout_a_request_is_given_up(held: Held) -> None:
    _, answers = held.send([LONG] * 128, timeout=50_000)
    wait_until(lambda: (held.folder / "called").exists() or not answers.empty())  # or it was over before
    time.sleep(0.1)  # until it is over
    held.goes_on()
    error = answers.get(timeout=FOREVER)
    assert isinstance(error, InferenceServerException)
    assert "Request timeout expired" in str(error)
    assert at_rest(held) < 128


def test_within_its_timeout_a_request_is_answered(asking: Asking) -> None:
    answer = asking.send(["상한가"], timeout=600_000_000)[1].get(timeout=FOREVER)
    assert answer.as_numpy("label").tolist() == [["긍정".encode()]]


@pytest.fixture
def traced(sample_export: Path, tmp_path: Path) -> Iterator[tuple[EmbeddedServer, Path]]:
    """A BLS model whose engine answers with the timeout that it was called with, on a server that traces."""
    scaffold(Request("kcbert", sample_export, graph="bls", options=("logits=true",)), tmp_path / "models")
    with_engine(tmp_path / "models", ENGINE)
    file = tmp_path / "trace.json"
    settings = (f"triton,file={file}", "rate=1", "level=TIMESTAMPS")
    with server_on_free_ports(
        tmp_path / "models", extra_arguments=[f"--trace-config={each}" for each in settings]
    ) as server:
        yield server, file


def test_the_engine_is_told_the_time_that_is_left_and_the_trace(traced: tuple[EmbeddedServer, Path]) -> None:
    server, file = traced
    asking = Asking(server.grpc_url, "kcbert_onnx_bls", "kcbert_onnx")
    limited = asking.send(["상한가", LONG], timeout=9_000_000)[1].get(timeout=FOREVER).as_numpy("logits")
    free = asking.send(["상한가", LONG])[1].get(timeout=FOREVER).as_numpy("logits")
    assert (limited[:, 0] <= 9_000_000).all() and (limited[:, 0] > 1_000_000).all()
    assert free[:, 0].tolist() == [0, 0]
    server.stop()
    events = [event for event in json.loads(file.read_text(encoding="utf-8")) if "model_name" in event]
    owners = {event["id"] for event in events if event["model_name"] == "kcbert_onnx_bls"}
    calls = [event["parent_id"] for event in events if event["model_name"] == "kcbert_onnx"]
    assert len(owners) == 2
    assert len(calls) == 4
    assert set(calls) == owners
