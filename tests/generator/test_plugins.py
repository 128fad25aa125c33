import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tbgen.cli.main import main
from tbgen.export.errors import UserError
from tbgen.export.tasks.table import TASKS, all_tasks
from tbgen.export.tasks.task import Step
from tbgen.generator.steps.plugins import extra_imports, step_from_option

SHOUT = """
import json
import emoji
from konlpy.tag import Okt

LOUD = "!"

class Data:
    pass

class Shout:
    inputs = outputs = {"input_text": ("TYPE_STRING", [1])}
    def __init__(self, folder, *, times=1): ...
    def __call__(self, input_text): ...
"""


@pytest.fixture
def shout(tmp_path: Path) -> Path:
    file = tmp_path / "shout.py"
    file.write_text(SHOUT, encoding="utf-8")
    return file


def test_a_file_its_class_and_settings(shout: Path) -> None:
    step = step_from_option(f"{shout}:Shout times=2 sign='a b' names='[\"가\", \"나\"]' loud=true")
    assert step == Step(shout, "Shout", {"times": 2, "sign": "a b", "names": ["가", "나"], "loud": True})


def test_the_only_step_of_a_file_needs_no_name(shout: Path) -> None:
    assert step_from_option(str(shout)).name == "Shout"


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("{}:Shut", "no class 'Shut' in '{}'. Classes: Data, Shout"),
        ("{}:Shout times", "cannot read 'times'; settings are written key=value"),
        ("{}:Shout 'times", "No closing quotation"),
        ("nowhere.py:Shout", "no step file 'nowhere.py'; write one with: tbgen step new nowhere --pre"),
        ("nosuchstep", "no step 'nosuchstep'; write FILE.py:Class, or the name of an installed step"),
    ],
)
def test_what_cannot_be_read_is_a_sentence(shout: Path, option: str, sentence: str) -> None:
    with pytest.raises(UserError) as error:
        step_from_option(option.format(shout))
    assert sentence.format(shout) in error.value.message


def test_a_file_that_is_not_python_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("class :", encoding="utf-8")
    with pytest.raises(UserError, match=r"broken.py' is not Python: invalid syntax in line 1"):
        step_from_option(str(tmp_path / "broken.py"))


def test_packages_that_a_server_may_lack_are_named(shout: Path) -> None:
    assert extra_imports(shout) == ["emoji", "konlpy"]


def test_a_step_is_one_file(tmp_path: Path) -> None:
    (tmp_path / "two.py").write_text("from .one import clean\n", encoding="utf-8")
    with pytest.raises(UserError, match="imports a file beside it; a step is one file"):
        extra_imports(tmp_path / "two.py")


def test_the_built_in_tasks_are_there() -> None:
    assert TASKS.keys() <= all_tasks().keys()


@pytest.mark.parametrize(
    ("step", "code", "sentence"),
    [
        ("broken.steps:Shout", "raise RuntimeError('no licence')", "does not load (no licence)"),
        ("broken.steps:Shout", "def", "does not load (invalid syntax"),
        ("broken.steps:Shout", "import nowhere_to_be_found", "but nowhere_to_be_found is not installed"),
        ("broken.steps:Shout", "", "but broken.steps is not installed"),
        ("not a place", "", "does not load"),
        ("sys:version", "", "but sys is not installed"),
    ],
)
def test_an_installed_package_that_is_broken_is_a_sentence(
    step: str, code: str, sentence: str, sample_export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    announced = f"[tbgen.steps]\nshout = {step}\n[tbgen.tasks]\nshouting = broken:TASK\n"
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "__init__.py").write_text(code, encoding="utf-8")
    (tmp_path / "broken-1.0.dist-info").mkdir()
    (tmp_path / "broken-1.0.dist-info" / "entry_points.txt").write_text(announced, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken", raising=False)
    with pytest.raises(UserError) as error:
        step_from_option("shout")
    assert sentence in error.value.message
    assert CliRunner().invoke(main, ["step", "list"]).exit_code == 0
    words = ["--source", str(sample_export), "--task", "shouting", "-r", str(tmp_path / "models")]
    done = CliRunner().invoke(main, ["scaffold", "m", *words])
    assert (done.exit_code, type(done.exception)) == (1, SystemExit)
    assert "'shouting'" in done.output
