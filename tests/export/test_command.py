"""`tbgen export onnx` as it is typed."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

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
