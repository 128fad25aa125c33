"""An answer to a request that waited, for which shared memory has no room: its client does not wait for ever."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tbgen.export.errors import UserError
from tbgen.server.client.connection import Connection
from tbgen.server.embedded.server import EmbeddedServer
from tests.serving import serving
from tests.waiting import FOREVER

BACKENDS = Path(__file__).parents[2] / "backends"
FILES = ("model", "clients", "meter", "request_parameters", "text_tensors", "request_queue")
# Numbers for each text, 1 MiB; for one that says "full" 32 MiB, and no file of this process, so no memory, grows.
STEP = """
import resource
import numpy as np

class Megabytes:
    inputs = {"input_text": ("TYPE_STRING", [1])}
    outputs = {"numbers": ("TYPE_FP32", [-1])}

    def __init__(self, folder):
        pass

    def __call__(self, input_text):
        full, most = "full" in input_text, resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20 if full else most, most))
        return {"numbers": np.ones((len(input_text), 1 << (23 if full else 18)), np.float32)}
"""
CONFIG = """
backend: "python" max_batch_size: 4
input { name: "input_text" data_type: TYPE_STRING dims: 1 }
output { name: "numbers" data_type: TYPE_FP32 dims: -1 }
instance_group { kind: KIND_CPU count: 1 }
"""
ENSEMBLE = """
platform: "ensemble" max_batch_size: 4
input { name: "input_text" data_type: TYPE_STRING dims: 1 }
output { name: "numbers" data_type: TYPE_FP32 dims: -1 }
ensemble_scheduling { step {
  model_name: "megabytes" model_version: -1
  input_map { key: "input_text" value: "input_text" } output_map { key: "numbers" value: "numbers" }
} }
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A model whose requests of four texts wait in its own queue, and an ensemble around it."""
    repository = tmp_path_factory.mktemp("models")
    version = repository / "megabytes" / "1"
    for folder in (version, repository / "around" / "1"):
        folder.mkdir(parents=True)
    for name in FILES:
        shutil.copy(BACKENDS / f"{name}.py", version)
    queue = version / "request_queue.py"  # each of them, however soon it comes after another
    queue.write_text(queue.read_text(encoding="utf-8").replace("_REST = 1.0", "_REST = 0"), encoding="utf-8")
    (version / "step.py").write_text(STEP, encoding="utf-8")
    steps = [{"file": "step.py", "class": "Megabytes", "settings": {}}]
    (version / "steps.json").write_text(json.dumps({"steps": steps, "queue": FOREVER}), encoding="utf-8")
    (version.parent / "config.pbtxt").write_text(CONFIG, encoding="utf-8")
    (repository / "around" / "config.pbtxt").write_text(ENSEMBLE, encoding="utf-8")
    with serving(repository) as running:
        yield running


@pytest.mark.parametrize("model", ["megabytes", "around"])
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_who_cannot_be_answered_is_told(server: EmbeddedServer, protocol: str, model: str) -> None:
    place = server.grpc_url if protocol == "grpc" else server.http_url
    with Connection(f"{protocol}://{place}", seconds=FOREVER) as connection:

        def answer(text: str) -> np.ndarray:
            texts = np.full((4, 1), text.encode(), dtype=object)
            return connection.infer(model, {"input_text": texts})["numbers"]

        with pytest.raises(UserError, match=r"expected a single response, got 0|at least one output is not set"):
            answer("full")
        assert len(answer("room")) == 4
        assert any("an answer could not be sent: Failed to increase" in line for line in server.log_lines())
