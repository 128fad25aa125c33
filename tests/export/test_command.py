"""`tbgen export onnx` as it is typed."""

from __future__ import annotations

from pathlib import Path

import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from tbgen.cli.export import export


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(export, [str(argument) for argument in arguments])
    return result.exit_code, result.output


def test_prints_what_was_written(bert: Path, tmp_path: Path) -> None:
    code, output = run("onnx", "--source", bert, "-o", tmp_path / "made")
    assert code == 0
    assert "input_ids        int64 [batch, sequence]" in output
    assert "outputs          float32 [batch, 3]" in output
    assert "opset            17, fp32" in output
    assert "(tolerance 1e-04), 0 of 13 decisions differ" in output


def test_a_users_mistake_is_one_sentence(bert: Path, tmp_path: Path) -> None:
    assert run("onnx", "--source", bert, "-o", tmp_path) == (
        1,
        f"Error: {str(tmp_path)!r} exists; choose another folder, or replace it with --force\n",
    )


def test_the_walk_throughs_pair(bert: Path, tmp_path: Path) -> None:
    torch.save(load_file(bert / "model.safetensors"), tmp_path / "model.pt")
    options = ["--source", bert, "--state-dict", tmp_path / "model.pt", "--base", bert, "-o", tmp_path / "made"]
    labels = ["--label", "부정", "--label", "중립", "--label", "긍정"]
    code, output = run("onnx", *options, *labels)
    assert code == 0
    assert "task             text-classification: 부정, 중립, 긍정" in output


def test_options_that_do_not_go_together(bert: Path, tmp_path: Path) -> None:
    code, output = run("onnx", "--source", bert, "--base", bert, "-o", tmp_path / "made")
    assert (code, output.splitlines()[-1]) == (2, "Error: --base and --label-count go with --state-dict")
    code, output = run("onnx", "--source", bert, "--state-dict", tmp_path / "model.pt", "-o", tmp_path / "made")
    assert (code, output.splitlines()[-1]) == (2, "Error: --state-dict goes with --base, and not with --revision")
