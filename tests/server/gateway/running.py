"""A gateway of a test, as docs/how-to/gateway.md starts it, on a port of its own, and plain HTTP to it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tbgen.server.gateway.serving import gateway_beside
from tbgen.server.gateway.settings import GatewaySettings
from tests.waiting import FOREVER


@dataclass(frozen=True)
class Answered:
    """Status, headers in small letters, and the JSON of an answer, or its text."""

    status: int
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class Asked:
    """A gateway that is asked."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def send(self, method: str, path: str, data: bytes | None = None, headers: Mapping[str, str] = {}) -> Answered:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=FOREVER)
        try:
            connection.request(method, path, data, dict(headers))
            response = connection.getresponse()
            text = response.read().decode("utf-8")
            said = {name.lower(): value for name, value in response.getheaders()}
            is_json = said.get("content-type", "").startswith("application/json")
            return Answered(response.status, said, json.loads(text) if is_json and text else text)
        finally:
            connection.close()

    def post(self, path: str, body: Any, **headers: str) -> Answered:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.send("POST", path, data, {"content-type": "application/json", **headers})

    def get(self, path: str, **headers: str) -> Answered:
        return self.send("GET", path, headers=headers)


@contextmanager
def running_gateway(settings: GatewaySettings) -> Iterator[Asked]:
    """A gateway in a thread of this process."""
    with gateway_beside(settings, "127.0.0.1", 0) as start:
        yield Asked(int(start().rpartition(":")[2]))
