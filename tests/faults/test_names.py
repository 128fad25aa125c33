"""Names are data: in the clients that tbgen writes, run against the real server, in what it prints and completes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tbgen.cli.main import main
from tbgen.cli.show import output, repository_tree
from tbgen.export.errors import UserError
from tbgen.generator.check.check import check_repository
from tbgen.generator.client_code import LANGUAGES, client_code
from tbgen.generator.recipe import Recipe, recipe_from_file, text_from_recipe
from tbgen.generator.request import Request
from tbgen.server.client.address import Address
from tbgen.server.embedded.server import EmbeddedServer
from tbgen.server.gateway.settings import GatewaySettings
from tests.server.gateway.chromium import Page, chromium
from tests.server.gateway.running import running_gateway
from tests.server.gateway.test_page import run, texts
from tests.serving import serving

RUN = {
    "python": [sys.executable],
    "python-async": [sys.executable],
    "javascript": ["node"],
    "python-grpc": [sys.executable],
    "curl": ["bash"],
    "go": ["go", "run"],
}
HERE = [
    pytest.param(name, marks=pytest.mark.skipif(not shutil.which(run[0]), reason=f"no {run[0]} on this machine"))
    for name, run in RUN.items()
]
NAMES = (
    *("$(touch ran)", "`touch ran`", "'; touch ran #", 'a"; touch ran; "', "a\nEND\ntouch ran\n", "$HOME", "a\\nb\\"),
    *('"); import os; os.system("touch ran"); ("', '"""', "a'b", "*/ //", "@{model}", "__proto__", "[/b] :smile:"),
    *("constructor", "$ref", "한글 🔥", "a\u2028b\u202ec\ufeffd\x1b[31m", "%s%20", "-rf", "..", "a b"),
)
QUOTED = "it's $(touch ran)'`touch ran`'"
ECHO = """
import triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        return [pb.InferenceResponse([pb.Tensor(t.name(), t.as_numpy()) for t in r.inputs()]) for r in requests]
"""


def model(repository: Path, folder: str, *tensors: str) -> ModelConfig:
    """A model that answers each of its texts with itself, under the same name."""
    (repository / folder / "1").mkdir(parents=True)
    (repository / folder / "1" / "model.py").write_text(ECHO, encoding="utf-8")
    config = ModelConfig(name=folder, backend="python", max_batch_size=4)
    for name in tensors:
        config.input.add(name=name, data_type="TYPE_STRING", dims=[1])
        config.output.add(name=name, data_type="TYPE_STRING", dims=[1])
    config.instance_group.add(kind="KIND_CPU")
    (repository / folder / "config.pbtxt").write_text(text_format.MessageToString(config), encoding="utf-8")
    return config


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """`many` takes a text under each name, `one` a text under the name that does most, QUOTED is an ensemble of it."""
    repository = tmp_path_factory.mktemp("names") / "models"
    model(repository, "many", *NAMES)
    model(repository, "one", "".join(NAMES))
    asked = model(repository, QUOTED, "x")
    (repository / QUOTED / "1" / "model.py").unlink()
    asked.backend, asked.platform, asked.output[0].name = "", "ensemble", "y"
    asked.ClearField("instance_group")
    step = asked.ensemble_scheduling.step.add(model_name="one", model_version=-1)
    step.input_map["".join(NAMES)], step.output_map["".join(NAMES)] = "x", "y"
    (repository / QUOTED / "config.pbtxt").write_text(text_format.MessageToString(asked), encoding="utf-8")
    with serving(repository) as server:
        yield server


def said(server: EmbeddedServer, name: str, language: str, folder: Path, *values: str) -> dict[str, object]:
    """What a written client prints, as name -> value; it has run nothing but itself."""
    file = folder / f"client{LANGUAGES[language]}"
    url = server.grpc_url if language.endswith("grpc") else server.http_url
    command = ["client", name, "--lang", language, "-r", str(server.repository), "--url", url]
    assert CliRunner().invoke(main, [*command, "-o", str(file)]).exit_code == 0
    done = subprocess.run([*RUN[language], file, *values], capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [each.name for each in folder.iterdir()] == [file.name]
    row = json.loads(done.stdout)
    return {each["name"]: each["data"][0] for each in row["outputs"]} if language in ("curl", "go") else row


@pytest.mark.parametrize("language", HERE)
def test_a_client_sends_any_name(served: EmbeddedServer, tmp_path: Path, language: str) -> None:
    values = [f"글 {number}" for number in range(len(NAMES))]
    assert said(served, "many", language, tmp_path, *values) == dict(zip(NAMES, values, strict=True))


@pytest.mark.parametrize("language", HERE)
def test_a_client_of_one_text_sends_any_name(served: EmbeddedServer, tmp_path: Path, language: str) -> None:
    assert said(served, "one", language, tmp_path, "글 $(touch ran)") == {"".join(NAMES): "글 $(touch ran)"}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("folder", "tensor"), [("$(touch ran)", "a"), ("a%20b", "a"), ("a:b", "a"), ("m", "a\0b")])
