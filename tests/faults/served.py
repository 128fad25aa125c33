"""`tbgen serve` as a process that can be killed, its models' processes too, and clients that never rest."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tbgen.server.embedded.ports import free_ports
from tbgen.server.embedded.stubs import Stubs
from tests.server.test_commands import child_of
from tests.waiting import FOREVER, wait_until

TEXTS = ["삼성전자 상한가", "오늘 장이 좋지 않다 🔥", "", "배당이 늘었다는 공시가 나왔다"]


class Served:
    """The command on a repository, ready; `log` holds what it and Triton say."""

    def __init__(self, repository: Path, log: Path, mode: str = "none") -> None:
        self.http, grpc, metrics = free_ports(3)
        ports = [f"--http-port={self.http}", f"--grpc-port={grpc}", f"--metrics-port={metrics}"]
        self.grpc_url, self.metrics_url = f"127.0.0.1:{grpc}", f"http://127.0.0.1:{metrics}/metrics"
        self.log = log
        command = [sys.executable, "-c", "from tbgen.cli.serve import serve; serve()", str(repository)]
        self.printed = log.with_suffix(".printed")
        with self.printed.open("w", encoding="utf-8") as printed:
            self.process = subprocess.Popen(
                [*command, *ports, "--model-control-mode", mode, "--log", str(log), "--no-check"],
                stdout=printed,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
            )
        wait_until(lambda: "and answered" in self.printed.read_text("utf-8") or self.process.poll() is not None)
        assert self.process.poll() is None, self.printed.read_text("utf-8")

    @property
    def triton(self) -> int:
        """Triton's process, which leads a session."""
        return child_of(self.process)

    def processes(self) -> dict[str, int]:
        """Model -> a process of its, by what Triton runs now."""
        return processes_of(self.triton)

    def says(self, *texts: str) -> int:
        """How often one of the texts stands in the log."""
        log = self.log.read_text(encoding="utf-8", errors="replace")
        return sum(log.count(text) for text in texts)

    def ready(self, model: str = "") -> bool:
        """Whether a new connection is told that the server, or a model, is ready."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=FOREVER)
        try:
            connection.request("GET", f"/v2/models/{model}/ready" if model else "/v2/health/ready")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def processes_of(triton: int) -> dict[str, int]:
    """Model -> a process of its, by what a tritonserver runs now."""
    stubs = Stubs(triton)
    stubs.look()
    return {folder.parent.name: number for number, folder in stubs.running.items()}


def kill(process: int) -> None:
    os.kill(process, signal.SIGKILL)


@dataclass(frozen=True)
class Question:
    """One request: when it was sent and answered (monotonic clock), the status, 0 for a connection that broke."""

    model: str
    sent: float
    answered: float
    status: int
    body: bytes


@dataclass
class Clients:
    """Clients in a closed loop, each with a connection that it keeps, until they are stopped."""

    port: int
    models: Sequence[str]
    each: int = 2
    host: str = "127.0.0.1"
    asked: list[Question] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Clients:
        names = [model for model in self.models for _ in range(self.each)]
        self.threads = [threading.Thread(target=self._ask_on, args=(name,)) for name in names]
        for thread in self.threads:
            thread.start()
        wait_until(lambda: {each.model for each in self.answered()} == {*self.models})
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join(FOREVER)

    def answered(self, since: float = 0.0) -> list[Question]:
        """The questions that were sent later, and have their answer."""
        return [each for each in [*self.asked] if each.status == 200 and each.sent > since]

    def failed(self) -> list[Question]:
        return [each for each in [*self.asked] if each.status != 200]

    def _ask_on(self, model: str) -> None:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=FOREVER)
        number = 0
        while not self.over.is_set():
            number += 1
            question = asked(connection, model, TEXTS[number % len(TEXTS)])
            self.asked.append(question)
            if question.status == 0:
                connection.close()
                self.over.wait(0.1)
        connection.close()


def asked(connection: http.client.HTTPConnection, model: str, text: str) -> Question:
    """One text, and what came of it."""
    tensor = {"name": "input_text", "datatype": "BYTES", "shape": [1, 1], "data": [text]}
    sent = time.monotonic()
    try:
        connection.request("POST", f"/v2/models/{model}/infer", json.dumps({"inputs": [tensor]}))
        response = connection.getresponse()
        return Question(model, sent, time.monotonic(), response.status, response.read())
    except (OSError, http.client.HTTPException) as error:
        return Question(model, sent, time.monotonic(), 0, repr(error).encode())
