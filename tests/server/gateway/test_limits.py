"""What a gateway lets through: keys, sizes, how many at once; overload, clients and servers that leave, and its end."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import openai
import pytest

from tbgen.server.client.address import Address
from tbgen.server.embedded.ports import free_ports
from tbgen.server.embedded.server import EmbeddedServer
from tbgen.server.gateway.serving import listening_socket
from tbgen.server.gateway.settings import GatewaySettings
from tests.server.gateway.running import Answered, Asked, running_gateway
from tests.serving import serving
from tests.triton.held import ENGINE, FRONT, Held, with_engine
from tests.triton.test_gone_clients import LONG, cancellations, rows_in_the_end
from tests.waiting import FOREVER, wait_until

NAME = "kcbert"
BODY = {"input_text": "상한가"}


@pytest.fixture(scope="module")
def kcbert(sample_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """The sample's BLS model, whose engine stands when it is told to."""
    folder = tmp_path_factory.mktemp("held")
    for model in (FRONT, ENGINE):
        shutil.copytree(sample_repository / model, folder / "models" / model)
    with_engine(folder / "models")
    with serving(folder / "models", log=folder / "triton.log", extra_arguments=("--log-verbose=1",)) as server:
        yield server


@pytest.fixture
def held(kcbert: EmbeddedServer) -> Iterator[Held]:
    held = Held(kcbert)
    yield held
    held.goes_on()


@pytest.fixture(scope="module")
def before(kcbert: EmbeddedServer) -> GatewaySettings:
    return GatewaySettings(Address(kcbert.grpc_url, "grpc"), kcbert.repository, seconds=FOREVER)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(32) as pool:
        yield pool


def openai_client(gateway: Asked) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0)


def test_who_has_no_key_is_told_nothing(before: GatewaySettings) -> None:
    with running_gateway(replace(before, keys=frozenset({"key-one", "key-two"}))) as gateway:
        assert gateway.get("/health").status == 200
        for path in ("/v1/models", "/metrics", "/info", f"/models/{NAME}"):
            assert gateway.get(path).status == 401, path
        assert gateway.post(f"/models/{NAME}", BODY, authorization="Bearer key-on").status == 401
        assert gateway.post(f"/models/{NAME}", BODY, authorization="Basic key-one").status == 401
        assert gateway.get("/v1/models", authorization="Bearer key-two").status == 200
        assert gateway.get("/v1/models", authorization="Bearer \xff").status == 401
        with (
            openai_client(gateway) as client,
            pytest.raises(openai.AuthenticationError, match="no key, or a wrong one"),
        ):
            client.models.list()


def test_sizes_have_limits(before: GatewaySettings, held: Held) -> None:
    held.goes_on()
    with running_gateway(replace(before, body_bytes=1000, texts=3)) as gateway:
        said = gateway.post("/predict", {"inputs": "a" * 1000})
        assert (said.status, said.body["error"]) == (413, "the body is longer than 1000 bytes")
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=FOREVER)
        connection.request("POST", "/predict", (b"a" * 500 for _ in range(3)), encode_chunked=True)  # of no length
        assert connection.getresponse().status == 413
        connection.close()
        said = gateway.post("/predict", {"inputs": [["a"]] * 4})
        assert (said.status, said.body["error"]) == (
            413,
            "4 texts in one request; this gateway takes at most 3",
        )
        assert gateway.post("/predict", {"inputs": [["a"]] * 3}).status == 200


def test_more_at_once_than_it_takes_is_told_to_ask_later_and_the_rest_is_served(
    before: GatewaySettings, held: Held, threads: ThreadPoolExecutor
) -> None:
    with running_gateway(replace(before, requests=1)) as gateway:
        first = threads.submit(gateway.post, f"/models/{NAME}", BODY)
        held.stands_after(0)
        said = gateway.post(f"/models/{NAME}", BODY)
        assert (said.status, said.headers["retry-after"]) == (429, "1")
        with openai_client(gateway) as client, pytest.raises(openai.RateLimitError):
            client.embeddings.create(model=NAME, input="a")
        assert gateway.get("/health").status == 200
        assert "tbgen_gateway_in_flight 1.0" in gateway.get("/metrics").body
        held.goes_on()
        assert first.result().status == 200
        assert gateway.post(f"/models/{NAME}", BODY).status == 200


def test_overload_of_a_model_is_429(before: GatewaySettings, held: Held, threads: ThreadPoolExecutor) -> None:
    items = {"items": [BODY] * 128}
    with running_gateway(before) as gateway:
        sent: list[Future[Answered]] = [threads.submit(gateway.post, f"/models/{NAME}", items) for _ in range(16)]
        wait_until(lambda: any(each.done() for each in sent))
        refused = [each.result() for each in sent if each.done()]
        assert {each.status for each in refused} == {429}
        assert refused[0].headers["retry-after"] == "1"
        assert "ask again later" in refused[0].body["error"]
        held.goes_on()
        assert {each.result().status for each in sent} == {200, 429}


def test_a_client_that_leaves_is_no_longer_worked_for(before: GatewaySettings, held: Held) -> None:
    before_it = cancellations(held.server)
    with running_gateway(before) as gateway:
        data = json.dumps({"items": [{"input_text": LONG}] * 128}).encode()
        with socket.create_connection(("127.0.0.1", gateway.port)) as client:
            head = f"POST /models/{NAME} HTTP/1.1\r\nhost: a\r\ncontent-length: {len(data)}\r\n\r\n"
            client.sendall(head.encode() + data)
            held.stands_after(0)
        wait_until(lambda: 'requests_total{path="/models/{name}",status="499"} 1.0' in gateway.get("/metrics").body)
        wait_until(lambda: cancellations(held.server) > before_it)
        assert rows_in_the_end(held) < 128


def test_sigterm_lets_what_is_in_flight_be_answered(
    before: GatewaySettings, held: Held, threads: ThreadPoolExecutor
) -> None:
    (port,) = free_ports(1)
    words = ["gateway", "--url", str(before.address), "--port", str(port), "-r", str(before.repository)]
    command = subprocess.Popen([sys.executable, "-m", "tbgen.cli.main", *words], stdout=subprocess.PIPE, text=True)
    with command:
        try:
            assert command.stdout is not None
            assert command.stdout.readline() == f"Gateway  http://127.0.0.1:{port}\n"
            gateway = Asked(port)
            wait_until(lambda: reached(port))
            asked = threads.submit(gateway.post, f"/models/{NAME}", BODY)
            held.stands_after(0)
            os.kill(command.pid, signal.SIGTERM)
            wait_until(lambda: not reached(port))
            held.goes_on()
            assert asked.result().status == 200
            assert command.wait(FOREVER) == 0
        finally:
            command.kill()


def reached(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def test_answers_do_not_wait_for_nagles_algorithm() -> None:
    """asyncio switches it off where a socket says that it is TCP's; else an answer takes 40 ms more."""
    with listening_socket("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_a_server_that_is_not_there_is_503() -> None:
    (port,) = free_ports(1)
    with running_gateway(GatewaySettings(Address(f"127.0.0.1:{port}", "grpc"))) as gateway:
        assert gateway.get("/health").status == 503
        said = gateway.post(f"/models/{NAME}", BODY)
        assert (said.status, said.headers["retry-after"]) == (503, "1")
        assert f"no Triton answers at grpc://127.0.0.1:{port}" in said.body["error"]
