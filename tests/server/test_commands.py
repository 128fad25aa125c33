"""`tbgen serve` and `tbgen infer` as a person runs them."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tritonclient.grpc as grpc
from click.testing import CliRunner

from tbgen.cli.infer import infer
from tbgen.cli.serve import serve
from tbgen.cli.show import cell_text, table_of_answers
from tbgen.server.embedded.keys import headers_of
from tbgen.server.embedded.ports import free_ports
from tbgen.server.embedded.server import EmbeddedServer
from tests.server import playground as play
from tests.server.test_embedded import ended, session_processes
from tests.waiting import FOREVER, wait_until


def ask(server: EmbeddedServer, *words: str, lines: bytes | None = None) -> str:
    """What `tbgen infer` prints."""
    answer = CliRunner().invoke(infer, [*words, "--url", server.grpc_url], input=lines)
    assert answer.exit_code == 0, answer.output
    return answer.output


def test_infer_prints_a_table(server: EmbeddedServer) -> None:
    output = ask(server, "solo", "상한가", "abcdef")
    assert [re.split(r"\s*[│┃]\s*", line)[1:-1] for line in output.splitlines() if line[0] in "│┃"] == [
        ["text", "length", "echo"],
        ["상한가", "3", "상한가"],
        ["abcdef", "6", "abcdef"],
    ]


def test_infer_prints_one_json_object_a_line_of_its_input(server: EmbeddedServer) -> None:
    output = ask(server, "solo", "--json", lines="상한가\n\n끝".encode())
    assert [json.loads(line) for line in output.splitlines()] == [
        {"text": "상한가", "length": 3, "echo": "상한가", "halves": ["상", "한가"]},
        {"text": "", "length": 0, "echo": "", "halves": ["", ""]},
        {"text": "끝", "length": 1, "echo": "끝", "halves": ["끝", ""]},
    ]


def test_infer_speaks_http(server: EmbeddedServer) -> None:
    answer = CliRunner().invoke(infer, ["solo", "ab", "--json", "--url", f"http://{server.http_url}"])
    assert json.loads(answer.output)["length"] == 2


def test_infer_says_in_one_line_what_is_wrong(server: EmbeddedServer) -> None:
    answer = CliRunner().invoke(infer, ["sol", "ab", "--url", server.grpc_url])
    assert answer.exit_code == 1
    assert re.fullmatch(r"Error: no model 'sol'\. Models: demo_onnx_bls, .*\n", answer.output)


def test_input_that_is_not_utf8_is_refused(server: EmbeddedServer) -> None:
    text = "오늘\n".encode() + "상한가\n".encode("cp949")
    answer = CliRunner().invoke(infer, ["solo", "--json", "--url", server.grpc_url], input=text)
    assert answer.exit_code == 1
    assert "Error: line 2 of standard input is not UTF-8 (byte 1 is 0xbb);" in answer.output
    assert "iconv -f CP949 -t UTF-8" in answer.output


def test_no_input_is_said(server: EmbeddedServer) -> None:
    answer = CliRunner().invoke(infer, ["solo", "--url", server.grpc_url], input=b"")
    assert answer.exit_code == 1
    assert answer.output == "Error: standard input is empty; give it one text a line\n"


def test_lists_are_shown_where_there_is_nothing_else() -> None:
    table = table_of_answers([({"text": "삼성전자 공시"}, {"entities": ["삼성전자", "공시"]})])
    assert [column.header for column in table.columns] == ["text", "entities"]


def test_a_long_list_is_cut_in_a_table() -> None:
    assert cell_text([0.123456, 1.0, 2.0, 3.0, 4.0, 5.0]) == "0.1235, 1.0000, 2.0000, 3.0000, 4.0000, …"


def test_serve_says_in_one_line_what_is_wrong(tmp_path: Path) -> None:
    answer = CliRunner().invoke(serve, [str(tmp_path / "none")])
    assert answer.exit_code == 1
    assert answer.output.splitlines()[-1] == (
        f"Error: no model repository at '{tmp_path}/none'; `tbgen scaffold NAME --source CHECKPOINT "
        f"-r {tmp_path}/none` writes one"
    )


def test_serve_refuses_what_check_refuses(tmp_path: Path) -> None:
    play.write_python(tmp_path, "empty", f"max_batch_size: 4 {play.TEXT}")
    (tmp_path / "empty" / "1" / "model.py").unlink()
    answer = CliRunner().invoke(serve, [str(tmp_path)])
    assert answer.exit_code == 1
    assert f"Error: Triton would not serve '{tmp_path}'; mend it, or start with --no-check:\n  empty/" in answer.output
    assert "model.py" in answer.output


def test_serve_starts_what_check_refuses_when_told_to(tmp_path: Path) -> None:
    play.write_python(tmp_path, "broken", "max_batch_size: 4 inputt { }")
    http, grpc, metrics = free_ports(3)
    ports = [f"--http-port={http}", f"--grpc-port={grpc}", f"--metrics-port={metrics}"]
    answer = CliRunner().invoke(serve, [str(tmp_path), "--no-check", *ports])
    assert answer.exit_code == 1
    assert "model 'broken' failed to load: failed to read text proto" in answer.output


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """`tbgen serve` as a process of its own, on free ports; it may still be starting."""
    play.write_python(
        tmp_path / "models", "measure", f"max_batch_size: 4 {play.TEXT} response_cache {{ enable: true }}"
    )
    http, grpc, metrics = free_ports(3)
    command = [sys.executable, "-c", "from tbgen.cli.serve import serve; serve()", str(tmp_path / "models")]
    ports = [f"--http-port={http}", f"--grpc-port={grpc}", f"--metrics-port={metrics}"]
    command.append("--model-control-mode=explicit")
    with subprocess.Popen(
        [*command, *ports], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8"
    ) as process:
        yield process
        process.kill()


def printed_until(process: subprocess.Popen[str], text: str) -> str:
    """What a process prints, up to the line with `text`."""
    assert process.stdout is not None
    output = ""
    while text not in output:
        line = process.stdout.readline()
        assert line, output
        output += line
    return output


def child_of(process: subprocess.Popen[str]) -> int:
    """The one process that a process has started, which leads a session of its own."""
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children")

    def leaders() -> list[int]:
        assert process.poll() is None, "it ended"
        return [child for child in map(int, listed.read_text(encoding="utf-8").split()) if session_processes(child)]

    wait_until(lambda: bool(leaders()))
    return leaders()[0]


def test_serve_shows_addresses_and_models_and_ends_with_ctrl_c(serving: subprocess.Popen[str]) -> None:
    output = printed_until(serving, "Stop it: Ctrl-C")
    session = child_of(serving)
    url = re.search(r"gRPC     grpc://(\S+)", output)
    assert url
    assert re.search(r"measure +python +\S+ -> \S+", output)
    assert f"Ask it: tbgen infer measure --url grpc://{url[1]} TEXT" in output
    assert "Equal requests are answered from a cache: measure" in output
    with grpc.InferenceServerClient(url[1]) as client:
        client.unload_model("measure", headers=headers_of(url[1], "grpc"))
        assert not client.is_model_ready("measure")
    serving.send_signal(signal.SIGINT)
    assert serving.stdout
    said = serving.stdout.read()  # until it ends
    assert serving.wait(timeout=FOREVER) == 0, said
    ended(session)


def test_serve_ends_with_sigterm_also_while_it_starts(serving: subprocess.Popen[str]) -> None:
    session = child_of(serving)
    serving.terminate()
    assert serving.wait(timeout=FOREVER) == 0
    ended(session)  # by the kernel with its parent where the signal came before it was known


def test_a_killed_serve_leaves_no_server(serving: subprocess.Popen[str]) -> None:
    printed_until(serving, "Stop it: Ctrl-C")
    session = child_of(serving)
    serving.kill()
    serving.wait()
    ended(session)
