"""What written clients do where no answer comes: HAProxy stands before the real server and refuses, closes, waits."""

from __future__ import annotations

import re
import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tbgen.generator.client_code import client_protocol
from tbgen.server.embedded.ports import free_ports
from tbgen.server.embedded.server import EmbeddedServer
from tests.haproxy import NEEDS_HAPROXY, Proxy, proxying
from tests.triton.test_clients import LANGUAGES, RUN, url_of, written_client

pytestmark = NEEDS_HAPROXY
KEEPING = [each for each in LANGUAGES if each.values != ("curl",)]
FRONT = "kcbert_onnx_bls"
CONFIG = """
global
  nbthread 1
  stats socket "${{HAPROXY_ADMIN}}" level admin
  set-var proc.requests int(0)
defaults
  mode http
  timeout client 300s
  timeout server 300s
  timeout connect 300s
  timeout tarpit 300s
listen triton
  bind {address} {proto}
  http-request set-var(proc.requests) var(proc.requests),add(1)
  {rules}
  server one {server} {proto}
"""
REFUSED = 'status {} content-type application/json string \'{{"error":"ask again later"}}\''


@contextmanager
def before(server: EmbeddedServer, language: str, folder: Path, *rules: str) -> Iterator[tuple[str, Proxy]]:
    """HAProxy with these rules before a server, in the protocol of a language's client: its address, and its socket."""
    address, file = f"127.0.0.1:{free_ports(1)[0]}", folder / "haproxy.cfg"
    lines = "\n  ".join(f"http-request {rule}" for rule in rules)
    proto = "proto h2" if client_protocol(language) == "gRPC" else ""
    values = {"address": address, "rules": lines, "server": url_of(server, language), "proto": proto}
    file.write_text(CONFIG.format(**values), encoding="utf-8")
    with proxying(file, folder / "admin") as proxy:
        yield address, proxy


def asked(file: Path, language: str, address: str, *texts: str) -> subprocess.CompletedProcess[str]:
    """What the client says, and how it ends."""
    command = [*RUN[language], file, "--url", address, *(texts or ("좋다",))]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def requests(proxy: Proxy) -> int:
    """How many have reached the proxy."""
    return int(proxy.says("get var proc.requests").split("<")[-1].rstrip(">\n"))


def edited(file: Path, name: str, value: str) -> None:
    """Give one of the constants at the top of a client another value, as its owner may."""
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    number = next(i for i, line in enumerate(lines) if name in line.lower().replace("_", "") and "=" in line)
    before, _, after = lines[number].partition("=")
    old = after.split()[0].rstrip(";")
    lines[number] = f"{before}={after.replace(old, value, 1)}"
    file.write_text("".join(lines), encoding="utf-8")


def impatient_client(server: EmbeddedServer, language: str, folder: Path) -> Path:
    """A written client that waits 20 ms before the second attempt."""
    file = written_client(server, FRONT, language, folder)
    edited(file, "firstwait", "0.02" if language.startswith("python") else "20")
    return file


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_item_is_sent_again_until_it_is_answered(
    kcbert_server: EmbeddedServer, tmp_path: Path, language: str
) -> None:
    unanswered = (
        f"return {REFUSED.format(503)} if {{ var(proc.requests) -m int 1 }}",
        # A connection that breaks; of HTTP/2 HAProxy closes none without a word.
        f"{'return status 503' if language == 'python-grpc' else 'reject'} if {{ var(proc.requests) -m int 2 }}",
        "return status 502 if { var(proc.requests) -m int 3 }",
    )
    file = impatient_client(kcbert_server, language, tmp_path)
    with before(kcbert_server, language, tmp_path, *unanswered) as (address, proxy):
        done = asked(file, language, address)
        assert (done.returncode, requests(proxy)) == (0, 4), done.stderr
    assert "label" in done.stdout
    assert "ask again later" not in done.stdout


@pytest.mark.parametrize("language", [each for each in LANGUAGES if each.values != ("python-grpc",)])
def test_an_answer_that_breaks_off_is_none(kcbert_server: EmbeddedServer, tmp_path: Path, language: str) -> None:
    file = impatient_client(kcbert_server, language, tmp_path)
    with Breaking(kcbert_server.http_url) as line:
        done = asked(file, language, line.address)
        assert (done.returncode, line.connections) == (0, 2), done.stderr
    assert "label" in done.stdout


