"""`tbgen gateway` as a person starts it: what is wrong is said in one sentence, before anything listens."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from tbgen.cli.gateway import gateway
from tbgen.export.errors import UserError
from tbgen.server.client.address import Address
from tbgen.server.embedded.ports import free_ports
from tbgen.server.embedded.server import EmbeddedServer
from tbgen.server.gateway.models import refuse_unknown_models
from tbgen.server.gateway.serving import keys_from_file
from tbgen.server.gateway.settings import GatewaySettings


def test_keys_are_the_lines_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("one\n\n  two  \n", encoding="utf-8")
    assert keys_from_file(file) == {"one", "two"}


@pytest.mark.parametrize("text", ["", "\n\n", "열쇠\n", "two words\n"])
def test_a_file_without_keys_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="is no file of keys; write one a line, in plain ASCII without spaces"):
        keys_from_file(file)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--url", "http://localhost:8000"], "the gateway asks over gRPC, not at http://localhost:8000"),
        (["-r", "nowhere"], "no model repository at 'nowhere'"),
        (["--host", "300.1.1.1"], "the gateway cannot listen on 300.1.1.1:8080"),
        (["--api-keys", "nowhere"], "File 'nowhere' does not exist"),
    ],
)
def test_mistakes_are_said_in_one_sentence(words: list[str], sentence: str) -> None:
    done = CliRunner().invoke(gateway, words)
    assert (done.exit_code in (1, 2), sentence in done.output) == (True, True), done.output
    assert "Traceback" not in done.output


@pytest.mark.parametrize("name", ["moood", "mood_onnx", "nope"])
def test_a_model_that_the_server_has_not_is_refused(every_task: EmbeddedServer, name: str) -> None:
    words = ["--url", f"grpc://{every_task.grpc_url}", "--model", "vectors", "--model", name]
    for more in ([], ["-r", str(every_task.repository)]):
        done = CliRunner().invoke(gateway, [*words, *more])
        assert done.exit_code == 1
        assert done.output.startswith(
            f"Error: no model {name!r}. Models: answers, any_label, masks, mood, names, near, "
        )
        assert done.output.rstrip().endswith("Did you mean 'mood'?") == (name == "moood")


def test_a_second_model_of_one_task_is_refused(every_task: EmbeddedServer) -> None:
    words = ["--url", f"grpc://{every_task.grpc_url}", "--model", "mood", "--model", "vectors", "--model", "topics"]
    done = CliRunner().invoke(gateway, words)
    said = "Error: --model mood and --model topics both do text-classification: name one of them\n"
    assert (done.exit_code, done.output) == (1, said)


def test_models_of_a_server_that_is_not_there_yet_are_waited_for(every_task: EmbeddedServer) -> None:
    here, nowhere = Address(every_task.grpc_url, "grpc"), Address(f"127.0.0.1:{free_ports(1)[0]}", "grpc")
    refuse_unknown_models(GatewaySettings(nowhere, models=("nope",)))
    refuse_unknown_models(GatewaySettings(here, models=("mood", "vectors_onnx_ensemble")))


def test_a_port_that_is_taken_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = CliRunner().invoke(gateway, ["--port", str(port)])
    assert f"the gateway cannot listen on 127.0.0.1:{port} (Address already in use)" in done.output
