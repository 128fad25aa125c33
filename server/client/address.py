"""Where a server is: grpc://HOST:PORT, http://HOST:PORT, HOST:PORT or PORT, as every `--url` takes it."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from tbgen.export.errors import UserError
from tbgen.generator.addresses import FORMS

_SCHEMES = {"grpc": ("grpc", False), "grpcs": ("grpc", True), "http": ("http", False), "https": ("http", True)}
_DEFAULT = "grpc://localhost:8001"
_PLACE = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s/:\[\]]+):\d{1,5}")
_QUESTION = b"GET /v2/health/live HTTP/1.1\r\nHost: triton\r\nConnection: close\r\n\r\n"
_SECONDS = 3.0  # to wait for what a port says of itself


@dataclass(frozen=True)
class Address:
    """HOST:PORT of a server, its protocol ("grpc" or "http"), whether it is encrypted, what headers it wants."""

    place: str
    protocol: str
    tls: bool = False
    headers: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.protocol}{'s' * self.tls}://{self.place}"


def address_from_url(
    url: str | None, *, protocol: str | None = None, headers: Mapping[str, str] | None = None
) -> Address:
    """The address that `--url` names, by default the gRPC port of this machine's server.

    protocol: of an address without a scheme; None: its port is asked. Raises UserError.
    """
    wanted = tuple((headers or {}).items())
    scheme, _, rest = (_DEFAULT if url is None else url).rpartition("://")
    place = rest.rstrip("/")
    place = f"localhost:{place}" if place.isdecimal() else place
    if not _PLACE.fullmatch(place) or scheme not in ("", *_SCHEMES):
        raise UserError(f"{url!r} is no address of a server; write {FORMS}, for instance {_DEFAULT}")
    if scheme:
        return Address(place, *_SCHEMES[scheme], wanted)
    return Address(place, protocol or _protocol_at(place), headers=wanted)


def _protocol_at(place: str) -> str:
    """What a port speaks: an HTTP server answers a request with its version, a gRPC server greets with its settings.

    Raises UserError when nobody is there, or it says neither.
    """
    host, _, port = place.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _SECONDS) as connection:
            connection.sendall(_QUESTION)
            said = connection.recv(9)
    except (OSError, OverflowError) as error:
        raise UserError(nobody(place, str(error))) from error
    if said.startswith(b"HTTP/"):
        return "http"
    if said[3:5] == b"\x04\x00":  # HTTP/2's SETTINGS frame, on stream 0
        return "grpc"
    raise UserError(
        f"what answers at {place} says not which protocol it speaks; write grpcs://{place} or https://{place}"
    )


def nobody(place: str, reason: str) -> str:
    reason = reason.rpartition(": ")[2].rpartition("] ")[2]
    return f"no Triton answers at {place} ({reason}); `tbgen serve` starts one, --url names another"
