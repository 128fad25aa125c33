"""`tbgen serve --ui`: server and gateway together."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

from tbgen.cli.serve import serve
from tbgen.server.embedded.ports import free_ports
from tests.server import playground as play
from tests.server.gateway.running import Asked
from tests.waiting import FOREVER


def test_server_and_gateway_start_and_stop_together(tmp_path: Path) -> None:
    play.write_python(tmp_path / "models", "measure", f"max_batch_size: 4 {play.TEXT}")
    http, grpc, metrics, page = free_ports(4)
    ports = [f"--http-port={http}", f"--grpc-port={grpc}", f"--metrics-port={metrics}", f"--ui-port={page}"]
    words = [sys.executable, "-m", "tbgen.cli.main", "serve", str(tmp_path / "models"), "--ui", *ports]
    with subprocess.Popen(words, stdout=subprocess.PIPE, encoding="utf-8") as process:
        try:
            assert process.stdout is not None
            printed = iter(process.stdout.readline, "Stop it: Ctrl-C\n")
            assert re.search(rf"^page     http://127\.0\.0\.1:{page}$", "".join(printed), re.MULTILINE)
            gateway = Asked(page)
            described = gateway.get("/models/measure").body
            assert described["task"] == "other"
            (name,) = described["inputs"]
            (answer,) = gateway.post("/models/measure", {name: "금리 🔥"}).body["answers"]
            assert answer == {"length": 4, "echo": "금리 🔥", "halves": ["금", "리 🔥"]}
            assert gateway.get("/").body.startswith("<!doctype html>")
            process.send_signal(signal.SIGINT)
            assert process.wait(FOREVER) == 0
        finally:
            process.kill()


def test_a_port_that_is_taken_is_said_before_the_server_starts(tmp_path: Path) -> None:
    play.write_python(tmp_path, "measure", f"max_batch_size: 4 {play.TEXT}")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = CliRunner().invoke(serve, [str(tmp_path), "--ui", "--ui-port", str(port)])
    assert answer.exit_code == 1
    assert f"the gateway cannot listen on 127.0.0.1:{port} (Address already in use)" in answer.output
