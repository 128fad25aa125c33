"""Requests that never come whole, headers without end, bodies that are compressed, models that are away."""

from __future__ import annotations

import asyncio
import gzip
import socket
from dataclasses import replace

import pytest

from tbgen.server.gateway import heads
from tbgen.server.gateway.gateway import Gateway
from tbgen.server.gateway.no_answer import NoAnswer
from tbgen.server.gateway.settings import GatewaySettings
from tests.server.gateway.running import Asked, running_gateway
from tests.waiting import FOREVER

MOOD = b"POST /models/mood HTTP/1.1\r\nhost: a\r\n"
BODY = b'{"input_text": "a"}'


def said(gateway: Asked, *parts: bytes) -> bytes:
    """What a client is told that sends these parts and then nothing, until the gateway closes the connection."""
    told = b""
    with socket.create_connection(("127.0.0.1", gateway.port), FOREVER) as client:
        for part in parts:
            client.sendall(part)
        while read := client.recv(65_536):
            told += read
    return told


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
    monkeypatch.setattr(heads, "HEAD_SECONDS", 0.2)
    assert b"The headers have not come in 0.2 s." in said(gateway, begun)


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
