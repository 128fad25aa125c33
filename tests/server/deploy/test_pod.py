"""A pod really run: its probes, what reaches Triton, and its end under load, as the kubelet would bring it about."""

from __future__ import annotations

import http.client
import json
import signal
import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as grpcclient
from tritonclient.utils import InferenceServerException

from tests.faults.served import kill, processes_of
from tests.haproxy import NEEDS_HAPROXY
from tests.server.deploy.container import rights_of
from tests.server.deploy.pod import Pod, running_pod
from tests.waiting import wait_until

pytestmark = NEEDS_HAPROXY
HTTP, GRPC, TRITON, METRICS = 8080, 8081, 8000, 8002
TEXT = "오늘도 상한가 갔다 🔥"
MODEL = "kcbert_onnx_bls"
BODY = json.dumps({"inputs": [{"name": "input_text", "datatype": "BYTES", "shape": [1, 1], "data": [TEXT]}]})


@dataclass
class Client:
    """Asks without a rest over one connection, until nobody listens any more. answers: statuses of HTTP, outputs."""

    pod: Pod
    answers: list[object] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


class HttpClient(Client):
    """Over HTTP."""

    def run(self) -> None:
        connection = http.client.HTTPConnection(self.pod.place.host, HTTP, timeout=60)
        while True:
            try:
                connection.connect()
            except ConnectionRefusedError:
                return  # another pod's turn
            try:
                self.ask(connection)
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(repr(error))
                return

    def ask(self, connection: http.client.HTTPConnection) -> None:
        """Until the other side says that it closes the connection."""
        while True:
            connection.request("POST", f"/v2/models/{MODEL}/infer", BODY, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            self.answers.append(answer.status)
            if answer.will_close:
                connection.close()
                return


def test_it_is_ready_and_ends_under_load_without_losing_a_request(sample_repository: Path, tmp_path: Path) -> None:
    with running_pod(sample_repository, tmp_path) as pod:
        assert pod.probe("startupProbe") == pod.probe("readinessProbe") == pod.probe("livenessProbe") == 0
        assert pod.status(TRITON, "/v2/health/ready") == 0  # Triton itself is not reached
        for process in (pod.triton.pid, *processes_of(pod.triton.pid).values()):
            assert rights_of(process) == (pod.spec["securityContext"]["runAsUser"], 0, "ro")
        assert pod.status(METRICS, "/metrics") == 200
        assert pod.status(HTTP, "/v2/repository/index") == 403
        nested = tmp_path / "nested.json"
        nested.write_text('{"inputs": ' + "[" * 50_000, encoding="utf-8")
        address = f"http://127.0.0.1:{TRITON}/v2/models/{MODEL}/infer"
        assert pod.run(["curl", "-sS", "-o", "/dev/null", "--data-binary", f"@{nested}", address]) == 0
        assert pod.probe("livenessProbe") == 0  # its threads have the stack that the shell gave them
        clients: list[HttpClient | GrpcClient] = [kind(pod) for kind in (HttpClient, GrpcClient) for _ in range(4)]
        threads = [threading.Thread(target=each.run) for each in clients]
        for each in threads:
            each.start()
        wait_until(lambda: all(len(each.answers) > 10 for each in clients))
        pod.edge.send_signal(signal.SIGUSR1)  # the image's own signal, after the shorter pause
        for each in threads:
            each.join()
        pod.edge.wait(60)
        pod.triton.send_signal(signal.SIGTERM)
        pod.triton.wait(60)
    assert [lost for each in clients for lost in each.lost] == []
    assert {answer for each in clients for answer in each.answers} == {200}


class GrpcClient(Client):
    """Over gRPC, by Triton's own client."""

    def run(self) -> None:
        text = grpcclient.InferInput("input_text", [1, 1], "BYTES")
        text.set_data_from_numpy(np.array([[TEXT.encode("utf-8")]], dtype=object))
        client = grpcclient.InferenceServerClient(f"{self.pod.place.host}:{GRPC}")
        try:
            while True:
                self.answers.append(client.infer(MODEL, [text]).as_numpy("label") is not None and 200)
        except InferenceServerException as error:
            if "failed to connect to all addresses" not in str(error):
                self.lost.append(str(error))


@pytest.mark.long
def test_a_dead_model_makes_it_unready_and_its_probe_fail(sample_repository: Path, tmp_path: Path) -> None:
    with running_pod(sample_repository, tmp_path) as pod:
        kill(processes_of(pod.triton.pid)["kcbert_tokenizer"])
        wait_until(lambda: not pod.ready())
        assert pod.probe("readinessProbe") == 0  # Triton itself calls the model ready still
        assert pod.probe("livenessProbe") == 1
