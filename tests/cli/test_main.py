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
