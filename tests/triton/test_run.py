"""A repository run without Triton beside the real server: the same bits, and the same module for Python models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tbgen.generator.local.models import LocalModels
from tbgen.server.client.connection import Connection
from tbgen.server.embedded.server import EmbeddedServer
from tests.serving import serving
from tests.texts import HARD_TEXTS

PROBE = Path(__file__).with_name("probe.py").read_text(encoding="utf-8")
CONFIG = PROBE.partition('CONFIG = """')[2].partition('"""')[0]
PLAIN = """
import numpy as np, triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        if pb.get_input_tensor_by_name(request, "text").as_numpy()[0, 0] == b"refuse":
            return pb.InferenceResponse(error=pb.TritonError("거절", pb.TritonError.UNAVAILABLE))
        numbers = pb.get_input_tensor_by_name(request, "numbers").as_numpy()
        report = pb.Tensor("report", np.array([["보고"]] * len(numbers), dtype=object))
        return pb.InferenceResponse([report, pb.Tensor("twice", numbers * 2)])
"""
WIRED = """
platform: "ensemble" max_batch_size: 4
input { name: "text" data_type: TYPE_STRING dims: 1 }
input { name: "numbers" data_type: TYPE_FP32 dims: -1 }
output { name: "twice" data_type: TYPE_FP32 dims: -1 }
ensemble_scheduling {
  step { model_name: "plain" model_version: -1 input_map { key: "text" value: "said" }
    input_map { key: "numbers" value: "doubled" } output_map { key: "twice" value: "twice" } }
  step { model_name: "plain" model_version: -1 input_map { key: "text" value: "text" }
    input_map { key: "numbers" value: "numbers" } output_map { key: "report" value: "said" }
    output_map { key: "twice" value: "doubled" } }
}
"""


@pytest.fixture(scope="module")
def probes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    repository = tmp_path_factory.mktemp("probes") / "models"
    for name, config, file in (("probe", CONFIG, PROBE), ("plain", CONFIG, PLAIN), ("wired", WIRED, "")):
        (repository / name / "1").mkdir(parents=True)
        (repository / name / "config.pbtxt").write_text(config, encoding="utf-8")
        (repository / name / "1" / "model.py").write_text(file, encoding="utf-8")
    with serving(repository) as server:
        yield server


def request(text: str = "상한가 🔥") -> dict[str, np.ndarray]:
    numbers = np.array([[0.1, -2.0, 3.5], [1, 2, 3]], dtype=np.float32)
    return {"text": np.array([[text.encode()], [b"\xff"]], dtype=object), "numbers": numbers}


def reports(answer: dict[str, np.ndarray]) -> dict[str, Any]:
    return json.loads(answer["report"][0, 0])


def test_a_python_model_sees_and_gets_the_same(probes: EmbeddedServer) -> None:
    with Connection(probes.grpc_url) as server, LocalModels(probes.repository) as local:
        there, here = server.infer("probe", request()), local.infer("probe", request())
    np.testing.assert_array_equal(here["twice"], there["twice"])
    assert reports(here) == reports(there)
    assert len(reports(here)) > 50


def test_ensembles_whose_steps_stand_in_any_order(probes: EmbeddedServer) -> None:
    with Connection(probes.grpc_url) as server, LocalModels(probes.repository) as local:
        there, here = server.infer("wired", request()), local.infer("wired", request())
    assert here["twice"].tolist() == there["twice"].tolist() == (request()["numbers"] * 4).tolist()


@pytest.mark.parametrize("front", ["kcbert_onnx_ensemble", "kcbert_onnx_bls"])
def test_the_held_out_sentences_get_the_same_bits(
    kcbert_server: EmbeddedServer, held_out: list[str], front: str
) -> None:
    texts = [*held_out, *HARD_TEXTS]
    rows = [1] * 40 + [2, 7, 32] * 100
    with Connection(kcbert_server.grpc_url) as server, LocalModels(kcbert_server.repository) as local:
        asked = 0
        for count in rows:
            batch = np.array([[text.encode()] for text in texts[asked : asked + count]], dtype=object)
            if not len(batch):
                break
            there, here = (models.infer(front, {"input_text": batch}) for models in (server, local))
            assert here.keys() == there.keys()
            for name in there:
                assert here[name].dtype == there[name].dtype
                assert here[name].tolist() == there[name].tolist(), name
            asked += len(batch)
    assert asked == len(texts)
