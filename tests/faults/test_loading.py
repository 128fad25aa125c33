"""Requests go on while a model loads, if the load is asked for over gRPC: docs/how-to/deploy.md."""

from __future__ import annotations

import http.client
import json
import shutil
import threading
from pathlib import Path

import tritonclient.grpc as grpc

from tests.serving import serving
from tests.triton.counting import write_counting
from tests.waiting import FOREVER, wait_until

WAITING = """
import time
from pathlib import Path

class TritonPythonModel:
    def initialize(self, args):
        while not Path(__file__).with_name("gate").exists():
            time.sleep(0.01)

    def execute(self, requests):
        return []
"""
CONNECTIONS = 32  # on every one of Triton's HTTP threads several


def test_a_load_asked_over_grpc_holds_no_http_request(tmp_path: Path) -> None:
    repository = write_counting(tmp_path / "r", 7)
    body = json.dumps({"inputs": [{"name": "text", "shape": [1, 1], "datatype": "BYTES", "data": ["좋다"]}]})
    with serving(repository) as server, grpc.InferenceServerClient(server.grpc_url) as client:
        headers = server.headers("grpc")
        shutil.copytree(repository / "count", repository / "waiting")
        (repository / "waiting" / "1" / "model.py").write_text(WAITING, encoding="utf-8")
        load = threading.Thread(target=client.load_model, args=("waiting",), kwargs={"headers": headers})
        load.start()
        with grpc.InferenceServerClient(server.grpc_url) as other:

            def loads() -> bool:
                models = other.get_model_repository_index(headers=headers).models
                return any((model.name, model.state) == ("waiting", "LOADING") for model in models)

            wait_until(loads)
        kept = [http.client.HTTPConnection(*server.http_url.split(":"), timeout=FOREVER) for _ in range(CONNECTIONS)]
        for connection in kept:
            connection.request("POST", "/v2/models/count/infer", body.encode("utf-8"))
        assert {connection.getresponse().status for connection in kept} == {200}
        assert load.is_alive()
        (repository / "waiting" / "1" / "gate").touch()
        load.join()
        for connection in kept:
            connection.close()
