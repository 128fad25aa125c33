"""The commands of README and tutorial, run as they stand: scaffold, serve, infer, and the lines into another Triton.

They are those of README.md, README.ko.md, docs/tutorial/five-minutes.md, docs/tutorial/walk-through.md and
docs/tutorial/walk-through-ko.md.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tbgen.server.client.address import Address
from tbgen.server.embedded.ports import free_ports
from tbgen.server.gateway.settings import GatewaySettings
from tests.server.gateway.running import running_gateway
from tests.serving import serving
from tests.waiting import FOREVER

ROOT = Path(__file__).parents[2]
WALKS = ["docs/tutorial/walk-through.md", "docs/tutorial/walk-through-ko.md"]
PAGES = ["README.md", "README.ko.md", "docs/tutorial/five-minutes.md", *WALKS]
TBGEN = [sys.executable, "-m", "tbgen.cli.main"]


def commands(page: str) -> list[str]:
    """The shell commands of a page, continuation lines joined, comments gone."""
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    lines = re.sub(r"do\n +", "do ", "".join(blocks)).splitlines()
    return [re.sub(r"\s+#.*", "", line) for line in lines]


def of(page: str, begin: str) -> list[str]:
    """Those that begin so."""
    return [command for command in commands(page) if command.startswith(begin)]


def run(command: str, folder: Path, *more: str) -> str:
    """Run a line of a page, a tbgen of this tree for its `tbgen`; what it prints."""
    program, *words = shlex.split(command)
    arguments = [*(TBGEN if program == "tbgen" else [sys.executable]), *words, *more]
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def scaffolded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the first command behind the installation has run."""
    folder = tmp_path_factory.mktemp("tutorial")
    firsts = {of(page, "tbgen scaffold")[0] for page in PAGES}
    assert firsts == {"tbgen scaffold kcbert"}
    assert "kcbert_onnx_ensemble" in run(*firsts, folder)
    return folder


@pytest.fixture(scope="module")
def served(scaffolded: Path) -> Iterator[dict[str, str]]:
    """`tbgen serve` in that folder; its addresses by the ports that it has without being told."""
    with command_serving("tbgen serve", scaffolded, until="Stop it") as addresses:
        yield addresses


