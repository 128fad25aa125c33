"""A server that answers as a real one did, but with damage by a seed: what its clients make of that."""

from __future__ import annotations

import http.client
import json
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc  # type: ignore[import-untyped]
from tritonclient.grpc import service_pb2

from tbgen.server.embedded.keys import headers_of
from tests.faults import damage

JSON_SIZE = "Inference-Header-Content-Length"  # of the JSON before the tensors of a binary answer
_STATUSES = (200, 204, 301, 400, 401, 404, 500, 503)
_PAGES = (b"", b"<html>no Triton</html>", b"null", b"[5]", b"{}", b"\xff\xfe{", b'{"error": 5}', b'{"error": null}')
_CODES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]
SERVICE = "/inference.GRPCInferenceService/"
_METRICS = "/metrics"
_OWN_HEADERS = ("host", "content-length", "connection", "transfer-encoding", "accept-encoding")  # JSON is damaged plain

HttpAnswer = tuple[int, dict[str, str], bytes]


@dataclass
class Answers:
    """What the real server said, each question once, and what becomes of it.

    http, grpc, metrics: HOST:PORT of the real server.
    rate: of the answers that are damaged; the others arrive as they were.
    """

    http: str
    grpc: str
    metrics: str
    rate: float = 0.0
    chance: random.Random = field(default_factory=lambda: random.Random(0))
    lock: threading.Lock = field(default_factory=threading.Lock)
    known: dict[tuple[str, str, bytes], Any] = field(default_factory=dict)

    def begin(self, seed: str, rate: float) -> None:
        """Damage what is said from now on by a seed."""
        self.chance, self.rate = random.Random(seed), rate

    def spoiled(self) -> random.Random | None:
        """The chance that an answer's damage is made of; None where it is to arrive as it was."""
        with self.lock:
            return random.Random(self.chance.random()) if self.chance.random() < self.rate else None

    def over_http(self, method: str, path: str, headers: dict[str, str], body: bytes) -> HttpAnswer:
        """Status, headers and body of the real server's answer."""
        key = (method, path, body)
        if key not in self.known:
            connection = http.client.HTTPConnection(self.metrics if path == _METRICS else self.http, timeout=60)
            connection.request(method, path, body, {**headers, **headers_of(self.http, "http")})
            answer = connection.getresponse()
            self.known[key] = answer.status, dict(answer.headers), answer.read()
            connection.close()
        return self.known[key]  # type: ignore[no-any-return]

    def over_grpc(self, method: str, metadata: Any, body: bytes) -> Any:
        """The bytes of the real server's answer, or its error."""
        key = ("grpc", method, body)
        if key not in self.known:
            with grpc.insecure_channel(self.grpc, _UNLIMITED) as channel:
                try:
                    self.known[key] = channel.unary_unary(method)(
                        body, metadata=[*metadata, *headers_of(self.grpc, "grpc").items()], timeout=60
                    )
                except grpc.RpcError as error:
                    self.known[key] = error
        return self.known[key]


_UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def damaged_http(answer: HttpAnswer, chance: random.Random) -> HttpAnswer:
    """Another status, another body, JSON of other values, or a head that lies."""
    status, headers, body = answer
    how = chance.random()
    if how < 0.1:
        return chance.choice(_STATUSES), {}, body if chance.random() < 0.5 else chance.choice(_PAGES)
    if how < 0.2:
        return status, {}, chance.choice(_PAGES)
    size = int(headers.get(JSON_SIZE, len(body)))
    head, rest = body[:size], body[size:]
    try:
        json.loads(head)
    except ValueError:  # a page of metrics
        return status, headers, damage.text_damage(body, chance)
    head = damage.json_damage(head, chance)
    if rest and chance.random() < 0.3:
        rest = damage.byte_damage(rest, chance)
    if JSON_SIZE in headers:
        told = str(len(head)) if chance.random() < 0.8 else chance.choice(("0", "x", "-1", "9" * 30))
        headers = {**headers, JSON_SIZE: told}
    return status, headers, head + rest


def damaged_message(method: str, body: bytes, chance: random.Random) -> bytes:
    """A message with other fields or bytes."""
    if chance.random() < 0.2:
        return damage.byte_damage(body, chance)
    message = getattr(service_pb2, method.rpartition("/")[2] + "Response").FromString(body)
    damage.message_damage(message, chance)
    made: bytes = message.SerializeToString()
    return made


class _Http(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    answers: Answers

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        sent = {name: value for name, value in self.headers.items() if name.lower() not in _OWN_HEADERS}
        status, headers, content = self.answers.over_http(self.command, self.path, sent, body)
        chance = self.answers.spoiled()
        size = len(content)
        if chance:
            status, headers, content = damaged_http((status, headers, content), chance)
            size = len(content)
            if chance.random() < 0.03:
                self.close_connection = True
                return
            if chance.random() < 0.03:
                size, self.close_connection = size + 5, True  # more is promised than comes
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in _OWN_HEADERS:
                self.send_header(name, value)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


class _Grpc(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Every method of Triton's service."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers

    def service(self, details: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(lambda body, context: self._answer(details.method, body, context))

    def _answer(self, method: str, body: bytes, context: Any) -> bytes:
        metadata = [pair for pair in context.invocation_metadata() if not pair[0].startswith(("user-agent", "grpc-"))]
        answer = self.answers.over_grpc(method, metadata, body)
        chance = self.answers.spoiled()
        if chance and chance.random() < 0.15:
            context.abort(chance.choice(_CODES), chance.choice(("", "x", "글 🔥", "a\nb", "x" * 5000)))
        if isinstance(answer, grpc.RpcError):
            context.abort(answer.code(), answer.details())
        return damaged_message(method, answer, chance) if chance else answer


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = False

    def handle_error(self, *_: object) -> None:
        """A client that went away is none of this server's faults."""


@contextmanager
def broken_server(answers: Answers) -> Iterator[tuple[str, str]]:
    """HOST:PORT of HTTP and of gRPC."""
    handler = type("Handler", (_Http,), {"answers": answers})
    web = _Server(("127.0.0.1", 0), handler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    calls = grpc.server(ThreadPoolExecutor(32), handlers=[_Grpc(answers)], options=_UNLIMITED)
    port = calls.add_insecure_port("127.0.0.1:0")
    calls.start()
    try:
        yield f"127.0.0.1:{web.server_address[1]}", f"127.0.0.1:{port}"
    finally:
        calls.stop(0).wait()
        web.shutdown()
        web.server_close()
