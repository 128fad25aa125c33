"""What `tbgen scaffold` says to the person who ran it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tbgen.cli.main import main

STEP = """
import click
import numpy


class Clean:
    inputs = outputs = {"input_text": ("TYPE_STRING", [1])}

    def __init__(self, folder): ...

    def __call__(self, input_text):
        return {"input_text": input_text}
"""


def tbgen(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clean.py").write_text(STEP, encoding="utf-8")
    return tmp_path


@pytest.mark.usefixtures("here")
def test_imports_of_own_steps_are_named_with_the_ways_out(sample_export: Path) -> None:
    result = tbgen("scaffold", "shop", "--source", sample_export, "--pre", "clean.py")
    assert result.exit_code == 0, result.output
    assert (
        "clean.py imports click: they must exist in the server, or be vendored (shop_tokenizer/1/vendor, "
        "shop_onnx_bls/1/vendor), or come in an execution environment "
        "(tbgen env pack shop_tokenizer shop_onnx_bls -p PACKAGE)" in result.output
    )


@pytest.mark.usefixtures("here")
def test_nothing_is_said_where_nothing_is_missing(sample_export: Path) -> None:
    assert "imports" not in tbgen("scaffold", "shop", "--source", sample_export).output


@pytest.mark.usefixtures("here")
def test_separate_belongs_to_the_step_before_it(sample_export: Path) -> None:
    asked = tbgen("scaffold", "shop", "--source", sample_export, "--pre", "clean.py:Clean", "--separate")
    assert asked.exit_code == 0, asked.output
    assert Path("model_repository/shop_clean/config.pbtxt").exists()


def test_separate_alone_is_a_usage_error() -> None:
    assert tbgen("scaffold", "kcbert", "--separate").exit_code == 2
