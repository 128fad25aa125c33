import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tbgen.cli.main import main


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    return tmp_path


def tbgen(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, arguments)
    return done.exit_code, done.output


@pytest.mark.parametrize(("kind", "takes"), [("--pre", "input_text"), ("--post", "score")])
def test_a_new_step_works_and_its_test_passes(here: Path, kind: str, takes: str) -> None:
    code, output = tbgen("step", "new", "my-step", kind)
    assert (code, "tbgen step test my_step.py:MyStep" in output) == (0, True)
    assert len((here / "my_step.py").read_text(encoding="utf-8").splitlines()) < 25
    code, output = tbgen("step", "test", "my_step.py:MyStep")
    assert (code, takes in output, "MyStep keeps the contract." in output) == (0, True, True)
    environment = os.environ | {"PYTHONPATH": str(here)}
    subprocess.run([sys.executable, "-m", "pytest", "-q", "test_my_step.py"], check=True, env=environment, cwd=here)


def test_nothing_is_overwritten(here: Path) -> None:
    (here / "clean.py").touch()
    code, output = tbgen("step", "new", "clean")
    assert (code, output) == (1, "Error: 'clean.py' exists; choose another name\n")
    assert [file.name for file in here.iterdir()] == ["clean.py"]


def test_a_name_that_is_none_is_a_sentence(here: Path) -> None:
    assert tbgen("step", "new", "1st")[1].startswith("Error: '1st' cannot name a step")
    assert list(here.iterdir()) == []


def test_a_file_that_no_model_can_import_is_a_sentence(here: Path) -> None:
    tbgen("step", "new", "clean")
    (here / "clean.py").rename(here / "my.clean.py")
    code, output = tbgen("step", "test", "my.clean.py:Clean")
    assert (code, output.startswith("Error: 'my.clean.py' has a dot in its name")) == (1, True)


@pytest.mark.usefixtures("here")
def test_built_in_and_local_steps_are_listed() -> None:
    tbgen("step", "new", "clean")
    code, output = tbgen("step", "list")
    lines = [line for line in output.splitlines() if line.strip()]
    assert code == 0
    assert any(line.split()[:2] == ["Tokenizer", "tbgen"] for line in lines)
    assert any(line.split()[0] == "clean.py:Clean" and "Changes each text before it is read." in line for line in lines)


def test_settings_reach_the_step_and_imports_are_named(here: Path) -> None:
    tbgen("step", "new", "clean")
    file = here / "clean.py"
    file.write_text(file.read_text(encoding="utf-8").replace("import numpy", "import pytest\nimport numpy"), "utf-8")
    code, output = tbgen("step", "test", "clean.py", "lower=true")
    assert (code, "the kospi closed higher" in output or "오늘도" in output) == (0, True)
    assert "It imports pytest: they must be installed where Triton runs." in output
    assert tbgen("step", "test", "clean.py", "upper=true")[0] == 1


BROKEN = {
    "syntax.py": "def x(:",
    "zero.py": "x = 1\0",
    "latin.py": 'x = "\udcff"',
}


def test_what_cannot_be_read_is_named_and_the_rest_is_listed(here: Path) -> None:
    tbgen("step", "new", "clean")
    for name, text in BROKEN.items():
        (here / name).write_text(text, encoding="utf-8", errors="surrogateescape")
    (here / "folder.py").mkdir()
    (here / "gone.py").symlink_to("nowhere.py")
    done = CliRunner().invoke(main, ["step", "list"])
    assert done.exit_code == 0
    assert "clean.py:Clean" in done.stdout
    assert [line.partition(" is ")[0] for line in done.stderr.splitlines()] == [
        f"Left out: {name!r}" for name in sorted(BROKEN)
    ]


STEP = """
import numpy as np

def deep(text):
    return np.linalg.inv(np.zeros((2, 3)))

class Mine:
    inputs = {"input_text": ("TYPE_STRING", [1])}
    outputs = {"input_text": ("TYPE_STRING", [1])}

    def __init__(self, folder):
        self.about = {}

    def __call__(self, input_text):
        return {"input_text": input_text}
"""


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ("self, folder", "self", "cannot be constructed: TypeError: .*; it is made by Mine\\(folder\\)"),
        ("self.about = {}", "{}['a']", "cannot be constructed: KeyError: 'a' \\(mine.py, line 12 in __init__\\)"),
        ("self.about = {}", "import nope", "ModuleNotFoundError: .* \\(mine.py, line 12 in __init__\\)"),
        ("return {", "deep(3); {", "LinAlgError: .*\\(mine.py, line 15 in __call__, line 5 in deep\\)"),
        ("return {", "exit(3); {", "fails on the example: SystemExit: 3 \\(mine.py, line 15 in __call__\\)"),
        ("return {", "self(input_text); {", "RecursionError: .*mine.py, (line 15 in __call__(, )?){5}\\)"),
    ],
)
def test_a_step_that_fails_is_told_by_its_own_lines(here: Path, was: str, becomes: str, said: str) -> None:
    (here / "mine.py").write_text(STEP.replace(was, becomes), encoding="utf-8")
    code, output = tbgen("step", "test", "mine.py")
    assert code == 1
    assert re.search(f"^Error: mine.py:Mine .*{said}", output), output
    assert output.count("\n") == 1
