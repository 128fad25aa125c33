"""Written clients against the real server: the sample, a pair of texts, a text with a list (clients.md)."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tbgen.cli.main import main
from tbgen.export.errors import UserError
from tbgen.generator.client_code import LANGUAGES as ENDINGS
from tbgen.generator.client_code import client_code, client_protocol
from tbgen.generator.models.config import config_from_text
from tbgen.server.client.client import infer
from tbgen.server.embedded.server import EmbeddedServer
from tests.serving import serving

RUN = {
    "python": [sys.executable],
    "python-async": [sys.executable],
    "python-grpc": [sys.executable],
    "javascript": ["node"],
    "curl": ["bash"],
    "go": ["go", "run"],
}
LANGUAGES = [
    pytest.param(name, marks=pytest.mark.skipif(not shutil.which(run[0]), reason=f"no {run[0]} on this machine"))
    for name, run in RUN.items()
]
TEXTS = ["오늘도 상한가 갔다", 'a "quoted" \\ text,\n$HOME `x` 🔥', ""]
ECHO = """
import numpy as np, triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(*(tensor.as_numpy() for tensor in self.inputs(request))) for request in requests]

    def inputs(self, request):
        return [pb.get_input_tensor_by_name(request, name) for name in NAMES]

    def answer(self, query, texts):
        lengths = np.array([[len(text.decode()) for text in row] for row in texts], np.float32)
        named = {"said": query, "heard": texts, "lengths": lengths}
        return pb.InferenceResponse([pb.Tensor(name, array) for name, array in named.items()])
"""
CONFIG = """
backend: "python" max_batch_size: {batch}
input {{ name: "{first}" data_type: TYPE_STRING dims: 1 }}
input {{ name: "{second}" data_type: TYPE_STRING dims: {dims} }}
output {{ name: "said" data_type: TYPE_STRING dims: 1 }}
output {{ name: "heard" data_type: TYPE_STRING dims: {dims} }}
output {{ name: "lengths" data_type: TYPE_FP32 dims: {dims} }}
instance_group {{ kind: KIND_CPU count: 1 }}
"""
# By task: its inputs, and the dims of the second.
TASKS = {
    "pair": ("text", "text_pair", 1),
    "question-answering": ("question", "context", 1),
    "rerank": ("query", "texts", -1),
    "zero-shot-classification": ("input_text", "candidate_labels", -1),
}


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """Models with the inputs of the tasks that take several."""
    repository = tmp_path_factory.mktemp("echo") / "models"
    for name, (first, second, dims) in TASKS.items():
        (repository / name / "1").mkdir(parents=True)
        config = CONFIG.format(batch=4, first=first, second=second, dims=dims)
        (repository / name / "config.pbtxt").write_text(config, encoding="utf-8")
        source = f"NAMES = {first!r}, {second!r}\n{ECHO}"
        (repository / name / "1" / "model.py").write_text(source, encoding="utf-8")
    with serving(repository) as server:
        yield server


def answers(server: EmbeddedServer, model: str, language: str, folder: Path, *values: str) -> list[Any]:
    """What the client that `tbgen client` writes prints, one value a line."""
    done = run_client(server, model, language, folder, *values)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return [plain(row) for row in rows] if language in ("curl", "go") else rows


def run_client(
    server: EmbeddedServer, model: str, language: str, folder: Path, *values: str
) -> subprocess.CompletedProcess[str]:
    """Write a client with `tbgen client` and run it."""
    file = written_client(server, model, language, folder)
    return subprocess.run([*RUN[language], file, *values], capture_output=True, text=True, check=False)


def written_client(server: EmbeddedServer, model: str, language: str, folder: Path) -> Path:
    """A client of a server."""
    return client_file(server.repository, model, language, folder, "--url", url_of(server, language))


def url_of(server: EmbeddedServer, language: str) -> str:
    """Where a server speaks what the client of a language does."""
    return server.grpc_url if client_protocol(language) == "gRPC" else server.http_url


def client_file(repository: Path, model: str, language: str, folder: Path, *options: str) -> Path:
    """The file that `tbgen client` writes."""
    file = folder / f"{language.replace('-', '_')}_client{ENDINGS[language]}"
    command = ["client", model, "--lang", language, "-r", str(repository), *options]
    written = CliRunner().invoke(main, [*command, "-o", str(file)])
    assert written.exit_code == 0, written.output
    return file


def plain(body: dict[str, Any]) -> dict[str, Any]:
    """The server's JSON as the other clients print it."""
    single = ("label", "label_index", "score", "said")
    return {row["name"]: row["data"][0] if row["name"] in single else row["data"] for row in body["outputs"]}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("front", ["kcbert_onnx_ensemble", "kcbert_onnx_bls"])
