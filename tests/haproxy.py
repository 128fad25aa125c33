"""The real HAProxy of the machine, on a configuration, with its socket."""

from __future__ import annotations

import csv
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.waiting import wait_until

NEEDS_HAPROXY = pytest.mark.skipif(not shutil.which("haproxy"), reason="no haproxy on this machine")


@dataclass(frozen=True)
class Proxy:
    """A running HAProxy: what its socket says, and its master process."""

    socket: Path
    process: subprocess.Popen[bytes]

    def says(self, command: str) -> str:
        """The answer to a command of its runtime API."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.socket))
            connection.sendall(f"{command}\n".encode())
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()

    def stat(self, proxy: str, name: str) -> dict[str, str]:
        """The statistics of a server, or of BACKEND or FRONTEND, by column."""
        rows = csv.DictReader(self.says("show stat").removeprefix("# ").splitlines())
        return next(row for row in rows if (row["pxname"], row["svname"]) == (proxy, name))


@contextmanager
def proxying(file: Path, admin: Path, environment: Mapping[str, str] | None = None) -> Iterator[Proxy]:
    """HAProxy on a configuration file, whose socket is `admin`; ready when it listens there."""
    variables = {**os.environ, **(environment or {}), "HAPROXY_ADMIN": str(admin)}
    with file.with_suffix(".log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(["haproxy", "-W", "-f", file], stdout=log, stderr=log, env=variables)
    try:
        wait_until(lambda: _listens(admin) or process.poll() is not None)
        assert process.poll() is None, file.with_suffix(".log").read_text(encoding="utf-8")
        yield Proxy(admin, process)
    finally:
        process.terminate()
        process.wait()


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(str(path)) == 0
