"""`tbgen export onnx` as it is typed."""

from __future__ import annotations

from pathlib import Path

import pytest
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
    assert "(tolerance 0.0001), 0 of 19 decisions differ" in output


def test_a_users_mistake_is_one_sentence(bert: Path, tmp_path: Path) -> None:
    assert run("onnx", "--source", bert, "-o", tmp_path) == (
        1,
        f"Error: {str(tmp_path)!r} exists; choose another folder, or replace it with --force\n",
    )


def test_the_walk_throughs_pair(bert: Path, tmp_path: Path) -> None:
    torch.save(load_file(bert / "model.safetensors"), tmp_path / "model.pt")
    options = ["--source", tmp_path / "model.pt", "--tokenizer", bert, "--base", bert, "-o", tmp_path / "made"]
    labels = ["--label", "부정", "--label", "중립", "--label", "긍정"]
    code, output = run("onnx", *options, *labels)
    assert code == 0
    assert "task             text-classification: 부정, 중립, 긍정" in output


def test_options_that_do_not_go_together(bert: Path, tmp_path: Path) -> None:
    code, output = run("onnx", "--source", bert, "--base", bert, "-o", tmp_path / "made")
    assert (code, output.splitlines()[-1].partition(";")[0]) == (1, "Error: --base goes with a state dict")
    code, output = run("onnx", "-o", tmp_path / "made")
    assert (code, output.splitlines()[-1]) == (2, "Error: Missing option '--source'.")


def test_int8_on_texts_of_ones_own(bert: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("금리는 동결\n\n손절해야 하나요\n", encoding="utf-8")
    options = ["--precision", "int8", "--text", tmp_path / "texts.txt", "--tolerance", "9"]
    code, output = run("onnx", "--source", bert, "-o", tmp_path / "made", *options)
    assert code == 0
    assert "opset            17, int8" in output
    assert "in 9 texts (tolerance 9), 0 of 9 decisions differ" in output


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "No such file"), (b"\xff\xfe", "is not UTF-8 (byte 1 is 0xff)"), (b"\n \n", "no text in ")],
)
def test_texts_that_cannot_be_read(content: bytes | None, sentence: str, bert: Path, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "texts.txt").write_bytes(content)
    code, output = run("onnx", "--source", bert, "-o", tmp_path / "made", "--text", tmp_path / "texts.txt")
    assert code == 1
    assert sentence in output


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--triton", "24.10"], "opset            17, fp32"),
        (["--triton", "24.10", "--opset", "15"], "opset            15, fp32"),
        (
            ["--triton", "23.09", "--opset", "20"],
            "Error: opset 20 is newer than the server's ONNX Runtime reads, which is 19 at most",
        ),
        (["--triton", "9.99"], "Error: no Triton release '9.99'. "),
    ],
)
def test_a_release_decides_the_newest_opset(options: list[str], line: str, bert: Path, tmp_path: Path) -> None:
    _, output = run("onnx", "--source", bert, "-o", tmp_path / "made", *options)
    assert line in output
