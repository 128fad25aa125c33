"""Runs the gateway's application by uvicorn, until it is told to stop."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tbgen.export.errors import UserError, require
from tbgen.export.reading import text_from_file
from tbgen.generator.addresses import URLS
from tbgen.generator.repository import refuse_empty_repository
from tbgen.server.client.address import other_protocol
from tbgen.server.gateway.settings import GatewaySettings

if TYPE_CHECKING:
    from uvicorn import Server

_PACKAGES = ("uvicorn", "httptools", "starlette", "pydantic", "orjson", "prometheus_client")
_GRACE = 30  # seconds for requests in flight at a stop
_KEEP_ALIVE = 75  # seconds that an idle connection stays open: longer than load balancers keep theirs
_UNREAD = 30_000  # ms that a client may take nothing of an answer
_TAKEN = 32  # connections that asyncio takes in at once, before others can give way to them
_LISTED = 2048  # connections that may wait for that


def keys_from_file(file: Path) -> frozenset[str]:
    """The keys of a file, one a line. Raises UserError where there is none, or one that no header can carry."""
    keys = [line.strip() for line in text_from_file(file).splitlines() if line.strip()]
    if not keys or not all(key.isascii() and key.isprintable() and " " not in key for key in keys):
        raise UserError(f"{str(file)!r} is no file of keys; write one a line, in plain ASCII without spaces")
    return frozenset(keys)


def run_gateway(settings: GatewaySettings, host: str, port: int, on_start: Callable[[str], object]) -> None:
    """Serve until SIGINT or SIGTERM, and answer what is in flight then. `on_start` gets the address.

    Raises MissingExtra, NoSuchName, UserError.
    """
    server = gateway_server(settings)
    if settings.models:
        from tbgen.server.gateway.models import refuse_unknown_models  # its packages are there by now

        refuse_unknown_models(settings)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # uvicorn raises anew what it was stopped by
    with listening_socket(host, port) as listener:
        on_start(_address(listener))
        with contextlib.suppress(KeyboardInterrupt):
            server.run([listener])


@contextmanager
def gateway_beside(settings: GatewaySettings, host: str, port: int) -> Iterator[Callable[[], str]]:
    """A gateway in a thread of this process: gives what starts it, once Triton is there, and tells its address.

    It listens from now on, so that what is wrong is known before. Raises MissingExtra, UserError.
    """
    server = gateway_server(settings)
    with listening_socket(host, port) as listener:
        thread = threading.Thread(target=server.run, args=([listener],), name="gateway")

        def start() -> str:
            thread.start()
            while thread.is_alive() and not server.started:
                time.sleep(0.01)
            return _address(listener)

        try:
            yield start
        finally:
            server.should_exit = True
            if thread.ident is not None:
                thread.join()


def gateway_server(settings: GatewaySettings) -> Server:
    """uvicorn's server of a gateway, not yet started. Raises MissingExtra, UserError."""
    if settings.address.protocol != "grpc":
        raise UserError(
            f"the gateway asks over gRPC, not at {settings.address}; name that port, by default {URLS['gRPC']}"
        )
    if wrong := other_protocol(settings.address):
        raise UserError(wrong)
    if settings.repository:
        refuse_empty_repository(settings.repository, filled_later=True)
    for package in _PACKAGES:
        require(package, extra="gateway")
    import uvicorn

    from tbgen.server.gateway.app import application
    from tbgen.server.gateway.connections import bounded_connections

    config = uvicorn.Config(
        application(settings),
        http=bounded_connections(),
        loop="asyncio",  # uvloop, where it is installed, would not call _Listener's `listen`
        ws="none",
        backlog=_TAKEN,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE,
        timeout_keep_alive=_KEEP_ALIVE,
    )
    return uvicorn.Server(config)


class _Listener(socket.socket):
    """A socket whose queue is not as short as what asyncio takes out of it at once."""

    def listen(self, _: int = 0, /) -> None:
        super().listen(_LISTED)


def listening_socket(host: str, port: int) -> socket.socket:
    """The socket that the gateway listens on. Raises UserError for a port that is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Of a socket that names no protocol asyncio does not switch Nagle's algorithm off: 40 ms an answer.
    listener = _Listener(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise UserError(f"the gateway cannot listen on {host}:{port} ({error.strerror}); name another port") from error
    return listener


def _address(listener: socket.socket) -> str:
    """What a browser calls it."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
