"""`tbgen probe`: which models of a server answer a real text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tbgen.cli.probe import probe
from tbgen.server.embedded.server import EmbeddedServer
from tests.server import playground as play
from tests.server.test_watch import kill_process_of
from tests.serving import serving

NAN = """
import numpy as np, triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        rows = [pb.get_input_tensor_by_name(request, "input_text").as_numpy().shape for request in requests]
        return [pb.InferenceResponse([pb.Tensor("score", np.full(shape, np.nan, np.float32))]) for shape in rows]
"""
HANGS = "import time\n\nclass TritonPythonModel:\n    def execute(self, requests):\n        time.sleep(3600)\n"
ONE_TEXT = 'max_batch_size: 4 input { name: "input_text" data_type: TYPE_STRING dims: 1 } '
SCORE = 'output { name: "score" data_type: TYPE_FP32 dims: 1 }'


def asked(server: EmbeddedServer, *words: str, protocol: str = "grpc") -> Result:
    place = server.grpc_url if protocol == "grpc" else server.http_url
    return CliRunner().invoke(probe, [*words, "--url", f"{protocol}://{place}"])


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_front_models_are_asked_and_engines_and_parts_are_not(server: EmbeddedServer, protocol: str) -> None:
    rows = json.loads(asked(server, "--json", "--timeout", "2", protocol=protocol).output)
    fronts = {"demo_onnx_bls", "demo_onnx_ensemble", "one_by_one", "solo_big_onnx_bls", "solo_onnx_bls"}
    assert {row["model"] for row in rows} == fronts | {"identity"}
    assert {row["model"] for row in rows if row["wrong"]} == {"identity"}  # which waits for another row


def test_a_name_of_scaffold_means_all_its_front_models(server: EmbeddedServer) -> None:
    answer = asked(server, "demo", "--json")
    assert [row["model"] for row in json.loads(answer.output)] == ["demo_onnx_bls", "demo_onnx_ensemble"]


def test_a_model_that_is_not_there_is_named(server: EmbeddedServer) -> None:
    answer = asked(server, "none")
    assert answer.exit_code == 1
    assert "Error: no model 'none'. Models: demo_onnx_bls, " in answer.output


def test_what_does_not_answer_rightly_in_time_is_said_and_the_exit_status_is_1(tmp_path: Path) -> None:
    for name, code in {"good": play.MEASURE, "killed": play.MEASURE}.items():
        play.write_python(tmp_path, name, f"max_batch_size: 4 {play.TEXT}", code)
    for name, code in {"broken": NAN, "hangs": HANGS}.items():
        play.write_python(tmp_path, name, ONE_TEXT + SCORE, code)
    with serving(tmp_path) as server:
        kill_process_of(server, "killed")
        answer = asked(server, "--timeout", "3")
        rows = json.loads(asked(server, "--json", "good").output)
    assert answer.exit_code == 1
    said = {line.partition(" ")[0].rstrip(":"): line for line in answer.output.splitlines()}
    assert "answered in" in said["good"]
    assert "Stub process 'killed_0' is not healthy" in said["killed"]
    assert "that are none (NaN or infinite)" in said["broken"]
    assert "eadline" in said["hangs"].lower() or "timed out" in said["hangs"]
    assert [(row["model"], row["wrong"]) for row in rows] == [("good", "")]


def test_a_server_that_is_not_there_is_an_exit_status_too() -> None:
    answer = CliRunner().invoke(probe, ["--url", "grpc://127.0.0.1:9"])
    assert answer.exit_code == 1
    assert "no Triton answers at grpc://127.0.0.1:9" in answer.output
