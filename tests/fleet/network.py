"""Places for servers on one machine that differ as machines do: network namespaces, or addresses of the loopback."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tbgen.server.embedded.ports import free_ports


@dataclass(frozen=True)
class Place:
    """Where a server runs: its address, this side's, its ports (HTTP, gRPC, metrics), what runs a command there."""

    host: str
    gateway: str
    ports: tuple[int, ...] = (8000, 8001, 8002)
    prefix: tuple[str, ...] = ()


@contextmanager
def places(count: int) -> Iterator[list[Place]]:
    """So many places: a namespace each where those can be made, else addresses of the loopback."""
    made: list[str] = []
    try:
        yield [_namespace(number, made) for number in range(count)]
    except _NoNamespace:
        first, second = divmod(os.getpid() & 0xFFFF, 256)
        hosts = [f"127.{first}.{second}.{number + 1}" for number in range(count)]
        yield [Place(host, "127.0.0.1", tuple(free_ports(3, host))) for host in hosts]
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


class _NoNamespace(Exception):
    """This machine, or this user, makes none."""


def _namespace(number: int, made: list[str]) -> Place:
    """A namespace and a cable to it, whose addresses are as much this process's as its name."""
    name = f"tbgen{os.getpid()}-{number}"
    first, second = divmod(os.getpid() & 0xFFFF, 256)
    net = f"10.{first}.{second}."
    here, there = net + str(4 * number + 1), net + str(4 * number + 2)
    _ip("netns", "add", name)
    made.append(name)
    _ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
    _ip("address", "add", f"{here}/30", "dev", name)
    _ip("link", "set", name, "up")
    inside = ("ip", "netns", "exec", name)
    for words in (
        ("address", "add", f"{there}/30", "dev", "eth0"),
        ("link", "set", "eth0", "up"),
        ("link", "set", "lo", "up"),
        ("route", "add", "default", "via", here),
    ):
        _ip("-netns", name, *words)
    return Place(there, here, prefix=inside)


def _ip(*words: str) -> None:
    """Raises _NoNamespace."""
    try:
        subprocess.run(["ip", *words], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise _NoNamespace from error
