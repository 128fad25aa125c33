"""Where a server is: grpc://HOST:PORT, http://HOST:PORT, HOST:PORT or PORT, as every `--url` takes it."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace

from tbgen.export.errors import UserError
from tbgen.generator.addresses import FORMS, GRPC, HTTP, URLS

_SCHEMES = {"grpc": ("grpc", False), "grpcs": ("grpc", True), "http": ("http", False), "https": ("http", True)}
_DEFAULT = URLS["gRPC"]
_PLACE = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s/:\[\]?#@\\]+):[0-9]{1,5}")
_QUESTION = b"GET /v2/health/live HTTP/1.1\r\nHost: triton\r\nConnection: close\r\n\r\n"
_SECONDS = 3.0  # to wait for what a port says of itself
_NAMES = {"grpc": "gRPC", "http": "HTTP"}
# How this machine calls itself; by the last two a server listens for other machines, too.
_LOCAL = ("localhost", "127.0.0.1", "[::1]", "0.0.0.0", "[::]")
_PORTS = {"grpc": GRPC, "http": HTTP}


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
    if not _is_place(place) or scheme not in ("", *_SCHEMES):
        raise UserError(f"{url!r} is no address of a server; write {FORMS}, for instance {_DEFAULT}")
    if scheme:
        return Address(place, *_SCHEMES[scheme], wanted)
    return Address(place, protocol or _protocol_at(place), headers=wanted)


def _is_place(place: str) -> bool:
    """Whether a text is HOST:PORT, of a name or an address that there may be."""
    host, _, port = place.rpartition(":")
    try:
        host.encode("idna")
        if host.startswith("["):
            ipaddress.IPv6Address(host.strip("[]"))
    except ValueError:  # UnicodeError is one, too
        return False
    return bool(_PLACE.fullmatch(place)) and 0 < int(port) < 1 << 16


def is_local(place: str) -> bool:
    """Whether HOST:PORT is on this machine, by a name that each machine has for itself."""
    return place.rpartition(":")[0] in _LOCAL


def _protocol_at(place: str) -> str:
    """What a port speaks. Raises UserError when nobody is there, or it speaks neither HTTP nor gRPC, or encrypted."""
    try:
        spoken = _spoken_at(place)
    except (OSError, OverflowError) as error:
        raise UserError(nobody(place, str(error))) from error
    if not spoken:
        raise UserError(
            f"what answers at {place} says not which protocol it speaks; write grpcs://{place} or https://{place}"
        )
    return spoken


def _spoken_at(place: str) -> str:
    """grpc or http, empty for neither: an HTTP server answers a request with its version, a gRPC server greets with its
    settings. Raises OSError, OverflowError (no port).
    """
    with _connected(place) as connection:
        connection.sendall(_QUESTION)
        said = connection.recv(9)
    return (
        "http" if said.startswith(b"HTTP/") else "grpc" if said[3:5] == b"\x04\x00" else ""
    )  # HTTP/2's SETTINGS frame


def _is_encrypted(place: str) -> bool:
    """Whether a port shakes hands by TLS, whoever it is."""
    anyone = ssl.create_default_context()
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    anyone.set_alpn_protocols(["h2", "http/1.1"])
    with _connected(place) as connection, anyone.wrap_socket(connection, server_hostname=place.rpartition(":")[0]):
        return True


def _connected(place: str) -> socket.socket:
    host, _, port = place.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), _SECONDS)


def other_protocol(address: Address) -> str:
    """A sentence where what listens at an address speaks otherwise than it says; else empty."""
    spoken, encrypted = "", False
    with contextlib.suppress(OSError, OverflowError):
        spoken = _spoken_at(address.place)
    with contextlib.suppress(OSError, OverflowError):
        encrypted = not spoken and _is_encrypted(address.place)
    found = replace(address, protocol=spoken or address.protocol, tls=encrypted)
    if found == address or not (spoken or encrypted):
        return ""
    own, asked = (f"{'encrypted ' * each.tls}{_NAMES[each.protocol]}" for each in (found, address))
    said = f"{address.place} speaks {own}, not {asked}: its address is {found}"
    if found.protocol == address.protocol:
        return said
    return f"{said}; {_NAMES[address.protocol]} has a port of its own, by default {_PORTS[address.protocol]}"


def no_answer(address: Address, reason: str) -> str:
    """Why nobody answers at an address, in a sentence."""
    return other_protocol(address) or nobody(str(address), reason)


def nobody(place: str, reason: str) -> str:
    """That nobody answers there; `reason` may be a client's, with what it is about before it."""
    reason = reason.rpartition(": ")[2].rpartition("] ")[2]
    return f"no Triton answers at {place} ({reason}); `tbgen serve` starts one, --url names another"
