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
from tbgen.server.embedded import EmbeddedServer, server_on_free_ports
from tests.waiting import wait_until

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


def test_of_a_client_that_cancels_no_more_rows_reach_the_engine(asking: Asking) -> None:
    call, answers = asking.send([LONG] * 128)
    wait_until(lambda: asking.since() > 0)
    call.cancel()
    assert "Locally cancelled" in str(answers.get(timeout=60))
    assert 0 < at_rest(asking) < 128


def test_its_neighbours_in_the_batch_are_answered(asking: Asking) -> None:
    texts = [f"{number} {LONG}" for number in range(60)]
    alone = asking.send(texts)[1].get(timeout=60).as_numpy("softmax")
    _, first = asking.send([LONG] * 128)
    wait_until(lambda: asking.since() > len(texts))
    leaving, answers = asking.send([LONG] * 60)  # waits with the next until the first is through
    _, staying = asking.send(texts)
    first.get(timeout=60)
    seen = asking.since()
    wait_until(lambda: asking.since() > seen)
    leaving.cancel()
    assert "Locally cancelled" in str(answers.get(timeout=60))
    np.testing.assert_allclose(staying.get(timeout=60).as_numpy("softmax"), alone, atol=1e-6)
    assert at_rest(asking) < 60 + 128 + 60 + 60


def test_after_its_timeout_a_request_is_given_up(asking: Asking) -> None:
    error = asking.send([LONG] * 128, timeout=50_000)[1].get(timeout=60)
    assert isinstance(error, InferenceServerException)
    assert "Request timeout expired" in str(error)
    assert at_rest(asking) < 128
    assert asking.send(["상한가"], timeout=60_000_000)[1].get(timeout=60).as_numpy("label").tolist() == [
        ["긍정".encode()]
    ]


@pytest.fixture
def traced(sample_export: Path, tmp_path: Path) -> Iterator[tuple[EmbeddedServer, Path]]:
    """A BLS model whose engine answers with the timeout that it was called with, on a server that traces."""
    scaffold(Request("kcbert", sample_export, graph="bls", options=("logits=true",)), tmp_path / "models")
    engine = tmp_path / "models" / "kcbert_onnx"
    config = (engine / "config.pbtxt").read_text(encoding="utf-8")
    config = config.replace('platform: "onnxruntime_onnx"\n', "").replace("model.onnx", "model.py")
    (engine / "config.pbtxt").write_text(config.replace('"onnxruntime"', '"python"'), encoding="utf-8")
    (engine / "1" / "model.py").write_text(ENGINE, encoding="utf-8")
    file = tmp_path / "trace.json"
    settings = (f"triton,file={file}", "rate=1", "level=TIMESTAMPS")
    with server_on_free_ports(
        tmp_path / "models", extra_arguments=[f"--trace-config={each}" for each in settings]
    ) as server:
        yield server, file


def test_the_engine_is_told_the_time_that_is_left_and_the_trace(traced: tuple[EmbeddedServer, Path]) -> None:
    server, file = traced
    asking = Asking(server.grpc_url, "kcbert_onnx_bls", "kcbert_onnx")
    limited = asking.send(["상한가", LONG], timeout=9_000_000)[1].get(timeout=60).as_numpy("logits")
    free = asking.send(["상한가", LONG])[1].get(timeout=60).as_numpy("logits")
    assert (limited[:, 0] <= 9_000_000).all() and (limited[:, 0] > 1_000_000).all()
    assert free[:, 0].tolist() == [0, 0]
    server.stop()
    events = [event for event in json.loads(file.read_text(encoding="utf-8")) if "model_name" in event]
    owners = {event["id"] for event in events if event["model_name"] == "kcbert_onnx_bls"}
    calls = [event["parent_id"] for event in events if event["model_name"] == "kcbert_onnx"]
    assert len(owners) == 2
    assert len(calls) == 4
    assert set(calls) == owners