def test_a_client_is_not_written_for_what_it_cannot_send(
    tmp_path: Path, folder: str, tensor: str, language: str
) -> None:
    with pytest.raises(UserError, match="is not asked"):
        client_code(model(tmp_path, folder, tensor), language)


@pytest.mark.parametrize("language", HERE)
def test_an_address_is_data(tmp_path: Path, language: str) -> None:
    url = "http://$(touch${IFS}ran)\";import('x');'`touch${IFS}ran`:80"
    file = tmp_path / f"client{LANGUAGES[language]}"
    file.write_text(client_code(model(tmp_path / "models", "m", "a"), language, url=url), encoding="utf-8")
    subprocess.run([*RUN[language], file, "글"], capture_output=True, check=False, cwd=tmp_path)
    assert sorted(each.name for each in tmp_path.iterdir()) == [file.name, "models"]


def test_a_recipe_holds_any_name(tmp_path: Path) -> None:
    asked = Request("m", tmp_path / "a'\"\n]#", labels=NAMES, weights={"\x7f 🔥": "00"})
    file = tmp_path / "tbgen.toml"
    file.write_text(text_from_recipe(Recipe((asked,), tmp_path / "models"), tmp_path), encoding="utf-8")
    assert recipe_from_file(file).requests == (asked,)


def test_check_warns_of_names_that_a_shell_reads(tmp_path: Path) -> None:
    model(tmp_path, "m", "input_ids", "output:0", "한글", "$(touch ran)", "a b")
    found = check_repository(tmp_path)
    assert [(each.severity, each.says.partition(" is ")[0]) for each in found] == [
        ("warning", "the name '$(touch ran)'"),
        ("warning", "the name 'a b'"),
    ] * 2


def test_check_refuses_a_python_model_that_bash_would_run(tmp_path: Path) -> None:
    """Triton 2.51 runs what is in `$(...)`, and waits without end for a stub of a path with a space in it."""
    model(tmp_path, "$(touch ran)", "a")
    (found,) = check_repository(tmp_path)
    assert (found.effect, "a line of bash" in found.says) == ("refused", True)


def test_check_warns_of_a_name_that_no_http_client_asks_for(tmp_path: Path) -> None:
    model(tmp_path, "a:b", "a")
    (found,) = check_repository(tmp_path)
    assert (found.effect, "no HTTP client" in found.says) == ("advice", True)


def test_what_is_printed_is_no_markup(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a[red]:smile:" / "[dim]").mkdir(parents=True)
    output().print(repository_tree(tmp_path, ["a[red]:smile:"]))
    output().print("closed[/b] before it was opened")
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("a[red]:smile:/", "[dim]/", "closed[/b] before"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_client_that_is_printed_is_the_one_that_is_written(tmp_path: Path, language: str) -> None:
    config = model(tmp_path, "m", *NAMES)
    done = CliRunner().invoke(main, ["client", "m", "--lang", language, "-r", str(tmp_path)])
    assert done.output == client_code(config, language).rstrip("\n") + "\n"


def test_only_names_that_a_shell_takes_as_they_stand_are_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("mine", "mine_$(touch ran)", "mine;ls"):
        model(tmp_path / "model_repository", name, "a")
    monkeypatch.chdir(tmp_path)
    words = {"_TBGEN_COMPLETE": "bash_complete", "COMP_WORDS": "tbgen run mi", "COMP_CWORD": "2"}
    done = CliRunner().invoke(main, prog_name="tbgen", env=words)
    assert done.output.splitlines() == ["plain,mine"]


def choose(page: Page, name: str) -> None:
    """Choose a model of the gateway's list, whatever its name."""
    page.wait_for("document.querySelectorAll('#model option').length > 0")
    page.value(f"byId('model').value = {json.dumps(name)}; byId('model').dispatchEvent(new Event('change'))")
    page.wait_for(f"model && model.name === {json.dumps(name)}")


def test_the_pages_of_the_gateway_take_any_name(served: EmbeddedServer, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    with running_gateway(GatewaySettings(Address(served.grpc_url, "grpc"))) as gateway, chromium(tmp_path) as page:
        page.look(gateway.url)
        choose(page, "many")
        run(page)
        assert texts(page, "#inputs label") == [*NAMES]
        answer = json.loads(page.value("JSON.stringify(last.answer.answers[0])"))
        assert answer == dict.fromkeys(NAMES, "")
        choose(page, QUOTED)
        run(page)
        bash = ["bash", "-c", texts(page, "#curl")[0]]
        done = subprocess.run(bash, capture_output=True, text=True, check=True, cwd=tmp_path / "here")
        assert json.loads(done.stdout)["triton_model"] == QUOTED
        assert [*(tmp_path / "here").iterdir()] == []
        page.look(f"{gateway.url}/docs")
        page.wait_for("byId('status').textContent.endsWith('endpoints')")
        assert any("it's" in each or "it%27s" in each for each in texts(page, "summary"))
