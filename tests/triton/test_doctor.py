"""`tbgen doctor --url`: what it finds of a real server that works, and of one that does not."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from tbgen.cli.main import main
from tbgen.export.errors import UserError
from tbgen.server.client.address import address_from_url
from tbgen.server.client.connection import Connection
from tbgen.server.doctor.part import BROKEN, MISSING, WORKS, MachinePart
from tbgen.server.doctor.remote import server_parts
from tbgen.server.embedded import keys
from tbgen.server.embedded.server import EmbeddedServer
from tbgen.server.embedded.stubs import Stubs
from tests.server import playground as play
from tests.serving import serving

FRONTS = ("kcbert_onnx_bls", "kcbert_onnx_ensemble")


def found(url: str, metrics: str | None = None) -> dict[str, MachinePart]:
    """The parts by name, the server's own as "server"."""
    return {
        part.name.split(" grpc://")[0].split(" http://")[0]: part
        for part in server_parts(address_from_url(url), metrics)
    }


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_server_that_works(protocol: str, kcbert_server: EmbeddedServer) -> None:
    place = {"grpc": kcbert_server.grpc_url, "http": kcbert_server.http_url}[protocol]
    parts = found(f"{protocol}://{place}", kcbert_server.metrics_url)
    assert {part.state for part in parts.values()} == {WORKS}
    says = {name: part.says for name, part in parts.items()}
    assert says["server"] == "triton 2.51.0"
    assert "model_repository" in says["extensions"]
    assert says["backends"] == "ensemble, onnxruntime, python"
    assert {*FRONTS} <= {*says["models"].split(", ")}
    assert all(says[f"answer of {front}"].endswith(" s") for front in FRONTS)
    assert says["locale"] == "kcbert_onnx_bls sends '한국어 🔥' back whole"
    assert says["shared memory"] == "0 regions registered"
    assert says["restricted APIs"].endswith(": model-repository, shared-memory, trace, logging")
    assert says["metrics"].endswith("steps of 3 models among them")


@pytest.fixture
def sick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedServer]:
    """A server open to all, with a model whose process is dead, and one that does not load."""
    for name in ("measure", "broken"):
        play.write_python(tmp_path / "models", name, f"max_batch_size: 4 {play.TEXT}")
    (tmp_path / "models" / "broken" / "1" / "model.py").write_text("raise ImportError('no kiwi')", encoding="utf-8")
    monkeypatch.setattr(keys, "restrictions", lambda _: [])
    arguments = ("--model-control-mode=explicit", "--load-model=measure")
    with serving(tmp_path / "models", extra_arguments=arguments) as server:
        with (
            Connection(f"grpc://{server.grpc_url}") as connection,
            pytest.raises(UserError, match="no kiwi"),
            connection.failures("does not load it"),
        ):
            connection.client.load_model("broken")
        assert server.process is not None
        stubs = Stubs(server.process.pid)
        stubs.look()
        for process in stubs.running:
            os.kill(process, signal.SIGKILL)
        yield server


def test_what_does_not_work_is_named_with_its_reason(sick: EmbeddedServer) -> None:
    parts = found(f"grpc://{sick.grpc_url}", "http://127.0.0.1:9/metrics")
    assert parts["answer of broken"].state == BROKEN
    assert "no kiwi" in parts["answer of broken"].says
    assert parts["answer of measure"].state == BROKEN
    assert "is not healthy" in parts["answer of measure"].says
    assert (parts["locale"].state, parts["metrics"].state) == (MISSING, MISSING)
    assert parts["restricted APIs"].says == "open to all who reach it: model-repository, shared-memory, trace, logging"


def test_the_command_looks_at_both_and_fails_for_either(sick: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tbgen.server.doctor.doctor.parts_of_machine", lambda: [MachinePart("numpy", WORKS, "", "")])
    done = CliRunner().invoke(main, ["doctor", "--json", "--url", f"http://{sick.http_url}"])
    told = json.loads(done.output)
    assert done.exit_code == 1
    assert told["broken"] == ["answer of broken", "answer of measure"]
    assert told["parts"][0]["name"] == "numpy"


def test_a_server_that_is_not_there_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tbgen.server.doctor.doctor.parts_of_machine", list)
    done = CliRunner().invoke(main, ["doctor", "--url", "http://127.0.0.1:9"])
    assert done.exit_code == 1
    assert "no Triton answers at http://127.0.0.1:9" in done.output
