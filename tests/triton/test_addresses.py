"""`--url` means the same in every command: each form on a real server, and one sentence for what is no address."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from tbgen.cli.main import main
from tbgen.export.errors import UserError
from tbgen.server.client.address import Address, address_from_url
from tbgen.server.embedded.ports import free_ports
from tbgen.server.embedded.server import EmbeddedServer
from tests.haproxy import NEEDS_HAPROXY, proxying
from tests.serving import serving
from tests.triton.counting import write_counting

FORMS: dict[str, Callable[[EmbeddedServer], str]] = {
    "grpc://HOST:PORT": lambda server: f"grpc://{server.grpc_url}",
    "http://HOST:PORT": lambda server: f"http://{server.http_url}",
    "HOST:PORT of gRPC": lambda server: server.grpc_url,
    "HOST:PORT of HTTP": lambda server: server.http_url,
    "PORT of gRPC": lambda server: str(server.ports["gRPC"]),
    "PORT of HTTP": lambda server: str(server.ports["HTTP"]),
}
COMMANDS = {
    "infer": ["infer", "count", "가"],
    "check": ["check", "REPOSITORY", "--live"],
    "deploy copy": ["deploy", "copy", "REPOSITORY", "REPOSITORY", "--dry-run"],
    "bench": ["bench", "count", "--concurrency=1", "--duration=0.1", "--warmup=0.01", "--requests=1"],
    "tune": [
        "tune",
        "count",
        "-r",
        "REPOSITORY",
        "--concurrency=1",
        "--duration=0.1",
        "--requests=1",
        "--minutes=1e-9",
    ],
    "verify": ["verify", "count", "-r", "REPOSITORY"],
}
TLS = """
global
  stats socket "${{HAPROXY_ADMIN}}" level admin
defaults
  mode tcp
  timeout client 60s
  timeout server 60s
  timeout connect 60s
listen triton
  bind {place} ssl crt {key} alpn h2
  server one {server}
"""


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A server of two models that takes orders."""
    repository = write_counting(tmp_path_factory.mktemp("counting") / "models", 1)
    explicit = ("--model-control-mode=explicit", "--load-model=*")
    with serving(repository, extra_arguments=explicit) as server:
        yield server


def run(command: str, repository: Path, url: str) -> tuple[int, str]:
    """Exit status and output of a command that is given an address."""
    words = [str(repository) if word == "REPOSITORY" else word for word in COMMANDS[command]]
    done = CliRunner().invoke(main, [*words, "--url", url])
    return done.exit_code, done.output


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "verify"])  # which needs a checkpoint
def test_each_command_takes_each_form(counting: EmbeddedServer, command: str, form: str) -> None:
    status, output = run(command, counting.repository, FORMS[form](counting))
    assert status == 0, output


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("url", ["", "localhost", "ftp://localhost:1", "http://localhost:1/v2"])
def test_what_is_no_address_is_said_alike(counting: EmbeddedServer, command: str, url: str) -> None:
    sentence = (
        f"Error: {url!r} is no address of a server; write grpc://HOST:PORT, http://HOST:PORT, HOST:PORT or PORT, "
        "for instance grpc://localhost:8001\n"
    )
    assert run(command, counting.repository, url) == (1, sentence)


@pytest.mark.parametrize("command", COMMANDS)
def test_nobody_at_a_port_is_said_alike(counting: EmbeddedServer, command: str) -> None:
    (port,) = free_ports(1)
    sentence = f"Error: no Triton answers at localhost:{port} (Connection refused); `tbgen serve` starts one, "
    status, output = run(command, counting.repository, str(port))
    assert (status, output[: len(sentence)]) == (1, sentence)


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "verify"])
def test_the_port_of_the_other_protocol_is_named(counting: EmbeddedServer, command: str) -> None:
    for own, other, number in (("HTTP", "gRPC", 8001), ("gRPC", "HTTP", 8000)):
        place = f"localhost:{counting.ports[own]}"
        status, output = run(command, counting.repository, f"{other.lower()}://{place}")
        assert (status, output.splitlines()[-1]) == (
            1,
            f"Error: {place} speaks {own}, not {other}: its address is {own.lower()}://{place}; "
            f"{other} has a port of its own, by default {number}",
        )


def test_encryption_where_there_is_none_is_named(counting: EmbeddedServer) -> None:
    for name, place in (("gRPC", counting.grpc_url), ("HTTP", counting.http_url)):
        asked = f"{'grpcs' if name == 'gRPC' else 'https'}://{place}"
        sentence = f"Error: {place} speaks {name}, not encrypted {name}: its address is {name.lower()}://{place}\n"
        assert run("infer", counting.repository, asked) == (1, sentence)


@NEEDS_HAPROXY
def test_an_encrypted_port_is_named(counting: EmbeddedServer, tmp_path: Path) -> None:
    place, file, key = f"localhost:{free_ports(1)[0]}", tmp_path / "haproxy.cfg", tmp_path / "key.pem"
    made = ["openssl", "req", "-x509", "-nodes", "-subj", "/CN=localhost", "-keyout", key, "-out", tmp_path / "crt"]
    subprocess.run([*made, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"], check=True, capture_output=True)
    with key.open("a") as both:
        both.write((tmp_path / "crt").read_text())
    file.write_text(TLS.format(place=place, key=key, server=counting.grpc_url), encoding="utf-8")
    with proxying(file, tmp_path / "admin"):
        sentence = f"Error: {place} speaks encrypted gRPC, not gRPC: its address is grpcs://{place}\n"
        assert run("infer", counting.repository, f"grpc://{place}") == (1, sentence)


def test_a_scheme_is_believed_without_asking() -> None:
    assert address_from_url("grpcs://triton:443/") == Address("triton:443", "grpc", tls=True)
    assert address_from_url("https://[::1]:443") == Address("[::1]:443", "http", tls=True)
    assert address_from_url(None) == Address("localhost:8001", "grpc")
    assert str(address_from_url("grpcs://triton:443")) == "grpcs://triton:443"


@pytest.mark.parametrize("said", [b"\x15\x03\x03\x00\x02\x02\x16", b"220 mail\r\n"])
def test_a_port_that_speaks_neither_asks_for_a_scheme(said: bytes) -> None:
    """A TLS alert, and a mail server."""

    def answer() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(said)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        place = f"127.0.0.1:{listening.getsockname()[1]}"
        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(UserError, match=f"write grpcs://{place} or https://{place}$"):
            address_from_url(place)
        thread.join()
