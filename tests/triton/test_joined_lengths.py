"""Requests of one length that wait for the engine share a run, whoever sends them: Triton joins equal shapes."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as grpc

from tbgen.generator.models.config import config_from_text
from tbgen.generator.scaffold import Request, scaffold
from tbgen.server.embedded.server import EmbeddedServer, server_on_free_ports
from tests.triton.test_gone_clients import Asking, given
from tests.waiting import wait_until

LENGTH, REQUESTS = 16, 40
# Answers zeros, and begins with its first request only when there is a file.
ENGINE = """
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


@pytest.fixture
def held(sample_export: Path, tmp_path: Path) -> Iterator[tuple[EmbeddedServer, Path]]:
    """Scaffolded models for one length, whose engine waits; and its version folder."""
    scaffold(Request("kcbert", sample_export, fixed_length=LENGTH), tmp_path / "models")
    engine = tmp_path / "models" / "kcbert_onnx"
    text = (engine / "config.pbtxt").read_text(encoding="utf-8")
    text = text.replace('platform: "onnxruntime_onnx"\n', "").replace('backend: "onnxruntime"', 'backend: "python"')
    (engine / "config.pbtxt").write_text(text.replace("model.onnx", "model.py"), encoding="utf-8")
    (engine / "1" / "model.py").write_text(ENGINE, encoding="utf-8")
    with server_on_free_ports(tmp_path / "models") as server:
        yield server, engine / "1"


def token_tensors() -> list[grpc.InferInput]:
    """One text as a client of the engine sends it."""
    tensors = []
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        tensors.append(grpc.InferInput(name, [1, LENGTH], "INT64"))
        tensors[-1].set_data_from_numpy(np.ones((1, LENGTH), np.int64))
    return tensors


@pytest.mark.parametrize(
    ("model", "tensors"), [("kcbert_onnx_ensemble", [given(["상한가"])]), ("kcbert_onnx", token_tensors())]
)
def test_what_waits_for_the_engine_is_joined(model: str, tensors: list[Any], held: tuple[EmbeddedServer, Path]) -> None:
    server, folder = held
    asking = Asking(server.grpc_url, model, "kcbert_onnx")
    first = asking.send_tensors(tensors)
    wait_until((folder / "called").exists)
    others = [asking.send_tensors(tensors) for _ in range(REQUESTS)]
    wait_until(lambda: pending(server, "kcbert_onnx") >= REQUESTS)
    (folder / "go").touch()
    for _, answers in (first, *others):
        assert not isinstance(answers.get(timeout=60), Exception)
    wait_until(lambda: asking.since() == REQUESTS + 1)  # counted behind the answer
    row = asking.client.get_inference_statistics("kcbert_onnx").model_stats[0]
    assert row.execution_count <= 5  # the first, one that was formed too soon, and the rest in batches of at most 32


def pending(server: EmbeddedServer, model: str) -> int:
    """How many requests wait for a model."""
    with urllib.request.urlopen(server.metrics_url) as page:
        lines = page.read().decode().splitlines()
    wanted = f'nv_inference_pending_request_count{{model="{model}"'
    return next(int(float(line.split()[-1])) for line in lines if line.startswith(wanted))


def test_a_file_of_any_length_lets_in_the_one_that_is_asked_for(sample_export: Path, tmp_path: Path) -> None:
    scaffold(Request("kcbert", sample_export, fixed_length=LENGTH), tmp_path / "models")
    config = config_from_text((tmp_path / "models" / "kcbert_onnx" / "config.pbtxt").read_text(encoding="utf-8"))
    assert [list(tensor.dims) for tensor in config.input] == [[LENGTH]] * 3
    assert config.HasField("dynamic_batching")