def test_texts_get_their_answers(kcbert_server: EmbeddedServer, tmp_path: Path, front: str, language: str) -> None:
    rows = answers(kcbert_server, front, language, tmp_path, *TEXTS)
    expected = infer(front, TEXTS, url=kcbert_server.grpc_url)
    assert [row.keys() for row in rows] == [answer.keys() for answer in expected]
    assert [row["label"] for row in rows] == [answer["label"] for answer in expected]
    assert [row["top_labels"] for row in rows] == [answer["top_labels"] for answer in expected]
    for row, answer in zip(rows, expected, strict=True):
        assert row["softmax"] == pytest.approx(answer["softmax"], abs=1e-5)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_task_of_several_inputs_gets_them(echo: EmbeddedServer, tmp_path: Path, language: str, task: str) -> None:
    several = TASKS[task][2] == -1
    texts = ["올랐다", 'a, "b"', "", "-5도"] if several else ["--url\x01\x7f\t\n$HOME\\"]
    row = answers(echo, task, language, tmp_path, "금리", *texts[:-1], "--", texts[-1])[0]
    heard = row["heard"] if isinstance(row["heard"], list) else [row["heard"]]
    assert (row["said"], heard) == ("금리", texts)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_a_client_does_not_take_is_a_sentence(echo: EmbeddedServer, tmp_path: Path, language: str) -> None:
    def said(model: str, *words: str) -> str:
        file = client_file(echo.repository, model, language, tmp_path, "--force")
        done = subprocess.run([*RUN[language], file, *words], capture_output=True, text=True, check=False)
        lines = [line for line in done.stderr.splitlines() if not line.startswith(("usage: ", "exit status "))]
        assert (done.stdout, len(lines)) == ("", 1), done.stderr
        assert done.returncode != 0
        return lines[0]

    assert "-nope" in said("rerank", "금리", "--nope", "올랐다")
    assert "-url" in said("rerank", "금리", "올랐다", "--url")
    for words in ((), ("금리",)):
        assert said("rerank", *words).endswith(f"it takes QUERY TEXTS...; values given: {len(words)}")
    assert said("question-answering", "언제?", "내일", "모레").endswith("it takes QUESTION CONTEXT; values given: 3")
    if language != "curl":  # whose server says it
        assert "not valid UTF-8" in said("rerank", "금리", "\udcff")


@pytest.mark.parametrize("language", LANGUAGES)
def test_help_says_what_a_client_takes(echo: EmbeddedServer, tmp_path: Path, language: str) -> None:
    file = written_client(echo, "rerank", language, tmp_path)
    done = subprocess.run([*RUN[language], file, "--help"], capture_output=True, text=True, check=True)
    assert "[--url URL] [--] QUERY TEXTS..." in done.stdout
    assert "Asks the model rerank" in done.stdout


@pytest.mark.parametrize("language", LANGUAGES)
def test_url_takes_the_forms_of_the_commands(echo: EmbeddedServer, tmp_path: Path, language: str) -> None:
    def said(url: str) -> str:
        done = run_client(echo, "question-answering", language, tmp_path, "--url", url, "언제?", "내일")
        next(tmp_path.iterdir()).unlink()
        return done.stdout + done.stderr

    here, (own, other) = url_of(echo, language), ("HTTP", "gRPC")
    if client_protocol(language) == "gRPC":
        own, other = other, own
    for url in (f"{own.lower()}://{here}/", here, here.rpartition(":")[2]):
        assert "언제?" in said(url)
    refused = said(f"{other.lower()}://{here}").removesuffix("exit status 1\n")  # which `go run` adds
    sentence = f"this client speaks {own}: write {own.lower()}://HOST:PORT instead of {other.lower()}://{here}\n"
    assert refused.endswith(sentence)
    assert refused.count("\n") == 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_no_address_or_value_is_one_sentence(tmp_path: Path, language: str) -> None:
    text = CONFIG.format(batch=4, first="query", second="texts", dims=-1)
    config = config_from_text(text.replace("TYPE_STRING dims: 1", "TYPE_INT64 dims: 1"))
    config.name, file = "pair", tmp_path / f"client{ENDINGS[language]}"
    file.write_text(client_code(config, language), encoding="utf-8")

    def said(*words: str) -> str:
        done = subprocess.run([*RUN[language], file, *words], capture_output=True, text=True, check=False)
        lines = done.stderr.replace("exit status 1\n", "").splitlines()  # which `go run` adds
        assert (done.returncode, done.stdout, len(lines)) == (1, "", 1), done.stderr
        return lines[0]

    for url in ("", "http://[::1", "localhost:port"):
        assert said("--url", url, "[1]", "내일").endswith(f"HOST:PORT instead of {url}")
    for wrong in ("[", "[1] x", "1, 2"):
        assert said(wrong, "내일")


