"""init, scaffold with a recipe, diff and update, as a person runs them."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tbgen.cli.main import main


def tbgen(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def on_a_terminal(folder: Path, *arguments: str, answers: str) -> str:
    """What `tbgen` prints on a real terminal when a person types the answers."""
    controller, terminal = pty.openpty()
    command = [Path(sys.executable).parent / "tbgen", *arguments]
    with subprocess.Popen(command, cwd=folder, stdin=terminal, stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        os.write(controller, answers.encode("utf-8"))
        printed = b""
        try:
            while block := os.read(controller, 4096):
                printed += block
        except OSError:  # how Linux says that the last program has closed the terminal
            pass
    os.close(controller)
    assert process.returncode == 0, printed.decode("utf-8")
    return printed.decode("utf-8")


def test_init_asks_for_what_is_left_open(here: Path, sample_export: Path) -> None:
    printed = on_a_terminal(here, "init", "--graph", "bls", answers=f"shop\n/nowhere\n{sample_export}\n0\n")
    assert "There is no folder '/nowhere'." in printed
    assert "Graph" not in printed
    recipe = (here / "tbgen.toml").read_text(encoding="utf-8")
    assert 'name = "shop"\n' in recipe
    assert 'graph = "bls"\n' in recipe
    assert '"model.safetensors" = "' in recipe


def test_a_recipe_from_init_to_update(here: Path, sample_export: Path) -> None:
    assert tbgen("init", "shop", "--source", sample_export, "--graph", "bls").exit_code == 0
    assert tbgen("scaffold").exit_code == 0
    assert tbgen("diff", "--exit-code").exit_code == 0
    config = here / "model_repository" / "shop_onnx_bls" / "config.pbtxt"
    config.write_text(config.read_text(encoding="utf-8").replace("count: 1", "count: 2"), encoding="utf-8")
    assert "shop_onnx_bls/config.pbtxt: edited by you, kept" in tbgen("diff", "shop").output
    assert "+  count: 2" in tbgen("update").output
    assert "count: 2" in config.read_text(encoding="utf-8")
    assert "edited by you, replaced" in tbgen("update", "--force").output
    assert "count: 1" in config.read_text(encoding="utf-8")


@pytest.mark.usefixtures("here")
def test_models_that_were_asked_for_otherwise_than_the_recipe(sample_export: Path) -> None:
    assert tbgen("init", "shop", "--source", sample_export, "--graph", "bls").exit_code == 0
    for graph, long_text in (("bls", "reject"), ("ensemble", "truncate")):
        options = ("--source", sample_export, "--graph", graph, "--long-text", long_text, "--force")
        assert tbgen("scaffold", "shop", *options).exit_code == 0
    checked = tbgen("check", "model_repository").output
    assert "shop_onnx_ensemble/tbgen.json: advice: answers otherwise than shop_onnx_bls: written with other" in checked
    lines = tbgen("diff").output.splitlines()
    assert "The settings asked for now are not those of shop_onnx_bls: long_text" in lines
    assert lines[-1] == (
        "Not in tbgen.toml, left as they are: shop_onnx_ensemble, shop_postprocess, shop_tokenizer; "
        "`tbgen diff shop_onnx_ensemble -r model_repository` looks at them"
    )


def test_diff_can_fail_a_build(here: Path, sample_export: Path) -> None:
    assert tbgen("scaffold", "shop", "--source", sample_export, "--graph", "bls").exit_code == 0
    (here / "model_repository" / "shop_onnx_bls" / "1" / "engine_call.py").unlink()
    result = tbgen("diff", "shop", "--exit-code")
    assert (result.exit_code, "engine_call.py: not there; tbgen writes it" in result.output) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["init"], "name the models"),
        (["init", "shop"], "no preset 'shop'"),
        (["init", "kcbert", "--graph", "tree"], "no graph 'tree'"),
        (["scaffold"], "name the models, or run it where there is a tbgen.toml"),
        (["scaffold", "--recipe", "other.toml"], "no recipe at 'other.toml'"),
        (["diff"], "name the models, or run it where there is a tbgen.toml"),
        (["update", "shop"], "the model repository 'model_repository' is not there; name another with --repository"),
    ],
)
def test_one_sentence(here: Path, arguments: list[str], sentence: str) -> None:
    result = tbgen(*arguments)
    assert result.exit_code != 0
    assert sentence in result.output
    assert list(here.iterdir()) == []


def test_a_recipe_stands_alone(here: Path) -> None:
    assert tbgen("init", "kcbert").exit_code == 0
    assert "graph: the recipe says that" in tbgen("scaffold", "--graph", "bls").output
    assert "'tbgen.toml' exists; --force replaces it" in tbgen("init", "kcbert").output
    assert (here / "tbgen.toml").is_file()
