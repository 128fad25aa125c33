"""A repository of a stranger's: what of it runs, and what does not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from tbgen.cli.main import COMMANDS, main
from tbgen.generator.scaffold import Request, scaffold
from tests.generator.test_update import SHOUT, as_an_older_tbgen_wrote_it


@pytest.fixture(scope="module")
def written(sample_export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """shop_onnx_bls with a step of its own, shop_onnx_ensemble and its parts without."""
    folder = tmp_path_factory.mktemp("strangers")
    (folder / "shout.py").write_text(SHOUT, encoding="utf-8")
    scaffold(Request("shop", sample_export, graph="ensemble"), folder / "r", comparing=False)
    mine = Request("shop", sample_export, graph="bls", pre=(f"{folder}/shout.py:Shout",))
    scaffold(mine, folder / "r", force=True, comparing=False)
    return folder / "r"


@pytest.fixture
def hostile(written: Path, tmp_path: Path) -> Path:
    """The same, and the stranger's step leaves a file behind when it runs, as does every other Python file."""
    repository = shutil.copytree(written, tmp_path / "r")
    for file in repository.glob("*/1/*.py"):
        code = f"import pathlib; pathlib.Path({str(tmp_path / 'ran')!r}).touch()\n"
        file.write_text(file.read_text(encoding="utf-8").replace("import numpy", f"{code}import numpy"), "utf-8")
    return repository


@pytest.mark.parametrize("command", ["diff shop", "update shop", "update shop_onnx_bls --force"])
def test_own_steps_run_unless_they_are_left_out(command: str, hostile: Path) -> None:
    as_an_older_tbgen_wrote_it(hostile / "shop_tokenizer", "1/clients.py", "older")
    asked = [*command.split(), "-r", str(hostile)]
    result = CliRunner().invoke(main, [*asked, "--no-own-steps", "--json"])
    assert result.exit_code == 0, result.output
    assert "Left out, since shout.py would run: " in result.stderr
    models = [model for row in json.loads(result.stdout) for model in row["models"]]
    assert "shop_onnx_bls" not in models
    assert "shop_tokenizer" in models
    assert not (hostile.parent / "ran").exists()
    assert CliRunner().invoke(main, asked).exit_code == 0
    assert (hostile.parent / "ran").exists()


@pytest.mark.parametrize(
    "command", ["check REPOSITORY", "client shop_onnx_bls -r REPOSITORY", "check REPOSITORY --weights"]
)
def test_nothing_of_it_runs(command: str, hostile: Path) -> None:
    CliRunner().invoke(main, command.replace("REPOSITORY", str(hostile)).split())
    assert not (hostile.parent / "ran").exists()


def test_help_says_which_commands_run_code() -> None:
    asked = {name: CliRunner().invoke(main, [name, "--help"]) for name in COMMANDS}
    assert {name: done.output for name, done in asked.items() if done.exit_code} == {}
    says = {name for name, done in asked.items() if "run here with your rights" in " ".join(done.output.split())}
    assert says == {
        "scaffold",
        "diff",
        "update",
        "serve",
        "gateway",
        "run",
        "client",
        "verify",
        "bench",
        "tune",
        "capacity",
        "step",
    }
