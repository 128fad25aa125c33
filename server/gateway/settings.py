"""What a gateway is started with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tbgen.server.client.address import Address


@dataclass(frozen=True)
class GatewaySettings:
    """Which server it stands before, and what it lets through.

    address: of Triton's gRPC port.
    repository: the models' folders, whose records say what the server does not; None: what the server says must do.
    models: those that are meant where a client names none.
    keys: of which a client must have one; none: everybody may ask.
    origins: of web pages that browsers let ask it, beside its own.
    body_bytes, texts, requests: the most bytes and texts of a request, and requests at once.
    seconds: to wait for an answer of Triton's, and at most for a client's body.
    body_seconds: for a body's beginning; what has come of it gives it more.
    """

    address: Address
    repository: Path | None = None
    models: tuple[str, ...] = ()
    keys: frozenset[str] = frozenset()
    origins: tuple[str, ...] = ()
    body_bytes: int = 8 << 20
    texts: int = 2048
    requests: int = 256
    seconds: float = 60.0
    body_seconds: float = 10.0
