"""`tbgen completion`: each shell itself completes commands, options and the names that options take."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SHELLS = {  # what shows what the shell offers for the last of the words; zsh's two commands work in its editor alone
    "bash": """
        eval "$(tbgen completion bash)"
        COMP_WORDS=(tbgen {words})
        COMP_CWORD={last}
        _tbgen_completion tbgen
        echo "${{COMPREPLY[@]}}"
    """,
    "zsh": """
        compdef() {{ }}
        compadd() {{ print -l $completions }}
        _describe() {{ print -l ${{completions_with_descriptions%%:*}} }}
        eval "$(tbgen completion zsh)"
        words=(tbgen {words})
        CURRENT={last}+1
        _tbgen_completion
    """,
    "fish": """
        tbgen completion fish | source
        complete --do-complete "tbgen {words}" | cut --fields 1
    """,
}


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


def offered_by(shell: str, folder: Path, words: list[str]) -> list[str]:
    """What a shell offers for the last word."""
    if not shutil.which(shell):
        pytest.skip(f"no {shell} on this machine")
    line = SHELLS[shell].format(words=" ".join(f"'{word}'" for word in words), last=len(words))
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [shell, "-c", line], cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.split()


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
    assert offered_by("bash", folder, words) == offered


@pytest.mark.parametrize("shell", ["zsh", "fish"])
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["de"], ["deploy"]),
        (["infer", "mine"], ["mine", "mine_onnx_bls", "mine_tokenizer"]),
        (["scaffold", "mine", "--engine", "onnx_t"], ["onnx_trt"]),
    ],
)
def test_zsh_and_fish_complete_the_same(shell: str, folder: Path, words: list[str], offered: list[str]) -> None:
    assert offered_by(shell, folder, words) == offered