class Breaking(socketserver.ThreadingTCPServer):
    """Passes connections on to a server; the first one ends in the middle of an answer."""

    daemon_threads = True

    def __init__(self, triton: str) -> None:
        super().__init__(("127.0.0.1", 0), _Passed)
        self.triton, self.connections = triton, 0
        self.address = f"127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Passed(socketserver.BaseRequestHandler):
    """One connection, from answer to answer."""

    server: Breaking

    def handle(self) -> None:
        self.server.connections += 1
        breaks = self.server.connections == 1
        host, _, port = self.server.triton.rpartition(":")
        with socket.create_connection((host, int(port))) as triton:
            while request := whole_message(self.request):
                triton.sendall(request)
                answer = whole_message(triton)
                self.request.sendall(answer[:-5] if breaks else answer)
                if breaks:
                    return


def whole_message(connection: socket.socket) -> bytes:
    """A message of HTTP, which says how long it is; empty where none comes."""
    message = b""
    while part := connection.recv(65536):
        message += part
        head, _, body = message.partition(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
        if length and len(body) == int(length[1]):
            return message
    return b""


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("status", "attempts"), [(503, 5), (400, 1)])
def test_it_stops_at_the_stated_number_and_says_the_servers_sentence(
    kcbert_server: EmbeddedServer, tmp_path: Path, language: str, status: int, attempts: int
) -> None:
    file = impatient_client(kcbert_server, language, tmp_path)
    with before(kcbert_server, language, tmp_path, f"return {REFUSED.format(status)}") as (address, proxy):
        done = asked(file, language, address)
        assert requests(proxy) == attempts
    assert done.returncode != 0
    if language != "python-grpc":  # gRPC has statuses alone of what is no gRPC
        assert "ask again later" in done.stdout + done.stderr


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_server_that_is_down_is_named(kcbert_server: EmbeddedServer, tmp_path: Path, language: str) -> None:
    file, (port,) = impatient_client(kcbert_server, language, tmp_path), free_ports(1)
    done = asked(file, language, str(port))
    assert (done.returncode, done.stdout) == (1, "")
    said, *more = done.stderr.splitlines()
    assert said.startswith(f"no answer from {client_protocol(language).lower()}://localhost:{port}: ")
    assert more in ([], ["exit status 1"])  # which `go run` adds


@pytest.mark.parametrize("language", KEEPING)
def test_what_is_sent_again_has_a_budget(kcbert_server: EmbeddedServer, tmp_path: Path, language: str) -> None:
    file = written_client(kcbert_server, FRONT, language, tmp_path)
    edited(file, "budget", "1")
    with before(kcbert_server, language, tmp_path, f"return {REFUSED.format(503)}") as (address, proxy):
        assert asked(file, language, address).returncode != 0
        assert requests(proxy) == 2


def test_no_one_waits_longer_than_the_deadline(kcbert_server: EmbeddedServer, tmp_path: Path) -> None:
    """All languages at once, each in a second."""
    languages = [str(each.values[0]) for each in LANGUAGES if not each.marks[0].args[0]]
    files = []
    for language in languages:
        (tmp_path / language).mkdir()
        files.append(written_client(kcbert_server, FRONT, language, tmp_path / language))
        edited(files[-1], "deadline", "1")
    with ThreadPoolExecutor(len(languages)) as pool:
        done = [*pool.map(partial(held_back, kcbert_server), files, languages)]
    assert all(each.returncode and each.stderr.splitlines()[0] for each in done)


def held_back(server: EmbeddedServer, file: Path, language: str) -> subprocess.CompletedProcess[str]:
    """What a client says that gets no answer, and asks once."""
    with before(server, language, file.parent, "tarpit") as (address, proxy):
        done = asked(file, language, address)
        assert requests(proxy) <= 1
    return done


@pytest.mark.parametrize("language", KEEPING)
def test_connections_are_kept(kcbert_server: EmbeddedServer, tmp_path: Path, language: str) -> None:
    file = written_client(kcbert_server, FRONT, language, tmp_path)
    with before(kcbert_server, language, tmp_path) as (address, proxy):
        done = asked(file, language, address, *["좋다"] * 64)
        assert (done.returncode, requests(proxy)) == (0, 64), done.stderr
        at_once = 1 if language in ("python", "python-grpc", "go") else 16
        assert int(proxy.stat("triton", "FRONTEND")["conn_tot"]) <= at_once
