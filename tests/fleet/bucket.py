"""Servers that hold no models: each reads one bucket, and looks every second what changed there."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import partial

from tbgen.server.client.connection import Connection
from tbgen.server.embedded.process import ServerProcess
from tbgen.server.embedded.wheel import assemble_backends, installed_wheel, server_environment
from tests.fleet.fleet import PROTOCOLS, Member
from tests.triton.test_deploy import MODES
from tests.waiting import wait_until

EVERYWHERE = "0.0.0.0"  # where the bucket listens: each server reaches it by its own gateway


@dataclass
class Reader(Member):
    """A bare tritonserver on a bucket."""

    bucket: str = ""
    front: str = ""

    def begin(self) -> None:
        wheel, folder = installed_wheel(), self.log.with_suffix("")
        shutil.rmtree(folder, ignore_errors=True)
        assemble_backends(wheel, folder / "backends")
        host = self.place.host
        command = [
            *self.place.prefix,
            str(wheel.server),
            f"--model-repository={self.bucket.replace(EVERYWHERE, self.place.gateway)}",
            f"--backend-directory={folder / 'backends'}",
            f"--backend-config=python,shm-region-prefix-name={folder.parent.name}-{self.name}",
            *(f"--{protocol}-address={host}" for protocol in PROTOCOLS),
            *(f"--{protocol}-port={port}" for protocol, port in zip(PROTOCOLS, self.place.ports, strict=True)),
            *MODES["poll"],
        ]
        command[0] = shutil.which(command[0]) or command[0]
        self.log.write_bytes(b"")
        self.triton = ServerProcess(command, environment=server_environment(wheel), log=self.log, folder=folder)

    def wait(self) -> None:
        with Connection(self.grpc_url) as connection:
            wait_until(lambda: self.triton.ended() or _ready(connection, self.front))
        assert not self.triton.ended(), self.log.read_text(encoding="utf-8")

    def kill(self) -> None:
        self.triton.stop(0)


def reading(bucket: str, front: str) -> partial[Reader]:
    """What makes a server of a bucket."""
    return partial(Reader, bucket=bucket, front=front)


def _ready(connection: Connection, model: str) -> bool:
    from tbgen.export.errors import UserError

    try:
        return connection.ready(model)
    except UserError:  # nobody there yet
        return False
