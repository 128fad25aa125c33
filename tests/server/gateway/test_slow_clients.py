"""Silent connections, requests that never come whole, headers without end, compressed bodies, models that are away."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import re
import socket
import statistics
import struct
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from tbgen.server.client.address import Address
from tbgen.server.embedded.ports import free_ports
from tbgen.server.gateway import connections, serving
from tbgen.server.gateway.gateway import Gateway
from tbgen.server.gateway.no_answer import NoAnswer
from tbgen.server.gateway.settings import GatewaySettings
from tests.server.gateway.running import Asked, running_gateway
from tests.waiting import FOREVER, wait_until

MOOD = b"POST /models/mood HTTP/1.1\r\nhost: a\r\n"
BODY = b'{"input_text": "a"}'
ASKED = MOOD + b"content-length: 19\r\n\r\n" + BODY


def said(gateway: Asked, *parts: bytes) -> bytes:
    """What a client is told that sends these parts and then nothing, until the gateway closes the connection."""
    told = b""
    with socket.create_connection(("127.0.0.1", gateway.port), FOREVER) as client:
        for part in parts:
            client.sendall(part)
        while read := client.recv(65_536):
            told += read
    return told


def status(client: socket.socket) -> int:
    """What a good request gets over a connection that stays."""
    client.sendall(ASKED)
    answer = http.client.HTTPResponse(client)
    answer.begin()
    answer.read()
    return answer.status


@pytest.mark.parametrize("begun", [b"", b"{", BODY[:-1]])
@pytest.mark.parametrize("length", [b"content-length: 19", b"transfer-encoding: chunked"])
def test_a_body_that_does_not_come_holds_no_place(settings: GatewaySettings, begun: bytes, length: bytes) -> None:
    if b"chunked" in length and begun:
        begun = b"%x\r\n%s\r\n" % (len(begun), begun)
    with running_gateway(replace(settings, body_seconds=0.2, requests=1)) as gateway:
        told = said(gateway, MOOD + length + b"\r\n\r\n", begun)
        assert told.startswith(b"HTTP/1.1 408 ")
        assert b"bytes of the body have come in 0.2 s" in told
        assert gateway.post("/models/mood", BODY).status == 200


@pytest.mark.parametrize("begun", [b"P", MOOD, MOOD + b"x: ", b"\r\n\r\nPOST"])
def test_headers_that_do_not_end_are_not_waited_for(
    gateway: Asked, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
    assert b"The headers have not come in 0.2 s." in said(gateway, begun)


def test_a_connection_that_says_nothing_is_closed(gateway: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
    assert said(gateway) == said(gateway, b"\r\n") == b""


@pytest.mark.parametrize("after", [b"", b"\r\n", b"P"])
def test_a_connection_that_says_nothing_more_is_closed(
    settings: GatewaySettings, monkeypatch: pytest.MonkeyPatch, after: bytes
) -> None:
    """By the time for headers where anything came behind an answer, else by that of an idle connection."""
    monkeypatch.setattr(connections if after else serving, "HEAD_SECONDS" if after else "_KEEP_ALIVE", 0.2)
    with (
        running_gateway(settings) as gateway,
        socket.create_connection(("127.0.0.1", gateway.port), FOREVER) as client,
    ):
        assert status(client) == 200
        client.sendall(after)
        told = b"".join(iter(lambda: client.recv(65_536), b""))
        assert told.endswith(b"The headers have not come in 0.2 s.") == (after == b"P")


def test_an_answer_that_is_not_read_is_given_up(settings: GatewaySettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "_UNREAD", 500)
    body = json.dumps({"inputs": ["a"] * 2048}).encode()
    head = b"POST /embed HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % len(body)
    with running_gateway(settings) as gateway, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", gateway.port))
        client.sendall(head + body)
        there = f"{gateway.port:04X} 0100007F:{client.getsockname()[1]:04X} "
        wait_until(lambda: there in Path("/proc/net/tcp").read_text(encoding="ascii"))
        wait_until(lambda: there not in Path("/proc/net/tcp").read_text(encoding="ascii"))


def test_the_longest_silent_give_way(settings: GatewaySettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Idle ones too, once they are more; who asks is served."""
    monkeypatch.setattr(connections, "_MOST", 8)
    with running_gateway(settings) as gateway, ExitStack() as stack:

        def opened() -> socket.socket:
            return stack.enter_context(socket.create_connection(("127.0.0.1", gateway.port), FOREVER))

        kept = [opened(), opened()]
        assert [*map(status, kept)] == [200, 200]
        silent = [opened() for _ in range(20)]
        assert all(client.recv(1) == b"" for client in silent[:14])
        assert gateway.post("/models/mood", BODY).status == 200
        assert [*map(status, kept)] == [200, 200]
        idle = []
        for _ in range(20):
            idle.append(opened())
            assert status(idle[-1]) == 200
        assert all(client.recv(1) == b"" for client in (*kept, *idle[:12]))
        assert gateway.post("/models/mood", BODY).status == 200


