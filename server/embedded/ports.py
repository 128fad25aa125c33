"""Ports of this machine: which are free, which are taken."""

from __future__ import annotations

import errno
import itertools
import os
import socket
from collections.abc import Mapping

from tbgen.export.errors import UserError
from tbgen.generator.addresses import LISTEN

_RANGE = range(20_000, 32_768)  # below those that Linux gives to outgoing connections
_turns = itertools.count(os.getpid() * 1009)  # processes begin apart, so that no two find a port at once


def free_ports(count: int, host: str = LISTEN) -> list[int]:
    """`count` different ports that nothing listens on right now; another program may still take one."""
    candidates = (_RANGE[turn % len(_RANGE)] for turn in itertools.islice(_turns, len(_RANGE)))
    return list(itertools.islice((port for port in candidates if not _taken(host, port)), count))


def _taken(host: str, port: int) -> OSError | None:
    """Why a port cannot be listened on; None when it can."""
    with _open_socket() as each:
        try:
            each.bind((host, port))
        except OSError as error:
            return error
    return None


def check_ports(host: str, ports: Mapping[str, int]) -> None:
    """Raise UserError unless each port (name -> number) can be listened on and all differ."""
    if len(set(ports.values())) < len(ports):
        raise UserError(f"the ports must differ: {', '.join(f'{name} {port}' for name, port in ports.items())}")
    for name, port in ports.items():
        if error := _taken(host, port):
            raise UserError(f"{name} port {port} on {host}: {reason(error)} (--{name.lower()}-port)")


def reason(error: OSError) -> str:
    """Why a port cannot be listened on, and what to do."""
    if error.errno == errno.EADDRINUSE:
        return "another program listens there; stop it, or choose another port"
    return f"{(error.strerror or str(error)).lower()}; choose another port or host"


def _open_socket() -> socket.socket:
    """A TCP socket that may take a port whose last connections are still closing."""
    each = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return each
