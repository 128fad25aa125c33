"""Requests to a model whose engine stands until it may go on: tests wait for states, whoever is faster."""

from __future__ import annotations

import queue
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc as grpc

from tbgen.server.embedded.server import EmbeddedServer
from tests.waiting import wait_until

FRONT, ENGINE = "kcbert_onnx_bls", "kcbert_onnx"
# Logits that depend on a row's tokens. Counts the rows it is called with, and answers as many in all as a file says.
CODE = """
import time
from pathlib import Path
import numpy as np, triton_python_backend_utils as pb

class TritonPythonModel:
    def initialize(self, args):
        self.folder, self.rows = Path(__file__).parent, 0

    def execute(self, requests):
        batches = [pb.get_input_tensor_by_name(request, "input_ids").as_numpy() for request in requests]
        self.rows += sum(map(len, batches))
        (self.folder / "rows.new").write_text(str(self.rows))
        (self.folder / "rows.new").rename(self.folder / "rows")
        while self.rows > int((self.folder / "allowed").read_text()):
            time.sleep(0.01)
        return [pb.InferenceResponse([pb.Tensor("outputs", self.logits(ids))]) for ids in batches]

    def logits(self, ids):
        return (ids.sum(axis=1, keepdims=True) % [97, 89, 83] / 40).astype(np.float32)
"""


def with_engine(repository: Path, code: str = CODE) -> None:
    """Put a Python model in the place of the engine."""
    engine = repository / ENGINE
    config = (engine / "config.pbtxt").read_text(encoding="utf-8")
    config = config.replace('platform: "onnxruntime_onnx"\n', "").replace("model.onnx", "model.py")
    (engine / "config.pbtxt").write_text(config.replace('"onnxruntime"', '"python"'), encoding="utf-8")
    (engine / "1" / "model.py").write_text(code, encoding="utf-8")


class Asking:
    """Requests to one model that can be cancelled."""

    def __init__(self, server: EmbeddedServer, model: str = FRONT) -> None:
        self.server, self.model, self.client = server, model, grpc.InferenceServerClient(server.grpc_url)

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

    def pending(self) -> int:
        """How many requests wait for the model."""
        return pending(self.server, self.model)


class Held(Asking):
    """Asking a model whose engine is CODE and stands in its next call."""

    def __init__(self, server: EmbeddedServer, model: str = FRONT) -> None:
        super().__init__(server, model)
        self.folder = server.repository / ENGINE / "1"
        self.before = self.called()
        self.lets(0)

    def called(self) -> int:
        """How many rows the engine was ever called with."""
        file = self.folder / "rows"
        return int(file.read_text(encoding="utf-8")) if file.exists() else 0

    def rows(self) -> int:
        """How many rows the engine was called with since this was made."""
        return self.called() - self.before

    def lets(self, rows: int) -> None:
        """Let the engine answer so many rows, counted since this was made."""
        write_whole(self.folder / "allowed", str(self.before + rows))

    def goes_on(self) -> None:
        """Let the engine answer all that come."""
        self.lets(1_000_000)

    def stands_after(self, rows: int) -> None:
        """Wait until the engine is called with more rows than these."""
        wait_until(lambda: self.rows() > rows)


def write_whole(file: Path, text: str) -> None:
    """Write a file that others read meanwhile."""
    new = file.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    new.rename(file)


def given(texts: list[str]) -> grpc.InferInput:
    """The tensor input_text of these texts."""
    tensor = grpc.InferInput("input_text", [len(texts), 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[text.encode("utf-8")] for text in texts], dtype=object))
    return tensor


def pending(server: EmbeddedServer, model: str) -> int:
    """How many requests wait for a model."""
    with urllib.request.urlopen(server.metrics_url) as page:
        lines = page.read().decode().splitlines()
    wanted = f'nv_inference_pending_request_count{{model="{model}"'
    return next(int(float(line.split()[-1])) for line in lines if line.startswith(wanted))