@pytest.mark.parametrize(("files", "count"), [(256, 500), pytest.param(1024, 2_000, marks=pytest.mark.soak)])
def test_silent_connections_beside_good_ones(settings: GatewaySettings, tmp_path: Path, files: int, count: int) -> None:
    """More than the process may have files: it takes them in without a fault, and answers."""
    port, log = free_ports(1)[0], tmp_path / "log"
    tbgen = [sys.executable, "-c", "from tbgen.cli.main import main; main()"]
    command = [*tbgen, "gateway", "--url", str(settings.address), "--port", str(port)]
    with log.open("w", encoding="utf-8") as said_there:
        limited = ["bash", "-c", f'ulimit -n {files}; exec "$@"', "-", *command]
        process = subprocess.Popen(limited, stdout=subprocess.DEVNULL, stderr=said_there)
    gateway, seconds = Asked(port), []
    try:
        wait_until(lambda: listens(port))
        with ExitStack() as stack:
            for number in range(count):
                stack.enter_context(socket.create_connection(("127.0.0.1", port), FOREVER))
                if number % 10 == 9:
                    began = time.monotonic()
                    assert gateway.post("/models/mood", BODY).status == 200
                    seconds.append(time.monotonic() - began)
            resident = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text(encoding="ascii"))
            open_files = len([*Path(f"/proc/{process.pid}/fd").iterdir()])
    finally:
        process.terminate()
        process.wait()
    assert open_files < files
    assert log.read_text(encoding="utf-8") == ""
    print(f"\n{count} silent, {files} files: {open_files} open, {resident and int(resident[1]) >> 10} MB")
    print(f"one asked after each 10: p50 {statistics.median(seconds):.3f} s, at most {max(seconds):.3f} s")


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("line", [b"x: a\r\n", b"x"])
def test_headers_without_end_are_not_read(gateway: Asked, line: bytes) -> None:
    sent, part = 0, line * (65_536 // len(line))
    with (
        socket.create_connection(("127.0.0.1", gateway.port), FOREVER) as client,
        pytest.raises(OSError, match=r"Connection reset|Broken pipe"),
    ):
        client.sendall(MOOD)
        while sent < 256 << 20:
            client.sendall(part)
            sent += len(part)
    assert gateway.post("/models/mood", BODY).status == 200


def test_a_request_of_many_headers_is_answered(gateway: Asked) -> None:
    long = {f"x-{number}": "a" * 1000 for number in range(60)}
    assert gateway.post("/models/mood", BODY, **long).status == 200


def test_a_body_that_is_compressed_is_refused(gateway: Asked) -> None:
    told = gateway.post("/models/mood", gzip.compress(BODY), **{"content-encoding": "gzip"})
    assert (told.status, told.body["error"]) == (415, "no body of Content-Encoding 'gzip' is read; send it plain")
    assert gateway.post("/models/mood", BODY, **{"content-encoding": "Identity"}).status == 200


def test_a_chosen_model_that_is_not_ready_is_worth_asking_again(settings: GatewaySettings) -> None:
    with running_gateway(replace(settings, models=("away", "vectors"))) as gateway:
        for path, body in (
            ("/", {"inputs": "금리"}),
            ("/predict", {"inputs": "금리"}),
            ("/tokenize", {"inputs": "금리"}),
        ):
            told = gateway.post(path, body)
            assert (told.status, told.headers.get("retry-after")) == (503, "1"), (path, told.body)
            assert told.body["error"].startswith("model 'away', which this gateway was started with, is not ready")
        assert gateway.post("/embed", {"inputs": "금리"}).status == 200
        assert gateway.post("/models/mood", BODY).status == 200
        assert gateway.post("/", {"inputs": "금리", "model": "away"}).status == 404


def test_a_chosen_model_that_was_ready_once_is_missed_for_its_own_task(settings: GatewaySettings) -> None:
    async def asked() -> None:
        gateway = Gateway(replace(settings, models=("away",)))
        try:
            gateway.models.tasks["away"] = "embedding"
            assert (await gateway.models.for_tasks("rerank")).name == "ranks"
            with pytest.raises(NoAnswer, match="model 'away'"):
                await gateway.models.for_tasks("embedding")
        finally:
            await gateway.close()

    asyncio.run(asked())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="what a listening socket says of its queue")
def test_the_queue_is_as_long_where_uvloop_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """uvloop listens by itself, with uvicorn's backlog, so it is not taken."""
    monkeypatch.setitem(sys.modules, "uvloop", ModuleType("uvloop"))  # without any loop
    listener = serving.listening_socket("127.0.0.1", 0)
    monkeypatch.setattr(serving, "listening_socket", lambda *_: listener)
    with running_gateway(GatewaySettings(Address(f"127.0.0.1:{free_ports(1)[0]}", "grpc"))) as gateway:
        assert gateway.get("/health").status == 503
        (longest,) = struct.unpack_from("=I", listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 28)
    assert longest == min(2048, int(Path("/proc/sys/net/core/somaxconn").read_text(encoding="ascii")))
