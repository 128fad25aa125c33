"""`tbgen gateway` as a person starts it: what is wrong is said in one sentence, before anything listens."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from tbgen.cli.gateway import gateway
from tbgen.export.errors import UserError
from tbgen.server.gateway.serving import keys_from_file


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


def test_a_port_that_is_taken_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = CliRunner().invoke(gateway, ["--port", str(port)])
    assert f"the gateway cannot listen on 127.0.0.1:{port} (Address already in use)" in done.output
