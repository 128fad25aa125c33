"""Models that answer with the number they were made with, alone and in an ensemble: it shows which version serves."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tritonclient.grpc as grpc
from tritonclient.utils import InferenceServerException

from tests.waiting import FOREVER, wait_until

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
    return float(client.infer(model, [tensor], client_timeout=FOREVER).as_numpy("number")[0, 0])


@dataclass
class Asker:
    """A thread that asks a model without a pause: its answers where they changed, and how often it got the last."""

    model: str
    answers: list[float] = field(default_factory=list)
    times: int = 0
    failures: list[str] = field(default_factory=list)
    over: bool = False

    def ask_on(self, url: str) -> None:
        """Ask until it is over."""
        with grpc.InferenceServerClient(url) as client:
            while not self.over:
                try:
                    number = ask(client, self.model)
                except InferenceServerException as error:
                    self.failures.append(f"{self.model}: {error.message()}")
                else:
                    self.times = self.times + 1 if self.answers[-1:] == [number] else 1
                    self.answers += [number] * (self.times == 1)
                time.sleep(0.002)

    def got(self, number: float) -> bool:
        """Whether the last 25 answers were that number."""
        return self.answers[-1:] == [number] and self.times >= 25


class Load:
    """Two threads for each model, which ask it."""

    def __init__(self, models: Sequence[str]) -> None:
        self.askers = [Asker(model) for model in (*models, *models)]

    def answered_with(self, number: float) -> None:
        """Wait until every thread got that number 25 times on end. No request may fail."""
        wait_until(lambda: self.failures() != [] or all(each.got(number) for each in self.askers))
        assert self.failures() == []

    def failures(self) -> list[str]:
        """What went wrong, in all threads."""
        return [failure for asker in self.askers for failure in asker.failures]


@contextmanager
def under_load(url: str, models: Sequence[str] = ("count", "count_ensemble")) -> Iterator[Load]:
    """Threads that ask the models while the block runs."""
    load = Load(models)
    threads = [threading.Thread(target=asker.ask_on, args=(url,)) for asker in load.askers]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        for asker in load.askers:
            asker.over = True
        for thread in threads:
            thread.join()
