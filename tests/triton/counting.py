"""Models that answer with the number they were made with, alone and in an ensemble: it shows which version serves."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tritonclient.grpc as grpc
from tritonclient.utils import InferenceServerException

MODEL = """
import numpy as np, triton_python_backend_utils as pb
from pathlib import Path

class TritonPythonModel:
    def initialize(self, args):
        self.number = float((Path(__file__).parent / "number.txt").read_text())

    def execute(self, requests):
        rows = [len(pb.get_input_tensor_by_name(request, "text").as_numpy()) for request in requests]
        return [pb.InferenceResponse([pb.Tensor("number", np.full((n, 1), self.number, np.float32))]) for n in rows]
"""
TENSORS = """
max_batch_size: 8
input { name: "text" data_type: TYPE_STRING dims: 1 }
output { name: "number" data_type: TYPE_FP32 dims: 1 }
"""
MAP = '{ key: "text" value: "text" } output_map { key: "number" value: "number" }'
ENSEMBLE = (
    f'platform: "ensemble" {TENSORS} ensemble_scheduling {{ step {{ model_name: "count" model_version: -1 '
    f"input_map {MAP} }} }}\n"
)


def write_counting(repository: Path, number: object, *, instances: int = 1) -> Path:
    """A repository with `count`, which answers with `number`, and `count_ensemble` around it."""
    version = repository / "count" / "1"
    version.mkdir(parents=True, exist_ok=True)
    (version / "model.py").write_text(MODEL, encoding="utf-8")
    (version / "number.txt").write_text(str(number), encoding="utf-8")
    group = f"instance_group {{ kind: KIND_CPU count: {instances} }}\n"
    (repository / "count" / "config.pbtxt").write_text(f'backend: "python" {TENSORS} {group}', encoding="utf-8")
    (repository / "count_ensemble" / "1").mkdir(parents=True, exist_ok=True)
    (repository / "count_ensemble" / "config.pbtxt").write_text(ENSEMBLE, encoding="utf-8")
    return repository


def ask(client: grpc.InferenceServerClient, model: str) -> float:
    """The number that a model answers with."""
    tensor = grpc.InferInput("text", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([["좋다 🔥".encode()]], dtype=object))
    return float(client.infer(model, [tensor], client_timeout=30).as_numpy("number")[0, 0])


class Asking:
    """What threads that ask without a pause got: answers in the order of their changes, failures, how many in all."""

    def __init__(self) -> None:
        self.answers: dict[str, list[float]] = {"count": [], "count_ensemble": []}
        self.failures: list[str] = []
        self.requests = 0
        self.over = False

    def ask_on(self, url: str, model: str) -> None:
        """Ask until it is over."""
        with grpc.InferenceServerClient(url) as client:
            while not self.over:
                try:
                    number = ask(client, model)
                except InferenceServerException as error:
                    self.failures.append(f"{model}: {error.message()}")
                else:
                    self.requests += 1
                    if self.answers[model][-1:] != [number]:
                        self.answers[model].append(number)
                time.sleep(0.002)


@contextmanager
def under_load(url: str) -> Iterator[Asking]:
    """Two threads for each model that ask while the block runs."""
    asking = Asking()
    threads = [threading.Thread(target=asking.ask_on, args=(url, model)) for model in list(asking.answers) * 2]
    for thread in threads:
        thread.start()
    try:
        yield asking
    finally:
        asking.over = True
        for thread in threads:
            thread.join()
