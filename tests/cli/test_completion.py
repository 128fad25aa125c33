"""`tbgen completion`: bash itself completes commands, options and the names that options take."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tbgen.cli.main import main

BASH = """
eval "$(tbgen completion bash)"
COMP_WORDS=(tbgen {words})
COMP_CWORD={last}
_tbgen_completion tbgen
echo "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a model repository, and a program `tbgen` in bin/."""
    for model in ("mine_onnx_bls", "mine_tokenizer", "other"):
        (tmp_path / "model_repository" / model).mkdir(parents=True)
        (tmp_path / "model_repository" / model / "config.pbtxt").touch()
    (tmp_path / "model_repository" / "mine_onnx_bls" / "tbgen.json").write_text(
        '{"name": "mine", "settings": {"engine": "onnx"}}', encoding="utf-8"
    )
    program = tmp_path / "bin" / "tbgen"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -c "from tbgen.cli.main import main; main(prog_name=\'tbgen\')" "$@"\n',
        encoding="utf-8",
    )
    program.chmod(0o755)
    return tmp_path


def completed(folder: Path, *words: str) -> list[str]:
    """What bash offers for the last word."""
    line = BASH.format(words=" ".join(f"'{word}'" for word in words), last=len(words))
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", line], cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash on this machine")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["de"], ["deploy"]),
        (["infer", "mine"], ["mine", "mine_onnx_bls", "mine_tokenizer"]),
        (["scaffold", ""], ["kcbert", "mine"]),
        (["verify", "mine"], ["mine"]),
        (["env", "pack", "o"], ["other"]),
        (["bench", "-r", "nowhere", "o"], []),
        (["infer", "--ur"], ["--url"]),
        (["scaffold", "mine", "--engine", "onnx_t"], ["onnx_trt"]),
        (["scaffold", "mine", "--graph", "b"], ["bls", "both"]),
        (["verify", "mine", "--task", "text-c"], ["text-classification"]),
        (["client", "mine", "--lang", "g"], ["go"]),
    ],
)
def test_bash_completes_names(folder: Path, words: list[str], offered: list[str]) -> None:
    assert completed(folder, *words) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shells_script_can_be_read_by_it(shell: str) -> None:
    done = CliRunner().invoke(main, ["completion", shell])
    assert "_TBGEN_COMPLETE" in done.output
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=done.output, text=True, check=True)
