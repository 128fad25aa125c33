"""The README's commands, run as they stand: scaffold, serve, infer, and the lines into an existing Triton."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tbgen.server.embedded.ports import free_ports
from tests.serving import serving
from tests.waiting import FOREVER

ROOT = Path(__file__).parents[2]
READMES = ["README.md", "README.ko.md"]
SERVE = [sys.executable, "-m", "tbgen.cli.main", "serve"]


def commands(readme: str) -> list[str]:
    """The shell commands of a README, continuation lines joined, comments gone."""
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / readme).read_text(encoding="utf-8"), re.DOTALL)
    joined = "\n".join(blocks).replace("do\n", "do ")
    return [re.sub(r"\s+#.*", "", line[2:]) for line in joined.splitlines() if line.startswith("$ ")]


def tbgen(command: str, folder: Path, *more: str) -> str:
    """Run a `tbgen ...` line of the README; what it prints."""
    arguments = [sys.executable, "-m", "tbgen.cli.main", *shlex.split(command)[1:], *more]
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def scaffolded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the README's first command has run."""
    folder = tmp_path_factory.mktemp("readme")
    assert commands("README.md")[2] == "tbgen scaffold kcbert"
    assert "kcbert_onnx_ensemble" in tbgen(commands("README.md")[2], folder)
    return folder


@pytest.fixture(scope="module")
def served(scaffolded: Path) -> Iterator[str]:
    """`tbgen serve` in that folder; the gRPC address."""
    with command_serving(scaffolded, until="kcbert_onnx_ensemble") as url:
        yield url


@contextmanager
def command_serving(folder: Path, *more: str, until: str) -> Iterator[str]:
    """`tbgen serve` in a folder, on free ports, once it has printed `until`; the gRPC address. Ctrl-C stops it."""
    http, grpc, metrics = free_ports(3)
    ports = ["--http-port", str(http), "--grpc-port", str(grpc), "--metrics-port", str(metrics)]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [*SERVE, *more, *ports], cwd=folder, stdout=subprocess.PIPE, text=True, env=environment
    ) as server:
        assert server.stdout
        lines = iter(server.stdout.readline, "")
        assert any(until in line for line in lines)
        yield f"127.0.0.1:{grpc}"
        server.send_signal(signal.SIGINT)
        assert server.wait(FOREVER) == 0


@pytest.mark.parametrize("readme", READMES)
def test_infer_answers(served: str, scaffolded: Path, readme: str) -> None:
    asked = [command for command in commands(readme) if command.startswith("tbgen infer")]
    assert len(asked) == 1
    rows = [json.loads(line) for line in tbgen(asked[0], scaffolded, "--url", served, "--json").splitlines()]
    assert [row["text"] for row in rows] == ["오늘도 상한가 갔다", "정기 주주총회는 다음 달 20일에 열린다."]
    assert all(row["label"] in ("부정", "중립", "긍정") for row in rows)


@pytest.mark.parametrize("readme", READMES)
def test_the_two_lines_bring_it_into_an_existing_triton(scaffolded: Path, readme: str, tmp_path: Path) -> None:
    copy, load = commands(readme)[-5:-3]
    existing = tmp_path / "model_repository"
    (existing / "other" / "1").mkdir(parents=True)
    (existing / "other" / "config.pbtxt").write_text('backend: "python"\n', encoding="utf-8")
    explicit = ("--model-control-mode=explicit",)
    with serving(existing, extra_arguments=explicit) as server:
        key = " ".join(
            f"-H '{name}: {value}'" for name, value in server.headers("http").items()
        )  # the embedded server's
        for line in (
            copy.replace("/path/to/triton/model_repository/", f"{existing}/"),
            load.replace("localhost:8000", server.http_url).replace("curl ", f"curl {key} "),
        ):
            subprocess.run(["bash", "-ec", line], cwd=scaffolded, check=True, capture_output=True)
        ready = {model.name for model in server.models() if model.state == "READY"}
    assert ready == {"kcbert_onnx", "kcbert_tokenizer", "kcbert_postprocess", "kcbert_onnx_ensemble", "kcbert_onnx_bls"}


@pytest.mark.parametrize(("readme", "mode"), [("README.md", "explicit"), ("README.ko.md", "poll")])
def test_the_lines_to_try_it(scaffolded: Path, readme: str, mode: str, tmp_path: Path) -> None:
    mkdir, serve, deploy = commands(readme)[-3:]
    (tmp_path / "model_repository").symlink_to(scaffolded / "model_repository")
    subprocess.run(["bash", "-ec", mkdir], cwd=tmp_path, check=True)
    arguments = shlex.split(serve.replace("=explicit", f"={mode}"))[2:]
    with command_serving(tmp_path, *arguments, until="Stop it") as url:
        assert "kcbert_onnx_ensemble" in tbgen(deploy, tmp_path, "--url", url)
        ask = next(command for command in commands(readme) if command.startswith("tbgen infer"))
        assert '"label": "' in tbgen(ask, tmp_path, "--url", url, "--json")
