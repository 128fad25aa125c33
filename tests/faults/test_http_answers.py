"""Answers that wait for a thread of Triton's HTTP server: it keeps 278 for each of its threads, others are lost."""

from __future__ import annotations

import json
import select
import socket
import urllib.request
from pathlib import Path

import pytest

from tbgen.server.embedded.server import EmbeddedServer
from tests.serving import serving
from tests.triton.held import pending
from tests.waiting import wait_until

CONFIG = """
backend: "python" max_batch_size: 1024 dynamic_batching {} instance_group { kind: KIND_CPU count: 1 }
input { name: "x" data_type: TYPE_FP32 dims: 1 } output { name: "x" data_type: TYPE_FP32 dims: 1 }
"""
CODE = """
import time
from pathlib import Path
import triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        while not Path(__file__).with_name("open").exists():
            time.sleep(0.01)
        return [pb.InferenceResponse(request.inputs()) for request in requests]
"""


def asking(server: EmbeddedServer, values: list[float]) -> socket.socket:
    """A connection that has sent one request."""
    body = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": values}]}).encode()
    host, _, port = server.http_url.partition(":")
    connection = socket.create_connection((host, int(port)))
    connection.sendall(b"POST /v2/models/m/infer HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    return connection


def answered(connections: list[socket.socket]) -> int:
    """How many have an answer."""
    return sum(bool(select.select([each], [], [], 0)[0]) for each in connections)


def run_and_answered(server: EmbeddedServer) -> bool:
    """Whether Triton counts all requests as answered."""
    with urllib.request.urlopen(server.metrics_url) as page:
        return b'nv_inference_pending_request_count{model="m",version="1"} 0' in page.read()


@pytest.mark.soak
@pytest.mark.parametrize("count", [256, 600])
def test_answers_that_wait_for_a_thread(count: int, tmp_path: Path) -> None:
    folder = tmp_path / "m" / "1"
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(CODE, encoding="utf-8")
    (tmp_path / "m" / "config.pbtxt").write_text(CONFIG, encoding="utf-8")
    with serving(tmp_path, extra_arguments=["--http-thread-count=1"]) as server:
        connections = [asking(server, [1.0]) for _ in range(count)]
        wait_until(lambda: pending(server, "m") == count - 1)
        busy = asking(server, [1.0] * 4_000_000)  # the thread reads this while the others are answered
        (folder / "open").touch()
        wait_until(lambda: run_and_answered(server) and bool(select.select([busy], [], [], 0)[0]))
        wait_until(lambda: answered(connections) >= min(count, 278))
        print(f"\n{answered(connections)} of {count} answers arrived")
        for connection in (*connections, busy):
            connection.close()
