"""Ports of this machine: which are free, which are taken."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Mapping

from tbgen.export.errors import UserError


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """`count` different ports that nothing listens on right now; another program may still take one."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(open_socket()) for _ in range(count)]
        for each in sockets:
            each.bind((host, 0))
        return [each.getsockname()[1] for each in sockets]


def check_ports(host: str, ports: Mapping[str, int]) -> None:
    """Raise UserError unless each port (name -> number) can be listened on and all differ."""
    if len(set(ports.values())) < len(ports):
        raise UserError(f"the ports must differ: {', '.join(f'{name} {port}' for name, port in ports.items())}")
    for name, port in ports.items():
        with open_socket() as each:
            try:
                each.bind((host, port))
            except OSError as error:
                raise UserError(f"{name} port {port} on {host}: {reason(error)}") from None


def reason(error: OSError) -> str:
    """Why a port cannot be listened on, and what to do."""
    if error.errno == errno.EADDRINUSE:
        return "another program listens there; stop it, or choose another port"
    return f"{(error.strerror or str(error)).lower()}; choose another port or host"


def open_socket() -> socket.socket:
    """A TCP socket that may take a port whose last connections are still closing."""
    each = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return each
