import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tbgen.cli.main import COMMANDS, main


def test_help_lists_every_command() -> None:
    answer = CliRunner().invoke(main, ["--help"])
    assert answer.exit_code == 0
    assert all(name in answer.output for name in COMMANDS)


def test_every_command_can_be_imported_and_explains_itself() -> None:
    for name in COMMANDS:
        answer = CliRunner().invoke(main, [name, "--help"])
        assert answer.exit_code == 0, answer.output
        assert answer.output.startswith(f"Usage: main {name}")


def test_a_mistyped_command_is_a_sentence() -> None:
    answer = CliRunner().invoke(main, ["scafold"])
    assert answer.exit_code == 2
    assert "No such command 'scafold'" in answer.output


def test_what_the_disk_refuses_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "test_clean.py").mkdir()
    monkeypatch.chdir(tmp_path)
    answer = CliRunner().invoke(main, ["step", "new", "clean"])
    assert answer.exit_code == 1
    assert "test_clean.py" in answer.output
    assert isinstance(answer.exception, SystemExit)


def test_a_file_in_the_place_of_a_folder_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "backends").touch()
    answer = CliRunner().invoke(main, ["install-backends", str(tmp_path / "backends"), "--no-vendor"])
    assert answer.exit_code != 0
    assert "is a file" in answer.output or "something else has that name" in answer.output


def run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """What a shell does with `tbgen`."""
    whole = f'tbgen() {{ {sys.executable} -m tbgen.cli.main "$@"; }}; {script}'
    return subprocess.run(["bash", "-c", whole], cwd=folder, capture_output=True, text=True, check=False)


def test_a_folder_that_was_removed_is_a_sentence(sample_repository: Path, tmp_path: Path) -> None:
    done = run(f"rmdir {tmp_path}; tbgen client kcbert_onnx_bls -r {sample_repository} -o client.py", tmp_path)
    assert done.stderr.endswith("Error: the folder that you are in was removed; change to another one\n")
    assert done.returncode == 1


@pytest.mark.parametrize("words", ["--help", "--version", "check --help", "step list"])
def test_output_that_is_full_is_a_sentence(words: str, tmp_path: Path) -> None:
    done = run(f"tbgen {words} > /dev/full", tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "No space left on device" in done.stderr


def test_standard_input_and_output_may_be_closed(sample_repository: Path, tmp_path: Path) -> None:
    """Neither does what libraries print come into the file that has the number of what is closed."""
    done = run(f"tbgen run kcbert_onnx_bls -r {sample_repository} --text - <&-", tmp_path)
    assert done.stderr == "Error: standard input is empty; give it one text a line\n"
    assert "name the models" in run("tbgen init <&-", tmp_path).stderr
    done = run(f"tbgen show kcbert_onnx_bls -r {sample_repository} --svg drawn.svg <&- >&- 2>&-", tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "drawn.svg").read_text(encoding="utf-8").startswith("<svg")


@pytest.mark.parametrize(
    "words",
    [
        ["check", ""],
        ["show", "m", "-r", ""],
        ["show", "m", "--svg", ""],
        ["scaffold", "m", "--source", ""],
        ["infer", "m", "--text", ""],
        ["update", "m", "--recipe", ""],
        ["export", "onnx", "-o", ""],
        ["deploy", "image", "-o", ""],
    ],
)
def test_an_empty_word_is_no_path(words: list[str]) -> None:
    """As the shell makes one of a variable that is not set; the folder that one is in would be taken for it."""
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2
    assert "it is empty; name a path" in done.stderr