@pytest.mark.parametrize("language", [each for each in LANGUAGES if each.values != ("python-async",)])
def test_the_engine_takes_its_tensors_as_json(kcbert_server: EmbeddedServer, tmp_path: Path, language: str) -> None:
    row = answers(kcbert_server, "kcbert_onnx", language, tmp_path, "[2, 3]", "[1, 1]", "[0, 0]")[0]
    assert len(row["outputs"]) == 3


@pytest.mark.parametrize("language", [each for each in LANGUAGES if each.values != ("javascript",)])
def test_a_refused_request_fails_with_the_servers_sentence(
    kcbert_server: EmbeddedServer, tmp_path: Path, language: str
) -> None:
    large = 2**53 + 1  # no double has it: the digits must go through
    done = run_client(kcbert_server, "kcbert_onnx", language, tmp_path, f"[2, {large}]", "[1, 1]", "[0, 0]")
    assert done.returncode != 0
    assert f"indices element out of data bounds, idx={large}" in done.stdout + done.stderr


def test_javascript_fails_with_the_servers_sentence(kcbert_server: EmbeddedServer, tmp_path: Path) -> None:
    done = run_client(kcbert_server, "kcbert_onnx", "javascript", tmp_path, "[2, 999999]", "[1, 1]", "[0, 0]")
    assert done.returncode != 0
    assert "indices element out of data bounds, idx=999999" in done.stderr


@pytest.mark.skipif(not shutil.which("go"), reason="no go on this machine")
def test_go_keeps_its_compilers_rules(tmp_path: Path) -> None:
    config = config_from_text(CONFIG.format(batch=0, first="query", second="texts", dims=-1))
    config.name = "search"
    code = client_code(config, "go", url="http://triton:8000")
    inputs = '\t{"query", "BYTES", "text"},\n\t{"texts", "BYTES", "texts"},\n}\n'
    assert f"var inputs = []input{{\n{inputs}" in code
    assert 'const model = "search"' in code
    assert "var batch = []int{} // the batch axis" in code
    (tmp_path / "client.go").write_text(code, encoding="utf-8")
    for command in (["gofmt", "-l"], ["go", "vet"]):
        done = subprocess.run([*command, tmp_path / "client.go"], capture_output=True, text=True, check=True)
        assert done.stdout + done.stderr == ""


@pytest.mark.parametrize(
    "tensors", ["input {{ {0} }}", "output {{ {0} }}", "input {{ {0} optional: true }} output {{ {0} }}"]
)
def test_a_model_that_takes_or_gives_nothing_has_no_client(tensors: str) -> None:
    config = config_from_text('name: "m" ' + tensors.format('name: "t" data_type: TYPE_STRING dims: 1'))
    for language in ENDINGS:
        with pytest.raises(
            UserError, match="'m' has no inputs that must be sent, or no outputs: there is nothing to ask"
        ):
            client_code(config, language)


def test_fp16_is_for_python_alone() -> None:
    config = config_from_text('name: "e" input { name: "t" data_type: TYPE_STRING dims: 1 }')
    config.output.add(name="embedding", data_type="TYPE_FP16", dims=[8])
    assert "embedding" in client_code(config, "python")
    with pytest.raises(UserError, match="FP16, which JSON cannot carry"):
        client_code(config, "curl")


def test_a_file_is_not_replaced_unasked(echo: EmbeddedServer, tmp_path: Path) -> None:
    command = ["client", "rerank", "-r", str(echo.repository), "-o", str(tmp_path / "client.py")]
    assert CliRunner().invoke(main, command).exit_code == 0
    assert "--force replaces it" in CliRunner().invoke(main, command).output


@pytest.mark.parametrize(("language", "url"), [("go", "grpc://triton:8001"), ("python-grpc", "http://triton:8000")])
def test_a_client_is_not_written_for_another_protocol(echo: EmbeddedServer, language: str, url: str) -> None:
    command = ["client", "rerank", "-r", str(echo.repository), "--url", url, "--lang", language]
    speaks = client_protocol(language)
    assert CliRunner().invoke(main, command).output == (
        f"Error: the {language} client speaks {speaks}: write --url {speaks.lower()}://HOST:PORT, not {url}\n"
    )