@contextmanager
def command_serving(command: str, folder: Path, until: str) -> Iterator[dict[str, str]]:
    """A `tbgen serve` of a page, on free ports, once it has printed `until`. Ctrl-C stops it."""
    options = ("--http-port", "--grpc-port", "--metrics-port")
    ports = dict(zip(options, map(str, free_ports(3)), strict=True))
    arguments = [*TBGEN, *shlex.split(command)[1:], *(word for each in ports.items() for word in each)]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(arguments, cwd=folder, stdout=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdout
        lines = iter(server.stdout.readline, "")
        assert any(until in line for line in lines)
        yield {
            "localhost:8000": f"localhost:{ports['--http-port']}",
            "localhost:8001": f"localhost:{ports['--grpc-port']}",
        }
        server.send_signal(signal.SIGINT)
        assert server.wait(FOREVER) == 0


@pytest.mark.parametrize("page", PAGES[:2])
def test_the_readme_is_one_screen(page: str) -> None:
    assert len((ROOT / page).read_text(encoding="utf-8").splitlines()) <= 60


def test_both_walk_throughs_have_the_same_commands() -> None:
    assert commands(WALKS[0]) == commands(WALKS[1])


@pytest.mark.parametrize("page", PAGES[:4])
def test_infer_answers(served: dict[str, str], scaffolded: Path, page: str) -> None:
    first, *others = of(page, "tbgen infer kcbert")
    url = f"grpc://{served['localhost:8001']}"
    rows = [json.loads(line) for line in run(first, scaffolded, "--url", url, "--json").splitlines()]
    assert [row["text"] for row in rows] == ["오늘도 상한가 갔다", "정기 주주총회는 다음 달 20일에 열린다."]
    assert [row["label"] for row in rows] == ["긍정", "중립"]
    for other in others:
        assert "긍정" in run(other, scaffolded, "--url", url)


def test_the_page_of_five_minutes_asks_without_tbgen(served: dict[str, str], scaffolded: Path) -> None:
    address = Address(served["localhost:8001"], "grpc")
    with running_gateway(GatewaySettings(address, repository=scaffolded / "model_repository")) as gateway:
        places = served | {"localhost:8080": f"127.0.0.1:{gateway.port}"}
        asked = of("docs/tutorial/five-minutes.md", "curl")
        assert len(asked) == 2
        for command in asked:
            place = next(place for place in places if place in command)
            words = shlex.split(command.replace(place, places[place]))
            assert "긍정" in subprocess.run(words, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    ("command", "says"),
    [("tbgen show", "kcbert_onnx_bls"), ("tbgen check", "5 models, 0 errors"), ("tbgen run", "긍정")],
)
def test_what_needs_no_server(scaffolded: Path, command: str, says: str) -> None:
    assert says in run(of(WALKS[0], command)[0], scaffolded)


def test_the_served_answers_are_those_of_the_checkpoint(served: dict[str, str], scaffolded: Path) -> None:
    (verify,) = of(WALKS[0], "tbgen verify")
    run(verify.replace("localhost:8001", served["localhost:8001"]), scaffolded)


def test_a_written_client_answers(served: dict[str, str], scaffolded: Path) -> None:
    run(*of(WALKS[0], "tbgen client"), scaffolded)
    asked = of(WALKS[0], "python client.py")[0].replace("client.py", f"client.py --url {served['localhost:8000']}")
    assert json.loads(run(asked, scaffolded))["label"] == "긍정"


def test_the_two_lines_bring_it_into_another_triton(scaffolded: Path, tmp_path: Path) -> None:
    existing = tmp_path / "model_repository"
    (existing / "other" / "1").mkdir(parents=True)
    (existing / "other" / "config.pbtxt").write_text('backend: "python"\n', encoding="utf-8")
    with serving(existing, extra_arguments=("--model-control-mode=explicit",)) as server:
        key = " ".join(f"-H '{name}: {value}'" for name, value in server.headers("http").items())
        for line in (
            of(WALKS[0], "cp -r")[0].replace("/path/to/triton/model_repository/", f"{existing}/"),
            of(WALKS[0], "for model")[0].replace("localhost:8000", server.http_url).replace("curl ", f"curl {key} "),
        ):
            subprocess.run(["bash", "-ec", line], cwd=scaffolded, check=True, capture_output=True)
        ready = {model.name for model in server.models() if model.state == "READY"}
    assert ready == {"kcbert_onnx", "kcbert_tokenizer", "kcbert_postprocess", "kcbert_onnx_ensemble", "kcbert_onnx_bls"}


@pytest.mark.parametrize("mode", ["explicit", "poll"])
def test_the_lines_to_try_it(scaffolded: Path, mode: str, tmp_path: Path) -> None:
    (tmp_path / "model_repository").symlink_to(scaffolded / "model_repository")
    subprocess.run(["bash", "-ec", *of(WALKS[0], "mkdir")], cwd=tmp_path, check=True)
    serve = of(WALKS[0], "tbgen serve models")[0].replace("=explicit", f"={mode}")
    with command_serving(serve, tmp_path, until="Stop it") as addresses:
        url = f"grpc://{addresses['localhost:8001']}"
        assert "kcbert_onnx_ensemble" in run(*of(WALKS[0], "tbgen deploy copy"), tmp_path, "--url", url)
        assert '"label": "' in run(of(WALKS[0], "tbgen infer")[0], tmp_path, "--url", url, "--json")


def test_an_edit_is_kept(scaffolded: Path, tmp_path: Path) -> None:
    shutil.copytree(scaffolded / "model_repository", tmp_path / "model_repository")
    config = tmp_path / "model_repository" / "kcbert_onnx_bls" / "config.pbtxt"
    edited = config.read_text(encoding="utf-8").replace("max_batch_size: 128", "max_batch_size: 64")
    config.write_text(edited, encoding="utf-8")
    for command in (*of(WALKS[0], "tbgen diff"), *of(WALKS[0], "tbgen update")):
        assert "kcbert_onnx_bls/config.pbtxt: edited by you, kept" in run(command, tmp_path)
    assert config.read_text(encoding="utf-8") == edited
