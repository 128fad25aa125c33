"""`tbgen deploy haproxy`: what it writes, which HAProxy takes without a word, and what it refuses."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tbgen.cli.main import main
from tests.haproxy import NEEDS_HAPROXY
from tests.server import playground as play


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A model that clients ask, whose name a regular expression would read, and an engine that they do not."""
    play.write_python(tmp_path / "models", "mea.sure", f"max_batch_size: 4 {play.TEXT}")
    play.write_onnx(tmp_path / "models", "linear", play.linear(), None)
    return tmp_path / "models"


def written(repository: Path, *servers: str, options: tuple[str, ...] = ()) -> Result:
    """The command, for these servers, into the folder `haproxy` beside the repository."""
    named = [word for server in servers for word in ("--server", server)]
    command = ["deploy", "haproxy", str(repository), *named, "-o", str(repository.parent / "haproxy"), *options]
    return CliRunner().invoke(main, command)


def lines(repository: Path, first: str) -> list[str]:
    """The lines of the configuration that begin so."""
    text = (repository.parent / "haproxy" / "haproxy.cfg").read_text(encoding="utf-8")
    return [line.strip() for line in text.splitlines() if line.strip().startswith(first)]


@NEEDS_HAPROXY
@pytest.mark.parametrize("servers", [["10.0.0.1"], ["triton-a.example", "127.0.0.1:8100:8101", "[::1]"]])
def test_haproxy_takes_it_without_a_word(repository: Path, servers: list[str]) -> None:
    assert written(repository, *servers).exit_code == 0
    command = ["haproxy", "-c", "-q", "-f", repository.parent / "haproxy" / "haproxy.cfg"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    known = [line for line in done.stderr.splitlines() if "[NOTICE]" not in line and "could not resolve" not in line]
    assert known == []


def test_each_server_is_asked_what_the_models_say(repository: Path) -> None:
    assert written(repository, "a", "b:1:2").exit_code == 0
    assert lines(repository, "server ") == [
        "server triton1 a:8000",
        "server triton2 b:1",
        "server triton1 a:8001 track http/triton1",
        "server triton2 b:2 track http/triton2",
    ]
    (question,) = lines(repository, "http-check send")
    assert "uri /v2/models/mea.sure/infer" in question
    assert json.loads(question.partition("body '")[2].rstrip("'"))["inputs"][0]["data"] == ["오늘도 상한가 갔다 🔥📈"]
    assert "models/(mea\\.sure)(" in lines(repository, "acl asks")[0]
    assert "linear" not in "".join(lines(repository, "acl"))


@pytest.mark.parametrize(("items", "kib"), [(4, 64), (128, 128), (4096, 256)])
def test_what_haproxy_copies_of_each_request_grows_with_the_largest_batch_and_no_further(
    tmp_path: Path, items: int, kib: int
) -> None:
    play.write_python(tmp_path / "models", "measure", f"max_batch_size: {items} {play.TEXT}")
    assert written(tmp_path / "models", "a").exit_code == 0
    assert lines(tmp_path / "models", "tune.bufsize") == [f"tune.bufsize {(kib + 16) * 1024}"]


def test_another_server_comes_and_edits_stay(repository: Path) -> None:
    file = repository.parent / "haproxy" / "haproxy.cfg"
    assert written(repository, "a").exit_code == 0
    assert written(repository, "a", "b").exit_code == 0
    assert len(lines(repository, "server triton2")) == 2
    file.write_text(file.read_text("utf-8") + "# mine\n", encoding="utf-8")
    assert "edited by you, kept" in written(repository, "a", "b", "c").output
    assert lines(repository, "# mine")
    assert not lines(repository, "server triton3")
    assert written(repository, "a", "b", "c", options=("--force",)).exit_code == 0
    assert lines(repository, "server triton3")


@pytest.mark.parametrize(
    ("servers", "says"),
    [
        (["http://a:8000"], "is no server: write HOST, whose ports are 8000 and 8001, or HOST:PORT:PORT"),
        (["a:8000"], "is no server"),
        (["a:8000:8000"], "is no server"),
        (["a:8000:99999"], "is no server"),
        (["a b"], "is no server"),
        (["a", "a"], "the server a is named twice"),
        ([], "Missing option '--server'"),
    ],
)
def test_servers_that_are_none_are_a_sentence(repository: Path, servers: list[str], says: str) -> None:
    done = written(repository, *servers)
    assert done.exit_code != 0
    assert says in done.output
    assert not (repository.parent / "haproxy").exists()


def test_a_repository_without_a_text_model_is_a_sentence(tmp_path: Path) -> None:
    play.write_onnx(tmp_path / "models", "linear", play.linear(), None)
    assert "can be asked a text" in written(tmp_path / "models", "a").output
    assert "no model repository at" in written(tmp_path / "none", "a").output
